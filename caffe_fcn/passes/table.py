"""The table of passes: a row for each command that makes a new net from a net, and for each pass that `verify`
retraces.

The start of the program reads the names here, so a row loads its pass only when it is used. A pass is retraced by what
is missing or added in a new net; the net may have gone through other passes before or after it. A pass that moves
weights without computing any, such as convolutionalize, needs no such function: `verify` follows the values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from caffe_fcn.model.model import Model
    from caffe_fcn.model.passing import Result

Retrace: TypeAlias = "Callable[[Model, Model], Result | None]"
"""Called with a model and a new net. Returns the result of the pass for the model if the new net shows that it went
through the pass, else None. An error means None, too."""

Shows: TypeAlias = "Callable[[Model, Model], bool]"
"""Called with a model and a new net."""


class Row(NamedTuple):
    """A pass, or the passes that a command runs one after the other."""

    help: str = ""
    """The line for the list of commands; "" for a pass without a command."""
    ending: str = ""
    """The ending of the names of new files, if the user gives no names."""
    retrace: Retrace | None = None
    prunes: bool = False
    """Whether the pass removes layers with weights, so that the new net may lack them."""
    shows: Shows | None = None
    """For a pass with a new function that is not retraced: whether a new net shows that the pass made it."""
    option: str = ""
    """The option of `convert` that runs a pass without a command."""


def _deploy(model: Model, twin: Model) -> Result | None:
    from caffe_fcn.passes.deploying import retrace  # here, because the program starts with this table

    return retrace(model, twin)


def _fold(model: Model, twin: Model) -> Result | None:
    from caffe_fcn.passes.folding import retrace  # here, because the program starts with this table

    return retrace(model, twin)


def _reduce(model: Model, twin: Model) -> Result | None:
    from caffe_fcn.passes.reducing import retrace  # here, because the program starts with this table

    return retrace(model, twin)


def _segment(model: Model, twin: Model) -> bool:
    from caffe_fcn.passes.segmentation import shows  # here, because the program starts with this table

    return shows(model, twin)


def _split(model: Model, twin: Model) -> Result | None:
    from caffe_fcn.passes.splitting import retrace  # here, because the program starts with this table

    return retrace(model, twin)


def _cut(model: Model, twin: Model) -> Result | None:
    from caffe_fcn.passes.cut import retrace  # here, because the program starts with this table

    return retrace(model, twin)


def _channels(model: Model, twin: Model) -> Result | None:
    from caffe_fcn.passes.channels import retrace  # here, because the program starts with this table

    return retrace(model, twin)


def _atrous(model: Model, twin: Model) -> Result | None:
    from caffe_fcn.passes.conversion import retrace  # here, because the program starts with this table

    return retrace(model, twin)


PASSES: Mapping[str, Row] = {
    "convert": Row("Make nets fully convolutional.", "_fcn"),
    "segment": Row("Make segmentation nets of classifiers.", "_segmented", shows=_segment),
    "reduce": Row("Keep every n-th filter of layers, and some taps.", "_reduced", _reduce),
    "fold": Row("Fold BatchNorm, Scale, Bias and Power layers into weights.", "_folded", _fold),
    "deploy": Row("Make deploy nets of training nets.", "_deploy", _deploy, prunes=True),
    "split": Row(retrace=_split),
    "cut": Row(retrace=_cut),
    "atrous": Row(retrace=_atrous, option="stride"),
    "channels": Row(retrace=_channels, option="input_channels"),
}
"""The passes, by the name of the command: its module in `cli/` has that name."""
