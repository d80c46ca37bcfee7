"""A net loaded for pictures: its input, its outputs, and the sizes that it accepts.

Shape inference computes the effect of the size of a picture, one axis at a time, before anything runs. So the size of
a map is known even for pictures that no engine could process in one piece.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TypeVar

from caffe_fcn.engines.nets import Size
from caffe_fcn.engines.protocol import Array, Session, ShapedNet
from caffe_fcn.errors import EngineError, ShapeError
from caffe_fcn.net.geometry import Cause, infer_geometry
from caffe_fcn.net.graph import Blob
from caffe_fcn.net.shapes import Shape, Shapes, infer_shapes, refuse_empty, show
from caffe_fcn.net.shapes.completion import least
from caffe_fcn.net.sizes import advice, multiple_of, other_parameters
from caffe_fcn.predict.cells import CellAxis, Cells
from caffe_fcn.predict.outputs import NetOutput
from caffe_fcn.predict.tiling import Reach, reach
from caffe_fcn.wording import Option, advise, offered

_FLOAT = 4
_KEPT = 64
"""The number of picture sizes for which the positions of cells are kept."""

_Key = TypeVar("_Key")
_Kept = TypeVar("_Kept")

LARGER = 512
"""The memory of a net is estimated for a picture this many pixels larger than the nominal size."""


@dataclass(frozen=True)
class PictureNet:
    """A net loaded for pictures. FEED is its input blob, FED the shape of it at the nominal size, OUTPUTS the blobs to
    be returned; NOTES are on the net and its weights. If COLUMN_MAJOR, the net takes pictures transposed.

    All sizes and positions are those of pictures, not transposed, and so are maps; FED, and blobs that are not maps,
    are in the order of the net."""

    net: ShapedNet
    session: Session
    feed: str
    fed: Shape
    outputs: tuple[NetOutput, ...]
    notes: tuple[str, ...]
    column_major: bool = False

    @property
    def source(self) -> str:
        """The file of the net, for messages."""
        return self.net.graph.source

    @property
    def channels(self) -> int:
        """The number of channels of a picture."""
        return self.fed[1]

    def fits(self, size: Size) -> bool:
        """Return whether the parameters of the net fit pictures of SIZE, if it was loaded for these."""
        try:
            return other_parameters(self.net.graph, self.net.shapes, self.shapes(size)) is None
        except ShapeError:
            return False

    @property
    def maps(self) -> tuple[NetOutput, ...]:
        """The outputs that are maps."""
        return tuple(output for output in self.outputs if output.is_map)

    @property
    def nominal(self) -> Size:
        """The height and width of pictures that the file defines."""
        return self.turned((self.fed[2], self.fed[3]))

    def turned(self, size: Size) -> Size:
        """Return the SIZE of a picture as that of the input of the net, or the other way round."""
        return (size[1], size[0]) if self.column_major else size

    def _of_net(self, axis: int) -> int:
        """Return the spatial axis of the net that is AXIS of a picture: 0 down, 1 across."""
        return 1 - axis if self.column_major else axis

    @cached_property
    def fixed(self) -> Size | None:
        """The only height and width of pictures that the net accepts; None if it accepts others, along both axes."""
        dims = self.session.inputs[self.feed][2:]
        if any(extent is not None for extent in dims):
            return self.nominal
        try:
            larger = self.shapes((self.nominal[0] + LARGER, self.nominal[1] + LARGER))
        except ShapeError:  # it accepts some sizes, even if not this one
            return None
        return self.nominal if other_parameters(self.net.graph, self.net.shapes, larger) else None

    def shapes(self, size: Size) -> Shapes:
        """Return the shapes of all blobs on one picture of SIZE. Raises ShapeError if the net does not accept it."""
        shapes = infer_shapes(self.net.graph, given={self.feed: (1, self.channels, *self.turned(size))})
        refuse_empty(self.net.graph, shapes)
        return shapes

    def cells(self, output: NetOutput, size: Size) -> Cells:
        """Return the cells of OUTPUT, a map, on a picture of SIZE. Results are kept, because many pictures have the
        same size. Raises ShapeError if the net does not accept the size."""
        return _kept(self._known_cells, (output, size), lambda: self._cells(output, size))

    @cached_property
    def _known_cells(self) -> dict[tuple[NetOutput, Size], Cells]:
        return {}

    def _cells(self, output: NetOutput, size: Size) -> Cells:
        axes = []
        for axis, pixels in enumerate(size):
            try:
                shapes = self._along(axis, pixels)
            except ShapeError as error:
                raise self._misfit(size, error) from error
            geometry = infer_geometry(self.net.graph, shapes).get(output.blob)
            made = shapes.blobs[output.blob]
            if geometry is None or not isinstance(made, tuple):
                raise ShapeError(f"{output.name!r} is not a map for a picture of {show(size)}", source=self.source)
            along = self._of_net(axis)
            axes.append(CellAxis(pixels, made[2 + along], geometry.axes[along]))
        return Cells(axes[0], axes[1])

    def _misfit(self, size: Size, error: ShapeError) -> ShapeError:
        """Return the error for a picture of SIZE; ERROR is the error along one axis."""
        try:
            self.shapes(size)
        except ShapeError as whole:
            error = whole
        asked = self.net.graph, self.net.shapes, {self.feed: self.fed}, self.turned(size)
        near, multiple = advice(*asked), multiple_of(*asked)
        cure = advise("resize the picture with ", Option("resize")) if near else None
        if multiple is not None and self.maps and offered("pad_to"):
            cure = advise("pad the picture with ", Option("pad_to", multiple), ", or resize it with ", Option("resize"))
        told = f"a picture of {show(size)} pixels does not suit the net: {error.within(self.source)}{near}"
        return ShapeError(told, source=self.source, layer=error.layer, index=error.index, hint=cure)

    def _along(self, axis: int, pixels: int) -> Shapes:
        """Return the shapes for a picture of the nominal size, but with PIXELS along AXIS. Raises ShapeError."""
        shapes = self.shapes((pixels, self.nominal[1]) if axis == 0 else (self.nominal[0], pixels))
        for output in self.outputs:
            made = shapes.blobs[output.blob]
            if not isinstance(made, tuple) or 0 in made:
                raise ShapeError(f"{output.name!r} is empty for {pixels} pixels", source=self.source)
        return shapes

    def takes(self, size: Size) -> bool:
        """Return whether pictures of SIZE are large enough."""
        try:
            for axis, pixels in enumerate(size):
                self._along(axis, pixels)
        except ShapeError:
            return False
        return True

    @cached_property
    def smallest(self) -> Size:
        """The minimum height and width of a picture: a whole window, unless borders are padded."""
        if self.fixed is not None:
            return self.fixed
        high, wide = self.least
        for output in self.maps:
            found = output.geometry
            if found is not None and all(reason.cause is Cause.PARTIAL_WINDOW for reason in found.reasons):
                high, wide = max(high, found.window[0] or 0), max(wide, found.window[1] or 0)
        return high, wide

    @cached_property
    def least(self) -> Size:
        """The minimum height and width on which the net can run, even if only with partial windows."""
        high, wide = self.nominal
        return least(high, lambda size: self.takes((size, wide))), least(wide, lambda size: self.takes((high, size)))

    def reach(self, output: NetOutput, size: Size) -> tuple[Reach, Reach] | None:
        """Return what the cells of OUTPUT, a map, need of a picture of SIZE, for tiles; None if their positions depend
        on the size. Results are kept."""
        return _kept(self._known_reach, (output, size), lambda: self._reach(output, size))

    @cached_property
    def _known_reach(self) -> dict[tuple[NetOutput, Size], tuple[Reach, Reach] | None]:
        return {}

    def _reach(self, output: NetOutput, size: Size) -> tuple[Reach, Reach] | None:
        graph, (high, wide) = self.net.graph, self.nominal
        along = [self.shapes(each) for each in ((size[0], wide), (high, size[1]))]
        found = [reach(graph, shapes, output.blob, self._of_net(axis)) for axis, shapes in enumerate(along)]
        nominal = [reach(graph, self.net.shapes, output.blob, self._of_net(axis)) for axis in range(2)]
        if [each.align for each in found] != [each.align for each in nominal]:
            return None
        return found[0], found[1]

    @cached_property
    def bytes_per_pixel(self) -> float:
        """The approximate memory of a run per pixel of the picture, in bytes: bottoms and tops of its largest layer."""
        high, wide = self.nominal
        for size in ((high + LARGER, wide + LARGER), self.nominal):
            try:
                shapes = self.shapes(size)
            except ShapeError:
                continue
            return max(_values(shapes, (*node.bottoms, *node.tops)) for node in self.net.graph.nodes) / prod(size)
        return 0.0

    @property
    def batch(self) -> int | None:
        """The only number of pictures that the net accepts in one run; None if it accepts any."""
        return self.session.inputs[self.feed][0]

    def arranged(self, pictures: Array) -> Array:
        """Return PICTURES, N×C×H×W, in the order of the net: transposed if it takes columns first."""
        import numpy as np

        return np.ascontiguousarray(pictures.swapaxes(2, 3)) if self.column_major else pictures

    def run(self, pictures: Array) -> dict[str, Array]:
        """Return all outputs by name for PICTURES, N×C×H×W, from one run. If the net has a fixed batch, PICTURES, at
        most that many, are repeated to fill it, and only their outputs are returned.

        Raises ShapeError or EngineError if the net does not accept them, or its outputs are not numbers.
        """
        import numpy as np

        held, batch = len(pictures), self.batch or len(pictures)
        fed = pictures if held == batch else np.resize(pictures, (batch, *pictures.shape[1:]))
        made = self.session.run({self.feed: self.arranged(fed)})
        for output in self.outputs:
            array = made[output.name]
            if not np.isfinite(array).all():
                raise EngineError(
                    f"NaN or infinity in {output.name!r}, computed from finite weights and pixels",
                    source=self.source,
                    hint=advise("check that ", Option("mean"), " and ", Option("scale"), " are those of the training"),
                )
            if held < batch and array.ndim and array.shape[0] % batch == 0 and not output.counted:
                made[output.name] = array = array[: array.shape[0] // batch * held]
            if self.column_major and output.is_map:
                made[output.name] = array.swapaxes(2, 3)
        return made


def _kept(known: dict[_Key, _Kept], key: _Key, make: Callable[[], _Kept]) -> _Kept:
    """Return the value of KEY in KNOWN; MAKE makes it. A dictionary, because a cache of a method of the net would refer
    to the net, and so keep its memory until the garbage collection."""
    if key not in known:
        if len(known) >= _KEPT:
            del known[next(iter(known))]
        known[key] = make()
    return known[key]


def _values(shapes: Shapes, blobs: tuple[Blob, ...]) -> int:
    """Return the bytes of BLOBS together."""
    known = (shapes.blobs[blob] for blob in dict.fromkeys(blobs))
    return sum(_FLOAT * prod(shape) for shape in known if isinstance(shape, tuple))
