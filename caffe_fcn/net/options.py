"""Options that choose a net in a file, and that control how it is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from caffe_fcn.options import option_field

CropOffset: TypeAlias = Literal["auto", "zero"]
"""The offset of a Crop layer that has none: computed from the geometry of the net, or 0."""


@dataclass(frozen=True)
class Selection:
    """The user's choices about the net in a file."""

    phase: Literal["TRAIN", "TEST"] | None = option_field(
        None,
        "Phase to use: TRAIN or TEST.",
        "every phase in the file; to run, to export and to deploy, TEST",
    )
    stages: tuple[str, ...] = option_field((), "Stages to build the net for.")
    level: int | None = option_field(None, "Level to build the net for.")
    shapes: Mapping[str, tuple[int, ...]] | None = option_field(
        None,
        "Shapes by blob: of inputs without a shape in the files, and of tops of unknown layer types.",
    )
    crop_offset: CropOffset | None = option_field(
        None, "Offset of Crop layers without one: auto computes it from the geometry of the net, zero means 0."
    )
    ignore_fields: Collection[str] = option_field(
        (), "Fields to ignore although their effect is not supported, such as convolution_param.relu."
    )

    @property
    def given(self) -> Mapping[str, tuple[int, ...]]:
        """The given shapes, by blob."""
        return self.shapes or {}


ANY_NET = Selection()


@dataclass(frozen=True)
class OpenOptions:
    """Options for opening the files of a net."""

    fork: str | None = option_field(
        None, "The Caffe that wrote a caffemodel without its prototxt: BVLC, SSD, NVIDIA ...", "detected from the file"
    )
