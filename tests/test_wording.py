"""How messages name options: as the caller, a command or the library, gives them."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

import caffe_fcn
from caffe_fcn.cli.main import app, options_of
from caffe_fcn.errors import CaffeFcnError, PictureError, SurgeryError
from caffe_fcn.passes.table import PASSES
from caffe_fcn.predict.images.picture import check_size
from caffe_fcn.predict.resizing import check_pixels
from caffe_fcn.wording import KEYWORDS, Command, Option, Value, advise, as_command, command, offered, option
from tests.paths import GOLDEN, ROOT

LENET = GOLDEN / "conversions" / "lenet"
SPELT = re.compile(r"(?<![\w-])--(?!drawing-)[a-z]")
"""An option; variables of CSS, all called --drawing-NAME, are none."""
BELOW = [path for path in sorted((ROOT / "caffe_fcn").rglob("*.py")) if "cli" not in path.parts]
"""The modules that know of no command line."""


def keywords() -> set[str]:
    """What can be given to the functions of the library and to the methods of what they return, and these methods."""
    found = set()
    for name in dir(caffe_fcn):
        each = getattr(caffe_fcn, name)
        if isinstance(each, type) and not issubclass(each, Exception):
            methods = [method for method in vars(each).values() if inspect.isfunction(method)]
            found |= {method.__name__ for method in methods}
            found |= {parameter for method in methods for parameter in inspect.signature(method).parameters}
        elif inspect.isfunction(each):
            found |= set(inspect.signature(each).parameters)
    return found


@pytest.mark.parametrize(
    ("name", "value", "flag", "keyword"),
    [
        ("skip", None, "--skip", "`skip`"),
        ("input_shape", None, "--input-shape", "`shapes`"),
        ("force", True, "--force", "force=True"),
        ("input_size", (451, 300), "--input-size 451x300", "input_size=(451, 300)"),
        ("input_size", (7,), "--input-size 7", "input_size=(7,)"),
        ("max_pixels", 12, "--max-pixels 12", "max_pixels=12"),
        ("engine", "opencv", "--engine opencv", "engine='opencv'"),
        ("suffix", "", "--suffix ''", "suffix=''"),
        ("skip", ["fc"], "--skip fc", "skip='fc'"),
        ("skip", ["fc 6", "fc7"], "--skip 'fc 6' --skip fc7", "skip=['fc 6', 'fc7']"),
        ("shape", {"d": (1, 3)}, "--shape d=1,3", "shapes={'d': (1, 3)}"),
        ("input_shape", {"d": "NCHW"}, "--input-shape d=N,C,H,W", "shapes={'d': (N, C, H, W)}"),
    ],
)
def test_an_option_in_a_command_and_in_the_library(name: str, value: Value | None, flag: str, keyword: str) -> None:
    assert option(name, value) == keyword
    with as_command({name}):
        assert option(name, value) == flag
    assert option(name, value) == keyword


def test_a_hint_is_data_that_is_spelt_when_it_is_shown() -> None:
    hint = advise("leave it with ", Option("skip", ["fc 6"]), ", or see ", Command("convert"))
    error = SurgeryError("it stays", source="n.prototxt", layer="fc 6", hint=hint)
    assert str(error) == "n.prototxt: it stays; leave it with skip='fc 6', or see `Net.convolutionalize(...)`"
    with as_command({"skip"}):
        assert str(error) == "n.prototxt: it stays; leave it with --skip 'fc 6', or see `caffe-fcn convert`"
    assert error.hint is not None and error.hint.advised == (Option("skip", ["fc 6"]), Command("convert", ()))
    assert advise("first ", hint).advised == hint.advised


def test_another_command_than_the_one_that_runs() -> None:
    assert (command("convert"), command("export", "blob")) == ("`Net.convolutionalize(...)`", "`Net.export(blobs=...)`")
    with as_command(()):
        assert command("verify", "tolerance") == "`caffe-fcn verify --tolerance`"


def test_a_command_with_a_value_of_an_option() -> None:
    told = Command("upgrade", (Option("for", "bvlc"),))
    assert str(told) == "`Net.upgrade(target='bvlc')`"
    with as_command(()):
        assert str(told) == "`caffe-fcn upgrade NET WEIGHTS -o NEW_NET -w NEW_WEIGHTS --for bvlc`"


def test_what_a_command_lacks_is_not_offered() -> None:
    assert offered("max_pixels")
    with as_command(options_of(app.commands["verify"])):
        assert offered("image") and not offered("max_pixels")


def named() -> Iterator[tuple[str, str]]:
    """The options that the package names in messages, and the module. The command line asks `offered` for what
    only some commands have."""
    functions = {"option": 0, "Option": 0, "offered": 0, "command": 1, "check_maps": 1}
    for path in (ROOT / "caffe_fcn").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
                if node.func.id == "offered" and "cli" in path.parts:
                    continue
                for each in node.args[functions[node.func.id] :][: None if node.func.id == "command" else 1]:
                    if isinstance(each, ast.Constant):
                        yield str(each.value), path.name
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Command":
                for each in node.args[1:]:
                    if isinstance(each, ast.Tuple):
                        yield from (
                            (ast.literal_eval(name.args[0] if isinstance(name, ast.Call) else name), path.name)
                            for name in each.elts
                            if not isinstance(name, ast.Attribute)  # of a row, below
                        )
    yield from ((row.option, "table.py") for row in PASSES.values() if row.option)


@pytest.mark.thorough
def test_every_option_that_is_named_is_there() -> None:
    """In a command, and as a keyword of the library or a method."""
    there = {flag for each in app.commands.values() for flag in options_of(each)}
    found = [*named()]
    assert len(found) > 80
    assert [each for each in found if each[0] not in there] == []
    known = keywords()
    assert [each for each in found if KEYWORDS.get(each[0], each[0]) not in known] == []
    assert [name for name, keyword in KEYWORDS.items() if name not in there or keyword not in known] == []


def spelling_options(path: Path) -> list[str]:
    """The strings in the module at PATH that spell an option, but for docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told
    ]
    return [text for text in texts if SPELT.search(text)]


@pytest.mark.thorough
def test_no_string_below_the_command_line_spells_an_option() -> None:
    found = {str(path.relative_to(ROOT)): spelling_options(path) for path in BELOW}
    assert found
    assert {name: texts for name, texts in found.items() if texts} == {}


# ---- Messages provoked through the library ----


def hints(tree: ast.AST) -> Iterator[ast.expr]:
    """What errors are given as their hints, and the parts of which hints are made."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (each.value for each in node.keywords if each.arg == "hint")
            if isinstance(node.func, ast.Name) and node.func.id == "advise":
                yield from node.args


@pytest.mark.thorough
def test_hints_hold_options_as_data() -> None:
    """Or else they would be spelt for who makes them, and no program could take them up."""
    spelt = []
    for path in BELOW:
        for hint in hints(ast.parse(path.read_text(encoding="utf-8"))):
            calls = (each.func for each in ast.walk(hint) if isinstance(each, ast.Call))
            if {each.id for each in calls if isinstance(each, ast.Name)} & {"option", "command"}:
                spelt.append(f"{path.name}: {ast.unparse(hint)}")
    assert spelt == []


def net(*layers: str, size: int = 8) -> str:
    """The file of a net over an image, and LAYERS."""
    head = (
        f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: [1, 3, {size}, {size}] }} }} }}'
    )
    Path("n.prototxt").write_text("\n".join([head, *layers]))
    return "n.prototxt"


def dense(name: str, bottom: str, more: str = "") -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" '
        f"inner_product_param {{ num_output: 2 }} {more} }}"
    )


def plain(name: str, kind: str, bottoms: list[str], more: str = "") -> str:
    read = " ".join(f'bottom: "{each}"' for each in bottoms)
    return f'layer {{ name: "{name}" type: "{kind}" {read} top: "{name}" {more} }}'


CONVERT: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "size": (lambda: net(dense("fc", "data")), {"input_size": 4}, "input_size=(4, 4) does not suit"),
    "scale": (
        lambda: net(plain("f", "Flatten", ["data"]), plain("s", "Scale", ["f"]), dense("fc", "s")),
        {},
        "skip='fc'",
    ),
    "unknown": (lambda: net(plain("odd", "Oddity", ["data"]), dense("fc", "odd")), {}, "shapes={'odd': (N, C, H, W)}"),
    "strict": (
        lambda: net(plain("e", "Reshape", ["data"], "reshape_param { shape { dim: [4, 48] } }"), dense("fc", "e")),
        {"strict": True},
        "strict=True",
    ),
    "rename": (lambda: net(dense("fc", "data")), {"rename": "fc=data"}, "`suffix` or `rename`"),
    "stage": (
        lambda: net(dense("fc", "data", 'include { stage: "a" }'), plain("s", "Softmax", ["fc"])),
        {"phase": "TEST"},
        "choose with `stages`",
    ),
    "field": (
        lambda: net(dense("fc", "data").replace("num_output: 2", "num_output: 2 odd: 1")),
        {},
        "ignore_fields='inner_product_param.odd'",
    ),
    "given": (
        lambda: net(dense("fc", "data")),
        {"shapes": {"data": [1, 3, 9, 9]}},
        "`Net.convolutionalize(input_size=...)`",
    ),
}


@pytest.mark.parametrize("case", CONVERT)
def test_messages_of_a_conversion_name_keywords(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, options, told = CONVERT[case]
    with pytest.raises(CaffeFcnError) as caught:
        caffe_fcn.convert(make(), **options)
    check(str(caught.value), told)


def check(message: str, told: str) -> None:
    """That MESSAGE holds what is TOLD and names no options but keywords that are there."""
    assert told in message
    assert not SPELT.search(message)
    assert {*re.findall(r"`(\w+)`", message), *re.findall(r"(\w+)=[\w'({\[]", message)} <= keywords()


def test_other_messages_of_the_library_name_keywords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.prototxt").write_text("")
    with pytest.raises(CaffeFcnError) as caught:
        caffe_fcn.open(LENET / "net.prototxt").save("there.prototxt")
    check(str(caught.value), "overwrite it with force=True")
    with pytest.raises(CaffeFcnError) as caught:
        caffe_fcn.open(LENET / "net.prototxt", fork="SSD")
    check(str(caught.value), "`fork` applies only to")
    picture = np.zeros((28, 28), np.uint8)
    with caffe_fcn.open(LENET / "net.prototxt", LENET / "net.caffemodel") as lenet:
        for options, told in (
            ({"tile": 20}, "but `tile` needs a map"),
            ({"gpu": True, "engine": "opencv"}, "`gpu` out"),
        ):
            with pytest.raises(CaffeFcnError) as caught:
                lenet.run(picture, **options)
            check(str(caught.value), told)
        check(" ".join(lenet.run(picture).notes), "`mean` and `scale`")
        lenet.export("a.onnx", fixed=True)
        export = lenet.export("a.onnx", fixed=True, force=True)
        check(str(export.report()["fixed"]), "fixed=True")


# ---- What is advised ----


@pytest.mark.parametrize("function", [lambda: check_size("p", 3, 4, 11), lambda: check_pixels("p", (3, 4), 11)])
@pytest.mark.parametrize(("name", "advised"), [("run", True), ("verify", False)])
def test_a_limit_is_advised_where_it_can_be_given(function: Callable[[], None], name: str, advised: bool) -> None:
    with as_command(options_of(app.commands[name])):
        with pytest.raises(PictureError) as caught:
            function()
        assert ("--max-pixels 12" in str(caught.value)) is advised


def pool(name: str, bottom: str, more: str) -> str:
    return plain(name, "Pooling", [bottom], f"pooling_param {{ pool: AVE {more} }}")


@pytest.mark.parametrize(
    ("pooled", "advised"),
    [
        (pool("pooled", "data", "global_pooling: true"), True),
        (pool("pooled", "data", "kernel_size: 8 stride: 8"), False),
    ],
)
def test_global_poolings_are_advised_where_there_are_any(
    pooled: str, advised: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    half = pool("half", "data", "kernel_size: 2 stride: 2")
    source = net(pooled, half, dense("one", "pooled"), dense("two", "half"), plain("sum", "Eltwise", ["one", "two"]))
    with pytest.raises(SurgeryError, match="different strides") as caught:
        caffe_fcn.open(source).convolutionalize()
    assert ("global_pooling='keep'" in str(caught.value)) is advised
    check(str(caught.value), "skip")


def test_the_names_of_the_options_of_a_command() -> None:
    made = click.Command("x", params=[click.Option(["-o", "--out-dir"]), click.Argument(["net"])])
    assert options_of(made) == {"out_dir"}


def test_keywords_are_found() -> None:
    assert {"input_size", "blobs", "wanted", "heat_map", "fork"} <= keywords()
