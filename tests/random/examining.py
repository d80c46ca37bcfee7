"""One random net examined: converted, run by the engine beside its twin, and both held against numpy.

A conversion that is refused, or an original that the engine refuses, is an answer. Everything else that is not equal is
a fault, and so is any other exception, and a verdict of `verify` that is not what was found here.
"""

from __future__ import annotations

import re
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from caffe_fcn import schema
from caffe_fcn.errors import CaffeFcnError, LoweringError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.graph import build_graph
from caffe_fcn.net.shapes import infer_shapes
from caffe_fcn.report.verification import summary
from caffe_fcn.run.engine import Net
from caffe_fcn.run.onnxruntime import OnnxRuntime, OnnxRuntimeSession
from caffe_fcn.run.proofs.records import Status
from caffe_fcn.run.verify import Model, verify
from caffe_fcn.schema import Message
from caffe_fcn.surgery.convert import Plan, Settings, open_inputs, plan
from caffe_fcn.surgery.edits import DropLayer, Rewire, ToConvolution, WindowPooling
from caffe_fcn.surgery.writing import carry_out
from tests.random.basics import Array
from tests.random.nets import RandomNet, random_net
from tests.random.running import answers, in_phase
from tests.random.sliding import cells, sliding

_SAMPLES = 2


@dataclass
class Outcome:
    """What came of the net of SEED: whether it was CONVERTED, or by whom it was REFUSED and why, all FAULTS, and how
    far it could be compared on a larger input (DENSE)."""

    seed: int
    converted: bool = False
    refused: str = ""
    dense: str = ""
    faults: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The first word of the first fault: where it is to be looked for."""
        return self.faults[0].partition(":")[0] if self.faults else ""


class Loaded:
    """A net as it was written, its weights as protobuf reads them, and both as the engine has loaded them."""

    def __init__(self, net: Message, weights: WeightFile) -> None:
        graph = build_graph(net)
        self.session: OnnxRuntimeSession = OnnxRuntime(1).load(Net(graph, infer_shapes(graph)), weights)
        self.layers = in_phase(net)
        stored = schema.NetParameter.FromString(Path(weights.path).read_bytes())
        self.weights = {layer.name: [_array(blob) for blob in layer.blobs] for layer in stored.layer}


def _array(blob: Message) -> Array:
    return np.array(blob.data, np.float64).reshape([*blob.shape.dim])


def examined(net: RandomNet) -> Outcome:
    """What comes of NET; whatever it raises is a fault."""
    outcome = Outcome(net.seed)
    with tempfile.TemporaryDirectory(prefix="caffe-fcn-random-") as directory:
        try:
            _examine(net, Path(directory), outcome)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            outcome.faults.append(
                f"crash: {type(error).__name__} in {Path(place.filename).name}, {place.name}: {error}"
            )
    return outcome


def outcomes_of(seeds: Sequence[int]) -> list[Outcome]:
    """What comes of the nets of SEEDS."""
    return [examined(random_net(seed)) for seed in seeds]


def _examine(net: RandomNet, directory: Path, outcome: Outcome) -> None:
    paths = net.write(directory)
    fcn = directory / "fcn.prototxt", directory / "fcn.caffemodel"
    with ExitStack() as stack:
        try:
            model = _opened(*paths, stack)
            planned = plan(model.source, model.weights, Settings())
            carry_out(planned, str(fcn[0]), str(fcn[1]))
        except CaffeFcnError as error:
            outcome.refused = f"convert: {_general(error, net)}"
            return
        outcome.converted = bool(_changed(planned))
        twin = _opened(*fcn, stack)
        try:
            original = Loaded(model.source.net, model.weights)
        except LoweringError as error:
            outcome.refused = f"engine: {_general(error, net)}"
            return
        names = _promised(planned, original)
        loaded = Loaded(twin.source.net, twin.weights)
        _same_size(net, original, loaded, names, outcome)
        if not outcome.faults:
            _larger(net, original, loaded, names, _changed(planned), outcome)
        _judge(model, twin, outcome)


def _opened(net: Path, weights: Path, stack: ExitStack) -> Model:
    source, opened = open_inputs(str(net), str(weights))
    assert opened is not None
    return Model(source, stack.enter_context(opened))


def _changed(planned: Plan) -> set[str]:
    """The layers of the original that are others in the twin, or none, if anything was converted."""
    edits = [each for each in planned.surgery.edits if isinstance(each, (ToConvolution, WindowPooling, DropLayer))]
    return {edit.layer for edit in edits}


def _promised(planned: Plan, original: Loaded) -> dict[str, str]:
    """What each output of ORIGINAL is called in the twin, by the surgery."""
    edits, layers = planned.surgery.edits, planned.source.net.layer
    renamed = {old: new for edit in edits if isinstance(edit, Rewire) for old, new in edit.tops.items()}
    gone = {edit.layer for edit in edits if isinstance(edit, DropLayer)}
    made = {}
    known = {top for layer in original.layers for top in layer.top}
    for name in original.session.outputs:
        blob, end = name, len(layers)
        while (maker := _maker(layers[:end], blob)) is not None and layers[maker].name in gone:
            blob, end = layers[maker].bottom[0], maker
        if name in known:
            made[name] = renamed.get(blob, blob)
    return made


def _maker(layers: Sequence[Message], blob: str) -> int | None:
    """The place of the last of LAYERS that makes BLOB."""
    return next((place for place in reversed(range(len(layers))) if blob in layers[place].top), None)


def _same_size(net: RandomNet, original: Loaded, twin: Loaded, names: Mapping[str, str], outcome: Outcome) -> None:
    """Both at the nominal size, held against what numpy makes of the original."""
    for sample in range(_SAMPLES):
        draw = np.random.default_rng((net.seed, 7, sample))
        fed = {name: draw.standard_normal(net.inputs[name].shape) * 3**sample for name in original.session.inputs}
        expected = answers(original.layers, original.weights, fed, names)
        ours, theirs = original.session.run(fed), twin.session.run(fed)
        for name, other in names.items():
            if (gap := expected[name].gap(ours[name])) > 1:
                outcome.faults.append(f"lowering: {name!r} of the original is off by {gap:.3g}")
            if other not in theirs:
                outcome.faults.append(f"convert: {name!r} should be {other!r}, the twin puts out {sorted(theirs)}")
            elif (gap := expected[name].gap(theirs[other])) > 1:
                outcome.faults.append(f"convert: {other!r} of the twin is off by {gap:.3g} at the nominal size")
        if outcome.faults:
            return


def _larger(
    net: RandomNet,
    original: Loaded,
    twin: Loaded,
    names: Mapping[str, str],
    changed: set[str],
    outcome: Outcome,
) -> None:
    """The twin on a larger input: held against what numpy makes of it, and against the original on its windows."""
    if not changed:
        outcome.dense = "nothing converted"
        return
    made = sliding(original.layers, original.weights, net, list(original.session.inputs), changed, list(names))
    if isinstance(made, str):
        outcome.dense = made
        return
    try:
        maps = twin.session.run(made.fed)
    except CaffeFcnError as error:
        outcome.dense = f"the twin does not take it: {_general(error, net)}"
        return
    expected = answers(twin.layers, twin.weights, made.fed, names.values())
    outcome.dense = "equal"
    for name, other in names.items():
        if (gap := expected[other].gap(maps[other])) > 1:
            outcome.faults.append(f"lowering: {other!r} of the twin is off by {gap:.3g} on a larger input")
        for place, answer in made.windows:
            found = cells(answer[name].clean.shape, maps[other], place)
            if found is None:
                outcome.dense = "an output is no map"
                break
            if (gap := answer[name].gap(found)) > 1:
                outcome.faults.append(f"dense: {other!r} is off by {gap:.3g} in window {place}")
                break


def _judge(model: Model, twin: Model, outcome: Outcome) -> None:
    """Hold the verdict of verify against what was found."""
    wrong = [fault for fault in outcome.faults if fault.startswith(("convert", "dense"))]
    try:
        verdict = verify(model, twin)
    except CaffeFcnError as error:
        outcome.faults.append(f"verify: refuses: {type(error).__name__}: {error}")
        return
    fails = Status.FAILS in verdict.statuses.values()
    if fails != bool(wrong):
        outcome.faults.append(
            f"verify: {'fails' if fails else 'holds'} where {wrong or 'all is equal'}; {summary(verdict)}"
        )
    elif not fails and not verdict.holds:
        outcome.dense += f"; verify: {summary(verdict).partition(chr(39))[0]}"


def _general(error: Exception, net: RandomNet) -> str:
    """The message of ERROR without what is particular to NET."""
    message = re.sub(r"\S*(net|fcn)\.(prototxt|caffemodel): ", "", str(error))
    names = {layer.name for layer in net.net.layer} | {top for layer in net.net.layer for top in layer.top}
    for name in sorted(names, key=len, reverse=True):
        message = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", message)
    return re.sub(r"\d+([x×]\d+)*", "#", message)[:110]
