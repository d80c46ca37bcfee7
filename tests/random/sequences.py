"""Folds random nets, alone and before, after and between other passes; compares them with numpy and verifies them.

The generator uses more layers that scale and shift. The result of a sequence of passes must give the answers of the
original in numpy, and `verify` must find the right claim. With a wrong weight, bias, eps or scale, the folded net must
fail.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from caffe_fcn.errors import CaffeFcnError
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import meet
from caffe_fcn.model.passing import Claim, Result
from caffe_fcn.model.writing import write_model
from caffe_fcn.net.options import Selection
from caffe_fcn.passes.alone import alone
from caffe_fcn.passes.convolutionalize import convolutionalize
from caffe_fcn.passes.cut import cut
from caffe_fcn.passes.fold import fold
from caffe_fcn.passes.fold.changes import TakeUp
from caffe_fcn.passes.upgrade import upgrade
from caffe_fcn.report.verify import summary
from caffe_fcn.verify.records import Status, Verification
from tests.random.basics import Array
from tests.random.files import Files, blobs_of, verdict
from tests.random.nets import RandomNet, random_net
from tests.random.running import Answer, answers, in_phase, run, unread
from tests.random.trials import new_objections

Pass = Callable[[Model], Result]

SEQUENCES: Mapping[str, Sequence[Pass]] = {
    "fold": (fold,),
    "fold, convert": (fold, convolutionalize),
    "convert, fold": (convolutionalize, fold),
    "upgrade, fold, convert": (upgrade, fold, convolutionalize),
    "fold, cut, convert": (fold, cut, convolutionalize),
    "cut, convert, fold": (cut, convolutionalize, fold),
}

_TEST = Selection(phase="TEST")
_LEAST = 1e-3
"""The relative change of a value in a mutant."""


@dataclass
class Course:
    """The outcome for the net of SEED and a SEQUENCE: why it was REFUSED, whether layers were FOLDED or CUT, how many
    MUTANTS were verified, and all FAULTS."""

    seed: int
    sequence: str
    refused: str = ""
    folded: bool = False
    cut: bool = False
    shown: bool = False
    mutants: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The first word of the first fault, which shows where to look."""
        return self.faults[0].partition(":")[0] if self.faults else ""


def courses_of(seeds: Sequence[int]) -> list[Course]:
    """Return the outcomes for the nets of SEEDS, each with one of SEQUENCES in turn."""
    return [followed(net_of(seed), sequence_of(seed)) for seed in seeds]


def net_of(seed: int) -> RandomNet:
    """Return the net of SEED, made for its sequence."""
    return random_net(seed, folding=True, cutting=cut in SEQUENCES[sequence_of(seed)])


def sequence_of(seed: int) -> str:
    """Return the sequence of SEQUENCES for the net of SEED."""
    return list(SEQUENCES)[seed % len(SEQUENCES)]


def followed(net: RandomNet, sequence: str) -> Course:
    """Return the outcome for NET and SEQUENCE; every exception is a fault."""
    course = Course(net.seed, sequence)
    with tempfile.TemporaryDirectory(prefix="caffe-fcn-random-") as directory:
        try:
            _follow(net, Path(directory), course)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            course.faults.append(f"crash: {type(error).__name__} in {Path(place.filename).name}, {place.name}: {error}")
    return course


def _follow(net: RandomNet, directory: Path, course: Course) -> None:
    files = Files(*net.write(directory))
    made = Files(directory / "twin.prototxt", directory / "twin.caffemodel")
    with ExitStack() as stack:
        opened = files.opened(stack)
        model = meet(opened.source, opened.weights, _TEST)
        model, results = alone(model).model, []
        try:
            for each in SEQUENCES[course.sequence]:
                results.append(each(model))
                model = results[-1].model
        except CaffeFcnError as error:
            course.refused = str(error)
            course.faults += [f"passes: {error}"] if "defect" in str(error) else []
            return
        write_model(model, str(made.net), str(made.weights))
        taken = [change for result in results for change in result.changes if isinstance(change, TakeUp)]
        course.folded = bool(taken)
        course.cut = any(result.decision.of_kind("cut") for result in results)
        course.faults += [*new_objections(files, made, model), *_answers(net, made)]
        found = _verdict(files, made)
        course.faults += _judged(found, computed=course.folded or course.cut)
        course.shown = isinstance(found, Verification) and found.holds
        if course.folded and not course.faults:
            names = {old: new for result in results for old, new in result.decision.new_names.items()}
            for what, mutant in _mutants(taken, names, made, np.random.default_rng((net.seed, 11))):
                course.mutants += 1
                seen = _verdict(files, mutant)
                if isinstance(seen, Verification) and seen.statuses["weights"] is not Status.FAILS:
                    course.faults.append(f"mutant: survives: {what}")


def _answers(net: RandomNet, made: Files) -> Iterator[str]:
    """Where numpy finds other answers in the nets that were MADE than in NET, whatever they are called."""
    message, weights = made.read()
    blobs = blobs_of(weights, net.weights)
    layers, others = in_phase(net.net), in_phase(message)
    for sample in range(2):
        draw = np.random.default_rng((net.seed, 7, sample))
        fed = {name: draw.standard_normal(value.shape) * 3**sample for name, value in net.inputs.items()}
        expected = answers(layers, net.weights, fed, unread(layers))
        found = run(others, blobs, fed)
        if (ends := len(unread(others))) > len(expected):  # what only a loss read may be read by others, too
            yield f"passes: {ends} outputs in place of {len(expected)}"
        for name, answer in expected.items():
            if (gap := _nearest(answer, list(found.values()))) > 1:
                yield f"passes: {name!r} is off by {gap:.3g}"


def _nearest(answer: Answer, ends: Sequence[Array]) -> float:
    return min((answer.gap(each) for each in ends if each.size == answer.clean.size), default=float("inf"))


def _verdict(original: Files, twin: Files) -> Verification | CaffeFcnError:
    with ExitStack() as stack:
        try:
            return verdict(original.opened(stack), twin.opened(stack), _TEST)
        except CaffeFcnError as error:
            return error


def _judged(found: Verification | CaffeFcnError, *, computed: bool) -> Iterator[str]:
    if not isinstance(found, Verification):
        yield f"verify: refuses: {type(found).__name__}: {found}"
        return
    claim = Claim.SAME_FUNCTION if computed else Claim.SAME_BITS
    if found.claim is not claim:
        yield f"verify: claims the {found.claim.value}, not the {claim.value}"
    if Status.FAILS in found.statuses.values() or found.statuses["weights"] is not Status.HOLDS:
        yield f"verify: {summary(found)}"


# ---- Mutants ----


def _mutants(
    taken: Sequence[TakeUp], names: Mapping[str, str], made: Files, random: np.random.Generator
) -> Iterator[tuple[str, Files]]:
    """What the folded net that was MADE would be with something wrong in one of the layers that have TAKEN others up,
    whose new NAMES are given."""
    change = taken[int(random.integers(len(taken)))]
    name = change.layer
    while names.get(name, name) != name:
        name = names[name]
    factors = change.values[0]
    for what in ("a weight", "a bias", "a factor twice"):
        net, weights = made.read()
        blobs = next(layer.blobs for layer in (*weights.layer, *weights.layers) if layer.name == name and layer.blobs)
        values = [blob.double_data or blob.data for blob in blobs]
        if what == "a weight":
            place = int(np.argmax(np.abs(values[0])))
            changed = values[0][place] != 0
            values[0][place] *= 1 + _LEAST
        elif what == "a bias":
            changed = len(values) > 1 and bool(np.max(np.abs(values[1])) > _LEAST)
            for place in range(len(values[1]) if changed else 0):
                values[1][place] = 0
        else:
            changed = bool(np.max(np.abs(factors - 1)) > _LEAST) and np.count_nonzero(values[0]) == len(values[0])
            kernel = len(values[0]) // len(factors)
            for place in range(len(values[0]) if changed and not change.by_column else 0):
                values[0][place] *= factors[place // kernel]
            changed = changed and not change.by_column
        if changed:
            yield f"{what} of {name!r}", made.write(net, weights)
