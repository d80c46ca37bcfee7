"""The report of `run` for people: the top classes, or the map with its highest and its most frequent classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from caffe_fcn.display import visible
from caffe_fcn.engines.protocol import Array
from caffe_fcn.net.geometry import Exactness, exactness_of, words
from caffe_fcn.net.shapes import show
from caffe_fcn.predict.areas import Area, areas
from caffe_fcn.predict.labels import Labels
from caffe_fcn.predict.output_picture import Restored
from caffe_fcn.predict.outputs import Holds
from caffe_fcn.predict.peaks import Peaks
from caffe_fcn.predict.run import Answer, BlobResult, Level, RunSettings
from caffe_fcn.predict.searching import Searched
from caffe_fcn.predict.summaries import NumberSummary, best_classes, highest, of_channels, statistics, summarize
from caffe_fcn.report.run_places import best_places, peak_lines, shown_scale, shown_score, standing_line

_EXACT = {
    Exactness.AWAY_FROM_BORDERS: "; near borders not a function of the window alone: ",
    Exactness.NOWHERE: "; nowhere a function of the window alone: ",
}


_FEW = 12
"""The maximum number of values for which all are printed, unless they have lines."""

_LISTED = 256
"""The maximum number of values, or of channels, that have lines."""


def lines(answer: Answer, settings: RunSettings, top: int, searched: Searched) -> Iterator[str]:
    """Return the report on one picture, with the TOP classes and what was SEARCHED, safe to print with any names."""
    yield from map(visible, _lines(answer, settings, top, searched))


def _lines(answer: Answer, settings: RunSettings, top: int, searched: Searched) -> Iterator[str]:
    yield f"{answer.path}: {show(answer.plan.resized)} pixels"
    for result in answer.results:
        labels = settings.labels(result.output)
        if result.levels:
            yield from _maps(answer, result, settings, top, searched.peaks)
        elif result.values is not None and result.output.of_classes:
            alone = len(answer.results) == 1 and result.output.holds is Holds.CLASSES
            if not alone:
                unsure = f": {_together(statistics(result))}" if result.output.holds is Holds.SCORES else ""
                yield f"  {result.output.name} {show(result.values.shape)}{unsure}"
            yield from _scores(result.values, labels, top, "  " if alone else "    ")
        elif result.values is not None and settings.no_scores and result.values.size in (1, labels.count):
            yield from _values(result, result.values, labels)
        elif result.values is not None:
            yield f"  {result.output.name} {show(result.values.shape)}: {_numbers(result, result.values)}"
        if (found := searched.standings.get(result.output.name)) is not None:
            yield standing_line(found, result, labels)


def picture_lines(made: Restored | None) -> Iterator[str]:
    """Return a line on the picture MADE of an output, if there is one."""
    if made is not None:
        sides = [f"{count:,} {side}" for count, side in ((made.below, "below 0"), (made.above, "above 255")) if count]
        clipped = f"clipped {' and '.join(sides)} of" if sides else "clipped none of"
        size = show(made.pixels.shape[:2])
        yield visible(
            f"  picture of {made.blob}, {size} pixels, {made.channels}: {clipped} {made.pixels.size:,} values"
        )


def _scores(values: Array, labels: Labels, top: int, indent: str) -> Iterator[str]:
    """Return lines with the TOP classes of VALUES."""
    rows = [(shown_score(each.score), str(each.label)) for each in best_classes(values, top)]
    wide = max((len(index) for _, index in rows), default=0)
    for score, index in rows:
        yield f"{indent}{score}  {index:>{wide}}  {labels.name(int(index)) or ''}".rstrip()


def _values(result: BlobResult, values: Array, labels: Labels) -> Iterator[str]:
    """Return lines with VALUES in their order, if they are not too many, and their names."""
    title = f"  {result.output.name} {show(values.shape)}"
    if values.size > _LISTED:
        yield f"{title}: {_numbers(result, values)}"
        return
    yield title
    yield from _listed(labels, [f"{value: .6g}" for value in values.reshape(-1).tolist()])


def _listed(labels: Labels, told: Sequence[str]) -> Iterator[str]:
    """Return a line for each number and name in LABELS, with what is TOLD about it."""
    names = [labels.name(index) or "" for index in range(len(told))]
    wide, high = max(map(len, names)), len(str(len(told) - 1))
    for index, (name, each) in enumerate(zip(names, told, strict=True)):
        yield f"    {index:>{high}}  {f'{name:<{wide}}  ' if wide else ''}{each}"


def _numbers(result: BlobResult, values: Array) -> str:
    """Return lines on VALUES: all of them if they are few."""
    if values.size <= _FEW:
        return ", ".join(f"{value:.6g}" for value in values.reshape(-1).tolist()) or "no numbers"
    return _together(statistics(result))


def _together(found: NumberSummary) -> str:
    return f"from {found.least:.5g} to {found.most:.5g}, mean {found.mean:.5g}, L2 norm {found.norm:.5g}"


def _maps(answer: Answer, result: BlobResult, settings: RunSettings, top: int, peaks: Peaks | None) -> Iterator[str]:
    """Return lines on the maps of RESULT, at each scale; with PEAKS, if these are of its blob."""
    output, levels = result.output, result.levels
    labels, upsample = settings.labels(output), settings.drawing.upsample
    found = summarize(levels, labels.background) if output.of_classes else None
    told = areas(answer, result, found.counts, upsample=upsample) if found is not None else ()
    for number, level in enumerate(levels):
        yield f"  {output.name} {show(level.scores.shape)}{shown_scale(levels, level)}: {_geometry(level)}"
        if found is not None and not (told and level.cells.are_pixels):
            yield f"    of the cells {_shares(found.counts[number], labels, top)}"
        elif settings.no_scores and 1 < output.channels <= _LISTED:
            yield from _listed(labels, [_range(each) for each in of_channels(level.scores)])
        elif found is None:
            yield f"    {_together(statistics(result, level))}"
    if told:
        yield f"    of the pixels {_areas(told, labels, top)}"
    many = 0
    if peaks is not None and peaks.blob == output.name:
        many = len(peaks)
        yield from peak_lines(peaks, levels, labels)
    if found is not None and not many:
        yield from best_places(levels, found.best[:top], labels)
    elif found is None and output.channels == 1 and not settings.no_scores:
        yield from best_places(levels, [highest(levels)], None)


def _range(found: NumberSummary) -> str:
    return f"from {found.least:.5g} to {found.most:.5g}, mean {found.mean:.5g}"


def _geometry(level: Level) -> str:
    rows, columns = level.cells.rows, level.cells.columns
    stride = _pair(rows.stride, columns.stride)
    shifts = f"; put together from {level.shifts:,} shifts of the picture" if level.shifts > 1 else ""
    tiles = shifts + (f"; in {level.tiles:,} tiles" if level.tiles > level.shifts else "")
    exact = _EXACT[exactness_of(level.cells.reasons)] + _why(level) if level.cells.reasons else ""
    if rows.window is columns.window is None:
        return f"each cell sees all pixels and is {stride} from the next{tiles}{exact}"
    high, wide = ("all" if axis.window is None else axis.window for axis in (rows, columns))
    most = "up to " if any(axis.window is not None and len(axis.sees.phases) > 1 for axis in (rows, columns)) else ""
    return f"each cell sees {most}{high}×{wide} pixels, the next one {stride} further{tiles}{exact}"


def _why(level: Level) -> str:
    reasons = level.cells.reasons
    more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"{words(reasons[0])}{more}"


def _pair(high: Fraction, wide: Fraction) -> str:
    return f"{float(high):g}" if high == wide else f"{float(high):g}×{float(wide):g}"


def _shares(counts: Sequence[int], labels: Labels, top: int) -> str:
    """Return the share of the map in which each class is the top class, the largest first."""
    order = sorted((index for index, count in enumerate(counts) if count), key=lambda index: -counts[index])
    told = [f"{labels.title(index)} {_percent(counts[index], sum(counts))}" for index in order[:top]]
    rest = sum(counts[index] for index in order[top:])
    return ", ".join([*told, *([f"{_others(len(order) - top)} {_percent(rest, sum(counts))}"] if rest else [])])


def _areas(found: Sequence[Area], labels: Labels, top: int) -> str:
    """Return the number of pixels of each class, the largest areas first."""
    order = sorted((each for each in found if each.label is not None), key=lambda each: -each.pixels)
    told = [f"{labels.title(each.label)} {_area(each)}" for each in order[:top] if each.label is not None]
    if rest := order[top:]:
        told.append(f"{_others(len(rest))} {_area(_sum(rest))}")
    told += [f"no answer {_area(each)}" for each in found if each.label is None]
    return ", ".join(told)


def _sum(areas: Sequence[Area]) -> Area:
    return Area(None, sum(each.pixels for each in areas), sum(each.share for each in areas))


def _area(area: Area) -> str:
    return f"{100 * area.share:.1f} % ({area.pixels:,})"


def _others(count: int) -> str:
    return "1 other" if count == 1 else f"{count:,} others"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.1f} %"
