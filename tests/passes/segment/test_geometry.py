"""The arithmetic of a segmentation head, against numbers that the reference Caffe gave."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import pytest

from caffe_fcn.passes.conversion import Settings, plan
from caffe_fcn.passes.segment.fitting import Axis, Fits, Which, least_pad
from caffe_fcn.passes.segment.geometry import ScoreMaps, score_maps
from caffe_fcn.passes.segment.upsampling import Upsampling
from tests.passes.segment.nets import INDEX, NETS, golden

WISHES: dict[Which, str] = {"nominal": "nominal", "least": "from_least_size", "every": "from_1"}
SIZES = range(1, 401)


class Head(NamedTuple):
    maps: ScoreMaps
    steps: tuple[Upsampling, ...]

    @property
    def axes(self) -> tuple[Axis, ...]:
        return self.maps.axes(self.steps)


def head(name: str, skips: int) -> Head:
    """The head of the golden net NAME with so many SKIPS."""
    entry = INDEX[name]
    model = plan(golden(name, weights=False), Settings()).model
    last = next(node for node in model.graph.nodes if node.name == f"{entry['last']}-conv")
    blobs = [model.graph.latest(blob) for blob in list(entry["skips"])[:skips]]
    strides = [entry["stride"], *list(entry["skips"].values())[:skips]]
    made = score_maps(model.graph, model.shapes[model.phase], last.tops[0], [blob for blob in blobs if blob])
    return Head(made, made.upsamplings([a // b for a, b in pairwise(strides)], strides[-1]))


def cases(name: str, skips: int) -> list[dict[str, Any]]:
    return [case for case in INDEX[name]["cases"] if len(case["skips"]) == skips]


PAIRS = [(name, skips) for name in NETS for skips in range(3)]


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "skips"), PAIRS)
def test_kernels_and_offsets_are_those_of_caffe(name: str, skips: int) -> None:
    made = head(name, skips)
    (pad, _), _ = made.maps.padding
    assert made.maps.first and made.maps.first.name == INDEX[name]["first"]
    assert pad == INDEX[name]["first_pad"]
    for case in cases(name, skips):
        offsets = [list(step.offset) for step in made.steps]
        offsets[-1] = [offset + case["pad"] - pad for offset in offsets[-1]]
        if "null" in case:
            assert min(min(offset) for offset in offsets) < 0
            continue
        expected = [*case["upsampling"], case["final"]]
        assert [(step.kernel, step.factor) for step in made.steps] == [(e["kernel"], e["upsample"]) for e in expected]
        assert offsets == [each["offset"] * (2 // len(each["offset"])) for each in expected]


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "skips"), PAIRS)
def test_the_sizes_at_which_crops_fit_are_those_of_caffe(name: str, skips: int) -> None:
    found = [case for case in cases(name, skips) if "null" not in case]
    axes = head(name, skips).axes if found else ()
    for case in found:
        for axis, key in zip(axes, "hw", strict=True):
            fits = axis.fits(case["pad"], case["pad"])
            expected = {size for first, last in case["sizes"][key] for size in range(first, last + 1)}
            assert {size for size in SIZES if size in fits} == expected
            assert all((size in fits) == axis.holds(size, case["pad"], case["pad"]) for size in range(1000, 1100))


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "skips"), PAIRS)
def test_the_least_pads_are_those_of_caffe(name: str, skips: int) -> None:
    expected = INDEX[name]["least_pad"][f"{skips} skips"]
    made = head(name, skips)
    if any(min(step.offset) < 0 for step in made.steps[:-1]):
        assert "null" in expected  # a skip lies within the scores, whatever the padding
        return
    for which, key in WISHES.items():
        assert least_pad(made.axes, which) == expected.get(key, {}).get("pad")


def test_one_kernel_of_the_two_gives_a_whole_offset() -> None:
    last = head("vgg", 0).steps[-1]
    assert {kernel: [str(each) for each in offsets] for kernel, offsets in last.tried.items()} == {
        64: ["-32", "-32"],
        63: ["-65/2", "-65/2"],
    }


def test_sizes_that_come_again() -> None:
    fits = head("vgg_fc2", 1).axes[0].fits(1, 1)
    assert fits.ranges == ((49, 64),)
    assert fits.period == 32 and not fits.every
    assert 10_000_000 * 32 + 49 in fits and 10_000_000 * 32 + 48 not in fits
    assert [fits.nearest(size) for size in (3, 60, 65, 320_001)] == [49, 60, 81, 320_017]
    assert head("vgg", 0).axes[0].fits(49, 49) == Fits(((1, None),))
    assert Fits(((5, 9),)).nearest(20) == 9


def test_a_padding_for_some_sizes() -> None:
    axes = head("vgg_fc2", 1).axes
    assert [least_pad(axes, which) for which in ("every", "least", "nominal", "some")] == [None, None, 0, 0]
