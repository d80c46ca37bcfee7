"""Finds the fields of a net that are unknown to BVLC Caffe: their layers, and their effect on shapes and answers.

A field is judged by its name and its place, whether the schema has it or not. Its effect is data, on which each command
decides. The messages are made here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from caffe_fcn.display import printable, some
from caffe_fcn.files.literals import real, truth
from caffe_fcn.files.prototxt import Document
from caffe_fcn.files.textmessage import Foreign
from caffe_fcn.net.effects import Effect, defaults_of, effect_of, forks_with, readers_of
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.inside import LostField, next_step
from caffe_fcn.net.layers import row_of
from caffe_fcn.schema import Message
from caffe_fcn.wording import option

UNDECIDED = frozenset({Effect.VALUES, Effect.SHAPES, Effect.UNKNOWN})
"""Effects that are not supported: answers or shapes may differ from the fork's."""
RESHAPING = UNDECIDED - {Effect.VALUES}
"""Those of them that may change shapes."""
_SHOWN, _MOST, _LONG = 6, 12, 100


class ForeignField(NamedTuple):
    """A field, or a value of one, that BVLC Caffe does not know."""

    layer: int | None
    """The index of the layer in the net; None for a field of the net itself, or of a layer that the upgrade merges."""
    name: str
    """The field without the layer, such as "convolution_param.relu": what `ignore_field` takes."""
    shown: str
    """The same, with the value if only the value is unknown."""
    effect: Effect
    forks: tuple[str, ...]
    """The known forks that have it; for a lost field, the Caffes that can read the whole file."""
    value: str
    """Its value as written, on one line, without comments."""
    offset: int
    """Its offset in the text."""
    ignored: bool = False
    """Whether the user asked to ignore its effect."""
    lost: str = ""
    """Why it is missing from the text, which was made from a caffemodel; the words follow its name. "" if it is
    there."""

    @property
    def undecided(self) -> bool:
        """Whether it has, or may have, an effect on shapes or answers that is not supported."""
        return self.effect in UNDECIDED


def foreign_fields(
    document: Document, found: Sequence[Foreign], net: Message, origins: Sequence[int | None]
) -> tuple[ForeignField, ...]:
    """The fields FOUND in DOCUMENT, with their layers in NET. ORIGINS: the place of each layer in the text."""
    if not found:
        return ()
    layers = {origin: index for index, origin in reversed(list(enumerate(origins))) if origin is not None}
    fields = [field for field in document.root.fields if field.name in ("layer", "layers")]
    starts = [value.start for field in fields for value in field.values]
    made = []
    for each in found:
        inside = each.path.startswith(("layer.", "layers."))
        index = layers.get(bisect_right(starts, each.offset) - 1) if inside else None
        made.append(
            ForeignField(
                layer=index,
                name=within_layer(each.path),
                shown=within_layer(each.shown),
                effect=_effect(each, None if index is None else net.layer[index]),
                forks=forks_with(each.message, each.field),
                value=each.value,
                offset=each.offset,
            )
        )
    return tuple(made)


def lost_fields(
    lost: Sequence[LostField], document: Document, origins: Sequence[int | None]
) -> tuple[ForeignField, ...]:
    """The fields LOST from the text in DOCUMENT, with their layers in the net. ORIGINS: the place of each layer in the
    text."""
    layers = {origin: index for index, origin in enumerate(origins) if origin is not None}
    starts = [field.start for field in document.root.fields if field.name in ("layer", "layers")]
    made = []
    for each in lost:
        idle = all(effect_of(each.message, name) is Effect.NONE for name in each.names or ("",))
        effect = Effect.NONE if idle else Effect.UNKNOWN
        index, offset = layers.get(each.layer), starts[each.layer]
        made.append(
            ForeignField(index, each.shown, each.shown, effect, each.readers, each.value, offset, lost=each.why)
        )
    return tuple(made)


def within_layer(path: str) -> str:
    """PATH without the layer; in format V0 without the layer inside it, too."""
    found = (path.removeprefix(prefix) for prefix in ("layers.layer.", "layers.", "layer.") if path.startswith(prefix))
    return next(found, path)


def _effect(found: Foreign, layer: Message | None) -> Effect:
    """The effect of a field in LAYER, None for a field of the net itself."""
    effect = effect_of(found.message, found.field)
    if found.enumerator and found.known:
        effect = Effect.APPLIED
    if layer and _is_of_another_type(within_layer(found.path), layer.type):
        return Effect.NONE
    if found.enumerator:
        return effect
    if effect is Effect.UNKNOWN and found.message == "LayerParameter" and layer and not row_of(layer.type).known:
        return Effect.OWN
    defaults = defaults_of(found.message, found.field)
    return Effect.NONE if any(_equal(found.value, default) for default in defaults) else effect


def _is_of_another_type(name: str, kind: str) -> bool:
    """Whether the field NAME, without the layer, is in a message that layers of type KIND do not read but others do."""
    readers = readers_of(name.partition(".")[0])
    return bool(readers) and row_of(kind).known and kind not in readers


def _equal(literal: str, default: str) -> bool:
    """Whether LITERAL, a value in a prototxt, equals DEFAULT."""
    if default in ("true", "false"):
        return truth(literal) == truth(default)
    number = real(default)
    return real(literal) == number if number is not None else literal.strip("\"'") == default


def uncomputed_fields(
    fields: Iterable[ForeignField], ignored: Collection[str]
) -> dict[int | None, tuple[ForeignField, ...]]:
    """The FIELDS whose effect is not supported, by layer, including those of types that BVLC Caffe does not have. The
    IGNORED ones are marked."""
    made: dict[int | None, list[ForeignField]] = {}
    for field in fields:
        if field.undecided or field.effect is Effect.OWN:
            made.setdefault(field.layer, []).append(field._replace(ignored=field.name in ignored))
    return {layer: tuple(found) for layer, found in made.items()}


# ---- Messages ----


def effect(field: ForeignField, ignored: Collection[str] = (), *, several: bool = False) -> str:
    """The effect of FIELD and how it is handled, in words that follow its name, or SEVERAL names, and the word "and".
    IGNORED: the fields that the user asked to ignore."""
    are, have = ("are", "have") if several else ("is", "has")
    if field.lost and field.undecided:
        return field.lost
    if field.effect in (Effect.NONE, Effect.OWN):
        return f"{have} no effect on shapes and answers"
    if field.effect is Effect.APPLIED:
        return f"{are} applied as in the forks of Caffe"
    if field.name in ignored:
        return f"{are} ignored, as requested"
    if field.effect is Effect.UNKNOWN:
        return "is not in any known fork, so its effect is unknown"
    forks = f"the fork{'s' * (len(field.forks) > 1)} {', '.join(field.forks)}" if field.forks else "a fork of Caffe"
    what = "shapes" if field.effect is Effect.SHAPES else "answers"
    return f"changes {what} in {forks}; this is not supported"


def notes(net: Message, fields: Sequence[ForeignField], ignored: Collection[str] = ()) -> list[str]:
    """The notes on FIELDS of NET. IGNORED: the fields that the user asked to ignore."""
    alike: dict[tuple[bool, str], list[ForeignField]] = {}
    for field in fields:
        if not is_told_by_type(net, field) and (field.name in ignored or not field.undecided):
            alike.setdefault((bool(field.lost), effect(field, ignored)), []).append(field)
    made = []
    for group in alike.values():
        several = len({field.shown for field in group}) > 1
        told = effect(group[0], ignored, several=several)
        unknown = f"{'are' if several else 'is'} unknown to BVLC Caffe"
        made.append(f"{_some(group)} {'cannot be read with certainty' if group[0].lost else unknown}, and {told}")
    undecided = [field for field in fields if field.undecided and field.name not in ignored]
    names = {index: str(layer.name) for index, layer in enumerate(net.layer)}
    complaints = _complaints([(field, names.get(-1 if field.layer is None else field.layer)) for field in undecided])
    made += [f"{each}; it is ignored in shapes and answers" for each in complaints[:_MOST]]
    if len(complaints) > _MOST:
        made.append(f"{len(complaints) - _MOST:,} more fields whose effect is not supported")
    return made


def kept_note(fields: Sequence[ForeignField]) -> list[str]:
    """A note on FIELDS for commands that compute nothing and keep the text."""
    return [f"unknown to BVLC Caffe, kept unchanged: {_some(fields)}"] if fields else []


def is_told_by_type(net: Message, field: ForeignField) -> bool:
    """Whether FIELD is a parameter of a type that BVLC Caffe does not have, so a note on the type is enough."""
    if field.undecided or field.layer is None:
        return False
    kind = net.layer[field.layer].type
    return not row_of(kind).bvlc and not _is_of_another_type(field.name, kind)


def refusal(graph: Graph, counts: Callable[[Node, ForeignField], bool] | None = None) -> str | None:
    """Why GRAPH cannot be run, and what to do, if it has fields of unknown effect that are not ignored; else None.
    COUNTS selects the fields that matter."""
    found: list[tuple[ForeignField, str | None]] = [(field, None) for field in graph.uncomputed if counts is None]
    found += [
        (field, node.name) for node in graph.nodes for field in node.uncomputed if counts is None or counts(node, field)
    ]
    found = [(field, name) for field, name in found if field.undecided and not field.ignored]
    if not found:
        return None
    complaints = _complaints(found)
    more = f" and {len(complaints) - _MOST:,} more" if len(complaints) > _MOST else ""
    names = list(dict.fromkeys(printable(field.name, _LONG) for field, _ in found if not field.lost))[:_MOST]
    hints = [f"Remove fields that have no effect, or ignore them with {option('ignore_field', names)}"] if names else []
    steps = {next_step(field.forks) for field, _ in found if field.lost}
    hints += [step[0].upper() + step[1:] for step in steps]
    return f"{'; '.join(complaints[:_MOST])}{more}. {'. '.join(hints)}"


def unknown_name(fields: Sequence[ForeignField], name: str) -> str | None:
    """Why NAME is not one of FIELDS whose effect can be ignored, often a typing mistake; None if it is."""
    effects = {field.effect for field in fields if field.name == name}
    if Effect.APPLIED in effects:
        return (
            f"{printable(name, _LONG)} is applied as in the forks of Caffe and cannot be ignored; remove it "
            "from the net"
        )
    if effects:
        return None
    there = _some([field for field in fields if field.undecided]) or "none"
    return f"the net has no field {printable(name, _LONG)} whose effect could be ignored; it has: {there}"


def _complaints(fields: Iterable[tuple[ForeignField, str | None]]) -> list[str]:
    """A line for each of FIELDS, with the names of its layers."""
    layers: dict[tuple[str, str], list[str | None]] = {}
    for field, name in fields:
        layers.setdefault((field.shown, effect(field)), []).append(name)
    return [f"{_places(names)}: {printable(shown, _LONG)} {told}" for (shown, told), names in layers.items()]


def _places(names: Sequence[str | None]) -> str:
    shown = [f'"{printable(name)}"' for name in dict.fromkeys(names) if name]
    return ("layer " if len(shown) == 1 else "layers ") + some(shown, 3) if shown else "the net"


def _some(fields: Sequence[ForeignField]) -> str:
    return some([printable(name, _LONG) for name in dict.fromkeys(field.shown for field in fields)], _SHOWN)
