"""The library: bring a net and its weights into the current format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.options import given
from caffe_fcn.passes.options import UpgradeOptions
from caffe_fcn.passes.planning import planned
from caffe_fcn.passes.upgrading import upgrading
from caffe_fcn.report.upgrade import plan_document

if TYPE_CHECKING:
    from caffe_fcn.api.net import Net


@checked(UpgradeOptions)
def upgrade(self: Net, *, target: Literal["bvlc", "old"] | None = UpgradeOptions.target) -> Net:
    """Return the net in the current format, with its weights. Nothing is written.

    It upgrades nets of 2013 (V0) and 2014 (V1), blobs with four axes and values that are not packed, as Caffe's own
    tools do, and keeps comments. Raises NetError, with the name of the layer, if Caffe refuses the net or a layer
    cannot be replaced.
    """
    return self._of(planned(self.model, upgrading(given(UpgradeOptions, locals()))), plan_document)
