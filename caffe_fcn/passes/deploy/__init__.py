"""Makes the net in use from a training net: data layers become inputs, and losses become the layers that they contain.

On a net of one phase:

1. the net in use is found (`net/in_use.py`): a loss becomes the Softmax or Sigmoid in it, or its scores become an
   output; auxiliary heads, labels and measures are removed;
2. a data layer becomes an Input of the known shape, for one item if the net accepts any number; a comment keeps what
   the data layer does to images (`feeding.py`);
3. only the weights of layers that stay are kept, so that the net inside a caffemodel is the new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from typing import NamedTuple

from caffe_fcn import schema
from caffe_fcn.errors import ShapeError, SurgeryError
from caffe_fcn.model.changes import Change, Decision, DropInputs, DropLayer, LeftAlone, NewLayer, Rewire
from caffe_fcn.model.entries import Held
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import objection_notes
from caffe_fcn.model.passing import Claim, Result, carried_out
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.in_use import in_use, inputs, needed
from caffe_fcn.net.obstacles import Obstacle
from caffe_fcn.net.upgrade import input_layer
from caffe_fcn.passes.deploy.changes import BecomeHead, BecomeInput, DropLossWeight, DropState
from caffe_fcn.passes.deploy.feeding import INPUT, become_input, check_size
from caffe_fcn.passes.deploy_options import DeployOptions

_DROPOUT = "Dropout"


class Needed(Enum):
    """Why a Dropout stays although it should be dropped; {} stands for the names in the reason."""

    OUTPUT = "its top {!r} is an output of the net"
    IN_PLACE = "{!r} works in place on its bottom"


def deploy(model: Model, options: DeployOptions | None = None, *, as_fed: bool = False) -> Result:
    """Return MODEL, a net of one phase, as the net in use: the same function of the same inputs, for the outputs that
    stay. AS_FED: inputs have the shapes of the data layers in MODEL, even if the net accepts others.

    Raises SurgeryError if no outputs are left, ShapeError for an input whose shape is unknown.
    """
    asked = options or DeployOptions()
    graph, shapes = model.graph, model.shapes[model.phase]
    net = in_use(graph, shapes, keep_heads=asked.keep_heads)
    if not net.outputs and not net.sinks:
        raise SurgeryError(
            source=model.source.name,
            expected="a net with outputs",
            found="none after leaving out losses, measures and the layers that only they use",
        )
    ends = (*net.outputs, *(blob for node in net.sinks for blob in node.bottoms))
    kept = {id(node) for node in (*needed(net.nodes, ends), *net.sinks)}
    used = _Used(graph, tuple(node for node in net.nodes if id(node) in kept), net.outputs)
    fed = inputs(used.nodes)
    given = any(blob.name in model.selection.given for blob in fed)
    for blob in () if as_fed else fed:
        check_size(graph.producer[blob], blob, model)
    whole = _decide(model, used, asked, items=None)
    try:
        made = _carried_out(model, whole if given or as_fed else _decide(model, used, asked, items=1))
    except ShapeError:  # a layer depends on the number of items, such as a Reshape to a fixed shape
        made = _carried_out(model, whole)
    notes = tuple(objection_notes(made.model.graph, made.model.shapes[model.phase]))
    decision = replace(made.decision, notes=notes)
    return replace(made, model=replace(made.model, held=tuple(_held(made))), decision=decision)


class _Used(NamedTuple):
    """The net in use of a GRAPH: its layers, with replacements for losses, and its OUTPUTS."""

    graph: Graph
    nodes: tuple[Node, ...]
    outputs: tuple[Blob, ...]


def _decide(model: Model, used: _Used, asked: DeployOptions, items: int | None) -> Decision:
    fed = inputs(used.nodes)
    nodes = {node.index: node for node in used.nodes}
    names = {node.name for node in used.nodes}
    changes: list[Change] = [DropState(-1, "")] if model.net.HasField("state") else []
    for old in used.graph.nodes:
        node, idle = nodes.get(old.index), old.tops if old.type == INPUT else ()
        blobs = tuple(blob for blob in old.tops if blob in fed or (blob in idle and blob not in used.graph.consumers))
        if old.index < 0:
            if gone := tuple(blob.name for blob in old.tops if blob not in blobs):
                changes.append(DropInputs(-1, ", ".join(gone), gone))
        elif blobs:
            if old.type != INPUT or blobs != old.tops:
                name = blobs[0].name if len(blobs) == 1 and blobs[0].name not in names - {old.name} else old.name
                changes.append(become_input(old, blobs, model, items, name))
        elif node is None:
            changes.append(DropLayer(old.index, old.name, old.type))
        elif node.layer is not old.layer:
            layer = schema.LayerParameter()
            layer.CopyFrom(node.layer)
            layer.name = layer.top[0] if layer.top[0] not in names - {old.name} else old.name
            changes.append(BecomeHead(old.index, old.name, old.type, NewLayer(layer)))
        elif old.layer.loss_weight:
            changes.append(DropLossWeight(old.index, old.name))
    left: tuple[LeftAlone, ...] = ()
    if asked.drop_dropout:
        dropped, left = _without_dropout(used)
        changes = sorted([*changes, *dropped], key=lambda change: change.index)
    return Decision(tuple(changes), left)


def _carried_out(model: Model, decision: Decision) -> Result:
    blobs = {
        name: shape for each in decision.changes if isinstance(each, BecomeInput) for name, shape in each.blobs.items()
    }
    channels = {name: shape[1] for name, shape in blobs.items() if len(shape) > 1}
    free = dict.fromkeys(blobs, 0) | channels
    return carried_out(model, decision, claim=Claim.SAME_BITS, resized={model.phase: free})


def _without_dropout(used: _Used) -> tuple[list[Change], tuple[LeftAlone, ...]]:
    """Return the changes that remove the Dropout layers of USED, and the Dropout layers that stay."""
    changes: list[Change] = []
    left: list[LeftAlone] = []
    held: dict[Blob, Blob] = {}
    for node in used.nodes:
        if node.type == _DROPOUT:
            if why := _needed_for(node, used):
                left.append(LeftAlone(node.name, node.type, why))
            else:
                changes.append(DropLayer(node.index, node.name, node.type))
                held[node.tops[0]] = held.get(node.bottoms[0], node.bottoms[0])
                continue
        renamed = {blob.name: held[blob].name for blob in node.bottoms if blob in held}
        if any(old != new for old, new in renamed.items()):
            changes.append(Rewire(node.index, node.name, bottoms=renamed))
    return changes, tuple(left)


def _needed_for(node: Node, used: _Used) -> Obstacle | None:
    """Return why NODE, which does not change values, has to stay."""
    bottom, top = node.bottoms[0], node.tops[0]
    if top.name == bottom.name:
        return None
    if top in used.outputs:
        return Obstacle(Needed.OUTPUT, (top.name,))
    later = Blob(bottom.name, bottom.version + 1)
    writer = next((each for each in used.nodes if later in each.tops), None)
    return Obstacle(Needed.IN_PLACE, (writer.name,)) if writer is not None else None


def _held(made: Result) -> Iterator[Held]:
    """Return the layers of the weights in MADE: those of the net, in its order, each with its parameter blobs."""
    model, entries = made.model, dict[str, Held]()
    for entry in model.held:
        if entry.tensors or entry.name not in entries:
            entries[entry.name] = entry
    fields = input_layer(model.net, model.source.name) if model.held else None
    if fields is not None:
        yield Held(fields, ())
    replaced = {change.new_name for change in made.changes if change.replaces}
    for layer in model.net.layer if model.held else ():
        entry = entries.pop(layer.name, Held(layer, ()))
        yield Held(layer, ()) if layer.name in replaced else replace(entry, header=layer)
