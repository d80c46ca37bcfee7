"""Takes the parts of two nets that differ as nets of their own.

Where a layer cannot be run, nothing needs to be run up to the last blobs that are the same in both nets, made by the
same layers with the same parameter blobs. For any values of these blobs, the results must agree. The positions and the
exactness of cells are still those of the whole net.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from caffe_fcn.errors import CaffeFcnError, ShapeError
from caffe_fcn.net import crops
from caffe_fcn.net.geometry import Cause, Geometry, Reason, infer_geometry
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.shapes import Shape, infer_shapes
from caffe_fcn.onnx.scope import Scope, choose_scope
from caffe_fcn.verify.grid import lay_out
from caffe_fcn.verify.outputs import Pairs, Party
from caffe_fcn.verify.parts import subnet
from caffe_fcn.verify.records import Dense, DenseProof
from caffe_fcn.verify.weights import Side


def remainders(original: tuple[Side, Scope], twin: tuple[Side, Scope], pairs: Pairs) -> tuple[Party, Party] | None:
    """The parts of ORIGINAL and TWIN after the last blobs that both make in the same way; None if that is all of them,
    or cannot be run as a separate net."""
    wanted = [output for output in pairs.outputs if not output.identical]
    blobs = [output.blob for output in wanted], [output.twin for output in wanted]
    common = set(pairs.values[0].values()) & set(pairs.values[1].values())
    while True:
        found = [
            _behind(scope, outputs, numbers, common)
            for (_, scope), outputs, numbers in zip((original, twin), blobs, pairs.values, strict=True)
        ]
        later = _later(original[1].graph, pairs.values[0], found[0][1].keys(), found[1][1].keys())
        if not later:
            break
        common -= later
    fed = list(dict.fromkeys(number for _, numbers in found for number in numbers))
    if not fed or len(found[0][0]) == sum(bool(node.bottoms) for node in original[1].graph.nodes):
        return None
    parties = []
    sides = zip((original, twin), found, blobs, pairs.values, strict=True)
    for (side, scope), (nodes, known), outputs, numbers in sides:
        party = _party(side, scope, nodes, [known.get(number) or _one(numbers, number) for number in fed], outputs)
        if party is None:
            return None
        parties.append(party)
    return parties[0], parties[1]


def _behind(
    scope: Scope, outputs: Sequence[Blob], numbers: Mapping[Blob, int], common: set[int]
) -> tuple[list[Node], dict[int, Blob]]:
    """The layers on which OUTPUTS depend and whose tops are not COMMON, and the common blobs that they read."""
    needed: set[int] = set()
    fed: dict[int, Blob] = {}
    queue = list(outputs)
    while queue:
        blob = queue.pop()
        if numbers[blob] in common:
            fed.setdefault(numbers[blob], blob)
            continue
        node = scope.graph.producer[blob]
        if id(node) not in needed:
            needed.add(id(node))
            queue.extend(node.bottoms)
    return [node for node in scope.graph.nodes if id(node) in needed], fed


def _later(graph: Graph, numbers: Mapping[Blob, int], ours: Set[int], theirs: Set[int]) -> set[int]:
    """Of the numbers that one net reads and the other does not, OURS or THEIRS, those of blobs made of others that are
    read: the values of both cannot be chosen."""
    made = {number: graph.producer[_one(numbers, number)] for number in ours | theirs}
    before = {number: graph.before([made[number]]) - {made[number].index} for number in ours ^ theirs}
    return {number for number, nodes in before.items() if any(made[each].index in nodes for each in ours | theirs)}


def _one(numbers: Mapping[Blob, int], number: int) -> Blob:
    """A blob with NUMBER."""
    return next(blob for blob, each in numbers.items() if each == number)


def _party(
    side: Side, scope: Scope, nodes: Sequence[Node], read: Sequence[Blob], outputs: Sequence[Blob]
) -> Party | None:
    """NODES of SCOPE as a net whose inputs are the blobs that they READ; None if that is not possible, or if the user
    must decide on a Crop in it, because the part does not show its offset."""
    undecided = {each.layer for each in crops.undecided(scope.graph, scope.shapes)}
    if any(node.index in undecided for node in nodes):
        return None
    fed: dict[str, Shape] = {}
    for blob in read:
        shape = scope.shapes.blobs[blob]
        if not isinstance(shape, tuple) or not shape or blob.name in fed:
            return None
        fed[blob.name] = shape
    try:
        net = subnet(nodes, fed, scope.graph)
        return Party(net, side.weights, choose_scope(*net, [blob.name for blob in outputs]), fed)
    except CaffeFcnError:
        return None


def seen_from_the_input(found: DenseProof, twin: Scope, part: Party) -> DenseProof:
    """The result FOUND for PART of TWIN, with the geometry of its outputs on the input of the whole net."""
    sizes = _geometries(twin)
    fed = [blob for blob in twin.graph.producer if blob.name in part.inputs and sizes[0].get(blob) is None]
    strangers = tuple(Reason(Cause.NO_WINDOWS, twin.graph.producer[blob].name) for blob in fed)
    blobs = {blob.name: blob for blob in twin.outputs}

    def seen(each: Dense) -> Dense:
        known = [geometry for size in sizes if (geometry := size.get(blobs[each.output.twin])) is not None]
        if not each.stride:
            return each
        if not known:
            return each._replace(stride=(), window=(), ahead=strangers)
        reasons = dict.fromkeys(reason for geometry in known for reason in geometry.reasons)
        return each._replace(
            stride=tuple(map(float, known[0].stride)),
            window=known[0].window,
            ahead=tuple(reason for reason in reasons if reason not in each.reasons),
        )

    return found._replace(outputs=tuple(map(seen, found.outputs)))


def _geometries(twin: Scope) -> list[dict[Blob, Geometry | None]]:
    """The geometry of TWIN at the larger size at which the whole net would be compared, if there is one, and at the
    nominal size."""
    nominal = infer_geometry(twin.graph, twin.shapes)
    if len(twin.inputs) != 1:
        return [nominal]
    (image,), grid = twin.inputs, lay_out(twin.graph, twin.shapes, twin.inputs[0])
    shape = twin.shapes.blobs[image]
    if isinstance(grid, str) or not isinstance(shape, tuple):
        return [nominal]
    try:
        shapes = infer_shapes(twin.graph, given={image.name: (*shape[:2], *grid.larger)})
    except ShapeError:
        return [nominal]
    return [infer_geometry(twin.graph, shapes), nominal]
