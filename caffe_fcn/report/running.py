"""What a net made of pictures, for people: the top classes, or the map, where it is surest, and of what it is full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from caffe_fcn.files.literals import visible
from caffe_fcn.net.geometry import Exactness, exactness_of, words
from caffe_fcn.net.shapes import show
from caffe_fcn.run.labels import Labels
from caffe_fcn.run.running import Answer, Level, Summary, best_classes, summarize

_EXACT = {
    Exactness.AWAY_FROM_BORDERS: "; near borders not what the window alone gives: ",
    Exactness.NOWHERE: "; nowhere what the window alone gives: ",
}


def lines(answer: Answer, blob: str, labels: Labels, top: int) -> Iterator[str]:
    """The report on one picture, with the TOP classes, safe to print whatever things are called."""
    yield from map(visible, _lines(answer, blob, labels, top))


def _lines(answer: Answer, blob: str, labels: Labels, top: int) -> Iterator[str]:
    yield f"{answer.path}: {show(answer.plan.picture.size)} pixels"
    if not answer.is_map:
        rows = [(_score(each.score), str(each.label), labels) for each in best_classes(answer.levels[0].scores, top)]
        wide = max((len(index) for _, index, _ in rows), default=0)
        for score, index, _ in rows:
            yield f"  {score}  {index:>{wide}}  {labels.name(int(index)) or ''}".rstrip()
        return
    found = summarize(answer.levels, labels.background)
    for number, level in enumerate(answer.levels):
        yield f"  {blob} {show(level.scores.shape)}{_scale(answer, level)}: {_geometry(level)}"
        yield f"    of the cells {_shares(found.counts[number], labels, top)}"
    yield from _surest(answer, found, labels, top)


def _scale(answer: Answer, level: Level) -> str:
    return f" at scale {level.scale:g}" if len(answer.levels) > 1 or level.scale != 1 else ""


def _geometry(level: Level) -> str:
    if level.cells is None:
        return "one answer"
    rows, columns = level.cells.rows, level.cells.columns
    stride = _pair(rows.stride, columns.stride)
    tiles = f"; in {level.tiles:,} tiles" if level.tiles > 1 else ""
    exact = _EXACT[exactness_of(level.cells.reasons)] + _why(level) if level.cells.reasons else ""
    most = "up to " if any(len(axis.sees.phases) > 1 for axis in (rows, columns)) else ""
    return f"each cell sees {most}{rows.window}×{columns.window} pixels, the next one {stride} further{tiles}{exact}"


def _why(level: Level) -> str:
    reasons = level.cells.reasons if level.cells else ()
    more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"{words(reasons[0])}{more}"


def _pair(high: Fraction, wide: Fraction) -> str:
    return f"{float(high):g}" if high == wide else f"{float(high):g}×{float(wide):g}"


def _shares(counts: Sequence[int], labels: Labels, top: int) -> str:
    """Of how much of the map each class is the top one, the largest shares first."""
    order = sorted((index for index, count in enumerate(counts) if count), key=lambda index: -counts[index])
    told = [f"{labels.title(index)} {_percent(counts[index], sum(counts))}" for index in order[:top]]
    rest = sum(counts[index] for index in order[top:])
    return ", ".join([*told, *([f"{_others(len(order) - top)} {_percent(rest, sum(counts))}"] if rest else [])])


def _others(count: int) -> str:
    return "1 other" if count == 1 else f"{count:,} others"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.1f} %"


def _surest(answer: Answer, found: Summary, labels: Labels, top: int) -> Iterator[str]:
    """Where the first TOP classes score highest."""
    rows = []
    for each in found.best[:top]:
        level = answer.levels[each.level]
        if level.cells is not None:
            box = level.cells.window_of(each.row, each.column)
            where = f"rows {box.top}–{box.bottom - 1}, columns {box.left}–{box.right - 1}{_scale(answer, level)}"
            rows.append((_score(each.score), labels.title(each.label), where))
    wide = max((len(title) for _, title, _ in rows), default=0)
    yield from (f"    {score}  {title:<{wide}}  {where}" for score, title, where in rows)


def _score(value: float) -> str:
    return f"{value:.4f}" if 0 <= value <= 1 else f"{value:.5g}"
