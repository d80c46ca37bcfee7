"""The library: `Net`, a net with its weights and all operations on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.convolutionalize import convolutionalize
from caffe_fcn.api.deploy import deploy
from caffe_fcn.api.draw import draw
from caffe_fcn.api.export import export
from caffe_fcn.api.files import open_files, output_names
from caffe_fcn.api.fold import fold
from caffe_fcn.api.inspect import inspect
from caffe_fcn.api.load import load
from caffe_fcn.api.reduce import reduce
from caffe_fcn.api.report import save_report
from caffe_fcn.api.run import Predictor, run
from caffe_fcn.api.segment import segment
from caffe_fcn.api.shapes import NetShapes
from caffe_fcn.api.training import save_training
from caffe_fcn.api.upgrade import upgrade
from caffe_fcn.api.verify import verify
from caffe_fcn.errors import SurgeryError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.options import WriteOptions
from caffe_fcn.model.changes import Change, LeftAlone
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import NetAndWeights, NetFiles
from caffe_fcn.model.temporary import temporary_copy
from caffe_fcn.model.writing import write_model
from caffe_fcn.net.source import interpret
from caffe_fcn.passes.convolutionalize.changes import ToConvolution
from caffe_fcn.passes.planning import Plan


class Net:
    """A net, with its weights if there are any. `caffe_fcn.open` makes one; methods such as `convolutionalize` make a
    new one from it. A net never changes.

    The values stay in the file of the weights. The file is open until `close` is called, the `with` block ends, or the
    net is garbage-collected. The weights of a new net are computed when it is saved. To run or verify a net before it
    is saved, the library writes it to a temporary file, which needs as much disk space as the weights.
    """

    model: Model
    """The `Model` inside, for those who write passes."""

    def __init__(
        self, model: Model, plan: Plan | None = None, report: Callable[..., dict[str, Any]] | None = None
    ) -> None:
        self.model, self._plan, self._report = model, plan, report
        self._written: NetAndWeights | None = None
        self._predictor: tuple[object, Predictor] | None = None

    def __repr__(self) -> str:
        changed = {change.layer for change in self.changes if change.kind}
        return f"<Net {self.model.summary}{f'; {len(changed)} changed' if self._plan else ''}>"

    def __enter__(self) -> Net:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file of the weights. Sessions that are already loaded into an engine still run."""
        if self.model.weights is not None:
            self.model.weights.close()

    # ---- What it is ----

    @property
    def name(self) -> str:
        """The file that the net was read from."""
        return self.model.source.name

    @property
    def text(self) -> bytes:
        """The prototxt. Unchanged parts have the bytes of the file."""
        return bytes(self.model.document)

    @property
    def weights(self) -> WeightFile | None:
        """The weights as they were read; None if there are none."""
        return self.model.weights

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user."""
        return self._plan.notes if self._plan else self.model.notes

    @property
    def shapes(self) -> NetShapes:
        """The shapes of all blobs and parameter blobs, as Caffe infers them, in one phase, by default TEST."""
        found = self.model.shapes[self.model.phase]
        return NetShapes({blob.name: shape for blob, shape in found.blobs.items()}, self.model.params)

    # ---- How it was made ----

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes that made this net from the previous one, layer by layer."""
        return self._plan.changes if self._plan else ()

    @property
    def converted(self) -> tuple[ToConvolution, ...]:
        """The changes of InnerProducts into Convolutions, in the order of the net."""
        return tuple(change for change in self.changes if isinstance(change, ToConvolution))

    @property
    def names(self) -> Mapping[str, str]:
        """The new names of renamed layers, by old name."""
        return self._plan.new_names if self._plan else {}

    @property
    def left_alone(self) -> tuple[LeftAlone, ...]:
        """The layers that the pass left unchanged, and the reasons."""
        return self._plan.left_alone if self._plan else ()

    def text_diff(self, new_name: str) -> str:
        """The change of the prototxt as a unified diff. NEW_NAME is the name of the new file in it."""
        return self.model.source.diff(self.model.text_edits, new_name)

    def report(self) -> dict[str, Any]:
        """The report of the pass, as the command prints it with `--json --dry-run`. Raises SurgeryError if no pass made
        this net."""
        nowhere: dict[str, str | None] = {"net": None, "weights": None}
        if self._plan is None or self._report is None:
            raise SurgeryError(
                source=self.name, expected="a net made by convolutionalize, fold or the like", found="another one"
            )
        return self._report(self._plan, nowhere, dry_run=True)

    # ---- What can be done with it: a function in the module of that name, whose first argument is the net ----

    convolutionalize = convolutionalize
    deploy = deploy
    fold = fold
    segment = segment
    save_training = save_training
    save_report = save_report
    draw = draw
    reduce = reduce
    upgrade = upgrade
    inspect = inspect
    export = export
    verify = verify
    run = run
    load = load

    @checked(WriteOptions)
    def save(
        self,
        output: str | os.PathLike[str] | None = None,
        output_weights: str | os.PathLike[str] | None = None,
        *,
        force: bool = WriteOptions.force,
    ) -> None:
        """Write the prototxt to OUTPUT and the weights to OUTPUT_WEIGHTS. None leaves one out.

        Weights are written as HDF5 if the name ends in .h5, else as a caffemodel. Both files appear, complete, or
        neither does. Raises OutputError if a file cannot be written, SurgeryError if there are no weights, ValueError
        for a name with the ending of another kind of file, such as weights called x.prototxt; other endings are free.
        """
        paths = output_names(self.model, output, output_weights, force=force)
        write_model(self.model, *paths, force=force)

    def _of(self, plan: Plan, report: Callable[..., dict[str, Any]]) -> Net:
        """Return the net of PLAN, with its REPORT."""
        return Net(plan.model, plan, report)

    def _opened(self, net: str | os.PathLike[str], weights: str | os.PathLike[str] | None) -> Net:
        """Return the net in the files NET and WEIGHTS, with the selection of this one."""
        return Net(open_files(net, weights, self.model.selection))

    def _files(self) -> NetFiles:
        """Return the net and its weights, if any, as the files from which it was opened, or as temporary files."""
        if self.weights is not None:
            return NetFiles(*self._runnable())
        return NetFiles(self.model.source if self._plan is None else interpret(self.model.document), None)

    def _runnable(self) -> NetAndWeights:
        """Return the net and its weights as files that engines can read: the files from which it was opened, or
        temporary files. Raises SurgeryError if there are no weights."""
        if self.weights is None:
            raise SurgeryError(
                source=self.name, expected="a net with weights", found="none", hint="give these to `caffe_fcn.open` too"
            )
        if self._plan is None:
            return NetAndWeights(self.model.source, self.weights)
        if self._written is None:
            self._written = temporary_copy(self.model, self.weights.path)
        return self._written
