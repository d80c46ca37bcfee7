"""Upgrades of nets in old formats, on messages: measured pairs, and rules the pairs do not reach."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import text_format

from caffe_fcn import schema
from caffe_fcn.errors import NetError, PrototxtError
from caffe_fcn.files import prototxt, textmessage
from caffe_fcn.net.effects import Effect
from caffe_fcn.net.source import interpret
from caffe_fcn.net.upgrade import (
    has_legacy_batch_norm,
    has_legacy_inputs,
    has_legacy_transforms,
    is_v0,
    is_v1,
    needs_upgrade,
    upgrade,
    upgrade_layer_header,
    upgrade_with_origins,
)
from caffe_fcn.schema.forks import table
from tests.paths import CORPUS, GOLDEN, SHARED

PAIRS = sorted(path.name.removesuffix(".in.prototxt") for path in (GOLDEN / "upgrades").glob("*.in.prototxt"))
V1_FACTS = SHARED / "facts" / "v1_layer_types.json"
MANIFEST = CORPUS / "manifest.json"

V0_TYPES = """
    accuracy Accuracy  bnll BNLL  concat Concat  conv Convolution  data Data  dropout Dropout
    euclidean_loss EuclideanLoss  flatten Flatten  hdf5_data HDF5Data  hdf5_output HDF5Output  im2col Im2col
    images ImageData  infogain_loss InfogainLoss  innerproduct InnerProduct  lrn LRN
    multinomial_logistic_loss MultinomialLogisticLoss  pool Pooling  relu ReLU  sigmoid Sigmoid
    softmax Softmax  softmax_loss SoftmaxWithLoss  split Split  tanh TanH  window_data WindowData
"""


def parse(text: str, message: str = "NetParameter") -> Any:
    return text_format.Parse(text, schema.message_class(message)())


def golden(name: str) -> Any:
    return parse((GOLDEN / "upgrades" / f"{name}.prototxt").read_text())


def v1_layer(text: str) -> Any:
    """The upgrade of one V1 layer in a net of its own."""
    return upgrade(parse(f"layers {{ {text} }}")).layer[0]


# ---- Pairs measured with the reference tool ----


@pytest.mark.parametrize("name", PAIRS)
def test_upgrade_equals_the_reference_tool(name: str) -> None:
    net = golden(f"{name}.in")
    assert upgrade(net) == golden(f"{name}.out")
    assert net == golden(f"{name}.in"), "the input was changed"


@pytest.mark.parametrize("name", PAIRS)
def test_needs_upgrade_iff_it_changes_anything(name: str) -> None:
    net = golden(f"{name}.in")
    upgraded = upgrade(net)
    assert needs_upgrade(net) == (upgraded != net)
    assert not needs_upgrade(upgraded)
    assert upgrade(upgraded) == upgraded


@pytest.mark.parametrize(
    ("name", "origins"),
    [
        ("v0_net", (0, 2, 3, 4, 5, 6, 7, 8)),  # the padding layer, 1, has no successor
        ("v1_train_val", (0, 1, 2, 3, 4)),
        ("v1_deploy", (None, 0, 1, 2)),
        ("input_fields", (None, 0)),
        ("batchnorm_params", (0, 1)),
    ],
)
def test_origins(name: str, origins: tuple[int | None, ...]) -> None:
    net, found = upgrade_with_origins(golden(f"{name}.in"))
    assert found == origins
    assert len(net.layer) == len(origins)


def test_predicates_tell_the_formats_apart() -> None:
    predicates = (is_v0, is_v1, has_legacy_transforms, has_legacy_inputs)
    found = {name: [holds(golden(f"{name}.in")) for holds in predicates] for name in PAIRS}
    assert found == {
        "batchnorm_params": [False, False, False, False],
        "data_transform": [False, False, False, False],  # Caffe looks for it in V1 layers only
        "input_fields": [False, False, False, True],
        "v0_net": [True, False, False, False],
        "v1_deploy": [False, True, False, True],
        "v1_train_val": [False, True, True, False],
    }


# ---- V0 ----


def test_every_v0_type_becomes_a_current_one() -> None:
    names = V0_TYPES.split()
    types = dict(zip(names[::2], names[1::2], strict=True))
    net = parse("".join(f'layers {{ layer {{ name: "{name}" type: "{name}" }} }}' for name in types))
    assert {layer.name: layer.type for layer in upgrade(net).layer} == types


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            'type: "images" source: "s" batchsize: 2 rand_skip: 3 shuffle_images: true new_height: 4 new_width: 5',
            'image_data_param { source: "s" batch_size: 2 rand_skip: 3 shuffle: true new_height: 4 new_width: 5 }',
        ),
        (
            (
                'type: "window_data" source: "s" batchsize: 2 det_fg_threshold: 0.6 det_bg_threshold: 0.4 '
                'det_fg_fraction: 0.3 det_context_pad: 16 det_crop_mode: "square" cropsize: 227 mirror: true'
            ),
            (
                'window_data_param { source: "s" batch_size: 2 fg_threshold: 0.6 bg_threshold: 0.4 fg_fraction: 0.3 '
                'context_pad: 16 crop_mode: "square" } transform_param { crop_size: 227 mirror: true }'
            ),
        ),
        ('type: "hdf5_data" source: "s" batchsize: 2', 'hdf5_data_param { source: "s" batch_size: 2 }'),
        (
            'type: "hdf5_output" hdf5_output_param { file_name: "f" }',
            'hdf5_output_param { file_name: "f" }',
        ),
        ('type: "infogain_loss" source: "s"', 'infogain_loss_param { source: "s" }'),
        ('type: "concat" concat_dim: 2', "concat_param { concat_dim: 2 }"),
        (
            'type: "pool" pool: AVE kernelsize: 3 stride: 2 pad: 1',
            "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }",
        ),
        ('type: "lrn" k: 2 beta: 0.5', "lrn_param { k: 2 beta: 0.5 }"),
        (
            'type: "innerproduct" num_output: 3 biasterm: false',
            "inner_product_param { num_output: 3 bias_term: false }",
        ),
        ('type: "relu" num_output: 3 kernelsize: 2', ""),  # not ReLU's: ignored, as Caffe does
    ],
)
def test_v0_fields_go_to_the_message_of_their_type(old: str, new: str) -> None:
    layer = upgrade(parse(f"layers {{ layer {{ {old} }} }}")).layer[0]
    layer.ClearField("type")
    assert layer == parse(new, "LayerParameter")


def test_padding_goes_to_every_layer_it_feeds() -> None:
    net = parse(
        """
        layers { layer { name: "pad" type: "padding" pad: 3 } bottom: "data" top: "padded" }
        layers { layer { name: "a" type: "conv" } bottom: "padded" top: "a" }
        layers { layer { name: "b" type: "pool" pad: 1 } bottom: "padded" top: "b" }
        layers { layer { name: "c" type: "conv" } bottom: "data" top: "c" }
        """
    )
    upgraded, origins = upgrade_with_origins(net)
    a, b, c = upgraded.layer
    assert origins == (1, 2, 3)
    assert [*a.bottom, *b.bottom, *c.bottom] == ["data"] * 3
    assert [*a.convolution_param.pad] == [3]
    assert b.pooling_param.pad == 3
    assert not c.HasField("convolution_param")


def test_padding_in_place_is_undone_by_later_producers() -> None:
    net = parse(
        """
        layers { layer { name: "pad" type: "padding" pad: 3 } bottom: "x" top: "x" }
        layers { layer { name: "a" type: "conv" } bottom: "x" top: "x" }
        layers { layer { name: "b" type: "relu" } bottom: "x" top: "x" }
        """
    )
    assert [(layer.name, *layer.bottom) for layer in upgrade(net).layer] == [("a", "x"), ("b", "x")]


@pytest.mark.parametrize(
    ("padded", "user"),
    [
        ('bottom: "data"', 'type: "relu" } bottom: "padded"'),
        ('bottom: "data"', 'type: "conv" } bottom: "padded" bottom: "data"'),
        ('bottom: "data" bottom: "more"', 'type: "conv" } bottom: "padded"'),
        ('bottom: "data" bottom: "more"', 'type: "conv" } bottom: "padded" bottom: "more"'),
        ("", 'type: "pool" } bottom: "padded"'),
    ],
)
def test_padding_before_anything_but_conv_and_pool_is_refused(padded: str, user: str) -> None:
    padding = f'layers {{ layer {{ name: "pad" type: "padding" pad: 3 }} {padded} top: "padded" }}'
    with pytest.raises(NetError, match=r'net: layer "user": expected a conv or pool layer .* after padding'):
        upgrade(parse(f'{padding} layers {{ layer {{ name: "user" {user} top: "y" }}'))


def test_v0_unknown_type_is_named() -> None:
    with pytest.raises(
        NetError, match=r'my.prototxt: layer "x": unknown type "convolution"; expected one of accuracy,'
    ):
        upgrade(parse('layers { layer { name: "x" type: "convolution" } }'), source="my.prototxt")


def test_v0_value_that_does_not_fit_is_named() -> None:
    with pytest.raises(NetError, match=r'layer "x": new_height is out of range, found -1'):
        upgrade(parse('layers { layer { name: "x" type: "images" new_height: -1 } }'))


def test_v1_layer_between_v0_layers_stays_whole() -> None:
    net = parse('layers { layer { type: "relu" } } layers { name: "c" type: CONVOLUTION blobs_lr: 2 }')
    layer = upgrade(net).layer[1]
    assert (layer.name, layer.type, layer.param[0].lr_mult) == ("c", "Convolution", 2)


# ---- V1 ----


@pytest.mark.skipif(not V1_FACTS.exists(), reason=f"the recorded facts are not at {V1_FACTS}")
def test_every_v1_type_becomes_caffes() -> None:
    facts = json.loads(V1_FACTS.read_text())
    del facts["NONE"]
    assert {name: v1_layer(f"type: {name}").type for name in facts} == facts


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("INNER_PRODUCT", "InnerProduct"),
        ("RELU", "ReLU"),
        ("TANH", "TanH"),
        ("HDF5_DATA", "HDF5Data"),
        ("IM2COL", "Im2col"),
        ("ABSVAL", "AbsVal"),
        ("SOFTMAX_LOSS", "SoftmaxWithLoss"),
        ("CONVOLUTION3D", "Convolution3D"),
        ("POOLING3D", "Pooling3D"),
        ("DECONVOLUTION3D", "Deconvolution3D"),
        ("VIDEO_DATA", "VideoData"),
        ("CROP", "Crop"),
        ("ROI_POOLING", "ROIPooling"),
        ("SMOOTH_L1_LOSS", "SmoothL1Loss"),
        ("MULTI_STAGE_MEANFIELD", "MultiStageMeanfield"),
        ("PRELU", "PReLU"),
        ("BN", "BN"),
    ],
)
def test_v1_type(old: str, new: str) -> None:
    assert v1_layer(f"type: {old}").type == new


@pytest.mark.parametrize(
    "kept",
    [
        'bottom: "a" bottom: "b" top: "c" name: "n"',
        "include { phase: TEST min_level: 1 } exclude { not_stage: 's' }",
        "loss_weight: 0.5 loss_weight: 0",
        "blobs { num: 1 channels: 1 height: 1 width: 2 data: 3 data: 4 } blobs { shape { dim: 1 } data: 5 }",
        "transform_param { crop_size: 3 mean_value: 1 mean_value: 2 } loss_param { ignore_label: 255 }",
        "convolution_param { num_output: 2 kernel_h: 3 kernel_w: 1 weight_filler { type: 'xavier' } }",
        "convolution_param { kernel_depth: 3 temporal_stride: 2 } pooling_param { kernel_depth: 2 }",  # C3D 1.0
        "roi_pooling_param { pooled_h: 6 pooled_w: 7 }",
        "bn_param { bn_mode: INFERENCE }",
        "inner_product_param { }",
    ],
)
def test_v1_fields_that_kept_their_name_are_carried_over(kept: str) -> None:
    assert v1_layer(f"type: CONVOLUTION {kept}") == parse(f'type: "Convolution" {kept}', "LayerParameter")


def test_v1_parallel_lists_become_param_specs() -> None:
    layer = v1_layer(
        "type: INNER_PRODUCT param: 'w' blobs_lr: 1 blobs_lr: 0 weight_decay: 2 blob_share_mode: PERMISSIVE"
    )
    specs = "param { name: 'w' lr_mult: 1 decay_mult: 2 share_mode: PERMISSIVE } param { lr_mult: 0 }"
    assert layer == parse(f"type: 'InnerProduct' {specs}", "LayerParameter")


@pytest.mark.parametrize(
    ("type_name", "param"),
    [("DATA", "data_param"), ("IMAGE_DATA", "image_data_param"), ("WINDOW_DATA", "window_data_param")],
)
def test_v1_transforms_move_out_of_the_data_layers(type_name: str, param: str) -> None:
    layer = v1_layer(
        f"type: {type_name} {param} {{ source: 's' scale: 0.5 mean_file: 'm' crop_size: 2 mirror: false }}"
        "transform_param { scale: 3 force_gray: true }"
    )
    assert getattr(layer, param) == parse(f"{param} {{ source: 's' }}", "LayerParameter").__getattribute__(param)
    assert layer.transform_param == parse(
        "scale: 0.5 mean_file: 'm' crop_size: 2 mirror: false force_gray: true", "TransformationParameter"
    )


def test_v1_data_layers_without_transform_stay_as_they_are_unless_another_has_one() -> None:
    plain = "layers { type: DATA data_param { source: 's' } }"
    assert not upgrade(parse(plain)).layer[0].HasField("transform_param")
    both = upgrade(parse(f"{plain} layers {{ type: DATA data_param {{ crop_size: 2 }} }} layers {{ type: RELU }}"))
    assert [layer.HasField("transform_param") for layer in both.layer] == [True, True, False]


@pytest.mark.parametrize("layer", ["", "type: NONE", "bottom: 'y' top: 'z'"])
def test_v1_layer_without_type_is_named(layer: str) -> None:
    message = r'layer "x": it has no type or an unknown one; expected a type of V1'
    with pytest.raises(NetError, match=message):
        upgrade(parse(f"layers {{ name: 'x' {layer} }}"))


def test_layer_without_type_and_name_is_counted() -> None:
    with pytest.raises(NetError, match=r"net: layer 1, which has no name: it has no type"):
        upgrade(parse("layers { type: RELU } layers { bottom: 'x' }"))


def test_layer_and_layers_together_are_refused() -> None:
    net = parse("layer { type: 'ReLU' } layers { type: RELU } layers { type: RELU }")
    with pytest.raises(NetError, match=r"expected all layers in one format, found 1 in 'layer' and 2 in 'layers'"):
        upgrade(net)


def test_fields_of_the_net_are_kept() -> None:
    fields = "name: 'n' force_backward: true debug_info: true state { phase: TEST stage: 's' }"
    for layer in ("layers { type: RELU }", "layers { layer { type: 'relu' } }"):
        assert upgrade(parse(fields + layer)) == parse(fields + "layer { type: 'ReLU' }")


# ---- Inputs and BatchNorm ----


def test_input_dims_are_taken_by_fours_and_the_rest_is_ignored() -> None:
    net = upgrade(parse("input: 'a' input: 'b' " + " ".join(f"input_dim: {dim}" for dim in range(1, 10))))
    assert [[*shape.dim] for shape in net.layer[0].input_param.shape] == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert [*net.layer[0].top] == ["a", "b"]
    assert not net.input_dim and not net.input


def test_input_shape_goes_before_input_dim() -> None:
    net = upgrade(parse("input: 'a' input_dim: 1 input_shape { dim: 5 dim: 6 }"))
    assert [[*shape.dim] for shape in net.layer[0].input_param.shape] == [[5, 6]]


def test_input_without_dimensions_is_an_input_layer_without_shape() -> None:
    assert upgrade(parse("input: 'a'")) == parse("layer { name: 'input' type: 'Input' top: 'a' }")


@pytest.mark.parametrize(
    "dims", ["input_dim: 1 input_dim: 2 input_dim: 3", "input_shape { dim: 1 }", "input_dim: 1 " * 7]
)
def test_too_few_dimensions_are_refused(dims: str) -> None:
    with pytest.raises(NetError, match=r"net: expected an input_shape or 4 input_dim for each of 2 inputs, found"):
        upgrade(parse(f"input: 'a' input: 'b' {dims}"))


def test_rates_of_batch_norm_statistics_become_zero() -> None:
    net = parse("layer { type: 'BatchNorm' param { lr_mult: 1 name: 'm' } param { decay_mult: 0 } param { } }")
    assert has_legacy_batch_norm(net)
    assert needs_upgrade(net)
    upgraded = upgrade(net)
    zero = "lr_mult: 0 decay_mult: 0"
    specs = f"param {{ name: 'm' {zero} }} param {{ {zero} }} param {{ {zero} }}"
    assert upgraded == parse(f"layer {{ type: 'BatchNorm' {specs} }}")
    assert not has_legacy_batch_norm(upgraded)


@pytest.mark.parametrize("layer", ["type: 'BatchNorm' param { } param { }", "type: 'BN' param { } param { } param { }"])
def test_other_rates_are_left_alone(layer: str) -> None:
    net = parse(f"layer {{ {layer} }}")
    assert upgrade(net) == net


# ---- One layer at a time, as weights are read ----


def test_layer_header_equals_the_layer_of_the_upgraded_net() -> None:
    for name in ("v0_net", "v1_train_val"):
        net = golden(f"{name}.in")
        headers = [upgrade_layer_header(layer) for layer in net.layers if layer.layer.type != "padding"]
        whole = upgrade(net).layer
        for header, layer in zip(headers, whole, strict=True):
            if name == "v0_net" and layer.name == "conv1":  # what folding changes takes the whole net
                header.bottom[0] = "data"
                header.convolution_param.pad.append(2)
            assert header == layer


def test_layer_header_of_padding_keeps_its_name() -> None:
    layer = parse("layer { name: 'pad1' type: 'padding' pad: 2 } bottom: 'a' top: 'b'", "V1LayerParameter")
    assert upgrade_layer_header(layer) == parse("name: 'pad1' type: 'Padding' bottom: 'a' top: 'b'", "LayerParameter")


@pytest.mark.parametrize("layer", ["type: ARGMAX", "", "layer { type: 'mine' }"])
def test_layer_header_takes_the_prototxts_word_for_the_type(layer: str) -> None:
    old = parse(f"name: 'x' {layer}", "V1LayerParameter")
    assert upgrade_layer_header(old, type_name="Convolution3D").type == "Convolution3D"


def test_layer_header_without_type_is_refused() -> None:
    with pytest.raises(NetError, match=r'w.caffemodel: layer "x": it has no type'):
        upgrade_layer_header(parse("name: 'x'", "V1LayerParameter"), source="w.caffemodel")


def test_binary_layer_keeps_fields_nobody_knows() -> None:
    unknown = bytes([0xFA, 0x3F, 0x02]) + b"hi"  # field 1023, a string
    param = bytes([0x08, 0x05]) + unknown  # num_output: 5
    record = bytes([0x28, 0x0E, 0x8A, 0x01, len(param)]) + param  # INNER_PRODUCT and its parameters
    layer = upgrade_layer_header(schema.V1LayerParameter.FromString(record))
    assert layer.inner_product_param.SerializeToString() == param


def test_binary_names_that_are_no_text_are_an_error_not_a_crash() -> None:
    try:
        layer = schema.V1LayerParameter.FromString(bytes([0x22, 0x02, 0xFF, 0xFE, 0x28, 0x04]))
    except UnicodeDecodeError:
        pytest.skip("this protobuf refuses such a name as it parses")
    with pytest.raises(NetError, match="expected names in UTF-8"):
        upgrade_layer_header(layer)


def test_v1_caffemodel_is_the_current_one_after_upgrade() -> None:
    lenet = GOLDEN / "conversions" / "lenet"
    old = schema.NetParameter.FromString((lenet / "variants" / "v1.caffemodel").read_bytes())
    current = schema.NetParameter.FromString((lenet / "net.caffemodel").read_bytes())
    values = {layer.name: [[*blob.data] for blob in layer.blobs] for layer in current.layer if layer.blobs}
    upgraded = upgrade(old).layer
    assert {layer.name: [[*blob.data] for blob in layer.blobs] for layer in upgraded if layer.blobs} == values
    types = {layer.name: layer.type for layer in current.layer}
    assert {layer.name: layer.type for layer in upgraded} == {layer.name: types[layer.name] for layer in upgraded}


# ---- Real nets ----


def corpus_entries() -> list[dict[str, Any]]:
    if not MANIFEST.exists():
        return []
    return [entry for entry in json.loads(MANIFEST.read_text()) if entry["format"] != "V2"]


@pytest.mark.skipif(not MANIFEST.exists(), reason=f"the corpus of real nets is not at {CORPUS}")
@pytest.mark.parametrize("entry", corpus_entries(), ids=lambda entry: entry["file"])
def test_legacy_net_of_the_corpus(entry: dict[str, Any]) -> None:
    document = prototxt.read(CORPUS / entry["file"])
    net = textmessage.to_message(document, schema.NetParameter).message
    if "mixed" in entry["format"]:
        with pytest.raises(NetError, match="one format"):
            upgrade(net)
        return
    assert (is_v0(net), is_v1(net)) == (entry["format"] == "V0", entry["format"] == "V1")
    upgraded, origins = upgrade_with_origins(net)
    assert sum(layer.type == "InnerProduct" for layer in upgraded.layer) == entry["inner_products"]
    for layer, origin in zip(upgraded.layer, origins, strict=True):
        if origin is not None:
            old = net.layers[origin]
            assert layer.name == (old.layer.name or old.name)
            assert [*layer.top] == [*old.top]
    if "measured" in entry:
        assert {*entry["measured"]["params"]} <= {layer.name for layer in upgraded.layer}
        tops = {top for layer in upgraded.layer for top in layer.top}
        assert {blob for blob in entry["measured"]["blobs"] if "_split_" not in blob} <= tops


@pytest.mark.parametrize("name", [row.name for row in table().enumerators if row.enum == "V1LayerParameter.LayerType"])
def test_every_type_of_2014_that_a_fork_has_is_known(name: str) -> None:
    source = interpret(prototxt.parse(f"layers {{ name: 'x' type: {name} top: 'x' }}", "net.prototxt"))
    special = {"RELU6": "ReLU6", "ROIPOOLING": "ROIPooling", "BN": "BN"}
    words = "".join(word.capitalize() for word in name.replace("3D", "3d").split("_")).replace("3d", "3D")
    assert source.net.layer[0].type == special.get(name, words)


def test_a_type_of_2014_that_no_fork_has_is_named() -> None:
    text = "layers { name: 'x' type: RELU7 top: 'x' }"
    with pytest.raises(PrototxtError, match=r"net\.prototxt:1:26: unknown layer type 'RELU7'; expected a type of"):
        interpret(prototxt.parse(text, "net.prototxt"))


def test_the_slope_of_a_relu6_of_2014_is_kept() -> None:
    text = "layers { name: 'x' type: RELU6 bottom: 'a' top: 'x' relu6_param { negative_slope: 0.5 } }"
    source = interpret(prototxt.parse(text, "net.prototxt"))
    assert source.net.layer[0].relu6_param.negative_slope == 0.5
    assert [field.effect for field in source.foreign if field.name == "relu6_param"] == [Effect.APPLIED]
