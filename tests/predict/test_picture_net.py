"""Nets loaded to look at pictures: sizes they take, what they are asked, how pictures are cut for them."""

from __future__ import annotations

import gc
import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.engines.onnxruntime import OnnxRuntime
from caffe_fcn.engines.opencv import OpenCv
from caffe_fcn.errors import EngineError, LoweringError, PictureError, WeightsError
from caffe_fcn.files import prototxt
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.net.source import interpret
from caffe_fcn.predict import dense, picture_net
from caffe_fcn.predict.dense import check_size, tiles_of
from caffe_fcn.predict.images.picture import open_picture
from caffe_fcn.predict.loading import load_picture_net
from caffe_fcn.predict.picture_net import PictureNet
from caffe_fcn.predict.preparing import check_settings
from caffe_fcn.predict.preprocessing import Preprocessing
from caffe_fcn.predict.run import RunSettings, carry_out, plan
from tests.engines.nets import net_of, weights_of
from tests.passes.nets import conv, data, fc, layer
from tests.predict.test_tiling import model_of

PLAIN = data(shape="1 1 20 20") + conv("conv", "data", 3, 5, "stride: 2") + conv("score", "conv", 2, 3)
PADDED = data(shape="1 1 20 20") + conv("conv", "data", 3, 5, "stride: 2 pad: 2") + conv("score", "conv", 2, 3)
CLASSIFIER = data(shape="1 1 20 20") + conv("conv", "data", 3, 5) + fc("score", "conv", 4)
POOLED = PLAIN + layer("pool", "Pooling", "score", params="pooling_param { pool: AVE global_pooling: true }")
NORMALIZED = PLAIN + layer("mvn", "MVN", "score")


@pytest.mark.parametrize(
    ("text", "fixed", "smallest", "is_map"),
    [
        (PLAIN, None, (9, 9), True),
        (PADDED, None, (5, 5), True),
        (CLASSIFIER, (20, 20), (20, 20), False),
        (POOLED, None, (9, 9), False),
        (NORMALIZED, None, (9, 9), True),
    ],
    ids=["plain", "padded", "classifier", "pooled", "normalized"],
)
def test_sizes_that_nets_take(
    tmp_path: Path, text: str, fixed: tuple[int, int] | None, smallest: tuple[int, int], is_map: bool
) -> None:
    with model_of(text, tmp_path) as model:
        assert (model.fixed, model.smallest, bool(model.maps)) == (fixed, smallest, is_map)
        check_size(model, "x", smallest)
        high, wide = smallest
        with pytest.raises(PictureError, match=r"^x: expected "):
            check_size(model, "x", (high - 1, wide))
        made = model.run(np.zeros((1, 1, *smallest), np.float32))
        assert {name: array.shape[1] for name, array in made.items()} == {
            each.name: each.channels for each in model.outputs
        }


def test_a_size_for_which_the_weights_are_the_same_is_no_other_net(tmp_path: Path) -> None:
    """As of LeNet's train_test, which does not tell its size: of 25 to 28 pixels, the least is taken."""
    pool = layer("pool", "Pooling", "data", params="pooling_param { pool: MAX kernel_size: 4 stride: 4 }")
    with model_of(data(shape="1 1 25 25") + pool + fc("score", "pool", 4), tmp_path) as model:
        check_size(model, "x", (25, 25))
        with pytest.raises(PictureError, match=r"load the net for it with shapes=\{'data': \(1, 1, 28, 28\)\}$"):
            check_size(model, "x", (28, 28))
        with pytest.raises(PictureError, match="the only size that the net accepts, found 29×28 pixels; resize it"):
            check_size(model, "x", (29, 28))


def test_an_engine_that_takes_all_sizes_is_not_asked(tmp_path: Path) -> None:
    with weights_of(net_of(CLASSIFIER), tmp_path / "w") as weights:
        model = load_picture_net(interpret(prototxt.parse(CLASSIFIER, "x")), weights, OpenCv(1))
        assert model.session.inputs["data"][2:] == (None, None) and model.fixed == (20, 20)


def test_a_net_is_released_at_once(tmp_path: Path) -> None:
    """A large net must not stay in memory until the next garbage collection."""
    with model_of(PADDED, tmp_path) as model:
        (output,) = model.maps
        model.cells(output, (30, 40)), model.reach(output, (30, 40)), model.smallest, model.bytes_per_pixel, model.fixed
        model.run(np.zeros((1, 1, 30, 40), np.float32))
    net, session = weakref.ref(model), weakref.ref(model.session)
    gc.disable()
    try:
        del model
        assert net() is None and session() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("size", [(30, 40), (31, 40)])
def test_cells_of_many_sizes_are_not_kept(
    tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_net, "_KEPT", 2)
    with model_of(PADDED, tmp_path) as model:
        (output,) = model.maps
        made = [model.cells(output, (high, 40)) for high in (30, 31, 32)]
        assert [each.rows.size for each in made] == [30, 31, 32] and len(model._known_cells) == 2
        assert model.cells(output, size) == made[size[0] - 30]


def loading(text: str, directory: Path, blob: str | None = None) -> PictureNet:
    with weights_of(net_of(text), directory / "w") as weights:
        return load_picture_net(
            interpret(prototxt.parse(text, "net.prototxt")),
            weights,
            OnnxRuntime(1),
            blobs=[] if blob is None else [blob],
        )


@pytest.mark.parametrize(
    ("text", "blob", "told"),
    [
        (
            data(shape="1 1 20 20") + data("other", "1 1 20 20") + layer("sum", "Eltwise", "data other"),
            None,
            "with one input",
        ),
        (data(shape="1 7") + fc("score", "data", 2), None, "expected pictures, N×C×H×W, as input 'data', found 1×7"),
        (PLAIN, "scor", "'scor' is not a blob of the net; expected one of 'score', 'conv'"),
    ],
    ids=["inputs", "vector", "blob"],
)
def test_nets_that_are_none_for_pictures(tmp_path: Path, text: str, blob: str | None, told: str) -> None:
    with pytest.raises((EngineError, LoweringError)) as error:
        loading(text, tmp_path, blob)
    assert told in str(error.value) and str(error.value).startswith("net.prototxt: ")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_must_be_numbers(tmp_path: Path, value: float) -> None:
    with weights_of(net_of(PLAIN), tmp_path / "w"):
        message = schema.NetParameter.FromString((tmp_path / "w").read_bytes())
    message.layer[-1].blobs[1].data[0] = value
    (tmp_path / "w").write_bytes(message.SerializeToString())
    with (
        open_caffemodel(tmp_path / "w") as weights,
        pytest.raises(WeightsError, match=r'w: layer "score", blob 1: expected numbers, found NaN or infinity'),
    ):
        load_picture_net(interpret(prototxt.parse(PLAIN, "x")), weights, OnnxRuntime(1))


def test_numbers_that_grow_beyond_all_bounds(tmp_path: Path) -> None:
    with (
        model_of(PLAIN, tmp_path) as model,
        pytest.raises(EngineError, match=r"NaN or infinity in 'score', computed from finite"),
    ):
        model.run(np.full((1, 1, 20, 20), 3e38, np.float32))


def test_a_fixed_batch_is_filled(tmp_path: Path) -> None:
    text = data(shape="4 1 6 6") + layer("flat", "Reshape", "data", params="reshape_param { shape { dim: 4 dim: 36 } }")
    with model_of(text + fc("score", "flat", 2), tmp_path) as model:
        pictures = np.arange(3 * 36, dtype=np.float32).reshape(3, 1, 6, 6)
        one, three = model.run(pictures[:1])["score"], model.run(pictures)["score"]
        assert one.shape == (1, 2) and three.shape == (3, 2) and model.batch == 4
        np.testing.assert_allclose(three, [model.run(each[None])["score"][0] for each in pictures], rtol=1e-5)


# ---- How pictures are cut ----


def test_large_pictures_are_cut_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with model_of(PLAIN, tmp_path) as model:
        cells = [model.cells(model.outputs[0], (300, 200))]
        assert tiles_of(model, cells).many == 1
        monkeypatch.setattr(dense, "COMFORTABLE", int(model.bytes_per_pixel * 70 * 70))
        cut = tiles_of(model, cells)
        assert cut.many > 4 and max(span.stop - span.start for span in cut.rows) <= 80
        assert tiles_of(model, cells, automatic=False).many == 1
        assert tiles_of(model, cells, 1000).many == 1


def test_what_cannot_be_cut_is_run_whole_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with model_of(NORMALIZED, tmp_path) as model:
        cells = [model.cells(model.outputs[0], (300, 200))]
        monkeypatch.setattr(dense, "COMFORTABLE", 1)
        assert tiles_of(model, cells).why is None
        monkeypatch.setattr(dense, "BUDGET", 1)
        cut = tiles_of(model, cells)
        assert cut.many == 1 and cut.why == 'layer "mvn" reads the whole map'
        with pytest.raises(EngineError, match='cannot be run in tiles: layer "mvn" reads the whole map'):
            tiles_of(model, cells, 100)


def test_layers_that_a_blob_does_not_need_do_not_count(tmp_path: Path) -> None:
    """Of a classifier that takes one size alone, a map in its middle is one of pictures of any size, and cut."""
    np.save(tmp_path / "x.npy", np.arange(30 * 40).reshape(30, 40) % 7)
    text = data(shape="1 1 20 20") + conv("conv", "data", 3, 2) + fc("score", "conv", 2)
    with weights_of(net_of(text), tmp_path / "w") as weights, ExitStack() as stack:
        model = load_picture_net(interpret(prototxt.parse(text, "x")), weights, OnnxRuntime(1), blobs=["conv"])
        made = []
        for tile in (None, 9):
            how = settings(tile=tile)
            work = plan(model, open_picture(tmp_path / "x.npy", model.channels), how)
            made.append(carry_out(model, work, how, stack).results[0].levels[0])
        assert model.fixed is None and [level.tiles for level in made] == [1, 20]
        np.testing.assert_allclose(made[0].scores.values(), made[1].scores.values(), rtol=1e-5, atol=1e-6)
        with pytest.raises(
            EngineError, match=r"^tile=1: expected at least 2 pixels, the window of one cell of the map$"
        ):
            plan(model, open_picture(tmp_path / "x.npy", model.channels), settings(tile=1))


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (conv("other", "conv", 2, 3), None),
        (conv("other", "conv", 2, 4), "the cells of its maps are at different positions; choose one map with `blobs`"),
        (
            layer("other", "Pooling", "conv", params="pooling_param { pool: AVE global_pooling: true }"),
            "some of the chosen blobs are not maps; choose a map with `blobs`",
        ),
    ],
    ids=["same", "other", "vector"],
)
def test_several_outputs_are_cut_where_their_cells_are_the_same(tmp_path: Path, other: str, told: str | None) -> None:
    np.save(tmp_path / "x.npy", np.arange(60 * 70).reshape(60, 70) % 7)
    with model_of(PLAIN + other, tmp_path) as model, ExitStack() as stack:
        found = open_picture(tmp_path / "x.npy", 1)
        how = settings()
        whole = carry_out(model, plan(model, found, how), how, stack).results
        assert {each.output.name for each in whole} == {"score", "other"}
        how = settings(tile=30)
        if told is not None:
            with pytest.raises(EngineError, match=told):
                plan(model, found, how)
            return
        cut = carry_out(model, plan(model, found, how), how, stack).results
        for one, tiled in zip(whole, cut, strict=True):
            assert tiled.levels[0].tiles > 4
            np.testing.assert_array_equal(tiled.levels[0].scores.values(), one.levels[0].scores.values())


def settings(**others: Any) -> RunSettings:
    return RunSettings(Preprocessing(), None, **others)


def test_a_classifier_without_a_size_of_its_own(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(30 * 40).reshape(30, 40) % 7)
    with model_of(POOLED, tmp_path) as model:
        work = plan(model, open_picture(tmp_path / "x.npy", model.channels), settings())
        assert work.runs == 1 and work.parts[0].cells == ()
        with ExitStack() as stack:
            answer = carry_out(model, work, settings(), stack)
            (result,) = answer.results
            assert result.levels == () and result.values is not None and result.values.shape == (1, 2, 1, 1)
        with pytest.raises(EngineError, match="but `tile` needs a map"):
            check_settings(model, settings(tile=100))
