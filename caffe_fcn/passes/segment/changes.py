"""The changes of a segmentation: the padding of the first Convolution, and the layers that upsample the scores."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, NamedTuple

from caffe_fcn.model.changes import AddLayers, Change
from caffe_fcn.passes.segment.geometry import set_pad
from caffe_fcn.passes.segment.padding import Padding
from caffe_fcn.schema import Message


class Stage(NamedTuple):
    """One upsampling: the LAYER with its KERNEL and stride FACTOR, and the CROP with its OFFSET along height and width.
    BLOB is the skip to which the scores are added, or the image to which they are cropped; SCALE is the factor by which
    a skip is multiplied before."""

    layer: str
    kernel: int
    factor: int
    crop: str
    offset: tuple[int, ...]
    blob: str
    scale: float | None = None


@dataclass(frozen=True, repr=False)
class SetPad(Change):
    """The first Convolution gets another padding."""

    pad: int
    before: tuple[int, ...]
    """The old padding, along height and width."""
    kind: ClassVar[str] = "padding"

    def apply(self, target: Message) -> None:
        set_pad(target.convolution_param, self.pad)

    def describe(self) -> str:
        return f"pad {'×'.join(map(str, dict.fromkeys(self.before)))} → {self.pad}"

    def document(self) -> dict[str, Any]:
        return {"layer": self.layer, "before": list(self.before), "pad": self.pad}


@dataclass(frozen=True, repr=False)
class AddHead(AddLayers):
    """The layers that upsample the scores, add the skips and crop to the image."""

    coarse: str
    """The blob of the coarse scores."""
    classes: int
    stages: tuple[Stage, ...]
    padding: Padding
    first: str | None
    """The first Convolution, if its padding can be chosen."""
    kind: ClassVar[str] = "head"

    def document(self) -> dict[str, Any]:
        padding = self.padding
        sides = dict(zip(("height", "width"), zip(padding.before, padding.after, strict=True), strict=True))
        fits = dict(zip(sides, padding.fits, strict=True))
        return {
            "scores": {"blob": self.coarse, "classes": self.classes},
            "upsampling": [
                stage._asdict() | {"offset": list(stage.offset), "stride": self.stride_of(stage)}
                for stage in self.stages
            ],
            "padding": {
                "layer": self.first,
                **{side: list(pads) for side, pads in sides.items()},
                "why": padding.why.name.lower(),
            },
            "fits": {
                side: each._asdict() | {"ranges": [list(ends) for ends in each.ranges]} for side, each in fits.items()
            },
        }

    def stride_of(self, stage: Stage) -> int:
        """Return the stride of the map that STAGE makes, in pixels."""
        return prod(each.factor for each in self.stages[self.stages.index(stage) + 1 :])
