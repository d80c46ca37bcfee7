"""Fixtures for all tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.paths import CORPUS

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# The tests start the program hundreds of times, which takes three times as long where nothing compiled is kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_configure() -> None:
    """Handle the signals that nohup, or a shell in the background, has this process ignore: processes that are started
    would ignore them too, and tests of interrupts would wait for nothing."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else lambda *_: None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Refuse a process to a test that is not marked for it, so that `make quick` stays quick. Other packages may start
    one: platform does, for h5py."""
    if item.get_closest_marker("thorough") or item.get_closest_marker("slow"):
        return (yield)
    start = subprocess.Popen.__init__

    def refuse(*arguments: Any, **options: Any) -> None:
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_globals["__name__"] == "subprocess":
            frame = frame.f_back
        if frame.f_globals["__name__"].partition(".")[0] in ("tests", "caffe_fcn"):
            pytest.fail(f"{item.nodeid} starts a process: mark it with @pytest.mark.thorough")
        start(*arguments, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(subprocess.Popen, "__init__", refuse)
        return (yield)


os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # where a test imports onnxruntime itself


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The directory of the corpus; the test is skipped, loudly, where it is absent."""
    if not (CORPUS / "manifest.json").exists():
        pytest.skip("the corpus of real nets is not beside the checkout")
    return CORPUS
