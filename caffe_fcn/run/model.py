"""A net that is loaded to look at pictures: what it is fed, what comes out, and at which sizes.

The one idea: what a picture's size does to a net is asked of shape inference, one axis at a time, before
anything runs. So the size of a map is known for pictures that no engine could take in one piece.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod

from caffe_fcn.errors import EngineError, LoweringError, ShapeError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.geometry import Cause, Exactness, Geometry, infer_geometry
from caffe_fcn.net.graph import Blob, Graph
from caffe_fcn.net.selection import ANY_NET, Selection
from caffe_fcn.net.shapes import Shape, Shapes, infer_shapes, refuse_empty, show
from caffe_fcn.net.sizes import advice, other_parameters
from caffe_fcn.net.source import SourceNet
from caffe_fcn.run.cells import Axis, Cells
from caffe_fcn.run.engine import Array, Engine, Net, Session
from caffe_fcn.run.finite import check_finite
from caffe_fcn.run.nets import one_net
from caffe_fcn.run.onnx.scope import choose_scope
from caffe_fcn.run.tiling import Reach, reach

_FLOAT = 4
_LARGER = 512
"""So many pixels larger than its nominal size a net is, when its need of memory is estimated."""

Size = tuple[int, int]


@dataclass(frozen=True)
class Model:
    """A net that takes pictures. FEED is the blob that they go into, BLOB the one that is looked at, both with the
    shapes they have at the nominal size; NOTES are on the net and its weights."""

    net: Net
    session: Session
    feed: str
    fed: Shape
    blob: Blob
    made: Shape
    notes: tuple[str, ...]

    @property
    def source(self) -> str:
        """The file of the net, for messages."""
        return self.net.graph.source

    @property
    def channels(self) -> int:
        """How many channels pictures have."""
        return self.fed[1]

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self.made[1] if len(self.made) > 1 else self.made[0]

    @property
    def nominal(self) -> Size:
        """The height and width that the file says."""
        return self.fed[2], self.fed[3]

    @cached_property
    def fixed(self) -> Size | None:
        """The only height and width of pictures that the net takes; None where it takes others, along both axes."""
        dims = self.session.inputs[self.feed][2:]
        if any(extent is not None for extent in dims):
            return self.nominal
        try:
            larger = self.shapes((self.nominal[0] + _LARGER, self.nominal[1] + _LARGER))
        except ShapeError:  # it takes some sizes, if not this
            return None
        return self.nominal if other_parameters(self.net.graph, self.net.shapes, larger) else None

    @cached_property
    def geometry(self) -> Geometry | None:
        """Where the cells of the map lie; None if what comes out is none, but one vector for the whole picture."""
        found = infer_geometry(self.net.graph, self.net.shapes).get(self.blob)
        if found is None or len(self.made) != len(self.fed):
            return None
        return None if found.exactness is Exactness.NOWHERE and self._one_answer else found

    @property
    def _one_answer(self) -> bool:
        """Whether a map has one cell, also of larger pictures."""
        if prod(self.made[2:]) != 1:
            return False
        try:
            made = self.shapes((self.nominal[0] + _LARGER, self.nominal[1] + _LARGER)).blobs[self.blob]
        except ShapeError:
            return True
        return not isinstance(made, tuple) or prod(made[2:]) == 1

    def shapes(self, size: Size) -> Shapes:
        """The shapes of all blobs on one picture of SIZE. Raises ShapeError where the net does not take it."""
        shapes = infer_shapes(self.net.graph, given={self.feed: (1, self.channels, *size)})
        refuse_empty(self.net.graph, shapes)
        return shapes

    def cells(self, size: Size) -> Cells:
        """The cells of the map on a picture of SIZE. Raises ShapeError where the net does not take it."""
        axes = []
        for axis, pixels in enumerate(size):
            try:
                shapes = self._along(axis, pixels)
            except ShapeError as error:
                raise self._misfit(size, error) from error
            geometry = infer_geometry(self.net.graph, shapes).get(self.blob)
            made = shapes.blobs[self.blob]
            if geometry is None or not isinstance(made, tuple):
                raise ShapeError(f"{self.source}: {self.blob.name!r} is no map of a picture of {show(size)}")
            axes.append(Axis(pixels, made[2 + axis], geometry.axes[axis]))
        return Cells(axes[0], axes[1])

    def _misfit(self, size: Size, error: ShapeError) -> ShapeError:
        """What to raise for a picture of SIZE, of which ERROR says what the net has against it along one axis."""
        try:
            self.shapes(size)
        except ShapeError as whole:
            error = whole
        near = advice(self.net.graph, self.net.shapes, {self.feed: self.fed}, size)
        cure = f"{near}; bring the picture there with --resize" if near else ""
        told = str(error).removeprefix(f"{self.source}: ")
        return ShapeError(f"{self.source}: a picture of {show(size)} pixels does not suit the net: {told}{cure}")

    def _along(self, axis: int, pixels: int) -> Shapes:
        """The shapes on a picture of the nominal size, but for so many PIXELS along AXIS. Raises ShapeError."""
        shapes = self.shapes((pixels, self.nominal[1]) if axis == 0 else (self.nominal[0], pixels))
        made = shapes.blobs[self.blob]
        if not isinstance(made, tuple) or 0 in made:
            raise ShapeError(f"{self.source}: {self.blob.name!r} is nothing for {pixels} pixels")
        return shapes

    def takes(self, size: Size) -> bool:
        """Whether pictures of SIZE are large enough."""
        try:
            for axis, pixels in enumerate(size):
                self._along(axis, pixels)
        except ShapeError:
            return False
        return True

    @cached_property
    def smallest(self) -> Size:
        """The least height and width of a picture: a whole window, unless borders are padded."""
        if self.fixed is not None:
            return self.fixed
        found = self.geometry
        padded = found is None or any(reason.cause is not Cause.PARTIAL_WINDOW for reason in found.reasons)
        high, wide = (1, 1) if found is None or padded else found.window
        return max(high, self.least[0]), max(wide, self.least[1])

    @cached_property
    def least(self) -> Size:
        """The least height and width that the net can be run on, if only with partial windows."""
        high, wide = self.nominal
        return _least(high, lambda size: self.takes((size, wide))), _least(wide, lambda size: self.takes((high, size)))

    def reach(self, size: Size) -> tuple[Reach, Reach] | None:
        """What cells need of a picture of SIZE, for tiles; None where their places move with it."""
        graph, (high, wide) = self.net.graph, self.nominal
        along = [self.shapes(each) for each in ((size[0], wide), (high, size[1]))]
        found = [reach(graph, shapes, self.blob, axis) for axis, shapes in enumerate(along)]
        nominal = [reach(graph, self.net.shapes, self.blob, axis) for axis in range(2)]
        if [each.align for each in found] != [each.align for each in nominal]:
            return None
        return found[0], found[1]

    @cached_property
    def bytes_per_pixel(self) -> float:
        """The memory that a run takes, about, for each pixel of the picture: what its largest layer reads and makes."""
        high, wide = self.nominal
        for size in ((high + _LARGER, wide + _LARGER), self.nominal):
            try:
                shapes = self.shapes(size)
            except ShapeError:
                continue
            return max(_values(shapes, (*node.bottoms, *node.tops)) for node in self.net.graph.nodes) / prod(size)
        return 0.0

    def run(self, pictures: Array) -> Array:
        """What comes out for one picture, 1×C×H×W; a net with a fixed batch is fed it as often as it takes.

        Raises ShapeError or EngineError where the net does not take it, or makes no numbers of it.
        """
        import numpy as np

        batch = self.session.inputs[self.feed][0]
        if batch is not None and batch != 1:
            pictures = np.repeat(pictures, batch, axis=0)
        made: Array = self.session.run({self.feed: pictures})[self.blob.name]
        if not np.isfinite(made).all():
            raise EngineError(
                f"{self.source}: makes NaN or infinity in {self.blob.name!r} of finite weights and pixels; "
                "are --mean and --scale those of its training?"
            )
        return made[:1]


def _least(enough: int, takes: Callable[[int], bool]) -> int:
    """The least extent that TAKES accepts, ENOUGH being one."""
    low, high = 0, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if takes(middle) else (middle, high)
    return high


def _values(shapes: Shapes, blobs: tuple[Blob, ...]) -> int:
    """The bytes of BLOBS together."""
    known = (shapes.blobs[blob] for blob in dict.fromkeys(blobs))
    return sum(_FLOAT * prod(shape) for shape in known if isinstance(shape, tuple))


def load_model(
    source: SourceNet,
    weights: WeightFile,
    engine: Engine,
    *,
    blob: str | None = None,
    selection: Selection = ANY_NET,
) -> Model:
    """The net SOURCE with its WEIGHTS, ready to look at pictures by its output, or by BLOB.

    Raises EngineError for a net that takes no pictures, or of which it is not plain what to look at; WeightsError
    where weights are NaN or infinite; what ENGINE raises for a net that it cannot run.
    """
    whole, weights, notes = one_net(source, weights, selection)
    check_finite(weights, whole.graph)
    outputs = [] if blob is None else [_known(whole.graph, blob)]
    session = engine.load(whole, weights, outputs=outputs)
    net = _in_use(whole, blob)
    feed, fed = _feed(net, session)
    looked = _looked_at(net, session, blob)
    made = net.shapes.blobs[looked]
    if not isinstance(made, tuple) or len(made) < 2 or prod(made[2:]) < 1:
        found = f"expected classes in {looked.name!r}, found {made}; choose with --blob"
        raise EngineError(f"{net.graph.source}: {found}")
    return Model(net, session, feed, fed, looked, made, notes)


def _in_use(whole: Net, blob: str | None) -> Net:
    """WHOLE without what only its training needs, a Softmax in place of its loss; all of it if BLOB is in the rest."""
    try:
        scope = choose_scope(*whole)
    except LoweringError:
        return whole
    return Net(scope.graph, scope.shapes) if blob is None or scope.graph.latest(blob) else whole


def _known(graph: Graph, name: str) -> str:
    if graph.latest(name) is None:
        from difflib import get_close_matches

        near = get_close_matches(name, [each.name for each in graph.producer], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise EngineError(f"{graph.source}: expected the name of a blob, found {name!r}, which is none{hint}")
    return name


def _feed(net: Net, session: Session) -> tuple[str, Shape]:
    """The one input of the net, and its shape. Raises EngineError where it is not a picture."""
    source = net.graph.source
    if len(session.inputs) != 1:
        found = ", ".join(map(repr, session.inputs)) or "none"
        raise EngineError(f"{source}: expected a net with one input, the picture, found the inputs {found}")
    name = next(iter(session.inputs))
    shape = net.shapes.blobs[Blob(name, 0)]
    if not isinstance(shape, tuple) or len(shape) != 4:
        found = show(shape) if isinstance(shape, tuple) else "another shape"
        raise EngineError(f"{source}: expected pictures, N×C×H×W, as input {name!r}, found {found}")
    return name, shape


def _looked_at(net: Net, session: Session, blob: str | None) -> Blob:
    """The blob to look at. Raises EngineError where there are several."""
    names = session.outputs if blob is None else (blob,)
    if len(names) != 1:
        found = ", ".join(map(repr, names)) or "none"
        raise EngineError(f"{net.graph.source}: expected one output, found {found}; choose one with --blob")
    latest = net.graph.latest(names[0])
    if latest is None:
        raise EngineError(f"{net.graph.source}: {names[0]!r} is made by the engine, and no blob of the net")
    return latest
