"""Windows: the kernel, stride, padding and dilation of a layer for each spatial axis.

They are read from the fields that a layer uses. Shapes, geometry and engines use them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import add
from typing import Any, NamedTuple

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.layers.moves import Slide
from caffe_fcn.net.layers.shape import Shape, show
from caffe_fcn.schema import Message

_FLOOR = 1
"""PoolingParameter.RoundMode.FLOOR."""


class Windows(NamedTuple):
    """The window of a layer along each spatial axis. BEFORE and AFTER: the padding on each side."""

    kernel: Shape
    stride: Shape
    before: Shape
    after: Shape
    dilation: Shape

    @property
    def extent(self) -> Shape:
        """The cells from the first to the last one that a window covers."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True))

    def padded(self, sizes: Shape) -> Shape:
        """SIZES with the padding added."""
        return tuple(size + b + a for size, b, a in zip(sizes, self.before, self.after, strict=True))


def convolution_windows(layer: Message, axes: int) -> Windows:
    """The window of a convolution, deconvolution or Im2col over AXES spatial axes (BaseConvolutionLayer)."""
    param = convolution_param(layer)
    if layer.type.endswith("3D") or param.HasField("kernel_depth"):
        return _checked(_volume_windows(param, axes))
    stride = _per_axis(param, "stride", axes, 1)
    pad = _per_axis(param, "pad", axes, 0)
    before, after = _sided_padding(param, axes) or (pad, pad)
    return _checked(
        Windows(
            kernel=_per_axis(param, "kernel", axes, None),
            stride=stride,
            before=before,
            after=after,
            dilation=dilation(param, axes),
        )
    )


def windows_over(layer: Message, sizes: Shape) -> Windows:
    """The window of a Convolution or Im2col over a map of the spatial SIZES.

    A kernel larger than the padded map can still make a window (see `slid`). It reads zeros behind the map; these count
    as padding here.
    """
    windows = convolution_windows(layer, len(sizes))
    beyond = (max(0, extent - size) for extent, size in zip(windows.extent, windows.padded(sizes), strict=True))
    return windows._replace(after=tuple(map(add, windows.after, beyond)))


def _is_volume(layer: Message, field: str) -> bool:
    """Whether LAYER is of C3D 1.1 and has its parameters in FIELD; C3D 1.0 uses Caffe's own messages."""
    return layer.type.endswith("3D") and bool(layer.HasField(field))


def convolution_param(layer: Message) -> Message:
    """The message with the parameters of a convolution."""
    return layer.convolution3d_param if _is_volume(layer, "convolution3d_param") else layer.convolution_param


def linear_param(layer: Message) -> Message:
    """The message with the parameters of LAYER, a layer whose outputs are weighted sums of its inputs."""
    return layer.inner_product_param if layer.type == "InnerProduct" else convolution_param(layer)


def _pooling_param(layer: Message) -> Message:
    return layer.pooling3d_param if _is_volume(layer, "pooling3d_param") else layer.pooling_param


def _per_axis(param: Message, name: str, axes: int, default: int | None) -> Shape:
    """The parameter NAME for each axis: from NAME_h and NAME_w, or from the repeated field."""
    high, wide = f"{name}_h", f"{name}_w"
    field = "kernel_size" if name == "kernel" else name
    values = getattr(param, field)
    if param.HasField(high) or param.HasField(wide):
        if axes != 2:
            raise ShapeError(f"{high} and {wide} are for two spatial axes, but the bottom has {axes}")
        if values:
            raise ShapeError(f"{field} is given beside {high} and {wide}; keep one")
        return int(getattr(param, high)), int(getattr(param, wide))
    return _values(values, field, axes, default)


def _values(values: Sequence[int], field: str, axes: int, default: int | None) -> Shape:
    """VALUES for each of AXES axes; a single value holds for all."""
    if not values:
        if default is None:
            raise ShapeError(f"{field} is missing")
        return (default,) * axes
    if len(values) not in (1, axes):
        raise ShapeError(f"{field} is given {len(values)} times; expected once or {axes} times")
    return tuple(values) if len(values) == axes else (values[0],) * axes


def dilation(param: Message, axes: int) -> Shape:
    """The dilation for each axis, which DeepLab calls hole."""
    if not any(map(param.HasField, ("hole", "hole_h", "hole_w"))):
        return _values(param.dilation, "dilation", axes, 1)
    if param.dilation:
        raise ShapeError("hole and dilation are both given and mean the same; keep one")
    if axes != 2:
        raise ShapeError(f"hole is for two spatial axes, but the bottom has {axes}")
    return _high_wide(param, "hole", "hole")


SIDED_PADS = ("pad_t", "pad_l", "pad_b", "pad_r")
"""The fields of padding with one value for each side."""


def _sided_padding(param: Message, axes: int) -> tuple[Shape, Shape] | None:
    """Padding with one value for each side (Synopsys); None if all values are zero."""
    if axes != 2 or not (param.pad_t or param.pad_b or param.pad_l or param.pad_r):
        return None
    return (param.pad_t, param.pad_l), (param.pad_b, param.pad_r)


def _volume_windows(param: Message, axes: int) -> Windows:
    """The window of a layer of C3D: one parameter for the depth, one for height and width."""
    if axes != 3:
        raise ShapeError(f"the bottom has {axes} spatial axes, but the layer needs 3 (length, height, width)")
    size = _single(param, "kernel_size", 0)
    depth = param.kernel_depth if param.HasField("kernel_depth") else size
    stride, pad = _single(param, "stride", 1), _single(param, "pad", 0)
    temporal_pad = getattr(param, "temporal_pad", 0)
    padding = (temporal_pad, pad, pad)
    return Windows((depth, size, size), (param.temporal_stride, stride, stride), padding, padding, (1, 1, 1))


def _single(param: Message, field: str, default: int) -> int:
    """FIELD, which is repeated in BVLC's messages and single in C3D's."""
    value: Any = getattr(param, field)
    if isinstance(value, int):
        return value if param.HasField(field) else default
    return int(value[0]) if value else default


def _checked(windows: Windows) -> Windows:
    for name, values in (("kernel", windows.kernel), ("stride", windows.stride), ("dilation", windows.dilation)):
        if 0 in values:
            raise ShapeError(f"the {name} is {show(values)}; it cannot be zero")
    return windows


def slid(windows: Windows, sizes: Shape) -> Shape:
    """The number of windows along each of SIZES (ConvolutionLayer, Im2colLayer).

    C++ rounds divisions towards zero: a kernel that is larger than its padded input by less than the stride makes one
    window, which reads zeros beyond the input; a kernel larger by at least the stride makes none.
    """
    made = []
    for size, extent, stride in zip(windows.padded(sizes), windows.extent, windows.stride, strict=True):
        room = size - extent
        made.append((room // stride if room >= 0 else -(-room // stride)) + 1)
    if min(made, default=0) < 0:
        raise too_large(windows, sizes)
    return tuple(made)


def too_large(windows: Windows, sizes: Shape) -> ShapeError:
    """The error for WINDOWS that do not fit into SIZES."""
    return ShapeError(f"the kernel covers {show(windows.extent)}, more than the input of {_padded(windows, sizes)}")


def _padded(windows: Windows, sizes: Shape) -> str:
    return show(sizes) + (
        f", {show(windows.padded(sizes))} with padding" if any(windows.before + windows.after) else ""
    )


def spread(windows: Windows, sizes: Shape) -> Shape:
    """The sizes whose convolution with the same windows gives SIZES (DeconvolutionLayer)."""
    axes = zip(sizes, windows.stride, windows.extent, windows.before, windows.after, strict=True)
    made = tuple(stride * (size - 1) + extent - before - after for size, stride, extent, before, after in axes)
    if min(made, default=0) < 0:
        raise taken_away(made)
    return made


def taken_away(made: Shape) -> ShapeError:
    """The error for a deconvolution that would make a top of the size MADE."""
    return ShapeError(f"the top would be {show(made)}: the padding removes all of it")


def pooling_windows(layer: Message, sizes: Shape) -> Windows:
    """The window of a Pooling layer over a map of the spatial SIZES; that of a global one covers the map."""
    param = _pooling_param(layer)
    if layer.type.endswith("3D") or param.HasField("kernel_depth"):
        if getattr(param, "global_pooling", False):
            raise ShapeError("global_pooling and kernel_depth are both given, but no Caffe supports both; remove one")
        return _checked(_volume_windows(param, len(sizes)))
    stride = _high_wide(param, "stride", "stride")
    pad = _high_wide(param, "pad", "pad")
    kernel_given = param.HasField("kernel_size") or param.HasField("kernel_h") or param.HasField("kernel_w")
    if param.global_pooling:
        if kernel_given or stride != (1, 1) or pad != (0, 0):
            raise ShapeError("global_pooling determines kernel, stride and padding; remove these fields")
        return _checked(Windows(sizes, stride, pad, pad, (1, 1)))
    if not kernel_given:
        raise ShapeError("kernel_size is missing")
    kernel = _high_wide(param, "kernel", "kernel_size")
    if any(p >= k for p, k in zip(pad, kernel, strict=True)) and any(pad):
        raise ShapeError(f"the padding is {show(pad)}, but must be smaller than the kernel of {show(kernel)}")
    before, after = _sided_padding(param, len(sizes)) or (pad, pad)
    return _checked(Windows(kernel, stride, before, after, (1, 1)))


def _high_wide(param: Message, name: str, field: str) -> Shape:
    """A parameter for height and width: FIELD for both, or NAME_h and NAME_w."""
    high, wide = f"{name}_h", f"{name}_w"
    if not (param.HasField(high) or param.HasField(wide)):
        return (getattr(param, field),) * 2
    if param.HasField(field) or not (param.HasField(high) and param.HasField(wide)):
        raise ShapeError(f"give {field}, or both of {high} and {wide}")
    return getattr(param, high), getattr(param, wide)


def rounds_down(layer: Message) -> bool:
    """Whether a Pooling layer drops a partial last window: BVLC's round_mode, or the same field of forks."""
    param = layer.pooling_param
    down = {"round_mode": param.round_mode == _FLOOR, "ceil_mode": not param.ceil_mode}
    said = {name: says for name, says in down.items() if param.HasField(name)}
    if param.torch_pooling:  # an explicit false is the default
        said["torch_pooling"] = True
    if len(set(said.values())) > 1:
        raise ShapeError(f"{' and '.join(said)} are given and disagree on rounding; keep one")
    return any(said.values())


def pooled(windows: Windows, sizes: Shape, *, down: bool) -> Shape:
    """The number of windows of a Pooling layer along each of SIZES.

    PoolingLayer rounds up, so the last window may be partial. If there is padding, a last window that would begin
    beyond the map and its front padding is dropped.
    """
    pads = any(windows.before + windows.after)
    made = []
    axes = zip(sizes, windows.padded(sizes), windows.kernel, windows.stride, windows.before, strict=True)
    for size, padded, kernel, stride, before in axes:
        room = padded - kernel
        windows_here = (room // stride if down else -(-room // stride)) + 1
        if pads and (windows_here - 1) * stride >= size + before:
            windows_here -= 1
        if windows_here < 0:
            raise ShapeError(f"the kernel is {show(windows.kernel)}, more than the input of {_padded(windows, sizes)}")
        made.append(windows_here)
    return tuple(made)


def moves_of(windows: Windows) -> Iterable[Slide]:
    """The move of WINDOWS along each axis."""
    axes = zip(windows.kernel, windows.stride, windows.before, windows.dilation, strict=True)
    return (Slide(kernel, stride, before, dilation) for kernel, stride, before, dilation in axes)


def set_kernel(param: Message, kernel: Sequence[int]) -> None:
    """Set the kernel of a ConvolutionParameter or PoolingParameter: kernel_size when it is square,
    kernel_h and kernel_w when it is not, one kernel_size per axis when there are not two of them."""
    if len(set(kernel)) == 1:
        if hasattr(param.kernel_size, "append"):
            param.kernel_size[:] = [kernel[0]]
        else:
            param.kernel_size = kernel[0]
    elif len(kernel) == 2:
        param.kernel_h, param.kernel_w = kernel
    else:
        param.kernel_size[:] = list(kernel)
