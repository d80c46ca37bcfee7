"""The table of effects: what the fields of forks that BVLC Caffe does not know do to shapes and answers.

A row is a message and the names of its fields; `*` stands for every other field, also one that no known fork has.
A field that our schema adds is applied unless a row says otherwise. `name=value` gives the default of a field if the
schemas of forks (`caffe_fcn.schema.forks`) do not: a field with its default value has no effect.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import NamedTuple

from caffe_fcn import schema
from caffe_fcn.net.layers import LAYERS
from caffe_fcn.schema.forks import ForkField, fork_fields


class Effect(Enum):
    """The effect of a field that BVLC Caffe does not know."""

    NONE = "none"
    """It changes neither shapes nor answers: training, engines, sources of data, logging, memory."""
    OWN = "own"
    """It is a parameter of a layer type that BVLC Caffe does not have; commands that need the type refuse it."""
    APPLIED = "applied"
    """It changes shapes or answers, and is supported, perhaps only by engines that support the layer's type."""
    VALUES = "values"
    """It changes answers but no shape, and is not supported."""
    SHAPES = "shapes"
    """It changes shapes, and is not supported."""
    UNKNOWN = "unknown"
    """No known fork has it."""


class _Row(NamedTuple):
    effect: Effect
    default: str | None


_APPLIED = """
AnnotatedDataParameter: label_map_file
ConvolutionParameter: pad_l=0 pad_r=0 pad_t=0 pad_b=0
DataParameter: new_height new_width
DenseImageDataParameter: batch_size new_height new_width is_color crop_size crop_width crop_height
DenseImageDataParameter: label_divide_factor=1
DetectNetGroundTruthParameter: stride image_size_x image_size_y
ImageDataParameter: new_length
PoolingParameter: ceil_mode=true pad_l=0 pad_r=0 pad_t=0 pad_b=0
ResizeParameter: height width
VideoDataParameter: batch_size crop_size new_height new_width is_color new_length num_segments=1 modality=RGB
"""
"""Fields of our schema with a default, or of messages whose other fields have no effect."""

_VALUES = """
ArgMaxParameter: min_first=false
BNParameter: icnet=false
BatchNormParameter: disable_mean disable_variance add_eps_before_sqrt=true icnet=false
BiasParameter: input_scale=1 input_zero_point=0 output_scale=1 output_zero_point=0 bias_scale=1 bias_zero_point=0
BiasParameter: saturate=None
ConcatParameter: input_scale input_zero_point output_scale=1 output_zero_point=0 saturate=None
ConvolutionParameter: coeff fusion_type input_scale=1 input_zero_point=0 output_scale=1 output_zero_point=0
ConvolutionParameter: weight_scale=1 weight_zero_point=0 per_channel_scale_weight saturate=None
DetectionOutputParameter: objectness_score
DropoutParameter: sample_weights_test
EltwiseParameter: coeff_blob operation input_scale input_zero_point output_scale=1 output_zero_point=0 saturate=None
InnerProductParameter: normalize input_scale=1 input_zero_point=0 output_scale=1 output_zero_point=0
InnerProductParameter: weight_scale=1 weight_zero_point=0 saturate=None
InputParameter: output_scale=1 output_zero_point=0
LRNParameter: input_scale=1 output_scale=1
LayerParameter: quantization_param
MVNParameter: add_eps_before_sqrt=true
MarginInnerProductParameter: type base gamma power iteration lambda_min
NormalizeParameter: normalize_type add_eps_before_sqrt=true
PoolingParameter: pool input_scale=1 input_zero_point=0 output_scale=1 output_zero_point=0
PoolingParameter: output_shift_instead_division saturate=None
PowerParameter: saturate=None
ReLUParameter: relu6=false maximum minimum input_scale=1 input_zero_point=0 output_scale=1 output_zero_point=0
ReLUParameter: saturate=None
ResizeBilinearParameter: align_corners=false half_pixel_centers=false
ResizeNearestNeighborParameter: align_corners=false half_pixel_centers=false
ScaleParameter: min_value max_value
SigmoidParameter: input_scale=1 input_zero_point=0 output_scale=1 output_zero_point=0 saturate=None
SoftmaxParameter: normalize_type input_scale=1 input_zero_point=0 output_scale=1 output_zero_point=0 saturate=None
TransformationParameter: bgr2rgb cvt_bgr2rgb gray caffe_yolo=false
"""

_SHAPES = """
ConvolutionParameter: shape_offset pad_type=0
EltwiseParameter: axis=0
ImageDataParameter: is_flow
MemoryDataParameter: transpose
PoolingParameter: axis pad_3d kernel_size_3d stride_3d pad_type=0
ROIPoolingParameter: pooled_size
ReshapeParameter: pixelshuffler
TransformationParameter: forward_packing pad
"""

_NONE = """
AccuracyParameter: *
AnnotatedDataParameter: *
BNParameter: slope_filler bias_filler engine
BatchNormParameter: engine update_global_stats filler stats_batch_size
ConcatParameter: engine per_fla_fuse
ContrastiveLossParameter: *
Convolution3DParameter: filter_group weight_filler bias_filler
ConvolutionParameter: engine filter_group cudnn_convolution_algo_seeker conv_algos_override conv_algorithm
ConvolutionParameter: weight_fixed dis_mode gen_mode
DataParameter: *
DenseImageDataParameter: *
DetectNetGroundTruthParameter: *
DetectionOutputParameter: save_output_param visualize visualize_threshold save_file
DropoutParameter: engine sqrt_scale random_seed
EltwiseParameter: engine
FillerParameter: *
HDF5DataParameter: *
HDF5OutputParameter: *
HingeLossParameter: *
ImageDataParameter: *
InfogainLossParameter: *
InnerProductParameter: engine weight_fixed dis_mode gen_mode
LRNParameter: engine
LossParameter: *
MarginInnerProductParameter: weight_filler
MemoryDataParameter: *
NormalizeParameter: fix_gradient bp_norm
ParamSpec: *
ParameterParameter: blob_filler
PoolingParameter: engine blobs_lr blobs_a_min
ReLUParameter: engine fuse
ResizeParameter: *
ScaleParameter: dis_mode gen_mode
SPPParameter: engine
SigmoidParameter: engine
SoftmaxParameter: engine hard_ratio class_weight hard_mining_label cutting_point label_smooth_factor
TanHParameter: engine
TransformationParameter: flow use_gpu_transform scale_factors max_cvg_len noise_param random_seed min_cvg_len
TransformationParameter: emit_constraint img_rand_resize_lower img_rand_resize_upper center_crop opaque_coverage
TransformationParameter: erase_ratio coverage rand_resize_ratio_lower rand_resize_ratio_upper scale_min scale_max
TransformationParameter: flip_prob distort_param max_rotate_degree expand_param vertical_stretch_lower
TransformationParameter: vertical_stretch_upper horizontal_stretch_lower horizontal_stretch_upper aspect_min aspect_max
TransformationParameter: visualize random_resize_param random_aspect_ratio_param enable_classf_aug crop_size_x
TransformationParameter: crop_size_y min_scaling_factor max_scaling_factor scale_prob interpolation_algo_down
TransformationParameter: interpolation_algo_up max_rotation_angle contrast_brightness_adjustment allow_upscale
TransformationParameter: smooth_filtering bbox_norm_factor min_contrast max_contrast img_header display stride
TransformationParameter: num_labels max_brightness_shift max_color_shift scale_cvg max_smooth target_dist
TransformationParameter: center_perterb_max min_side min_side_min min_side_max sigma sigma_center clahe_tile_size
TransformationParameter: clahe_clip_limit do_clahe apply_probability debug_params num_parts num_total_augs aug_way
TransformationParameter: np_in_lmdb transform_body_joint
VideoDataParameter: *
WindowDataParameter: *

NetParameter: engine compile_net_state default_forward_type bn_stats_batch_size default_backward_type
NetParameter: default_forward_math default_backward_math global_grad_scale global_grad_scale_adaptive
NetParameter: default_conv_algos_override reduce_buckets default_cudnn_math_override eltwise_mem_sharing multinode
LayerParameter: forward_type backward_type forward_math backward_math debug engine cudnn_math_override multinode
LayerParameter: reshape_every_iter mn_grad_compress_param split_param force_backward
"""

_OWN = """
LayerParameter: accum_param adaptive_bias_channel_param augmentation_param batch_contrastive_loss_param
LayerParameter: bias_channel_param black_augmentation_param box_annotator_ohem_param center_loss_param
LayerParameter: channel_scale_param coeff_schedule_param confidence_penalty_loss_param correlation_param dense_crf_param
LayerParameter: densecrf_param detection_evaluate_param detectnet_augmentation_param domain_transform_param
LayerParameter: downsample_param eltwise_affine_param eval_detection_param fcn_data_param feature_decay_loss_param
LayerParameter: flow_warp_param focal_loss_param general_contrastive_loss_param general_triplet_loss_param hotspot_param
LayerParameter: imresize_param infimum_loss_param inner_distance_param insanity_param l1_loss_param
LayerParameter: label_specific_add_param label_specific_affine_param label_specific_hard_margin_param
LayerParameter: label_specific_margin_param label_specific_rescale_param largemargin_inner_product_param local_param
LayerParameter: loss_statistic_param lpq_loss_param mat_read_param mat_write_param mean_param mil_data_param mil_param
LayerParameter: mn_activation_param multi_stage_meanfield_param multibox_loss_param nca_param nms_param noise_param
LayerParameter: ordinal_regression_loss_param pairwise_param predict_box_param psroi_align_param reader_param
LayerParameter: region_loss_param repack_param resample_param resize_param roi_align_param roi_warping_param
LayerParameter: running_average_param seg_accuracy_param segmentation_evaluate_param smooth_l1_loss_param smoothl1_param
LayerParameter: soft_contrastive_loss_param soft_truncation_param spatial_dropout_param statistical_loss_param
LayerParameter: sub_region_param triplet_loss_param trt_param truncation_param unique_label_param writer_param
LayerParameter: yolo_detection_output_param yolo_seg_param yolov3_detection_output_param yolov3_param
V1LayerParameter: type down_sampling_param eltwise_affine_param insanity_param local_param noise_param sub_region_param
V1LayerParameter: triplet_loss_param
"""
"""Parameters of layer types that are refused by commands that need them."""

_TABLES = {
    Effect.APPLIED: _APPLIED,
    Effect.VALUES: _VALUES,
    Effect.SHAPES: _SHAPES,
    Effect.NONE: _NONE,
    Effect.OWN: _OWN,
}


@cache
def table() -> dict[str, dict[str, Effect]]:
    """The effect of each field, by message and name; of `*` for every other one."""
    return {message: {name: row.effect for name, row in rows.items()} for message, rows in _rows().items()}


@cache
def _rows() -> dict[str, dict[str, _Row]]:
    rows: dict[str, dict[str, _Row]] = {}
    for effect, text in _TABLES.items():
        for line in filter(None, text.splitlines()):
            message, _, names = line.partition(": ")
            for name, _, default in (each.partition("=") for each in names.split()):
                fields = rows.setdefault(message, {})
                if name in fields:
                    raise ValueError(f"the table of effects has {message}.{name} twice")
                fields[name] = _Row(effect, default or None)
    return rows


def effect_of(message: str, field: str) -> Effect:
    """What FIELD of MESSAGE does, such as "relu" of "ConvolutionParameter"."""
    for name in (message, "LayerParameter") if message == "V1LayerParameter" else (message,):
        fields = table().get(name, {})
        if field in fields or "*" in fields:
            effect = fields.get(field) or fields["*"]
            return Effect.APPLIED if effect is Effect.OWN and _is_ours(name, field) else effect
        if _is_ours(name, field):
            return Effect.APPLIED
    return Effect.UNKNOWN


@cache
def _is_ours(message: str, field: str) -> bool:
    """Whether our schema adds FIELD of MESSAGE to that of BVLC Caffe, itself or with the parameters of a layer type."""
    try:
        found = schema.message_class(message).DESCRIPTOR.fields_by_name.get(field)
    except AttributeError:
        return False
    return found is not None and (found.number >= schema.FORKS or message not in _messages_of_bvlc())


@cache
def _messages_of_bvlc() -> frozenset[str]:
    """The messages that a net of BVLC Caffe can hold."""
    found = {"NetParameter": schema.NetParameter.DESCRIPTOR}
    waiting = list(found.values())
    while waiting:
        held = [each.message_type for each in waiting.pop().fields if each.message_type and each.number < schema.FORKS]
        new = {each.name: each for each in held if each.name not in found}
        found |= new
        waiting += new.values()
    return frozenset(found)


def readers_of(param: str) -> frozenset[str]:
    """The layer types that read PARAM, such as "convolution_param": all of BVLC Caffe's and the supported ones of
    forks; empty if unknown."""
    return _readers().get(param, frozenset())


@cache
def _readers() -> dict[str, frozenset[str]]:
    """The layer types that read a parameter message, by the message."""
    found: dict[str, set[str]] = {}
    for name, row in LAYERS.items():
        for param in row.reads.split():
            found.setdefault(param, set()).add(name)
    return {param: frozenset(names) for param, names in found.items()}


def defaults_of(message: str, field: str) -> frozenset[str]:
    """The defaults of FIELD of MESSAGE, as a prototxt writes them. Forks may differ; empty if unknown."""
    row = _rows().get(message, {}).get(field)
    told = [each.default for each in _in_forks().get((message, field), ())]
    return frozenset(default for default in (*told, row and row.default) if default is not None)


def forks_with(message: str, field: str) -> tuple[str, ...]:
    """The known forks with FIELD in MESSAGE."""
    return tuple(dict.fromkeys(fork for each in _in_forks().get((message, field), ()) for fork in each.forks))


@cache
def _in_forks() -> dict[tuple[str, str], list[ForkField]]:
    """The fields of forks by message and name."""
    found: dict[tuple[str, str], list[ForkField]] = {}
    for each in fork_fields():
        found.setdefault((each.message, each.name), []).append(each)
    return found
