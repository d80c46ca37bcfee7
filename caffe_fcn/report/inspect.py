"""Shows an inspection to people: a page with the name of the net, a table, and further information below it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from caffe_fcn.display import some
from caffe_fcn.inspection.records import BlobRow, Inspection, Layer, Match
from caffe_fcn.inspection.words import FORMATS, axes, count_of, human, human_bytes, shape_of, windows
from caffe_fcn.net.cost import VALUE_BYTES, Cost, Total
from caffe_fcn.net.geometry import Exactness, Geometry, words
from caffe_fcn.net.geometry.alignment import told
from caffe_fcn.report.tables import Column, Heading, Part, Table, fits, shown
from caffe_fcn.wording import option

_NAME = Column("layer", least=14)
_TYPE = Column("type", least=8)
_SHAPE = Column("output", least=11)
_GEOMETRY = (Column("window", True), Column("stride", True), Column("offset", True), Column("exact", least=6))
_EXACT = {Exactness.EVERYWHERE: "yes", Exactness.AWAY_FROM_BORDERS: "inside", Exactness.NOWHERE: "no"}
_MOST_NAMES = 4
_MOST_BOTTOMS = 32
"""The maximum number of bottoms of a layer that are shown."""


def page(found: Inspection, width: int | None) -> list[Part]:
    """Return FOUND as parts to be rendered for a width of WIDTH cells; None means any width."""
    parts: list[Part] = [*_head(found), ""]
    if found.settings.statistics or found.totals is None:
        return [*parts, *_blob_page(found)]
    return [*parts, *_layer_page(found, width)]


# ---- The head ----


def _head(found: Inspection) -> Iterator[Part]:
    what = [shown(found.file), FORMATS[found.format], *([f"phase {found.phase}"] if found.phase else [])]
    yield Heading("  ".join([*filter(None, [shown(found.name)]), ", ".join(what)]))
    if found.inputs:
        inputs = [f"{shown(name)} {shape_of(shape)}" for name, shape in found.inputs.items()]
        size = found.settings.input_size
        asked = f" ({option('input_size', size)})" if size else ""
        yield f"inputs   {', '.join(inputs)}{asked}"
    if found.weights:
        named = [shown(found.weights.file), FORMATS[found.weights.format]] if found.weights.file != found.file else []
        about = [*named, *found.weights.dtypes, human_bytes(found.weights.size)]
        yield f"weights  {', '.join(about)}: {_suits(found.weights)}"


def _suits(match: Match) -> str:
    """Return for which layers the file has weights."""
    if match.wanted is None:
        return count_of(match.held, "layer") + " with blobs"
    found = match.wanted - len(match.missing)
    text = "for all" if found == match.wanted else f"for {found} of"
    text += f" {count_of(match.wanted, 'layer')} with parameters"
    text += f"; missing: {_some(match.missing)}" if match.missing else ""
    return text + (f"; not in the net: {_some(match.foreign)}" if match.foreign else "")


def _some(names: Sequence[str], most: int = _MOST_NAMES) -> str:
    return some([*map(shown, names)], most)


# ---- Layers ----


def _layer_page(found: Inspection, width: int | None) -> Iterator[Part]:
    notes = _Footnotes()
    costs = _costs(found)
    geometry = [_geometry_cells(layer.geometry, notes) for layer in found.layers] if found.settings.geometry else []
    together = costs._replace(
        columns=(*costs.columns, *_GEOMETRY),
        rows=[row + cells for row, cells in zip(costs.rows, geometry, strict=False)],
        foot=[*(costs.foot or []), *[""] * len(_GEOMETRY)],
    )
    apart = bool(geometry) and not fits(together, width)
    yield together if geometry and not apart else costs
    yield ""
    yield from _below(found)
    if apart:
        yield from ("", _geometry_table(found, geometry))
    if periods := _periods(found):
        yield from ("", f"windows depend on the phase of a cell, which is its index modulo {periods}")
    if found.misaligned:
        yield from ("", "joined from maps whose cells do not coincide")
        yield from (f"     {shown(each.name)}: {shown(told(each))}" for each in found.misaligned)
    if notes.reasons:
        yield from ("", "not exactly a sliding window, because")
        yield from (f"{number:>3}  {shown(reason)}" for reason, number in notes.reasons.items())
    if found.groups:
        yield from ("", _group_table(found))


def _costs(found: Inspection) -> Table:
    """Return the layers and their costs. Statistics have a column only if a layer has some."""
    selected = found.selected or found.totals
    measured = bool(selected and selected.statistics)
    columns = [
        *(_NAME, _TYPE, Column("bottoms", least=16, soft=16, spare=1, style="dim"), _SHAPE),
        Column("parameters", True),
        *([Column("statistics", True, spare=2)] if measured else []),
        *(Column("MACs", True, spare=4), Column("memory", True, spare=3)),
    ]
    rows = []
    for layer in found.layers:
        bottoms, cost = _some(layer.bottoms, _MOST_BOTTOMS), layer.cost
        row = [shown(layer.name), shown(layer.type), bottoms, _tops(layer), _parameters(cost)]
        row += [_number(cost.statistics)] if measured else []
        rows.append([*row, _amount(cost.macs, human), _memory(layer)])
    return Table(tuple(columns), rows, _sums(found, selected, measured) if selected else None)


def _tops(layer: Layer) -> str:
    """Return the shapes of the tops of LAYER: a line for each, or one line if all are equal."""
    made = [shape_of(top.shape) for top in layer.tops]
    if len(made) > 1 and len(set(made)) == 1:
        return f"{made[0]}, {len(made)} tops"
    return "\n".join(made) or "-"


def _parameters(cost: Cost) -> str:
    return ("* " if cost.repeats else "") + _number(cost.parameters)


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}" if value else "-"


def _amount(value: int | None, spell: Callable[[int], str]) -> str:
    return "?" if value is None else spell(value) if value else "-"


def _memory(layer: Layer) -> str:
    if layer.tops and all(top.in_place for top in layer.tops):
        return "in place"
    return "shared" if layer.shares and layer.tops else _amount(layer.cost.activation_bytes, human_bytes)


def _sums(found: Inspection, selected: Total, measured: bool) -> list[str]:
    whole = found.totals.layers if found.totals else 0
    label = "total" if selected.layers == whole else "listed"
    layers = count_of(whole, "layer") if selected.layers == whole else f"{selected.layers:,} of {whole:,} layers"
    return [label, layers, "", "", *_amounts(selected, measured)]


def _amounts(total: Total, measured: bool) -> list[str]:
    """Return parameters, statistics if there are any, multiply-accumulates and memory: sums, or their lower bounds."""
    parameters = _sum(total.parameters, total.without_parameters, _number)
    statistics = [_sum(total.statistics, total.without_parameters, _number)] if measured else []
    macs = _sum(total.macs, total.without_macs, lambda value: _amount(value, human))
    memory = _sum(total.activation_bytes, total.without_activation, lambda value: _amount(value, human_bytes))
    return [parameters, *statistics, macs, memory]


def _sum(value: int, missing: int, spell: Callable[[int], str]) -> str:
    """Return a sum that does not include MISSING values."""
    if missing:
        return f"≥ {spell(value)}" if value else "?"
    return spell(value)


def _below(found: Inspection) -> Iterator[str]:
    """Return the exact sums in words, and what they do not include."""
    totals = found.totals
    if totals is None:
        return
    size = human_bytes(VALUE_BYTES * (totals.parameters + totals.statistics))
    statistics = f" and {totals.statistics:,} statistics" if totals.statistics else ""
    batch = f"for a batch of {found.batch}" if found.batch else "for the inputs above"
    sums = (
        (totals.parameters, totals.without_parameters, f"parameters{statistics} ({size} in single precision)"),
        (totals.macs, totals.without_macs, f"multiply-accumulates {batch}"),
    )
    told = [f"{'at least ' * bool(lack)}{value:,} {what}" for value, lack, what in sums if value or not lack]
    if told:
        yield ("in all: " if found.selected != totals else "") + ", ".join(told)
    missing = [
        f"the {what} of {count_of(count, 'layer')}"
        for what, count in zip(("parameters", "multiply-accumulates", "memory"), totals[-3:], strict=True)
        if count
    ]
    if missing:
        yield f"unknown and not in the sums: {', '.join(missing)}"
    repeats = [
        f"{shown(layer.name)} with {_some(layer.cost.shared_with)}" for layer in found.layers if layer.cost.repeats
    ]
    if repeats:
        yield f"* shared parameters, counted once in the sums: {'; '.join(repeats)}"


def _group_table(found: Inspection) -> Table:
    measured = bool(found.selected and found.selected.statistics)
    columns = [Column("group", least=14), Column("layers", True), Column("parameters", True)]
    columns += [Column("statistics", True, spare=1)] if measured else []
    rows = []
    for prefix, total in found.groups:
        name = f"{shown(prefix)}/" if prefix is not None else "(others)"
        rows.append([name, f"{total.layers:,}", *_amounts(total, measured)])
    return Table((*columns, Column("MACs", True), Column("memory", True)), rows)


# ---- Geometry ----


class _Footnotes:
    """Numbers reasons in the order of their first use."""

    def __init__(self) -> None:
        self.reasons: dict[str, int] = {}

    def number(self, reason: str) -> int:
        return self.reasons.setdefault(reason, len(self.reasons) + 1)


def _geometry_table(found: Inspection, geometry: list[list[str]]) -> Table:
    """Return a table of the geometry, if it does not fit beside the costs."""
    rows = [[shown(layer.name), _tops(layer), *cells] for layer, cells in zip(found.layers, geometry, strict=True)]
    return Table((_NAME, _SHAPE, *_GEOMETRY), rows)


def _geometry_cells(geometry: Geometry | None, notes: _Footnotes) -> list[str]:
    if geometry is None:
        return ["-"] * len(_GEOMETRY)
    numbers = _ranges(sorted(notes.number(words(reason)) for reason in geometry.reasons))
    exact = f"{_EXACT[geometry.exactness]} {numbers}".rstrip()
    return [axes(windows(geometry)), axes(geometry.stride), axes(geometry.offset), exact]


def _periods(found: Inspection) -> str:
    """Return the layers whose cells have several phases, with the number of phases, in words."""
    layers: dict[str, list[str]] = {}
    for layer in found.layers:
        if layer.geometry is not None and layer.geometry.phases:
            layers.setdefault(axes([len(phases) for phases in layer.geometry.phases]), []).append(layer.name)
    return "; ".join(f"{many} in {_some(names)}" for many, names in layers.items())


def _ranges(numbers: Iterable[int]) -> str:
    """Return 1,2,3,5 as 1-3,5."""
    spans = []
    for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        found = [number for _, number in run]
        spans.append(str(found[0]) if len(found) == 1 else f"{found[0]}-{found[-1]}")
    return ",".join(spans)


# ---- Blobs ----


def _blob_page(found: Inspection) -> Iterator[Part]:
    several = len({row.dtype for row in found.blobs}) > 1  # the first line names one type, not which blob has it
    columns = [_NAME, Column("blob", True), Column("shape", least=8), Column("type", spare=0 if several else 1)]
    columns += [Column("values", True)]
    if found.settings.statistics:
        spare = {"deviation": 5, "mean": 4, "zeros": 3}
        titles = ("min", "max", "mean", "deviation", "zeros", "NaN")
        columns += [Column(title, True, spare=spare.get(title, 0)) for title in titles]
        infinite = any(row.statistics and row.statistics.inf for row in found.blobs)
        columns += [Column("Inf", True, spare=0 if infinite else 2)]
    else:
        columns += [Column("size", True)]
    rows = [_blob_cells(row) for row in found.blobs]
    values, size = sum(row.values for row in found.blobs), sum(row.size for row in found.blobs)
    foot = ["total", "", count_of(len(rows), "blob"), "", f"{values:,}"]
    foot += [""] * (len(columns) - len(foot) - 1) + ["" if found.settings.statistics else human_bytes(size)]
    yield Table(tuple(columns), rows, foot)


def _blob_cells(row: BlobRow) -> list[str]:
    cells = [shown(row.layer), str(row.position), shape_of(row.shape), row.dtype, f"{row.values:,}"]
    found = row.statistics
    if found is None:
        return [*cells, human_bytes(row.size)]
    known = (found.minimum, found.maximum, found.mean, found.deviation)
    values = ("-" if value is None else f"{value:.4g}" for value in known)
    return [*cells, *values, *(f"{count:,}" if count else "-" for count in (found.zeros, found.nan, found.inf))]
