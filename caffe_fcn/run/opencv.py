"""The engine `opencv`: OpenCV 4.x and its own reader of Caffe's files.

The one idea: it is a second opinion, from people who wrote every layer anew. What it is known to get wrong without
a word is refused by name before it is loaded; all else that it does not know, it says itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from caffe_fcn import schema
from caffe_fcn.errors import EngineError, ExtraError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.graph import Node
from caffe_fcn.net.shapes import Shape
from caffe_fcn.net.shapes.windows import convolution_windows, pooling_windows, rounds_down
from caffe_fcn.run.caffe_files import Dialect, Sizes, Written, as_caffe_makes_it, of_forks, refuse, write_files
from caffe_fcn.run.engine import Array, Dims, Net, checked_inputs
from caffe_fcn.run.onnx.scope import Scope, choose_scope

_INSTALL = "pip install 'opencv-python-headless==4.*'"
_SILENT = 0
_DIALECT = Dialect(("float32",), ("ceil_mode", False), frozenset({"scale_train"}))


def opencv() -> Any:
    """The package. Raises ExtraError where it is not installed, or of a version that cannot read Caffe's nets."""
    try:
        import cv2
    except ImportError as error:
        raise ExtraError(f"running a net with OpenCV needs its package: {_INSTALL}") from error
    if not hasattr(cv2.dnn, "readNetFromCaffe") or int(cv2.__version__.partition(".")[0]) > 4:
        raise ExtraError(f"OpenCV {cv2.__version__} does not read Caffe's nets any more; {_INSTALL}")
    return cv2


class OpenCv:
    """The engine. THREADS is how many work on one operation; None for as many as OpenCV takes."""

    name = "opencv"

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads

    def load(self, net: Net, weights: WeightFile, *, outputs: Sequence[str] = ()) -> OpenCvSession:
        """NET with WEIGHTS. Raises EngineError for what OpenCV would get wrong or does not know, ExtraError where it
        is not installed."""
        cv2 = opencv()
        scope = choose_scope(net.graph, net.shapes, outputs)
        refuse("OpenCV", scope, _RULES)
        if self.threads is not None:
            cv2.setNumThreads(self.threads)
        with tempfile.TemporaryDirectory(prefix="caffe-fcn-") as directory:
            written = write_files(scope, weights, directory, _DIALECT)
            loaded = _call(
                scope, "does not load it", cv2, lambda: cv2.dnn.readNetFromCaffe(written.net, written.weights)
            )
        return OpenCvSession(scope, written, loaded, cv2)


class OpenCvSession:
    """A net that OpenCV has loaded."""

    def __init__(self, scope: Scope, written: Written, net: Any, cv2: Any) -> None:
        self._scope, self._written, self._net, self._cv2 = scope, written, net, cv2
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
        names, layers = self._written.blobs, self._written.layers
        for blob in self._scope.inputs:
            self._net.setInput(arrays[blob.name], names[blob])
        asked = list(dict.fromkeys(layers[blob] for blob in expected))
        made = _call(self._scope, "does not run it", self._cv2, lambda: self._net.forwardAndRetrieve(asked))
        tops = dict(zip(asked, made, strict=True))
        found: dict[str, Array] = {}
        for blob, shape in expected.items():
            place = self._scope.graph.producer[blob].tops.index(blob)
            if place >= len(tops[layers[blob]]):
                raise EngineError(
                    f"OpenCV does not give {blob.name!r}, top {place} of its layer; use --engine onnxruntime"
                )
            found[blob.name] = as_caffe_makes_it("OpenCV", blob, tops[layers[blob]][place], shape).copy()
        return found


def _call(scope: Scope, what: str, cv2: Any, function: Any) -> Any:
    """What FUNCTION returns, with OpenCV's own error, which it would print as well, as an EngineError."""
    logging = getattr(getattr(cv2, "utils", None), "logging", None)
    before = logging.setLogLevel(_SILENT) if logging else None
    try:
        return function()
    except (cv2.error, SystemError) as error:
        told = " ".join(str(getattr(error, "err", "") or error).split())
        raise EngineError(f"{scope.graph.source}: OpenCV {what}: {told}; use --engine onnxruntime") from error
    finally:
        if logging:
            logging.setLogLevel(before)


# ---- What OpenCV gets wrong without a word ----


_ALL_BUT_DEFAULT: tuple[tuple[str, str, str], ...] = (
    ("InnerProduct", "inner_product_param", "transpose"),
    ("LRN", "lrn_param", "k"),
    ("Log", "log_param", "base"),
    ("Log", "log_param", "scale"),
    ("Log", "log_param", "shift"),
    ("MVN", "mvn_param", "eps"),
    ("Swish", "swish_param", "beta"),
)
"""Fields that it does not look at, so that only their defaults are safe: type of the layer, message, field."""


def _ignored(node: Node, scope: Scope) -> str | None:
    found = []
    for kind, message, field in _ALL_BUT_DEFAULT:
        param = getattr(node.layer, message)
        if node.type == kind and getattr(param, field) != param.DESCRIPTOR.fields_by_name[field].default_value:
            found.append(f"{message}.{field}, which it ignores")
    return ", ".join(found) or None


def _stochastic(node: Node, scope: Scope) -> str | None:
    method = schema.enum_number("PoolingParameter", "PoolMethod", "STOCHASTIC")
    stochastic = node.type == "Pooling" and node.layer.pooling_param.pool == method
    return "stochastic pooling, which it does at random" if stochastic else None


def _of_one(node: Node, scope: Scope) -> str | None:
    """What it does not expect: a single axis, of which it makes two, or a single bottom."""
    if node.type == "Softmax" and len(_extents(node, scope)) == 1:
        return "a blob of one axis, which it takes for a column"
    return "a single bottom, which it does not copy" if node.type == "Concat" and len(node.bottoms) == 1 else None


def _scaled_elsewhere(node: Node, scope: Scope) -> str | None:
    if node.type != "Scale":
        return None
    if node.layer.scale_param.axis < 0:
        return "scale_param.axis counted from the back, which it does not do"
    second = len(node.bottoms) > 1 and node.layer.scale_param.bias_term
    return "scale_param.bias_term with two bottoms, of which it takes the second for the bias" if second else None


def _window_outside(node: Node, scope: Scope) -> str | None:
    """At one size or another; that is not looked at, since a net is loaded for all."""
    extents = _extents(node, scope)
    if node.type != "Pooling" or rounds_down(node.layer) or node.layer.pooling_param.global_pooling or not extents:
        return None
    windows = pooling_windows(node.layer, extents[2:])
    jumps = any(stride > kernel for stride, kernel in zip(windows.stride, windows.kernel, strict=True))
    outside = jumps and not any(windows.before + windows.after)
    return "a window may lie outside the map, and of nothing it takes 0 for the maximum" if outside else None


def _writes_past_the_end(node: Node, scope: Scope) -> str | None:
    """With one tap it forgets that padding takes something away from the map, and has no room for what it writes."""
    extents = _extents(node, scope)
    if node.type != "Deconvolution" or len(extents) < 3:
        return None
    windows = convolution_windows(node.layer, len(extents) - 2)
    single = {*windows.kernel, *windows.stride} == {1} and any(windows.before + windows.after)
    return "padding of a kernel of 1, which it forgets" if single else None


def _extents(node: Node, scope: Scope) -> Shape:
    shape = scope.shapes.blobs[node.bottoms[0]]
    return shape if isinstance(shape, tuple) else ()


_RULES = (of_forks(_DIALECT), _ignored, _stochastic, _of_one, _scaled_elsewhere, _window_outside, _writes_past_the_end)
