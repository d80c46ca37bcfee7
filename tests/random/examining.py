"""Examines one random net: converts it, runs it and the converted net on the engine, and compares both with numpy.

A refused conversion, or an original that the engine refuses, is a valid outcome. Every other difference is a fault, and
so is any other exception, and a verdict of `verify` that differs from what was found here.
"""

from __future__ import annotations

import re
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from caffe_fcn.errors import CaffeFcnError, LoweringError, SurgeryError
from caffe_fcn.model.opening import NetAndWeights, meet
from caffe_fcn.model.writing import write_model
from caffe_fcn.net.problems import examine
from caffe_fcn.passes.conversion import plan
from caffe_fcn.report.verify import summary
from caffe_fcn.verify.records import Status, Verification
from tests.random.basics import ImpossibleError
from tests.random.caffe import FORKS
from tests.random.comparing import Loaded, Pair, larger, misfits, same_size
from tests.random.files import Files, blobs_of, verdict
from tests.random.nets import RandomNet, random_net
from tests.random.surviving import survivors


@dataclass
class Outcome:
    """The outcome for the net of SEED: whether it was CONVERTED, or by whom it was REFUSED and why, all FAULTS, how far
    it could be compared on a larger input (DENSE), how many MUTANTS of the converted net were verified, and how many of
    them are HARMLESS."""

    seed: int
    converted: bool = False
    refused: str = ""
    dense: str = ""
    mutants: int = 0
    harmless: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The first word of the first fault, which shows where to look."""
        return self.faults[0].partition(":")[0] if self.faults else ""


def examined(net: RandomNet, mutants: int = 0) -> Outcome:
    """Return the outcome for NET, and for MUTANTS mutants of the converted net; every exception is a fault."""
    outcome = Outcome(net.seed)
    with tempfile.TemporaryDirectory(prefix="caffe-fcn-random-") as directory:
        try:
            _examine(net, Path(directory), outcome, mutants)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            outcome.faults.append(
                f"crash: {type(error).__name__} in {Path(place.filename).name}, {place.name}: {error}"
            )
    return outcome


def outcomes_of(seeds: Sequence[int], mutants: int = 0) -> list[Outcome]:
    """Return the outcomes for the nets of SEEDS."""
    return [examined(random_net(seed), mutants) for seed in seeds]


def _examine(net: RandomNet, directory: Path, outcome: Outcome, mutants: int) -> None:
    files = Files(*net.write(directory))
    made = Files(directory / "fcn.prototxt", directory / "fcn.caffemodel")
    with ExitStack() as stack:
        model = files.opened(stack)
        outcome.faults += [*misfits(net, model), *_objections(net, files)]
        try:
            planned = plan(meet(model.source, model.weights, net.settings.selection), net.settings)
            write_model(planned.model, str(made.net), str(made.weights))
        except SurgeryError as error:
            outcome.refused = f"convert: {_general(error, net)}"
            outcome.faults += [f"convert: {error}"] if "defect" in str(error) else []
            return
        refused = any(note.startswith("Caffe does not build") for note in planned.notes)
        if not refused:
            outcome.faults += _objections(net, made)
        twin = made.opened(stack)
        try:
            original = Loaded(model, net.net, net.weights)
        except LoweringError as error:
            outcome.refused = f"engine: {_general(error, net)}"
            return
        read = made.read()
        pair = Pair(net, original, Loaded(twin, read[0], blobs_of(read[1], net.weights)), planned.changes)
        outcome.converted = bool(pair.changed)
        outcome.faults += same_size(pair)
        if not outcome.faults:
            dense, outcome.faults = _larger(pair, refused=refused)
            outcome.dense = _general(dense, net)
        found = _judge(model, twin, outcome)
    if mutants and found is not None and found.holds and not outcome.faults:
        windows = pair.windows([])
        feeds = [*pair.feeds(), *([] if isinstance(windows, str) else [dict(windows.fed)])]
        outcome.mutants, outcome.harmless, outcome.faults = survivors(files, made, net, feeds, mutants)


def _larger(pair: Pair, *, refused: bool) -> tuple[str, list[str]]:
    """Return the result of `larger` for PAIR; if Caffe refuses the converted net, as convert noted, there may be no
    answers."""
    try:
        return larger(pair)
    except ImpossibleError:
        if not refused:
            raise
        return "Caffe does not build the twin, as told", []


def _objections(net: RandomNet, files: Files) -> list[str]:
    """Return what `check` reports for a net that Caffe accepts, strictly if NET has nothing of forks."""
    found = examine(files.net.read_bytes(), files.net.name)
    strict = FORKS.isdisjoint(layer.type for layer in net.net.layer)
    return [f"check: {each.message}" for each in (found.strictly() if strict else found).errors]


def _judge(model: NetAndWeights, twin: NetAndWeights, outcome: Outcome) -> Verification | None:
    """Compare the verdict of verify with what was found."""
    wrong = [fault for fault in outcome.faults if fault.startswith(("convert", "dense"))]
    try:
        found = verdict(model, twin)
    except CaffeFcnError as error:
        outcome.faults.append(f"verify: refuses: {type(error).__name__}: {error}")
        return None
    fails = Status.FAILS in found.statuses.values()
    if fails != bool(wrong):
        equal = "; ".join(wrong) or "all is equal"
        outcome.faults.append(f"verify: {'fails' if fails else 'holds'} where {equal}; {summary(found)}")
    elif not fails and not found.holds:
        outcome.dense += f"; verify: {summary(found).partition(chr(39))[0]}"
    return found


def _general(error: Exception | str, net: RandomNet) -> str:
    """Return the message of ERROR without the details of NET."""
    message = re.sub(r"\S*(net|fcn)\.(prototxt|caffemodel): ", "", str(error))
    names = {layer.name for layer in net.net.layer} | {top for layer in net.net.layer for top in layer.top}
    for name in sorted(names, key=len, reverse=True):
        message = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", message)
    return re.sub(r"\d+([x×]\d+)*", "#", message)[:110]
