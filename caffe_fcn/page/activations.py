"""The activations of a net on a report page: what each layer makes of the picture, or of a test pattern.

The net runs once, and each blob is measured and drawn as it comes. A layer that works in place shows what it made of
its blob. A channel that is constant, or a saturated one, is named at the layer that makes it so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.display import printable
from caffe_fcn.files.statistics import BLOCK, Gathering, Statistics
from caffe_fcn.inspection.words import count_of, shape_of
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.images import image_inputs
from caffe_fcn.net.layers import row_of
from caffe_fcn.page.activation_tiles import tiles_of_image, tiles_of_values
from caffe_fcn.page.filters import listed
from caffe_fcn.page.observing import Observed, observed
from caffe_fcn.page.records import PageSource, Progress, Section, no_progress
from caffe_fcn.page.tiles import TilePicture, number
from caffe_fcn.page.values import ValuesPanel, drawn, facts_of
from caffe_fcn.predict.choosing import numbers_of_class
from caffe_fcn.predict.summaries import Found, best_classes

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAR = 1e-3
"""A value is at a limit if it is nearer to it than this share of the distance between the limits."""

MOSTLY = 0.95
"""A channel is saturated if at least this share of its values is at a limit."""

_SPREAD = 4
"""The strongest colours are for values of so many times the root mean square, or the largest if it is less."""

_NO_LIMIT = 1e30
"""A limit beyond this is none."""

_MOST_CLASSES = 5
_COLOURS = 3


class ClassScore(NamedTuple):
    """A class with its SCORE, in words."""

    title: str
    score: str


@dataclass(frozen=True)
class ActivationsPanel:
    """The tops of a layer: ABOUT says on what the net ran; the top CLASSES are those of an output."""

    about: str
    blobs: tuple[ValuesPanel, ...]
    classes: tuple[ClassScore, ...] = ()


class Activations(NamedTuple):
    """The activations of a net: PANELS by the positions of layers, and NOTES on how its picture is prepared."""

    panels: Mapping[int, ActivationsPanel]
    notes: tuple[str, ...] = ()


def activations_of(source: PageSource, progress: Progress = no_progress) -> Activations:
    """Return the activations of the layers of SOURCE. Raises CaffeFcnError if the net cannot be run, ExtraError without
    onnxruntime or pillow, PictureError if the net does not have the class that is asked for."""
    found, graph, wanted = observed(source), source.graph, source.options.wanted
    assert graph is not None, "observed refuses it"
    asked: Mapping[str, int] = {}
    if wanted is not None and found.settings is not None:
        asked = numbers_of_class(found.outputs, found.settings, str(wanted), graph.source)
    done = 0
    progress(Section.ACTIVATIONS, done, found.size)
    images = frozenset(image_inputs(graph, source.shapes)) if source.shapes is not None else frozenset()
    order = (0, 1, 2) if source.preparation.swap_channels else (2, 1, 0)
    positions = {id(node): position for position, node in enumerate(graph.nodes)}
    by_index = {node.index: node for node in graph.nodes}
    made: dict[int, list[ValuesPanel]] = {}
    classes: dict[int, tuple[ClassScore, ...]] = {}
    constant: dict[Blob, tuple[int, ...]] = {}
    for blob, index, values in found.values():
        progress(Section.ACTIVATIONS, done, found.size)
        done += values.nbytes
        node = graph.producer.get(blob, by_index.get(index))
        if node is None:
            continue
        position = positions[id(node)]
        name, gathered = printable(blob.name), _gathered(values)
        if blob in images and values.ndim == 4 and values.shape[1] == _COLOURS:
            picture: TilePicture | None = tiles_of_image(name, values, order)
        else:
            picture = tiles_of_values(name, values, _limit(gathered.statistics))
        remarks: list[str] = []
        if node.bottoms and not _holds_indices(node, blob):
            constant[blob] = _constant(values)
            remarks += _constant_words(values, _new(constant[blob], [constant.get(each, ()) for each in node.bottoms]))
            remarks += _saturated_words(node, values) if graph.consumers.get(blob) else ()
        statistics = gathered.statistics
        panel = ValuesPanel(
            title=name,
            shape=shape_of(tuple(map(int, values.shape))),
            facts=tuple(facts_of(statistics)),
            histogram=drawn(gathered.histogram, statistics),
            picture=picture,
            remarks=tuple(remarks),
        )
        made.setdefault(position, []).append(panel)
        classes[position] = classes.get(position, ()) + _classes(found, blob, values, asked.get(blob.name))
    progress(Section.ACTIVATIONS, found.size, found.size)
    about = f"On {found.what}."
    panels = {place: ActivationsPanel(about, tuple(each), classes[place]) for place, each in made.items()}
    return Activations(panels, found.notes)


def _gathered(values: NDArray[Any]) -> Gathering:
    """Return the statistics of VALUES."""
    found, flat = Gathering(histogram=True), values.reshape(-1)
    for start in range(0, len(flat), BLOCK):
        found.add(flat[start : start + BLOCK])
    return found


def _limit(found: Statistics) -> float:
    """Return the value from which on colours are the strongest, for values with the statistics FOUND."""
    if found.minimum is None or found.maximum is None or found.mean is None or found.deviation is None:
        return 0.0
    return min(max(-found.minimum, found.maximum), _SPREAD * math.hypot(found.mean, found.deviation))


# ---- Channels ----


def _holds_indices(node: Node, blob: Blob) -> bool:
    """Return whether BLOB, a top of NODE, has indices and not values."""
    first = row_of(node.type).index_tops
    return first is not None and blob in node.tops[first:]


def _channels(values: NDArray[Any]) -> NDArray[Any] | None:
    """Return VALUES with a row for each channel; None if a channel has only one value."""
    if values.ndim < 3 or not values.size or values.size == values.shape[1]:
        return None
    rows: NDArray[Any] = values.swapaxes(0, 1).reshape(values.shape[1], -1)
    return rows


def _constant(values: NDArray[Any]) -> tuple[int, ...]:
    """Return the channels of VALUES that have the same value everywhere."""
    import numpy as np

    rows = _channels(values)
    return () if rows is None else tuple(np.flatnonzero(rows.min(1) == rows.max(1)).tolist())


def _new(constant: Sequence[int], before: Sequence[Sequence[int]]) -> Sequence[int]:
    """Return those of the CONSTANT channels of a top that the layer has made so; BEFORE has those of its bottoms."""
    if len(before) == 1:
        return [channel for channel in constant if channel not in before[0]]
    return constant if len(constant) != sum(map(len, before)) else ()  # a join numbers them anew


def _constant_words(values: NDArray[Any], constant: Sequence[int]) -> Iterator[str]:
    """Return what is to be told of the CONSTANT channels of VALUES."""
    rows = _channels(values)
    if rows is None or not constant:
        return
    dead = [channel for channel in constant if not rows[channel, 0]]
    others = [channel for channel in constant if rows[channel, 0]]
    if dead:
        yield f"{_of(dead, len(rows))} dead here, 0 everywhere: number {listed(dead)}"
    if others:
        yield f"{_of(others, len(rows))} constant here, the same value everywhere: number {listed(others)}"


def _saturated_words(node: Node, values: NDArray[Any]) -> Iterator[str]:
    """Return what is to be told of the saturated channels in VALUES, which NODE made."""
    import numpy as np

    low, high = row_of(node.type).limits(node.layer)
    limits = [limit for limit in (low, high) if limit is not None and abs(limit) < _NO_LIMIT]
    if not limits or values.ndim < 2 or not values.size:
        return
    near = NEAR * (max(limits) - min(limits) if len(limits) > 1 else abs(limits[0]))
    rows = values.swapaxes(0, 1).reshape(values.shape[1], -1)
    shares = np.any([np.abs(rows - limit) <= near for limit in limits], 0).mean(1)
    found = np.flatnonzero(shares >= MOSTLY).tolist()
    if found:
        places = " or ".join(map(number, limits))
        told = f"at least {MOSTLY:.0%} of the values are at the limit {places}"
        yield f"{_of(found, len(rows))} saturated here, {told}: number {listed(found)}"


def _of(found: Sequence[int], many: int) -> str:
    return f"{len(found):,} of {count_of(many, 'channel')} {'is' if len(found) == 1 else 'are'}"


# ---- Classes ----


def _classes(found: Observed, blob: Blob, values: NDArray[Any], asked: int | None) -> tuple[ClassScore, ...]:
    """Return the top classes in VALUES, and the class ASKED for, if BLOB is an output with scores of classes for the
    user's picture."""
    output = next((each for each in found.outputs if each.blob == blob), None)
    if not found.picture or output is None or not output.of_classes or output.is_map or found.settings is None:
        return ()
    labels = found.settings.labels(output)
    best = [each for each in best_classes(values, _MOST_CLASSES) if each.score]
    if asked is not None and asked not in [each.label for each in best]:
        best.append(Found(asked, float(values.reshape(-1)[asked])))
    words = (lambda score: f"{score:.4f}") if output.probabilities else number  # one format for all of them
    return tuple(ClassScore(printable(labels.title(each.label)), words(each.score)) for each in best)
