"""Tells where a class stands that the user asks for: where it scores highest, and how many classes score higher."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from caffe_fcn.predict.summaries import Found

if TYPE_CHECKING:
    from caffe_fcn.predict.run import BlobResult


class Standing(NamedTuple):
    """Where a class scores highest, BEST. Of ALL classes, RANK is its place among the scores there, and LEADER the
    class with the highest score there. Of OTHERS and itself, RANK_OF_BEST is its place among the highest scores that
    each class has anywhere; the background is left out, unless it is the class itself. 1 is the highest; classes with
    the same score have the same rank. Numbers that are not scores of classes have no ranks."""

    best: Found
    rank: int | None = None
    all: int | None = None
    leader: Found | None = None
    rank_of_best: int | None = None
    others: int | None = None


def standing(result: BlobResult, label: int, background: int | None) -> Standing:
    """Return where class LABEL of RESULT stands. BACKGROUND is the class without an object, if known."""
    import numpy as np

    if not result.levels:
        assert result.values is not None
        scores = result.values.reshape(-1)
        top = int(scores.argmax())
        rank = 1 + int((scores > scores[label]).sum())
        return Standing(Found(label, float(scores[label])), rank, len(scores), Found(top, float(scores[top])))
    highest = np.full(result.output.channels, -np.inf, np.float32)
    best = Found(label, -np.inf)
    for number, level in enumerate(result.levels):
        for row, band in level.scores.bands():
            highest = np.maximum(highest, band.max((1, 2)))
            place = int(band[label].argmax())
            score = float(band[label].flat[place])
            if score > best.score:
                down, column = divmod(place, band.shape[2])
                best = Found(label, score, number, row + down, column)
    if not result.output.of_classes:
        return Standing(best)
    there = np.array(result.levels[best.level].scores.values()[:, best.row, best.column])
    top = int(there.argmax())
    leader = best._replace(label=top, score=float(there[top]))
    if background is not None and background != label:
        highest = np.delete(highest, background)
    ranks = (1 + int((scores > np.float32(best.score)).sum()) for scores in (there, highest))
    return Standing(best, next(ranks), len(there), leader, next(ranks), len(highest))
