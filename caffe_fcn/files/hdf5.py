"""Reads weights in HDF5, as Caffe snapshots them: blob 0 of layer "ip1" is the dataset data/ip1/0.

A dataset of Caffe is one range of bytes in the file. So h5py only finds these ranges, and the rest works as for a
caffemodel. A file with compressed or chunked datasets is first unpacked, in bounded memory, into a temporary file.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any, NamedTuple

from caffe_fcn import schema
from caffe_fcn.errors import CaffemodelError, located, missing
from caffe_fcn.files.atomic import output_error
from caffe_fcn.files.blobs import HDF5, BlobRecord, Piece, Run, Values
from caffe_fcn.files.caffemodel import LayerRecord, WeightFile
from caffe_fcn.files.slabs import reads, slabs
from caffe_fcn.files.source import Source, Span
from caffe_fcn.files.wire import LEN

DATA = "data"
"""The group of all layers."""
_MAX_AXES = 32
_POSITIONS = {str(index): index for index in range(256)}
"""The names of datasets, for more blobs than any layer has. An unlimited index would need as many placeholders."""
_MAX_OBJECTS = 20_000
_MAX_DEPTH = 16
_MAX_RATIO = 1100
"""The maximum compression ratio of HDF5's filters. A file with a higher ratio has a large shape but no values."""
_MAX_CHUNK = 64 << 20
_MAX_READS = 32
"""The maximum number of times that a chunk may be unpacked, because several slabs use it."""
_NO_SPAN = Span(0, 0)


def h5py_for(name: str) -> Any:
    """Import and return h5py, which is needed for the file NAME. Raises ExtraError."""
    try:
        import h5py  # type: ignore[import-untyped]
    except Exception as error:
        told = f"{name}: weights in HDF5 need the package h5py; install it with: pip install 'caffe-fcn[hdf5]'"
        raise missing(error, "h5py", told) from error
    return h5py


class _Found(NamedTuple):
    """A dataset: blob POSITION of LAYER; each value takes ITEM bytes. OFFSET is the place of the values if they are
    contiguous and stored as in a caffemodel; None if they have to be unpacked first."""

    layer: str
    position: int
    shape: tuple[int, ...]
    item: int
    offset: int | None

    @property
    def path(self) -> str:
        """The path in the file. The dataset is opened only when it is needed, because each open dataset takes
        memory."""
        return f"{DATA}/{self.layer}/{self.position}"


def open_hdf5(path: str | os.PathLike[str], name: str | None = None) -> WeightFile:
    """Open and index the HDF5 weights at PATH. Messages call it NAME.

    Layers are in the order of their names. If the file leaves out a shared blob before other blobs of its layer, that
    blob is `absent`. Raises CaffemodelError if the file is damaged, has no weights of Caffe, or refers to other files;
    ExtraError if h5py is not installed.
    """
    shown = name or os.fspath(path)
    h5py = h5py_for(shown)
    with ExitStack() as stack:
        source = stack.enter_context(Source(path, name))
        with _damage_told(shown), h5py.File(path, "r") as file:
            layers, found = _GroupWalk(h5py, shown, source.size).datasets(file)
            offsets = [each.offset for each in found if each.offset is not None]
            if len(offsets) < len(found):
                source.close()
                source, offsets = _unpacked(file, found, shown)
                stack.enter_context(source)
        blobs = [_record(each, offset) for each, offset in zip(found, offsets, strict=True)]
        weights = WeightFile(source, _layers(layers, found, blobs), schema.NetParameter())
        stack.pop_all()
    return weights


@contextmanager
def _damage_told(name: str) -> Iterator[None]:
    """Turn errors of h5py for a damaged file into a CaffemodelError."""
    try:
        yield
    except BlockingIOError as error:
        raise CaffemodelError(
            "another program is writing to it", source=name, hint="try again when it has finished"
        ) from error
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise CaffemodelError(
            source=name, expected="HDF5 weights", found=f"a damaged file ({reason})", hint="download it again"
        ) from error


class _GroupWalk:
    """Walks over the groups of a file and does not follow links out of it."""

    def __init__(self, h5py: Any, name: str, size: int) -> None:
        self.h5py, self.name, self.size = h5py, name, size
        self.seen = self.values = 0

    def datasets(self, file: Any) -> tuple[list[str], list[_Found]]:
        """Return the names of all layers, and the datasets that hold their blobs."""
        data = self._item(file, DATA, DATA) if DATA in file else None
        if not isinstance(data, self.h5py.Group):
            inside = ", ".join(map(str, itertools.islice(file, 4))) or "nothing"
            raise self._error(expected=f"a group {DATA!r}, as Caffe writes it", found=inside)
        found: list[_Found] = []
        layers = list(self._groups(data, "", 0, found))
        if not layers:
            raise self._error(expected=f"layers in the group {DATA!r}", found="none")
        return layers, found

    def _groups(self, group: Any, layer: str, depth: int, found: list[_Found]) -> Iterator[str]:
        """Return LAYER, which is this group, and the layers in groups within it: a name of a layer can have a slash."""
        if depth > _MAX_DEPTH:
            raise self._error(expected=f"at most {_MAX_DEPTH} nested groups", found=f"more at {layer[:80]!r}")
        groups = []
        for key in group:
            self.seen += 1
            if self.seen > _MAX_OBJECTS:
                raise self._error(expected=f"at most {_MAX_OBJECTS:,} groups and datasets", found="more")
            if not isinstance(key, str):
                raise self._error(expected="names in UTF-8", found=f"{key[:80]!r}")
            path = f"{layer}/{key}" if layer else key
            item = self._item(group, key, path)
            if isinstance(item, self.h5py.Group):
                groups.append(key)
            elif isinstance(item, self.h5py.Dataset) and layer:
                found.append(self._dataset(layer, key, item))
            else:
                raise self._error(expected="the group of a layer", found=f"{path[:80]!r}")
        if layer and len(groups) < max(1, len(group)):
            yield layer
        for key in groups:
            yield from self._groups(group[key], f"{layer}/{key}" if layer else key, depth + 1, found)

    def _item(self, group: Any, key: str, path: str) -> Any:
        """Return the item KEY of GROUP if it is in this file; messages call it PATH."""
        if not isinstance(group.get(key, getlink=True), self.h5py.HardLink):
            raise self._error(
                f"{path[:80]!r} is a link to another place; links are not followed", hint="repack the file"
            )
        return group[key]

    def _dataset(self, layer: str, key: str, dataset: Any) -> _Found:
        """Check DATASET and return it as blob KEY of LAYER."""
        if key not in _POSITIONS:
            raise self._error(layer=layer[:80], expected="blobs called 0, 1, ...", found=f"{key[:80]!r}")
        with located(layer=layer[:80], place=f"blob {key}"):
            return self._checked(layer, _POSITIONS[key], dataset)

    def _checked(self, layer: str, position: int, dataset: Any) -> _Found:
        shape, dtype = dataset.shape, dataset.dtype
        if shape is None or len(shape) > _MAX_AXES:
            raise self._error(expected=f"a shape of at most {_MAX_AXES} axes", found=f"{shape}")
        if dtype.kind != "f" or dtype.itemsize not in (2, 4, 8):
            raise self._error(expected="floating point numbers", found=f"{dtype}")
        size = prod(shape) * dtype.itemsize
        layout = dataset.id.get_create_plist()
        self._check_storage(dataset, layout, size)
        # Do not use dtype here: h5py gives the type that the numbers are read as, for all number formats, even
        # bfloat16.
        kinds = (self.h5py.h5t.IEEE_F32LE, self.h5py.h5t.IEEE_F64LE)
        like_caffe = any(dataset.id.get_type().equal(kind) for kind in kinds)
        plain = like_caffe and layout.get_layout() == self.h5py.h5d.CONTIGUOUS
        offset = dataset.id.get_offset() if plain and size else None
        if offset is not None and offset + size > self.size:
            raise self._error(expected=f"{size:,} bytes at offset {offset:,}", found="the end of the file")
        item = 8 if dtype.itemsize == 8 else 4
        return _Found(layer, position, shape, item, 0 if plain and not size else offset)

    def _check_storage(self, dataset: Any, layout: Any, size: int) -> None:
        """Refuse values of SIZE bytes that are in another file, are missing, or need too much work to read."""
        if layout.get_layout() == self.h5py.h5d.VIRTUAL or layout.get_external_count():
            raise self._error("its values are in another file, which is not opened", hint="repack the file")
        for code in (layout.get_filter(index)[0] for index in range(layout.get_nfilters())):
            if not self.h5py.h5z.filter_avail(code):
                raise self._error(f"its values are compressed with a filter that is not installed (filter {code})")
        stored = dataset.id.get_storage_size()
        self.values += size
        if size > stored * _MAX_RATIO or self.values > self.size * _MAX_RATIO:
            raise self._error(expected=f"{size:,} bytes of values", found=f"{stored:,}", hint="the file is incomplete")
        chunks, item = dataset.chunks, dataset.dtype.itemsize
        if chunks and (prod(chunks) * item > _MAX_CHUNK or reads(dataset.shape, chunks) > _MAX_READS):
            shown = "×".join(map(str, chunks))
            raise self._error(f"its chunks ({shown} values) are too large", hint="repack the file with h5repack")

    def _error(
        self,
        told: str | None = None,
        *,
        layer: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> CaffemodelError:
        return CaffemodelError(told, source=self.name, layer=layer, expected=expected, found=found, hint=hint)


def _record(found: _Found, offset: int) -> BlobRecord:
    """Return the blob of a dataset whose values are at OFFSET."""
    number = 8 if found.item == 8 else 5
    span = Span(offset, offset + prod(found.shape) * found.item)
    stored = (Values(number, HDF5.types[number], (Run(span, found.item, 0),)),) if span.size else ()
    return BlobRecord(found.shape, False, HDF5, stored, span, (Piece(number, LEN, span),))


def _layers(names: list[str], found: list[_Found], blobs: list[BlobRecord]) -> tuple[LayerRecord, ...]:
    """Return a record for each layer of NAMES, with its blobs in order."""
    by_layer: dict[str, dict[int, BlobRecord]] = {name: {} for name in names}
    for each, blob in zip(found, blobs, strict=True):
        by_layer[each.layer][each.position] = blob
    absent = BlobRecord((), False, HDF5, (), _NO_SPAN, ())
    records = []
    for name, held in by_layer.items():
        header = schema.LayerParameter(name=name)
        all_blobs = tuple(held.get(index, absent) for index in range(max(held, default=-1) + 1))
        records.append(LayerRecord(name, "HDF5", header, all_blobs, _NO_SPAN, header.SerializePartialToString()))
    return tuple(records)


def _unpacked(file: Any, found: list[_Found], name: str) -> tuple[Source, list[int]]:
    """Unpack all values into a temporary file without a name; return it and the offset of each dataset."""
    offsets, end = [], 0
    try:
        with tempfile.NamedTemporaryFile(prefix="caffe-fcn-") as copy:
            for each in found:
                offsets.append(end)
                for values in _values(file, each, name):
                    copy.write(values)
                    end += values.nbytes
            copy.flush()
            return Source(copy.name, name), offsets
    except OSError as error:
        raise output_error(f"a temporary copy of {name}", error) from error


def _values(file: Any, found: _Found, name: str) -> Iterator[Any]:
    """Return the values of the dataset FOUND in FILE, as arrays of bounded size and in order."""
    with _damage_told(name):
        dataset = file[found.path]
    for slab in slabs(found.shape, dataset.chunks):
        with _damage_told(name):
            values = dataset.astype(f"<f{found.item}")[slab]
        yield values
