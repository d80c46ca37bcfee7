"""The parameter blobs of a file by layer: of a caffemodel, of HDF5, or of the initializers of an ONNX file.

In an ONNX file, `export` names an initializer after its layer and the position of its blob: "conv1/blob0". Statistics
of a BatchNorm are divided by their factor there. Caffe stores a blob that layers share with each of them, HDF5 and
ONNX with the first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from caffe_fcn.compare.reading import count_of
from caffe_fcn.display import printable, some
from caffe_fcn.errors import CaffemodelError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.initializers import Initializer, InitializerFile
from caffe_fcn.model.tensors import Repeating, Stored, Tensor, stored
from caffe_fcn.net.layers.normalization import batch_norm_blobs
from caffe_fcn.schema import Message

Blobs: TypeAlias = "tuple[Tensor | None, ...]"
"""The parameter blobs of a layer; None for one that the file does not hold."""

STATISTICS = ("scale", "bias", "mean", "variance")
"""The initializers of a normalization by stored statistics, as `export` names them, in the order of its inputs."""

_BLOB = re.compile(r"(?P<layer>.*)/(?:blob(?P<position>[0-9]{1,2})|(?P<label>scale|bias|mean|variance))", re.DOTALL)
_CONSTANT = re.compile(r".*/constant(_[0-9]+)?", re.DOTALL)
"""What `export` adds to a layer: shapes and numbers from its fields."""
_MOST_CHANNELS = 1 << 20
"""Statistics of more channels are not divided by their factor."""


class HeldBlobs(NamedTuple):
    """The blobs in the file PATH by layer name, once for each layer of this name. NORMALIZED: layers of an ONNX file
    with initializers for statistics, by label. ONNX: whether it is such a file. UNREAD: initializers with
    other names, or of types that are not read."""

    path: str
    layers: Mapping[str, Sequence[Blobs]]
    onnx: bool = False
    normalized: Mapping[str, Mapping[str, Tensor]] = {}
    unread: tuple[str, ...] = ()

    @property
    def names(self) -> Mapping[str, object]:
        """The layers that have blobs."""
        return {**self.layers, **self.normalized}


def held_in_file(weights: WeightFile) -> HeldBlobs:
    """The blobs in WEIGHTS, of layers that have any."""
    found: dict[str, list[Blobs]] = {}
    for record in weights.layers:
        if record.blobs:
            blobs = (None if blob.absent else stored(weights.source, blob) for blob in record.blobs)
            found.setdefault(record.name, []).append(tuple(blobs))
    return HeldBlobs(weights.path, found)


def held_in_onnx(file: InitializerFile) -> HeldBlobs:
    """The blobs in the initializers of FILE, by their names. Raises CaffemodelError if there are none."""
    blobs: dict[str, dict[int, Tensor]] = {}
    labelled: dict[str, dict[str, Tensor]] = {}
    unread: list[str] = []
    for each in file.initializers.values():
        match, tensor = _BLOB.fullmatch(each.name), _tensor(each)
        if match is None or tensor is None:
            unread += [each.name] * (_CONSTANT.fullmatch(each.name) is None)
        elif match["label"]:
            labelled.setdefault(match["layer"], {})[match["label"]] = tensor
        else:
            blobs.setdefault(match["layer"], {})[int(match["position"])] = tensor
    if not blobs and not labelled:
        raise CaffemodelError(
            source=file.path,
            expected="initializers with names such as 'conv1/blob0', as `caffe-fcn export` writes them",
            found=some([repr(printable(name)) for name in unread], 3) or "none",
        )
    layers = {
        layer: [tuple(found.get(position) for position in range(max(found) + 1))] for layer, found in blobs.items()
    }
    return HeldBlobs(file.path, layers, True, labelled, tuple(unread))


def _tensor(each: Initializer) -> Tensor | None:
    return None if each.record is None else Stored(each.source, each.record, each.record.values)


def sharing(net: Message) -> dict[tuple[str, int], tuple[str, int]]:
    """The blobs of NET that an earlier layer has under the same name of a `param`: (layer, position) of both."""
    owners: dict[str, tuple[str, int]] = {}
    found: dict[tuple[str, int], tuple[str, int]] = {}
    for layer in net.layer:
        for position, param in enumerate(layer.param):
            if param.name:
                owner = owners.setdefault(param.name, (layer.name, position))
                if owner != (layer.name, position):
                    found[layer.name, position] = owner
    return found


def completed(held: HeldBlobs, shared: Mapping[tuple[str, int], tuple[str, int]]) -> HeldBlobs:
    """HELD with the blobs that it has only for their owner, by SHARED, for the other layers too."""
    layers = {name: list(blobs) for name, blobs in held.layers.items()}
    for (name, position), (owner, place) in shared.items():
        theirs = layers.get(owner, [()])[-1]
        if place >= len(theirs) or theirs[place] is None:
            continue
        mine = layers.get(name, [()])
        blobs = [*mine[-1], *[None] * (position + 1 - len(mine[-1]))]
        if blobs[position] is None:
            blobs[position] = theirs[place]
            layers[name] = [*mine[:-1], tuple(blobs)]
    return held._replace(layers=layers)


def statistics(blobs: Blobs) -> dict[str, Tensor] | None:
    """BLOBS of a normalization as ONNX has them, by label: its mean and its variance divided by their factor. Labels
    that are missing have no blob. None if they are of no known kind. Raises CaffemodelError."""
    known = [blob for blob in blobs if blob is not None]
    if len(known) != len(blobs) or any(not blob.count == count_of(blob) <= _MOST_CHANNELS for blob in known):
        return None
    if len(known) == 4:
        return dict(zip(STATISTICS, known, strict=True))
    if len(known) not in (3, 5):
        return None
    places = batch_norm_blobs([blob.shape for blob in known])
    if known[places.factor].count != 1:
        return None
    factor = float(known[places.factor].read(0, 1)[0])
    inverse = 1 / factor if factor else 0.0
    found = {
        "mean": _times(known[places.mean], inverse),
        "variance": _times(known[places.variance], inverse),
    }
    if places.scale is not None and places.shift is not None:
        found |= {"scale": known[places.scale], "bias": known[places.shift]}
    return found


def _times(blob: Tensor, factor: float) -> Tensor:
    """The values of BLOB times FACTOR, computed in double precision and stored in single precision."""
    values = blob.read(0, blob.count).astype("f8") * factor
    return Repeating((blob.count,), tuple(values.tolist()) or (0.0,))
