"""Interrupts come after what is not to be torn apart, and do come."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from caffe_fcn.files.interruption import uninterrupted

AFTERWARDS = """
import signal
from caffe_fcn.files.interruption import uninterrupted
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    with uninterrupted():
        signal.raise_signal(signal.SIGINT)
        print("all of it")
except KeyboardInterrupt:
    print("then the interrupt", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


@pytest.mark.thorough
def test_an_interrupt_comes_afterwards() -> None:
    """In a process of its own: what runs the tests has threads and handlers that an interrupt may end."""
    made = subprocess.run([sys.executable, "-c", AFTERWARDS], capture_output=True, text=True, check=False)
    assert made.stdout.splitlines() == ["all of it", "then the interrupt True"], made.stderr


def test_nothing_comes_where_nothing_came() -> None:
    with uninterrupted():
        pass
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), uninterrupted():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_get_no_signals_anyway() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
