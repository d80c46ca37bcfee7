"""The panel of a dense net: values to the last digit shown, places of cells as everywhere else, and bounded sizes."""

from __future__ import annotations

import base64
import io
import json
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from caffe_fcn import convert
from caffe_fcn.errors import PictureError
from caffe_fcn.inspection.inspect import open_inspected
from caffe_fcn.page import backdrop, dense, dense_maps, quantised
from caffe_fcn.page.backdrop import backdrop_of
from caffe_fcn.page.build import build_page
from caffe_fcn.page.dense import DensePanel, panel_of
from caffe_fcn.page.options import ReportOptions
from caffe_fcn.page.quantised import coded, decimals_between, pooled, step_of, top_of
from caffe_fcn.page.records import Page, Section
from caffe_fcn.page.render import render
from caffe_fcn.predict import maps
from caffe_fcn.predict.draw.view import every_pixel
from caffe_fcn.predict.images.picture import Box, open_picture, picture_of
from caffe_fcn.predict.labels import Labels
from caffe_fcn.predict.maps import Map
from caffe_fcn.predict.options import PreparationOptions
from caffe_fcn.predict.preprocessing import Preprocessing
from caffe_fcn.predict.run import Answer, RunSettings, carry_out, plan
from tests.page.pages import page_of, parsed
from tests.page.test_render import HOSTILE
from tests.passes.nets import conv, data, layer
from tests.paths import ROOT
from tests.predict.test_tiling import model_of

pytestmark = pytest.mark.thorough

DIGITS = ROOT / "models" / "digits"
SOFTMAX = layer("prob", "Softmax", "score")
SCORES = data(shape="1 1 9 9") + conv("conv", "data", 3, 5, "stride: 2") + conv("score", "conv", 4, 3)
PADDED = data(shape="1 1 9 9") + conv("conv", "data", 3, 5, "stride: 2 pad: 2") + conv("score", "conv", 4, 5) + SOFTMAX
PLAIN = SCORES + SOFTMAX
UP = layer("up", "Deconvolution", "score", params="convolution_param { num_output: 3 kernel_size: 4 stride: 2 pad: 1 }")
FINER, SEVERAL = SCORES + UP, PLAIN + UP
WHITE = (97 * np.arange(30 * 41).reshape(30, 41) % 251).astype(np.uint8)


def answered(
    text: str, directory: Path, picture: Any = WHITE, wanted: str | None = None, names: Labels | None = None
) -> tuple[DensePanel, Answer]:
    """The panel of the net TEXT on PICTURE, and the answer from which it was made."""
    settings = RunSettings(Preprocessing(), names)
    with model_of(text, directory) as model, ExitStack() as stack:
        answer = carry_out(model, plan(model, picture_of(picture, model.channels), settings), settings, stack)
        return panel_of(model, answer, settings, wanted), answer


def unpacked(document: Any, number: int = 0) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """What the script reads of a map: the top classes, their codes, and the codes of the classes shown."""
    told = document["maps"][number]
    low, high = np.frombuffer(zlib.decompress(base64.b64decode(told["data"])), np.uint8).reshape(2, -1).astype("<u2")
    codes = low + 256 * high
    codes = codes.reshape(-1, len(told["rows"]["sees"]), len(told["columns"]["sees"]))
    top = told["top"]
    assert len(codes) == 2 * top + told["shown"]
    return codes[:top], codes[top : 2 * top], codes[2 * top :]


# ---- Values as whole numbers ----


@pytest.mark.parametrize("size", [1e-45, 3e-7, 0.02, 1, 55, 1e4, 3e8, 3e38])
@pytest.mark.parametrize("below", [0, 0.3, 1])
def test_values_are_right_to_the_last_digit(size: float, below: float) -> None:
    values = (np.random.default_rng(1).random(500) - below).astype(np.float32) * np.float32(size)
    decimals = decimals_between(float(values.min()), float(values.max()))
    codes = coded(values, [decimals], 0)
    for value, code in zip(values.tolist(), codes.tolist(), strict=True):
        expected = round(value, decimals.digits) if abs(decimals.digits) < 10 else value
        assert decimals.value(code) == pytest.approx(expected, rel=1e-15, abs=0.51 * 10.0**-decimals.digits)
        if 0 <= decimals.digits < 10:
            assert f"{decimals.value(code):.{decimals.digits}f}" == f"{value + 0.0:.{decimals.digits}f}".replace(
                f"-{0:.{decimals.digits}f}", f"{0:.{decimals.digits}f}"
            )
    if size > 1e-40:  # else single precision has fewer values
        assert codes.max() - codes.min() > 5000


@pytest.mark.parametrize(("value", "digits"), [(0, 0), (1, 5), (-3.5, 5), (1234567, -1), (1e-30, 35)])
def test_a_class_with_one_value_has_six_digits(value: float, digits: int) -> None:
    decimals = decimals_between(value, value)
    assert decimals.digits == digits
    assert decimals.value(0) == pytest.approx(value, rel=1e-5)


def test_probabilities_have_few_places() -> None:
    assert decimals_between(0, 1).digits == 4
    assert decimals_between(0, 1e-5).digits == 9
    assert decimals_between(0, 1e-5, 6).digits == 6


# ---- Fewer cells and classes ----


@pytest.mark.parametrize("step", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("band", [1, 3000, 1 << 20])
def test_pooling_takes_the_highest(step: int, band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "_BAND", band)
    values = np.random.default_rng(2).standard_normal((3, 13, 17)).astype(np.float32)
    scores = Map(values.shape)
    scores.write(0, 0, values)
    rows, columns = range(0, 13, step), range(0, 17, step)
    expected = [[[each[y : y + step, x : x + step].max() for x in columns] for y in rows] for each in values]
    np.testing.assert_array_equal(pooled(scores, step), np.array(expected, np.float32))


def test_the_top_classes_are_ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised, "_CHUNK", 7)
    values = np.random.default_rng(3).integers(0, 5, (9, 40)).astype(np.float32)
    expected = np.argsort(-values, axis=0, kind="stable")
    np.testing.assert_array_equal(top_of(values, 5), expected[:5])
    np.testing.assert_array_equal(top_of(values[:3], 5), top_of(values[:3], 3))


@pytest.mark.parametrize("shape", [(1, 1, 1), (21, 2000, 2000), (1000, 100, 100), (21841, 50, 50), (2, 1, 90000)])
@pytest.mark.parametrize("budget", [dense.BUDGET, dense.BUDGET // dense.MOST_MAPS])
def test_sizes_are_bounded(shape: tuple[int, int, int], budget: int) -> None:
    classes, *sides = shape
    step = step_of(shape, budget, 20)
    high, wide = (-(-side // step) for side in sides)
    assert max(high, wide) <= quantised.MOST_SIDE
    assert high * wide * classes <= quantised.MOST_VALUES
    assert high * wide * (20 + 2 * min(32, classes)) <= budget
    finer = [-(-side // (step - 1)) for side in sides] if step > 1 else None
    if finer is not None:  # no cells are given up in vain
        assert (
            max(finer) > quantised.MOST_SIDE
            or finer[0] * finer[1] > min(quantised.MOST_CELLS, quantised.MOST_VALUES // classes)
            or finer[0] * finer[1] * (20 + 2 * min(32, classes)) > budget
        )


# ---- What the script gets ----


@pytest.mark.parametrize("text", [PLAIN, PADDED, FINER], ids=["plain", "padded", "finer"])
def test_cells_lie_where_they_lie_in_drawings(text: str, tmp_path: Path) -> None:
    panel, answer = answered(text, tmp_path)
    (told,), level = panel.maps, answer.results[0].levels[0]
    cells = level.cells
    assert (len(told.rows.sees), len(told.columns.sees)) == cells.shape == told.cells
    for told_axis, axis, drawn in zip((told.rows, told.columns), cells, cells.drawn, strict=True):
        for cell, (first, end) in enumerate(told_axis.sees):
            assert (max(0, first), min(axis.size, end)) == axis.window_of(cell)
        pixels = np.arange(axis.size) + 0.5
        found = np.floor((pixels - told_axis.start) / told_axis.step).astype(int)
        found[(found < 0) | (pixels >= told_axis.end)] = -1
        taken, low, high = every_pixel((axis.size, 1)).cells(drawn, 0, axis.size)
        expected = np.full(axis.size, -1)
        expected[taken] = low
        np.testing.assert_array_equal(low, high)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("budget", [dense.BUDGET, 1500], ids=["all", "few"])
def test_the_page_has_the_values_of_the_net(budget: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "BUDGET", budget)
    panel, answer = answered(PLAIN, tmp_path)
    document = json.loads(json.dumps(panel.document))
    scores = answer.results[0].levels[0].scores.values()
    if panel.maps[0].pooled > 1:
        scores = pooled(answer.results[0].levels[0].scores, panel.maps[0].pooled)
    assert (panel.maps[0].pooled > 1) is (budget == 1500)
    top, codes, planes = unpacked(document)
    classes = document["maps"][0]["classes"]
    order = np.argsort(-scores, axis=0, kind="stable")
    np.testing.assert_array_equal(np.array([each[0] for each in classes])[top], order[: len(top)])
    best = np.take_along_axis(scores, order, 0)
    for rank in range(len(top)):
        for code, value in zip(codes[rank].flat, best[rank].flat, strict=True):
            first, digits = document["maps"][0]["listed"]
            assert abs((first + int(code)) / 10.0**digits - float(value)) <= 0.5000001 * 10.0**-digits
    for (number, _, first, digits, peak), plane in zip(classes, planes, strict=False):
        np.testing.assert_allclose((first + plane.astype(int)) / 10.0**digits, scores[number], 0, 0.51 * 10.0**-digits)
        assert peak == scores[number].argmax()
    peaks = [scores[each[0]].max() for each in classes[: len(planes)]]
    assert peaks == sorted(peaks, reverse=True) and document["maps"][0]["span"] == [0, 1]


def test_the_same_picture_makes_the_same_bytes(tmp_path: Path) -> None:
    first, second = (answered(FINER, tmp_path)[0] for _ in range(2))
    assert json.dumps(first.document) == json.dumps(second.document) and first.picture == second.picture


@pytest.mark.parametrize("most", [2, 3])
def test_some_of_many_classes_have_a_map(most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_maps, "MOST_CLASSES", most)
    panel, answer = answered(PLAIN, tmp_path)
    peaks = answer.results[0].levels[0].scores.values().reshape(4, -1).max(1)
    (told,) = panel.maps
    assert [each.number for each in told.classes[:most]] == np.argsort(-peaks, kind="stable")[:most].tolist()
    assert told.shown == most and {each.number for each in told.classes} == {0, 1, 2, 3}
    assert all(each.peak is None for each in told.classes[most:])
    assert any(f"You can choose {most} of them, those with the highest peaks" in note for note in told.notes)
    lowest = int(np.argsort(-peaks, kind="stable")[-1])
    (asked,) = answered(PLAIN, tmp_path, wanted=str(lowest))[0].maps
    assert asked.classes[asked.chosen].number == lowest and asked.chosen == most - 1
    with pytest.raises(PictureError, match=r"class 4: expected 0 to 3"):
        answered(PLAIN, tmp_path, wanted="4")


def test_all_but_the_background_comes_first(tmp_path: Path) -> None:
    names = Labels(4, ("cat", "dog", "background", "<b>cow</b>"), "names.txt")
    panel, answer = answered(PLAIN, tmp_path, names=names)
    (told,), scores = panel.maps, answer.results[0].levels[0].scores.values()
    assert told.classes[0].number is None and told.chosen == 0 and told.shown == 5
    first, digits = told.classes[0].decimals
    np.testing.assert_allclose(
        (first + told.planes[0].astype(int)) / 10.0**digits, scores[[0, 1, 3]].max(0).ravel(), 0, 0.51 * 10.0**-digits
    )
    assert {each.name for each in told.classes} == {"all but the background", *names.names}
    (asked,) = answered(PLAIN, tmp_path, wanted="dog", names=names)[0].maps
    assert asked.classes[asked.chosen].name == "dog"


def test_a_faint_class_is_told_to_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = answered(PLAIN, tmp_path)[1].results[0].levels[0].scores.values().reshape(4, -1).max(1)
    monkeypatch.setattr(dense_maps, "_FAINT", float(np.sort(peaks)[1:3].mean()))
    told = [answered(PLAIN, tmp_path, wanted=str(each))[0].document["maps"][0]["faint"] for each in range(4)]
    assert told == (peaks < np.median(peaks)).tolist()


def test_numbers_that_are_no_scores_keep_their_order(tmp_path: Path) -> None:
    panel, _ = answered(SEVERAL, tmp_path)
    scores, values = panel.maps
    assert (scores.name, values.name) == ("prob", "up") and scores.of_classes
    assert [each.name for each in values.classes] == ["channel 0", "channel 1", "channel 2"]
    assert values.listed is None and scores.listed is not None
    assert not values.of_classes and values.top.tolist() == [[each] * values.top.shape[1] for each in range(3)]
    assert values.span[0] < 0 or values.span[1] > 1
    unpacked(panel.document, 1)


def test_maps_on_the_page_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "MOST_MAPS", 1)
    panel, _ = answered(SEVERAL, tmp_path)
    assert len(panel.maps) == 1
    assert panel.maps[0].name == "prob" and panel.notes == ("Maps that are not on the page: up.",)


def test_the_crop_of_the_classifier(tmp_path: Path) -> None:
    """A net that pads sees more than its input. A net that does not sees just that, and its crop is not told again."""
    padded, _ = answered(PADDED, tmp_path)
    (told,) = padded.maps
    assert told.rows.crops == tuple((2 * cell, 2 * cell + 9) for cell in range(len(told.rows.sees)))
    assert told.rows.sees[0] == (-2, 11) and any("classifier's crop" in note for note in told.notes)
    (plain,) = answered(PLAIN, tmp_path)[0].maps
    assert plain.rows.crops is plain.columns.crops is None and plain.rows.sees[1] == (2, 11)
    (finer,) = answered(FINER, tmp_path)[0].maps
    assert finer.rows.crops is None


def test_what_a_reader_must_know_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised, "MOST_CELLS", 60)
    (told,) = answered(PLAIN, tmp_path)[0].maps
    assert told.notes == (
        "The map of the net has 11×17 cells. Each cell here stands for 2×2 of them and has the highest value of each "
        "of the classes.",
        "Hatched pixels have no answer: no cell has its middle there (3 pixels at the top, 4 pixels at the bottom, "
        "3 pixels at the left, 3 pixels at the right).",
    )
    assert told.rows.sees[0] == (0, 11) and told.rows.step == 4
    assert told.caption == "Highest score of each class in the 2×2 cells"
    (padded,) = answered(PADDED, tmp_path)[0].maps
    assert any(note.endswith('receptive field: layer "conv" pads.') for note in padded.notes)


# ---- As part of a page ----


def page_with(net: Path, weights: Path, scale: float | None = 1 / 255, **options: Any) -> Page:
    """The page of a net with the scattered digits as its picture."""
    files = open_inspected(str(net), str(weights))
    try:
        preparation = PreparationOptions(scale=scale)
        return build_page(files, DIGITS / "scattered.png", None, preparation, ReportOptions(**options))
    finally:
        if files.weights is not None:
            files.weights.close()


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The digits model, fully convolutional."""
    directory = tmp_path_factory.mktemp("converted")
    made = directory / "fcn.prototxt", directory / "fcn.caffemodel"
    convert(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel", *made)
    return made


def test_names_of_classes_are_text(converted: tuple[Path, Path], tmp_path: Path) -> None:
    names = [*HOSTILE[:10], "background"]
    (tmp_path / "names.txt").write_text(
        "\n".join(names[:-1]).replace("\u2028", "") + "\nbackground\n", encoding="utf-8"
    )
    page = page_with(*converted, labels=tmp_path / "names.txt", wanted="3")
    html = render(page)
    found = parsed(html)
    scripts = [each for each in found.all("script") if each.attributes.get("type") == "application/json"]
    (told,) = json.loads(scripts[0].text)["maps"]
    assert names[0] in [each[1] for each in told["classes"]] and told["classes"][told["chosen"]][0] == 3
    assert "<script>alert" not in html and "<img src=x" not in html
    assert not any(name.startswith("on") for each in found.elements for name in each.attributes)
    assert html == render(page)


def test_a_net_without_a_map_says_what_to_do() -> None:
    page = page_with(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel")
    (left,) = [each for each in page.left_out if each.section is Section.DENSE]
    assert page.dense is None and "'prob' 1×11" in left.reason and "Net.convolutionalize" in left.reason


def test_a_net_that_cannot_be_converted_is_not_told_to_be(tmp_path: Path) -> None:
    text = SCORES + layer("flat", "Flatten", "score")
    with model_of(text, tmp_path):
        (tmp_path / "net.prototxt").write_text(text)
    page = page_with(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    (left,) = [each for each in page.left_out if each.section is Section.DENSE]
    assert left.reason == "the net answers for a whole picture, not with a map: 'flat' 1×4"


@pytest.mark.parametrize("wanted", ["cat", "11", 11])
def test_a_class_that_does_not_exist_is_an_error(converted: tuple[Path, Path], wanted: str | int) -> None:
    for files in (converted, (DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel")):
        with pytest.raises(PictureError, match=f"class '?{wanted}"):
            page_with(*files, wanted=wanted)


def test_a_class_needs_scores_or_a_map(tmp_path: Path) -> None:
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    values = data(shape="1 1 9 9") + layer("sum", "Reduction", "data")
    with model_of(values, tmp_path):
        files[0].write_text(values)
    with pytest.raises(PictureError, match="expected scores of classes, or a map"):
        page_with(*files, wanted=0)
    with model_of(SCORES, tmp_path):
        files[0].write_text(SCORES)
    with pytest.raises(PictureError, match="class"):
        page_with(*files, wanted=4)


def test_a_class_that_one_of_two_maps_has_is_shown_first_there(tmp_path: Path) -> None:
    more = conv("other", "conv", 6, 3) + layer("all", "Softmax", "other")
    first, second = answered(PLAIN + more, tmp_path, wanted="5")[0].maps
    assert (first.name, second.name) == ("prob", "all") and second.classes[second.chosen].number == 5


def test_a_classifier_tells_the_score_of_the_class_that_is_asked_for() -> None:
    net = DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel"
    plain = page_with(*net).layers[-1].activations
    assert plain is not None
    titles = [each.title for each in plain.classes]
    lowest = next(number for number in range(11) if f"class {number}" not in titles)
    found = page_with(*net, wanted=lowest).layers[-1].activations
    assert found is not None and [each.title for each in found.classes] == [*titles, f"class {lowest}"]


def test_without_a_picture_there_is_no_map(converted: tuple[Path, Path]) -> None:
    for files, more in ((converted, ""), ((DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel"), "'prob' 1×11")):
        page = page_of(*files)
        (reason,) = (each.reason for each in page.left_out if each.section is Section.DENSE)
        assert page.dense is None and "no picture was given" in reason and more in reason
        assert ("convolutionalize" in reason) is bool(more)
        assert not any("pixels are used" in note for note in page.notes)  # of the test pattern


def test_the_page_tells_once_how_the_picture_is_prepared(converted: tuple[Path, Path]) -> None:
    for files in (converted, (DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel")):
        page = page_with(*files, scale=None)
        told = [note for note in page.notes if "pixels are used unchanged" in note]
        assert len(told) == 1 and render(page).count("pixels are used unchanged") == 1
        assert (page.dense is not None) == (files == converted)


# ---- The picture ----


def shown(picture: Any) -> NDArray[Any]:
    made = backdrop_of(picture)
    image = Image.open(io.BytesIO(made.data))
    assert image.size == made.pixels[::-1] and made.type == f"image/{(image.format or '').lower()}"
    return np.asarray(image)


def test_a_small_picture_stays_as_it_is() -> None:
    np.testing.assert_array_equal(shown(picture_of(WHITE, 1)), WHITE)
    colours = np.random.default_rng(4).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    np.testing.assert_array_equal(shown(picture_of(colours, 3)), colours)


def test_numbers_of_any_range_are_shown() -> None:
    np.testing.assert_array_equal(shown(picture_of(np.array([[0, 0.5], [1, 1]]), 1)), [[0, 128], [255, 255]])
    assert shown(picture_of(np.zeros((5, 6, 4)), 4)).shape[:2] == (5, 6)


def test_a_large_picture_is_read_in_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backdrop, "MOST", 10)
    monkeypatch.setattr(backdrop, "_BAND", 300)
    pixels = np.arange(25 * 43).reshape(25, 43) % 251
    np.save(tmp_path / "x.npy", pixels.astype(np.uint8))
    picture = open_picture(tmp_path / "x.npy", 1)
    read, most = picture.read, 0

    class Watched:
        path, size = picture.path, picture.size

        def read(self, box: Box, step: int = 1) -> NDArray[Any]:
            nonlocal most
            most = max(most, box.bottom - box.top)
            return read(box, step)

    monkeypatch.setattr(backdrop, "MOST", 20)
    found = shown(Watched())
    expected = [[pixels[y : y + 2, x : x + 2].mean() for x in range(0, 43, 2)] for y in range(0, 25, 2)]
    reduced = Image.fromarray(np.floor(np.array(expected) + 0.5).astype(np.uint8))
    np.testing.assert_allclose(found, np.asarray(reduced.resize((20, 12), Image.Resampling.LANCZOS)), atol=1)
    assert most == 2


def test_a_photograph_becomes_a_jpeg() -> None:
    noise = np.random.default_rng(5).integers(0, 256, (400, 400, 3)).astype(np.uint8)
    assert backdrop_of(picture_of(noise, 3)).type == "image/jpeg"
    flat = np.zeros((400, 400, 3), np.uint8)
    assert backdrop_of(picture_of(flat, 3)).type == "image/png"
