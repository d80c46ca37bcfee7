"""Finds the classifier of a net: its last layer with weights, and the blob of the scores."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from caffe_fcn.errors import SurgeryError
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.convolutions import DECONVOLUTIONS
from caffe_fcn.net.shapes import Shape, Shapes, show
from caffe_fcn.wording import Option, advise, nearest

_CLASSIFIERS = ("Convolution", "InnerProduct")
_SHOWN = 3


class Classifier(NamedTuple):
    """The last layer with weights, HEAD, and the layers BEHIND it that scores pass through, in order, without the
    layers that make probabilities or losses of scores."""

    head: Node
    behind: tuple[Node, ...] = ()

    @property
    def scores(self) -> Blob:
        """The blob of the scores."""
        return (self.behind[-1] if self.behind else self.head).tops[0]


def find(graph: Graph, at: str | None, skips: Collection[Blob] = ()) -> Classifier:
    """Return the classifier of GRAPH, or the one that ends in the layer AT. Outputs in SKIPS do not count. Raises
    SurgeryError if there is none, or there are several."""
    found: dict[str, Classifier] = {}
    others: list[tuple[Blob, Node]] = []
    for output in graph.outputs:
        if output in skips:
            continue
        node, chain = _back_from(graph, output)
        if node.type not in _CLASSIFIERS:
            others.append((output, node))
            continue
        ends = next((place for place, each in enumerate(chain) if _is_behind_scores(each)), len(chain))
        known = found.get(node.name)
        if known is None or len(known.behind) < ends:
            found[node.name] = Classifier(node, tuple(chain[:ends]))
    if at is not None:
        return found.get(at) or Classifier(_called(graph, at))
    if not found:
        raise _none(graph, skips, others)
    if len(found) > 1:
        raise SurgeryError(
            f"the net has several classifiers: {', '.join(found)}",
            source=graph.source,
            hint=advise("choose one, such as ", Option("at", list(found)[-1])),
        )
    return next(iter(found.values()))


def _none(graph: Graph, skips: Collection[Blob], others: Sequence[tuple[Blob, Node]]) -> SurgeryError:
    """Return the error for a GRAPH whose outputs lead back to OTHERS, layers that are no classifier. SKIPS do not
    count."""
    ends = [blob for blob in graph.outputs if blob in skips]
    if ends and not others:
        return SurgeryError(
            f"the blob {ends[0].name!r} is an output of the net",
            source=graph.source,
            place=Option("skip", [ends[0].name]),
            hint="name a finer blob before the classifier",
        )
    told = [f"the output {blob.name!r} leads back to {node.name!r} ({node.type})" for blob, node in others[:_SHOWN]]
    upsampled = any(node.type in DECONVOLUTIONS for _, node in others)
    return SurgeryError(
        f"found no Convolution or InnerProduct that ends a classifier: {'; '.join(told) or 'no output'}",
        source=graph.source,
        hint=advise(
            "this seems to be a segmentation net already; if not, " if upsampled else "",
            "name the last layer with weights with ",
            Option("at"),
        ),
    )


def _back_from(graph: Graph, output: Blob) -> tuple[Node, list[Node]]:
    """Return the layer with weights on which OUTPUT depends, or one that joins maps or has no bottom, and the layers
    after it."""
    chain: list[Node] = []
    node = graph.producer[output]
    while node.bottoms and not row_of(node.type).linear and not _joins(node):
        chain.insert(0, node)
        node = graph.producer[node.bottoms[0]]
    return node, chain


def _joins(node: Node) -> bool:
    """Return whether NODE joins several maps; a Scale or a Bias does so only if its factors are a bottom."""
    return len(node.bottoms) > 1 and row_of(node.type).joins


def _is_behind_scores(node: Node) -> bool:
    """Return whether NODE makes probabilities of scores, or judges scores."""
    row = row_of(node.type)
    return row.judges or row.reads_scores or row.makes == "probabilities"


def _called(graph: Graph, name: str) -> Node:
    """Return the Convolution or InnerProduct NAME. Raises SurgeryError if there is none."""
    there = {node.name: node for node in graph.nodes if node.type in _CLASSIFIERS}
    if name not in there:
        near = nearest(name, there)
        other = next((node for node in graph.nodes if node.name == name), None)
        what = f"layer {name!r} is of type {other.type}" if other else f"no layer is called {name!r}"
        raise SurgeryError(
            f"{what}; a classifier ends in a Convolution or an InnerProduct",
            source=graph.source,
            place=Option("at", name),
            hint=f"did you mean {near!r}?" if near else None,
        )
    return there[name]


def last_poolings(graph: Graph, shapes: Shapes, classifier: Classifier) -> tuple[Node, ...]:
    """Return the poolings that see the whole nominal map: the last one before the head, if only layers with one bottom
    and without weights are between, and those after it."""
    found = [node for node in classifier.behind if node.type == "Pooling" and _is_one(shapes, node.tops[0])]
    node = classifier.head
    while len(node.bottoms) == 1:
        node = graph.producer[node.bottoms[0]]
        if row_of(node.type).linear or not node.bottoms:
            break
        if node.type == "Pooling":
            if _is_one(shapes, node.tops[0]):
                found.append(node)
            break
    return tuple(found)


def _is_one(shapes: Shapes, blob: Blob) -> bool:
    """Return whether BLOB is a map of one cell at the nominal size."""
    shape = shapes.blobs[blob]
    return isinstance(shape, tuple) and set(shape[2:]) == {1}


def check_map(classifier: Classifier, shapes: Mapping[Blob, object]) -> Shape:
    """Return the shape of the bottom of the head of CLASSIFIER. Raises SurgeryError unless it is a Convolution over a
    map."""
    head = classifier.head
    shape = shapes[head.bottoms[0]]
    if head.type != "Convolution" or not isinstance(shape, tuple):
        over = show(shape) if isinstance(shape, tuple) else "an unknown shape"
        raise SurgeryError(
            layer=head.name, layer_type=head.type, expected="a Convolution over a map", found=f"{head.type} over {over}"
        )
    return shape
