"""Proves a new net before its files get their names, and reports the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from caffe_fcn.engines.options import EngineOptions
from caffe_fcn.engines.registry import ENGINES, engine
from caffe_fcn.errors import VerificationError
from caffe_fcn.files import prototxt
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.reading import reading
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.opening import NetAndWeights
from caffe_fcn.model.passing import Result
from caffe_fcn.net.options import Selection
from caffe_fcn.net.source import SourceNet, interpret
from caffe_fcn.report.verify import lines, proofs, summary
from caffe_fcn.verify.records import Status, Verification
from caffe_fcn.verify.settings import VerifySettings
from caffe_fcn.verify.verify import verify
from caffe_fcn.wording import Option, advise

if TYPE_CHECKING:
    from caffe_fcn.engines.protocol import Engine


class Verifier:
    """Proves that the new net and weights, to be written to NAMES, match SOURCE and its WEIGHTS, on the engine RUN_BY.

    Raises ExtraError at once if the engine is not installed.
    """

    def __init__(
        self, source: SourceNet, weights: WeightFile, names: tuple[str, str], selection: Selection, run_by: str
    ) -> None:
        self._original = NetAndWeights(source, weights)
        self._names, self._selection = names, selection
        self._engine: Engine = engine(EngineOptions(engine=run_by))
        self.found: Verification | None = None
        self.results: Sequence[Result] = ()
        """The results of the passes; they have the claim."""

    def check(self, net: str, weights: str) -> None:
        """Verify the files NET and WEIGHTS. Raises VerificationError if a proof fails, or cannot be carried out."""
        with reading(net, self._names[0]) as file:
            twin = interpret(prototxt.parse(file.read(), self._names[0]))
        with open_weights(weights, self._names[1]) as opened:
            options = VerifySettings(engine=self._engine)
            self.found = verify(self._original, NetAndWeights(twin, opened), self._selection, options, self.results)
        what = "as its passes should make it" if self.found.new_function else "equivalent to the original"
        if Status.FAILS in self.found.statuses.values():
            default = next(iter(ENGINES))
            ours = self.found.engine in ("", default)
            way = advise("this is a defect of caffe-fcn")
            if not ours:
                way = advise("if it fails with ", Option("engine", default), " too")
            raise VerificationError(
                f"the new net is not {what}: {summary(self.found)}; nothing was written",
                source=self._names[0],
                hint=advise(way, ", please report it with the prototxt"),
            )
        if not self.found.holds:
            raise VerificationError(
                f"the new net is not shown to be {what}: {summary(self.found)}; nothing was written",
                source=self._names[0],
                hint=advise("leave ", Option("verify"), " out to write it without the proof"),
            )

    @property
    def lines(self) -> Sequence[str]:
        """Return the report for people."""
        return tuple(lines(self.found)) if self.found else ()

    @property
    def document(self) -> dict[str, Any] | None:
        """Return the JSON document."""
        return proofs(self.found) if self.found else None
