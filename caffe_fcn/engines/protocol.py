"""The protocol of engines: an engine loads a net with its weights and returns a session; the session runs it on
arrays.

Blobs have the names and shapes of Caffe in every engine. An engine refuses what it would compute wrongly when it loads
a net, and a session refuses inputs that the net does not accept before it runs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from caffe_fcn.errors import EngineError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.graph import Graph
from caffe_fcn.net.shapes import Shapes

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"
Dims: TypeAlias = tuple["int | None", ...]
"""The extents of an input, N×C×spatial axes; None if any extent is accepted."""


class ShapedNet(NamedTuple):
    """A net to be run: its graph in one phase, and the shapes of its blobs at the nominal size."""

    graph: Graph
    shapes: Shapes


class Session(Protocol):
    """A net that is loaded into an engine and can run any number of times."""

    @property
    def inputs(self) -> Mapping[str, Dims]:
        """The shapes of the inputs, by name."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs for INPUTS, both by name and in float32. Raises EngineError or ShapeError for wrong
        inputs."""


class Engine(Protocol):
    """A way to run nets."""

    name: str

    def load(self, net: ShapedNet, weights: WeightFile, *, outputs: Sequence[str] = ()) -> Session:
        """Load NET with WEIGHTS and return a session. OUTPUTS names the blobs to be returned; empty for the net's own
        outputs.

        Raises CaffeFcnError for a net that the engine cannot run, or would not run as Caffe does.
        """


def described(session: Session, engine: str) -> str:
    """Return a line that describes SESSION of ENGINE."""
    fed, made = (", ".join(map(repr, names)) or "nothing" for names in (session.inputs, session.outputs))
    return f"<Session of {engine}: {fed} → {made}>"


def temporary_copy(weights: WeightFile) -> str:
    """Return the name in messages of the file into which WEIGHTS are copied for an engine."""
    return f"a temporary copy of {weights.path} in {tempfile.gettempdir()} (set TMPDIR to choose another place)"


def checked_inputs(expected: Mapping[str, Dims], given: Mapping[str, Array]) -> dict[str, Array]:
    """Return GIVEN as contiguous arrays of float32, checked against the inputs that a session expects. Raises
    EngineError."""
    import numpy as np

    if not isinstance(given, Mapping):
        name = next(iter(expected), "data")
        raise TypeError(f"run: expected arrays by name, such as {{{name!r}: array}}, found a {type(given).__name__}")
    unknown = [name for name in given if name not in expected]
    missing = [name for name in expected if name not in given]
    if unknown or missing:
        wanted, found = (", ".join(map(repr, names)) or "none" for names in (expected, given))
        raise EngineError(expected=f"the inputs {wanted}", found=str(found))
    arrays: dict[str, Array] = {}
    for name, dims in expected.items():
        try:
            array = np.asarray(given[name], dtype=np.float32, order="C")
        except (TypeError, ValueError) as error:
            raise EngineError(
                place=f"input {name!r}", expected="an array of numbers", found=f"none: {error}"
            ) from error
        if not _fits(array.shape, dims):
            shown = "×".join("any" if extent is None else str(extent) for extent in dims)
            found = "×".join(map(str, array.shape)) or "a scalar"
            raise EngineError(
                place=f"input {name!r}",
                expected=str(shown),
                found=str(found),
                hint="resize it, or load the net for this shape",
            )
        arrays[name] = array
    return arrays


def _fits(shape: tuple[int, ...], dims: Dims) -> bool:
    """Return whether an input of SHAPE fits DIMS."""
    return len(shape) == len(dims) and all(want in (None, size) for size, want in zip(shape, dims, strict=True))
