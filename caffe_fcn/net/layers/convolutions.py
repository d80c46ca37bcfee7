"""Convolutions, deconvolutions and Im2col: layers that slide a window and round down, or spread each value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.exactness import Cause
from caffe_fcn.net.layers.fillers import weight_and_bias
from caffe_fcn.net.layers.following import Outcome, Passes, Place, off_axis, slides
from caffe_fcn.net.layers.moves import CHANNELS, Site, Spread, Way, Ways, pads
from caffe_fcn.net.layers.row import ONE, SOME, LayerType, few_terms, opposite_bottom
from caffe_fcn.net.layers.shape import Bottoms, Shape, canonical_axis, count, show
from caffe_fcn.net.layers.traits import WINDOW
from caffe_fcn.net.layers.windows import (
    Windows,
    convolution_param,
    convolution_windows,
    moves_of,
    slid,
    spread,
    taken_away,
    too_large,
    windows_over,
)
from caffe_fcn.net.objections import Severity
from caffe_fcn.schema import Message

DECONVOLUTIONS = frozenset({"Deconvolution", "Deconvolution3D"})
DEPTHWISE = frozenset({"ConvolutionDepthwise", "DepthwiseConvolution"})


def outputs_by_column(layer: Message) -> bool:
    """Whether the outputs of LAYER, one that is linear in its weights, lie along the second axis of the weights (inputs
    × outputs of a group × window), and not along the first."""
    return layer.type in DECONVOLUTIONS or bool(layer.inner_product_param.transpose)


def _groups(layer: Message, channels: int) -> int:
    """The number of groups of the channels; a depthwise layer without `group` has one for each channel."""
    param = convolution_param(layer)
    if layer.type in DEPTHWISE and not param.HasField("group"):
        return max(1, channels)
    if param.group < 1 or channels % param.group:
        raise ShapeError(f"group is {param.group}, but must divide the {channels} channels of the bottom")
    return int(param.group)


def _convolution_axes(layer: Message, bottom: Shape) -> tuple[int, int, int]:
    """The channel axis, the number of groups and num_output of a convolution of BOTTOM, checked."""
    param = convolution_param(layer)
    axis = canonical_axis(getattr(param, "axis", 1), bottom, "convolution_param.axis")
    groups = _groups(layer, bottom[axis])
    if param.num_output < 1:
        raise ShapeError("num_output is missing")
    if param.num_output % groups:
        raise ShapeError(f"num_output is {param.num_output}, but must be a multiple of the {groups} groups")
    return axis, groups, int(param.num_output)


def convolution_params(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """The weights, O×(C/group)×kernel, or C×(O/group)×kernel for a deconvolution; then the bias, O."""
    bottom: Shape = bottoms[0]
    axis, groups, outputs = _convolution_axes(layer, bottom)
    kernel = convolution_windows(layer, len(bottom) - axis - 1).kernel
    first, second = (bottom[axis], outputs) if layer.type in DECONVOLUTIONS else (outputs, bottom[axis])
    bias = [(outputs,)] if convolution_param(layer).bias_term else []
    return [(first, second // groups, *kernel), *bias]


def convolution(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """BaseConvolutionLayer: all bottoms have one shape, and there is a top for each; axes before the channels stay."""
    if len(layer.top) != len(bottoms):
        raise ShapeError(expected="a top for each bottom", found=f"{len(layer.top)} for {len(bottoms)}")
    bottom: Shape = bottoms[0]
    axis, _, outputs = _convolution_axes(layer, bottom)
    for position, other in enumerate(bottoms):
        if other != bottom:
            raise ShapeError(f'its bottoms disagree: {show(bottom)}, but "{layer.bottom[position]}" is {show(other)}')
    sizes = bottom[axis + 1 :]
    windows = convolution_windows(layer, len(sizes))
    spreads = layer.type in DECONVOLUTIONS
    made = spread(windows, sizes) if spreads else slid(windows, sizes)
    if 0 in made and convolution_param(layer).bias_term:  # Caffe cannot add a bias to an empty blob
        raise taken_away(made) if spreads else too_large(windows, sizes)
    return [(*bottom[:axis], outputs, *made)] * len(bottoms)


def im2col_objections(layer: Message, bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    """Caffe's objections to an Im2col: no axis to slide along."""
    if canonical_axis(layer.convolution_param.axis, bottoms[0], "convolution_param.axis") == len(bottoms[0]) - 1:
        yield Severity.ERROR, f"Caffe needs a spatial axis after the channels, found {show(bottoms[0])}"


def im2col(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """Im2colLayer: the values of a window become channels."""
    bottom: Shape = bottoms[0]
    axis = canonical_axis(layer.convolution_param.axis, bottom, "convolution_param.axis")
    sizes = bottom[axis + 1 :]
    windows = convolution_windows(layer, len(sizes))
    return [(*bottom[:axis], bottom[axis] * count(windows.kernel), *slid(windows, sizes))]


def _parts(layer: Message) -> int:
    return max(1, layer.convolution_param.group) if layer.HasField("convolution_param") else 1


# ---- Geometry ----


def _windows(layer: Message, bottom: Shape) -> Windows:
    axis = getattr(layer.convolution_param, "axis", CHANNELS) % len(bottom)
    return convolution_windows(layer, len(bottom) - axis - 1)


def _slid(site: Site) -> Ways | None:
    if getattr(site.layer.convolution_param, "axis", CHANNELS) not in (CHANNELS, CHANNELS - len(site.bottom)):
        return None
    windows = windows_over(site.layer, site.bottom[2:])
    sides = zip(moves_of(windows), windows.before, windows.after, strict=True)
    return tuple(Way(move, pads(site, before, after)) for move, before, after in sides)


def _spread(site: Site) -> Ways:
    windows = convolution_windows(site.layer, site.axes)
    axes = zip(windows.extent, windows.stride, windows.before, site.bottom[2:], site.top[2:], strict=True)
    return tuple(Way(Spread(*axis), border=(site.reason(Cause.FEWER_INPUTS),)) for axis in axes)


def _follows(place: Place) -> Outcome:
    """The convolution stays, if its channels are those of the map."""
    param = place.node.layer.convolution_param
    result = slides(place)
    if isinstance(result, Passes) and param.HasField("axis") and param.axis % len(place.view.axes) != CHANNELS:
        return off_axis(place, place.view, param.axis % len(place.view.axes))
    return result


# ---- Cost ----


def _macs(_bottoms: Sequence[Shape], tops: Sequence[Shape], params: Sequence[Shape]) -> int:
    """Each value of a top takes one weight for each cell of its window, in the channels of its group."""
    return sum(prod(top) for top in tops) * prod(params[0][1:])


def _spread_macs(bottoms: Sequence[Shape], _tops: Sequence[Shape], params: Sequence[Shape]) -> int:
    """Each value of a bottom is spread by one weight for each cell of its window, in the channels of its group."""
    return sum(prod(bottom) for bottom in bottoms) * prod(params[0][1:])


def _terms(layer: Message, bottom: Shape, params: Sequence[Shape]) -> int:
    weighted = bool(params and params[0])
    return max(1, prod(params[0]) // max(1, _outputs(layer))) if weighted else few_terms(layer, bottom, params)


def _outputs(layer: Message) -> int:
    return int(layer.convolution_param.num_output)


_CONVOLUTION = WINDOW._replace(
    family="convolution",
    shape=convolution,
    params=convolution_params,
    linear=True,
    bottoms=SOME,
    tops=SOME,
    fillers=weight_and_bias("convolution_param"),
    moves=_slid,
    maps=opposite_bottom,
    windows=_windows,
    follows=_follows,
    parts=_parts,
    terms=_terms,
    macs=_macs,
    reads="convolution_param",
)
_DECONVOLUTION = _CONVOLUTION._replace(moves=_spread, macs=_spread_macs)

ROWS: dict[str, LayerType] = {
    "Convolution": _CONVOLUTION._replace(bvlc=True, old_axes=(4, 1)),
    "Convolution3D": _CONVOLUTION._replace(
        old_axes=(5, 1), v1="CONVOLUTION3D", reads="convolution3d_param convolution_param"
    ),
    "ConvolutionDepthwise": _CONVOLUTION,
    "Deconvolution": _DECONVOLUTION._replace(bvlc=True, old_axes=(4, 1)),
    "Deconvolution3D": _DECONVOLUTION._replace(v1="DECONVOLUTION3D", reads="convolution3d_param convolution_param"),
    "DepthwiseConvolution": _CONVOLUTION,
    "Im2col": WINDOW._replace(
        family="reshape",
        bvlc=True,
        shape=im2col,
        tops=ONE,
        objections=im2col_objections,
        moves=_slid,
        maps=opposite_bottom,
        windows=_windows,
        follows=_follows,
        parts=_parts,
        reads="convolution_param",
    ),
}
