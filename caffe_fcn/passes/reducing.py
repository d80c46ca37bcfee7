"""The whole reduction: the passes of `caffe-fcn reduce`.

Taps can only be taken from a Convolution. So where an InnerProduct is to lose taps, all InnerProducts become
Convolutions first. A layer may be called by its name before that or after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from caffe_fcn.errors import NetError, ShapeError, SurgeryError
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Result
from caffe_fcn.net.layers import row_of
from caffe_fcn.passes.conversion import converted, settings_of
from caffe_fcn.passes.options import ConvertOptions
from caffe_fcn.passes.reduce import Amount, reduce
from caffe_fcn.passes.reduce.tracing import amounts_between
from caffe_fcn.passes.reduce_options import ReduceOptions
from caffe_fcn.wording import Command, advise, nearest


@dataclass(frozen=True)
class Reduction:
    """The user's choices: what to keep of which layers, and how."""

    amounts: Mapping[str, Amount]
    options: ReduceOptions = field(default_factory=ReduceOptions)

    def __post_init__(self) -> None:
        if not self.amounts:
            raise ValueError("expected a layer to reduce, such as fc6=1024, found none")
        others = [name for name in self.options.dilation or {} if name not in self.amounts]
        if others:
            raise ValueError(f"dilation: expected a layer that is reduced, found {others[0]!r}")

    def left_of(self, name: str) -> Amount:
        """What is left of the layer NAME."""
        return self.amounts[name]._replace(dilation=(self.options.dilation or {}).get(name))

    def passes(self, model: Model) -> Iterator[Result]:
        """The passes that make the new model of MODEL."""
        names = {name: self._layer_of(model, name) for name in self.amounts}
        if any(self._needs_kernel(model, name, layer) for name, layer in names.items()):
            results = converted(model, settings_of(ConvertOptions(suffix=self.options.suffix)))
            yield from results
            model = results[-1].model
            left = {entry.layer: entry.reason for result in results for entry in result.left_alone}
            for name, layer in names.items():
                if layer in left and self.left_of(name).taps:
                    raise SurgeryError(f"layer {layer!r} cannot become a Convolution: {left[layer]}", layer=layer)
            new = results[-1].decision.new_names
            names = {name: new.get(layer, layer) for name, layer in names.items()}
        self._check_twice(names)
        yield reduce(
            model,
            {layer: self.left_of(name) for name, layer in names.items()},
            cut_outputs=self.options.cut_outputs,
        )

    def _layer_of(self, model: Model, name: str) -> str:
        """The layer of MODEL that NAME means: its own name, or that which it has before or after its conversion."""
        if name in model.types:
            return name
        suffix = self.options.suffix
        if name + suffix in model.types:
            return name + suffix
        if suffix and name.endswith(suffix) and model.types.get(before := name.removesuffix(suffix)) == "InnerProduct":
            return before
        near = nearest(name, (each for each, type_ in model.types.items() if row_of(type_).linear))
        raise SurgeryError(
            f"there is no layer {name!r}",
            hint=f"did you mean {near!r}?" if near else advise(Command("inspect"), " lists the layers"),
        )

    def _needs_kernel(self, model: Model, name: str, layer: str) -> bool:
        """Whether LAYER, which the user calls NAME, is an InnerProduct that is meant as a Convolution."""
        amount = self.left_of(name)
        return model.types[layer] == "InnerProduct" and bool(amount.taps or amount.dilation or name != layer)

    def _check_twice(self, names: Mapping[str, str]) -> None:
        by_layer: dict[str, str] = {}
        for name, layer in names.items():
            if (other := by_layer.setdefault(layer, name)) != name:
                raise SurgeryError(f"{other!r} and {name!r} are the same layer", hint="name it once")


def retrace(model: Model, twin: Model) -> Result | None:
    """Return MODEL reduced like the new net TWIN, if layers of TWIN have fewer filters or taps."""
    try:
        base = _converted_as(model, twin)
        amounts = amounts_between(base, twin)
        return reduce(base, amounts, cut_outputs=True) if amounts else None
    except (NetError, ShapeError, SurgeryError):
        return None


def _converted_as(model: Model, twin: Model) -> Model:
    """Return MODEL with its InnerProducts converted, if one is a Convolution in the new net TWIN, under its name or a
    name that begins with it."""
    for name, type_ in model.types.items():
        for other, now in twin.types.items() if type_ == "InnerProduct" and twin.types.get(name) != type_ else ():
            if now == "Convolution" and other.startswith(name) and other not in model.types.keys() - {name}:
                suffix = other.removeprefix(name)
                return converted(model, settings_of(ConvertOptions(suffix=suffix)))[-1].model
    return model
