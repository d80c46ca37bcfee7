"""Describes which part of the input the cells of a map see along one axis, by their phase.

After a convolution or a pooling all cells are alike: the next cell sees the same window, shifted by the stride. After a
deconvolution they are not: with a stride of 2, even cells gather other inputs than odd ones. So there is a phase for
each cell of a period; cell i has phase i modulo the number of phases. Windows of one phase are STEP pixels apart.

Windows never move back from one cell to the next. So the region that several cells see begins where the window of the
first begins, and ends where that of the last ends. Windows are given as if maps had no borders; they may extend over
the border of the input. If a cell sees a whole axis of the input, a reason records it (`Reason.whole`); reasons stay
with the cells through all layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import ceil, floor, gcd, lcm
from typing import NamedTuple

from caffe_fcn.net.exactness import Exactness, Reason, exactness_of
from caffe_fcn.net.layers.moves import KEEP, Slide, Spread

MOST_PHASES = 1024
"""The maximum number of phases of a map; a map with more phases is not treated as a map."""


class CellPhase(NamedTuple):
    """The cells of one phase: the FIRST and the LAST pixel that the first of them sees, with LAST before FIRST if it
    sees none, and the REASONS why such cells are not the same function of their windows everywhere. If a reason makes
    them see the whole axis, FIRST and LAST only give their place."""

    first: int
    last: int
    reasons: tuple[Reason, ...] = ()

    @property
    def exactness(self) -> Exactness:
        """Where cells of this phase are the same function of their windows."""
        return exactness_of(self.reasons)

    @property
    def whole(self) -> bool:
        """Whether all cells of this phase see the whole axis of the input."""
        return any(reason.whole for reason in self.reasons)

    @property
    def window(self) -> int | None:
        """The number of pixels that a cell sees; None for all."""
        return None if self.whole else max(0, self.last - self.first + 1)

    @property
    def offset(self) -> Fraction:
        """The place of the first of them in pixels; 0 is the middle of the first pixel. It is the middle of what the
        cell sees, unless that is the whole axis."""
        return Fraction(self.first + self.last, 2)


class AxisGeometry(NamedTuple):
    """The cells of a map along one axis of an input of SIZE pixels."""

    phases: tuple[CellPhase, ...]
    step: int
    size: int

    @property
    def stride(self) -> Fraction:
        """The distance from cell to cell, in pixels."""
        return Fraction(self.step, len(self.phases))

    @property
    def offset(self) -> Fraction:
        """The place of the first cell, chosen so that the cells of a period, one stride apart, lie in the middle of
        what they see, on average."""
        many = len(self.phases)
        return sum((phase.offset for phase in self.phases), Fraction(0)) / many - self.stride * (many - 1) / 2

    @property
    def window(self) -> int | None:
        """The most pixels that a cell sees; None for the whole axis."""
        extents = [phase.window for phase in self.phases]
        known = [extent for extent in extents if extent is not None]
        return max(known) if len(known) == len(extents) else None

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why cells of any phase are not exact."""
        return _together(phase.reasons for phase in self.phases)

    def seen(self, cell: int) -> tuple[int, int]:
        """The first and the last pixel that CELL sees, whether or not the input has them."""
        whole = self.phases[cell % len(self.phases)].whole
        return (0, self.size - 1) if whole else (self.first(cell), self.last(cell))

    def first(self, cell: int) -> int:
        """The first pixel in the window of CELL, if it has one."""
        return self.phases[cell % len(self.phases)].first + self.step * (cell // len(self.phases))

    def last(self, cell: int) -> int:
        """The last pixel in the window of CELL, if it has one."""
        return self.phases[cell % len(self.phases)].last + self.step * (cell // len(self.phases))

    def with_reasons(self, reasons: tuple[Reason, ...]) -> AxisGeometry:
        """The same cells with further REASONS in all phases."""
        if not reasons:
            return self
        phases = tuple(phase._replace(reasons=_together((phase.reasons, reasons))) for phase in self.phases)
        return self._replace(phases=phases)


def pixels(size: int) -> AxisGeometry:
    """The SIZE pixels of an input as cells."""
    return AxisGeometry((CellPhase(0, 0),), 1, size)


def slide(axis: AxisGeometry, move: Slide) -> AxisGeometry:
    """The cells after MOVE over those of AXIS."""
    if move == KEEP:
        return axis
    many = len(axis.phases)
    alike = gcd(many, move.stride)
    phases = []
    for index in range(many // alike):
        start = move.stride * index - move.before
        taps = range(start, start + move.dilation * min(move.kernel, many), move.dilation)
        reasons = _together(axis.phases[cell % many].reasons for cell in taps)
        phases.append(CellPhase(axis.first(start), axis.last(start + move.extent - 1), reasons))
    return _reduced(axis._replace(phases=tuple(phases), step=axis.step * (move.stride // alike)))


def spread(axis: AxisGeometry, move: Spread, border: tuple[Reason, ...]) -> AxisGeometry | None:
    """The cells after MOVE over those of AXIS; None if there are too many phases. BORDER: the reasons for phases in
    which a cell has fewer inputs than others."""
    many = len(axis.phases)
    period = many * move.stride
    if period > MOST_PHASES:
        return None
    phases = []
    for index in range(period):
        low, high = _gathered(move, index)
        reasons = _together(axis.phases[cell % many].reasons for cell in range(low, min(high, low + many - 1) + 1))
        final = index + (move.made - 1 - index) // period * period
        if index < move.made and low <= high and (low < 0 or _gathered(move, final)[1] >= move.cells):
            reasons = _together((reasons, border))
        phases.append(CellPhase(axis.first(low), axis.last(high), reasons))
    return _reduced(axis._replace(phases=tuple(phases)))


def _gathered(move: Spread, cell: int) -> tuple[int, int]:
    """The first and the last cell whose windows reach CELL of the finer map. With dilation, not all in between do."""
    return -((move.extent - 1 - cell - move.before) // move.stride), (cell + move.before) // move.stride


def join(axes: Sequence[AxisGeometry]) -> AxisGeometry | None:
    """The cells of several joined maps; each cell sees what the joined ones see. None if the strides differ, or there
    are too many phases together."""
    first = axes[0]
    period = lcm(*(len(axis.phases) for axis in axes))
    if any(axis.stride != first.stride for axis in axes) or period > MOST_PHASES:
        return None
    if all(axis == first for axis in axes):
        return first
    phases = tuple(
        CellPhase(
            min(axis.first(cell) for axis in axes),
            max(axis.last(cell) for axis in axes),
            _together(axis.phases[cell % len(axis.phases)].reasons for axis in axes),
        )
        for cell in range(period)
    )
    return _reduced(AxisGeometry(phases, int(first.stride * period), max(axis.size for axis in axes)))


def resample(axis: AxisGeometry, factor: Fraction) -> AxisGeometry | None:
    """FACTOR times as many cells; each has the value of the cell at its place, rounded down."""
    made, held = factor.numerator, factor.denominator
    many = len(axis.phases)
    if many * made > MOST_PHASES:
        return None
    cells = [index * held // made for index in range(many * made)]
    phases = tuple(CellPhase(axis.first(cell), axis.last(cell), axis.phases[cell % many].reasons) for cell in cells)
    return _reduced(axis._replace(phases=phases, step=axis.step * held))


def stitch(axes: Sequence[AxisGeometry], every: int) -> AxisGeometry:
    """Put the cells of the maps of one input together: first the first cell of each, then the second, and so on. Each
    map begins EVERY pixels later than the one before. AXES are their cells on the rest of the input; they differ only
    in their reasons, and all cells get all reasons."""
    first = axes[0]
    reasons = _together(axis.reasons for axis in axes)
    phases = (
        CellPhase(phase.first + shift * every, phase.last + shift * every, reasons)
        for phase in first.phases
        for shift in range(len(axes))
    )
    return _reduced(first._replace(phases=tuple(phases)))


def widen(axis: AxisGeometry, cells: int) -> AxisGeometry:
    """AXIS, of CELLS, with windows that hold also the place of the cell itself, counted from the first and from the
    last pixel of the input."""
    stride = axis.stride
    behind = axis.size - 1 - (cells - 1) * stride
    before, after = min(Fraction(0), behind), max(Fraction(0), behind)
    phases = tuple(
        phase._replace(
            first=min(phase.first, floor(index * stride + before)),
            last=max(phase.last, ceil(index * stride + after)),
        )
        for index, phase in enumerate(axis.phases)
    )
    return axis._replace(phases=phases)


def _together(reasons: Iterable[tuple[Reason, ...]]) -> tuple[Reason, ...]:
    """All REASONS, each only once."""
    found: tuple[Reason, ...] = ()
    for more in reasons:
        if more and more is not found and more != found:
            found = tuple(dict.fromkeys((*found, *more))) if found else more
    return found


def _reduced(axis: AxisGeometry) -> AxisGeometry:
    """AXIS with as few phases as possible."""
    many = len(axis.phases)
    for fewer in range(1, many):
        moved, rest = divmod(axis.step * fewer, many)
        if many % fewer or rest:
            continue
        if all(
            (later.first, later.last, later.reasons) == (each.first + moved, each.last + moved, each.reasons)
            for each, later in zip(axis.phases, axis.phases[fewer:], strict=False)
        ):
            return axis._replace(phases=axis.phases[:fewer], step=moved)
    return axis
