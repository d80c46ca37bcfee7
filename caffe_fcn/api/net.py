"""The library: `Net`, a net with its weights and all operations on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.benchmark import Benchmark, time_on
from caffe_fcn.api.export import Export, write_onnx
from caffe_fcn.api.files import open_files, output_names, temporary_copy
from caffe_fcn.api.options import conversion_of, engine_of, preparation_of, reduction_of, running_of, several
from caffe_fcn.api.run import Prediction, Predictor, predictor
from caffe_fcn.api.shapes import NetShapes
from caffe_fcn.api.verify import verify_settings
from caffe_fcn.engines.nets import one_net
from caffe_fcn.engines.options import DEFAULT_ENGINE, EngineOptions
from caffe_fcn.engines.protocol import Array, Session
from caffe_fcn.engines.registry import engine as engine_called
from caffe_fcn.errors import SurgeryError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.options import WriteOptions
from caffe_fcn.model.changes import Change, LeftAlone
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Result
from caffe_fcn.model.writing import write_model
from caffe_fcn.onnx.finite import check_finite
from caffe_fcn.passes.conversion import plan_model, settings_of
from caffe_fcn.passes.convolutionalize.changes import ToConvolution
from caffe_fcn.passes.folding import folding
from caffe_fcn.passes.options import ConvertOptions
from caffe_fcn.passes.planning import Plan, planned_for
from caffe_fcn.passes.reduce.options import ReduceOptions
from caffe_fcn.predict.options import ExportOptions, PreparationOptions, RunOptions
from caffe_fcn.report.convert import document
from caffe_fcn.report.fold import document as fold_document
from caffe_fcn.report.reduce import document as reduce_document
from caffe_fcn.verify.options import VerifyOptions
from caffe_fcn.verify.records import Verification
from caffe_fcn.verify.verify import NetAndWeights
from caffe_fcn.verify.verify import verify as prove

if TYPE_CHECKING:
    from PIL.Image import Image


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
        self, model: Model, plan: Plan | None = None, report: Callable[..., dict[str, Any]] = document
    ) -> None:
        self.model, self._plan, self._report = model, plan, report
        self._written: NetAndWeights | None = None
        self._predictor: tuple[object, Predictor] | None = None

    def __repr__(self) -> str:
        told = repr(self.model).removeprefix("<Model ").removesuffix(">")
        changed = {change.layer for change in self.changes if change.kind}
        return f"<Net {told}{f'; {len(changed)} changed' if self._plan else ''}>"

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

    def diff(self, new_name: str) -> str:
        """The change of the prototxt as a unified diff. NEW_NAME is the name of the new file in it."""
        return self.model.source.diff(self.model.text_edits, new_name)

    def report(self) -> dict[str, Any]:
        """The report of the pass, as the command prints it with `--json --dry-run`. Raises SurgeryError if no pass made
        this net."""
        nowhere: dict[str, str | None] = {"net": None, "weights": None}
        if self._plan is None:
            raise SurgeryError(
                source=self.name, expected="a net made by convolutionalize, fold or the like", found="another one"
            )
        return self._report(self._plan, nowhere, dry_run=True)

    # ---- What can be made of it ----

    @checked(ConvertOptions)
    def convolutionalize(
        self,
        *,
        input_size: int | Sequence[int] | None = ConvertOptions.input_size,
        suffix: str = ConvertOptions.suffix,
        rename: str | Sequence[str] = ConvertOptions.rename,
        only: str | Sequence[str] = ConvertOptions.only,
        skip: str | Sequence[str] = ConvertOptions.skip,
        global_pooling: Literal["window", "keep"] = ConvertOptions.global_pooling,
        strict: bool = ConvertOptions.strict,
    ) -> Net:
        """Return the fully convolutional net, with its weights. Nothing is written.

        Every InnerProduct over C×H×W becomes a Convolution with the kernel H×W and the same parameters. On the same
        input, the new net gives the same output; on a larger input, one output for each window. Raises SurgeryError,
        ShapeError or NetError, with the name of the layer, if the net cannot be converted.
        """
        asked = conversion_of(
            input_size=input_size,
            suffix=suffix,
            rename=rename,
            only=only,
            skip=skip,
            global_pooling=global_pooling,
            strict=strict,
        )
        plan = plan_model(self.model, settings_of(asked, self.model.selection))
        return Net(plan.model, plan)

    @checked()
    def fold(self) -> Net:
        """Return the net with BatchNorm, Scale, Bias and affine Power layers folded into the weights before them, and
        without Dropout and Split layers. Nothing is written.

        The new net gives the same output, within rounding, in less time and memory. If a phase was given to `open`, the
        layers of other phases are left out. Raises SurgeryError if none was given and the file has several phases.
        """
        return self._made(folding, fold_document)

    @checked(ReduceOptions)
    def reduce(
        self,
        layers: Mapping[str, int | str],
        *,
        dilation: Mapping[str, int] | None = ReduceOptions.dilation,
        suffix: str = ReduceOptions.suffix,
        cut_outputs: bool = ReduceOptions.cut_outputs,
    ) -> Net:
        """Return the net with fewer filters in LAYERS: the number of filters to keep by the name of the layer, or a
        text such as "1024:3x3", which also says how many taps of the kernel to keep. Nothing is written.

        Every n-th filter is kept, from the first on, with its bias, and taps that are evenly spaced; the layers behind
        keep the inputs that belong to them. An InnerProduct that loses taps becomes a Convolution first, and with it
        all others. The new net computes another function. Raises SurgeryError, with the name of the layer, if the net
        cannot be reduced; ValueError for numbers that are none.
        """
        return self._made(reduction_of(layers, dilation, suffix, cut_outputs=cut_outputs).passes, reduce_document)

    def _made(self, passes: Callable[[Model], Iterable[Result]], report: Callable[..., dict[str, Any]]) -> Net:
        """What PASSES make of the net, one after the other, of which REPORT tells."""
        plan = planned_for(self.model, passes)
        return Net(plan.model, plan, report)

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
        for a name with the wrong ending.
        """
        paths = output_names(self.model, output, output_weights, force=force)
        write_model(self.model, *paths, force=force)

    @checked(ExportOptions, PreparationOptions, WriteOptions)
    def export(
        self,
        output: str | os.PathLike[str],
        *,
        blobs: str | Sequence[str] = ExportOptions.blobs,
        fixed: bool = ExportOptions.fixed,
        external_data: bool = ExportOptions.external_data,
        expand_lrn: bool = ExportOptions.expand_lrn,
        mean: float | Sequence[float] | str | os.PathLike[str] | None = PreparationOptions.mean,
        scale: float | None = PreparationOptions.scale,
        swap_channels: bool = PreparationOptions.swap_channels,
        labels: str | os.PathLike[str] | None = ExportOptions.labels,
        force: bool = WriteOptions.force,
    ) -> Export:
        """Export the net to OUTPUT as ONNX.

        Blobs keep their names. The batch size is free if every output has a batch axis. The input size H×W is free if
        the net accepts any size. Losses are left out, and data layers become inputs. The mean, the scale, the order of
        the channels and the names of the classes are written as metadata; the model does not apply them.

        Raises LoweringError, with all layers that the ONNX exporter does not support; WeightsError if the weights
        contain NaN; PictureError for a mean or labels that do not fit the net; ExtraError if the package onnx is not
        installed; OutputError if a file cannot be written; ValueError for a name with the wrong ending.
        """
        asked = ExportOptions(several(blobs), fixed, external_data, expand_lrn, labels)
        prepared = preparation_of(mean, scale, swap_channels)
        return write_onnx(self._runnable(), self.model.selection, output, asked, prepared, force=force)

    # ---- What can be done with it ----

    @checked(VerifyOptions, EngineOptions)
    def verify(
        self,
        original: Net | str | os.PathLike[str],
        original_weights: str | os.PathLike[str] | None = None,
        *,
        proofs: str | Sequence[str] = VerifyOptions.proofs,
        samples: int = VerifyOptions.samples,
        windows: int = VerifyOptions.windows,
        seed: int = VerifyOptions.seed,
        pictures: Sequence[Array] = VerifyOptions.pictures,
        tolerance: float | None = VerifyOptions.tolerance,
        engine: Literal["onnxruntime", "opencv", "openvino", "caffe"] = DEFAULT_ENGINE,
        threads: int | None = EngineOptions.threads,
    ) -> Verification:
        """Prove that this net is equivalent to ORIGINAL, a net or a file, as `convolutionalize` and `fold` make it.

        There are three proofs. *weights*: the weights and the fields of the layers are those of the original. *same
        size*: at the nominal input size both nets give the same answers. *dense*: on a larger input, each cell of the
        map is the answer of the original on its window. The `Verification` says which proofs hold, fail, could not be
        carried out or do not apply. Its `holds` is True if each proof holds or does not apply, and at least one holds.

        Raises CaffeFcnError if the nets cannot be compared: WeightsError if weights contain NaN, ExtraError if the
        engine is needed and not installed.
        """
        settings = verify_settings(
            engine_of(engine, threads),
            proofs=proofs,
            samples=samples,
            windows=windows,
            seed=seed,
            pictures=pictures,
            tolerance=tolerance,
        )
        if isinstance(original, Net):
            if original_weights is not None:
                raise TypeError("verify: original_weights: expected none, because the original is a net that has them")
            return prove(original._runnable(), self._runnable(), self.model.selection, settings)
        with Net(open_files(original, original_weights, self.model.selection)) as other:
            return prove(other._runnable(), self._runnable(), self.model.selection, settings)

    @checked(RunOptions, PreparationOptions, EngineOptions)
    def run(
        self,
        picture: str | os.PathLike[str] | Array | Image,
        *,
        mean: float | Sequence[float] | str | os.PathLike[str] | None = PreparationOptions.mean,
        scale: float | None = PreparationOptions.scale,
        swap_channels: bool = PreparationOptions.swap_channels,
        resize: tuple[int, int] | int | Literal["net"] | None = RunOptions.resize,
        crop: Literal["none", "center", "ten"] | None = RunOptions.crop,
        scales: Sequence[float] = RunOptions.scales,
        labels: str | os.PathLike[str] | None = RunOptions.labels,
        blobs: str | Sequence[str] = RunOptions.blobs,
        stride: tuple[int, int] | int | None = RunOptions.stride,
        tile: int | None = RunOptions.tile,
        max_pixels: int = RunOptions.max_pixels,
        engine: Literal["onnxruntime", "opencv", "openvino", "caffe"] = DEFAULT_ENGINE,
        threads: int | None = EngineOptions.threads,
        low_memory: bool = EngineOptions.low_memory,
        gpu: bool = EngineOptions.gpu,
    ) -> Prediction:
        """Run the net on PICTURE: a file, a pillow image, or an array H×W or H×W×C with values from 0 to 255 and
        channels in the order RGB.

        The net stays loaded for the next picture with the same options. Raises LoweringError or EngineError if the
        engine cannot run the net, or the net takes no pictures; WeightsError if weights contain NaN; PictureError if
        PICTURE is not a picture, or if picture, mean or labels do not fit the net; ExtraError if the engine is not
        installed; OSError if a file cannot be read.
        """
        prepared = preparation_of(mean, scale, swap_channels)
        looking = running_of(
            resize=resize,
            crop=crop,
            scales=scales,
            labels=labels,
            blobs=blobs,
            stride=stride,
            tile=tile,
            max_pixels=max_pixels,
        )
        use = engine_of(engine, threads, low_memory=low_memory, gpu=gpu)
        return self._predict_by(use, prepared, looking)(picture)

    def _predict_by(self, use: EngineOptions, prepared: PreparationOptions, looking: RunOptions) -> Predictor:
        """The net loaded with these options, kept until others are asked for."""
        if self._predictor is None or self._predictor[0] != (use, prepared, looking):
            made = predictor(self._runnable(), self.model.selection, use, prepared, looking)
            self._predictor = (use, prepared, looking), made
        return self._predictor[1]

    @checked(RunOptions, PreparationOptions, EngineOptions)
    def benchmark(
        self,
        picture: str | os.PathLike[str] | Array | Image,
        *,
        mean: float | Sequence[float] | str | os.PathLike[str] | None = PreparationOptions.mean,
        scale: float | None = PreparationOptions.scale,
        swap_channels: bool = PreparationOptions.swap_channels,
        resize: tuple[int, int] | int | Literal["net"] | None = RunOptions.resize,
        crop: Literal["none", "center", "ten"] | None = RunOptions.crop,
        scales: Sequence[float] = RunOptions.scales,
        labels: str | os.PathLike[str] | None = RunOptions.labels,
        blobs: str | Sequence[str] = RunOptions.blobs,
        stride: tuple[int, int] | int | None = RunOptions.stride,
        tile: int | None = RunOptions.tile,
        max_pixels: int = RunOptions.max_pixels,
        threads: int | None = EngineOptions.threads,
        low_memory: bool = EngineOptions.low_memory,
        gpu: bool = EngineOptions.gpu,
    ) -> Benchmark:
        """Time all engines in turn on PICTURE, and recommend one. PICTURE is as in `run`.

        Each engine runs twice to warm up; then five runs are timed. Raises what `run` raises if no engine runs the net.
        """
        prepared = preparation_of(mean, scale, swap_channels)
        looking = running_of(
            resize=resize,
            crop=crop,
            scales=scales,
            labels=labels,
            blobs=blobs,
            stride=stride,
            tile=tile,
            max_pixels=max_pixels,
        )
        use = engine_of(EngineOptions.engine, threads, low_memory=low_memory, gpu=gpu)
        return time_on(picture, self._runnable(), self.model.selection, use, prepared, looking)

    @checked(RunOptions, EngineOptions)
    def load(
        self,
        engine: Literal["onnxruntime", "opencv", "openvino", "caffe"] = DEFAULT_ENGINE,
        threads: int | None = EngineOptions.threads,
        *,
        blobs: str | Sequence[str] = RunOptions.blobs,
        low_memory: bool = EngineOptions.low_memory,
    ) -> Session:
        """Load the net into an engine, to run it any number of times on arrays.

        `run` of the session takes the inputs by name, float arrays N×C×H×W, and returns the outputs, or the blobs
        BLOBS, by name. If the net accepts any size H×W, the size may differ from run to run. Raises LoweringError or
        EngineError if the engine cannot run the net as Caffe does; WeightsError if weights contain NaN; ExtraError if
        the engine is not installed.
        """
        chosen = engine_called(engine_of(engine, threads, low_memory=low_memory))
        files = self._runnable()
        found = one_net(files.source, files.weights, self.model.selection)
        check_finite(found.weights, found.net.graph)
        return chosen.load(found.net, found.weights, outputs=several(blobs))

    def _runnable(self) -> NetAndWeights:
        """The net and its weights as files that engines can read: those that it was opened from, or else temporary
        ones. Raises SurgeryError where there are no weights."""
        if self.weights is None:
            raise SurgeryError(
                source=self.name, expected="a net with weights", found="none", hint="give these to `caffe_fcn.open` too"
            )
        if self._plan is None:
            return NetAndWeights(self.model.source, self.weights)
        if self._written is None:
            self._written = temporary_copy(self.model, self.weights.path)
        return self._written
