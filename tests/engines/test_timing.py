"""Engines timed by turns: who runs when, what is left out, and which is the one to use. No time is held to anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_fcn.engines import timing
from caffe_fcn.engines.timing import LeftOut, Ready, Timed, Timing, rounds, time_engines
from caffe_fcn.errors import EngineError, ExtraError, LoweringError, PictureError
from caffe_fcn.report.benchmark import document, lines
from caffe_fcn.wording import as_command


def found(*timed: tuple[str, float], left_out: tuple[LeftOut, ...] = ()) -> Timing:
    """Engines and what they took."""
    taken = tuple(Timed(name, (seconds, 9.0, seconds / 2, seconds), 3 << 20) for name, seconds in timed)
    return Timing("net.prototxt", "net.caffemodel", "a\x1b.png", (500, 4000), taken, left_out)


def test_engines_take_turns_and_those_that_fail_are_left_out() -> None:
    log: list[str] = []
    errors = {"b": ExtraError("b is not installed"), "c": LoweringError("no"), "d": EngineError("not at this size")}

    def load(name: str) -> Ready:
        if name in ("b", "c"):
            raise errors[name]

        def run() -> None:
            if name == "d":
                raise errors[name]
            log.append(name)

        return Ready(run, "net", "weights", "picture", (3, 4))

    calls: list[None] = []
    made = time_engines(load, [*"abcde"], runs=3, done=lambda: calls.append(None))
    assert log == ["a", "e", *("a", "e") * 4]
    assert len(calls) == len(log) + 3 <= rounds([*"abcde"], 3)
    assert [(each.engine, len(each.seconds)) for each in made.timed] == [("a", 3), ("e", 3)]
    assert made.left_out == tuple(LeftOut(name, str(error)) for name, error in errors.items())
    assert (made.net, made.weights, made.picture, made.size) == ("net", "weights", "picture", (3, 4))
    with pytest.raises(ExtraError, match="b is not installed"):
        time_engines(load, ["b", "c"])


def test_what_is_wrong_with_the_picture_is_no_engines_failure() -> None:
    def load(name: str) -> Ready:
        raise PictureError("it is none")

    with pytest.raises(PictureError, match="it is none"):
        time_engines(load, ["a", "b"])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not tell a peak of memory")
def test_memory_is_what_an_engine_adds() -> None:
    kept: list[bytearray] = []

    def load(name: str) -> Ready:
        if name != "small":
            kept.append(bytearray(b"x" * (30 << 20)))
        return Ready(lambda: None, "net", "weights", "picture", (3, 4))

    large, small, apart = time_engines(load, ["large", "small", "caffe"], runs=1).timed
    assert large.memory is not None and small.memory is not None
    assert 30 << 20 <= large.memory < 100 << 20 and small.memory < 10 << 20
    assert apart.memory is None, "it has a process of its own"


def test_memory_that_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_memory", lambda: None)
    ready = Ready(lambda: None, "net", "weights", "picture", (3, 4))
    assert [each.memory for each in time_engines(lambda name: ready, ["a"], runs=1).timed] == [None]


@pytest.mark.parametrize(
    ("timed", "use", "advice"),
    [
        ((("onnxruntime", 1.0), ("opencv", 2.0)), "onnxruntime", "use onnxruntime, the default: no other available"),
        ((("onnxruntime", 1.0), ("opencv", 0.97)), "onnxruntime", "use onnxruntime, the default: no other available"),
        (
            (("onnxruntime", 1.0), ("opencv", 0.8), ("openvino", 0.5)),
            "openvino",
            "use --engine openvino, 2.0 times as fast as onnxruntime, the default",
        ),
        ((("opencv", 0.8),), "opencv", "use --engine opencv"),
    ],
)
def test_the_fastest_is_to_be_used_if_it_is_worth_an_option(
    timed: tuple[tuple[str, float], ...], use: str, advice: str
) -> None:
    made = found(*timed)
    assert made.best.engine == use == document(made)["use"]
    with as_command(["engine"]):
        assert [*lines(made)][-1].startswith(advice)


def test_what_is_told() -> None:
    made = found(("onnxruntime", 1.0), ("openvino", 0.5), left_out=(LeftOut("caffe", "it is not installed"),))
    head, _, first, second, other, _ = lines(made)
    assert head == "net.prototxt on a?.png (500×4000, 2.00 megapixels); medians of 4 runs by turns"
    assert first.split() == ["onnxruntime", "1.0000", "s", "0.5000", "s", "3", "MiB"]
    assert second.split() == ["openvino", "0.5000", "s", "0.2500", "s", "3", "MiB"]
    assert other.split(maxsplit=1) == ["caffe", "left out: it is not installed"]
