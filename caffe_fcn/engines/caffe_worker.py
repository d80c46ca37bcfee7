"""The script of Caffe's process: it imports Caffe, loads one net, and runs it for each request.

`worker.py` starts it as a file; it does not import the rest of the package. A message is its length in 8 bytes, a JSON
object, and the values of the arrays that the object lists, float32. There is one reply to every request. The process
ends when no more requests can come, and at once when its parent process ends.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import resource
import select
import signal
import sys
from types import ModuleType
from typing import Any, BinaryIO

_LENGTH = 8
_MOST = 1 << 26
"""The maximum size of a message in bytes, without its arrays."""
_LINK = 3
"""The maximum number of exceptions of a chain that are reported."""


def main(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer REQUESTS until there are no more."""
    caffe: Any = None
    net: Any = None
    while (message := read(requests)) is not None:
        arrays: list[tuple[str, Any]] = []
        reply: dict[str, Any]
        try:
            if message["call"] == "import":
                sys.path[:] = message["path"]
                caffe, reply = _import()
            elif message["call"] == "load":
                net, reply = _load(caffe, message["net"], message["weights"]), {}
            else:
                arrays, reply = _run(net, requests, message), {}
        except Exception as error:
            reply = {"error": " ".join(f"{type(error).__name__}: {error}".split())}
        write(replies, reply, arrays)


def _import() -> tuple[Any, dict[str, Any]]:
    """Return Caffe's module and its layer types; or the reason why it cannot be imported."""
    try:
        import caffe  # type: ignore[import-not-found]

        caffe.set_mode_cpu()
    except BaseException as error:  # a module may raise anything, even SystemExit
        return None, {"failure": _failure(error)}
    listed = getattr(caffe, "layer_type_list", None)
    return caffe, {"types": [str(name) for name in listed()] if listed else None}


def _failure(error: BaseException) -> dict[str, Any]:
    """Return the data on ERROR, raised by the import of Caffe."""
    from importlib.util import find_spec  # here, because only an error needs it

    texts: list[str] = []
    link: BaseException | None = error
    while link is not None and len(texts) < _LINK:
        texts.append(" ".join(f"{type(link).__name__}: {link}".split()))
        link = link.__cause__ or link.__context__
    place, trace = "", error.__traceback__
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    sys.modules.pop("caffe", None)
    try:
        spec = find_spec("caffe")
    except Exception:
        spec = None
    directories = [*(spec.submodule_search_locations or [os.path.dirname(spec.origin or "")])] if spec else []
    return {
        "missing": error.name if isinstance(error, ModuleNotFoundError) else None,
        "file": error.path if isinstance(error, ImportError) else None,
        "texts": texts,
        "place": place,
        "directories": directories,
        "compiled": [
            name for each in directories for name in sorted(os.listdir(each or os.curdir)) if name.startswith("_caffe.")
        ],
        "numpy": getattr(sys.modules.get("numpy"), "__version__", None),
        "other": isinstance(error, AttributeError) and place.startswith(__file__),
    }


def _load(caffe: Any, net: str, weights: str) -> Any:
    """Load NET with its WEIGHTS. Pycaffe takes them by keyword since 2016, and as the second argument before."""
    try:
        return caffe.Net(net, caffe.TEST, weights=weights)
    except TypeError:  # ArgumentError of Boost is one
        return caffe.Net(net, weights, caffe.TEST)


def _run(net: Any, requests: BinaryIO, message: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the outputs for the arrays that follow MESSAGE."""
    import numpy as np

    given = read_arrays(requests, message, np)
    for name, array in given.items():
        net.blobs[name].reshape(*array.shape)
        net.blobs[name].data[...] = array
    net.reshape()
    net.forward()
    return [(name, np.ascontiguousarray(net.blobs[name].data, np.float32)) for name in message["outputs"]]


# ---- The two ends of a pipe ----


def read(pipe: BinaryIO) -> dict[str, Any] | None:
    """Return the next message in PIPE, without its arrays; None if there is none, or it is incomplete."""
    head = pipe.read(_LENGTH)
    length = int.from_bytes(head, "little")
    body = pipe.read(length) if len(head) == _LENGTH and length <= _MOST else b""
    if not body or len(body) < length:
        return None
    made: dict[str, Any] = json.loads(body)
    return made


def read_arrays(pipe: BinaryIO, message: dict[str, Any], np: ModuleType) -> dict[str, Any]:
    """Return the arrays that follow MESSAGE in PIPE. Raises EOFError if values are missing."""
    found = {}
    for name, shape in message["arrays"]:
        values = np.empty(math.prod(shape), np.float32)
        rest = memoryview(values.view(np.uint8))
        while rest:
            many = pipe.readinto(rest)  # type: ignore[attr-defined]
            if not many:
                raise EOFError(f"of {name!r} {len(rest)} bytes are missing")
            rest = rest[many:]
        found[name] = values.reshape(shape)
    return found


def write(pipe: BinaryIO, message: dict[str, Any], arrays: list[tuple[str, Any]]) -> None:
    """Write MESSAGE with ARRAYS, all of them contiguous and float32, to PIPE."""
    body = json.dumps({**message, "arrays": [(name, array.shape) for name, array in arrays]}).encode("ascii")
    pipe.write(len(body).to_bytes(_LENGTH, "little") + body)
    for _, array in arrays:
        pipe.write(memoryview(array.reshape(-1).view("u1")))
    pipe.flush()


# ---- The process ----


def _end_with(life: int) -> None:
    """End this process when the other end of the pipe LIFE is closed, even during a run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent process, which ends this one
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | getattr(os, "O_ASYNC", 0))
    poll = select.poll()
    poll.register(life, 0)
    if poll.poll(0):  # it was closed before
        os._exit(1)


def _without_core() -> None:
    """Prevent a core file on abort."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


if __name__ == "__main__":
    _without_core()
    ends = [int(word) for word in sys.argv[1:]]
    _end_with(ends[2])
    with os.fdopen(ends[0], "rb") as asked, os.fdopen(ends[1], "wb") as told:
        main(asked, told)
    os._exit(0)  # no file is open; the modules may take long to end, or hang
