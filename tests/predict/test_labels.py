"""Names of classes: files of many habits, and classes found by name or number."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_fcn.errors import PictureError
from caffe_fcn.predict.labels import Labels, read_labels
from tests.paths import ROOT

ANIMALS = ("tench, Tinca tinca", "goldfish", "crane", "crane", "background")


@pytest.mark.parametrize(
    "text",
    [
        "n01440764 tench, Tinca tinca\nn01443537 goldfish\n",
        "n01440764\ttench, Tinca tinca\nn01443537 goldfish\n\n  \n",
        "\ufefftench, Tinca tinca\r\ngoldfish",
        "tench, Tinca tinca\rgoldfish\r",
        "  tench, Tinca tinca  \ngoldfish\n",
    ],
)
def test_a_name_a_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels").write_bytes(text.encode())
    labels = read_labels(tmp_path / "labels", 2)
    assert labels.names == ("tench, Tinca tinca", "goldfish") and labels.count == 2
    assert labels.title(1) == "goldfish" and labels.background is None


def test_names_of_all_kinds(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("été\n\nn01440764\nline\u2028separator\n", encoding="utf-8")
    labels = read_labels(tmp_path / "labels", 4)
    assert labels.names == ("été", "", "n01440764", "line\u2028separator")
    assert labels.title(1) == "class 1"


def test_the_digits() -> None:
    labels = read_labels(ROOT / "models" / "digits" / "labels.txt", 11)
    assert labels.background == 10 == labels.find("Background") and labels.find("7") == 7


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a\nb\n", "expected 3 labels, one line for each class of the net, found 2"),
        (b"", "found 0"),
        (b"a\nb\nc\nd", "found 4"),
        (b"a\nb\xff\nc\n", ":2: expected labels in UTF-8, found other bytes; convert the file"),
        (b"\x89PNG\0\0\n", "expected labels, one in each line, found no text"),
    ],
)
def test_what_are_no_labels_of_the_net(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "labels").write_bytes(data)
    with pytest.raises(PictureError, match=words) as found:
        read_labels(tmp_path / "labels", 3)
    assert str(found.value).startswith(f"{tmp_path / 'labels'}:") and "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("0", 0),
        ("4", 4),
        ("goldfish", 1),
        (" GOLDFISH ", 1),
        ("tinca TINCA", 0),
        ("tench", 0),
        ("tench, tinca tinca", 0),
    ],
)
def test_a_class_is_found(wanted: str, index: int) -> None:
    assert Labels(5, ANIMALS, "synset.txt").find(wanted) == index


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("5", "class 5: expected 0 to 4, the net has 5 classes"),
        ("-1", "expected a name from synset.txt"),
        ("crane", "several classes have this name, 2, 3; give its number"),
        ("goldfsh", "did you mean 'goldfish'?"),
        ("", "class '': expected a name from synset.txt, found no such name"),
        ("zzz", "or give its number"),
    ],
)
def test_a_class_is_not_found(wanted: str, words: str) -> None:
    with pytest.raises(PictureError) as found:
        Labels(5, ANIMALS, "synset.txt").find(wanted)
    assert words in str(found.value)


def test_without_names() -> None:
    labels = Labels(5)
    assert labels.name(3) is None and labels.title(3) == "class 3" and labels.find("3") == 3
    with pytest.raises(
        PictureError, match="class 'cat': expected a number, because the names are unknown; give them with"
    ):
        labels.find("cat")


def test_many_of_one_name_are_told_in_a_line() -> None:
    with pytest.raises(PictureError, match=r"classes have this name, 0, 1, 2, 3, 4, \.\.\.; give its number"):
        Labels(1000, ("same",) * 1000, "labels").find("same")
