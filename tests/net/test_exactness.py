"""What is said of the exactness of maps, held against numpy: maps of a picture beside those of its crops, and the dense
map of a twin beside what its last layers make of windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import lcm
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.geometry import Exactness, Geometry, infer_geometry, inner_cells
from caffe_fcn.net.graph import Graph
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shape, Shapes, infer_shapes
from tests.net.nets import data, graph_of, layer
from tests.random.basics import Array, ImpossibleError
from tests.random.caffe import RULES, forward


class Dense:
    """The net TEXT over an input of one SIZE, in numpy. Its parameters are the same for every size."""

    def __init__(self, text: str, size: Sequence[int]) -> None:
        self.size = tuple(size)
        self.graph: Graph = graph_of(data(1, 2, *size) + text)
        self.shapes: Shapes = infer_shapes(self.graph)
        self.geometry = infer_geometry(self.graph, self.shapes)

    def run(self, values: Mapping[str, Array], skipped: Sequence[str] = ()) -> dict[str, Array]:
        """All blobs, by their names, that the layers make of VALUES, but for those SKIPPED."""
        known = dict(values)
        for node in self.graph.nodes:
            if node.bottoms and node.name not in skipped:
                draw = np.random.default_rng(sum(map(ord, node.name)))
                blobs = [draw.uniform(0.5, 1.5, shape) for shape in self.shapes.params.get(node.index, ())]
                made = forward(node.layer, [known[blob.name] for blob in node.bottoms], blobs)
                known.update(zip((blob.name for blob in node.tops), made, strict=True))
        return known

    def last(self, picture: Array) -> Array:
        """The last blob."""
        return self.run({"data": picture})[self.graph.outputs[-1].name]

    def shape_of(self, name: str) -> Shape:
        """The shape of the blob called NAME."""
        found = next(shape for blob, shape in self.shapes.blobs.items() if blob.name == name)
        assert isinstance(found, tuple)
        return found

    def known(self, name: str) -> Geometry:
        """The geometry of the map called NAME."""
        found = next(known for blob, known in self.geometry.items() if blob.name == name)
        assert found is not None
        return found


def conv(kernel: int, stride: int = 1, pad: int = 0, *, bottom: str = "data", top: str = "out") -> str:
    params = f"convolution_param {{ num_output: 2 kernel_size: {kernel} stride: {stride} pad: {pad} }}"
    return layer("Convolution", params, bottom, top, top)


def deconv(kernel: int, stride: int, pad: int = 0, *, bottom: str = "data", top: str = "out") -> str:
    params = f"convolution_param {{ num_output: 2 kernel_size: {kernel} stride: {stride} pad: {pad} }}"
    return layer("Deconvolution", params, bottom, top, top)


# ---- The words for a map: crops of a picture ----

EVERYWHERE, BORDERS, NOWHERE = Exactness
GATE = layer("Pooling", "pooling_param { pool: AVE global_pooling: true }", "b", "gate", "gate")

WORDS = {
    "Convolution": ("convolution_param { num_output: 2 kernel_size: 3 stride: 2 }", EVERYWHERE),
    "Convolution ": ("convolution_param { num_output: 2 kernel_size: 3 pad: 1 dilation: 2 }", BORDERS),
    "Deconvolution": ("convolution_param { num_output: 2 kernel_size: 2 stride: 2 }", EVERYWHERE),
    "Deconvolution ": ("convolution_param { num_output: 2 kernel_size: 5 stride: 3 pad: 1 }", BORDERS),
    "Im2col": ("convolution_param { kernel_size: 2 stride: 2 }", EVERYWHERE),
    "Im2col ": ("convolution_param { kernel_size: 3 pad: 1 }", BORDERS),
    "Pooling": ("pooling_param { pool: MAX kernel_size: 2 stride: 1 }", EVERYWHERE),
    "Pooling ": ("pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 }", BORDERS),
    "Pooling  ": ("pooling_param { pool: MAX global_pooling: true }", NOWHERE),
    "LRN": ("lrn_param { local_size: 3 alpha: 2 }", EVERYWHERE),
    "LRN ": ("lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 alpha: 2 }", BORDERS),
    "MVN": ("", NOWHERE),
    "Normalize": ("norm_param { across_spatial: false }", EVERYWHERE),
    "Normalize ": ("norm_param { across_spatial: true }", NOWHERE),
    "BatchNorm": ("", EVERYWHERE),
    "BatchNorm ": ("batch_norm_param { use_global_stats: false }", NOWHERE),
    "Softmax": ("", EVERYWHERE),
    "Softmax ": ("softmax_param { axis: 2 }", NOWHERE),
    "Softmax  ": ("softmax_param { axis: -1 }", NOWHERE),
    "Concat": ("", EVERYWHERE),
    "Concat ": ("concat_param { axis: 3 }", EVERYWHERE),
    "Slice": ("", EVERYWHERE),
    "Slice ": ("slice_param { axis: 2 }", EVERYWHERE),
    "Tile": ("tile_param { axis: 1 tiles: 2 }", EVERYWHERE),
    "Tile ": ("tile_param { axis: 2 tiles: 1 }", EVERYWHERE),
    "Permute": ("permute_param { order: 0 order: 1 }", EVERYWHERE),
    "Flatten": ("flatten_param { axis: 2 end_axis: 2 }", EVERYWHERE),
    "Reshape": ("reshape_param { shape { dim: 0 dim: 0 dim: 0 dim: -1 } }", EVERYWHERE),
    "Squeeze": ("squeeze_param { axis: 0 }", None),
    "Permute ": ("permute_param { order: 0 order: 1 order: 3 order: 2 }", None),
    "Tile  ": ("tile_param { axis: 2 tiles: 2 }", None),
    "ArgMax": ("argmax_param { axis: 1 out_max_val: true }", EVERYWHERE),
    "ArgMax ": ("argmax_param { axis: 2 out_max_val: true }", None),
    "Scale": ("", EVERYWHERE),
    "Bias": ("", EVERYWHERE),
    "PReLU": ("", EVERYWHERE),
    "ShuffleChannel": ("shuffle_channel_param { group: 2 }", EVERYWHERE),
    **dict.fromkeys("AbsVal BNLL Clip Dropout ELU Exp Log Power ReLU ReLU6".split(), ("", EVERYWHERE)),
    **dict.fromkeys("Sigmoid Split Swish TanH Threshold".split(), ("", EVERYWHERE)),
}
"""Type, with blanks behind to tell several of one type apart, to parameters and the word; None for what is no map."""

JOINED: dict[str, tuple[str, Exactness | None]] = {
    "Axpy": ("gate b b", NOWHERE),
    "Crop": ("b small", EVERYWHERE),
    "Eltwise": ("b b", EVERYWHERE),
}
"""Types of several bottoms: the map b, one that is smaller, and a gate."""


def test_every_type_is_held_against_numpy() -> None:
    known = {kind for kind in RULES if row_of(kind).moves is not None}
    assert known <= {kind.strip() for kind in WORDS} | set(JOINED)


@pytest.mark.thorough
@pytest.mark.parametrize("before", ["", "phases"])
@pytest.mark.parametrize("kind", [*WORDS, *JOINED])
def test_the_word_for_every_layer(kind: str, before: str) -> None:
    text = deconv(2, 2, top="b") if before else conv(1, top="b")
    if kind in JOINED:
        bottoms, word = JOINED[kind]
        params = "crop_param { axis: 2 offset: 1 }" if kind == "Crop" else ""
        text += GATE + conv(3, bottom="b", top="small") + layer(kind, params, bottoms)
    else:
        params, word = WORDS[kind]
        text += layer(kind.strip(), params, "b")
    if word is None:
        net = Dense(text, SIZE)
        assert net.geometry[net.graph.outputs[-1]] is None
    else:
        assert held(text) is word


SIZE = (26, 24)


def held(text: str, *, linear: bool = True) -> Exactness:
    """How exact the map of the net TEXT is, which must be what numpy shows of a crop of a picture. Where all is LINEAR,
    cells that see a border are others than without it."""
    small = Dense(text, SIZE)
    blob = small.graph.outputs[-1]
    known = small.geometry[blob]
    assert known is not None
    more = [step * -(-12 // step) for step in known.step]
    large = Dense(text, [extent + 2 * each for extent, each in zip(SIZE, more, strict=True)])
    picture = np.random.default_rng(1).normal(size=(1, 2, *large.size))
    cropped = small.last(part(picture, more, SIZE))
    whole = known.exactness is NOWHERE and cropped.shape[2:] == (1, 1)
    starts = [0 if whole else int(each / stride) for each, stride in zip(more, known.stride, strict=True)]
    same = alike(part(large.last(picture), starts, cropped.shape[2:]), cropped)
    inner = np.zeros_like(same)
    inner[inner_cells(small.graph, small.shapes, small.geometry, lambda node: True)[blob].slices] = True
    if known.exactness is NOWHERE:
        assert not same.all(1).any() or not same.all(0).any()
    else:
        assert same[inner].all() and not (linear and same[~inner].any())
        assert known.exactness is BORDERS or inner.all()
    return known.exactness


def part(values: Array, starts: Sequence[int], sizes: Sequence[int]) -> Array:
    """The cells of VALUES from STARTS on, along the spatial axes."""
    cells = (slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
    found: Array = values[(slice(None), slice(None), *cells)]
    return found


def alike(one: Array, other: Array) -> Array:
    """In which cells ONE is OTHER."""
    return np.asarray(np.all(np.isclose(one, other, rtol=1e-7, atol=1e-9, equal_nan=True), axis=(0, 1)))


# ---- The word for a twin: windows ----

KINDS: dict[str, Callable[..., str]] = {
    "conv": lambda name, bottom, k, s, p: conv(k, s, p, bottom=bottom, top=name),
    "deconv": lambda name, bottom, k, s, p: deconv(max(k, s), s, min(p, (max(k, s) - 1) // 2), bottom=bottom, top=name),
    "pool": lambda name, bottom, k, s, p: pooling("AVE", k, s, min(p, k - 1), bottom, name),
    "lrn": lambda name, bottom, k, s, p: layer(
        "LRN", f"lrn_param {{ norm_region: WITHIN_CHANNEL local_size: {k | 1} alpha: 2 }}", bottom, name, name
    ),
    "sum": lambda name, bottom, k, s, p: (
        conv(3, 1, 1, bottom=bottom, top=f"{name}a")
        + conv(1, 1, 0, bottom=bottom, top=f"{name}b")
        + layer("Eltwise", "", f"{name}a {name}b", name, name)
    ),
    "relu": lambda name, bottom, k, s, p: layer("ReLU", "relu_param { negative_slope: 0.5 }", bottom, name, name),
    "max": lambda name, bottom, k, s, p: pooling("MAX", k, s, min(p, k - 1), bottom, name),
    "gaps": lambda name, bottom, k, s, p: deconv(k, s, min(p, (k - 1) // 2), bottom=bottom, top=name),
    "dilated": lambda name, bottom, k, s, p: conv(k, s, p, bottom=bottom, top=name).replace("pad", "dilation: 2 pad"),
}
"""How a layer is made of its name, its bottom, and a kernel, a stride and a pad."""
LINEAR = {"conv", "deconv", "lrn", "pool", "relu", "sum"}
"""Behind these a cell that sees a border is another than without it."""


def pooling(method: str, kernel: int, stride: int, pad: int, bottom: str, top: str) -> str:
    params = f"pooling_param {{ pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} }}"
    return layer("Pooling", params, bottom, top, top)


Step: TypeAlias = tuple[str, int, int, int]
STEPS = st.tuples(st.sampled_from(list(KINDS)), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2))


RELAXED = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def stacked(names: str, bottom: str, steps: Sequence[Step]) -> tuple[str, str]:
    """Layers made by STEPS on BOTTOM, and the last blob."""
    text = ""
    for number, (kind, *sizes) in enumerate(steps):
        text += KINDS[kind](f"{names}{number}", bottom, *sizes)
        bottom = f"{names}{number}"
    return text, bottom


@pytest.mark.thorough
@settings(RELAXED, max_examples=60)
@given(st.lists(STEPS, min_size=1, max_size=4))
def test_the_word_for_stacks(steps: list[Step]) -> None:
    text, _ = stacked("x", "data", steps)
    try:
        net = Dense(text, SIZE)
    except ShapeError:
        assume(False)
    known = net.geometry[net.graph.outputs[-1]]
    assume(known is not None and max(known.step) <= 12)
    try:
        held(text, linear={kind for kind, *_ in steps} <= LINEAR)
    except ImpossibleError:
        assume(False)


@pytest.mark.thorough
@settings(RELAXED, max_examples=100)
@given(st.lists(STEPS, max_size=2), st.integers(0, 1), st.lists(STEPS, min_size=1, max_size=3))
def test_inner_cells_are_what_the_net_says_of_windows(before: list[Step], more: int, behind: list[Step]) -> None:
    """A net whose map one convolution makes a cell of, or a few if it has MORE, with layers BEFORE it and BEHIND."""
    nominal = (9, 10)
    text, bottom = stacked("before", "data", before)
    head, last = stacked("x", "head", behind)
    try:
        start = Dense(text, nominal)
        high, wide = (extent - more for extent in start.shape_of(bottom)[2:])
        assume(min(high, wide) > 0)
        window = f"convolution_param {{ num_output: 2 kernel_h: {high} kernel_w: {wide} }}"
        text += layer("Convolution", window, bottom, "head", "head") + head
        small = Dense(text, nominal)
    except ShapeError:
        assume(False)
    early = {f"before{number}{part}" for number in range(len(before)) for part in ("", "a", "b")} | {"data"}
    inner = inner_cells(small.graph, small.shapes, small.geometry, lambda node: node.name not in early)
    of_last = next(each for blob, each in inner.items() if blob.name == last)
    same = compared(text, small, nominal, bottom, last, early)
    cells = np.zeros_like(same)
    cells[of_last.slices] = True
    assert same[cells].all()
    assert bool(of_last.lost) == (not cells.any())
    if {kind for kind, *_ in behind} <= LINEAR:
        assert not same[~cells].any()


def compared(text: str, small: Dense, nominal: tuple[int, int], bottom: str, last: str, early: set[str]) -> Array:
    """Which cells of the last blob are the same in the dense map as in windows of the blob BOTTOM."""
    steps = [lcm(*(each.step[axis] for each in small.geometry.values() if each is not None)) for axis in (0, 1)]
    assume(max(steps) <= 12)
    large = Dense(text, [extent + 4 * step for extent, step in zip(nominal, steps, strict=True)])
    picture = np.random.default_rng(1).normal(size=(1, 2, *(e + 4 * s for e, s in zip(nominal, steps, strict=True))))
    try:
        dense, own = large.run({"data": picture}), small.run({"data": picture[:, :, : nominal[0], : nominal[1]]})
    except ImpossibleError:
        assume(False)
    same = np.ones(own[last].shape[2:], bool)
    for place in product((0, 2, 4), repeat=2):
        found = []
        for name in (bottom, last):
            starts = [int(at * step / s) for at, step, s in zip(place, steps, small.known(name).stride, strict=True)]
            found.append(part(dense[name], starts, own[name].shape[2:]))
        assume(found[0].shape == own[bottom].shape)  # a window larger than its input makes a cell there, and none here
        made = small.run({bottom: found[0]}, sorted(early))[last]
        assume(made.shape == found[1].shape)
        same &= alike(made, found[1])
    return same
