"""Writes a part of a net as a prototxt and a caffemodel, for engines that read only these files.

Such readers often fail because of the form of a net, not because of the net. So it is written in a simple form: no
rules, no data layers, no in-place layers; each layer has the name of its top, and the weights have that name too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message as ProtobufMessage

from caffe_fcn import schema
from caffe_fcn.display import printable
from caffe_fcn.engines.protocol import temporary_copy
from caffe_fcn.errors import EngineError, ShapeError
from caffe_fcn.files.atomic import output_error
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.rewrite import write
from caffe_fcn.model.entries import Held
from caffe_fcn.model.filling import refuse_lacking
from caffe_fcn.model.tensors import Tensor, stored
from caffe_fcn.net import crops
from caffe_fcn.net.effects import readers_of
from caffe_fcn.net.foreign import refusal
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.layers.windows import dilation, rounds_down
from caffe_fcn.net.shapes import Shapes, batch_norm_blobs
from caffe_fcn.onnx.finite import no_number
from caffe_fcn.onnx.scope import Scope
from caffe_fcn.passes.splitting import TYPE, Split, parts_of, split_layer, unique_name
from caffe_fcn.schema import Message
from caffe_fcn.wording import Option, advise

_IMAGE = 4
"""The number of axes of a blob of images."""

NET, WEIGHTS = "net.prototxt", "net.caffemodel"

_HOLES = ("hole", "hole_h", "hole_w")
_ROUNDINGS = ("ceil_mode", "torch_pooling")


class Said(NamedTuple):
    """A layer in the text: its TEXT, the names of the blobs that it READS and MAKES, and its NODE, None for an
    input."""

    text: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    node: Node | None


class Written(NamedTuple):
    """The two files, the layers of the first as text, the names of blobs in them, and the types of the layers that make
    them."""

    net: str
    weights: str
    said: tuple[Said, ...]
    blobs: dict[Blob, str]
    layers: dict[Blob, str]


class ReaderDialect(NamedTuple):
    """What a reader of the files supports: the types of values; the field and the value by which it rounds the size of
    a pooling down; and the fields of forks that it has. TOLD changes a layer, with the number of axes of its first
    bottom, for the reader, and returns text for fields that our schema does not have. Without SCALARS a parameter blob
    has at least one axis."""

    dtypes: tuple[str, ...]
    rounds_down: tuple[str, Any]
    fields: frozenset[str] = frozenset()
    told: Callable[[Message, int], str] = lambda layer, axes: ""
    scalars: bool = True


def write_files(scope: Scope, weights: WeightFile, directory: str, dialect: ReaderDialect) -> Written:
    """Write the net in SCOPE with its parameter blobs in WEIGHTS to DIRECTORY, in the DIALECT of the reader. Raises
    WeightsError if blobs are missing, EngineError if their type of values is not supported."""
    blobs = _names(scope)
    said: list[Said] = []
    for blob in scope.inputs:
        shape = scope.shapes.blobs[blob]
        if not isinstance(shape, tuple):
            raise ShapeError(
                f"the shape of {blob.name!r} is unknown",
                source=scope.graph.source,
                hint=advise("give it with ", Option("input_shape", {blob.name: "NCHW"})),
            )
        fed = schema.LayerParameter(name=blobs[blob], type="Input", top=[blobs[blob]])
        fed.input_param.shape.add(dim=shape)
        said.append(_said(fed, "", None))
    kept = [node for node in scope.graph.nodes if scope.inputs == () or not set(node.tops) & set(scope.inputs)]
    parts = {node.name: _parts(node, blobs, scope.shapes, dialect) for node in kept}
    for node in kept:
        said += [_said(part.layer, dialect.told(part.layer, part.axes), node) for part in parts[node.name]]
    written = Written(
        os.path.join(directory, NET),
        os.path.join(directory, WEIGHTS),
        tuple(said),
        blobs,
        {blob: blobs[node.tops[0]] for node in kept for blob in node.tops},
    )
    try:
        with open(written.net, "w", encoding="utf-8") as file:
            file.writelines(each.text for each in said)
    except OSError as error:
        raise output_error(temporary_copy(weights), error) from error
    refuse_lacking(weights, [(node, scope.shapes.params.get(node.index, ())) for node in kept])
    _write_weights(weights, written.weights, parts, dialect)
    return written


def _said(layer: Message, also: str, node: Node | None) -> Said:
    """Return LAYER as text, with the text ALSO in it."""
    from google.protobuf import text_format

    text = f"layer {{\n{text_format.MessageToString(layer, as_utf8=True)}{also}}}\n"
    return Said(text, tuple(layer.bottom), tuple(layer.top), node)


def _names(scope: Scope) -> dict[Blob, str]:
    """Return the name of each blob: the last version has its own name, earlier ones have a number too."""
    taken = {blob.name for blob in scope.graph.producer}
    names: dict[Blob, str] = {}
    for blob in scope.graph.producer:
        name = blob.name
        if Blob(blob.name, blob.version + 1) in scope.graph.producer:
            name = f"{blob.name}_v{blob.version}"
            while name in taken:
                name += "_"
            taken.add(name)
        names[blob] = name
    return names


class _WrittenLayer(NamedTuple):
    """A layer of the written net, the number of AXES of its first bottom, and the indices of the old layer's blobs that
    it gets; None for all."""

    layer: Message
    axes: int
    takes: tuple[int, ...] | None


def _parts(node: Node, blobs: dict[Blob, str], shapes: Shapes, dialect: ReaderDialect) -> list[_WrittenLayer]:
    """Return NODE as written layers. A BatchNorm of a fork, with its own scale or ReLU, becomes several layers; the
    last one has the name of the top."""
    bottom = shapes.blobs[node.bottoms[0]] if node.bottoms else ()
    axes = len(bottom) if isinstance(bottom, tuple) else 0
    layer = _plain(node, blobs, axes, dialect)
    params = shapes.params.get(node.index, ())
    held = batch_norm_blobs(params)
    relu = bool(node.layer.batch_norm_param.relu)
    if node.type != TYPE or not (relu or held.scale is not None):
        return [_WrittenLayer(layer, axes, None)]
    top = layer.top[0]
    split = Split(tuple(params), held, None if held.scale is None else top, top if relu else None)
    layers = split_layer(layer, split, node.layer)
    taken = {*blobs.values()}
    names = [unique_name(f"{top}_part", taken) for _ in layers[:-1]] + [top]
    for number, (each, name) in enumerate(zip(layers, names, strict=True)):
        each.name, each.top[0] = name, name
        if number:
            each.bottom[0] = names[number - 1]
    return [_WrittenLayer(each, axes, takes) for each, takes in zip(layers, parts_of(split), strict=False)]


def _plain(node: Node, blobs: dict[Blob, str], axes: int, dialect: ReaderDialect) -> Message:
    """Return the layer of NODE on a blob of AXES axes, with new names of BLOBS, in a form that readers accept."""
    layer = schema.LayerParameter()
    layer.CopyFrom(node.layer)
    layer.bottom[:] = [blobs[blob] for blob in node.bottoms]
    layer.top[:] = [blobs[blob] for blob in node.tops]
    layer.name = layer.top[0]
    for field in ("include", "exclude", "param", "propagate_down", "loss_weight"):
        layer.ClearField(field)
    if axes > _IMAGE and layer.HasField("convolution_param"):
        _spell_out(layer.convolution_param, axes - 2)
    if layer.HasField("convolution_param"):
        _say_dilation(layer.convolution_param)
    down = layer.type == "Pooling" and rounds_down(layer)
    for field, _ in layer.ListFields():
        if field.number >= schema.FORKS and layer.type not in readers_of(field.name):
            layer.ClearField(field.name)
    for param, added in _of_forks(layer):
        if added.name not in dialect.fields:
            getattr(layer, param.name).ClearField(added.name)
    if layer.HasField("pooling_param"):
        layer.pooling_param.ClearField("round_mode")  # some readers do not have these fields
    if down:
        setattr(layer.pooling_param, *dialect.rounds_down)
    return layer


def _say_dilation(param: Message) -> None:
    """Write DeepLab's holes as dilation, the name in all other Caffes."""
    if any(map(param.HasField, _HOLES)):
        param.dilation[:] = dilation(param, 2)


def _of_forks(layer: ProtobufMessage) -> list[tuple[FieldDescriptor, FieldDescriptor]]:
    """Return the fields of forks in LAYER that BVLC's messages do not have, each with the field of its message."""
    params = [(param, value) for param, value in layer.ListFields() if isinstance(value, ProtobufMessage)]
    return [
        (param, field)
        for param, value in params
        if param.number < schema.FORKS
        for field, _ in value.ListFields()
        if field.number >= schema.FORKS
    ]


def _spell_out(param: Message, axes: int) -> None:
    """Write the value of PARAM, a ConvolutionParameter, once for each of AXES axes: OpenCV reads beyond the end of
    shorter lists."""
    for name in ("kernel_size", "stride", "pad", "dilation"):
        values = getattr(param, name)
        if len(values) == 1:
            values[:] = [values[0]] * axes


def _write_weights(
    weights: WeightFile, path: str, parts: Mapping[str, Sequence[_WrittenLayer]], dialect: ReaderDialect
) -> None:
    """Write the blobs of layers to PATH, under the names of their PARTS in the new net, in the DIALECT of the
    reader."""
    last = {record.name: position for position, record in enumerate(weights.layers) if record.blobs}
    layers: list[Held] = []
    for position, record in enumerate(weights.layers):
        if record.name not in parts or last.get(record.name) != position:
            continue
        other = next((blob.dtype for blob in record.blobs if blob.dtype not in dialect.dtypes), None)
        if other is not None:
            raise EngineError(
                source=weights.path,
                layer=record.name,
                expected=f"values of {' or '.join(dialect.dtypes)}",
                found=f"{other}, which this engine does not support",
                hint=advise("use ", Option("engine", "onnxruntime")),
            )
        tensors: list[Tensor] = [stored(weights.source, blob) for blob in record.blobs]
        if not dialect.scalars:
            tensors = [tensor.reshaped((1,)) if tensor.shape == () else tensor for tensor in tensors]
        for number, part in enumerate(parts[record.name]):
            header = schema.LayerParameter(name=part.layer.name, type=part.layer.type)
            taken = tensors if part.takes is None else [tensors[place] for place in part.takes]
            layers.append(Held(header, tuple(taken), None if number else record))
    write(weights, path, layers, name=temporary_copy(weights))


# ---- What a reader does not support ----


def of_forks(dialect: ReaderDialect) -> Callable[[Node, Scope], str | None]:
    """Return the rule that refuses fields and types of forks that DIALECT does not support."""
    known = dialect.fields.union(_HOLES, _ROUNDINGS)

    def rule(node: Node, scope: Scope) -> str | None:
        found = [f"{name} is not supported" for name in _values_of_forks(node.layer)]
        found += [
            f"{param.name}.{field.name} is not supported"
            for param, field in _of_forks(node.layer)
            if node.type != TYPE  # it is written as layers that every Caffe has
            and getattr(getattr(node.layer, param.name), field.name) != field.default_value
            and field.name not in known
        ]
        return ", ".join(found) or None

    return rule


def _values_of_forks(layer: ProtobufMessage) -> list[str]:
    """Return the enumerators in LAYER that forks add to BVLC's enums, each with its field."""
    params = [(param, value) for param, value in layer.ListFields() if isinstance(value, ProtobufMessage)]
    return [
        f"{param.name}.{field.name}: {field.enum_type.values_by_number[value].name}"
        for param, message in params
        for field, value in message.ListFields()
        if field.enum_type is not None and not schema.is_repeated(field) and value >= schema.FORKS
    ]


def refuse(engine: str, scope: Scope, rules: Sequence[Callable[[Node, Scope], str | None]]) -> None:
    """Raise EngineError, naming every layer, if ENGINE would not run the net in SCOPE as Caffe does."""
    if reason := refusal(scope.graph) or no_number(scope.graph) or crops.refusal(scope.graph, scope.shapes):
        raise EngineError(reason, source=scope.graph.source)
    found = []
    for node in scope.graph.nodes:
        if node.bottoms:
            reasons = [reason for rule in rules if (reason := rule(node, scope))]
            found += [f'"{printable(node.name)}" ({printable(node.type)}): {reason}' for reason in reasons]
    if found:
        told = "; ".join(found)
        raise EngineError(
            f"{engine} does not compute the same as Caffe: {told}",
            source=scope.graph.source,
            hint=advise("use ", Option("engine", "onnxruntime")),
        )
