"""Tells places of a map, to people and as JSON: where scores are highest, peaks, and where a class stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from caffe_fcn.predict.images.picture import Box
from caffe_fcn.predict.labels import Labels
from caffe_fcn.predict.peaks import FoundPeak, Peaks
from caffe_fcn.predict.run import BlobResult, Level
from caffe_fcn.predict.standing import Standing
from caffe_fcn.predict.summaries import Found
from caffe_fcn.wording import option

_MOST_PEAKS = 20
"""The maximum number of peaks that are printed for a picture."""

_WIDTH = 6
"""The width of most scores."""


def shown_score(value: float) -> str:
    """Return a score or another VALUE as text."""
    return f"{value:.4f}" if 0 <= value <= 1 else f"{value:.5g}"


def shown_scale(levels: Sequence[Level], level: Level) -> str:
    """Return the scale of LEVEL, if the picture was scaled."""
    return f" at scale {level.scale:g}" if len(levels) > 1 or level.scale != 1 else ""


def _shown_box(box: Box) -> str:
    return f"rows {box.top}–{box.bottom - 1}, columns {box.left}–{box.right - 1}"


def _window(levels: Sequence[Level], found: Found) -> str:
    level = levels[found.level]
    return _shown_box(level.cells.window_of(found.row, found.column)) + shown_scale(levels, level)


def best_places(levels: Sequence[Level], best: Sequence[Found], labels: Labels | None) -> Iterator[str]:
    """Yield a line for each of BEST, where classes score highest, or where a map without classes is highest."""
    titles = ["highest" if labels is None else labels.title(each.label) for each in best]
    rows = ((each.score, title, _window(levels, each)) for each, title in zip(best, titles, strict=True))
    yield from _table(rows, titles)


def peak_lines(peaks: Peaks, levels: Sequence[Level], labels: Labels) -> Iterator[str]:
    """Yield lines on PEAKS: their number, and then the best of them."""
    one = "region" if peaks.of_regions else "peak"
    count = f"{len(peaks):,} {one}{'s' if len(peaks) != 1 else ''}" if len(peaks) else f"no {one}"
    dropped = peaks.before - len(peaks)
    overlap = f"; {dropped:,} more overlap a better one (IOU above {peaks.nms:g})" if dropped else ""
    yield f"    {count} with a score above {peaks.threshold:g}{overlap}"
    titles = {label: labels.title(label) for label in sorted(set(peaks.cells[:, 0].tolist()))}
    rows = (
        (each.score, titles[each.label], _shown_box(each.box) + shown_scale(levels, levels[each.level]))
        for each in islice(peaks, _MOST_PEAKS)
    )
    yield from (f"  {line}" for line in _table(rows, [*titles.values()]))
    if len(peaks) > _MOST_PEAKS:
        yield f"      and {len(peaks) - _MOST_PEAKS:,} more; {option('csv')} writes all"


def _table(rows: Iterator[tuple[float, str, str]], titles: Sequence[str]) -> Iterator[str]:
    wide = max(map(len, titles), default=0)
    yield from (f"    {shown_score(score):>{_WIDTH}}  {title:<{wide}}  {where}" for score, title, where in rows)


def standing_line(found: Standing, result: BlobResult, labels: Labels) -> str:
    """Return the line on where a class of RESULT stands."""
    best = found.best
    if found.rank is None:
        title = labels.name(best.label) or f"channel {best.label}"
        return f"    {title}: highest {shown_score(best.score)}, {_window(result.levels, best)}"
    rank = f"{_ordinal(found.rank)} of {found.all:,} classes"
    if found.leader is not None and found.rank > 1:
        rank += f", below {labels.title(found.leader.label)} {shown_score(found.leader.score)}"
    title = labels.title(best.label)
    if not result.levels:
        return f"  {title}: {shown_score(best.score)}, {rank}"
    # The list of the best places has only cells where the class is the top class: this one may be higher.
    cells = " of all cells, also those of other classes," if found.rank > 1 else ""
    there = f"    {title}: highest{cells} {shown_score(best.score)}, {_window(result.levels, best)}; there {rank}"
    return f"{there}; by its highest score {_ordinal(found.rank_of_best or 1)} of {found.others:,}"


def _ordinal(rank: int) -> str:
    ending = "th" if rank % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank:,}{ending}"


# ---- As JSON ----


def number(score: float) -> float:
    """Return SCORE with the fewest digits that give the same number in single precision."""
    return float(f"{score:.9g}")


def place_record(result: BlobResult, found: Found | FoundPeak, first: int) -> dict[str, Any]:
    """Return the cell of FOUND in RESULT, whose maps are numbered from FIRST on."""
    window = result.levels[found.level].cells.window_of(found.row, found.column)
    return {"map": first + found.level, "row": found.row, "column": found.column, "window": list(window)}


def peak_record(result: BlobResult, found: FoundPeak, labels: Labels, first: int) -> dict[str, Any]:
    """Return FOUND in RESULT, whose maps are numbered from FIRST on."""
    return {
        "class": found.label,
        "name": labels.name(found.label),
        "score": number(found.score),
        "box": list(found.box),
        "scale": result.levels[found.level].scale,
        "place": place_record(result, found, first),
    }


def search_record(peaks: Peaks) -> dict[str, Any]:
    """Return how PEAKS were found."""
    return {
        "blob": peaks.blob,
        "threshold": peaks.threshold,
        "nms": peaks.nms,
        "boxes": "regions" if peaks.of_regions else "windows",
        "before": peaks.before,
        "peaks": len(peaks),
    }


def standing_record(found: Standing, result: BlobResult, labels: Labels, first: int) -> dict[str, Any]:
    """Return where a class of RESULT stands, whose maps are numbered from FIRST on."""
    best = found.best
    return {
        "blob": result.output.name,
        "class": best.label,
        "name": labels.name(best.label),
        "score": number(best.score),
        "place": place_record(result, best, first) if result.levels else None,
        "rank": found.rank,
        "classes": found.all,
        "leader": None
        if found.leader is None
        else {
            "class": found.leader.label,
            "name": labels.name(found.leader.label),
            "score": number(found.leader.score),
        },
        "rank_of_best": found.rank_of_best,
        "others": found.others,
    }
