"""Changes the size of the images that a net takes: writes it into the input layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from caffe_fcn.errors import ShapeError, SurgeryError
from caffe_fcn.model.changes import Change, Decision
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import objection_notes
from caffe_fcn.model.passing import Claim, Result, carried_out
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.images import image_inputs, known_shape
from caffe_fcn.net.shapes import Shape, Shapes, refusals_since, show
from caffe_fcn.net.sizes import advice, other_parameters
from caffe_fcn.schema import Message
from caffe_fcn.wording import Option, advise, option


def resize(model: Model, size: tuple[int, ...]) -> Result:
    """MODEL with input images of the spatial SIZE, H×W in pixels. The notes of the decision hold for that size.

    Raises SurgeryError where the net has no input with as many spatial axes, where the file does not define the size of
    the input, and where a layer needs another size.
    """
    phases = model.graphs.items()
    changes = [change for phase, graph in phases for change in resized_inputs(graph, model.shapes[phase], size)]
    images = {phase: _images(graph, model.shapes[phase]) for phase, graph in phases}
    channels = image_channels(model)
    decision = Decision(tuple(dict.fromkeys(changes)))

    def resized(old: Model) -> Result:
        return carried_out(old, decision, claim=Claim.SAME_BITS, resized=channels)

    notes: list[str] = []
    for phase, graph in phases:
        alone = replace(model, graphs={phase: graph}, shapes={phase: model.shapes[phase]})
        notes += _checked(alone, resized, images[phase], size)
    return replace(resized(model), decision=replace(decision, notes=tuple(notes)))


def image_channels(model: Model) -> dict[str, dict[str, int]]:
    """The inputs of MODEL that are images, with their channels, by phase and name: what `carried_out` has to know where
    a decision resizes them."""
    images = {phase: _images(graph, model.shapes[phase]) for phase, graph in model.graphs.items()}
    return {phase: {name: shape[1] for name, shape in blobs.items()} for phase, blobs in images.items()}


def _images(graph: Graph, shapes: Shapes) -> dict[str, Shape]:
    return {blob.name: known_shape(shapes, blob) for blob in image_inputs(graph, shapes)}


def _checked(
    model: Model, resized: Callable[[Model], Result], images: Mapping[str, Shape], size: tuple[int, ...]
) -> list[str]:
    """The notes on MODEL, in one phase, with its IMAGES RESIZED to SIZE. Raises SurgeryError if that fails."""
    shown, (before, shapes) = option("input_size", size), (model.graph, model.shapes[model.phase])
    given = {name: shape for name, shape in model.selection.given.items() if name not in images}
    try:
        new = resized(model).model
        misfit = other_parameters(before, shapes, new.shapes[model.phase])
        if misfit:
            raise ShapeError(str(misfit), layer=misfit.node.name, index=misfit.node.index)
    except ShapeError as error:
        told = error.within(model.source.name) + advice(before, shapes, images, size, given)
        raise SurgeryError(
            f"{shown} does not suit the converted net: {told}", layer=error.layer, index=error.index
        ) from error
    after = (new.graph, new.shapes[model.phase])
    refused = refusals_since((before, shapes), after)
    if refused:
        raise SurgeryError(
            f"with {shown} Caffe would refuse the net: {refused[0].message}; convert the deploy net, "
            "or remove the layers that read labels first",
            hint=advise("or leave out ", Option("input_size")),
        )
    return objection_notes(*after)


@dataclass(frozen=True, repr=False)
class ResizeInput(Change):
    """The spatial size of an input: the last axes of the shapes that TOPS name, or the crop of a data layer."""

    size: tuple[int, ...]
    tops: tuple[int, ...]
    kind: ClassVar[str] = "input_size"
    in_weights: ClassVar[bool] = False

    def apply(self, target: Message) -> None:
        if self.index < 0:
            self._apply_to_fields(target)
        elif target.type == "Input":
            shapes = target.input_param.shape
            for position in self.tops:
                dims = shapes[min(position, len(shapes) - 1)].dim
                dims[-len(self.size) :] = self.size
        else:
            target.transform_param.crop_size = self.size[0]

    def describe(self) -> str:
        return f"input {show(self.size)}"

    def document(self) -> dict[str, Any]:
        return {"layer": self.layer, "input_size": list(self.size)}

    def _apply_to_fields(self, net: Message) -> None:
        """Change the `input` fields of NET, which have no layer."""
        for position in self.tops:
            if net.input_shape:
                net.input_shape[position].dim[-len(self.size) :] = self.size
            else:
                end = 4 * position + 4
                net.input_dim[end - len(self.size) : end] = self.size


def resized_inputs(graph: Graph, shapes: Shapes, size: tuple[int, ...]) -> list[ResizeInput]:
    """The changes that give the image inputs of GRAPH the spatial SIZE. Raises SurgeryError where the net has no
    such input, or the file does not define its size."""
    images = image_inputs(graph, shapes)
    images = [blob for blob in images if len(known_shape(shapes, blob)) >= 2 + len(size)]
    if not images:
        raise SurgeryError(f"the net has no input with {len(size)} spatial axes", place=Option("input_size", size))
    sizes = {known_shape(shapes, blob)[-len(size) :] for blob in images}
    if len(sizes) > 1:
        found = ", ".join(f"{blob.name!r} {_shown(known_shape(shapes, blob)[-len(size) :])}" for blob in images)
        raise SurgeryError(
            f"the net's inputs have different sizes: {found}",
            place=Option("input_size", size),
            hint="edit the sizes in the file",
        )
    makers = {graph.producer[blob].index: graph.producer[blob] for blob in images}
    edits = []
    for node in makers.values():
        positions = tuple(position for position, blob in enumerate(node.tops) if blob in images)
        _check_resizable(node, size)
        edits.append(ResizeInput(node.index, node.name, size=size, tops=positions))
    return edits


def _check_resizable(node: Node, size: tuple[int, ...]) -> None:
    if node.type == "Input" and node.layer.input_param.shape:
        return
    if node.layer.transform_param.crop_size and len(set(size)) == 1:
        return
    if node.layer.transform_param.crop_size:
        raise SurgeryError(
            f"layer {node.name!r} ({node.type}) can crop squares only",
            place=Option("input_size", size),
            hint="give a square size",
        )
    raise SurgeryError(
        f"the file does not define the size of layer {node.name!r} ({node.type})",
        place=Option("input_size", size),
        hint="change the size of the images in its data source instead",
    )


def _shown(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))
