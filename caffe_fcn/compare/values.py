"""Compares the values of two parameter blobs in bounded memory.

Bytes are compared first; numpy is loaded only where they differ. Two values are equal if they are equal numbers, or
have the same bits: 0 equals -0, and NaN equals the same NaN. Values of different types are compared in the smaller one.
"""

from __future__ import annotations

import os
from enum import Enum
from math import inf, isfinite, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.compare.reading import MatrixOrder, Values, count_of, side_by_side
from caffe_fcn.files.blobs import DType
from caffe_fcn.model.tensors import Stored, Tensor

if TYPE_CHECKING:
    from caffe_fcn.files.source import Source, Span

_CHUNK = 1 << 20
"""The bytes of each file that are compared at once."""

_BLOCK = 1 << 16
"""The values of each blob that are compared at once."""

_PANEL = 1 << 20
"""The same for a matrix that is stored column by column: fewer reads."""

_PRECISE = ("float32", "float16")
"""The types that are not compared in double precision, the larger one first."""


_LARGEST = 1.7976931348623157e308
"""The largest finite number; sums and differences that would overflow are shown as this."""


class Sameness(Enum):
    """How the values of a parameter blob belong to those of its counterpart."""

    IDENTICAL = "identical"
    """The same values in the same order."""
    CONVERTED = "other type"
    """The same values in the smaller of two types."""
    TOLERATED = "within tolerance"
    """They differ by no more than the tolerance that the user gave."""
    REORDERED = "reordered"
    """The same values in another order."""
    CHANGED = "changed"
    """Other values."""
    COUNT = "other count"
    """Another number of values."""
    NEW = "new"
    """Only the new layer has the blob."""
    GONE = "gone"
    """Only the old layer has the blob."""


class Tolerance(NamedTuple):
    """Values within ABSOLUTE + RELATIVE · the size of the old value count as equal."""

    relative: float = 0.0
    absolute: float = 0.0

    @property
    def exact(self) -> bool:
        """Whether only equal values are equal."""
        return not (self.relative or self.absolute)


class Deviation(NamedTuple):
    """How much values differ: so many DIFFERING; the LARGEST difference; the root of the mean of the squares over all
    values, RMS; and SCALE, the largest of the old values. NOT_FINITE of the values that differ are NaN or infinite, in
    one of the blobs; LARGEST and RMS are without these."""

    differing: int
    largest: float
    rms: float
    scale: float
    not_finite: int

    @property
    def relative(self) -> float | None:
        """The largest difference relative to the scale; None if all old values are 0."""
        return min(self.largest / self.scale, _LARGEST) if self.scale else None


class ValuesCompared(NamedTuple):
    """The result of a comparison; DEVIATION is None where the values are the same, or their numbers differ."""

    sameness: Sameness
    deviation: Deviation | None = None


def compare_values(old: Tensor, new: Tensor, tolerance: Tolerance) -> ValuesCompared:
    """How the values of OLD and NEW belong together, in the same order. Raises CaffemodelError if they cannot be
    read."""
    if count_of(old) != count_of(new):
        return ValuesCompared(Sameness.COUNT)
    if same_bytes(old, new):
        return ValuesCompared(Sameness.IDENTICAL)
    measured = _Measured(tolerance, _smaller(old.dtype, new.dtype))
    for ours, theirs, _ in side_by_side(old, new, None, None, _BLOCK):
        measured.add(ours, theirs)
    return measured.result(count_of(old), same_type=old.dtype == new.dtype)


def same_in_order(old: Tensor, new: Tensor, order: MatrixOrder) -> bool:
    """Whether NEW has the values of OLD in ORDER. It ends at the first block with another value."""
    measured = _Measured(Tolerance(), _smaller(old.dtype, new.dtype))
    start = next(side_by_side(old, new, None, order, _BLOCK))  # cheap, and enough for almost all orders
    if not measured.same(*start[:2]):
        return False
    block = _PANEL if order.transposed else _BLOCK
    return all(measured.same(ours, theirs) for ours, theirs, _ in side_by_side(old, new, None, order, block))


def same_bytes(old: Tensor, new: Tensor) -> bool:
    """Whether the values of OLD and NEW are stored as the same bytes. False if they are not stored, or not packed."""
    if not (isinstance(old, Stored) and isinstance(new, Stored)) or old.dtype != new.dtype:
        return False
    ours, theirs = old.values.spans, new.values.spans
    if ours is None or theirs is None:
        return False
    if ours == theirs and _same_file(old.source, new.source):
        return True
    if len(ours) != 1 or len(theirs) != 1:
        return not ours and not theirs
    return _equal_spans(old.source, ours[0], new.source, theirs[0])


def _equal_spans(old: Source, ours: Span, new: Source, theirs: Span) -> bool:
    """Whether two ranges of bytes, of the same size, are equal."""
    size = min(_CHUNK, ours.size)
    one, other = bytearray(size), bytearray(size)  # two bytearrays are compared by memcmp, views are not
    for start in range(0, ours.size, _CHUNK):
        left = ours.size - start
        if left < size:
            del one[left:], other[left:]
        old.read_into(memoryview(one), ours.start + start)
        new.read_into(memoryview(other), theirs.start + start)
        if one != other:
            return False
    return True


def _same_file(old: Source, new: Source) -> bool:
    return old is new or os.path.sameopenfile(old.fd, new.fd)


def _smaller(one: DType, other: DType) -> str:
    """The type of numpy in which values of both types are compared."""
    found = next((kind for kind in reversed(_PRECISE) if kind in (one, other)), None)
    return {"float32": "f4", "float16": "f2", None: "f8"}[found]


class _Measured:
    """Adds up the differences between the blocks of two blobs, which are compared in the type KIND."""

    def __init__(self, tolerance: Tolerance, kind: str) -> None:
        self.tolerance, self.kind = tolerance, kind
        self.count = self.beyond = self.not_finite = 0
        self.precise = 0
        """The values that differ without a conversion."""
        self.largest = self.scale = self.squares = 0.0

    def same(self, ours: Values, theirs: Values) -> bool:
        """Whether two blocks have the same values."""
        import numpy as np

        return self._bits_equal(ours, theirs) or not np.any(self._differing(ours, theirs))

    def add(self, ours: Values, theirs: Values) -> None:
        """Add two blocks."""
        import numpy as np

        with np.errstate(all="ignore"):
            self.scale = max(self.scale, _largest(ours))
            if self._bits_equal(ours, theirs):
                return
            if ours.dtype != theirs.dtype:
                self.precise += int(np.count_nonzero(_unequal(ours.astype("f8"), theirs.astype("f8"))))
                places = np.flatnonzero(self._differing(ours, theirs))
                self._measure(ours[places], theirs[places])
                return
            before = self.count
            self._measure(ours, theirs)
            self.precise += self.count - before

    def result(self, of: int, *, same_type: bool) -> ValuesCompared:
        """The result for blobs of OF values."""
        if not self.precise:
            return ValuesCompared(Sameness.IDENTICAL if same_type else Sameness.CONVERTED)
        if not self.count:
            return ValuesCompared(Sameness.CONVERTED)
        found = Deviation(self.count, self.largest, sqrt(self.squares / of), self.scale, self.not_finite)
        tolerated = not (self.tolerance.exact or self.beyond)
        return ValuesCompared(Sameness.TOLERATED if tolerated else Sameness.CHANGED, found)

    def _measure(self, ours: Values, theirs: Values) -> None:
        """Add the differences of two blocks; those of equal values are 0."""
        import numpy as np

        difference = np.subtract(theirs, ours, dtype="f8")
        squares = float(np.square(difference).sum())
        if not isfinite(squares):  # there are NaN, infinite or very large values
            places = np.flatnonzero(_unequal(ours.astype("f8"), theirs.astype("f8")))
            finite = np.isfinite(difference[places])
            self.not_finite += len(places) - int(np.count_nonzero(finite))
            self.count += len(places) - int(np.count_nonzero(finite))
            self.beyond += len(places) - int(np.count_nonzero(finite))
            places = places[finite]
            ours, difference = ours[places], difference[places]
            squares = min(float(np.square(difference).sum()), _LARGEST)
        if not len(difference):
            return
        self.count += int(np.count_nonzero(difference))
        self.largest = max(self.largest, float(difference.max()), -float(difference.min()))
        self.squares = min(self.squares + squares, _LARGEST)
        if not self.tolerance.exact:
            allowed = self.tolerance.absolute + self.tolerance.relative * abs(ours.astype("f8"))
            self.beyond += int(np.count_nonzero(abs(difference) > allowed))

    def _bits_equal(self, ours: Values, theirs: Values) -> bool:
        import numpy as np

        return ours.dtype == theirs.dtype and bool(np.array_equal(_bits(ours), _bits(theirs)))

    def _differing(self, ours: Values, theirs: Values) -> Values:
        """Where the values differ, in the smaller type."""
        return _unequal(ours.astype(self.kind, copy=False), theirs.astype(self.kind, copy=False))


def _unequal(ours: Values, theirs: Values) -> Values:
    """Where values of one type are neither equal numbers nor have the same bits."""
    different: Values = (ours != theirs) & (_bits(ours) != _bits(theirs))
    return different


def _bits(values: Values) -> Any:
    import numpy as np

    return np.ascontiguousarray(values).view(f"i{values.itemsize}")


def _largest(values: Values) -> float:
    """The largest size of the finite values."""
    import numpy as np

    if not values.size:
        return 0.0
    largest = max(float(values.max()), -float(values.min()))
    if largest < inf:  # NaN is not
        return largest
    finite = values[np.isfinite(values)]
    return float(abs(finite).max()) if finite.size else 0.0
