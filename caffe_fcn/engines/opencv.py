"""The engine `opencv`: OpenCV 4.x with its own reader of Caffe files.

It is an independent implementation of every layer. Layers that it computes wrongly without an error are refused by name
before the net is loaded (`opencv_rules.py`). It reports other unsupported layers itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from caffe_fcn.display import printable
from caffe_fcn.engines.caffe_files import Written, refuse, write_files
from caffe_fcn.engines.expected import Sizes, as_caffe_makes_it, counted
from caffe_fcn.engines.opencv_rules import DIALECT, RULES
from caffe_fcn.engines.protocol import Array, Dims, ShapedNet, checked_inputs, described
from caffe_fcn.errors import EngineError, ExtraError, missing
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.graph import Blob
from caffe_fcn.onnx.scope import Scope, choose_scope
from caffe_fcn.wording import Option, advise

_INSTALL = "pip install 'opencv-python-headless==4.*'"
_SILENT = 0
_BOX = 7
"""The numbers of a detection."""


def opencv() -> Any:
    """Return the cv2 module. Raises ExtraError if it is not installed, or its version cannot read Caffe's nets."""
    try:
        import cv2
    except Exception as error:
        raise missing(error, "cv2", f"running a net with OpenCV needs its package: {_INSTALL}") from error
    if not hasattr(cv2.dnn, "readNetFromCaffe") or int(cv2.__version__.partition(".")[0]) > 4:
        raise ExtraError(f"OpenCV {cv2.__version__} no longer reads Caffe nets; {_INSTALL}")
    return cv2


class OpenCv:
    """The engine. THREADS is the number of threads for one operation; None for OpenCV's default."""

    name = "opencv"

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads

    def load(self, net: ShapedNet, weights: WeightFile, *, outputs: Sequence[str] = ()) -> OpenCvSession:
        """Load NET with WEIGHTS. Raises EngineError for layers that OpenCV computes wrongly or does not support,
        ExtraError if it is not installed."""
        cv2 = opencv()
        scope = choose_scope(net.graph, net.shapes, outputs)
        refuse("OpenCV", scope, RULES)
        if self.threads is not None:
            cv2.setNumThreads(self.threads)
        with tempfile.TemporaryDirectory(prefix="caffe-fcn-") as directory:
            written = write_files(scope, weights, directory, DIALECT)
            loaded = _call(
                scope, "cannot load the net", cv2, lambda: cv2.dnn.readNetFromCaffe(written.net, written.weights)
            )
            _check_layers(scope, written, cv2, loaded)
        return OpenCvSession(scope, written, loaded, cv2)


class OpenCvSession:
    """A net that OpenCV has loaded."""

    def __init__(self, scope: Scope, written: Written, net: Any, cv2: Any) -> None:
        self._scope, self._written, self._net, self._cv2 = scope, written, net, cv2
        self._sizes = Sizes(scope)
        self._counted = counted(scope.graph)

    def __repr__(self) -> str:
        return described(self, "OpenCV")

    @property
    def inputs(self) -> Mapping[str, Dims]:
        """The shapes of the inputs, by name; None for an axis of any length."""
        return self._sizes.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return tuple(blob.name for blob in self._scope.outputs)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs for INPUTS. Raises EngineError or ShapeError for inputs that the net does not accept."""
        arrays = checked_inputs(self.inputs, inputs)
        expected = self._sizes.outputs(arrays)
        names, layers = self._written.blobs, self._written.layers
        asked = list(dict.fromkeys(layers[blob] for blob in expected))

        def forward() -> Any:
            for blob in self._scope.inputs:
                self._net.setInput(arrays[blob.name], names[blob])
            return self._net.forwardAndRetrieve(asked)

        made = _call(self._scope, "cannot run the net", self._cv2, forward)
        tops = dict(zip(asked, made, strict=True))
        found: dict[str, Array] = {}
        for blob, shape in expected.items():
            place = self._scope.graph.producer[blob].tops.index(blob)
            if place >= len(tops[layers[blob]]):
                raise EngineError(
                    f"OpenCV does not return {blob.name!r}, top {place} of its layer",
                    hint=advise("use ", Option("engine", "onnxruntime")),
                )
            top = tops[layers[blob]][place]
            if self._scope.graph.producer[blob].type == "DetectionOutput":
                top = self._detections(blob, top, arrays)
            found[blob.name] = as_caffe_makes_it("OpenCV", blob, top, shape, self._counted.get(blob)).copy()
        return found

    def _detections(self, blob: Blob, rows: Array, arrays: Mapping[str, Array]) -> Array:
        """Return ROWS, the detections in BLOB, as Caffe gives them: without the zeros after them, by class and then by
        score; if there are no detections, one row for each item in ARRAYS."""
        import numpy as np

        boxes = rows.reshape(-1, _BOX)
        boxes = boxes[boxes.any(axis=1)]
        if not len(boxes):
            node = self._scope.graph.producer[blob]
            scores = self._sizes.shapes(arrays).blobs[node.bottoms[1]]
            boxes = np.full((scores[0] if isinstance(scores, tuple) else 1, _BOX), -1, np.float32)
            boxes[:, 0] = np.arange(len(boxes))
        return boxes[np.lexsort((boxes[:, 1], boxes[:, 0]))].reshape(1, 1, -1, _BOX)


def _call(scope: Scope, what: str, cv2: Any, function: Callable[[], Any]) -> Any:
    """Return the result of FUNCTION. Raises EngineError if OpenCV fails to do WHAT."""
    made, told = _tried(cv2, function)
    if told is not None:
        raise EngineError(
            f"OpenCV {what}: {told}", source=scope.graph.source, hint=advise("use ", Option("engine", "onnxruntime"))
        )
    return made


def _tried(cv2: Any, function: Callable[[], Any]) -> tuple[Any, str | None]:
    """Return the result of FUNCTION, or the error of OpenCV, which it would also print."""
    logging = getattr(getattr(cv2, "utils", None), "logging", None)
    before = logging.setLogLevel(_SILENT) if logging else None
    try:
        return function(), None
    except (cv2.error, SystemError, RuntimeError, ValueError, MemoryError) as error:
        return None, " ".join(str(getattr(error, "err", "") or error or type(error).__name__).split())
    finally:
        if logging:
            logging.setLogLevel(before)


def _check_layers(scope: Scope, written: Written, cv2: Any, loaded: Any) -> None:
    """Raise EngineError with the name of the first layer that OpenCV cannot load.

    OpenCV does not report the layer. So parts of the net in WRITTEN, each with more or fewer of its first layers, are
    loaded until the layer is found.
    """
    fed = {name: _dims(scope, blob) for blob, name in written.blobs.items() if blob in scope.inputs}
    made = [each for each in written.said if each.node is not None]

    def told(many: int, net: Any = None) -> str | None:
        """Return OpenCV's error for the first MANY layers; None if there is none."""
        first = made[:many]
        read = {name for each in first for name in each.reads}
        inputs = [each for each in written.said if each.node is None and read.intersection(each.makes)]
        path = f"{written.net}.part"

        def shapes() -> Any:
            part = net
            if part is None:
                with open(path, "w", encoding="utf-8") as file:
                    file.writelines(each.text for each in (*inputs, *first))
                part = cv2.dnn.readNetFromCaffe(path, written.weights)
            return part.getLayersShapes([fed[each.makes[0]] for each in inputs])

        return _tried(cv2, shapes)[1]

    if not fed or told(len(made), loaded) is None:  # without inputs OpenCV would end the process
        return
    good, bad = 0, len(made)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if told(middle) is None else (good, middle)
    reason, node = told(bad), made[bad - 1].node
    if reason is not None and node is not None:
        place = f'"{printable(node.name)}" ({printable(node.type)})'
        raise EngineError(
            f"OpenCV cannot run the net: {place}: {reason}",
            source=scope.graph.source,
            hint=advise("use ", Option("engine", "onnxruntime")),
        )


def _dims(scope: Scope, blob: Blob) -> list[int]:
    shape = scope.shapes.blobs[blob]
    return list(shape) if isinstance(shape, tuple) else []
