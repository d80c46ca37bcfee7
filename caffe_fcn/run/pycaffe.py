"""The engine `caffe`: Caffe itself, through the Python module that it builds.

The one idea: it is the reference, and it is not to be trusted with a process: what displeases it, it logs, and
ends the program. So layers that it does not have are looked for beforehand, and no layer gets to it that runs code
or opens files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from caffe_fcn import schema
from caffe_fcn.errors import ExtraError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.graph import Node
from caffe_fcn.run.caffe_files import Dialect, Sizes, Written, as_caffe_makes_it, of_forks, refuse, write_files
from caffe_fcn.run.engine import Array, Dims, Net, checked_inputs
from caffe_fcn.run.onnx.scope import Scope, choose_scope

_DIALECT = Dialect(("float32", "float64"), ("round_mode", schema.enum_number("PoolingParameter", "RoundMode", "FLOOR")))


def pycaffe() -> Any:
    """The module. Raises ExtraError where it cannot be imported."""
    try:
        import caffe  # type: ignore[import-not-found]
    except ImportError as error:
        raise ExtraError(
            "running a net with Caffe needs its Python module, which comes with Caffe and not from PyPI: build it with "
            "`make pycaffe` and set PYTHONPATH to its directory python, or use --engine onnxruntime"
        ) from error
    if not hasattr(caffe, "Net"):
        raise ExtraError("the module `caffe` that is installed is not Caffe's; set PYTHONPATH to Caffe's python")
    return caffe


class PyCaffe:
    """The engine. How many THREADS there are, its BLAS decides."""

    name = "caffe"

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads

    def load(self, net: Net, weights: WeightFile, *, outputs: Sequence[str] = ()) -> PyCaffeSession:
        """NET with WEIGHTS. Raises EngineError for layers that this Caffe does not have, ExtraError where there is
        none."""
        caffe = pycaffe()
        scope = choose_scope(net.graph, net.shapes, outputs)
        known = frozenset(caffe.layer_type_list())

        def unknown(node: Node, scope: Scope) -> str | None:
            return "a type that this Caffe does not have" if node.type not in known else None

        refuse("this Caffe", scope, (_foreign_code, unknown, of_forks(_DIALECT)))
        caffe.set_mode_cpu()
        with tempfile.TemporaryDirectory(prefix="caffe-fcn-") as directory:
            written = write_files(scope, weights, directory, _DIALECT)
            loaded = caffe.Net(written.net, written.weights, caffe.TEST)
        return PyCaffeSession(scope, written, loaded)


def _foreign_code(node: Node, scope: Scope) -> str | None:
    return "it runs code that the net names" if node.type == "Python" else None


class PyCaffeSession:
    """A net that Caffe has loaded."""

    def __init__(self, scope: Scope, written: Written, net: Any) -> None:
        self._scope, self._written, self._net = scope, written, net
        self._sizes = Sizes(scope)

    @property
    def inputs(self) -> Mapping[str, Dims]:
        """What is fed, by name; None for an axis that may be of any length."""
        return self._sizes.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what comes out."""
        return tuple(blob.name for blob in self._scope.outputs)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs for INPUTS. Raises EngineError or ShapeError for inputs that the net does not take."""
        arrays = checked_inputs(self.inputs, inputs)
        expected = self._sizes.outputs(arrays)
        names = self._written.blobs
        for blob in self._scope.inputs:
            self._net.blobs[names[blob]].reshape(*arrays[blob.name].shape)
            self._net.blobs[names[blob]].data[...] = arrays[blob.name]
        self._net.reshape()
        self._net.forward()
        return {
            blob.name: as_caffe_makes_it("Caffe", blob, self._net.blobs[names[blob]].data, shape).copy()
            for blob, shape in expected.items()
        }
