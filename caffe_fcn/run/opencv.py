"""The engine `opencv`: OpenCV 4.x and its own reader of Caffe's files.

The one idea: it is a second opinion, from people who wrote every layer anew. What it is known to get wrong without
a word is refused by name before it is loaded (`opencv_rules.py`); all else that it does not know, it says itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from caffe_fcn.errors import EngineError, ExtraError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.graph import Blob
from caffe_fcn.run.caffe_files import Sizes, Written, as_caffe_makes_it, counted, refuse, write_files
from caffe_fcn.run.engine import Array, Dims, Net, checked_inputs
from caffe_fcn.run.onnx.scope import Scope, choose_scope
from caffe_fcn.run.opencv_rules import DIALECT, RULES

_INSTALL = "pip install 'opencv-python-headless==4.*'"
_SILENT = 0
_BOX = 7
"""The numbers of a detection."""


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
        refuse("OpenCV", scope, RULES)
        if self.threads is not None:
            cv2.setNumThreads(self.threads)
        with tempfile.TemporaryDirectory(prefix="caffe-fcn-") as directory:
            written = write_files(scope, weights, directory, DIALECT)
            loaded = _call(
                scope, "does not load it", cv2, lambda: cv2.dnn.readNetFromCaffe(written.net, written.weights)
            )
        return OpenCvSession(scope, written, loaded, cv2)


class OpenCvSession:
    """A net that OpenCV has loaded."""

    def __init__(self, scope: Scope, written: Written, net: Any, cv2: Any) -> None:
        self._scope, self._written, self._net, self._cv2 = scope, written, net, cv2
        self._sizes = Sizes(scope)
        self._counted = counted(scope.graph)

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
            top = tops[layers[blob]][place]
            if self._scope.graph.producer[blob].type == "DetectionOutput":
                top = self._detections(blob, top, arrays)
            found[blob.name] = as_caffe_makes_it("OpenCV", blob, top, shape, self._counted.get(blob)).copy()
        return found

    def _detections(self, blob: Blob, rows: Array, arrays: Mapping[str, Array]) -> Array:
        """ROWS, the detections in BLOB, as Caffe has them: without the zeros behind them, by class and then by score,
        and where there are none, one row for each of the items in ARRAYS."""
        import numpy as np

        boxes = rows.reshape(-1, _BOX)
        boxes = boxes[boxes.any(axis=1)]
        if not len(boxes):
            node = self._scope.graph.producer[blob]
            scores = self._sizes.shapes(arrays).blobs[node.bottoms[1]]
            boxes = np.full((scores[0] if isinstance(scores, tuple) else 1, _BOX), -1, np.float32)
            boxes[:, 0] = np.arange(len(boxes))
        return boxes[np.lexsort((boxes[:, 1], boxes[:, 0]))].reshape(1, 1, -1, _BOX)


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
