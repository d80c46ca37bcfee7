"""Makes the training net from a net that gives scores for every pixel.

The inputs are replaced by layers that read pictures and label images, once for TRAIN and once for TEST. A loss and the
accuracy of each pixel are added after the scores. The rest of the net stays, so that training starts from its
weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from caffe_fcn import schema
from caffe_fcn.display import printable
from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.changes import AddLayers, Change, Decision, DropInputs, DropLayer, NewLayer
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim, Phase, Result, in_every_phase
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shape, Shapes
from caffe_fcn.passes.training.data import IGNORED, LABEL, PHASES, DataBlobs, databases, image_lists, label_input
from caffe_fcn.passes.training_options import TrainOptions
from caffe_fcn.wording import Command, Option, advise

_MAP = 4
"""The axes of a batch of maps."""


def training(model: Model, options: TrainOptions) -> Result:
    """Return the training net for MODEL, whose only output is scores N×K×H×W for each pixel.

    Raises SurgeryError if the output is another, or if the net already has labels and losses.
    """
    comments = model.source.comments
    return in_every_phase(model, lambda phase: _decide(phase, options, comments), claim=Claim.SAME_BITS, verb="train")


class ScoreMap(NamedTuple):
    """The output that is trained, its shape, and the layer that makes it."""

    blob: Blob
    shape: Shape
    node: Node


def scores_of(graph: Graph, shapes: Shapes) -> ScoreMap:
    """Return the scores of the net GRAPH with SHAPES. Raises SurgeryError unless it has one output with scores for each
    pixel of its input, and no loss."""
    outputs = [blob for blob in graph.outputs if graph.producer[blob].bottoms]
    maps = [(blob, shape) for blob in outputs if isinstance(shape := shapes.blobs[blob], tuple) and len(shape) == _MAP]
    if len(outputs) != 1 or len(maps) != 1:
        raise SurgeryError(
            f"a training net needs one output with scores for each pixel, N×K×H×W; found {_names(outputs)}",
            source=graph.source,
            hint=advise("of a training net, ", Command("deploy"), " makes one that can be used here"),
        )
    blob, shape = maps[0]
    node = graph.producer[blob]
    sizes = {known[2:] for each in graph.nodes if not each.bottoms for top in each.tops if (known := _map(shapes, top))}
    probabilities = row_of(node.type).makes == "probabilities"
    if probabilities or (sizes and shape[2:] not in sizes):
        size = "×".join(map(str, shape[2:]))
        found = f"probabilities of a {node.type}" if probabilities else f"a map of {size} cells"
        raise SurgeryError(
            f"a training net needs scores for each pixel; found {found} in {printable(blob.name)!r}",
            source=graph.source,
            hint=advise(Command("segment"), " makes a net with scores for each pixel"),
        )
    return ScoreMap(blob, shape, node)


def _map(shapes: Shapes, blob: Blob) -> Shape | None:
    """Return the shape of BLOB, if it is known and that of a batch of maps."""
    shape = shapes.blobs[blob]
    return shape if isinstance(shape, tuple) and len(shape) == _MAP else None


def _decide(phase: Phase, options: TrainOptions, comments: Mapping[int, tuple[str, ...]]) -> Decision:
    graph, scores = phase.graph, scores_of(phase.graph, phase.shapes)
    inputs = [node for node in graph.nodes if not node.bottoms]
    taken = {name for node in graph.nodes for name in (node.name, *(blob.name for blob in node.tops))}
    if options.data == "keep":
        labels, changes = _with_labels(phase, inputs, scores, taken)
    else:
        labels, changes = LABEL, _with_data(phase, inputs, options, comments)
    judges = tuple(_judges(scores.blob.name, labels, options, taken))
    changes.append(AddLayers(scores.node.index, scores.node.name, judges))
    return Decision(tuple(sorted(changes, key=lambda change: change.index)))


def _with_labels(phase: Phase, inputs: Sequence[Node], scores: ScoreMap, taken: set[str]) -> tuple[str, list[Change]]:
    """Return the name of the labels of a net that keeps its INPUTS, and the changes that add them if they are missing.
    Raises SurgeryError if the labels are not those of pixels."""
    count, _, *size = scores.shape
    unread = [blob for node in inputs for blob in node.tops if blob not in phase.graph.consumers]
    if not unread:
        name = _fresh(LABEL, taken)
        return name, [AddLayers(inputs[-1].index, inputs[-1].name, (label_input(name, (count, 1, *size)),))]
    if phase.shapes.blobs[unread[0]] not in ((count, 1, *size), (count, *size)):
        raise SurgeryError(
            f"the net reads {printable(unread[0].name)!r}, which are not labels for each pixel",
            source=phase.graph.source,
            hint=advise(Command("deploy"), " makes a net without labels; segment that"),
        )
    return unread[0].name, []


def _with_data(
    phase: Phase, inputs: Sequence[Node], options: TrainOptions, comments: Mapping[int, tuple[str, ...]]
) -> list[Change]:
    """Return the changes that put data layers in place of INPUTS. Raises SurgeryError if the net reads several, or
    pictures that the layers cannot read."""
    graph = phase.graph
    read = [blob for node in inputs for blob in node.tops if blob in graph.consumers]
    if len(read) != 1:
        raise SurgeryError(
            f"expected one input of pictures, found {_names(read)}",
            source=graph.source,
            hint=advise("write its data layers by hand, or keep the inputs with ", Option("data", "keep")),
        )
    (pictures,) = read
    known = _map(phase.shapes, pictures)
    channels = None if known is None else known[1]
    if options.data == "imagedata" and channels not in (None, 1, 3):
        raise SurgeryError(
            f"ImageData layers read pictures of 1 or 3 channels, but the net takes {channels}",
            source=graph.source,
            hint=advise("use ", Option("data", "lmdb")),
        )
    old = graph.producer[pictures]
    prepared = old.layer.transform_param if old.layer.HasField("transform_param") else None
    blobs = DataBlobs(pictures.name, channels, LABEL, prepared, comments.get(old.index, ()))
    new = image_lists(blobs) if options.data == "imagedata" else databases(blobs)
    gone: list[Change] = [
        DropInputs(-1, "", tuple(blob.name for blob in node.tops))
        if node.index < 0
        else DropLayer(node.index, node.name, node.type)
        for node in inputs
    ]
    return [*gone, AddLayers(-1, "", tuple(new))]


def _judges(scores: str, labels: str, options: TrainOptions, taken: set[str]) -> Iterator[NewLayer]:
    """Return the loss, and the accuracy in TEST."""
    loss = schema.LayerParameter(name=_fresh("loss", taken), type="SoftmaxWithLoss", bottom=[scores, labels])
    loss.top.append(loss.name)
    loss.loss_param.ignore_label = IGNORED
    loss.loss_param.normalize = options.normalize
    how = "the mean over all labeled pixels" if options.normalize else "the sum over all pixels of a picture"
    yield NewLayer(loss, comment=(f"normalize: {str(options.normalize).lower()} makes the loss {how}; see base_lr.",))
    accuracy = schema.LayerParameter(name=_fresh("accuracy", taken), type="Accuracy", bottom=[scores, labels])
    accuracy.top.append(accuracy.name)
    accuracy.include.add().phase = PHASES.index("TEST")
    accuracy.accuracy_param.ignore_label = IGNORED
    yield NewLayer(accuracy)


def _names(blobs: Sequence[Blob]) -> str:
    return ", ".join(printable(blob.name) for blob in blobs) or "none"


def _fresh(name: str, taken: set[str]) -> str:
    """Return NAME, or if it is TAKEN a similar name."""
    names = (name, *(f"{name}_{number}" for number in range(2, len(taken) + 3)))
    return next(each for each in names if each not in taken)
