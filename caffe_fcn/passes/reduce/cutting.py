"""Determines which channels, filters and values of parameter blobs are left in one phase of a net, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from caffe_fcn.errors import ShapeError, SurgeryError
from caffe_fcn.model.passing import Phase
from caffe_fcn.model.picked import Places
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.keeping import Blobs, KeptChannels, Unlike
from caffe_fcn.net.shapes import Shape, Unknown, layouts_of
from caffe_fcn.passes.reduce.amounts import Amount
from caffe_fcn.passes.reduce.changes import Followed
from caffe_fcn.passes.reduce.linear import Weighted, cut
from caffe_fcn.passes.reduce.windows import kernel_of
from caffe_fcn.wording import Hint, Option, advise


class Decimation:
    """The changes in one PHASE, by the index of the layer, if some layers, by name, are reduced to AMOUNTS. OUTPUTS:
    whether outputs of the net may lose channels. Raises SurgeryError."""

    def __init__(self, phase: Phase, amounts: Mapping[str, Amount], *, outputs: bool) -> None:
        self.phase = phase
        self.changes: dict[int, Followed] = {}
        self._kept: dict[Blob, KeptChannels] = {}
        self._causes: dict[Blob, str] = {}
        for node in phase.graph.nodes:
            cut_bottoms = [blob for blob in node.bottoms if blob in self._kept]
            if node.name not in amounts and not cut_bottoms:
                continue
            if (left := self._visit(node, amounts.get(node.name))) is not None:
                cause = node.name if node.name in amounts else self._causes[cut_bottoms[0]]
                self._kept.update(dict.fromkeys(node.tops, left))
                self._causes.update(dict.fromkeys(node.tops, cause))
        if not outputs:
            self._check_outputs()

    def _visit(self, node: Node, amount: Amount | None) -> KeptChannels | None:
        """Return the part of the tops of NODE that is left for its AMOUNT; None for all of it."""
        row = row_of(node.type)
        if node.uncomputed:
            raise _refused(node, "fields whose effect is known", node.uncomputed[0].name)
        if row.linear:
            return self._cut(node, amount)
        if amount is not None:
            raise _refused(node, "a Convolution, a Deconvolution or an InnerProduct", f"{node.type}, without filters")
        if row.judges and not node.tops:
            return None
        if row.judges:
            cause, loss = self._cause(node), f"layer {node.name!r} ({node.type})"
            told = f"layer {cause!r} makes the input of {loss}, which needs all channels"
            raise SurgeryError(told, layer=cause, hint="reduce layers before it")
        if row.keeps is None:
            raise self._unsupported(node)
        return self._follow(node)

    def _cut(self, node: Node, amount: Amount | None) -> KeptChannels | None:
        """Return the same for a layer with filters."""
        kept = self._kept.get(node.bottoms[0])
        for position, blob in enumerate(node.bottoms):
            if self._kept.get(blob) != kept:
                raise self._unlike(node, Unlike(0, position))
        cause = "" if kept is None else self._causes[node.bottoms[0]]
        layer = Weighted(node, self._shape(node, node.bottoms[0]), self._params(node), kept, cause)
        kernel = None if amount is None else kernel_of(node, amount, self.phase)
        self.changes[node.index], left = cut(layer, amount, kernel)
        return left

    def _follow(self, node: Node) -> KeptChannels | None:
        """Return the same for a layer that passes channels on."""
        bottoms = [self._shape(node, blob) for blob in node.bottoms]
        tops = [self._shape(node, blob) for blob in node.tops]
        kept = [self._kept.get(blob) for blob in node.bottoms]
        rule = row_of(node.type).keeps
        found = rule(node.layer, Blobs(bottoms, tops[0], kept)) if rule is not None else Unlike(0, 0)
        if isinstance(found, Unlike):
            raise self._unlike(node, found)
        left = [each.of(shape) if each else shape for each, shape in zip(kept, bottoms, strict=True)]
        self._check_tops(node, left, [found.of(top) if found else top for top in tops])
        before = self._params(node)
        after = self._new_params(node, bottoms, left)
        if before != after:
            places = [_places(one, other, kept) for one, other in zip(before, after, strict=True)]
            told = tuple(each for each in places if each is not None)
            if len(told) < len(places):
                raise self._unsupported(node)
            self.changes[node.index] = Followed(node.index, node.name, type=node.type, before=before, places=told)
        return found

    def _check_tops(self, node: Node, bottoms: Sequence[Shape], expected: Sequence[Shape]) -> None:
        """Raise SurgeryError unless NODE makes tops of the EXPECTED shapes from BOTTOMS."""
        shape = row_of(node.type).shape
        try:
            found = list(shape(node.layer, bottoms)) if shape else []
        except ShapeError as error:
            told = f"does not accept the remaining channels of {self._cause(node)!r}: {error.message}"
            raise SurgeryError(f"layer {node.name!r} ({node.type}) {told}", layer=node.name) from error
        if found[: len(expected)] != list(expected):
            raise self._unsupported(node)

    def _new_params(self, node: Node, bottoms: Sequence[Shape], left: Sequence[Shape]) -> tuple[Shape, ...]:
        """Return the shapes of the parameter blobs of NODE over what is LEFT of its BOTTOMS, in the same layout as
        before."""
        before = self._params(node)
        old, new = layouts_of(node.layer, bottoms), layouts_of(node.layer, left)
        layouts = [after for one, after in zip(old, new, strict=True) if tuple(map(tuple, one)) == before]
        return tuple(map(tuple, layouts[0])) if layouts else before

    # ---- Refusals ----

    def _check_outputs(self) -> None:
        for blob in self.phase.graph.outputs:
            if blob in self._kept:
                kept = self._kept[blob]
                cause, left = self._causes[blob], f"{len(kept.places)} of {kept.extent} channels"
                raise SurgeryError(
                    f"the output {blob.name!r} of the net would keep {left}, because layer {cause!r} is reduced",
                    layer=cause,
                    hint=advise("leave that layer out, or allow it with ", Option("cut_outputs", True)),
                )

    def _unlike(self, node: Node, found: Unlike) -> SurgeryError:
        if found.first == found.second:
            return self._unsupported(node)
        first, second = (node.bottoms[each] for each in found)
        return _refused(
            node,
            f"the same remaining channels of {first.name!r} and {second.name!r}",
            f"{self._left(first)} of the first, {self._left(second)} of the second",
            "reduce the layers that make them alike",
        )

    def _left(self, blob: Blob) -> str:
        kept = self._kept.get(blob)
        return "all" if kept is None else f"{len(kept.places)} of {kept.extent} (by {self._causes[blob]!r})"

    def _unsupported(self, node: Node) -> SurgeryError:
        found = f"{node.type}, which is not supported there"
        return _refused(node, f"a layer that can read fewer channels of {self._cause(node)!r}", found)

    def _cause(self, node: Node) -> str:
        return next(self._causes[blob] for blob in node.bottoms if blob in self._kept)

    def _shape(self, node: Node, blob: Blob) -> Shape:
        shape = self.phase.shapes.blobs[blob]
        if isinstance(shape, Unknown):
            way = Option("input_shape" if shape.kind == "input" else "shape", {shape.blob: "NCHW"})
            hint = "" if shape.kind == "runtime" else advise("give it with ", way)
            raise _refused(node, f"a known shape of {blob.name!r}", shape.reason, hint)
        return shape

    def _params(self, node: Node) -> tuple[Shape, ...]:
        found = self.phase.shapes.params.get(node.index)
        if found is None:
            raise _refused(node, "parameter blobs of known shapes", "unknown ones")
        return tuple(map(tuple, found))


def _places(before: Shape, after: Shape, kept: Sequence[KeptChannels | None]) -> Places | None:
    """Return the values that are left of a blob of the shape BEFORE that gets the shape AFTER, if the channels KEPT are
    left; None if that is unknown."""
    axes = [axis for axis, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
    if not axes:
        return (None,) * len(before)
    first = next(filter(None, kept), None)
    if first is None or len(axes) > 1 or (before[axes[0]], after[axes[0]]) != (first.extent, len(first.places)):
        return None
    return tuple(first.places if axis in axes else None for axis in range(len(before)))


def _refused(node: Node, expected: str, found: str, hint: Hint | str = "") -> SurgeryError:
    return SurgeryError(layer=node.name, layer_type=node.type, expected=expected, found=found, hint=hint or None)
