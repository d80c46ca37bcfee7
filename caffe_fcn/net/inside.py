"""The net inside a caffemodel, as text: the file holds numbers, and which fields they stand for is the fork's word.

The one idea: one Caffe wrote the file, so it is read by the layouts of all that are known, and those that cannot have
written it go: they lack a field that is there, or read one as what it cannot be. A layer whose type is named like a
field of a fork (Permute, permute_param) has that field. If those that are left agree, their reading is the net's; where
they disagree, or none is left, the layer is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from caffe_fcn.errors import NetError
from caffe_fcn.files.caffemodel import LayerRecord, WeightFile
from caffe_fcn.files.decoding import Decoder, Node, UnreadableError, as_text
from caffe_fcn.files.literals import printable
from caffe_fcn.files.wire import VARINT, prefix, reader_of
from caffe_fcn.net.untrained import as_written
from caffe_fcn.schema.layouts import BVLC, Layout, caffes, contested, layout

_MOST_NAMES = 4
_PARAMS = {"LSTM": "recurrent", "RNN": "recurrent"}
"""Types of BVLC Caffe whose parameters are called otherwise, of those whose number a fork uses for others."""
_LAYERS = {"LayerParameter": 100, "V1LayerParameter": 2}
_NEXT_STEP = "give the prototxt as well"


class _Part(NamedTuple):
    """A piece of the file's header: the net's own fields, or a layer."""

    message: str
    data: bytes
    record: LayerRecord | None = None

    @property
    def place(self) -> str:
        """What messages call it."""
        return "the net" if self.record is None else f"layer {printable(self.record.name)!r}"

    @property
    def type(self) -> str:
        """The type of the layer, in the current format; empty for others."""
        return self.record.header.type if self.record is not None and self.record.format == "V2" else ""


Reading = tuple[Node, ...]


def text_of(weights: WeightFile) -> str:
    """The prototxt of the net in WEIGHTS, with every field of the file but what Caffe put there when it built the net
    for training. Raises NetError for a layer that cannot be read, or can be read in several ways."""
    parts = [_Part("NetParameter", weights.raw), *map(_part, weights.layers)]
    head, *layers = _readings(weights, parts)
    field = "layer" if parts[1].message == "LayerParameter" else "layers"
    return as_text(head) + as_text(Node(0, field, layer) for layer in as_written(layers))


def _part(record: LayerRecord) -> _Part:
    if record.format == "V2":
        return _Part("LayerParameter", record.raw, record)
    if record.format == "V1":
        return _Part("V1LayerParameter", record.raw, record)
    inner = record.header.layer.SerializePartialToString()
    return _Part("V1LayerParameter", record.raw + prefix(1, len(inner)) + inner, record)


def _readings(weights: WeightFile, parts: Sequence[_Part]) -> list[Reading]:
    """What each of PARTS says. Raises NetError."""
    plain = Decoder(layout(BVLC))
    readings: dict[int, Reading] = {}
    certain = {("NetParameter", _LAYERS[part.message]) for part in parts if part.record is not None}
    for index, part in enumerate(parts):
        plain.seen = set()
        try:
            reading = plain.decode(part.data, part.message)
        except UnreadableError:
            continue
        if not plain.seen & contested():  # every Caffe that knows these numbers reads them like this
            readings[index] = reading
            certain |= plain.seen
    doubtful = {index: part for index, part in enumerate(parts) if index not in readings}
    if doubtful:
        readings |= _Inquiry(weights, doubtful, certain).readings()
    return [readings[index] for index in range(len(parts))]


class _Inquiry:
    """The search for the Caffe that wrote PARTS, which are not plainly BVLC's; CERTAIN are the numbers in the rest."""

    def __init__(self, weights: WeightFile, parts: Mapping[int, _Part], certain: set[tuple[str, int]]) -> None:
        self.path = weights.path
        self.parts = parts
        able = [caffe for caffe in caffes() if _knows(layout(caffe), certain)]
        self.able = [caffe for caffe in able if _fits_blobs(caffe, weights)] or able
        self.decoders = {caffe: Decoder(layout(caffe)) for caffe in caffes()}

    def readings(self) -> dict[int, Reading]:
        """What each part says, by its index. Raises NetError where that cannot be told."""
        left: Sequence[str] = self.able
        found: dict[int, dict[str, Reading]] = {}
        for index, part in self.parts.items():
            found[index] = self._by(left, part)
            if not found[index]:
                raise self._contradiction(part, [self.parts[earlier] for earlier in found if earlier != index])
            left = list(found[index])
        for index, part in self.parts.items():
            if any(found[index][caffe] != found[index][left[0]] for caffe in left):
                raise self._ambiguous(part, {caffe: found[index][caffe] for caffe in left})
        return {index: each[left[0]] for index, each in found.items()}

    def _by(
        self, writers: Iterable[str], part: _Part, errors: list[UnreadableError] | None = None
    ) -> dict[str, Reading]:
        """What PART says by those WRITERS that can have written it; why others cannot is added to ERRORS."""
        found: dict[str, Reading] = {}
        named = _named_like_type(part)
        for caffe in writers:
            try:
                reading = self.decoders[caffe].decode(part.data, part.message)
            except UnreadableError as error:
                if errors is not None:
                    errors.append(error)
            else:
                found[caffe] = reading
        return {caffe: found[caffe] for caffe in found if not named or caffe in named}

    def _contradiction(self, part: _Part, earlier: Sequence[_Part]) -> NetError:
        """Why no Caffe can have written PART and EARLIER parts, which one can have written."""
        errors: list[UnreadableError] = []
        found = self._by(caffes(), part, errors)
        if not found:
            return self._unreadable(part, max(errors, key=lambda error: len(error.path)))
        says = f"has fields of {_list(found)}, and"
        for other in earlier:
            writers = self._by(self.able, other)
            if not writers.keys() & found.keys():
                return self._error(part, f"{says} {other.place} has fields of {_list(writers)}")
        return self._error(part, f"{says} other layers of the file have fields that these lack")

    def _unreadable(self, part: _Part, error: UnreadableError) -> NetError:
        place = ".".join(error.path)
        where = f" of {place}" if place else ""
        found = f"the contents{where}" if error.number is None else f"field {error.number}{where}"
        return self._error(part, f"{found} cannot be read as BVLC Caffe's or as one of {len(caffes()) - 1} forks'")

    def _ambiguous(self, part: _Part, found: Mapping[str, Reading]) -> NetError:
        first = next(iter(found.values()))
        other = next(reading for reading in found.values() if reading != first)
        number, path = _difference(first, other)
        said: dict[str, list[str]] = {}
        for caffe, reading in found.items():
            said.setdefault(_said(reading, path, number), []).append(caffe)
        readings = "; ".join(f"{text} in {_list(names)}" for text, names in said.items())
        where = f" of {'.'.join(path)}" if path else ""
        return self._error(
            part, f"field {number}{where} means {readings}; nothing in the file tells which of them wrote it"
        )

    def _error(self, part: _Part, what: str) -> NetError:
        kind = f" ({printable(part.type)})" if part.type else ""
        return NetError(f"{self.path}: {part.place}{kind}: {what}; {_NEXT_STEP}")


def _knows(known: Layout, numbers: Iterable[tuple[str, int]]) -> bool:
    """Whether a Caffe has all of NUMBERS, of messages and enums."""
    return all(number in known.messages.get(scope, known.enums.get(scope, ())) for scope, number in numbers)


def _fits_blobs(caffe: str, weights: WeightFile) -> bool:
    """Whether CAFFE numbers the fields of blobs as those in WEIGHTS are."""
    slots = layout(caffe).messages["BlobProto"]
    found = {(piece.number, piece.wire) for record in weights.layers for blob in record.blobs for piece in blob.pieces}
    return all(number in slots and _is_varint(slots[number].type) == (wire == VARINT) for number, wire in found)


def _is_varint(kind: str) -> bool:
    return kind in ("int32", "Type")


def _named_like_type(part: _Part) -> list[str]:
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
    """The first field, by its number and the names on the way to it, that two readings of the same bytes differ in."""
    for left, right in zip(one, other, strict=False):
        if left == right:
            continue
        if left.name == right.name and isinstance(left.value, tuple) and isinstance(right.value, tuple):
            return _difference(left.value, right.value, (*path, left.name))
        return left.number, path
    return 0, path


def _said(reading: Reading, path: tuple[str, ...], number: int) -> str:
    """How READING has the field NUMBER at the end of PATH."""
    for name in path:
        reading = next(node.value for node in reading if node.name == name and isinstance(node.value, tuple))
    node = next(node for node in reading if node.number == number)
    return f"{node.name}: {node.value}" if isinstance(node.value, str) else node.name


def _list(names: Iterable[str]) -> str:
    """NAMES in words, the first few of many."""
    names = list(names)
    if len(names) > _MOST_NAMES:
        names = [*names[: _MOST_NAMES - 1], f"{len(names) - _MOST_NAMES + 1} others"]
    return ", ".join(names[:-1]) + " and " * (len(names) > 1) + names[-1]
