"""Reads the net inside a caffemodel as text. The file holds field numbers; which fields they are depends on the
fork of Caffe that wrote it.

One Caffe wrote the file, so the schemas of all known forks read it. Those that cannot have written it are excluded:
they lack a field of the file, or cannot read its bytes. A layer whose type is named like a field of a fork (Permute,
permute_param) has that field. If the remaining readings agree, they are the net. A field that they read differently,
or that none can read, is left out with a note; whatever needs its layer refuses that layer by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from caffe_fcn.display import printable
from caffe_fcn.errors import NetError
from caffe_fcn.files.caffemodel import LayerRecord, WeightFile
from caffe_fcn.files.decoding import DecodedField, Decoder, Lost, UnreadableError, as_text
from caffe_fcn.files.wire import VARINT, prefix, reader_of
from caffe_fcn.net.untrained import as_written
from caffe_fcn.schema.layouts import BVLC, ForkLayout, caffes, contested, layout, named
from caffe_fcn.wording import option

_MOST_NAMES = 4
_PARAMS = {"LSTM": "recurrent", "RNN": "recurrent"}
"""Types of BVLC Caffe whose parameters have another name, among those whose field number a fork uses for others."""
_LAYERS = {"LayerParameter": 100, "V1LayerParameter": 2}
_STRUCTURE = {"LayerParameter": (1, 2, 3, 4), "V1LayerParameter": (1, 2, 3, 4, 5)}
"""The field numbers that a layer must have: name, type, bottoms and tops; in V1 also that of a V0 layer."""


def next_step(readers: Sequence[str]) -> str:
    """What the user can do if fields of a caffemodel are ambiguous. READERS: the Caffes that can read the whole
    file."""
    if not readers:
        return "no known fork of Caffe can read the whole file; give the prototxt too"
    return f"give the prototxt too, or name the Caffe that wrote the file with {option('fork')}: {', '.join(readers)}"


class LostField(NamedTuple):
    """A field of a layer that is left out of the text, because its number is ambiguous or unknown."""

    layer: int
    """The layer, by its position in the text."""
    message: str
    """The message that the field is in, such as "PoolingParameter"."""
    names: tuple[str, ...]
    """The fields that it may be; empty if no known Caffe can read it."""
    shown: str
    """Its name in messages: "field 13 of pooling_param"."""
    why: str
    """Why it is left out, in words that follow the name."""
    value: str
    """Its value."""
    readers: tuple[str, ...]
    """The Caffes that can read the whole file, each in its own way."""


class Inside(NamedTuple):
    """The net inside a caffemodel."""

    text: str
    lost: tuple[LostField, ...]


class _HeaderPart(NamedTuple):
    """A piece of the file's header: the net's own fields, or a layer."""

    message: str
    data: bytes
    record: LayerRecord | None = None

    @property
    def place(self) -> str:
        """Its name in messages."""
        return "the net" if self.record is None else f"layer {printable(self.record.name)!r}"

    @property
    def type(self) -> str:
        """The type of the layer, in the current format; empty for others."""
        return self.record.header.type if self.record is not None and self.record.format == "V2" else ""


Reading = tuple[DecodedField, ...]


def net_inside(weights: WeightFile, fork: str | None = None) -> Inside:
    """The net in WEIGHTS as a prototxt, without fields that Caffe added to build the net for training, and without
    ambiguous fields. FORK: the Caffe that wrote the file, if known. Raises NetError for a layer that cannot be read,
    and ValueError for an unknown FORK."""
    parts = [_HeaderPart("NetParameter", weights.raw), *map(_part, weights.layers)]
    lost: list[LostField] = []
    head, *layers = _readings(weights, parts, None if fork is None else named(fork), lost)
    field = "layer" if parts[1].message == "LayerParameter" else "layers"
    written = as_written(layers)
    places = {position: place for place, position in enumerate(written)}
    text = as_text(head) + as_text(DecodedField(0, field, layer) for layer in written.values())
    return Inside(text, tuple(each._replace(layer=places[each.layer]) for each in lost if each.layer in places))


def _part(record: LayerRecord) -> _HeaderPart:
    if record.format == "V2":
        return _HeaderPart("LayerParameter", record.raw, record)
    if record.format == "V1":
        return _HeaderPart("V1LayerParameter", record.raw, record)
    inner = record.header.layer.SerializePartialToString()
    return _HeaderPart("V1LayerParameter", record.raw + prefix(1, len(inner)) + inner, record)


def _readings(
    weights: WeightFile, parts: Sequence[_HeaderPart], fork: str | None, lost: list[LostField]
) -> list[Reading]:
    """The reading of each of PARTS; fields that are left out are added to LOST. Raises NetError."""
    plain = Decoder(layout(BVLC))
    readings: dict[int, Reading] = {}
    certain = {("NetParameter", _LAYERS[part.message]) for part in parts if part.record is not None}
    for index, part in enumerate(parts):
        plain.seen = set()
        try:
            reading = plain.decode(part.data, part.message)
        except UnreadableError:
            continue
        if not plain.seen & contested():  # every Caffe with these numbers reads them in this way
            readings[index] = reading
            certain |= plain.seen
    doubtful = {index: part for index, part in enumerate(parts) if index not in readings}
    if doubtful:
        readings |= _Inquiry(weights, doubtful, certain, fork, lost).readings()
    return [readings[index] for index in range(len(parts))]


class _Inquiry:
    """The search for the Caffe that wrote PARTS, which may not be BVLC's. CERTAIN: the numbers in the other parts.
    FORK: that Caffe, if known. Fields that are left out are added to LOST."""

    def __init__(
        self,
        weights: WeightFile,
        parts: Mapping[int, _HeaderPart],
        certain: set[tuple[str, int]],
        fork: str | None,
        lost: list[LostField],
    ) -> None:
        self.path = weights.path
        self.parts = parts
        self.fork = fork
        self.lost = lost
        able = [caffe for caffe in caffes() if _knows(layout(caffe), certain)]
        able = [caffe for caffe in able if _fits_blobs(caffe, weights)] or able
        self.able = [fork] if fork else able
        self.decoders = {caffe: Decoder(layout(caffe)) for caffe in caffes()}
        self.readers = tuple(caffe for caffe in able if self._reads_all(caffe))

    def readings(self) -> dict[int, Reading]:
        """Return the reading of each part, by its index. Raises NetError if there is none."""
        left: Sequence[str] = self.able
        found: dict[int, dict[str, Reading]] = {}
        for index, part in self.parts.items():
            by = self._by(left, part)
            if by:
                found[index], left = by, list(by)
            elif not self.fork and self._by(caffes(), part):
                raise self._contradiction(part, [self.parts[earlier] for earlier in found])
        made: dict[int, Reading] = {}
        for index, part in self.parts.items():
            by = found[index] if index in found else self._in_part(left, index, part)
            made[index] = self._agreed({caffe: by[caffe] for caffe in left if caffe in by}, index, part)
        return made

    def _by(self, writers: Iterable[str], part: _HeaderPart) -> dict[str, Reading]:
        """The readings of PART by those WRITERS that can have written it."""
        found: dict[str, Reading] = {}
        for caffe in self._likely(writers, part):
            with suppress(UnreadableError):
                found[caffe] = self.decoders[caffe].decode(part.data, part.message)
        return found

    def _reads_all(self, caffe: str) -> bool:
        """Whether CAFFE can have written every part."""
        try:
            for part in self.parts.values():
                self.decoders[caffe].decode(part.data, part.message)
        except UnreadableError:
            return False
        return True

    def _likely(self, writers: Iterable[str], part: _HeaderPart) -> list[str]:
        """The WRITERS in which a field of PART is named like its type, if there are any such Caffes; else all."""
        named = () if self.fork else _named_like_type(part)
        return [caffe for caffe in writers if not named or caffe in named]

    def _in_part(self, writers: Iterable[str], index: int, part: _HeaderPart) -> dict[str, Reading]:
        """The readings of PART without the fields that no Caffe can have written, by the WRITERS that leave out
        least."""
        found: dict[str, tuple[Reading, list[Lost]]] = {}
        for caffe in self._likely(writers, part):
            decoder = Decoder(layout(caffe), lenient=True)
            try:
                found[caffe] = decoder.decode(part.data, part.message), decoder.lost
            except UnreadableError as error:
                raise self._error(part, f"{_field(error.path, error.number)} {self._unreadable}") from error
        if not found:
            raise self._error(
                part, f"has a field of {_list(_named_like_type(part))}, but the other fields are not from that fork"
            )
        least = min(found.values(), key=lambda each: len(each[1]))[1]
        for field in least:
            self._leave_out(part, index, field, (), self._unreadable, field.data.hex())
        return {caffe: reading for caffe, (reading, lost) in found.items() if lost == least}

    def _agreed(self, found: Mapping[str, Reading], index: int, part: _HeaderPart) -> Reading:
        """The common part of all readings FOUND for PART, without the fields that they read differently."""
        while True:
            caffe, first = next(iter(found.items()))
            other = next((reading for reading in found.values() if reading != first), None)
            if other is None:
                return first
            number, path = _difference(first, other)
            said: dict[str, list[str]] = {}
            names: dict[str, None] = {}
            for each, reading in found.items():
                node = next(_at(reading, path, number))
                said.setdefault(_said(node), []).append(each)
                names[node.name] = None
            readings = "; ".join(f"{text} in {_list(writers)}" for text, writers in said.items())
            who = (
                "the file does not show which of them wrote it"
                if self.readers
                else "none of these can read the whole file"
            )
            why = f"means {readings}; {who}"
            field = Lost(_message_at(layout(caffe), part.message, path), path, number, b"")
            self._leave_out(part, index, field, tuple(names), why, readings)
            found = {each: _without(reading, path, number) for each, reading in found.items()}

    def _leave_out(
        self, part: _HeaderPart, index: int, field: Lost, names: tuple[str, ...], why: str, value: str
    ) -> None:
        """Add FIELD of PART, at INDEX, to the lost fields. Raises NetError if PART needs the field."""
        shown = _field(field.path, field.number)
        if part.record is None or (not field.path and field.number in _STRUCTURE[part.message]):
            raise self._error(part, f"{shown} {why}")
        self.lost.append(LostField(index - 1, field.message, names, shown, why, value, self.readers))

    def _contradiction(self, part: _HeaderPart, earlier: Sequence[_HeaderPart]) -> NetError:
        """The error that no Caffe can have written PART and the EARLIER parts together."""
        found = self._by(caffes(), part)
        says = f"has fields of {_list(found)}, and"
        for other in earlier:
            writers = self._by(self.able, other)
            if not writers.keys() & found.keys():
                return self._error(part, f"{says} {other.place} has fields of {_list(writers)}")
        return self._error(part, f"{says} other layers of the file have fields that these do not have")

    @property
    def _unreadable(self) -> str:
        others = f"{self.fork}'s" if self.fork else f"BVLC Caffe's or as one of {len(caffes()) - 1} forks'"
        return f"cannot be read as {others}"

    def _error(self, part: _HeaderPart, what: str) -> NetError:
        kind = f" ({printable(part.type)})" if part.type else ""
        return NetError(f"{part.place}{kind}: {what}", source=self.path, hint=next_step(self.readers))


def _field(path: Sequence[str], number: int | None) -> str:
    """The name of a field in messages: its NUMBER, and the message that the names in PATH lead to."""
    where = f" of {'.'.join(path)}" if path else ""
    return f"the contents{where}" if number is None else f"field {number}{where}"


def _message_at(known: ForkLayout, message: str, path: Sequence[str]) -> str:
    """The message that the names in PATH lead to from MESSAGE."""
    for name in path:
        message = next(slot.type for slot in known.messages[message].values() if slot.name == name)
    return message


def _knows(known: ForkLayout, numbers: Iterable[tuple[str, int]]) -> bool:
    """Whether a Caffe has all of NUMBERS, of messages and enums."""
    return all(number in known.messages.get(scope, known.enums.get(scope, ())) for scope, number in numbers)


def _fits_blobs(caffe: str, weights: WeightFile) -> bool:
    """Whether CAFFE numbers the fields of blobs as those in WEIGHTS are."""
    slots = layout(caffe).messages["BlobProto"]
    found = {(piece.number, piece.wire) for record in weights.layers for blob in record.blobs for piece in blob.pieces}
    return all(number in slots and _is_varint(slots[number].type) == (wire == VARINT) for number, wire in found)


def _is_varint(kind: str) -> bool:
    return kind in ("int32", "Type")


def _named_like_type(part: _HeaderPart) -> list[str]:
    """The Caffes in which a field of the layer is named like its type: permute_param of a Permute."""
    kind = _PARAMS.get(part.type, part.type.lower())
    numbers = {field.number for field in reader_of(part.data).fields(0, len(part.data))} if kind else set()
    return [
        caffe
        for caffe in caffes()
        if any(
            slot.name.removesuffix("_param").replace("_", "") == kind
            for number, slot in layout(caffe).messages[part.message].items()
            if number in numbers
        )
    ]


def _difference(one: Reading, other: Reading, path: tuple[str, ...] = ()) -> tuple[int, tuple[str, ...]]:
    """The first field in which two readings of the same bytes differ: its number, and the names that lead to it."""
    for left, right in zip(one, other, strict=False):
        if left == right:
            continue
        if left.name == right.name and isinstance(left.value, tuple) and isinstance(right.value, tuple):
            return _difference(left.value, right.value, (*path, left.name))
        return left.number, path
    return 0, path


def _at(reading: Reading, path: Sequence[str], number: int) -> Iterator[DecodedField]:
    """The fields NUMBER at the end of PATH in READING."""
    for node in reading:
        if not path and node.number == number:
            yield node
        elif path and node.name == path[0] and isinstance(node.value, tuple):
            yield from _at(node.value, path[1:], number)


def _without(reading: Reading, path: Sequence[str], number: int) -> Reading:
    """READING without the field NUMBER at the end of PATH."""
    if not path:
        return tuple(node for node in reading if node.number != number)
    return tuple(
        node._replace(value=_without(node.value, path[1:], number))
        if node.name == path[0] and isinstance(node.value, tuple)
        else node
        for node in reading
    )


def _said(node: DecodedField) -> str:
    return f"{node.name}: {node.value}" if isinstance(node.value, str) else node.name


def _list(names: Iterable[str]) -> str:
    """NAMES in words, the first few of many."""
    names = list(names)
    if len(names) > _MOST_NAMES:
        names = [*names[: _MOST_NAMES - 1], f"{len(names) - _MOST_NAMES + 1} others"]
    return ", ".join(names[:-1]) + " and " * (len(names) > 1) + names[-1]
