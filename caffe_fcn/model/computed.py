"""Tensors with computed values, and the possible error of these.

`verify` compares the values of a converted net with those computed here. Another program may have added the same terms
in another order, or in single precision. A tensor derived from `Computed` gives the sizes of its terms and the number
of roundings; its `slack` follows, and a difference within it is no error.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caffe_fcn.files.blobs import DType
from caffe_fcn.model.tensors import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Computed(Tensor):
    """A tensor whose values are sums of products."""

    @abstractmethod
    def sizes(self, first: int, last: int) -> NDArray[Any]:
        """The sums of the absolute terms of the values first..last along the first axis; the shape of `rows`."""

    @property
    @abstractmethod
    def roundings(self) -> float:
        """The largest difference, relative to its terms, between a value and the same value computed in another way:
        2**-24 for each rounding in single precision."""

    @property
    def slack(self) -> Tensor:
        """The largest differences to values that are computed in another way."""
        return Slack(self)


@dataclass(frozen=True, repr=False)
class Slack(Tensor):
    """The largest differences between the values of a tensor and the same values computed in another way."""

    of: Computed
    dtype: DType = "float64"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the other tensor."""
        return self.of.shape

    def rows(self, first: int, last: int) -> NDArray[Any]:
        """The differences first..last along the first axis, not below the smallest number of single precision."""
        import numpy as np

        made: NDArray[Any] = self.of.sizes(first, last).astype(np.float64) * self.of.roundings
        return made + np.finfo(np.float32).tiny
