"""One file serves all phases of a net: the surgeries of its phases, made into one.

A layer that is part of several phases must be changed alike in all of them; where the phases disagree
there is no file that would serve them, and the net is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from caffe_fcn.errors import SurgeryError
from caffe_fcn.net.graph import Graph
from caffe_fcn.passes.edits import DropLayer, Edit, LeftAlone, RenameLayer, Rewire, Surgery, ToConvolution, ToSplit
from caffe_fcn.schema import Message
from caffe_fcn.wording import option


def merge(surgeries: Mapping[str, tuple[Graph, Surgery]]) -> Surgery:
    """The surgery for the file, from those of its phases by name. Raises SurgeryError where they disagree."""
    merged: dict[tuple[int, type[Edit], str], Edit] = {}
    for phase, (_, surgery) in surgeries.items():
        for edit in surgery.edits:
            sharing = [
                (other, theirs)
                for other, (graph, theirs) in surgeries.items()
                if other != phase and any(node.index == edit.index for node in graph.nodes)
            ]
            if edit.drops and not all(edit in theirs.edits for _, theirs in sharing):
                continue  # still read in another phase, where it does no harm
            for other, theirs in sharing:
                if not (isinstance(edit, ToSplit) and DropLayer(edit.index, edit.layer, edit.type) in theirs.edits):
                    _check(edit, phase, theirs, other)
            merged.setdefault((edit.index, type(edit), edit.describe()), edit)
    edits = sorted(merged.values(), key=lambda edit: edit.index)
    left = dict.fromkeys(entry for _, surgery in surgeries.values() for entry in surgery.left_alone)
    notes = dict.fromkeys(note for _, surgery in surgeries.values() for note in surgery.notes)
    return Surgery(tuple(edits), _one_reason_each(left), tuple(notes))


def outside(net: Message, graphs: Sequence[Graph], surgery: Surgery) -> Surgery:
    """SURGERY with what it means for the layers of NET that are in none of GRAPHS: those of a phase or stage
    that was not looked at. They follow the renamed blobs; InnerProducts among them are only noted."""
    looked_at = {node.index for graph in graphs for node in graph.nodes}
    others = [(index, layer) for index, layer in enumerate(net.layer) if index not in looked_at]
    own = {top: layer.name for _, layer in others for top in layer.top}
    read = {bottom for _, layer in others for bottom in layer.bottom}
    rewires = [edit for edit in surgery.edits if isinstance(edit, Rewire)]
    renamed = {old: new for edit in rewires for old, new in edit.tops.items()}
    _check_others(renamed, own, {layer.name for _, layer in others}, rewires, surgery)
    dropped = {edit.index for edit in surgery.edits if edit.drops}
    lost = read - {top for index, layer in enumerate(net.layer) if index not in dropped for top in layer.top}
    kept = [edit for edit in surgery.edits if not (edit.drops and lost.intersection(net.layer[edit.index].top))]
    edits: list[Edit] = []
    for index, layer in others:
        bottoms = {name: renamed[name] for name in layer.bottom if name in renamed}
        if bottoms:
            edits.append(Rewire(index, layer.name, bottoms))
    left = dict.fromkeys(layer.name for _, layer in others if layer.type == "InnerProduct")
    inside = {node.name for graph in graphs for node in graph.nodes}
    missed = [name for name in left if name not in inside]
    notes = surgery.notes
    if left:
        what = f"{', '.join(missed)} belong" if missed else f"other definitions of {', '.join(left)} belong"
        notes += (f"{what} to another phase or stage, and are left alone; see {option('phase')} and {option('stage')}",)
    return Surgery((*kept, *edits), surgery.left_alone, notes)


def _check_others(
    renamed: Mapping[str, str], own: Mapping[str, str], names: set[str], rewires: Sequence[Rewire], surgery: Surgery
) -> None:
    """Raise SurgeryError where new names would come between a layer that was not looked at and its readers."""
    taken = [new for new in renamed.values() if new in own]
    taken += [edit.name for edit in surgery.edits if isinstance(edit, RenameLayer) and edit.name in names]
    if taken:
        raise SurgeryError(
            f"the new name {taken[0]!r} is in use in another phase or stage; choose others with {option('suffix')}"
        )
    for edit in rewires:
        lost = [name for name in edit.bottoms if name in renamed and name in own]
        if lost:
            raise SurgeryError(
                f"{edit.layer} reads {lost[0]!r}, which {own[lost[0]]} makes in another phase or stage under the old "
                f"name; keep it with {option('suffix', '')}"
            )


def _check(edit: Edit, phase: str, theirs: Surgery, other: str) -> None:
    if edit in theirs.edits:
        return
    rival = next((e for e in theirs.edits if e.index == edit.index and type(e) is type(edit)), None)
    found = (
        rival.describe()
        if rival
        else next(
            (f"left alone: {entry.reason}" for entry in theirs.left_alone if entry.layer == edit.layer), "unchanged"
        )
    )
    skip = f", or leave it with {option('skip', [edit.layer])}" if isinstance(edit, ToConvolution) else ""
    raise SurgeryError(
        f"layer {edit.layer!r} is part of both phases, but they disagree on it: {phase}: {edit.describe()}; "
        f"{other}: {found}; convert for one phase with {option('phase', phase)}{skip}"
    )


def _one_reason_each(entries: Mapping[LeftAlone, None]) -> tuple[LeftAlone, ...]:
    """One entry a layer: the first phase's reason."""
    by_layer: dict[str, LeftAlone] = {}
    for entry in entries:
        by_layer.setdefault(entry.layer, entry)
    return tuple(by_layer.values())
