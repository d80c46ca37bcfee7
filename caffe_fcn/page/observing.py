"""Runs a net once and observes its blobs: the values after each layer, also where layers work in place.

Engines return the last version of a blob. So the net is given to the engine with a name for each version. All blobs are
outputs of one run: onnxruntime keeps all outputs of a net until a run ends, even those that are not asked for, so
several runs would need as much memory. Layers behind one that cannot be lowered are not observed.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf, prod, sqrt
from typing import NamedTuple

from caffe_fcn.display import printable
from caffe_fcn.engines.nets import Size, one_net
from caffe_fcn.engines.onnxruntime import OnnxRuntime, OnnxRuntimeSession
from caffe_fcn.engines.protocol import Array, ShapedNet
from caffe_fcn.errors import EngineError, LoweringError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.graph import Blob
from caffe_fcn.net.layers.shape import TooLargeError
from caffe_fcn.net.options import Selection
from caffe_fcn.net.shapes import Shape, Shapes, Unknown, show
from caffe_fcn.net.source import SourceNet
from caffe_fcn.onnx.finite import check_finite
from caffe_fcn.onnx.graph import unique
from caffe_fcn.onnx.layers import find_lowering
from caffe_fcn.onnx.scope import ALL, choose_scope
from caffe_fcn.page.patterns import pattern, waves
from caffe_fcn.page.records import PageSource
from caffe_fcn.predict.crops import Crop, frame_of
from caffe_fcn.predict.images.picture import Box, Picture, picture_from, picture_of
from caffe_fcn.predict.options import RunOptions
from caffe_fcn.predict.outputs import NetOutput
from caffe_fcn.predict.picture_net import PictureNet
from caffe_fcn.predict.preparing import PreparedNet, prepare
from caffe_fcn.predict.resizing import resized, scaled
from caffe_fcn.predict.run import RunSettings, plan
from caffe_fcn.wording import Option, advise

MOST = 3 << 30
"""The maximum bytes of all blobs."""

ENOUGH = 192 << 20
"""A picture for a net that takes any size is made smaller, so that its blobs have at most so many bytes."""

_FLOAT = 4


class Observed(NamedTuple):
    """A net that is about to run: on WHAT, in words, with which BLOBS, by their names in the engine. PICTURE: it runs
    on the user's picture, and NOTES are on how that is prepared. SIZE is the number of bytes of all blobs. SETTINGS and
    OUTPUTS are those of a net for pictures."""

    what: str
    picture: bool
    session: OnnxRuntimeSession
    fed: Mapping[str, Array]
    blobs: Mapping[str, Blob]
    size: int
    settings: RunSettings | None = None
    outputs: tuple[NetOutput, ...] = ()
    notes: tuple[str, ...] = ()

    def values(self) -> Iterator[tuple[Blob, int, Array]]:
        """Return each blob with the index of its layer and its values, the inputs first; the values of one item, where
        the net only takes several. Raises EngineError."""
        items = max((len(array) for array in self.fed.values() if array.ndim), default=1)
        producer = self.session.lowered.scope.graph.producer
        for name, array in self.fed.items():
            yield Blob(name, 0), producer[Blob(name, 0)].index, _of_one(array, items)
        made = self.session.run(self.fed)
        for name, blob in self.blobs.items():
            yield blob, producer[Blob(name, 0)].index, _of_one(made.pop(name), items)


class _Watching:
    """An engine that loads a net so that all its blobs are outputs."""

    name = "onnxruntime"

    def __init__(self) -> None:
        self.blobs: dict[str, Blob] = {}

    def load(self, net: ShapedNet, weights: WeightFile, *, outputs: Sequence[str] = ()) -> OnnxRuntimeSession:
        """Load NET with WEIGHTS, whatever OUTPUTS. Layers that cannot be lowered are left out, with those behind
        them."""
        named, names = apart(net)
        barred: set[int] = set()
        while True:
            wanted = _observable(named, barred)
            self.blobs = {blob.name: names.get(blob, blob) for blob in wanted}  # a loss gives way to a new blob
            try:
                return OnnxRuntime(low_memory=True).load(named, weights, outputs=list(self.blobs))
            except LoweringError as error:
                if error.index is None or error.index in barred:
                    raise
                barred.add(error.index)


def apart(net: ShapedNet) -> tuple[ShapedNet, dict[Blob, Blob]]:
    """Return NET with another name for each version of a blob, and the blobs of NET by those of the result. An input
    keeps its name, and so does the last version of another blob."""
    versions: dict[str, list[Blob]] = {}
    for blob in net.graph.producer:
        versions.setdefault(blob.name, []).append(blob)
    taken = dict.fromkeys(versions, 1)
    named: dict[Blob, Blob] = {}
    for name, blobs in versions.items():
        plain = blobs[0] if not net.graph.producer[blobs[0]].bottoms else blobs[-1]
        for blob in blobs:
            named[blob] = Blob(name if blob == plain else unique(f"{name}_v{blob.version}", taken), 0)
    nodes = (
        replace(
            node,
            bottoms=tuple(named[blob] for blob in node.bottoms),
            tops=tuple(named[blob] for blob in node.tops),
        )
        for node in net.graph.nodes
    )
    known = {named[blob]: shape for blob, shape in net.shapes.blobs.items() if blob in named}
    shapes = Shapes(known, net.shapes.params, net.shapes.notes)
    return ShapedNet(net.graph.made_of(nodes), shapes), {new: old for old, new in named.items()}


def _observable(net: ShapedNet, barred: Collection[int]) -> list[Blob]:
    """Return the blobs that a net in use computes, without those that need layers in BARRED or of types that cannot be
    lowered; the first if none are left, so that the engine tells why. Raises LoweringError if there are none."""
    scope = choose_scope(*net, (ALL,))
    known = set(scope.inputs)
    for node in scope.graph.nodes:
        shapes = [scope.shapes.blobs[blob] for blob in (*node.bottoms, *node.tops)]
        fine = node.index not in barred and find_lowering(node.type) is not None
        if (
            fine
            and known.issuperset(node.bottoms)
            and all(isinstance(each, tuple) and 0 not in each for each in shapes)
        ):
            known.update(node.tops)
    return [blob for blob in scope.outputs if blob in known] or list(scope.outputs[:1])


def observed(source: PageSource) -> Observed:
    """Load the net of SOURCE, and return it with its picture, or with a test pattern. Raises CaffeFcnError if it cannot
    be run, or the picture does not suit it."""
    if source.source is None or source.weights is None:
        raise EngineError("there is no net with weights")
    engine, given = _Watching(), source.picture
    found: PreparedNet | None = None
    asked = RunOptions(resize=source.options.resize, labels=source.options.labels)
    first = None if given is None else lambda channels: picture_from(given, channels).size
    try:
        found = prepare(source.source, source.weights, engine, source.selection, source.preparation, asked, first=first)
    except EngineError:
        if given is not None:
            raise
    if found is None:  # not in the handler: the error keeps what was loaded in memory
        return _on_any_values(source.source, source.weights, source.selection)
    session, model, settings = found.model.session, found.model, found.settings
    assert isinstance(session, OnnxRuntimeSession)
    size = source.options.input_size
    asked_size = (size[0], size[1]) if size and len(size) == 2 else None
    if given is None:
        picture, what = _pattern(model, asked_size or _small_enough(model, model.nominal))
    else:
        picture, what = _picture(model, settings, picture_from(given, model.channels), asked_size)
    what += ", transposed for the net" if source.preparation.column_major else ""
    _check_memory(model, picture.size)
    box = Box(0, 0, *picture.size)
    item = settings.steps.blob(picture.read(box), box, frame_of(picture))[None]
    fed = {model.feed: _batch(model.arranged(item), session.inputs[model.feed][0])}
    whole, notes = int(_needed(model, picture.size)), () if given is None else found.notes
    return Observed(what, given is not None, session, fed, engine.blobs, whole, settings, model.outputs, notes)


def _on_any_values(source: SourceNet, weights: WeightFile, selection: Selection) -> Observed:
    """Return a net that does not take a picture, with values for its inputs."""
    found, engine = one_net(source, weights, selection), _Watching()
    check_finite(found.weights, found.net.graph)
    session = engine.load(found.net, found.weights)
    blobs, fed = found.net.shapes.blobs, {}
    for name, dims in session.inputs.items():
        if isinstance(shape := blobs[Blob(name, 0)], tuple):
            fixed = not dims or dims[0] is not None
            fed[name] = waves(shape if fixed else (1, *shape[1:]))
    inputs = ", ".join(f"{printable(name)} {show(array.shape)}" for name, array in fed.items())
    return Observed(f"test values for {inputs}", False, session, fed, engine.blobs, sum(map(_bytes, blobs.values())))


def _pattern(model: PictureNet, size: Size) -> tuple[Picture, str]:
    """Return the test pattern of SIZE for MODEL, and what it is. Raises ShapeError if MODEL does not accept SIZE."""
    model.shapes(size)
    made = picture_of(pattern(size, model.channels), model.channels, "the test pattern")
    return made, f"a test pattern of {show(size)} pixels"


def _picture(model: PictureNet, settings: RunSettings, picture: Picture, size: Size | None) -> tuple[Picture, str]:
    """Return the part of PICTURE that MODEL gets, resized as in SETTINGS, or else to SIZE, or to the only size that it
    takes; and what it is."""
    if settings.resize is None and settings.crop is Crop.NONE:
        settings = settings._replace(resize=size or model.fixed)
    work = plan(model, picture, settings)
    part = work.crops[0]
    part = resized(part, _small_enough(model, part.size))
    words = [printable(os.path.basename(picture.path))]
    words += [f"resized to {show(work.resized)}"] if work.resized != work.original else []
    words += [f"cropped to {show(work.crops[0].size)}"] if work.crops[0].size != work.resized else []
    words += [f"made smaller, {show(part.size)}"] if part.size != work.crops[0].size else []
    return part, f"{', '.join(words)} pixels" if words[1:] else f"{words[0]}, {show(part.size)} pixels"


def _small_enough(model: PictureNet, size: Size) -> Size:
    """Return SIZE, or a smaller size that MODEL takes, if it takes any size and the blobs would be large."""
    if model.fixed is not None:
        return size
    less, needed = size, _needed(model, size)
    while needed == inf and model.takes(less):  # halved until Caffe can have the blobs, so that they can be counted
        less = scaled(less, 1 / 2)
        needed = _needed(model, less)
    if needed > ENOUGH:
        less = scaled(less, sqrt(ENOUGH / needed))
    return less if model.takes(less) else size


def _check_memory(model: PictureNet, size: Size) -> None:
    """Raise EngineError if the blobs of MODEL on a picture of SIZE are too large."""
    needed = _needed(model, size)
    if needed > MOST:
        told = f"more than {MOST / (1 << 30):.0f}" if needed == inf else f"{needed / (1 << 30):.1f}"
        raise EngineError(
            f"the activations need {told} GiB on a picture of {show(size)} pixels",
            source=model.source,
            hint=advise("give a smaller ", Option("input_size")),
        )


def _needed(model: PictureNet, size: Size) -> float:
    """Return the bytes of all blobs of MODEL on a picture of SIZE; infinity if one has more values than a blob of Caffe
    can have. Raises ShapeError if MODEL does not accept SIZE."""
    try:
        return sum(map(_bytes, model.shapes(size).blobs.values()))
    except TooLargeError:
        return inf


def _bytes(shape: Shape | Unknown) -> int:
    return _FLOAT * prod(shape) if isinstance(shape, tuple) else 0


def _batch(item: Array, items: int | None) -> Array:
    """Return ITEM as often as the net takes items."""
    return item if items in (None, 1) else item.repeat(items, 0)


def _of_one(array: Array, items: int) -> Array:
    """Return the part of ARRAY for the first of ITEMS."""
    if items > 1 and array.ndim and len(array) % items == 0:
        return array[: len(array) // items]
    return array
