"""Merges the decisions of a pass on the phases of a net into one, because one file holds all phases.

A layer that belongs to several phases must change in the same way in all of them. If the phases disagree, no file can
hold both, and the net is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.changes import Change, Decision, LeftAlone, NewLayer, Rewire
from caffe_fcn.net.graph import Graph
from caffe_fcn.schema import Message
from caffe_fcn.wording import Option, advise


def merge(decisions: Mapping[str, tuple[Graph, Decision]], verb: str) -> Decision:
    """The decision for the file, merged from DECISIONS by phase. VERB names the operation in messages. Raises
    SurgeryError where the phases disagree."""
    merged: dict[tuple[int, type[Change], str], Change] = {}
    for phase, (_, decision) in decisions.items():
        for change in decision.changes:
            sharing = [
                (other, theirs)
                for other, (graph, theirs) in decisions.items()
                if other != phase and any(node.index == change.index for node in graph.nodes)
            ]
            if change.drops and not all(change in theirs.changes for _, theirs in sharing):
                continue  # another phase still needs the layer, and here it does no harm
            for other, theirs in sharing:
                if not change.agrees(theirs.changes):
                    _disagree(change, phase, theirs, other, verb)
            merged.setdefault((change.index, type(change), change.describe()), change)
    changes = sorted(merged.values(), key=lambda change: change.index)
    left = dict.fromkeys(entry for _, decision in decisions.values() for entry in decision.left_alone)
    notes = dict.fromkeys(note for _, decision in decisions.values() for note in decision.notes)
    return Decision(tuple(changes), _one_reason_each(left), tuple(notes))


def outside(net: Message, graphs: Sequence[Graph], decision: Decision) -> Decision:
    """DECISION, with changes for the layers of NET that are in none of GRAPHS, because they belong to another phase or
    stage: they are rewired to the renamed blobs."""
    looked_at = {node.index for graph in graphs for node in graph.nodes}
    others = [(index, layer) for index, layer in enumerate(net.layer) if index not in looked_at]
    own = {top: layer.name for _, layer in others for top in layer.top}
    read = {bottom for _, layer in others for bottom in layer.bottom}
    _check_others(net, own, {layer.name for _, layer in others}, decision)
    dropped = {change.index for change in decision.changes if change.drops}
    lost = read - {top for index, layer in enumerate(net.layer) if index not in dropped for top in layer.top}
    kept = [each for each in decision.changes if not (each.drops and lost.intersection(net.layer[each.index].top))]
    renamed = decision.new_tops
    changes: list[Change] = []
    for index, layer in others:
        bottoms = {name: renamed[name] for name in layer.bottom if name in renamed}
        if bottoms:
            changes.append(Rewire(index, layer.name, bottoms))
    return replace(decision, changes=(*kept, *changes))


def _check_others(net: Message, own: Mapping[str, str], names: set[str], decision: Decision) -> None:
    """Raise SurgeryError where new names conflict with layers of phases and stages that are not selected."""
    added = [each.layer for change in decision.changes for each in _added(net, change)]
    taken = [new for new in decision.new_tops.values() if new in own]
    taken += [name for name in (*decision.new_names.values(), *(layer.name for layer in added)) if name in names]
    if taken:
        raise SurgeryError(
            f"another phase or stage uses the new name {taken[0]!r} already",
            hint=advise("choose other names with ", Option("suffix")),
        )
    for change in decision.changes:
        lost = [name for name in change.new_bottoms if name in decision.new_tops and name in own]
        if lost:
            raise SurgeryError(
                f"{change.layer} reads {lost[0]!r}; in another phase or stage {own[lost[0]]} makes it and "
                "would keep the old name",
                hint=advise("keep the old names with ", Option("suffix", "")),
            )


def _added(net: Message, change: Change) -> Sequence[NewLayer]:
    return change.behind(net.layer[change.index] if change.index >= 0 else type(net)(), ())


def _disagree(change: Change, phase: str, theirs: Decision, other: str, verb: str) -> NoReturn:
    rival = next((each for each in theirs.changes if each.index == change.index and type(each) is type(change)), None)
    found = (
        rival.describe()
        if rival
        else next(
            (f"left unchanged: {entry.reason}" for entry in theirs.left_alone if entry.layer == change.layer),
            "unchanged",
        )
    )
    raise SurgeryError(
        f"layer {change.layer!r} belongs to both phases, which need different changes: {phase}: "
        f"{change.describe()}; {other}: {found}",
        hint=advise(f"{verb} for one phase with ", Option("phase", phase), str(change.way_round)),
    )


def _one_reason_each(entries: Mapping[LeftAlone, None]) -> tuple[LeftAlone, ...]:
    """One entry for each layer, with the reason of the first phase."""
    by_layer: dict[str, LeftAlone] = {}
    for entry in entries:
        by_layer.setdefault(entry.layer, entry)
    return tuple(by_layer.values())
