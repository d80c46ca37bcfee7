"""The report on the proofs of a new function, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from caffe_fcn.display import first_of
from caffe_fcn.net.shapes import show
from caffe_fcn.verify.new_function_records import (
    AcceptanceProof,
    BlobDifference,
    Fate,
    FitProof,
    LayerFate,
    LayersProof,
    MapProof,
    NewFunctionProofs,
    RunProof,
)
from caffe_fcn.verify.records import Status

_SHOWN = 5
"""The maximum number of entries of a kind in the report; --json has all."""


def told(proofs: NewFunctionProofs) -> Iterator[tuple[str, Status, Sequence[str]]]:
    """Return the lines of each proof, by its name, with its status; the failures first."""
    yield "acceptance", proofs.acceptance.status, _acceptance(proofs.acceptance)
    yield "weights", proofs.weights.status, _fit(proofs.weights)
    yield "layers", proofs.layers.status, _layers(proofs.layers)
    yield "run", proofs.run.status, _run(proofs.run)
    if proofs.map is not None:
        yield "map", proofs.map.status, [_map(proofs.map)]


def failures(proofs: NewFunctionProofs) -> dict[str, list[str]]:
    """Return why each proof does not hold, by its name."""
    return {
        "acceptance": [each.message for each in proofs.acceptance.refusals if not each.inherited],
        "weights": [*proofs.weights.failures, *_missing(proofs.weights)],
        "layers": [*map(_unclaimed, proofs.layers.unclaimed), proofs.layers.not_shown],
        "run": [proofs.run.failure or proofs.run.not_shown],
        "map": [] if proofs.map is None else [_map(proofs.map)],
    }


def _acceptance(proof: AcceptanceProof) -> list[str]:
    own = [f"{_place(each.layer)}{each.message}" for each in proof.refusals if not each.inherited]
    inherited = len(proof.refusals) - len(own)
    also = f"; {inherited} findings as in the original" if inherited else ""
    return [
        f"{'BVLC Caffe accepts the net' if not own else 'BVLC Caffe refuses the net'}{also}",
        *first_of(own, _SHOWN),
    ]


def _place(layer: str | None) -> str:
    return "" if layer is None else f"layer {layer!r}: "


def _fit(proof: FitProof) -> list[str]:
    return [f"weights of {_many(proof.layers, 'layer')}", *first_of([*proof.failures, *_missing(proof)], _SHOWN)]


def _missing(proof: FitProof) -> list[str]:
    return [f"no weights for {', '.join(first_of(proof.missing, _SHOWN))}"] if proof.missing else []


def _layers(proof: LayersProof) -> list[str]:
    if proof.not_shown:
        return [proof.not_shown]
    counts = Counter(each.fate for each in proof.layers)
    first = ", ".join(f"{counts[fate]} {fate.value}" for fate in Fate if counts[fate]) or "no layers"
    same = sum(each.identical for each in proof.layers)
    lines = [f"{first}; {same} with the same blobs as in the original, for any input"]
    lines += first_of([_unclaimed(each) for each in proof.unclaimed], _SHOWN)
    for fate in (Fate.CHANGED, Fate.REPLACED, Fate.NEW, Fate.GONE):
        names = [_name(each) for each in proof.layers if each.fate is fate and each not in proof.unclaimed]
        lines += [f"{fate.value}: {', '.join(first_of(names, _SHOWN))}"] if names else []
    return lines


def _name(each: LayerFate) -> str:
    name = str(each.twin or each.layer)
    if each.fate is Fate.REPLACED:
        return f"{each.layer} ({each.type}) by {name} ({each.twin_type})"
    if each.fate is not Fate.CHANGED:
        return f"{name} ({each.twin_type or each.type})"
    whys = [f"{field.field} {field.expected} → {field.found}" for field in each.fields]
    whys += [f"blob {blob.position} {_shape(blob)}" for blob in each.blobs if not blob.differing]
    whys += ["with the values that the pass computes"] * each.known
    whys += ["other values"] * bool(each.other_values) + ["other bottoms"] * each.rewired
    return f"{name} ({', '.join(whys)})"


def _shape(blob: BlobDifference) -> str:
    expected, found = ("none" if shape is None else show(shape) for shape in (blob.expected, blob.found))
    return f"{expected} → {found}"


def _unclaimed(each: LayerFate) -> str:
    if each.other_values:
        positions = ", ".join(str(blob.position) for blob in each.blobs if blob.differing)
        values = _many(each.other_values, "value")
        if each.fate in (Fate.NEW, Fate.REPLACED):
            return f"layer {each.twin!r}, blob {positions}: {values} that the pass does not make"
        return f"layer {each.twin!r}, blob {positions}: {values} that the original does not have, in the same shape"
    return f"layer {_name(each)} is {each.fate.value}, but the pass does not report that"


def _run(proof: RunProof) -> list[str]:
    if proof.failure or proof.not_shown:
        return [proof.failure or proof.not_shown]
    shapes = ", ".join(f"{name} {'?' if shape is None else show(shape)}" for name, shape in proof.outputs.items())
    inputs = " and ".join(f"{name} {show(shape)}" for name, shape in proof.inputs.items())
    return [f"random inputs {inputs} (seed {proof.seed}): finite values, {shapes}"]


def _map(proof: MapProof) -> str:
    if proof.difference is None:
        return proof.not_shown
    apart = f"off by {proof.difference.relative:.1e} of the scale (allowed {proof.difference.allowed:.1e})"
    return f"{proof.blob} {show(proof.shape)}, compared with the converted net with the same padding: {apart}"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


# ---- JSON ----


def document(proofs: NewFunctionProofs) -> dict[str, Any]:
    """Return the JSON document."""
    acceptance, weights, layers, run, made = proofs
    return {
        "acceptance": {"status": _status(acceptance.status), "refusals": [e._asdict() for e in acceptance.refusals]},
        "weights": {"status": _status(weights.status), **_lists(weights._asdict())},
        "layers": {
            "status": _status(layers.status),
            "layers": [_fate(each) for each in layers.layers],
            "unclaimed": [each.twin or each.layer for each in layers.unclaimed],
            "not_shown": layers.not_shown or None,
        },
        "run": {
            "status": _status(run.status),
            "inputs": {name: list(shape) for name, shape in run.inputs.items()},
            "outputs": {name: None if shape is None else list(shape) for name, shape in run.outputs.items()},
            "seed": run.seed,
            "failure": run.failure or None,
            "not_shown": run.not_shown or None,
        },
        "map": None if made is None else _map_document(made),
    }


def _map_document(proof: MapProof) -> dict[str, Any]:
    return {
        "status": _status(proof.status),
        "blob": proof.blob,
        "shape": list(proof.shape),
        "difference": None if proof.difference is None else proof.difference._asdict(),
        "not_shown": proof.not_shown or None,
    }


def _status(status: Status) -> str:
    return status.value.replace(" ", "_")


def _lists(values: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _fate(each: LayerFate) -> dict[str, Any]:
    return {
        **each._asdict(),
        "fate": each.fate.value,
        "fields": [field._asdict() for field in each.fields],
        "blobs": [_lists(blob._asdict()) for blob in each.blobs],
    }
