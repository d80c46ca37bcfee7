"""`caffe-fcn score`: what is printed."""

from __future__ import annotations

import numpy as np

from tests.cli.conftest import CommandLine, the_message

TABLES = """\
b.npy against a.npy: 1 image, 8 pixels, 1 ignored
class  name  pixels  accuracy      IU
─────────────────────────────────────
    0  sky        4    0.7500  0.7500
    1  road       4    0.5000  0.4000
    2  car        0         -  0.0000

pixels of the class in the row that are predicted as the class in the column
class  0  1  2
──────────────
    0  3  1  0
    1  0  2  2
    2  0  0  0

all classes
measure                 value
─────────────────────────────
overall accuracy       0.6250
mean accuracy          0.6250
mean IU                0.3833
frequency-weighted IU  0.5750
"""


def files(cli: CommandLine) -> None:
    np.save(cli.path / "a.npy", np.array([[0, 0, 0, 0, 255, 1, 1, 1, 1]]))
    np.save(cli.path / "b.npy", np.array([[0, 0, 0, 1, 0, 1, 1, 2, 2]]))
    (cli.path / "names.txt").write_text("sky\nroad\ncar\n")


def test_the_tables(cli: CommandLine) -> None:
    files(cli)
    result = cli.run("score", "a.npy", "b.npy", "--ignore", "255", "--names", "names.txt")
    assert (result.code, result.err) == (0, "")
    assert [line.rstrip() for line in result.out.decode().splitlines()] == TABLES.splitlines()


def test_the_document(cli: CommandLine) -> None:
    files(cli)
    document = cli.run("score", "a.npy", "b.npy", "--ignore", "255", "--classes", "3", "--json").document
    assert document["confusion"] == [[3, 1, 0], [0, 2, 2], [0, 0, 0]]
    assert [each["iu"] for each in document["classes"]] == [0.75, 0.4, 0.0]
    assert document["classes"][2] == {
        "class": 2,
        "name": None,
        "pixels": 0,
        "predicted": 2,
        "accuracy": None,
        "iu": 0.0,
    }
    assert (document["images"], document["pixels"], document["ignored"]) == (1, 8, 1)
    assert (document["overall_accuracy"], document["mean_accuracy"]) == (0.625, 0.625)


def test_a_large_confusion_matrix_is_in_the_document_alone(cli: CommandLine) -> None:
    files(cli)
    words = ("score", "a.npy", "b.npy", "--ignore", "255", "--classes", "13")
    assert (
        "predicted as" not in cli.run(*words).out.decode()
        and len(cli.run(*words, "--json").document["confusion"]) == 13
    )


def test_what_cannot_be_scored_is_one_line(cli: CommandLine) -> None:
    files(cli)
    result = cli.run("score", "a.npy", "b.npy", "--classes", "3")
    assert (result.code, result.out) == (1, b"")
    assert "found 255, which marks pixels without a class; leave such pixels out with --ignore 255" in the_message(
        result.err
    )
    assert cli.run("score", "a.npy", "missing.npy").code == 1
    for words in (("--classes", "1"), ("--classes", "5000"), ("--ignore", "x")):
        assert cli.run("score", "a.npy", "b.npy", *words).code == 2
