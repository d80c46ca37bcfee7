"""Makes the layers of a segmentation head, as in the published nets, and the values of their parameter blobs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caffe_fcn import schema
from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.changes import NewLayer
from caffe_fcn.model.filling import bilinear_kernel
from caffe_fcn.model.passing import Phase
from caffe_fcn.model.tensors import Repeating, Tensor
from caffe_fcn.net.layers.shape import MAX_COUNT
from caffe_fcn.passes.segment.geometry import set_pad
from caffe_fcn.schema import Message
from caffe_fcn.wording import Option, advise

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MULTIPLIERS = ((1, 1), (2, 0))
"""The factors of the learning rate and of the weight decay, for weights and biases."""
_SUM = 1
"""EltwiseParameter.SUM."""


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How new scores are initialized: CLASSES classes, with zeros, or at random by SEED. TRAINED: the model has
    weights."""

    classes: int
    seed: int | None
    trained: bool

    def layer(self, name: str, bottom: str, channels: int, old: Sequence[Tensor] = (), *, pad: int = 0) -> NewLayer:
        """Return the 1×1 Convolution NAME over a map of CHANNELS, whose first classes are those of the blobs OLD."""
        made = _layer(name, "Convolution", [bottom])
        for rate, decay in _MULTIPLIERS:
            made.param.add(lr_mult=rate, decay_mult=decay)
        param = made.convolution_param
        param.num_output, param.kernel_size[:] = self.classes, [1]
        set_pad(param, pad)
        param.weight_filler.type = "constant" if self.seed is None else "xavier"
        param.bias_filler.type = "constant"
        return NewLayer(made, self._tensors(name, channels, old) if self.trained else ())

    def _tensors(self, name: str, channels: int, old: Sequence[Tensor]) -> tuple[Tensor, ...]:
        shape = (self.classes, channels, 1, 1)
        weights: Tensor = Repeating(shape, (0.0,))
        if self.seed is not None:
            weights = Xavier(shape, self.seed, name)
        made: list[Tensor] = [weights, Repeating((self.classes,), (0.0,))]
        for place, first in enumerate(old[:2]):
            made[place] = FirstRows(made[place], first.reshaped((first.shape[0], *made[place].shape[1:])))
        return tuple(made)


@dataclass(frozen=True, kw_only=True)
class Bilinear:
    """How scores with CHANNELS are upsampled. LEARNED: training changes the kernels; DENSE: in one group, in which only
    the diagonal is not zero, as in the scripts of the papers. TRAINED: the model has weights."""

    channels: int
    learned: bool
    dense: bool
    trained: bool

    def layer(self, name: str, bottom: str, kernel: int, factor: int) -> NewLayer:
        """The Deconvolution NAME with a bilinear KERNEL. Raises SurgeryError if a blob of Caffe cannot hold the kernels
        of one group."""
        if self.dense and (count := (self.channels * kernel) ** 2) > MAX_COUNT:
            raise SurgeryError(
                f"the kernels of {name!r}, {self.channels}×{self.channels}×{kernel}×{kernel}, would have {count:,} "
                f"elements, more than the {MAX_COUNT:,} of a blob of Caffe",
                place=Option("dense_upsampling", True),
                hint="leave that out",
            )
        made = _layer(name, "Deconvolution", [bottom])
        if not self.learned:
            made.param.add(lr_mult=0)
        param = made.convolution_param
        param.num_output, param.bias_term = self.channels, False
        param.kernel_size[:], param.stride[:] = [kernel], [factor]
        if not self.dense:  # Caffe's filler would also fill the other pairs of channels
            param.group = self.channels
            param.weight_filler.type = "bilinear"
        pattern = bilinear_kernel(kernel)
        weights: Tensor = Repeating((self.channels, 1, kernel, kernel), pattern)
        if self.dense:
            weights = Diagonal((self.channels, self.channels, kernel, kernel), pattern)
        return NewLayer(made, (weights,) if self.trained else ())


def scaled(name: str, bottom: str, factor: float, channels: int, *, trained: bool) -> NewLayer:
    """Return the Scale layer NAME that multiplies a map of CHANNELS by a FACTOR which training does not change."""
    made = _layer(name, "Scale", [bottom])
    made.param.add(lr_mult=0)
    made.scale_param.filler.type = "constant"
    made.scale_param.filler.value = factor
    return NewLayer(made, (Repeating((channels,), (factor,)),) if trained else ())


def cropped(name: str, bottom: str, reference: str, offset: Sequence[int]) -> NewLayer:
    """Return the Crop layer NAME that cuts BOTTOM to the size of REFERENCE, from OFFSET on along height and width."""
    made = _layer(name, "Crop", [bottom, reference])
    made.crop_param.axis = 2
    made.crop_param.offset[:] = offset[:1] if len(set(offset)) == 1 else offset
    return NewLayer(made)


def summed(name: str, bottoms: Sequence[str]) -> NewLayer:
    """Return the Eltwise layer NAME that sums BOTTOMS."""
    made = _layer(name, "Eltwise", bottoms)
    made.eltwise_param.operation = _SUM
    return NewLayer(made)


def _layer(name: str, kind: str, bottoms: Sequence[str]) -> Message:
    return schema.LayerParameter(name=name, type=kind, bottom=bottoms, top=[name])


def check_names(phase: Phase, names: Sequence[str], gone: Collection[str] = ()) -> None:
    """Raise SurgeryError if one of the new NAMES is that of a layer or of a blob in PHASE, or of a layer in the
    weights. Layers in GONE, which are dropped with their tops, do not count."""
    kept = [node for node in phase.graph.nodes if node.name not in gone]
    taken = {node.name for node in kept} | {blob.name for node in kept for blob in node.tops}
    clash = next((name for name in names if name in taken or (name in phase.tensors and name not in gone)), None)
    if clash is not None:
        raise SurgeryError(
            f"the name {clash!r} of a new layer is in use",
            source=phase.graph.source,
            hint=advise("give the new layers other names with ", Option("prefix")),
        )


# ---- Values ----


@dataclass(frozen=True, repr=False)
class Diagonal(Tensor):
    """A PATTERN for pairs of channels with the same index, zeros for all others: SHAPE is channels × channels ×
    pattern."""

    shape: tuple[int, ...]
    pattern: tuple[float, ...]
    dtype: Any = "float32"

    def rows(self, first: int, last: int) -> NDArray[Any]:
        """Return the values at first..last of the first axis."""
        import numpy as np

        made = np.zeros((last - first, *self.shape[1:]), dtype=np.float32)
        kernel = np.array(self.pattern, dtype=np.float32).reshape(self.shape[2:])
        made[np.arange(last - first), np.arange(first, last)] = kernel
        return made


@dataclass(frozen=True, repr=False)
class Xavier(Tensor):
    """Values of Caffe's xavier filler, uniform within sqrt(3 / fan_in), where fan_in is the count of a row. They depend
    on the SEED, the NAME of the layer and the row, not on the version of numpy."""

    shape: tuple[int, ...]
    seed: int
    name: str
    dtype: Any = "float32"

    def rows(self, first: int, last: int) -> NDArray[Any]:
        """Return the values at first..last of the first axis."""
        import numpy as np

        limit = (3 / np.prod(self.shape[1:])) ** 0.5
        key = [self.seed, *self.name.encode()]
        draws = (np.random.RandomState([*key, row]) for row in range(first, last))  # its stream never changes
        made = [draw.uniform(-limit, limit, self.shape[1:]) for draw in draws]
        return np.array(made, dtype=np.float32).reshape(last - first, *self.shape[1:])


@dataclass(frozen=True, repr=False)
class FirstRows(Tensor):
    """The values of REST, with the first rows replaced by those of another tensor, FIRST."""

    rest: Tensor
    first: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the rest."""
        return self.rest.shape

    @property
    def dtype(self) -> Any:
        """The type of the other tensor."""
        return self.first.dtype

    def rows(self, first: int, last: int) -> NDArray[Any]:
        """Return the values at first..last of the first axis."""
        import numpy as np

        old = self.first.shape[0]
        parts = [
            self.first.rows(min(first, old), min(last, old)),
            self.rest.rows(max(first, old), max(last, old)),
        ]
        return np.concatenate(parts)
