"""Replaces a classifier by new scores, on one phase of a converted net:

1. the last layer with weights becomes `score_fr`, a 1×1 Convolution over the same map, or it stays;
2. of the layers after it only the poolings stay, which new scores pass through as the old ones did; a ReLU would
   prevent scores that begin at zero from learning. A classifier that stays keeps all layers up to its scores;
3. if requested, the pooling over the whole map is removed, and its readers read its bottom.

Before the conversion, all layers that neither the scores nor the skips need are removed, so that they cannot prevent
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.changes import Change, Decision, DropLayer, NewLayer, ReplaceLayer, Rewire
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim, Phase, Result, in_every_phase
from caffe_fcn.model.tensors import Tensor
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers.windows import convolution_windows
from caffe_fcn.passes.segment.classifier import Classifier, check_map, last_poolings
from caffe_fcn.passes.segment.geometry import AXES
from caffe_fcn.passes.segment.layers import Scoring, check_names
from caffe_fcn.wording import Option


def trim(model: Model, classifier: Classifier, skips: Sequence[Blob]) -> Result:
    """Return MODEL without the layers that neither the scores of CLASSIFIER nor SKIPS need: probabilities, losses,
    other heads."""
    ends = {classifier.scores, *skips}

    def decide(phase: Phase) -> Decision:
        needed = phase.graph.before(node for node in phase.graph.nodes if not ends.isdisjoint(node.tops))
        gone = (node for node in phase.graph.nodes if node.index >= 0 and node.index not in needed)
        return Decision(tuple(DropLayer(node.index, node.name, node.type) for node in gone))

    return in_every_phase(model, decide, claim=Claim.NEW_FUNCTION, verb="segment")


class Rescored(NamedTuple):
    """How a classifier changes: NAME is the name of the new layer, SCORING its initial weights. If SCORING is None, the
    classifier stays."""

    classifier: Classifier
    skips: tuple[Blob, ...]
    name: str
    scoring: Scoring | None
    drop_pooling: bool
    expand: bool


def rescore(model: Model, wanted: Rescored) -> tuple[Result, str]:
    """Return MODEL, a converted net, with new scores and without the layers that they do not need; and the blob of the
    scores. Raises SurgeryError if there is no map to score, or no pooling to drop."""
    made = _Rescoring(model.graph, wanted)
    made_of = in_every_phase(model, made.decide, claim=Claim.NEW_FUNCTION, verb="segment")
    return made_of, made.scores


class _Rescoring:
    def __init__(self, graph: Graph, wanted: Rescored) -> None:
        self.graph, self.wanted = graph, wanted
        self.head, self.behind = wanted.classifier.head, wanted.classifier.behind
        self.scores = wanted.classifier.scores.name

    def decide(self, phase: Phase) -> Decision:
        """Return the changes in PHASE."""
        shape = check_map(self.wanted.classifier, phase.shapes.blobs)
        gone = self._poolings(phase) if self.wanted.drop_pooling else set[int]()
        if self.wanted.scoring is not None:
            gone |= {node.index for node in self.behind if node.type != "Pooling"}
        moved = self._moved(gone)
        needed = self._needed() - gone
        changes: list[Change] = []
        for node in self.graph.nodes:
            if node.index < 0:
                continue
            if node.index not in needed:
                changes.append(DropLayer(node.index, node.name, node.type))
                continue
            bottoms = {blob.name: moved[blob] for blob in node.bottoms if blob in moved and moved[blob] != blob.name}
            if node is self.head and self.wanted.scoring is not None:
                changes.append(self._replaced(shape[1], bottoms, phase.tensors.get(node.name, ())))
            elif bottoms:
                changes.append(Rewire(node.index, node.name, bottoms))
        if self.wanted.scoring is not None:
            gone_names = {change.layer for change in changes if change.drops or change.replaces}
            check_names(phase, [self.wanted.name], gone_names)
        self.scores = moved.get(self.wanted.classifier.scores, self.scores)
        return Decision(tuple(changes))

    def _needed(self) -> set[int]:
        """Return the layers that the scores and the skips need."""
        ends = {self.wanted.classifier.scores, *self.wanted.skips}
        return self.graph.before(node for node in self.graph.nodes if not ends.isdisjoint(node.tops))

    def _poolings(self, phase: Phase) -> set[int]:
        found = last_poolings(self.graph, phase.shapes, self.wanted.classifier)
        if not found:
            raise SurgeryError(
                f"there is no pooling over the whole map before or behind {self.head.name!r}",
                layer=self.head.name,
                layer_type=self.head.type,
                place=Option("drop_pooling", True),
            )
        return {node.index for node in found}

    def _moved(self, gone: set[int]) -> Mapping[Blob, str]:
        """Return the blobs that get another name in their readers: tops of layers that are GONE or replaced."""
        moved: dict[Blob, str] = {}
        new = self.wanted.name if self.wanted.scoring is not None else None
        for node in self.graph.nodes:
            if node is self.head and new is not None:
                moved[node.tops[0]] = new
            elif node.index in gone:
                source = node.bottoms[0]
                moved.update((top, moved.get(source, source.name)) for top in node.tops)
        return moved

    def _replaced(self, channels: int, bottoms: Mapping[str, str], tensors: Sequence[Tensor]) -> Change:
        scoring, head, name = self.wanted.scoring, self.head, self.wanted.name
        if scoring is None:
            raise ValueError("the classifier stays")
        bottom = head.bottoms[0].name
        by: NewLayer = scoring.layer(
            name, bottoms.get(bottom, bottom), channels, self._old(head, channels, tensors), pad=_pad(head)
        )
        old = head.tops[0].name
        return ReplaceLayer(head.index, head.name, head.type, by, {old: name} if old != name else {})

    def _old(self, head: Node, channels: int, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the blobs whose rows are copied into the new scores."""
        scoring = self.wanted.scoring
        if not self.wanted.expand or scoring is None:
            return ()
        classes = head.layer.convolution_param.num_output
        if classes > scoring.classes:
            raise SurgeryError(
                f"{head.name!r} has {classes} classes, which do not fit into {scoring.classes}",
                layer=head.name,
                layer_type=head.type,
                place=Option("expand_score", True),
            )
        if tensors and tensors[0].count != classes * channels:
            raise SurgeryError(
                f"the kernel of {head.name!r} is larger than 1×1, so its weights do not fit a 1×1 score layer",
                layer=head.name,
                layer_type=head.type,
                place=Option("expand_score", True),
            )
        return tensors


def _pad(head: Node) -> int:
    """Return the padding of new scores: that of a 1×1 HEAD, as in SqueezeNet, so that the following layers get a map of
    the same size."""
    windows = convolution_windows(head.layer, AXES)
    same = len({*windows.before, *windows.after}) == 1 and set(windows.kernel) == {1}
    return windows.before[0] if same else 0
