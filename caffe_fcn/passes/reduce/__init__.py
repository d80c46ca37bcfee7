"""Decimation: keeps every n-th filter of a layer, and every m-th tap of its kernel.

Filters 0, n, 2n, ... stay, each with its bias, and the layers that read them keep the inputs that belong to them.
Parameters for each channel in between (BatchNorm, Scale, PReLU) are cut in the same way; joins, groups and flattenings
are followed. In this way the VGG-16 of SSD and DeepLab was made: fc6 of 4096×512×7×7 became 1024×512×3×3. In one phase
of a net, in its order:

1. a named layer loses filters and taps, and gets the dilation and the padding of its new kernel (`windows`);
2. a layer that reads it loses inputs (`linear`), or passes the loss on as its row says (`net.layers.keeping`);
3. layers that share parameters must lose the same values, or the net is refused (`_check_shared`).

No weight is computed: each new value is an old one. The new net computes another function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.changes import Decision
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim, Phase, Result, in_every_phase
from caffe_fcn.net.graph import Node
from caffe_fcn.net.shapes import refusals_since, show
from caffe_fcn.passes.reduce.amounts import Amount
from caffe_fcn.passes.reduce.cutting import Decimation


def reduce(model: Model, amounts: Mapping[str, Amount], *, cut_outputs: bool = False) -> Result:
    """Return MODEL with the AMOUNTS left of the layers that they name. CUT_OUTPUTS: outputs of the net may lose
    channels. Raises SurgeryError, naming the layer, if that cannot be done."""
    made = in_every_phase(
        model,
        lambda phase: _decide(phase, amounts, outputs=cut_outputs),
        claim=Claim.NEW_FUNCTION,
        verb="reduce",
    )
    _check_params(made)
    _check_refusals(made)
    return replace(made, decision=replace(made.decision, notes=tuple(_grown(made))))


def _decide(phase: Phase, amounts: Mapping[str, Amount], *, outputs: bool) -> Decision:
    found = Decimation(phase, amounts, outputs=outputs)
    _check_shared(phase, found)
    return Decision(tuple(change for _, change in sorted(found.changes.items())))


def _check_shared(phase: Phase, found: Decimation) -> None:
    """Raise SurgeryError if layers that share parameters would not lose the same values."""
    first: dict[str, tuple[Node, object]] = {}
    for node in phase.graph.nodes:
        change = found.changes.get(node.index)
        for position, name in enumerate(param.name for param in node.layer.param):
            places = change.places[position] if change and position < len(change.places) else None
            left = places if places and any(each is not None for each in places) else None
            other, theirs = first.setdefault(name, (node, left))
            if name and left != theirs:
                raise SurgeryError(
                    layer=node.name,
                    layer_type=node.type,
                    expected=f"the same remaining values of the parameters {name!r} as in {other.name!r}",
                    found="others",
                    hint="reduce both layers alike",
                )


def _check_params(made: Result) -> None:
    """Raise SurgeryError if a layer of the new net needs parameters of other shapes than it has, such as an
    InnerProduct after a map of another size."""
    changed = {change.index: change for phase in made.phases.values() for change in phase.changes}
    for phase, graph in made.model.graphs.items():
        for node in graph.nodes:
            origin = -1 if node.index < 0 else made.origins[node.index]
            if origin is None or origin < 0:
                continue
            change = changed.get(origin)
            needed = made.model.shapes[phase].params.get(node.index)
            left = getattr(change, "after", None) or made.before.shapes[phase].params.get(origin)
            if needed is not None and left is not None and [*map(tuple, needed)] != [*map(tuple, left)]:
                pairs = [(one, other) for one, other in zip(needed, left, strict=False) if one != other]
                raise SurgeryError(
                    layer=node.name,
                    layer_type=node.type,
                    expected=f"the remaining weights {show(pairs[0][1])}",
                    found=f"a layer that needs {show(pairs[0][0])}",
                )


def _check_refusals(made: Result) -> None:
    """Raise SurgeryError if Caffe would refuse the new net and not the old one, for example because a map of another
    size has no label for each prediction."""
    for phase, graph in made.model.graphs.items():
        before = (made.before.graphs[phase], made.before.shapes[phase])
        for refused in refusals_since(before, (graph, made.model.shapes[phase])):
            raise SurgeryError(
                f"Caffe would refuse the reduced net: {refused.message}",
                index=refused.layer,
                hint="reduce the deploy net, or remove the layers that read labels first",
            )


def _grown(made: Result) -> Iterator[str]:
    """Return notes on outputs of the net whose size changes because a kernel was given padding."""
    before, after = (
        {
            blob.name: shape
            for blob in each.graph.outputs
            if isinstance(shape := each.shapes[each.phase].blobs[blob], tuple)
        }
        for each in (made.before, made.model)
    )
    for name, shape in after.items():
        if name in before and before[name] != shape:
            yield f"the output {name!r} is now {show(shape)}, and was {show(before[name])}"


__all__ = ["Amount", "reduce"]
