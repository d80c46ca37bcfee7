from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fcn.files import slabs as module
from caffe_fcn.files.slabs import reads, slabs

SIZES = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=4)


@settings(max_examples=50)
@given(axes=SIZES, limit=st.integers(1, 40), chunked=st.booleans())
def test_slabs_make_up_the_array_in_order(axes: list[tuple[int, int]], limit: int, chunked: bool) -> None:
    shape, chunks = tuple(extent for extent, _ in axes), tuple(chunk for _, chunk in axes)
    array = np.arange(prod(shape)).reshape(shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SLAB", limit)
        parts = [array[slab] for slab in slabs(shape, chunks if chunked else None)]
    assert all(0 < part.size <= limit for part in parts)
    np.testing.assert_array_equal(np.concatenate([np.ravel(part) for part in parts] or [np.zeros(0)]), array.ravel())


@pytest.mark.thorough
@settings(max_examples=50)
@given(axes=SIZES, limit=st.integers(1, 40))
def test_reads_are_how_often_a_chunk_is_needed(axes: list[tuple[int, int]], limit: int) -> None:
    shape, chunks = tuple(extent for extent, _ in axes), tuple(chunk for _, chunk in axes)
    if not shape:
        return  # a scalar has no chunks
    needed: dict[tuple[int, ...], int] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SLAB", limit)
        for slab in slabs(shape, chunks):
            inside = np.zeros(shape)
            inside[slab] = 1
            for chunk in {
                tuple(at // extent for at, extent in zip(place, chunks, strict=True)) for place in np.argwhere(inside)
            }:
                needed[chunk] = needed.get(chunk, 0) + 1
        most = max(needed.values(), default=0)
        assert most <= reads(shape, chunks) <= 2 * most


def test_rows_go_by_the_chunk_where_a_slab_holds_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLAB", 50)
    assert [slab[0].stop for slab in slabs((10, 10), (2, 3))] == [4, 8, 10]
    assert [slab[0].stop for slab in slabs((10, 10), None)] == [5, 10]
    assert [slab[0].stop for slab in slabs((10, 10), (9, 1))] == [5, 10]
    assert list(slabs((2, 3, 30), (1, 1, 1))) == [(i, slice(j, j + 1)) for i in range(2) for j in range(3)]


@pytest.mark.parametrize(
    ("shape", "chunks", "expected"),
    [
        ((4096, 25088), (64, 392), 1),  # as h5py chooses them
        ((512, 512, 3, 3), (512, 512, 3, 3), 1),
        ((4096, 25088), (4096, 64), 25),
        ((65536, 4096), (65536, 1), 64),
        ((1, 1, 4096, 25088), (1, 1, 64, 392), 1),
        ((8, 4096, 25088), (8, 64, 392), 8),
    ],
)
def test_what_chunks_cost(shape: tuple[int, ...], chunks: tuple[int, ...], expected: int) -> None:
    assert reads(shape, chunks) == expected
