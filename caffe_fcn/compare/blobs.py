"""Compares the parameter blobs of layers, which may be in files of different formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from caffe_fcn.compare.held import STATISTICS, Blobs, HeldBlobs, statistics
from caffe_fcn.compare.orders import found_order
from caffe_fcn.compare.reading import count_of
from caffe_fcn.compare.records import BlobDiff
from caffe_fcn.compare.values import Sameness, Tolerance, ValuesCompared, compare_values
from caffe_fcn.model.tensors import Repeating, Tensor
from caffe_fcn.net.shapes import Shape


class BlobComparison:
    """Compares the blobs of layers in the files OLD and NEW."""

    def __init__(self, old: HeldBlobs, new: HeldBlobs, tolerance: Tolerance) -> None:
        self.old, self.new, self.tolerance = old, new, tolerance
        self.onnx = old.onnx or new.onnx

    def layers(self, name: str | None, twin: str | None) -> Iterator[BlobDiff]:
        """The blobs of the layer NAME in the old file and of TWIN in the new one, in pairs; None where a net does not
        have the layer. Raises CaffemodelError if values cannot be read."""
        if name in self.old.normalized or twin in self.new.normalized:
            ours_by_label, theirs_by_label = _statistics(self.old, name), _statistics(self.new, twin)
            if ours_by_label is not None and theirs_by_label is not None:
                yield from self._by_label(ours_by_label, theirs_by_label)
                return
        ours: Sequence[Blobs] = self.old.layers.get(name, ()) if name is not None else ()
        theirs: Sequence[Blobs] = self.new.layers.get(twin, ()) if twin is not None else ()
        for one, other in zip_longest(ours, theirs, fillvalue=()):
            for position, (blob, counterpart) in enumerate(zip_longest(one, other)):
                if blob is not None or counterpart is not None:
                    yield self._compared(str(position), blob, counterpart)

    def _by_label(self, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> Iterator[BlobDiff]:
        """The statistics of a layer in both files. ONNX has a scale and a bias, of 1 and 0 where Caffe has none."""
        for label in STATISTICS:
            one, other = ours.get(label), theirs.get(label)
            if ours and one is None and other is not None:
                one = _neutral(label, other)
            if theirs and other is None and one is not None:
                other = _neutral(label, one)
            if one is not None or other is not None:
                yield self._compared(label, one, other)

    def _compared(self, label: str, blob: Tensor | None, other: Tensor | None) -> BlobDiff:
        if blob is None or other is None:
            result, order = ValuesCompared(Sameness.NEW if blob is None else Sameness.GONE), None
        else:
            result, order = compare_values(blob, other, self.tolerance), None
            if result.sameness is Sameness.CHANGED:
                order = found_order(blob, other)
        sameness = Sameness.REORDERED if order else result.sameness
        shapes = [None if each is None else each.shape for each in (blob, other)]
        return BlobDiff(
            label=label,
            old_shape=shapes[0],
            new_shape=shapes[1],
            old_type=None if blob is None else blob.dtype,
            new_type=None if other is None else other.dtype,
            values=max(0 if each is None else count_of(each) for each in (blob, other)),
            sameness=sameness,
            reshaped=None not in shapes and self._meant(shapes[0]) != self._meant(shapes[1]),
            order=order,
            deviation=None if order else result.deviation,
        )

    def _meant(self, shape: Shape | None) -> Shape:
        """SHAPE without the axes of 1 that only the format adds: before it in old caffemodels, after it in ONNX."""
        meant = list(shape or ())
        while meant[:1] == [1]:
            del meant[0]
        while self.onnx and meant[-1:] == [1]:
            del meant[-1]
        return tuple(meant)


def _statistics(held: HeldBlobs, name: str | None) -> Mapping[str, Tensor] | None:
    """The statistics of the layer NAME in HELD, by label; none if it is not there, None if its blobs are others."""
    if name is None or name in held.normalized:
        return {} if name is None else held.normalized[name]
    blobs = held.layers.get(name)
    return statistics(blobs[-1]) if blobs else {}


def _neutral(label: str, like: Tensor) -> Tensor:
    return Repeating((count_of(like),), (1.0 if label == "scale" else 0.0,))
