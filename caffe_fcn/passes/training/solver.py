"""The solver of a training net for pixels, with the settings of Long, Shelhamer and Darrell (FCN, 2015 to 2017)."""

from __future__ import annotations

import os
from typing import NamedTuple

from caffe_fcn.display import visible
from caffe_fcn.passes.training_options import TrainOptions

_MEAN_RATE = 2.5e-5
"""The learning rate for a loss that is a mean over pixels. The published rate for a sum, 1e-10, is this one divided by
the pixels of a picture of PASCAL VOC, 500×500."""
_PIXELS = 500 * 500
_STAGE = 0.01
"""The factor on the published rates for each skip that is added without a Scale: 1e-10, 1e-12, 1e-14."""

_TEXT = """\
# Trains {net}. Run in this folder:
#
#   caffe train -solver {solver} -weights {weights}
#
# Fill in test_iter: the number of validation pictures.
net: "{net}"
test_iter: 100
test_interval: 4000
test_initialization: false

{rate}
base_lr: {base_lr}
lr_policy: "fixed"
momentum: 0.99
weight_decay: 0.0005
iter_size: 1
max_iter: 100000

display: 20
average_loss: 20
snapshot: 4000
snapshot_prefix: "{prefix}"
"""


class Task(NamedTuple):
    """The data for a solver."""

    net: str
    """The path of the training net."""
    weights: str | None
    """The path of the weights with which training begins; None without weights."""
    size: tuple[int, int] | None
    """Height and width of the pictures in pixels; None if they may differ."""
    skips: int = 0
    """The number of skips that are added without a fixed factor."""
    frozen: tuple[str, ...] = ()
    """The layers of the net that do not learn, because their `lr_mult` is 0."""


def solver_text(path: str, task: Task, options: TrainOptions) -> str:
    """Return the solver at PATH for TASK, as text. Relative paths in it begin in the folder of the solver."""
    folder = os.path.dirname(path) or "."
    rate, lines = _rate(task, options)
    return _TEXT.format(
        net=_quoted(os.path.relpath(task.net, folder)),
        solver=_quoted(os.path.basename(path)),
        weights="WEIGHTS" if task.weights is None else _quoted(os.path.relpath(task.weights, folder)),
        rate="\n".join(f"# {visible(line)}" for line in lines),
        base_lr=f"{rate:.3g}",
        prefix=_quoted(os.path.splitext(os.path.basename(task.net))[0]),
    )


def _rate(task: Task, options: TrainOptions) -> tuple[float, list[str]]:
    """Return the learning rate, and the lines that explain it."""
    rate = _MEAN_RATE * _STAGE**task.skips
    lines = []
    if options.normalize:
        lines.append(
            f"The loss is a mean over the labeled pixels (normalize: true), so the rate is {_MEAN_RATE:g}: the"
        )
        lines.append("published 1e-10 for a sum, times the 500x500 pixels of a picture of PASCAL VOC.")
    else:
        pixels = _PIXELS if task.size is None else task.size[0] * task.size[1]
        rate /= pixels
        size = "500x500" if task.size is None else f"{task.size[0]}x{task.size[1]}"
        lines.append(
            "The loss is a sum over the pixels of a picture (normalize: false), so its gradient grows with their"
        )
        lines.append(f"number, and the rate is small: {_MEAN_RATE:g} for a mean over pixels, divided by {size} pixels.")
        if task.size is None:
            lines.append(
                "For pictures of another size, divide by their pixels. A loss that becomes NaN asks for a smaller rate."
            )
    if task.skips:
        times = "one skip" if task.skips == 1 else f"{task.skips} skips"
        lines.append(
            f"As published it is a hundredth for each skip without a fixed scale; the net has {times} of these."
        )
        lines.append("Train the net with one skip less first, and begin with its weights.")
    if task.frozen:
        lines.append(f"These layers do not learn, because the net gives them lr_mult: 0: {', '.join(task.frozen)}")
    return rate, lines


def _quoted(text: str) -> str:
    """Return TEXT for a string of a prototxt, or for a comment."""
    return visible(text.replace("\\", "\\\\").replace('"', '\\"'))
