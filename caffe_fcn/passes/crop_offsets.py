"""Writes the offsets of Crop layers: those that the geometry of the net gives, or 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from caffe_fcn.model.changes import Change, Decision
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim, Result, carried_out
from caffe_fcn.net import crops
from caffe_fcn.schema import Message


@dataclass(frozen=True, repr=False)
class SetOffset(Change):
    """The offset of a Crop, in cells: one for all axes, or one for each."""

    offset: tuple[int, ...]
    kind: ClassVar[str] = "crop_offsets"

    def apply(self, target: Message) -> None:
        target.crop_param.offset[:] = self.offset

    def describe(self) -> str:
        return f"offset {', '.join(map(str, self.offset))}"

    def document(self) -> dict[str, Any]:
        return {"layer": self.layer, "offset": list(self.offset)}


def crop_offsets(model: Model) -> Result:
    """MODEL with an offset in each Crop layer that has none, if its selection or the format of the file says how to
    choose it. The notes of the decision list all offsets.

    Raises NetError where the geometry should decide and gives no offset.
    """
    settled, told = crops.settled(model.source, model.selection)
    changes = [
        SetOffset(index, layer.name, tuple(layer.crop_param.offset))
        for index, (old, layer) in enumerate(zip(model.net.layer, settled.net.layer, strict=True))
        if old.crop_param.offset != layer.crop_param.offset
    ]
    return carried_out(model, Decision(tuple(changes), notes=tuple(told)), claim=Claim.SAME_FUNCTION)
