"""Pictures of every kind, read by the box; what is none, or damaged, is told in a line."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from caffe_fcn.errors import ExtraError, PictureError
from caffe_fcn.predict.images import picture as images
from caffe_fcn.predict.images import stored
from caffe_fcn.predict.images.picture import Box, Picture, open_picture
from tests.paths import ROOT

HIGH, WIDE = 7, 11
RGB: NDArray[Any] = np.random.default_rng(0).integers(0, 256, (HIGH, WIDE, 3), np.uint8)
GREY: NDArray[Any] = RGB[:, :, 0].copy()
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def whole(picture: Picture) -> NDArray[Any]:
    return picture.read(Box(0, 0, *picture.size))


def saved(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


# ---- .npy ----


@pytest.mark.parametrize("dtype", ["u1", "?", "i2", ">u2", "<i8", "<f2", ">f4", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axes", [2, 3])
def test_values_in_a_npy_count_as_they_stand(tmp_path: Path, dtype: str, order: str, axes: int) -> None:
    pixels = (RGB if axes == 3 else GREY).astype(dtype)
    np.save(tmp_path / "a.npy", np.array(pixels, order=order))  # type: ignore[call-overload]
    picture = open_picture(tmp_path / "a.npy", 3)
    assert picture.size == (HIGH, WIDE)
    found = picture.read(Box(2, 3, 6, 10))
    expected = np.atleast_3d(pixels)[2:6, 3:10]
    assert found.shape == (4, 7, 3) and found.dtype == (np.uint8 if dtype in ("u1", "?") else np.float32)
    np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))
    np.testing.assert_array_equal(picture.read(Box(1, 2, 7, 11), 3), whole(picture)[1:7:3, 2:11:3])


def test_channels_are_brought_to_those_of_the_net(tmp_path: Path) -> None:
    alpha = np.concatenate((RGB, GREY[:, :, None]), 2)
    np.save(tmp_path / "a.npy", alpha)
    np.testing.assert_array_equal(whole(open_picture(tmp_path / "a.npy", 3)), RGB)
    np.testing.assert_array_equal(whole(open_picture(tmp_path / "a.npy", 4)), alpha)
    grey = whole(open_picture(tmp_path / "a.npy", 1))
    assert grey.dtype == np.uint8
    assert abs(grey[:, :, 0] - np.asarray(Image.fromarray(RGB).convert("L"), float)).max() <= 1
    np.save(tmp_path / "b.npy", alpha[:, :, :2])
    np.testing.assert_array_equal(whole(open_picture(tmp_path / "b.npy", 1))[:, :, 0], GREY)
    np.save(tmp_path / "six.npy", np.zeros((4, 5, 6), np.float32))
    assert whole(open_picture(tmp_path / "six.npy", 6)).shape == (4, 5, 6)
    with pytest.raises(PictureError, match="expected a picture H×W×C with 3 channels for this net, found 4×5×6"):
        open_picture(tmp_path / "six.npy", 3)


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    data = text.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\x01\x00" else "<I", len(data)) + data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (100, 100)}") + bytes(99), "10,000 bytes.*found 99"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (-5, -5)}") + bytes(99), "found -5×-5"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (0, 5)}"), "found 0×5"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': ()}") + b"1", "found a scalar"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 4, 4)}") + bytes(99), "found 2×3×4×4"),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2)}") + bytes(99), "found Python objects"),
        (header("{'descr': '<c8', 'fortran_order': False, 'shape': (2, 2)}") + bytes(99), "found the type complex64"),
        (header("{'descr': '<U4', 'fortran_order': False, 'shape': (2, 2)}") + bytes(99), "found the type <U4"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (10**99,)}"), "damaged file"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (9" + "9" * 99 + ", 9)}"), "the file is incomplete"),
        (header("(" * 500), "damaged file"),
        (header("{'descr': 'u1'"), "damaged file"),
        (header("{[]: 1}"), "damaged file"),
        (header("{}", b"\x03\x00"), "damaged file"),
        (b"\x93NUMPY", "damaged file"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "damaged file"),
    ],
)
def test_a_damaged_npy(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(PictureError, match=words) as found:
        open_picture(tmp_path / "a.npy")
    assert "\n" not in str(found.value) and str(found.value).startswith(str(tmp_path / "a.npy"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_a_value_that_is_no_number(tmp_path: Path, bad: float) -> None:
    pixels = np.zeros((HIGH, WIDE))
    pixels[4, 6] = bad
    np.save(tmp_path / "a.npy", pixels)
    picture = open_picture(tmp_path / "a.npy", 1)
    assert not picture.read(Box(0, 0, 4, WIDE)).any()
    for box, step in ((Box(0, 0, HIGH, WIDE), 1), (Box(2, 0, HIGH, WIDE), 2)):
        with pytest.raises(PictureError, match="row 4, column 6: expected a number, found NaN or infinity"):
            picture.read(box, step)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_cut_short_while_it_is_read(tmp_path: Path, order: str) -> None:
    np.save(tmp_path / "a.npy", np.array(RGB, order=order))  # type: ignore[call-overload]
    picture = open_picture(tmp_path / "a.npy")
    with (tmp_path / "a.npy").open("r+b") as file:
        file.truncate(200)
    with pytest.raises(PictureError, match="the file has changed"):
        whole(picture)
    (tmp_path / "a.npy").unlink()
    with pytest.raises(PictureError, match="cannot be read any more: No such file"):
        whole(picture)


# ---- Kinds of pictures that pillow decodes ----


def in_mode(mode: str) -> Image.Image:
    colour = Image.fromarray(RGB)
    return colour.quantize(64) if mode == "P" else colour.convert(mode)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *(("a.png", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
        *(("a.bmp", mode) for mode in ("1", "L", "P", "RGB")),
        *(("a.jpg", mode) for mode in ("L", "RGB", "CMYK")),
        *(("a.gif", mode) for mode in ("L", "P")),
        *(("a.tif", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")),
        ("a.ppm", "RGB"),
        ("a.pgm", "L"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_what_pillow_makes_of_them(tmp_path: Path, name: str, mode: str, channels: int) -> None:
    in_mode(mode).save(tmp_path / name)
    with Image.open(tmp_path / name) as image:
        colours = image.convert("RGB")
        expected = np.asarray(
            image.convert("RGB" if mode == "P" else image.mode).convert("RGB" if channels == 3 else "L")
        )
    picture = open_picture(tmp_path / name, channels)
    assert picture.size == (HIGH, WIDE) == colours.size[::-1]
    found = whole(picture)
    assert found.dtype == np.uint8 and found.shape == (HIGH, WIDE, channels)
    assert abs(found.squeeze().astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(picture.read(Box(2, 1, 5, 9)), found[2:5, 1:9])
    np.testing.assert_array_equal(picture.read(Box(1, 1, 7, 10), 3), found[1:7:3, 1:10:3])


@pytest.mark.parametrize("name", ["a.png", "a.pgm", "a.tif", "packed.tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_become_255(tmp_path: Path, name: str, channels: int) -> None:
    pixels = np.array([[0, 257, 65535], [1, 32768, 514]], np.uint16)
    if name == "a.pgm":  # which pillow before 9.4 does not write
        (tmp_path / name).write_bytes(b"P5 3 2 65535\n" + pixels.astype(">u2").tobytes())
    else:
        saved(tmp_path / name, pixels, **({"compression": "tiff_deflate"} if name == "packed.tif" else {}))
    found = whole(open_picture(tmp_path / name, channels))
    assert found.shape == (2, 3, channels)
    np.testing.assert_allclose(found[:, :, -1], pixels / 257, rtol=1e-6)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_the_numbers_of_a_tiff_of_32_bits_stand(tmp_path: Path, compression: str | None) -> None:
    pixels = np.linspace(-3, 900, HIGH * WIDE, dtype=np.float32).reshape(HIGH, WIDE)
    saved(tmp_path / "a.tif", pixels, compression=compression)
    np.testing.assert_array_equal(whole(open_picture(tmp_path / "a.tif", 1))[:, :, 0], pixels)
    pixels[3, 2] = np.nan
    saved(tmp_path / "a.tif", pixels, compression=compression)
    with pytest.raises(PictureError, match="row 3, column 2: expected a number"):
        whole(open_picture(tmp_path / "a.tif", 1))
    numbers = np.arange(HIGH * WIDE, dtype=np.int32).reshape(HIGH, WIDE) * 1000
    saved(tmp_path / "i.tif", numbers, compression=compression)
    np.testing.assert_array_equal(whole(open_picture(tmp_path / "i.tif", 1))[:, :, 0], numbers)


def test_transparency_is_ignored_and_of_several_pictures_the_first_is_taken(tmp_path: Path) -> None:
    clear = np.dstack((RGB, np.zeros((HIGH, WIDE), np.uint8)))
    np.testing.assert_array_equal(whole(open_picture(saved(tmp_path / "a.png", clear))), RGB)
    frames = [Image.new("RGB", (4, 3), colour) for colour in (RED, BLUE)]
    for name in ("a.gif", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert (whole(open_picture(tmp_path / name)) == RED).all()


TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: lambda lies: lies,
    2: np.fliplr,
    3: lambda lies: np.rot90(lies, 2),
    4: np.flipud,
    5: lambda lies: lies.swapaxes(0, 1),
    6: lambda lies: np.rot90(lies, -1),
    7: lambda lies: np.rot90(lies, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("name", ["a.png", "a.tif", "packed.tif", "a.jpg"])
def test_a_picture_stands_as_its_exif_says(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"compression": "tiff_deflate"} if name == "packed.tif" else {}
    saved(tmp_path / name, RGB, exif=exif, **options)
    with Image.open(tmp_path / name) as image:
        lies = np.asarray(image.convert("RGB")) if name == "a.jpg" else RGB
    picture = open_picture(tmp_path / name)
    expected = TURNS[orientation](lies)
    assert picture.size == expected.shape[:2]
    np.testing.assert_array_equal(whole(picture), expected)
    np.testing.assert_array_equal(picture.read(Box(1, 2, 7, 6)), expected[1:7, 2:6])
    np.testing.assert_array_equal(picture.read(Box(1, 0, 7, 7), 2), expected[1:7:2, 0:7:2])


def test_exif_that_says_nothing(tmp_path: Path) -> None:
    for exif in (b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0"):
        np.testing.assert_array_equal(whole(open_picture(saved(tmp_path / "a.png", RGB, exif=exif))), RGB)


def test_exif_is_applied_as_by_opencv(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = saved(tmp_path / f"{orientation}.jpg", np.kron(RGB, np.ones((8, 8, 1), np.uint8)), exif=exif, quality=95)
        found = whole(open_picture(path)).astype(int)
        assert abs(found - cv2.imread(str(path))[:, :, ::-1]).max() <= 3  # decoders of JPEG differ that much


# ---- TIFF in place ----


@pytest.mark.parametrize("pixels", [GREY, RGB, np.dstack((RGB, GREY)), GREY.astype(np.uint16) * 200])
@pytest.mark.parametrize("order", ["<", ">"])
def test_an_uncompressed_tiff_is_read_in_place(tmp_path: Path, pixels: NDArray[Any], order: str) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(pixels, order))
    with Image.open(path) as image:
        image.load()
    picture = open_picture(path, 3)
    assert isinstance(picture, images._Plain)
    expected = np.atleast_3d(pixels)[:, :, :3] / (257 if pixels.dtype == np.uint16 else 1)
    np.testing.assert_allclose(whole(picture), np.broadcast_to(expected, (HIGH, WIDE, 3)), rtol=1e-6)


def test_tiffs_that_pillow_writes_are_read_in_place(tmp_path: Path) -> None:
    large = np.random.default_rng(1).integers(0, 256, (300, 700, 3), np.uint8)  # several strips
    picture = open_picture(saved(tmp_path / "a.tif", large))
    assert isinstance(picture, images._Plain)
    np.testing.assert_array_equal(whole(picture), large)


def tiff(pixels: NDArray[Any], order: str = "<", rows: int = 3, **changed: Any) -> bytes:
    """PIXELS as a TIFF in strips of ROWS, with tags CHANGED."""
    high, wide, channels = np.atleast_3d(pixels).shape
    data = pixels.astype(f"{order}u{pixels.itemsize}").tobytes()
    line = wide * channels * pixels.itemsize
    starts = range(0, high, rows)
    tags: dict[int, Any] = {
        256: [wide],
        257: [high],
        258: [8 * pixels.itemsize] * channels,
        259: [1],
        262: [2 if channels > 2 else 1],
        273: [8 + start * line for start in starts],
        277: [channels],
        278: [rows],
        279: [(min(high, start + rows) - start) * line for start in starts],
    }
    tags.update({338: [2]} if channels in (2, 4) else {})
    tags.update({int(tag[1:]): value for tag, value in changed.items()})
    directory = 8 + len(data) + len(data) % 2
    behind = directory + 2 + 12 * len(tags) + 4
    entries, extra = struct.pack(f"{order}H", len(tags)), b""
    for tag, values in sorted(tags.items()):
        held = struct.pack(f"{order}{len(values)}I", *values)
        place = held if len(values) == 1 else struct.pack(f"{order}I", behind + len(extra))
        extra += b"" if len(values) == 1 else held
        entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + place
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", directory)
    return start + data + bytes(len(data) % 2) + entries + bytes(4) + extra


@pytest.mark.parametrize(
    "changed",
    [
        {"_262": [0]},
        {"_274": [6]},
        {"_266": [2]},
        {"_273": [8 + 66 * 4, 8 + 66 * 2, 8]},
        {"_273": [8, 8, 8]},
        {"_279": [33, 33, 1]},
        {"_278": [0]},
        {"_278": [2]},
        {"_256": [12]},
        {"_257": [0]},
        {"_258": [16]},
        {"_273": [1 << 30, (1 << 30) + 33, (1 << 30) + 66]},
    ],
)
def test_other_tiffs_are_left_to_pillow(tmp_path: Path, changed: dict[str, Any]) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(GREY, **changed))
    try:
        assert not isinstance(open_picture(path, 1), images._Plain)
    except PictureError as error:
        assert str(path) in str(error) and "\n" not in str(error)


# ---- What is no picture ----


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "expected a picture, found an empty file"),
        (b"layer { name: 'data' }\n", r"expected a picture \(PNG, .* or .npy\), found a file of another kind"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a file of another kind"),
        (b"\x89PNG\r\n\x1a\n", "damaged|another kind"),
        (b"\xff\xd8\xff\xe0", "damaged|another kind"),
    ],
)
def test_what_is_no_picture(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(PictureError, match=words):
        open_picture(tmp_path / "a.png")


def test_a_place_without_a_picture(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_picture(tmp_path / "a.png")
    with pytest.raises(PictureError, match="expected a picture in a file, found a directory"):
        open_picture(tmp_path)
    with pytest.raises(PictureError, match="found a pipe or a device; save it to a file first"):
        open_picture("/dev/null")


def test_channels_that_no_picture_has(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"a picture with 5 channels.*found one in RGB; give it as a \.npy"):
        open_picture(saved(tmp_path / "a.png", RGB), 5)


@pytest.mark.parametrize(("name", "form"), [("a.png", {}), ("a.jpg", {}), ("a.tif", {"compression": "tiff_lzw"})])
def test_a_truncated_picture(tmp_path: Path, name: str, form: dict[str, Any]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = saved(tmp_path / name, pixels, **form).read_bytes()
    for kept in (len(data) // 2, len(data) - len(data) // 8, 40):
        (tmp_path / name).write_bytes(data[:kept])
        with pytest.raises(PictureError, match=r"damaged|another kind") as found:
            open_picture(tmp_path / name)
        assert "\n" not in str(found.value)


def png(high: int, wide: int) -> bytes:
    """A PNG that says to be so large, and has no pixel."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", wide, high, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(100_000, 100_000))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    with pytest.raises(
        PictureError, match="500,000,000 pixels, found 100000×100000; accept it with max_pixels=10000000000"
    ):
        open_picture(path)
    np.save(tmp_path / "a.npy", GREY)
    with pytest.raises(
        PictureError, match=f"expected at most 76 pixels, found 7×11; accept it with max_pixels={HIGH * WIDE}"
    ):
        open_picture(tmp_path / "a.npy", 1, max_pixels=76)
    assert open_picture(tmp_path / "a.npy", 1, max_pixels=77).size == (HIGH, WIDE)
    assert Image.MAX_IMAGE_PIXELS  # pillow's own limit is as it was


@pytest.mark.thorough
def test_damaged_bytes_raise_no_other_error(tmp_path: Path) -> None:
    draw = random.Random(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.png", "a.jpg", "a.gif", "a.bmp", "a.tif", "a.webp"):
        damaged(tmp_path / name, saved(tmp_path / name, RGB, exif=exif).read_bytes(), draw, 150)
    damaged(tmp_path / "b.tif", tiff(RGB), draw, 300)
    np.save(tmp_path / "a.npy", RGB.astype(np.float32))
    damaged(tmp_path / "a.npy", (tmp_path / "a.npy").read_bytes(), draw, 300)


def damaged(path: Path, data: bytes, draw: random.Random, times: int) -> None:
    """Read the picture DATA many times, each time with a few other bytes in it."""
    for _ in range(times):
        changed = bytearray(data)
        for _ in range(draw.choice((1, 1, 3, 20))):
            changed[draw.randrange(min(len(changed), draw.choice((64, 100_000))))] = draw.choice(
                (0, 255, draw.randrange(256))
            )
        path.write_bytes(changed[: draw.choice((len(changed), draw.randrange(len(changed)))) + 1])
        try:
            picture = open_picture(path, draw.choice((1, 3)), max_pixels=1_000_000)
            assert whole(picture).shape[:2] == picture.size
        except (PictureError, OSError) as error:
            assert "\n" not in str(error)


def test_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", RGB)
    np.save(tmp_path / "a.npy", RGB)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ExtraError, match=r"pip install 'caffe-fcn\[run\]'"):
        open_picture(path)
    assert open_picture(tmp_path / "a.npy").size == (HIGH, WIDE)


# ---- Memory ----

MEASURE = """
import resource, sys
import numpy, PIL.Image, PIL.TiffImagePlugin, PIL.PngImagePlugin
from caffe_fcn.predict.images.picture import Box, open_picture
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
picture = open_picture(sys.argv[1], 1)
for top in range(0, 4000, 500):
    for left in range(0, 4000, 500):
        assert picture.read(Box(top, left, top + 500, left + 500)).shape == (500, 500, 1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "most"), [("a.npy", 12), ("fortran.npy", 12), ("a.tif", 12), ("a.png", 50)])
def test_memory_is_that_of_the_boxes(tmp_path: Path, name: str, most: int) -> None:
    pixels: NDArray[Any] = np.zeros((4000, 4000), np.uint8)  # 16 MB
    if name == "fortran.npy":
        np.save(tmp_path / name, np.asfortranarray(pixels))
    elif name == "a.npy":
        np.save(tmp_path / name, pixels)
    else:
        saved(tmp_path / name, pixels)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / name)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < most << 10


def test_a_tiff_ends_where_its_file_does(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(GREY))
    with Image.open(path) as image:
        tags = dict(image.tag_v2)  # type: ignore[attr-defined]
    assert stored.tiff(str(path), tags, "<") is not None
    path.write_bytes(b"II")
    assert stored.tiff(str(path), tags, "<") is None
