"""Writes models: under temporary names, read back and checked, and only then renamed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from caffe_fcn.errors import CaffemodelError, OutputError
from caffe_fcn.files.atomic import OutputFile, OutputFiles
from caffe_fcn.files.blobs import ITEM_SIZE
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.names import is_hdf5_name
from caffe_fcn.files.prototxt import Document
from caffe_fcn.files.reading import reading
from caffe_fcn.files.rewrite import write
from caffe_fcn.files.stdout import STDOUT, stdout, to_stdout
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.entries import Held, with_current_shapes
from caffe_fcn.model.model import Model
from caffe_fcn.net.shapes import Shape

Progress: TypeAlias = Callable[[int], None] | None
"""Called with the number of bytes written so far."""

Check: TypeAlias = Callable[[str, str], None] | None
"""Called with the temporary files of the new net and its weights. If it raises an error, no file is written."""


def beside(path: str, suffix: str, ending: str) -> str:
    """The default name of an output: the name of the input PATH with ENDING and SUFFIX; HDF5 stays HDF5."""
    stem, own = os.path.splitext(path)
    if is_hdf5_name(path) and suffix != ".prototxt":
        stem, kind = os.path.splitext(stem) if stem.endswith(suffix) else (stem, "")
        suffix = kind + own
    return f"{stem}{ending}{suffix}"


class WeightsOutput(NamedTuple):
    """Weights to be written: the LAYERS, made from those of the file WEIGHTS, and the HEAD, the bytes before them, if
    these change. TYPES and PARAMS: the types of the net's layers and the shapes of their blobs, by name; HDF5 needs
    them, because its blobs have current shapes only."""

    weights: WeightFile
    layers: tuple[Held, ...]
    head: bytes | None = None
    types: Mapping[str, str] = MappingProxyType({})
    params: Mapping[str, Sequence[Shape]] = MappingProxyType({})

    def layers_for(self, name: str) -> tuple[Held, ...]:
        """The layers, as a file with this NAME needs them."""
        return with_current_shapes(self.layers, self.types, self.params) if is_hdf5_name(name) else self.layers


def write_model(
    model: Model,
    text_path: str | None,
    weights_path: str | None,
    *,
    force: bool = False,
    progress: Progress = None,
    check: Check = None,
    others: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Write MODEL to TEXT_PATH and WEIGHTS_PATH: "-" is stdout, None leaves one out. OTHERS are texts that belong to
    it, by path. Either all files are written or none; stdout is written last, because it cannot be undone. If net and
    weights are files, CHECK is called before."""
    weights = None
    if model.weights is not None:
        weights = WeightsOutput(model.weights, model.held, types=model.types, params=model.params)
    write_outputs(
        model.document, text_path, weights, weights_path, force=force, progress=progress, check=check, others=others
    )


def write_outputs(
    document: Document | None,
    text_path: str | None,
    weights: WeightsOutput | None,
    weights_path: str | None,
    *,
    force: bool = False,
    progress: Progress = None,
    check: Check = None,
    others: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Write DOCUMENT to TEXT_PATH and WEIGHTS to WEIGHTS_PATH, as `write_model` does. Raises CaffeFcnError."""
    temps: list[str] = []
    with OutputFiles() as outputs:
        if weights is not None and weights_path is not None and weights_path != STDOUT:
            output = outputs.add(weights_path, overwrite=force)
            _write_weights(weights, output, progress)
            if output.temp is not None:
                output.close()
                _read_back_weights(weights, output.temp, output.path)
                temps.append(output.temp)
        texts = dict(others)
        if document is not None and text_path is not None and text_path != STDOUT:
            texts = {text_path: bytes(document), **texts}
        for path, text in texts.items():
            output = outputs.add(path, overwrite=force)
            output.write(text)
            if output.temp is not None:
                output.close()
                _read_back_text(text, output.temp, output.path)
                temps.append(output.temp)
        if check is not None:
            _checked(check, temps)
        if document is not None and text_path == STDOUT:
            to_stdout(bytes(document))
        if weights is not None and weights_path == STDOUT:
            _write_caffemodel(weights, stdout().fileno(), "stdout", progress)
        outputs.commit()


def write_texts(texts: Mapping[str, bytes], *, force: bool = False) -> None:
    """Write TEXTS, by path: all of them or none. Raises OutputError."""
    write_outputs(None, None, None, None, force=force, others=texts)


def _checked(check: Callable[[str, str], None], temps: list[str]) -> None:
    """Call CHECK with the files in TEMPS, which has the weights first. Raises OutputError unless there are both."""
    if len(temps) < 2:
        raise OutputError(
            "the output: expected files for the net and the weights, to verify them, found pipes", hint="name files"
        )
    check(temps[1], temps[0])


def _write_weights(weights: WeightsOutput, output: OutputFile, progress: Progress) -> None:
    """Write WEIGHTS to OUTPUT, in HDF5 if its name ends so."""
    if not is_hdf5_name(output.path):
        _write_caffemodel(weights, output.fd, output.path, progress)
        return
    if output.temp is None:
        raise OutputError("HDF5 cannot be written to a pipe", source=output.path, hint="name a file")
    from caffe_fcn.files.hdf5_writing import write_hdf5  # here, because few weights are in HDF5

    layers = weights.layers_for(output.path)
    write_hdf5(weights.weights, output.temp, layers, progress=progress, name=output.path)


def _write_caffemodel(weights: WeightsOutput, fd: int, name: str, progress: Progress) -> None:
    write(weights.weights, fd, weights.layers, progress=progress, head=weights.head, name=name)


def _read_back_text(text: bytes, temp: str, name: str) -> None:
    """Compare the new file at TEMP with TEXT. NAME is its name in messages. Raises OutputError."""
    with reading(temp, name) as file:
        if file.read() != text:
            raise OutputError("the file differs from what was written to it", source=name, hint="check the disk")


def _read_back_weights(weights: WeightsOutput, temp: str, name: str) -> None:
    """Read the new weights at TEMP, and compare the shape and count of every blob with the plan. NAME is for messages.

    Raises CaffemodelError.
    """
    expected = list(_expected(weights.layers_for(name)))
    with open_weights(temp, name) as written:
        found = [(r.name, [(blob.shape, blob.count) for blob in r.blobs if not blob.absent]) for r in written.layers]
    found = [entry for entry in found if entry[1]]
    if written.hdf5:
        expected, found = sorted(expected), sorted(found)
    if expected != found:
        nothing: tuple[str, list[tuple[Shape, int]]] = ("none", [])
        pairs = zip_longest(expected, found, fillvalue=nothing)
        (layer, blobs), (other, others) = next(pair for pair in pairs if pair[0] != pair[1])
        raise CaffemodelError(
            source=name,
            expected=f"to read back layer {layer!r} with blobs {blobs}",
            found=f"{other!r} with {others}",
            hint="nothing was written; check the disk",
        )


def _expected(layers: Iterable[Held]) -> Iterator[tuple[str, list[tuple[Shape, int]]]]:
    """The names of the LAYERS with blobs, and for each blob its shape and number of values."""
    for entry in layers:
        tensors = [tensor for tensor in entry.tensors if tensor.kept is None or not tensor.kept.blob.absent]
        if tensors:
            yield entry.name, [(tensor.shape, tensor.size // ITEM_SIZE[tensor.dtype]) for tensor in tensors]
