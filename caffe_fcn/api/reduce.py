"""The library: keep fewer filters and taps of layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.options import given
from caffe_fcn.passes.planning import planned
from caffe_fcn.passes.reduce.amounts import parse_layers
from caffe_fcn.passes.reduce_options import ReduceOptions
from caffe_fcn.passes.reducing import Reduction
from caffe_fcn.report.reduce import document

if TYPE_CHECKING:
    from caffe_fcn.api.net import Net


@checked(ReduceOptions)
def reduce(
    self: Net,
    layers: Mapping[str, int | str],
    *,
    dilation: Mapping[str, int] | None = ReduceOptions.dilation,
    suffix: str = ReduceOptions.suffix,
    cut_outputs: bool = ReduceOptions.cut_outputs,
) -> Net:
    """Return the net with fewer filters in LAYERS: the number of filters to keep by the name of the layer, or a text
    such as "1024:3x3", which also has the number of taps of the kernel to keep. Nothing is written.

    Every n-th filter is kept, from the first on, with its bias, and evenly spaced taps; the layers after it keep the
    matching inputs. If an InnerProduct loses taps, all InnerProducts become Convolutions first. The new net computes
    another function. Raises SurgeryError, with the name of the layer, if the net cannot be reduced; ValueError for
    invalid numbers.
    """
    amounts = parse_layers(f"{name}={amount}" for name, amount in layers.items())
    reduction = Reduction(amounts, given(ReduceOptions, locals()))
    return self._of(planned(self.model, reduction.passes), document)
