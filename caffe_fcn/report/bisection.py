"""The report on a bisection, for people and for programs: the first layers at which two nets differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from caffe_fcn.display import first_of
from caffe_fcn.net.shapes import show
from caffe_fcn.verify.bisection import Bisection, BlobGap, FirstDifference, ParameterDifference
from caffe_fcn.verify.records import Difference, FieldDifference, OutputPair, Status

_SHOWN = 5
"""The maximum number of entries of a kind in the report; --json has all."""


def verdict(found: Bisection, original: str) -> str:
    """Return what the comparison with the net ORIGINAL shows, in a few words."""
    if found.status is Status.HOLDS:
        return f"agrees with {original} blob by blob"
    if found.status is Status.NOT_SHOWN:
        return f"is not shown to agree with {original} blob by blob"
    names = first_of([repr(each.twin) for each in found.first], _SHOWN)
    return f"first differs from {original} in layer{'s'[: len(names) > 1]} {', '.join(names)}"


def told(found: Bisection) -> list[str]:
    """Return the lines about the blobs that were compared."""
    if found.not_shown:
        return [found.not_shown]
    inputs = " and ".join(f"{name} {show(shape[1:])}" for name, shape in found.inputs.items())
    given = f" and {found.given} given" if found.given else ""
    several = len(found.first) > 1
    counts = [f"{found.agreed} blobs agree" if found.agreed != 1 else "1 blob agrees"]
    counts += [f"{len(found.first)} differ, on parallel branches" if several else "1 differs"] if found.first else []
    counts += [f"{found.behind} behind {'them' if several else 'it'} not judged"] if found.behind else []
    return [
        f"{'; '.join(counts)}; {found.samples} random inputs (seed {found.seed}){given}, {inputs}",
        *_lists(found),
    ]


def layers(found: Bisection) -> Iterator[tuple[str, list[str]]]:
    """Return each layer that differs, and the lines about it."""
    for each in found.first:
        other = f", {each.twin!r} in the new net" if each.twin != each.layer else ""
        kind = each.type if each.type == each.twin_type else f"{each.type}, now {each.twin_type}"
        yield f"layer {each.layer!r}{other} ({kind})", list(_layer(each))


def _lists(found: Bisection) -> Iterator[str]:
    """Return the layers and blobs that are not compared."""
    for names, what in (
        (found.gone, "only in the original"),
        (found.new, "only in the new net"),
        (found.unmatched, "outputs without a counterpart"),
        ([_name(each) for each in found.coarse], "not compared, because rounding alone changes them too much"),
    ):
        if names:
            yield f"{what}: {', '.join(first_of([*map(repr, names)], _SHOWN))}"


def _layer(each: FirstDifference) -> Iterator[str]:
    if each.new:
        yield f"reads the output of {_between(each.new)}, which the original lacks"
    for what, gaps in (("made from" if each.new else "reads", each.inputs), ("makes", (each.output,))):
        yield from (f"{what} {_name(gap.blob)}: {_gap(gap)}" for gap in gaps)
    yield from map(_field, each.fields)
    yield from map(_blob, each.blobs)
    if each.gone:
        yield f"in the original, it reads the output of {_between(each.gone)}, which the new net lacks"
    if each.rewired:
        yield "it reads other blobs than in the original"
    if not (each.fields or each.blobs or each.gone or each.new or each.rewired):
        yield "its fields and its weights are those of the original"


def _between(names: Sequence[str]) -> str:
    """NAMES of layers through which an input of a layer goes."""
    return ", ".join(first_of([*map(repr, names)], _SHOWN))


def _gap(gap: BlobGap) -> str:
    if not gap.finite:
        return "holds NaN or infinity, the original's does not"
    if gap.difference is None:
        return f"expected {show(gap.expected)}, found {show(gap.found)}"
    if not gap.difference.absolute:
        return "the same values"
    return (
        f"off by {gap.difference.relative:.1e} of the scale (allowed {gap.difference.allowed:.1e}), "
        f"{gap.difference.absolute:.1e} absolute"
    )


def _field(each: FieldDifference) -> str:
    return f"{each.twin} {each.field}: expected {each.expected}, found {each.found}"


def _blob(each: ParameterDifference) -> str:
    blob, place = each.blob, f"{each.twin} parameter blob {each.blob.position}"
    if blob.expected is None or blob.found is None:
        return f"{place} is only in the {'new net' if blob.expected is None else 'original'}"
    if not blob.differing:
        return f"{place}: expected {show(blob.expected)}, found {show(blob.found)}"
    many = prod(blob.found)
    return f"{place}, {show(blob.found)}: {blob.differing:,} of {many:,} values differ from the original"


def _name(blob: OutputPair) -> str:
    return blob.name if blob.name == blob.twin else f"{blob.name} (now {blob.twin})"


def summary(found: Bisection) -> list[str]:
    """Return why the nets are not shown to agree."""
    return [name for name, _ in layers(found)] + [found.not_shown or next(_lists(found), "nothing was compared")]


# ---- JSON ----


def document(found: Bisection) -> dict[str, Any]:
    """Return the part of the document about the bisection."""
    return {
        "status": found.status.value.replace(" ", "_"),
        "inputs": {name: list(shape) for name, shape in found.inputs.items()},
        "samples": found.samples,
        "pictures": found.given,
        "seed": found.seed,
        "original_engine": found.original_engine or None,
        "first": [_layer_document(each) for each in found.first],
        "agreed": found.agreed,
        "behind": found.behind,
        "gone": list(found.gone),
        "new": list(found.new),
        "coarse": [{"blob": each.name, "twin": each.twin} for each in found.coarse],
        "unmatched": list(found.unmatched),
        "not_shown": found.not_shown or None,
    }


def _layer_document(each: FirstDifference) -> dict[str, Any]:
    return {
        "layer": each.layer,
        "type": each.type,
        "twin": each.twin,
        "twin_type": each.twin_type,
        "inputs": [*map(_gap_document, each.inputs)],
        "output": _gap_document(each.output),
        "fields": [field._asdict() for field in each.fields],
        "blobs": [_blob_document(blob) for blob in each.blobs],
        "rewired": each.rewired,
        "gone": list(each.gone),
        "new": list(each.new),
    }


def _gap_document(gap: BlobGap) -> dict[str, Any]:
    return {
        "blob": gap.blob.name,
        "twin": gap.blob.twin,
        "expected": list(gap.expected),
        "found": list(gap.found),
        "finite": gap.finite,
        "difference": _difference(gap.difference),
    }


def _difference(gap: Difference | None) -> dict[str, Any] | None:
    return None if gap is None else {name: getattr(gap, name) for name in ("absolute", "relative", "allowed")}


def _blob_document(each: ParameterDifference) -> dict[str, Any]:
    position, expected, found, differing = each.blob
    return {
        "layer": each.layer,
        "twin": each.twin,
        "position": position,
        "expected": None if expected is None else list(expected),
        "found": None if found is None else list(found),
        "differing": differing,
    }
