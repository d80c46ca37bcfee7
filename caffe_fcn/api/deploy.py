"""The library: make the deploy net of a training net."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.options import given
from caffe_fcn.passes.deploy_options import DeployOptions
from caffe_fcn.passes.deploying import deploying
from caffe_fcn.passes.planning import planned
from caffe_fcn.report.deploy import document

if TYPE_CHECKING:
    from caffe_fcn.api.net import Net


@checked(DeployOptions)
def deploy(
    self: Net, *, keep_heads: bool = DeployOptions.keep_heads, drop_dropout: bool = DeployOptions.drop_dropout
) -> Net:
    """Return the deploy net of a training net, with the weights that it uses. Nothing is written.

    Data layers become Input layers. A loss becomes the Softmax or Sigmoid in it, or its scores become an output. Heads
    that only help the training, measures and labels are dropped. The net is that of phase TEST, or of the phase that
    was given to `open`. Raises ShapeError for an input whose shape neither the net nor its weights define,
    SurgeryError if no outputs are left.
    """
    passes = partial(deploying, options=given(DeployOptions, locals()))
    return self._of(planned(self.model, passes, resized=True), document)
