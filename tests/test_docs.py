"""The pages: every command that they show is run and must print what the page shows; generated ones are up to date."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click
import generate
import numpy as np
import pytest
from make_weights import write_weights
from PIL import Image

import caffe_fcn
from caffe_fcn import schema
from caffe_fcn.cli.main import app
from tests.engines.nets import add_layer
from tests.paths import GOLDEN, ROOT

WHERE = ("*.md", "docs/*.md", "examples/*.md", "models/**/*.md")
PAGES = [page for where in WHERE for page in sorted(ROOT.glob(where))]
PLACEHOLDER = re.compile(r"\[OPTIONS\]|\[WEIGHTS|\bNET\b|\bDIR\b|\bFILE\b|\.\.\.")
"""What stands in a command that describes the usage and is none to type."""
ROUNDING = re.compile(r"[0-9]\.[0-9]e-[0-9]{2}")
"""A measured difference, which is another on another processor."""


class Command(NamedTuple):
    """A command on a page. SHOWN is what it prints there, None where the page does not say."""

    page: str
    line: int
    words: str
    shown: str | None


def commands(path: Path) -> Iterator[Command]:
    """The commands in the code of a page; those after a `$` with what is printed below."""
    lines = path.read_text(encoding="utf-8").splitlines()
    fenced = False
    for number, line in enumerate(lines):
        fenced ^= line.startswith("```")
        if not (fenced or line.startswith("    ")):
            continue
        indent = "" if fenced else "    "
        found = re.match(r"(\$ )?((?:printf .*\| )?caffe-fcn .*)", line.removeprefix(indent))
        if found is None or PLACEHOLDER.search(found[2]):
            continue
        shown = "".join(_below(lines[number + 1 :], indent)) if found[1] else None
        yield Command(path.name, number + 1, found[2].partition("  #")[0].rstrip(), shown)


def _below(lines: list[str], indent: str) -> Iterator[str]:
    """The lines that a command prints, up to the next command or the end of the code."""
    blank = 0
    for line in lines:
        if not line:
            blank += 1
            continue
        if line.startswith("```") or not line.startswith(indent) or line.removeprefix(indent).startswith("$ "):
            return
        yield "\n" * blank + line.removeprefix(indent) + "\n"
        blank = 0


COMMANDS = [command for page in PAGES for command in commands(page)]
RUN = [*{(each.words, each.shown): each for each in COMMANDS}.values()]
"""Each once; the page of a command begins with the example of its help."""

ALEXNET = ROOT / "models" / "alexnet.prototxt"
_NET = ".alexnet.prototxt"
"""The net that is deploy.prototxt, in the directory of a command."""


def _put_alexnet(directory: Path, *, small: bool) -> None:
    """Put AlexNet into DIRECTORY, SMALL with an eighth of the channels: of 6 MB and not 244. There are 1000 classes."""
    text = ALEXNET.read_text(encoding="utf-8")
    if small:
        text = re.sub(r"num_output: (?!1000)(\d+)", lambda found: f"num_output: {int(found[1]) // 8}", text)
    _written(directory / _NET, text)


def _alexnet(path: Path) -> None:
    _copied(path.with_name(_NET), path)


def _weights(path: Path) -> None:
    write_weights(path.with_name(_NET), path)


def _copy(*parts: str) -> Callable[[Path], None]:
    return lambda path: _copied(GOLDEN.joinpath(*parts), path)


def _copied(source: Path, path: Path) -> None:
    shutil.copy(source, path)


def _written(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _in_models(name: str) -> Callable[[Path], None]:
    return lambda path: _copied(ROOT / "models" / name, path)


def _training_lenet(path: Path) -> None:
    """LeNet as it is trained."""
    layers = (GOLDEN / "conversions" / "lenet" / "net.prototxt").read_text(encoding="utf-8").split("layer {")
    source = 'layer { name: "mnist" type: "Data" top: "data" top: "label" include { phase: %s } }\n'
    ends = 'layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" }\n'
    ends += 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }\n'
    _written(path, source % "TRAIN" + source % "TEST" + "layer {" + "layer {".join(layers[2:-1]) + ends)


def _converted(path: Path) -> None:
    """The twin of the net and the weights beside PATH, and its weights."""
    net, weights = path.with_name("deploy.prototxt"), path.with_name("net.caffemodel")
    for each in (net, weights):
        if not each.exists():
            FILES[each.name](each)
    caffe_fcn.convert(net, weights, path, path.with_name("net_fcn.caffemodel"))


def _digits(path: Path) -> None:
    digits = ROOT / "models" / "digits" / "digits"
    weights = path.with_suffix(".caffemodel")
    caffe_fcn.convert(digits.with_suffix(".prototxt"), digits.with_suffix(".caffemodel"), path, weights)


def _other_digits(path: Path) -> None:
    """The converted digits net with a mean in place of the first maximum, beside the right one's weights."""
    right = path.with_name("digits_fcn.prototxt")
    _digits(right)
    _written(path, right.read_text(encoding="utf-8").replace("pool: MAX", "pool: AVE", 1))


def _onnx(path: Path) -> None:
    case = GOLDEN / "conversions" / "lenet"
    with caffe_fcn.open(case / "net.prototxt", case / "net.caffemodel") as net:
        net.export(path)


def _picture(path: Path) -> None:
    Image.new("RGB", (300, 260), (200, 100, 50)).save(path)


def _super_resolution(path: Path) -> None:
    """A net that makes pictures twice as large, by bilinear interpolation, and its weights."""
    taps = np.array([0.25, 0.75, 0.75, 0.25])
    kernel = (taps[:, None] * taps)[None, None]
    layers = (
        'name: "superres"\n'
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 32 dim: 32 } } }\n'
        'layer { name: "larger" type: "Deconvolution" bottom: "data" top: "larger"\n'
        "        convolution_param { num_output: 1 bias_term: false kernel_size: 4 stride: 2 pad: 1 } }\n"
    )
    path.write_text(layers)
    message = schema.NetParameter()
    add_layer(message, "larger", [kernel])
    path.with_suffix(".caffemodel").write_bytes(message.SerializeToString())


def _pictures(path: Path) -> None:
    path.mkdir()
    _picture(path / "a.jpg")


def _label_image(path: Path) -> None:
    """A label image, or a prediction that is a little off, in a folder of that name."""
    path.parent.mkdir(exist_ok=True)
    classes = np.zeros((60, 80), np.uint8)
    classes[10:40, 20:60], classes[:, 60:] = 1, 2
    if path.parent.name == "labels":
        classes[50:] = 255
    else:
        classes = np.roll(classes, 4, 1)
    image = Image.fromarray(classes)
    image.putpalette([*range(256)] * 3)
    image.save(path)


def _label_images(path: Path) -> None:
    _label_image(path / "a.png")


FILES: dict[str, Callable[[Path], None]] = {
    "deploy.prototxt": _alexnet,
    "net.caffemodel": _weights,
    "deploy_fcn.prototxt": _converted,
    "net.caffemodel.h5": _copy("conversions", "lenet", "variants", "net.caffemodel.h5"),
    "train_val.prototxt": _in_models("lenet.prototxt"),
    "a.prototxt": _in_models("lenet.prototxt"),
    "b.prototxt": _alexnet,
    "digits_fcn.prototxt": _digits,
    "other_fcn.prototxt": _other_digits,
    "lenet_train_test.prototxt": _training_lenet,
    "lenet.caffemodel": _copy("conversions", "lenet", "net.caffemodel"),
    "old.prototxt": _copy("upgrades", "v1_deploy.in.prototxt"),
    "fork.prototxt": _copy("..", "cases", "bn_fork.prototxt"),
    "fork.caffemodel": _copy("..", "cases", "bn_fork.caffemodel"),
    "resnet.prototxt": _copy("folds", "residual", "net.prototxt"),
    "resnet.caffemodel": _copy("folds", "residual", "net.caffemodel"),
    "vgg16.prototxt": _in_models("vgg16.prototxt"),
    "old.caffemodel": _copy("conversions", "lenet", "variants", "v1.caffemodel"),
    "cat.jpg": _picture,
    "street.png": _picture,
    "small.png": _picture,
    "superres.prototxt": _super_resolution,
    "photos/": _pictures,
    "labels/": _label_images,
    "labels/a.png": _label_image,
    "predictions/": _label_images,
    "predictions/a.png": _label_image,
    "synset.txt": lambda path: _written(path, "".join(f"n{number:08} thing {number}\n" for number in range(1000))),
    "snapshot.caffemodel": _copy("conversions", "lenet", "net.caffemodel"),
    "snapshot_1000.caffemodel": _copy("conversions", "lenet", "net.caffemodel"),
    "snapshot_2000.caffemodel": _copy("conversions", "lenet", "net.caffemodel"),
    "other.prototxt": _in_models("vgg16.prototxt"),
    "lenet.onnx": _onnx,
}
"""What the commands on the pages find where they are run."""


@pytest.fixture
def shell(tmp_path: Path) -> Path:
    """A directory with the models, and `caffe-fcn` on a path of its own."""
    shutil.copytree(ROOT / "models", tmp_path / "models")
    program = tmp_path / ".bin" / "caffe-fcn"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m caffe_fcn "$@"\n')
    program.chmod(0o755)
    return tmp_path


@pytest.mark.thorough
@pytest.mark.parametrize("command", RUN, ids=[f"{each.page}:{each.line}" for each in RUN])
def test_a_command_prints_what_the_page_shows(command: Command, shell: Path) -> None:
    _put_alexnet(shell, small=command.shown is None)
    read = re.split(r"[\s=]", re.sub(r" -[ow] \S+", "", command.words))
    for name, make in FILES.items():
        if name in read:
            make(shell / name)
    environment = {**os.environ, "PATH": f"{shell / '.bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    environment.pop("COLUMNS", None)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.words],
        cwd=shell,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
    )
    printed = done.stdout.decode()
    for path in shell.glob("*.caffemodel"):  # a quarter of a gigabyte each
        path.unlink()
    compared = read[1:2] == ["diff"] and not {"digits_fcn.prototxt", "other.prototxt"}.isdisjoint(read)
    assert done.returncode == (compared or "other_fcn.prototxt" in read), printed
    if command.shown is not None:
        assert ROUNDING.sub("~", printed) == ROUNDING.sub("~", command.shown)


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    text = index.read_text(encoding="utf-8")
    linked = {(index.parent / target).resolve() for target in re.findall(r"\]\(([^)#\s]+)\)", text)}
    assert {page.resolve() for page in PAGES} - {index} <= linked


def test_the_pages_show_commands() -> None:
    shown = [command.words for command in COMMANDS]
    for name in app.commands:
        assert any(f"caffe-fcn {name} " in words for words in shown), name
    assert sum(command.shown is not None for command in COMMANDS) > 8


def test_the_guide_has_a_section_with_an_example_for_each_command() -> None:
    sections = re.split(r"^## ", (ROOT / "docs" / "guide.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    by_title = {section.partition("\n")[0]: section for section in sections}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in app.commands:
        assert re.search(rf"^    \$ caffe-fcn {name} ", by_title.get(name, ""), re.MULTILINE), f"docs/guide.md: {name}"
        assert f"(docs/guide.md#{name})" in readme, f"README.md: {name}"


def test_every_command_has_an_example_in_its_help() -> None:
    for name, command in app.commands.items():
        assert f"\b\ncaffe-fcn {name} " in re.sub(r" +", " ", command.help or "").replace("\n ", "\n"), name
        assert command.epilog and command.epilog.startswith("Exit codes: 0"), name
        assert all(option.help for option in command.params if isinstance(option, click.Option)), name


@pytest.mark.parametrize("page", generate.PAGES)
def test_a_generated_page_is_up_to_date(page: str) -> None:
    assert (ROOT / "docs" / page).read_text(encoding="utf-8") == generate.PAGES[page](), "run `make docs`"


@pytest.mark.thorough
def test_the_diff_shown_is_the_diff_made() -> None:
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    command = [sys.executable, "-m", "caffe_fcn", "convert", "models/alexnet.prototxt", "--dry-run", "--diff", "-q"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    shown = re.search(r"```diff\n(.*?)```", guide, re.DOTALL)
    assert shown is not None and shown[1] in made


@pytest.mark.thorough
def test_the_python_of_the_readme_runs(shell: Path) -> None:
    _put_alexnet(shell, small=True)
    _alexnet(shell / "deploy.prototxt")
    _weights(shell / "net.caffemodel")
    Image.effect_noise((500, 400), 60).convert("RGB").save(shell / "street.jpg")
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code[1]], cwd=shell, env=environment, check=True)
    assert (shell / "net_fcn.caffemodel").stat().st_size > 4_000_000 and (shell / "cats.png").exists()


@pytest.mark.thorough
def test_the_demo_runs(shell: Path) -> None:
    """`make demo`, in an environment that is there already."""
    python = shell / ".bin" / "python"
    python.symlink_to(sys.executable)
    stamp = shell / "stamp"
    stamp.touch()
    variables = [f"BIN={shell / '.bin'}", f"RUN={stamp}", f"DEMO={shell / 'demo'}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["make", "--no-print-directory", "demo", *variables], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for told in ('+  type: "Convolution"', "  dense      holds ", "prob 11×44×60", "demo/heat.png "):
        assert told in done.stdout
    made = sorted(path.name for path in (shell / "demo").iterdir())
    assert made == ["digits_fcn.caffemodel", "digits_fcn.prototxt", "heat.png", "labels.png"]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of PAGE."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", text):
            if not target.startswith(("http:", "https:", "mailto:")):
                path = page.parent / target if target else page
                assert path.exists(), f"{page.name}: {target}"
                assert not anchor or anchor in anchors(path), f"{page.name}: {target}#{anchor}"
        for target in re.findall(r"`((?:docs|models|examples|benchmarks|tests|proto)/[\w./-]+)`", text):
            assert (ROOT / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_modules_that_are_named_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([a-z_]+/[\w/]*(?:\.\w+)?)`", text) if "NAME" not in name}
    assert len(named) > 20
    assert [
        name for name in sorted(named) if not any((root / name).exists() for root in (ROOT, ROOT / "caffe_fcn"))
    ] == []
