"""A net that was read from a file: the document, its message, and the net in the current format.

The document is text in any format of Caffe. `written` is the message in the text. `net` is that message in the current
format; all other code uses it. `origins` has for each layer of `net` the layer in the text from which it was made, so
that changes can be written back to the text.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from caffe_fcn import schema
from caffe_fcn.display import printable
from caffe_fcn.errors import NetError
from caffe_fcn.files import prototxt
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.literals import string_bytes
from caffe_fcn.files.prototxt import Block, Document, Field, TextEdit
from caffe_fcn.files.reading import reading
from caffe_fcn.files.recognition import refuse_others
from caffe_fcn.files.reconcile import Moves, reconcile
from caffe_fcn.files.textmessage import Typed, to_message
from caffe_fcn.files.weights import open_weights
from caffe_fcn.net.foreign import ForeignField, foreign_fields, lost_fields
from caffe_fcn.net.inside import net_inside, next_step
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.upgrade import finished, is_halfway, is_v0, is_v1, upgrade_with_origins
from caffe_fcn.schema import Message
from caffe_fcn.wording import option

_UPGRADED = {"layers": "layer"}
"""Fields whose contents the upgrade of V1 moves to another field."""


@dataclass(frozen=True, repr=False)
class SourceNet:
    """A net and its text."""

    document: Document
    written: Message
    net: Message
    """The net as a NetParameter in the current format."""
    origins: tuple[int | None, ...]
    format: str
    """The format of the file: "V0" of 2013, "V1" of 2014, or the current "V2"."""
    notes: tuple[str, ...] = ()
    """Notes on text that Caffe would not accept."""
    foreign: tuple[ForeignField, ...] = ()
    """The fields that BVLC Caffe does not have."""
    from_weights: bool = False
    """Whether the text was made from the net inside a caffemodel."""
    comments: Mapping[int, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Comments to be added to the text: lines without "#", by the index of the layer in `net` that follows them."""

    def __repr__(self) -> str:
        return f"<SourceNet {self.name}: {len(self.net.layer)} layers>"

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return self.document.name

    def edits_for(
        self,
        changed: Message,
        origins: Sequence[int | None],
        moved: Mapping[str, str] = MappingProxyType({}),
        gone: Iterable[ForeignField] = (),
    ) -> list[TextEdit]:
        """Return the edits of the text after which it reads as CHANGED. ORIGINS has for each of its layers the index in
        `net`, None for a new layer.

        MOVED has fields, old name to new name, whose contents are in another field of CHANGED than of `net`. GONE are
        fields of forks to be removed from the text.
        """
        in_text = [None if origin is None else self.origins[origin] for origin in origins]
        places = {each.offset for each in gone}
        moves = Moves({**_UPGRADED, **moved}, {"layer": in_text}, places, {"layer": self.comments})
        return reconcile(self.document, self.written, changed, moves)

    def diff(self, edits: Sequence[TextEdit], new_name: str) -> str:
        """Return the unified diff of EDITS."""
        from caffe_fcn.files.diff import unified_diff  # here, because most runs show no diff

        return unified_diff(self.document, edits, self.name, new_name)


def read_net(path: str | os.PathLike[str], *, fork: str | None = None) -> SourceNet:
    """Read the net in the file at PATH. FORK is the Caffe that wrote it, if known."""
    opened = open_either(os.fspath(path))
    if isinstance(opened, SourceNet):
        return unforked(opened, fork)
    with opened:
        return net_of_weights(opened, fork)


def unforked(source: SourceNet, fork: str | None) -> SourceNet:
    """Return SOURCE, which is a prototxt. Raises NetError if a FORK is given, because field numbers are not used."""
    if fork is not None:
        raise NetError(
            f"{option('fork')} applies only to a caffemodel without its prototxt, found a prototxt",
            source=source.name,
            expected="a caffemodel without its prototxt",
            found="a prototxt",
        )
    return source


def open_either(path: str, name: str | None = None) -> SourceNet | WeightFile:
    """Open PATH and return the net if it is a prototxt, or the weights. Messages call it NAME. Raises CaffeFcnError;
    OSError if it cannot be read."""
    with reading(path, name) as file:
        data = file.read(prototxt.HEAD)
        if not prototxt.is_binary(data):
            return interpret(prototxt.parse(data + file.read(), name or path))
    refuse_others(data, name or path)
    return open_weights(path, name)


def net_of_weights(weights: WeightFile, fork: str | None = None) -> SourceNet:
    """Return the net inside a caffemodel, with a text made for it. FORK is the Caffe that wrote it, if known.

    Caffe wrote the net of one training phase after it applied the include and exclude rules, so these are removed.
    Fields that no known Caffe has, or that several read differently, are not in the text; they are in `foreign`. Raises
    NetError if there is no net, as in HDF5, and for a layer that cannot be read.
    """
    if weights.bare:
        kind = "an HDF5 file" if weights.hdf5 else "this caffemodel"
        raise NetError(f"{kind} holds weights but no net", source=weights.path, hint="give the prototxt first")
    inside = net_inside(weights, fork)
    source = interpret(prototxt.parse(inside.text, weights.path))
    lost = lost_fields(inside.lost, source.document, source.origins)
    return replace(source, from_weights=True, foreign=(*source.foreign, *lost))


def refuse_lost(source: SourceNet) -> None:
    """Raise NetError if fields of the caffemodel are missing in SOURCE, from which a net is to be written."""
    field = next((each for each in source.foreign if each.lost), None)
    if field is not None:
        place = "the net" if field.layer is None else f"layer {printable(source.net.layer[field.layer].name)!r}"
        kind = "" if field.layer is None else f" ({printable(source.net.layer[field.layer].type)})"
        raise NetError(f"{place}{kind}: {field.shown} {field.lost}", source=source.name, hint=next_step(field.forks))


def interpret(document: Document) -> SourceNet:
    """Return the net in DOCUMENT. V0 and V1 layers are upgraded; what current Caffe accepts is not changed."""
    check_words(document)
    typed = to_message(document, schema.NetParameter)
    written = typed.message
    _check_is_net(document, typed)
    _check_types(document, typed)
    form = "V0" if is_v0(written) else "V1" if is_v1(written) else "V2"
    if form == "V2":
        net = finished(written) if is_halfway(written) else written
        origins = tuple[int | None, ...](range(len(written.layer)))
    else:
        net, origins = upgrade_with_origins(written, source=document.name)
    foreign = foreign_fields(document, typed.foreign, net, origins)
    return SourceNet(document, written, net, origins, form, _notes(document, typed), foreign)


def check_words(document: Document) -> None:
    """Raise PrototxtError if layers of the current format are in the field `layers` of the format of 2014."""
    for field in document.root.fields:
        blocks = [value for value in field.values if field.name == "layers" and isinstance(value, Block)]
        if any(_is_current(document, inner) for block in blocks for inner in block.fields):
            what = "'layers' belongs to the format of 2014, but this layer is in the current format"
            document.fail(field.start, f"{what}; write 'layer'")


def _check_types(document: Document, typed: Typed) -> None:
    """Raise PrototxtError if a layer of the format of 2014 has a type that no known Caffe has."""
    for each in typed.foreign:
        if each.enumerator and not each.known and (each.message, each.field) == ("V1LayerParameter", "type"):
            what = f"unknown layer type {printable(each.value)!r}"
            document.fail(each.offset, f"{what}; expected a type of the format of 2014, such as CONVOLUTION")


def _is_current(document: Document, field: Field) -> bool:
    """Return whether FIELD of a layer exists only in the current format: a type in quotes, or a message for
    parameters."""
    for value in field.values:
        if isinstance(value, Block):
            return field.name == "param"
        if field.name == "type" and value.kind == "string":
            return row_of(string_bytes(document.text[value.start : value.end]).decode("utf-8", "replace")).bvlc
    return False


def foreign_types(types: Iterable[str]) -> list[str]:
    """Return a note on the layer TYPES that BVLC Caffe does not have: types of forks, or typing mistakes."""
    foreign = dict.fromkeys(name for name in types if not row_of(name).bvlc)
    return [f"layer types that BVLC Caffe does not have: {', '.join(map(printable, foreign))}"] if foreign else []


def _check_is_net(document: Document, typed: Typed) -> None:
    """Raise PrototxtError, with the place, for a file that is not a net or that mixes two formats."""
    message = typed.message
    if message.layer and message.layers:
        first = document.root.fields
        place = next(field for field in first if field.name == "layers")
        document.fail(
            place.start, "the file mixes 'layer' and 'layers', which are two formats; Caffe refuses it; use one of them"
        )
    if not message.layer and not message.layers:
        if document.text.strip("\ufeff \t\r\n") == "":
            raise NetError(source=document.name, expected="a net", found="an empty file")
        if typed.unknown:
            path, offset = typed.unknown[0]
            document.fail(
                offset,
                expected="a net",
                found=f"no layers, and {path!r} is not a field of a net (is it a solver?)",
            )
        raise NetError(source=document.name, expected="a net", found="no layers")


def _notes(document: Document, typed: Typed) -> tuple[str, ...]:
    """Return notes on text that Caffe would not accept."""
    notes = []
    for path, offset in typed.irregular[:3]:
        line, column = document.position(offset)
        notes.append(
            f"{document.name}:{line}:{column}: {path} is written in a form that Caffe refuses; it was read anyway"
        )
    for path in dict.fromkeys(path for path, _ in typed.repeated):
        notes.append(f"{printable(path, 100)} is given several times, as some forks do; the first one is read")
    return tuple(notes)
