"""Reports the comparison of two nets: lines for people, with the signs of `diff`, and a JSON document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import Any, NamedTuple

from caffe_fcn.compare.records import BlobDiff, ChangedField, ChangedShape, DiffFile, LayerDiff, LayerMatch, NetDiff
from caffe_fcn.compare.values import Deviation, Sameness
from caffe_fcn.net.shapes import Shape, show
from caffe_fcn.report.tables import LONGEST, cells, shown

_MOST_NAMES = 8
_LARGE = 1000
"""The number of times the largest old value above which the size of a difference is not told."""
_INDENT = "    "


class StyledLine(NamedTuple):
    """A line of text in a STYLE: "old", "new", "changed", "head", "dim" or ""."""

    style: str
    text: str


def lines(found: NetDiff) -> Iterator[StyledLine]:
    """FOUND for people: the files, what differs layer by layer, and a summary."""
    if not found.equal:
        yield StyledLine("old", f"--- {_files(found.old)}")
        yield StyledLine("new", f"+++ {_files(found.new)}")
        if found.fields:
            yield StyledLine("changed", "~ the net itself")
            yield from _aligned(map(_field, found.fields))
        for each in found.differing:
            yield from _layer(each)
    yield StyledLine("head", summary(found))


def summary(found: NetDiff) -> str:
    """FOUND in one line."""
    differing = found.differing
    blobs = [blob for each in found.layers for blob in each.blobs]
    kinds = (
        ("changed", sum(each.changed and not each.only_one for each in differing)),
        ("renamed", sum(not each.changed for each in differing)),
        ("gone", sum(each.new is None for each in differing)),
        ("new", sum(each.old is None for each in differing)),
    )
    parts = []
    if found.equal:
        parts.append(f"equal: {_count(len(found.layers), 'layer')}")
    else:
        told = ", ".join(f"{count:,} {kind}" for kind, count in kinds if count)
        parts.append(
            f"{len(differing):,} of {_count(len(found.layers), 'layer')} differ" + (f": {told}" if told else "")
        )
        if found.fields:
            parts.append(f"{_count(len(found.fields), 'field')} of the net")
    if found.weights:
        parts.append(_blobs_in_short(blobs))
    tolerated = [blob.deviation for blob in blobs if blob.sameness is Sameness.TOLERATED and blob.deviation]
    if tolerated:
        largest = max(each.largest for each in tolerated)
        parts.append(f"{_count(len(tolerated), 'blob')} within the tolerance, by at most {largest:.3g}")
    others = sum(bool(each.shapes) for each in found.layers) - sum(bool(each.shapes) for each in differing)
    if others:
        parts.append(f"{_count(others, 'other layer')} with other shapes of tops")
    return "; ".join(parts)


def _blobs_in_short(blobs: Sequence[BlobDiff]) -> str:
    differing = sum(blob.differs for blob in blobs)
    values = sum(blob.values for blob in blobs)
    if not differing:
        return f"{_count(len(blobs), 'parameter blob')} with {values:,} values are equal"
    return f"{differing:,} of {_count(len(blobs), 'parameter blob')} differ"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s'[: number != 1]}"


def _files(side: DiffFile) -> str:
    return ", ".join(map(shown, side.files))


# ---- Layers ----


def _layer(each: LayerDiff) -> Iterator[StyledLine]:
    sign, style = ("-", "old") if each.new is None else ("+", "new") if each.old is None else ("~", "changed")
    words = [_changed(each.old, each.new)]
    if each.old_type or each.new_type:
        words.append(_changed(each.old_type, each.new_type))
    if each.only_one:
        held = [show(blob.old_shape or blob.new_shape or ()) for blob in each.blobs]
        words += [f"with weights {', '.join(held)}"] * bool(held)
    if each.match is LayerMatch.REPLACED:
        words.append("(replaced)")
    if each.phases:
        words.append(f"in phase {', '.join(each.phases)}")
    yield StyledLine(style, f"{sign} {'  '.join(words)}")
    if not each.only_one:
        yield from _aligned(_rows(each))


def _changed(old: str | None, new: str | None) -> str:
    names = [shown(name) for name in (old, new) if name is not None]
    return " → ".join(dict.fromkeys(names))


def _rows(each: LayerDiff) -> Iterator[tuple[str, str]]:
    """What differs in a layer of both nets, with a label."""
    yield from map(_field, each.fields)
    for label, both in (("bottom", each.bottoms), ("top", each.tops)):
        if both is not None:
            same_number = len(both[0]) == len(both[1])
            why = _source(each) if label == "bottom" and each.rewired else "renamed" if same_number else ""
            yield label, f"{_names(both[0])} → {_names(both[1])}" + (f"  ({why})" if why else "")
    for shape in each.shapes:
        where = f"  ({', '.join(shape.phases)})" if shape.phases else ""
        label = f"shape of top {shape.position}" if shape.position else "shape"
        yield label, f"{show(shape.old)} → {show(shape.new)}{where}"
    for blob in each.blobs:
        if blob.differs:
            label = f"blob {blob.label}" if blob.label.isdigit() else blob.label
            yield label, _blob(blob)


def _source(each: LayerDiff) -> str:
    """Which other blobs a layer reads, by the layers that make them."""
    old, new = map(_names, each.makers or ((), ()))
    return "reads another blob" if old == new else f"made by {old}, now by {new}"


def _names(names: Sequence[str]) -> str:
    told = [shown(name) for name in names[:_MOST_NAMES]]
    more = len(names) - len(told)
    return ", ".join([*told, *([f"{more:,} more"] if more else [])]) or "nothing"


def _field(field: ChangedField) -> tuple[str, str]:
    return shown(field.path), f"{_value(field.old, field.default)} → {_value(field.new, field.default)}"


def _value(text: str | None, default: str | None) -> str:
    if text is not None:
        return shown(text)
    return "not given" if default is None else f"{shown(default)} (default)"


def _aligned(rows: Iterable[tuple[str, str]]) -> Iterator[StyledLine]:
    """ROWS of a label and a text, below each other."""
    told = list(rows)
    width = max((cells(label) for label, _ in told if len(label) < LONGEST // 4), default=0)
    for label, text in told:
        yield StyledLine("", f"{_INDENT}{label}{' ' * (width - cells(label))}  {text}")


# ---- Weights ----


def _blob(blob: BlobDiff) -> str:
    """What differs in a parameter blob."""
    if blob.old_shape is None or blob.new_shape is None:
        shape = blob.new_shape if blob.old_shape is None else blob.old_shape
        return f"{show(shape or ())}, only in the {'new' if blob.old_shape is None else 'old'} one"
    shapes = [show(blob.old_shape), show(blob.new_shape)]
    parts = [" → ".join(shapes) if blob.reshaped else shapes[0]]
    if blob.old_type != blob.new_type:
        parts.append(f"{blob.old_type} → {blob.new_type}")
    parts.append(_sameness(blob))
    return ", ".join(parts)


def _sameness(blob: BlobDiff) -> str:
    if blob.order is not None:
        return f"the same values, {blob.order.value}"
    if blob.sameness is Sameness.COUNT:
        return "another number of values"
    if blob.sameness is Sameness.CONVERTED:
        return "the same values in the smaller type"
    if blob.deviation is None:
        return "the same values"
    return _deviation(blob.deviation, blob.values)


def _deviation(each: Deviation, values: int) -> str:
    told = f"{each.differing:,} of {values:,} values differ"
    if each.differing > each.not_finite:
        relative = "" if each.relative is None else f" ({_size(each.relative)} the largest old value)"
        told += f", by at most {each.largest:.3g}{relative}, RMS {each.rms:.3g}"
    return told + (f", {each.not_finite:,} by NaN or infinity" if each.not_finite else "")


def _size(part: float) -> str:
    return f"{100 * part:.3g} % of" if part < _LARGE else f"more than {_LARGE:,} times"


# ---- JSON ----


def document(found: NetDiff) -> dict[str, Any]:
    """FOUND as a JSON document: only the layers that differ, and how many there are."""
    blobs = [blob for each in found.layers for blob in each.blobs]
    return {
        "old": found.old._asdict() | {"files": list(found.old.files)},
        "new": found.new._asdict() | {"files": list(found.new.files)},
        "equal": found.equal,
        "compared": {"nets": found.nets, "weights": found.weights},
        "fields": [each._asdict() for each in found.fields],
        "layers": [_layer_document(each) for each in found.differing],
        "totals": {
            "layers": len(found.layers),
            "differing_layers": len(found.differing),
            "blobs": len(blobs),
            "differing_blobs": sum(blob.differs for blob in blobs),
            "tolerated_blobs": sum(blob.sameness is Sameness.TOLERATED for blob in blobs),
            "values": sum(blob.values for blob in blobs),
        },
        "notes": list(found.notes),
    }


def _layer_document(each: LayerDiff) -> dict[str, Any]:
    return {
        "match": each.match.value,
        "old": None if each.old is None else {"name": each.old, "type": each.old_type},
        "new": None if each.new is None else {"name": each.new, "type": each.new_type},
        "phases": list(each.phases),
        "fields": [field._asdict() for field in each.fields],
        "rewired": each.rewired,
        "makers": _both(each.makers),
        "bottoms": _both(each.bottoms),
        "tops": _both(each.tops),
        "shapes": list(map(_shape_document, each.shapes)),
        "blobs": [_blob_document(blob) for blob in each.blobs if blob.differs],
    }


def _shape_document(each: ChangedShape) -> dict[str, Any]:
    return {"top": each.position, "old": list(each.old), "new": list(each.new), "phases": list(each.phases)}


def _both(names: tuple[tuple[str, ...], tuple[str, ...]] | None) -> dict[str, list[str]] | None:
    return None if names is None else {"old": list(names[0]), "new": list(names[1])}


def _blob_document(blob: BlobDiff) -> dict[str, Any]:
    each = blob.deviation
    return {
        "blob": blob.label,
        "old_shape": _shape(blob.old_shape),
        "new_shape": _shape(blob.new_shape),
        "old_type": blob.old_type,
        "new_type": blob.new_type,
        "values": blob.values,
        "sameness": blob.sameness.value,
        "reshaped": blob.reshaped,
        "order": None if blob.order is None else blob.order.value,
        "deviation": None if each is None else each._asdict() | {"relative": each.relative},
    }


def _shape(shape: Shape | None) -> list[int] | None:
    return None if shape is None else list(shape)


def in_short(found: NetDiff) -> str:
    """What a net that is added or deleted as a whole holds."""
    blobs = [blob for each in found.layers for blob in each.blobs]
    values = sum(prod(blob.new_shape or blob.old_shape or ()) for blob in blobs)
    return f"{_count(len(found.layers), 'layer')}, {values:,} values in {_count(len(blobs), 'parameter blob')}"
