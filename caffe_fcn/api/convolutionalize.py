"""The library: make a net fully convolutional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.options import given
from caffe_fcn.passes.conversion import plan, settings_of
from caffe_fcn.passes.options import ConvertOptions
from caffe_fcn.report.convert import document

if TYPE_CHECKING:
    from caffe_fcn.api.net import Net


@checked(ConvertOptions)
def convolutionalize(
    self: Net,
    *,
    input_size: int | Sequence[int] | None = ConvertOptions.input_size,
    stride: int | Sequence[int] | None = ConvertOptions.stride,
    input_channels: int | None = ConvertOptions.input_channels,
    suffix: str = ConvertOptions.suffix,
    rename: str | Sequence[str] = ConvertOptions.rename,
    only: str | Sequence[str] = ConvertOptions.only,
    skip: str | Sequence[str] = ConvertOptions.skip,
    global_pooling: Literal["window", "keep"] = ConvertOptions.global_pooling,
    strict: bool = ConvertOptions.strict,
) -> Net:
    """Return the fully convolutional net, with its weights. Nothing is written.

    Every InnerProduct over C×H×W becomes a Convolution with the kernel H×W and the same parameters. On the same input,
    the new net gives the same output; on a larger input, one output for each window. With STRIDE, a divisor of the
    stride of its map, the map has more cells: the last strides are removed, and the layers after them are dilated.
    Raises SurgeryError, ShapeError or NetError, with the name of the layer, if the net cannot be converted.
    """
    settings = settings_of(given(ConvertOptions, locals()), self.model.selection)
    return self._of(plan(self.model, settings), document)
