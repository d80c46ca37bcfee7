"""Chooses the output and the class that an option is for, and says what to do next if there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from caffe_fcn.engines.protocol import ShapedNet
from caffe_fcn.errors import CaffeFcnError, EngineError, PictureError
from caffe_fcn.net.geometry import infer_geometry
from caffe_fcn.net.graph import Blob
from caffe_fcn.net.shapes import show
from caffe_fcn.passes.convolutionalize import decide
from caffe_fcn.predict.outputs import Holds, NetOutput, holds
from caffe_fcn.predict.picture_net import PictureNet
from caffe_fcn.wording import Command, Hint, Option, advise, option

if TYPE_CHECKING:
    from caffe_fcn.predict.draw.palette import Palette
    from caffe_fcn.predict.labels import Labels
    from caffe_fcn.predict.run import RunSettings


_OTHER = "choose a map, as with "


class Heat(NamedTuple):
    """The scores or values that a heat map of BLOB shows: the highest of CLASSES; TITLE says what they are."""

    blob: str
    classes: tuple[int, ...]
    title: str


def drawn_of(model: PictureNet, name: str, *, classes: bool = False) -> NetOutput:
    """Return the map of MODEL that the option NAME is for: the only one, or the only one with classes. Raises
    EngineError if there is none, or more than one. CLASSES: the map must have classes, for the next step."""
    maps = model.maps
    if not maps:
        likely = sorted(model.outputs, key=lambda each: (not each.of_classes, not each.probabilities))
        raise no_map(model, likely[0], name, classes=classes)
    of_classes = [output for output in maps if output.of_classes]
    found = maps if len(maps) == 1 else of_classes
    if len(found) != 1:
        names = ", ".join(repr(output.name) for output in maps)
        raise EngineError(
            expected=f"one map for {option(name)}",
            found=names,
            source=model.source,
            hint=advise("choose one with ", Option("blob")),
        )
    return found[0]


def labelled_of(model: PictureNet, name: str, palette: Palette | None = None) -> NetOutput:
    """Return the map of MODEL with a top class in its cells, which the option NAME is for. Raises EngineError if there
    is none, or more than one; PictureError if PALETTE has too few colours."""
    output = drawn_of(model, name, classes=True)
    if not output.of_classes:
        raise EngineError(
            f"{output.name!r} holds {show(output.shape)} numbers, which are not scores of classes, as {option(name)} "
            "needs",
            source=model.source,
            hint=advise("draw one channel with ", Option("heatmap"), ", or name the classes with ", Option("labels")),
        )
    if palette is not None:
        palette.check(output.channels, model.source)
    return output


def heat_of(output: NetOutput, labels: Labels, wanted: str | None, source: str) -> Heat:
    """Return the class WANTED of the map OUTPUT, by name or number; if None, all but the background. Raises EngineError
    if the choice is not clear."""
    if wanted is not None:
        index = class_of(output, labels, wanted, source)
        return Heat(output.name, (index,), _title(output, labels, index))
    if labels.count == 1:
        return Heat(output.name, (0,), _title(output, labels, 0))
    if labels.background is None or not output.of_classes:
        kind = "classes, and none of them is known as the background" if output.of_classes else "channels"
        nameless = output.of_classes and not labels.names
        more = (", or give their names with ", Option("labels"), ", one of them background") if nameless else ()
        raise EngineError(
            f"{output.name!r} has {labels.count} {kind}",
            source=source,
            hint=advise("choose the one to draw with ", Option("class"), *more),
        )
    others = tuple(index for index in range(labels.count) if index != labels.background)
    return Heat(output.name, others, f"score of all but {labels.title(labels.background)}")


def _title(output: NetOutput, labels: Labels, index: int) -> str:
    if output.of_classes:
        return f"score of {labels.title(index)}"
    channel = labels.name(index) or (f"channel {index}" if labels.count > 1 else "")
    return f"value of {output.name}" + (f", {channel}" if channel else "")


# ---- Classes ----


def class_of(output: NetOutput, labels: Labels, wanted: str, source: str) -> int:
    """Return the class WANTED of OUTPUT, by name or number, or its channel WANTED if it has no classes. Raises
    PictureError if there is none."""
    number = wanted.isascii() and wanted.isdigit() and int(wanted) < labels.count
    if not output.of_classes and not number and not labels.names:
        raise PictureError(
            f"{option('class', wanted)}: expected a channel of {output.name!r}, 0 to {labels.count - 1}", source=source
        )
    return labels.find(wanted)


def wanted_of(model: PictureNet, settings: RunSettings, wanted: str) -> Mapping[str, int]:
    """Return the number of the class WANTED in each output of MODEL that has it, by the blob; if none has classes, its
    channel in the only output. Raises EngineError, PictureError if no output has it."""
    found = [output for output in model.outputs if output.of_classes] or list(model.outputs)
    if not found[0].of_classes and (len(found) > 1 or not found[0].is_map):
        shown = ", ".join(f"{output.name!r} {show(output.shape)}" for output in found)
        raise EngineError(
            source=model.source,
            place=Option("class", wanted),
            expected="scores of classes, or one map",
            found=shown,
            hint=advise("choose a blob with ", Option("blob")),
        )
    return _numbers(found, settings, wanted, model.source)


def numbers_of_class(
    outputs: Sequence[NetOutput], settings: RunSettings, wanted: str, source: str
) -> Mapping[str, int]:
    """Return the number of the class WANTED in each of the OUTPUTS of a net that has it, by the blob, or its channel in
    each of the maps if none has classes. Raises PictureError if there is none."""
    found = [output for output in outputs if output.of_classes] or [output for output in outputs if output.is_map]
    if not found:
        shown = ", ".join(f"{output.name!r} {show(output.shape)}" for output in outputs)
        raise PictureError(
            source=source, place=Option("class", wanted), expected="scores of classes, or a map", found=shown
        )
    return _numbers(found, settings, wanted, source)


def _numbers(outputs: Sequence[NetOutput], settings: RunSettings, wanted: str, source: str) -> Mapping[str, int]:
    numbers: dict[str, int] = {}
    failures: list[PictureError] = []
    for output in sorted(outputs, key=lambda each: each.channels):
        try:
            numbers[output.name] = class_of(output, settings.labels(output), wanted, source)
        except PictureError as error:
            failures.append(error)
    if not numbers:
        raise failures[-1]
    return numbers


# ---- Maps ----


def check_maps(model: PictureNet, name: str) -> None:
    """Raise EngineError if an output of MODEL is not a map, which the option NAME needs."""
    found = next((output for output in model.outputs if not output.is_map), None)
    if found is not None:
        raise no_map(model, found, name)


def no_map(model: PictureNet, output: NetOutput, name: str, *, classes: bool = False) -> EngineError:
    """Return the error that OUTPUT of MODEL is not a map, which the option NAME needs. The next step is to convert the
    net, if that changes it, or to use a map from which the output is made. CLASSES: it must have classes."""
    told = f"{output.name!r} is {show(output.shape)}, but {option(name)} needs a map"
    way = None
    if prod(output.shape[2:]) == 1 and convertible(model.net):
        way = advise("make the net fully convolutional first: ", Command("convert"))
    elif found := _maps_behind(model.net, output.blob):
        way = _map_of_classes(model, found) if classes else advise(_OTHER, Option("blob", found[-1].name))
    return EngineError(told, source=model.source, hint=way)


def _map_of_classes(model: PictureNet, maps: Sequence[Blob]) -> Hint:
    """Return the advice to use one of MAPS of MODEL, the last one with classes, or else with names for its channels."""
    graph, shapes = model.net.graph, model.net.shapes.blobs
    outputs = [each.blob for each in model.outputs]
    known = [(blob, shape) for blob in maps if isinstance(shape := shapes[blob], tuple)]
    scores = [blob for blob, shape in known if holds(graph, outputs, blob, shape, is_map=True) is not Holds.VALUES]
    if scores:
        return advise(_OTHER, Option("blob", scores[-1].name))
    return advise(_OTHER, Option("blob", maps[-1].name), ", and name its channels as classes with ", Option("labels"))


def convertible(net: ShapedNet) -> bool:
    """Return whether a conversion changes NET."""
    try:
        return bool(decide(net.graph, net.shapes).changes)
    except CaffeFcnError:
        return False


def _maps_behind(net: ShapedNet, output: Blob) -> list[Blob]:
    """Return the maps of several cells on which OUTPUT depends, in the order of the layers."""
    geometry, needed, found = infer_geometry(net.graph, net.shapes), {output}, []
    for node in reversed(net.graph.nodes):
        if node.bottoms and not needed.isdisjoint(node.tops):
            needed.update(node.bottoms)
            shapes = {top: net.shapes.blobs[top] for top in node.tops if geometry.get(top) is not None}
            found += [top for top, shape in shapes.items() if isinstance(shape, tuple) and prod(shape[2:]) > 1]
    return found[::-1]
