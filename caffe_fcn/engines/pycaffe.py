"""The engine `caffe`: Caffe itself, through its Python module.

Caffe is the reference, but on an error it logs a message and aborts the process. So each net runs in its own process
(`caffe_worker.py`). Layer types that this Caffe does not have are refused before, and so are layers that run code or
open files.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from caffe_fcn import schema
from caffe_fcn.display import printable
from caffe_fcn.engines import caffe_worker
from caffe_fcn.engines.caffe_files import ReaderDialect, Written, of_forks, refuse, write_files
from caffe_fcn.engines.caffe_import import cause, failure
from caffe_fcn.engines.expected import Sizes, as_caffe_makes_it, counted
from caffe_fcn.engines.protocol import Array, Dims, ShapedNet, checked_inputs, described
from caffe_fcn.engines.worker import EndedError, Worker
from caffe_fcn.errors import EngineError, ExtraError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.graph import Node
from caffe_fcn.onnx.scope import Scope, choose_scope
from caffe_fcn.wording import Option, advise

_DIALECT = ReaderDialect(
    ("float32", "float64"), ("round_mode", schema.enum_number("PoolingParameter", "RoundMode", "FLOOR"))
)
_LOGGING = {"GLOG_logtostderr": "1", "GLOG_minloglevel": "0"}
"""Log to stderr of the process, not to files."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LONG = 300

_INSTEAD = Option("engine", "onnxruntime")
_FATAL = re.compile(r"^F\d{4,8} [\d:.]+ +\d+ ([^\]]+)\] (.*)$")
"""A line by which glog ends a program: the place and the reason."""
_NO_REASON = re.compile(r"^(\s*@ |\*\*\*|\s*$|I\d{4,8} )")
"""A line of the stack after it, or of information only."""
_CREATED = re.compile(r"^I.*\] Creating Layer (.*)$")
_BUILT = re.compile(r"^I.*\] Network initialization done")


class PyCaffe:
    """The engine. THREADS is the number of threads of Caffe's BLAS; None for its default."""

    name = "caffe"

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads
        self._ready: _Caffe | None = None

    def check(self) -> None:
        """Raise ExtraError with the reason if Caffe cannot be imported."""
        self._ready = self._ready or _Caffe(self.threads)

    def load(self, net: ShapedNet, weights: WeightFile, *, outputs: Sequence[str] = ()) -> PyCaffeSession:
        """Load NET with WEIGHTS. Raises EngineError for layers that this Caffe does not have and for a net on which
        Caffe aborts, ExtraError if there is no Caffe."""
        self.check()
        caffe, scope = self._ready, choose_scope(net.graph, net.shapes, outputs)
        assert caffe is not None, "check() has made it"
        known = caffe.types

        def unknown(node: Node, scope: Scope) -> str | None:
            return "this layer type is not in this Caffe" if known is not None and node.type not in known else None

        refuse("this Caffe", scope, (_foreign_code, unknown, of_forks(_DIALECT)))
        self._ready = None
        with tempfile.TemporaryDirectory(prefix="caffe-fcn-") as directory:
            written = write_files(scope, weights, directory, _DIALECT)
            try:
                caffe.call({"call": "load", "net": written.net, "weights": written.weights})
            except EndedError as error:
                raise _ended(scope, "loaded the net", error, _at_work(scope, written, error.log)) from error
            except _CaffeError as error:
                raise EngineError(f"Caffe cannot load the net: {error}", source=scope.graph.source) from error
        return PyCaffeSession(scope, written, caffe)


def _foreign_code(node: Node, scope: Scope) -> str | None:
    return "it would run Python code named in the net" if node.type == "Python" else None


class PyCaffeSession:
    """A net that Caffe has loaded."""

    def __init__(self, scope: Scope, written: Written, caffe: _Caffe) -> None:
        self._scope, self._written, self._caffe = scope, written, caffe
        self._sizes = Sizes(scope)
        self._counted = counted(scope.graph)

    def __repr__(self) -> str:
        return described(self, "Caffe")

    @property
    def inputs(self) -> Mapping[str, Dims]:
        """The shapes of the inputs, by name; None for an axis of any length."""
        return self._sizes.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return tuple(blob.name for blob in self._scope.outputs)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs for INPUTS. Raises EngineError or ShapeError for inputs that the net does not accept,
        EngineError if Caffe aborts."""
        arrays = checked_inputs(self.inputs, inputs)
        expected = self._sizes.outputs(arrays)
        names = self._written.blobs
        fed = [(names[blob], arrays[blob.name]) for blob in self._scope.inputs]
        try:
            made = self._caffe.call({"call": "run", "outputs": [names[blob] for blob in expected]}, fed)
        except EndedError as error:
            raise _ended(self._scope, "ran the net", error) from error
        except _CaffeError as error:
            raise EngineError(f"Caffe cannot run the net: {error}", source=self._scope.graph.source) from error
        return {
            blob.name: as_caffe_makes_it("Caffe", blob, made[names[blob]], shape, self._counted.get(blob))
            for blob, shape in expected.items()
        }


# ---- The process ----


class _CaffeError(Exception):
    """An exception of pycaffe."""


class _Caffe:
    """A process that has imported Caffe. TYPES: the layer types that it has; None if it does not report them."""

    def __init__(self, threads: int | None) -> None:
        few = dict.fromkeys(_THREADS, str(threads)) if threads else {}
        self._worker = Worker(caffe_worker.__file__, {**_LOGGING, **few})
        try:
            reply, _ = self._worker.call({"call": "import", "path": [str(each) for each in sys.path]})
        except EndedError as error:
            last = _last(error.log)
            reason = f"importing Caffe's Python module ended the process, {error.how}{last and f' ({last})'}"
            way = advise("check that it was built for this Python and this NumPy, or use ", _INSTEAD)
            raise ExtraError(reason, hint=way) from error
        if "failure" in reply:
            self._worker.close()
            raise ExtraError(cause(failure(reply["failure"])))
        self.types = None if reply["types"] is None else frozenset(reply["types"])

    def call(self, message: Mapping[str, Any], arrays: Sequence[tuple[str, Array]] = ()) -> dict[str, Array]:
        """Return the arrays of the reply to MESSAGE and ARRAYS. Raises EndedError, or _CaffeError for an exception."""
        reply, made = self._worker.call(message, arrays)
        if "error" in reply:
            raise _CaffeError(printable(reply["error"], _LONG))
        return made


def _ended(scope: Scope, what: str, error: EndedError, place: str = "") -> EngineError:
    """Return the error that Caffe aborted while it did WHAT with the net in SCOPE, at the layer PLACE if known."""
    last = _last(error.log)
    told = f"{place}Caffe aborted while it {what}, {error.how}{last and f': {last}'}"
    return EngineError(told, source=scope.graph.source, hint=advise("use ", _INSTEAD))


def _last(log: Sequence[str]) -> str:
    """Return the last meaningful line of LOG: the reason that glog gives, if any."""
    fatal = [found for line in log if (found := _FATAL.match(line))]
    if fatal:
        return printable(f"{os.path.basename(fatal[-1][1])}: {fatal[-1][2]}", _LONG)
    return printable(next((line.strip() for line in reversed(log) if not _NO_REASON.match(line)), ""), _LONG)


def _at_work(scope: Scope, written: Written, log: Sequence[str]) -> str:
    """Return the layer in SCOPE, as in WRITTEN, that Caffe was building by its LOG; "" if there is none."""
    name = None
    for line in log:
        if found := _CREATED.match(line):
            name = found[1]
        elif _BUILT.match(line):
            name = None
    for node in scope.graph.nodes:
        if node.tops and written.blobs.get(node.tops[0]) == name:
            return f'"{printable(node.name)}" ({printable(node.type)}): '
    return ""
