"""ChannelSwish, an activation with a weight for each channel: y = x · sigmoid(beta_c · x).

Its row begins as that of a layer that treats each channel in a way of its own. It says which parameter blobs and how
many tops there are, and that a factor of the result is computed by way of 1 + exp(x), which bears on how far the
answers of two nets may be apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from caffe_fcn.net.layers import LayerType
from caffe_fcn.net.layers.row import ONE
from caffe_fcn.net.layers.shape import Bottoms, Shape, need_least_axes
from caffe_fcn.net.layers.traits import CHANNELWISE
from caffe_fcn.schema import Message


def _params(_layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """One beta for each channel."""
    need_least_axes(bottoms[0], 2)
    return [(bottoms[0][1],)]


CHANNEL_SWISH: LayerType = CHANNELWISE._replace(params=_params, tops=ONE, near_one="factor")
