"""The report of a verification, for people (a line for each proof, and one for each output) and for programs (JSON)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from caffe_fcn import __version__
from caffe_fcn.display import first_of, visible
from caffe_fcn.net.geometry import Reason, exactness_of, summed_up, words
from caffe_fcn.net.shapes import show
from caffe_fcn.report import bisection, new_function
from caffe_fcn.verify.records import (
    Dense,
    DenseProof,
    Difference,
    Exemption,
    FieldDifference,
    Inapplicable,
    OutputPair,
    SameSize,
    SameSizeProof,
    Status,
    Verification,
    WeightsProof,
)

_SHOWN = 5
"""The maximum number of failures of a kind in the report; --json has all."""


def lines(found: Verification) -> Iterator[str]:
    """Return the report for people, safe to print with any names of layers."""
    yield from map(visible, _lines(found))


def _lines(found: Verification) -> Iterator[str]:
    """Return a line for each proof: its result, and the numbers."""
    how = f"run by {found.engine}" if found.engine else "nothing was run"
    if found.bisection and found.bisection.original_engine not in ("", found.engine):
        how += f", the original by {found.bisection.original_engine}"
    original, new = _titles(found)
    yield f"{new}: {_verdict(found, original)} ({how})"
    told: list[tuple[str, Status, Sequence[str], Mapping[str, Sequence[str]]]] = []
    if found.weights_proof is not None:
        told.append(("weights", found.weights_proof.status, _weights(found.weights_proof), {}))
    if found.same_size is not None:
        run = [each for each in found.same_size.outputs if found.same_size.samples]
        outputs = {_name(each.output): _same_size_output(each) for each in run}
        told.append(("same size", found.same_size.status, _same_size(found.same_size), outputs))
    if found.dense is not None:
        outputs = {_name(each.output): _dense_output(each, found.dense.blob) for each in found.dense.outputs}
        told.append(("dense", found.dense.status, _dense(found.dense), outputs))
    if found.new_function is not None:
        told += [(*each, {}) for each in new_function.told(found.new_function)]
    if found.bisection is not None:
        told.append(("blobs", found.bisection.status, bisection.told(found.bisection), {}))
    width = max(9, *(len(status.value) for _, status, _, _ in told))
    for name, status, (first, *rest), lines_of in told:
        yield f"  {name:<10} {status.value:<{width}}  {first}"
        yield from (f"  {'':<10} {'':<{width}}  {line}" for line in rest)
        yield from _outputs(lines_of)
    for layer, about in bisection.layers(found.bisection) if found.bisection else ():
        yield f"  {layer}"
        yield from (f"    {line}" for line in about)


def _titles(found: Verification) -> tuple[str, str]:
    """Return what to call the original and the new net: their files, or those of their weights if the net is the
    same."""
    same = found.net == found.fcn and found.weights != found.fcn_weights
    return (found.weights, found.fcn_weights) if same else (found.net, found.fcn)


def _verdict(found: Verification, original: str) -> str:
    fails = Status.FAILS in found.statuses.values()
    if found.asked is not None and not found.met:
        return f"expected, of {original}, the claim {found.asked.value!r}, found {found.claim.value!r}"
    if found.bisection is not None:
        return bisection.verdict(found.bisection, original)
    if found.new_function is not None:
        verdict = (
            "every proof holds" if found.holds else "a proof fails" if fails else "not every proof was carried out"
        )
        return f"{found.claim.value}, from {original}: {verdict}"
    verdict = "is" if found.holds else "is not" if fails else "is not shown to be"
    return f"{verdict} equivalent to {original}" + (f": {found.claim.value}" if found.proven else "")


def summary(found: Verification) -> str:
    """Return the proofs that fail or could not be carried out, and the first reason of each, in one line."""
    reasons = {
        "weights": _weights_failures(found.weights_proof) if found.weights_proof else (),
        "same size": _same_size_failures(found.same_size) if found.same_size else (),
        "dense": _dense_failures(found.dense) if found.dense else (),
        "blobs": bisection.summary(found.bisection) if found.bisection else (),
        **(new_function.failures(found.new_function) if found.new_function else {}),
    }
    fine = (Status.HOLDS, Status.DOES_NOT_APPLY)
    bad = [(name, status) for name, status in found.statuses.items() if status not in fine]
    if not bad:
        return "; ".join(f"{name} {status.value}" for name, status in found.statuses.items())
    return "; ".join(f"{name} {status.value}: {next(iter(reasons[name]), '')}" for name, status in bad)


def _outputs(outputs: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Return the lines about each output, below its proof."""
    width = max(map(len, outputs), default=0)
    for output, lines_of in outputs.items():
        for number, line in enumerate(lines_of):
            yield f"    {'' if number else output:<{width}}  {line}"


def _weights(proof: WeightsProof) -> list[str]:
    if proof.not_shown:
        return [proof.not_shown]
    parts = [f"{proof.blobs} blobs of {proof.layers} layers, {proof.values:,} values"]
    parts += [f"{proof.reshaped} in another shape"] if proof.reshaped else []
    parts += [f"transposed: {', '.join(proof.transposed)}"] if proof.transposed else []
    parts += [f"columns reordered: {', '.join(proof.reordered)}"] if proof.reordered else []
    if proof.computed:
        otherwise = f" ({proof.rounded:,} values rounded otherwise)" if proof.rounded else ""
        parts.append(f"folded, within rounding: {', '.join(first_of(proof.computed, _SHOWN))}{otherwise}")
    parts += [f"not in the net: {', '.join(proof.foreign)}"] if proof.foreign else []
    parts += [f"not in the weights: {', '.join(proof.untrained)}"] if proof.untrained else []
    return ["; ".join(parts), *first_of([*proof.failures, *map(_field, proof.fields)], _SHOWN)]


def _field(each: FieldDifference) -> str:
    place = repr(each.layer) if each.layer == each.twin else f"{each.layer!r}, {each.twin!r} in the converted net"
    return f"layer {place}: {each.field}: expected {each.expected}, found {each.found}"


def _same_size(proof: SameSizeProof) -> list[str]:
    if proof.not_shown or (proof.failures and not proof.samples):
        return first_of([*proof.failures, *([proof.not_shown] if proof.not_shown else [])], _SHOWN)
    if not proof.samples:
        return ["the same layers with the same weights in both"]
    inputs = " and ".join(f"{name} {show(shape[1:])}" for name, shape in proof.inputs.items())
    given = f" and {proof.given} given" if proof.given else ""
    return [f"{proof.samples} random inputs (seed {proof.seed}){given}, {inputs}", *first_of(proof.failures, _SHOWN)]


def _same_size_output(each: SameSize) -> list[str]:
    if each.identical:
        return ["computed by the same layers with the same weights"]
    return [*([each.failure] if each.failure else []), *([_told(each.difference)] if each.difference else [])]


def _dense(proof: DenseProof) -> list[str]:
    if proof.inapplicable is not None:
        return [_reason(proof.inapplicable)]
    if not proof.sampled:
        return [proof.not_shown or "nothing to compare"]
    step = "×".join(map(str, proof.step))
    return [f"{proof.sampled} of {proof.windows} windows, {step} pixels apart, on {proof.blob} {show(proof.input[1:])}"]


def _reason(why: Inapplicable) -> str:
    """Return why the dense proof does not apply."""
    names = ", ".join(first_of([*map(repr, why.names)], _SHOWN))
    match why.cause:
        case Exemption.NOTHING_CONVERTED:
            return "nothing was converted"
        case Exemption.SEVERAL_INPUTS:
            return f"the net has the inputs {names}, but windows need exactly one"
        case Exemption.FIXED_SIZE:
            return f"both nets accept only one input size, the converted net because of layer {names}"
        case Exemption.EXACT_NOWHERE:
            return f"no answer depends on a window alone: {'; '.join(_because(why.reasons))}"


def _dense_output(each: Dense, blob: str) -> list[str]:
    """Return the words for an output that was compared from BLOB on."""
    if each.inapplicable is not None:
        return [f"does not apply: {_reason(each.inapplicable)}"]
    if each.crops is None:
        return [each.explanation]
    exact = f"exact {exactness_of(each.inexact).value}"
    if each.inexact:
        exact += f": {'; '.join(_because(each.inexact))}"
    if not each.reasons:
        verdict = f"from {blob} on everywhere" if each.ahead else exact
        verdict = verdict if each.status is Status.HOLDS else each.explanation
        return [*([exact] if each.ahead else []), f"{verdict}: {_told(each.crops)}"]
    told = [exact, f"on crops, which have their own borders: {_told(each.crops, limit=False)}"]
    if each.features is not None:
        told.append(f"on the whole picture's maps: {_told(each.features)}")
    if each.compared < each.cells:
        told.append(
            f"compared in {each.compared} of {each.cells} cells of a window; the other cells see the window's "
            "own borders"
        )
    return [*told, *([each.explanation] if each.explanation else [])]


def _because(reasons: Sequence[Reason]) -> Iterator[str]:
    yield from (f"{', '.join(first_of(names, _SHOWN))} {what}" for names, what in summed_up(reasons))


def _told(gap: Difference, limit: bool = True) -> str:
    allowed = f" (allowed {gap.allowed:.1e})" if limit else ""
    top = f"; highest channel the same in {gap.agrees} of {gap.cells}" if gap.cells else ""
    return f"off by {gap.relative:.1e} of the scale{allowed}, {gap.absolute:.1e} absolute{top}"


def _name(output: OutputPair) -> str:
    return output.name if output.name == output.twin else f"{output.name} (now {output.twin})"


def _weights_failures(proof: WeightsProof) -> list[str]:
    return [*proof.failures, *map(_field, proof.fields), proof.not_shown]


def _same_size_failures(proof: SameSizeProof) -> list[str]:
    failed = (f"{each.output.name!r}: {each.failure}" for each in proof.outputs if each.failure)
    return [*proof.failures, *failed, proof.not_shown]


def _dense_failures(proof: DenseProof) -> list[str]:
    bad = [each for each in proof.outputs if each.status in (Status.FAILS, Status.NOT_SHOWN)]
    bad.sort(key=lambda each: each.status is not Status.FAILS)
    return [proof.not_shown] if proof.not_shown else [f"{each.output.name!r}: {each.explanation}" for each in bad]


# ---- JSON ----


def document(found: Verification) -> dict[str, Any]:
    """Return the JSON document, as described in docs/schema/verify.json."""
    return {
        "caffe_fcn": __version__,
        "net": found.net,
        "weights": found.weights,
        "fcn": found.fcn,
        "fcn_weights": found.fcn_weights,
        **proofs(found),
        "bisection": bisection.document(found.bisection) if found.bisection else None,
        "notes": list(found.notes),
    }


def proofs(found: Verification) -> dict[str, Any]:
    """Return the part of the document with the proofs and their results."""
    return {
        "engine": found.engine or None,
        "phase": found.phase,
        "tolerance": found.tolerance,
        "claim": found.claim.name.lower(),
        "holds": found.holds,
        "proofs": {
            "weights": _weights_document(found.weights_proof) if found.weights_proof else None,
            "same_size": _same_size_document(found.same_size) if found.same_size else None,
            "dense": _dense_document(found.dense) if found.dense else None,
        },
        "new_function": new_function.document(found.new_function) if found.new_function else None,
    }


def _status(status: Status) -> str:
    return status.value.replace(" ", "_")


def _weights_document(proof: WeightsProof) -> dict[str, Any]:
    return {
        "status": _status(proof.status),
        "layers": proof.layers,
        "blobs": proof.blobs,
        "values": proof.values,
        "reshaped": proof.reshaped,
        "transposed": list(proof.transposed),
        "reordered": list(proof.reordered),
        "computed": list(proof.computed),
        "rounded": proof.rounded,
        "untrained": list(proof.untrained),
        "foreign": list(proof.foreign),
        "failures": list(proof.failures),
        "fields": [each._asdict() for each in proof.fields],
        "not_shown": proof.not_shown or None,
    }


def _same_size_document(proof: SameSizeProof) -> dict[str, Any]:
    return {
        "status": _status(proof.status),
        "inputs": {name: list(shape) for name, shape in proof.inputs.items()},
        "samples": proof.samples,
        "pictures": proof.given,
        "seed": proof.seed,
        "outputs": [_same_size_document_of(each) for each in proof.outputs],
        "failures": list(proof.failures),
        "not_shown": proof.not_shown or None,
    }


def _same_size_document_of(each: SameSize) -> dict[str, Any]:
    return {
        "output": each.output.name,
        "twin": each.output.twin,
        "identical": each.identical,
        "difference": _difference(each.difference),
        "failure": each.failure or None,
    }


def _dense_document(proof: DenseProof) -> dict[str, Any]:
    return {
        "status": _status(proof.status),
        "blob": proof.blob or None,
        "input": list(proof.input) or None,
        "step": list(proof.step) or None,
        "windows": proof.windows,
        "sampled": proof.sampled,
        "outputs": [
            {
                "output": each.output.name,
                "twin": each.output.twin,
                "status": _status(each.status),
                "stride": list(each.stride) or None,
                "window": list(each.window) or None,
                "exactness": None if each.crops is None else exactness_of(each.inexact).value,
                "reasons": list(map(words, each.inexact)),
                "crops": _difference(each.crops),
                "features": _difference(each.features),
                "cells": each.cells,
                "compared": each.compared,
                "explanation": each.explanation or None,
                "does_not_apply": _inapplicable(each.inapplicable),
            }
            for each in proof.outputs
        ],
        "not_shown": proof.not_shown or None,
        "does_not_apply": _inapplicable(proof.inapplicable),
    }


def _inapplicable(why: Inapplicable | None) -> dict[str, Any] | None:
    if why is None:
        return None
    reasons = [words(reason) for reason in why.reasons]
    return {"cause": why.cause.value.replace(" ", "_"), "names": list(why.names), "reasons": reasons}


def _difference(gap: Difference | None) -> dict[str, Any] | None:
    return None if gap is None else gap._asdict()
