"""Runs one random net through any passes, and checks what must hold for all of them.

The new net is written and read back, has nothing that Caffe refuses unless the original had it, is verified with the
claim of its passes, and fails if one bit of one weight is changed. Each `Task` checks the expected answers of the new
net.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from caffe_fcn.errors import CaffeFcnError
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import open_model
from caffe_fcn.model.passing import Claim, Result, weakest
from caffe_fcn.model.tensors import Tensor
from caffe_fcn.model.writing import write_model
from caffe_fcn.net.objections import Severity
from caffe_fcn.net.options import Selection
from caffe_fcn.net.problems import examine
from caffe_fcn.passes.alone import alone
from caffe_fcn.report.verify import summary
from caffe_fcn.schema import Message
from caffe_fcn.verify.records import Status
from tests.random.files import Files, verdict
from tests.random.nets import RandomNet

TEST = Selection(phase="TEST")
_LOW, _HIGH = 0, 19
"""The bit of a weight that is changed: the lowest, or for computed weights one that rounding does not explain."""


class Case(NamedTuple):
    """A random NET in the files ORIGINAL, and the files MADE from it by passes with these RESULTS."""

    net: RandomNet
    original: Files
    made: Files
    results: Sequence[Result]
    draw: np.random.Generator

    def opened(self) -> Model:
        """Return the original, of phase TEST alone."""
        return alone(_open(self.original)).model

    def written(self, name: str, model: Model) -> Files:
        """Write MODEL to files with this NAME beside the others, and return them."""
        files = Files(*(path.with_stem(name) for path in self.made))
        write_model(model, str(files.net), str(files.weights), force=True)
        return files


class Task(NamedTuple):
    """The PASSES for a random net, and the function to CHECK the result."""

    net: Callable[[int], RandomNet]
    passes: Callable[[Model, RandomNet, np.random.Generator], Sequence[Result]]
    check: Callable[[Case], Iterator[str]]
    told: bool = False
    """Whether `verify` recognizes the new function only from the results of the passes."""
    whole: bool = False
    """Whether the passes get the file with all its phases."""


@dataclass
class Trial:
    """The outcome for the net of SEED and a TASK: why it was REFUSED, whether it was PROVEN, how many MUTANTS were
    verified, and all FAULTS."""

    seed: int
    task: str
    refused: str = ""
    proven: bool = False
    mutants: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The first word of the first fault, which shows where to look."""
        return self.faults[0].partition(":")[0] if self.faults else ""


def tried(net: RandomNet, name: str, task: Task) -> Trial:
    """Return the outcome for NET and TASK, which has this NAME; every exception is a fault."""
    trial = Trial(net.seed, name)
    with tempfile.TemporaryDirectory(prefix="caffe-fcn-random-") as directory:
        try:
            _try(net, Path(directory), task, trial)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            trial.faults.append(f"crash: {type(error).__name__} in {Path(place.filename).name}, {place.name}: {error}")
    return trial


def _try(net: RandomNet, directory: Path, task: Task, trial: Trial) -> None:
    draw = np.random.default_rng((net.seed, 37))
    original = Files(*net.write(directory))
    made = Files(directory / "made.prototxt", directory / "made.caffemodel")
    before = _open(original)
    try:
        first = [] if task.whole else [alone(before)]
        results = [*first, *task.passes(first[0].model if first else before, net, draw)]
        model = results[-1].model
    except CaffeFcnError as error:
        trial.refused = str(error)
        trial.faults += [f"passes: {error}"] if "defect" in str(error) else []
        return
    write_model(model, str(made.net), str(made.weights))
    trial.faults += _read_back(model, _open(made))
    trial.faults += new_objections(original, made, model)
    case = Case(net, original, made, results, draw)
    trial.faults += task.check(case)
    _prove(case, task, trial)


def _open(files: Files) -> Model:
    return open_model(str(files.net), str(files.weights), TEST)


def _read_back(model: Model, again: Model) -> Iterator[str]:
    """Return where the files differ from the MODEL that was written."""
    if again.net != model.net:
        yield "written: another net is read back"
    for name, tensors in model.tensors.items():
        found = again.tensors.get(name, ())
        if _bytes(tensors) != _bytes(found):
            yield f"written: {name!r} has other weights"


def _bytes(tensors: Sequence[Tensor]) -> list[bytes]:
    return [each.read(0, each.count).tobytes() for each in tensors]


def new_objections(original: Files, made: Files, model: Model) -> Iterator[str]:
    """What Caffe refuses of the new net, unless the passes told it, or the original had it."""
    had, has = (examine(files.net.read_bytes(), "net").strictly() for files in (original, made))
    told = [note for note in model.notes if note.startswith("Caffe does not build")]
    if not had.errors and not told:
        yield from (f"check: {each.message}" for each in has.errors if each.severity is not Severity.INFORMATION)


def _prove(case: Case, task: Task, trial: Trial) -> None:
    claim = weakest(result.claim for result in case.results)
    results, new = case.results if task.told else (), claim is Claim.NEW_FUNCTION
    with ExitStack() as stack:
        original, made = case.original.opened(stack), case.made.opened(stack)
        try:
            found = verdict(original, made, TEST, results, new=new)
        except CaffeFcnError as error:
            trial.faults.append(f"verify: refuses: {type(error).__name__}: {error}")
            return
        if list(Claim).index(found.claim) > list(Claim).index(claim):
            trial.faults.append(f"verify: claims the {found.claim.value}, not the {claim.value}")
        if Status.FAILS in found.statuses.values():
            trial.faults.append(f"verify: {summary(found)}")
        trial.proven = found.holds
        if not trial.proven or trial.faults:
            return
        for what, mutant in _mutants(case):
            trial.mutants += 1
            try:
                seen = verdict(original, mutant.opened(stack), TEST, results, new=new)
            except CaffeFcnError:
                continue
            if Status.FAILS not in seen.statuses.values():
                trial.faults.append(f"mutant: survives: {what}")


def _mutants(case: Case) -> Iterator[tuple[str, Files]]:
    """Yield the new net with one bit changed in a weight."""
    net, weights = case.made.read()
    model, folded = case.results[-1].model, any(result.claim is Claim.SAME_FUNCTION for result in case.results)
    stored = [
        (layer, blob, folded or tensor.slack is not None)
        for layer in _stored(net, weights)
        for blob, tensor in zip(layer.blobs, model.tensors.get(layer.name, ()), strict=False)
        if len(blob.data)
    ]
    if not stored:
        return
    layer, blob, computed = stored[int(case.draw.integers(len(stored)))]
    place = int(case.draw.integers(len(blob.data)))
    value = np.array(blob.data[place], "<f4")
    if computed and value == 0:
        return
    blob.data[place] = (value.view("<u4") ^ np.uint32(1 << (_HIGH if computed else _LOW))).view("<f4")
    yield f"{value} of {layer.name!r} is {blob.data[place]}", case.made.write(net, weights)


def _stored(net: Message, weights: Message) -> list[Message]:
    """Return the layers of NET with weights."""
    names = {layer.name for layer in (*net.layer, *net.layers)}
    return [layer for layer in (*weights.layer, *weights.layers) if layer.name in names]
