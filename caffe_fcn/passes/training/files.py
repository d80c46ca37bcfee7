"""Makes the files for training: the net and its solver."""

from __future__ import annotations

from collections.abc import Mapping

from caffe_fcn.model.model import Model
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.passes.training import scores_of, training
from caffe_fcn.passes.training.solver import Task, solver_text
from caffe_fcn.passes.training_options import TrainOptions

NAMES: Mapping[str, str] = {"train_val": "train_val.prototxt", "solver": "solver.prototxt"}
"""The names of the files, by what they are."""

_LONGEST = 3
"""The maximum number of layers of a skip after its Scale: scores and crops."""


def training_files(
    model: Model, paths: Mapping[str, str], weights: str | None, options: TrainOptions
) -> dict[str, bytes]:
    """Return the contents of the files that train MODEL, whose output is scores for each pixel, by path. PATHS has a
    path for each of `NAMES`. WEIGHTS is the path of the caffemodel with which the training begins.

    Raises SurgeryError if the net has another output, or several inputs.
    """
    made = training(model, options).model
    shape = scores_of(model.graph, model.shapes[model.phase]).shape
    size = (shape[-2], shape[-1]) if options.data == "keep" else None
    task = Task(paths["train_val"], weights, size, unscaled_skips(model.graph), frozen(model.graph))
    solver = solver_text(paths["solver"], task, options)
    return {paths["train_val"]: bytes(made.document), paths["solver"]: solver.encode()}


def unscaled_skips(graph: Graph) -> int:
    """Return the number of skips of GRAPH that are added to the upsampled scores without a fixed factor, a Scale before
    their scores that does not learn."""
    joins = [node for node in graph.nodes if node.type == "Eltwise" and len(node.bottoms) > 1]
    arms = [[_arm(graph, blob) for blob in node.bottoms] for node in joins]
    skips = [
        arm
        for sides in arms
        if any(side[0].type == "Deconvolution" for side in sides)
        for arm in sides
        if arm[0].type != "Deconvolution"
    ]
    return sum(not any(_is_fixed_scale(node) for node in arm) for arm in skips)


def _arm(graph: Graph, blob: Blob) -> list[Node]:
    """Return the layers that make BLOB of a skip, the last one first, without Crops and without layers before its
    scores."""
    nodes = [graph.producer[blob]]
    while nodes[-1].type in ("Crop", "Convolution") and len(nodes) <= _LONGEST:
        nodes.append(graph.producer[nodes[-1].bottoms[0]])
    return [node for node in nodes if node.type != "Crop"] or nodes


def _is_fixed_scale(node: Node) -> bool:
    return node.type == "Scale" and all(param.HasField("lr_mult") and not param.lr_mult for param in node.layer.param)


def frozen(graph: Graph) -> tuple[str, ...]:
    """Return the names of the Convolutions and InnerProducts of GRAPH that do not learn, because each `lr_mult` is
    0."""
    linear = [node for node in graph.nodes if row_of(node.type).linear and node.type != "Deconvolution"]
    fixed = [node for node in linear if node.layer.param and not any(param.lr_mult for param in node.layer.param)]
    return tuple(node.name for node in fixed)
