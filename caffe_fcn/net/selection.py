"""Selects the nets of a file, and applies the user's choices about shapes, offsets and fields.

A prototxt holds a net for each phase, stage and level in its include and exclude rules. A `Selection` picks among them;
`graphs` builds the selected ones, one for each phase. The user decides on shapes that the file does not define, offsets
that forks of Caffe compute, and fields of unknown effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from caffe_fcn.errors import NetError, ShapeError
from caffe_fcn.net.foreign import uncomputed_fields, unknown_name
from caffe_fcn.net.graph import Blob, Graph, build_graph
from caffe_fcn.net.options import Selection
from caffe_fcn.net.rules import choices, named
from caffe_fcn.net.shapes import Shape, channels_told, infer_shapes, show
from caffe_fcn.net.source import SourceNet
from caffe_fcn.schema import Message
from caffe_fcn.wording import Command, Option, advise


def graphs(source: SourceNet, selection: Selection) -> dict[str, Graph]:
    """The graphs of SOURCE by phase, TEST before TRAIN. Where the file tells phases apart and one of them cannot
    be built, as in a file made for training only, the other is enough. Raises NetError."""
    rules = [rule for layer in source.net.layer for rule in (*layer.include, *layer.exclude)]
    tells_apart = any(rule.HasField("phase") for rule in rules)
    wanted = [selection.phase] if selection.phase else ["TEST", "TRAIN"] if tells_apart else ["TEST"]
    found: dict[str, Graph] = {}
    failures: list[NetError] = []
    for phase in wanted:
        try:
            found[phase] = graph_of(source.net, source, selection, phase)
        except NetError as error:
            failures.append(error)
    if not found and source.from_weights:
        failures[0].hint = advise("the net inside the caffemodel is incomplete; give its prototxt too")
    if not found:
        raise failures[0]
    _check_stages(source, selection)
    if source.net.layer and not any(graph.nodes for graph in found.values()):
        raise NetError(
            f"no layer is in the chosen phase, {' or '.join(found)}{choices(source.net)}", source=source.name
        )
    unknown = [name for name in selection.given if not any(graph.latest(name) for graph in found.values())]
    if unknown:
        raise NetError(f"a shape was given for {unknown[0]!r}, but the net has no such blob", source=source.name)
    check_ignored(selection, source)
    return found


def _check_stages(source: SourceNet, selection: Selection) -> None:
    """Raise NetError for a stage in SELECTION that no rule of SOURCE names, so that it has no effect."""
    known = named(source.net).stages
    unknown = [stage for stage in selection.stages if stage not in known]
    if unknown:
        there = choices(source.net) if known else "; the file has none"
        raise NetError(f"no layer has a rule for the stage {unknown[0]!r}{there}", source=source.name)


def known_to(source: SourceNet, selection: Selection) -> Selection:
    """SELECTION, which was made for several nets, without the blobs, fields and stages that SOURCE does not have."""
    blobs = {*source.net.input, *(top for layer in source.net.layer for top in layer.top)}
    given = {name: shape for name, shape in selection.given.items() if name in blobs}
    ignored = {field.name for field in source.foreign} & {*selection.ignore_fields}
    stages = tuple(stage for stage in selection.stages if stage in named(source.net).stages)
    return replace(selection, shapes=given, ignore_fields=frozenset(ignored), stages=stages)


def as_written(source: SourceNet, selection: Selection) -> Selection:
    """SELECTION without the shapes of inputs that SOURCE defines itself."""
    written = source.net
    defined = set(written.input if written.input_shape or written.input_dim else ())
    defined |= {
        top for layer in written.layer if layer.type == "Input" and layer.input_param.shape for top in layer.top
    }
    given = {name: shape for name, shape in selection.given.items() if name not in defined}
    return replace(selection, shapes=given)


def graph_of(net: Message, source: SourceNet, selection: Selection, phase: str) -> Graph:
    """The graph of NET, which is the net of SOURCE or was made from it, in PHASE. Raises NetError."""
    uncomputed = uncomputed_fields(source.foreign, selection.ignore_fields) if net is source.net else {}
    stages, level = selection.stages, selection.level
    graph = build_graph(net, phase=phase, stages=stages, level=level, source=source.name, uncomputed=uncomputed)
    return graph._replace(crops_at_zero=selection.crop_offset == "zero", channels=channels_told(net))


def check_ignored(selection: Selection, *sources: SourceNet) -> None:
    """Raise NetError for a field to be ignored that SOURCES do not have, or whose effect is supported."""
    for name in sorted(selection.ignore_fields):
        if wrong := unknown_name([field for source in sources for field in source.foreign], name):
            raise NetError(wrong, source=", ".join(dict.fromkeys(source.name for source in sources)))


def check_given(graph: Graph, given: Mapping[str, Shape]) -> None:
    """Raise ShapeError for a shape in GIVEN that contradicts the file: the shape of an input, or that from a known
    layer. Axes that a data layer does not define are no contradiction."""
    if not given:
        return
    try:
        known = infer_shapes(graph)
    except ShapeError:
        return
    for name, wanted in given.items():
        maker = graph.producer.get(Blob(name, 0))
        shape = known.blobs[Blob(name, 0)] if maker else None
        if (
            maker is None
            or not isinstance(shape, tuple)
            or shape == wanted
            or not (maker.bottoms or maker.type == "Input")
        ):
            continue
        raise ShapeError(
            f"{name!r} is {show(shape)} in the file, but was given as {show(wanted)}",
            source=graph.source,
            layer=maker.name,
            layer_type=maker.type,
            index=maker.index,
            expected=show(shape),
            found=show(wanted),
            hint=advise(
                Option("input_shape"),
                " is for inputs without a shape in the file; to change the size, edit the file or use ",
                Command("convert", ("input_size",)),
            ),
        )
