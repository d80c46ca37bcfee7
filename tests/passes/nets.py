"""Small nets for tests, and short ways to convert them."""

from __future__ import annotations

from typing import Any

from caffe_fcn import schema
from caffe_fcn.files import prototxt
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import meet
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.source import interpret
from caffe_fcn.passes.conversion import ConversionPlan, Settings, plan
from caffe_fcn.passes.convolutionalize import Options
from caffe_fcn.schema import Message


def data(name: str = "data", shape: str = "1 2 8 10") -> str:
    dims = " ".join(f"dim: {extent}" for extent in shape.split())
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'


def layer(name: str, kind: str, bottoms: str, top: str | None = None, params: str = "") -> str:
    reads = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    makes = "" if top == "" else " ".join(f'top: "{each}"' for each in (top or name).split())
    return f'layer {{ name: "{name}" type: "{kind}" {reads} {makes} {params} }}\n'


def conv(name: str, bottom: str, outputs: int, kernel: int = 3, more: str = "") -> str:
    return layer(
        name,
        "Convolution",
        bottom,
        params=f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} {more} }}",
    )


def fc(name: str, bottom: str, outputs: int, more: str = "", params: str = "") -> str:
    return layer(
        name, "InnerProduct", bottom, params=f"{params} inner_product_param {{ num_output: {outputs} {more} }}"
    )


def planned(text: str, settings: Settings | None = None, **options: Any) -> ConversionPlan:
    """The plan for the net TEXT, without weights."""
    settings = settings or Settings(options=Options(**options))
    return plan(meet(interpret(prototxt.parse(text, "net.prototxt")), None, settings.selection), settings)


def model_of(text: str, selection: Selection = ANY_NET) -> Model:
    """The model of the net TEXT, without weights."""
    return meet(interpret(prototxt.parse(text, "net.prototxt")), None, selection)


def layers(plan: ConversionPlan) -> dict[str, Message]:
    """The layers of the converted net by name, as its text says."""
    return {each.name: each for each in interpret(plan.document).net.layer}


def kernels(plan: ConversionPlan) -> dict[str, tuple[int, ...]]:
    return {edit.layer: edit.kernel for edit in plan.conversions}


def reasons(plan: ConversionPlan) -> dict[str, str]:
    return {entry.layer: entry.reason for entry in plan.left_alone}


def net_message(*layers: Message) -> Message:
    return schema.NetParameter(layer=layers)
