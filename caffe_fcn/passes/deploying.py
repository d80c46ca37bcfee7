"""Makes a deploy net from a training net: the passes of `caffe-fcn deploy`, and how they can be recognized in a net."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from caffe_fcn.errors import NetError, ShapeError, SurgeryError
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Result
from caffe_fcn.net.in_use import trains
from caffe_fcn.net.layers import row_of
from caffe_fcn.passes.alone import alone, with_losses
from caffe_fcn.passes.deploy import deploy
from caffe_fcn.passes.deploy_options import DeployOptions


def deploying(model: Model, options: DeployOptions | None = None, *, as_fed: bool = False) -> Iterator[Result]:
    """The deploy net of MODEL, of the first of its phases. AS_FED is as in `deploy`. Raises
    CaffeFcnError where that cannot be done."""
    phase = model.phase
    chosen = replace(model.selection, phase="TRAIN" if phase == "TRAIN" else "TEST")
    one = replace(model, selection=chosen, graphs={phase: model.graph}, shapes={phase: model.shapes[phase]})
    yield (judged := with_losses(one))
    yield (single := alone(judged.model))
    yield deploy(single.model, options, as_fed=as_fed)


def retrace(model: Model, twin: Model) -> Result | None:
    """The deploy net of MODEL, with the heads that TWIN has, if MODEL has losses, measures or data layers, or losses in
    a phase that TWIN lacks, and TWIN has none."""
    lacking = [graph for name, graph in model.graphs.items() if name not in twin.graphs]
    learns = any(row_of(node.type).weighs for graph in lacking for node in graph.nodes)
    if not (trains(model.graph) or learns) or trains(twin.graph):
        return None
    for options in (DeployOptions(), DeployOptions(keep_heads=True)):
        try:
            *_, made = deploying(model, options, as_fed=True)
        except (NetError, ShapeError, SurgeryError):
            return None
        if len(made.model.graph.outputs) == len(twin.graph.outputs):
            return made
    return None
