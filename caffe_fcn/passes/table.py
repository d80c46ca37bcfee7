"""The table of passes: a row for each command that makes a new net from a net, and for each pass that `verify`
retraces.

The start of the program reads the names here, so a row loads its pass only when it is used. A pass is retraced by what
is missing or added in a new net; the net may have gone through other passes before or after it. A pass that moves
weights without computing any, such as convolutionalize, needs no such function: `verify` follows the values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

if TYPE_CHECKING:
    from caffe_fcn.model.model import Model
    from caffe_fcn.model.passing import Result

Retrace: TypeAlias = "Callable[[Model, Model], Result | None]"
"""Called with a model and a new net. Returns the result of the pass for the model if the new net shows that it went
through the pass, else None. An error means None, too."""

Shows: TypeAlias = "Callable[[Model, Model], bool]"
"""Called with a model and a new net. Returns whether the new net shows that the pass made it."""


class Row(NamedTuple):
    """A pass, or the passes that a command runs one after the other."""

    help: str = ""
    """The line for the list of commands; "" for a pass without a command."""
    ending: str = ""
    """The ending of the names of new files, if the user gives no names."""
    module: str = ""
    """The module in `passes/` whose function `retrace` retraces the pass; for a pass with a new function that cannot be
    retraced, its function `shows`. "" if there is neither."""
    prunes: bool = False
    """Whether the pass removes layers with weights, so that the new net may lack them."""
    option: str = ""
    """The option of `convert` that runs a pass without a command."""

    @property
    def retrace(self) -> Retrace | None:
        """The function that retraces the pass, if there is one. The module is loaded."""
        return cast("Retrace | None", self._function("retrace"))

    @property
    def shows(self) -> Shows | None:
        """The function that recognises the pass in a new net, if there is one. The module is loaded."""
        return cast("Shows | None", self._function("shows"))

    def _function(self, name: str) -> object:
        return getattr(import_module(f"caffe_fcn.passes.{self.module}"), name, None) if self.module else None


PASSES: Mapping[str, Row] = {
    "convert": Row("Make nets fully convolutional.", "_fcn"),
    "segment": Row("Make segmentation nets of classifiers.", "_segmented", "segmentation"),
    "reduce": Row("Keep every n-th filter of layers, and some taps.", "_reduced", "reducing"),
    "fold": Row("Fold BatchNorm, Scale, Bias and Power layers into weights.", "_folded", "folding"),
    "deploy": Row("Make deploy nets of training nets.", "_deploy", "deploying", prunes=True),
    "split": Row(module="splitting"),
    "cut": Row(module="cut"),
    "atrous": Row(module="conversion", option="stride"),
    "channels": Row(module="channels", option="input_channels"),
}
"""The passes, by the name of the command: its module in `cli/` has that name."""
