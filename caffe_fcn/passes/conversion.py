"""Plans a conversion: takes a net and its weights, runs the passes, and returns the plan. Writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape

from caffe_fcn.errors import NetError, ShapeError, SurgeryError, WeightsError
from caffe_fcn.model.changes import LeftAlone
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Result
from caffe_fcn.net.geometry import infer_geometry
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.shapes import Shape
from caffe_fcn.passes.atrous import atrous
from caffe_fcn.passes.channels import change_channels
from caffe_fcn.passes.convolutionalize import Options, convolutionalize
from caffe_fcn.passes.convolutionalize.changes import ToConvolution
from caffe_fcn.passes.convolutionalize.naming import Naming, parse_rule
from caffe_fcn.passes.convolutionalize.survey import matches
from caffe_fcn.passes.cut import cut
from caffe_fcn.passes.options import ConvertOptions
from caffe_fcn.passes.planning import Plan, planned
from caffe_fcn.passes.resize import resize
from caffe_fcn.wording import option


@dataclass(frozen=True)
class Settings:
    """What the user asks for."""

    options: Options = field(default_factory=Options)
    selection: Selection = ANY_NET
    input_size: tuple[int, ...] | None = None
    stride: tuple[int, ...] | None = None
    input_channels: int | None = None
    strict: bool = False


def settings_of(options: ConvertOptions, selection: Selection = ANY_NET) -> Settings:
    """The settings that OPTIONS and SELECTION mean. Raises ValueError for an invalid rename rule."""
    naming = Naming(options.suffix, tuple(parse_rule(rule) for rule in options.rename))
    return Settings(
        options=Options(naming, options.only, options.skip, keep_global_pooling=options.global_pooling == "keep"),
        selection=selection,
        input_size=options.input_size,
        stride=options.stride,
        input_channels=options.input_channels,
        strict=options.strict,
    )


class ConversionPlan(Plan):
    """The plan of a conversion."""

    __slots__ = ()

    @property
    def conversions(self) -> list[ToConvolution]:
        """The layers that become Convolutions, in the order of the net."""
        return [change for change in self.changes if isinstance(change, ToConvolution)]

    @property
    def new_names(self) -> Mapping[str, str]:
        """The new names of layers by their old ones; of a layer that was cut, the names of its parts."""
        return next(each for each in self.results if not each.decision.of_kind("cut")).decision.new_names

    @property
    def outputs(self) -> dict[str, Shape]:
        """The shapes of the outputs by blob name, if the conversion changes the input size; else empty."""
        phases = [(graph, self.model.shapes[phase].blobs) for phase, graph in self.model.graphs.items()]
        made = [
            {blob.name: shape for blob in graph.outputs if isinstance(shape := blobs[blob], tuple)}
            for graph, blobs in (phases if self.of_kind("input_size") else ())
        ]
        return {name: shape for each in reversed(made) for name, shape in each.items()}


def plan(model: Model, settings: Settings) -> ConversionPlan:
    """Decide how to convert MODEL, which was opened with the selection of SETTINGS. Raises CaffeFcnError where that
    cannot be done."""
    return ConversionPlan(*planned(model, _passes(settings), resized=_resizes(settings)))


def _resizes(settings: Settings) -> bool:
    return settings.input_size is not None


def _passes(settings: Settings) -> Callable[[Model], Iterator[Result]]:
    def passes(model: Model) -> Iterator[Result]:
        results = converted(model, settings)
        if settings.strict:
            _check_strict(model, results[-1].left_alone)
        if settings.stride:
            results.append(atrous(results[-1].model, settings.stride))
        yield from results
        model = results[-1].model
        if settings.input_channels is not None:
            yield (made := change_channels(model, settings.input_channels))
            model = made.model
        if settings.input_size:
            yield resize(model, settings.input_size)

    return passes


def converted(before: Model, settings: Settings) -> list[Result]:
    """The passes that convert BEFORE. InnerProducts over maps of different grids are cut first, if that helps."""
    options, resized = settings.options, _resizes(settings)
    apart = cut(before, lambda name: not options.only and not matches(name, options.skip))
    if apart.changes:
        made = convolutionalize(apart.model, options, resized=resized)
        new = {name for change in apart.decision.of_kind("cut") for name in change.document()["into"]}
        if new <= {change.layer for change in made.decision.of_kind("converted")}:
            return [apart, made]
    return [convolutionalize(before, options, resized=resized)]


def _check_strict(model: Model, left_alone: Sequence[LeftAlone]) -> None:
    """Raise SurgeryError if LEFT_ALONE has an InnerProduct that the user did not ask to leave."""
    left = [entry for entry in left_alone if entry.type == "InnerProduct" and not entry.settled]
    if left:
        reasons = "; ".join(f"{entry.layer}: {entry.reason}" for entry in left)
        raise SurgeryError(
            f"not every InnerProduct can be converted, as {option('strict', True)} requires: {reasons}",
            source=model.source.name,
            layer=left[0].layer,
        )


def retrace(model: Model, twin: Model) -> Result | None:
    """Return MODEL converted, with the finer map of the new net TWIN, if windows of TWIN have other steps than those of
    MODEL. Layers that are InnerProducts in TWIN are left alone."""
    stride = _finer(model, twin)
    if stride is None:
        return None
    kept = {node.name for graph in twin.graphs.values() for node in graph.nodes if node.type == "InnerProduct"}
    names = {node.name for graph in model.graphs.values() for node in graph.nodes if node.type == "InnerProduct"}
    options = Options(Naming(""), skip=tuple(map(escape, sorted(kept & names))))
    try:
        return atrous(converted(model, Settings(options))[-1].model, stride)
    except (NetError, ShapeError, SurgeryError, WeightsError):
        return None


def _finer(model: Model, twin: Model) -> tuple[int, ...] | None:
    """Return the stride of the last maps of the new net TWIN, if its windows have other steps than those of MODEL."""
    phase = model.phase
    if phase not in twin.graphs or _steps(model, phase) == _steps(twin, phase):
        return None
    known = infer_geometry(twin.graphs[phase], twin.shapes[phase])
    strides = [found.stride for found in known.values() if found is not None]
    most = max(strides, default=None)
    return tuple(map(int, most)) if most and all(each.denominator == 1 for each in most) else None


def _steps(model: Model, phase: str) -> Counter[tuple[int, ...]]:
    """The steps of the windows of MODEL, if they are more than a cell."""
    graph, shapes = model.graphs[phase], model.shapes[phase].blobs
    rules = [(node, row_of(node.type).windows) for node in graph.nodes if node.bottoms]
    bottoms = [(node, rule, shapes[node.bottoms[0]]) for node, rule in rules if rule is not None]
    windows = [rule(node.layer, shape) for node, rule, shape in bottoms if isinstance(shape, tuple)]
    return Counter(each.stride for each in windows if max(each.stride, default=1) > 1)
