"""Makes the inputs of the net in use: their shapes, and comments on what the data layers did to images."""

from __future__ import annotations

from collections.abc import Collection

from caffe_fcn import schema
from caffe_fcn.display import printable
from caffe_fcn.errors import ShapeError
from caffe_fcn.model.changes import NewLayer
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import given_to
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.layers.data import tells_size
from caffe_fcn.net.shapes import Shape, Unknown, infer_shapes, show
from caffe_fcn.passes.deploy.changes import BecomeInput
from caffe_fcn.schema import Message
from caffe_fcn.wording import Option, advise

INPUT = "Input"
_GREY, _COLOURS = 1, 3
_IMAGE_AXES, _SPATIAL = 4, 2
_LONGEST = 80
"""The maximum number of characters of a file name in a comment."""


def become_input(node: Node, blobs: tuple[Blob, ...], model: Model, items: int | None, name: str) -> BecomeInput:
    """Return NODE, which feeds BLOBS, as an Input called NAME, with ITEMS items; None keeps the number. Raises
    ShapeError if a shape is unknown."""
    items = None if node.type == INPUT else items
    found = {blob.name: _shape(node, blob, model, items) for blob in blobs}
    layer = schema.LayerParameter(name=name, type=INPUT, top=list(found))
    for shape in found.values():
        layer.input_param.shape.add(dim=shape)
    comment = () if node.type == INPUT else transform_comment(node.layer, next(iter(found.values())))
    return BecomeInput(node.index, node.name, node.type, NewLayer(layer, comment=comment), blobs=found)


def _shape(node: Node, blob: Blob, model: Model, items: int | None) -> Shape:
    shapes = model.shapes[model.phase]
    shape = shapes.blobs[blob]
    if isinstance(shape, Unknown):
        raise _asked_for(node, blob, "NCHW", shape.reason, trained=model.weights is not None)
    return (items, *shape[1:]) if items is not None and shape else shape


def check_size(node: Node, blob: Blob, model: Model) -> None:
    """Raise ShapeError if NODE does not define the size of the images BLOB, and the weights fit several sizes."""
    shapes = model.shapes[model.phase]
    shape = shapes.blobs[blob]
    if isinstance(shape, Unknown) or blob.name in model.selection.given or tells_size(node.layer):
        return
    larger = (*shape[:-_SPATIAL], *(extent + 1 for extent in shape[-_SPATIAL:]))
    try:
        given = {**given_to(model, model.phase), blob.name: larger}
        other = infer_shapes(model.graph._replace(held={}), given=given)
    except ShapeError:
        return
    if other.params == shapes.params:
        reason = f"the weights suit images of {show(shape[-_SPATIAL:])}, and larger ones"
        raise _asked_for(node, blob, ("1", *map(str, shape[1:-_SPATIAL]), "H", "W"), reason)


def _asked_for(node: Node, blob: Blob, form: Collection[str], reason: str, *, trained: bool = False) -> ShapeError:
    """The error for an unknown shape of BLOB. TRAINED: there are weights, which do not determine it."""
    return ShapeError(
        f"the shape of the input {blob.name!r} is unknown: {reason}",
        layer=node.name,
        layer_type=node.type,
        index=node.index,
        hint=advise(
            "give it with ",
            Option("input_shape", {blob.name: form}),
            ", if these are the weights of this net" if trained else "",
        ),
    )


def transform_comment(layer: Message, shape: Shape) -> tuple[str, ...]:
    """Return a line of a comment that says what the data LAYER does to its images of SHAPE; no line if it does
    nothing."""
    if not layer.HasField("transform_param"):
        return ()
    param = layer.transform_param
    order = {_GREY: "grey", _COLOURS: "channels in the order B, G, R"}
    steps = [order[shape[1]]] if len(shape) == _IMAGE_AXES and shape[1] in order else []
    if param.mean_value:
        steps.append(f"minus the mean {', '.join(f'{value:.6g}' for value in param.mean_value)}")
    if param.mean_file:
        steps.append(f"minus the mean in {printable(param.mean_file, _LONGEST)}")
    if param.scale != 1:
        steps.append(f"times {param.scale:.6g}")
    told = f"The layer {printable(layer.name, _LONGEST)} ({layer.type}) fed images: "
    return (told + (", ".join(steps) or "as they are") + ".",)
