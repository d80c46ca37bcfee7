"""Bringing a text in line with a changed message: pairs of documents, and properties over random nets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings

from caffe_fcn import schema
from caffe_fcn.files.prototxt import Document, comments, parse
from caffe_fcn.files.reconcile import Moves, reconcile
from caffe_fcn.net.upgrade import upgrade_with_origins
from tests.files.texts import change, change_layers, nets, randoms, read
from tests.paths import GOLDEN

DOCUMENTS = Path(__file__).parent / "documents"
NAMES = {"layers": "layer", "inner_product_param": "convolution_param"}
UPGRADES = sorted((GOLDEN / "upgrades").glob("*.in.prototxt"))


def reconciled(document: Document, new: Any, origins: Sequence[int | None] | None = None) -> Document:
    """DOCUMENT brought in line with NEW; that it reads as NEW is checked here, for every test."""
    old = read(document)
    kept = old.SerializePartialToString(), new.SerializePartialToString()
    edits = reconcile(document, old, new, Moves(NAMES, {} if origins is None else {"layer": origins}))
    assert (old.SerializePartialToString(), new.SerializePartialToString()) == kept, "a message was changed"
    result = document.with_edits(edits)
    assert read(result) == new
    return result


def all_comments(document: Document) -> list[str]:
    return sorted(comments(document.text, document.text.startswith("\ufeff"), len(document.text)))


# ---- Pairs of documents ----


def documents(name: str) -> tuple[Document, str]:
    text, after = ((DOCUMENTS / f"{name}.{side}.prototxt").read_bytes() for side in ("in", "out"))
    return parse(text, name), after.decode()


def test_a_surgery() -> None:
    before, after = documents("surgery")
    assert reconciled(before, read(after), [0, 2, 3]).text == after


@pytest.mark.parametrize("name", ["v0", "v1", "inputs"])
def test_an_upgrade(name: str) -> None:
    before, after = documents(name)
    new, origins = upgrade_with_origins(read(before))
    assert read(after) == new
    assert reconciled(before, new, origins).text == after


@pytest.mark.parametrize("name", ["surgery", "v0", "v1", "inputs"])
def test_an_upgrade_of_a_file_from_windows(name: str) -> None:
    before, after = documents(name)
    new, origins = (read(after), [0, 2, 3]) if name == "surgery" else upgrade_with_origins(read(before))
    assert reconciled(parse(before.text.replace("\n", "\r\n")), new, origins).text == after.replace("\n", "\r\n")


@pytest.mark.parametrize("path", UPGRADES, ids=lambda path: path.name.removesuffix(".in.prototxt"))
def test_the_measured_upgrades(path: Path) -> None:
    document = parse(path.read_bytes(), path.name)
    new, origins = upgrade_with_origins(read(document))
    result = reconciled(document, new, origins)
    assert all_comments(result) == all_comments(document)
    assert reconcile(result, new, new) == []


# ---- Values ----


PAIRS = {
    # a value in place
    "value": ("name: 'a'\n", "name: 'b'\n"),
    "single quotes": ("name:  'a' ; # one\n", "name:  'b' ; # one\n"),
    "double quotes": ('name:"a"# one\n', 'name:"b"# one\n'),
    "single quotes cannot hold one": ("name: 'a'\n", 'name: "it\\\'s"\n'),
    "adjacent strings become one": ("name: 'a' \"b\"\n", "name: 'c'\n"),
    "only the number that changes": (
        "layer { convolution_param { kernel_size: 0x3 pad: 01 } }\n",
        "layer { convolution_param { kernel_size: 0x3 pad: 2 } }\n",
    ),
    "a real number that is whole": (
        "layer { dropout_param { dropout_ratio: 0.5 } }\n",
        "layer { dropout_param { dropout_ratio: 1 } }\n",
    ),
    "an enumerator by name": (
        "layer { pooling_param { pool: 0 } }\n",
        "layer { pooling_param { pool: AVE } }\n",
    ),
    "a number written otherwise stays": (
        "name: 'a' input_dim: 0x10 force_backward: t layer { loss_weight: 1e0 type: 'A' 'B' }\n",
        "name: 'b' input_dim: 0x10 force_backward: t layer { loss_weight: 1e0 type: 'A' 'B' }\n",
    ),
    "a repeated field": ("input_dim: 1\ninput_dim: 2 # two\n", "input_dim: 1\ninput_dim: 3 # two\n"),
    # a field goes
    "a line goes": ("name: 'a'\nforce_backward: true\n", "force_backward: true\n"),
    "a line goes, indented": ("layer {\n\tname: 'a'\n\ttype: 'b'\n}\n", "layer {\n\ttype: 'b'\n}\n"),
    "the last line goes": ("name: 'a'\nforce_backward: true", "name: 'a'\n"),
    "its separator goes": ("name: 'a' ;\nforce_backward: true;\n", "force_backward: true;\n"),
    "its separator goes, far off": ("name: 'a'\n  ; force_backward: true\n", "force_backward: true\n"),
    "its comment stays": (
        "layer {\n  name: 'a'\n  type: 'b'  # why\n}\n",
        "layer {\n  name: 'a'\n  # why\n}\n",
    ),
    "comments around stay": ("# before\nname: 'a'\n# after\n", "# before\n# after\n"),
    "blank lines stay": ("\nname: 'a'\n\nforce_backward: true\n", "\n\nforce_backward: true\n"),
    "from the middle of a line": (
        "layer { name: 'a' type: 'b' top: 'c' }\n",
        "layer { name: 'a' top: 'c' }\n",
    ),
    "from a line with separators": (
        "layer { name: 'a'; type: 'b'; top: 'c'; }\n",
        "layer { name: 'a'; top: 'c'; }\n",
    ),
    "all of a line of several": (
        "layer {\n  name: 'a'\n  bottom: 'b' bottom: 'c'\n  top: 'd'\n}\n",
        "layer {\n  name: 'a'\n  top: 'd'\n}\n",
    ),
    "a whole message": ("layer {\n  name: 'a'\n  include {\n    phase: TEST\n  }\n}\n", "layer {\n  name: 'a'\n}\n"),
    "a message's comments stay": (
        "layer {\n  include {  # one\n    # two\n    phase: TEST # three\n  } # four\n  name: 'a'\n}\n",
        "layer {\n  # one\n  # two\n  # three # four\n  name: 'a'\n}\n",
    ),
    "unknown fields stay": ("colour: RED\nname: 'a'\nlayer { fork: 1 }\n", "colour: RED\nlayer { fork: 1 }\n"),
    # a field comes
    "a line comes": ("layer {\n  name: 'a'\n}\n", "layer {\n  name: 'a'\n  type: 'b'\n}\n"),
    "a line comes behind a comment": (
        "layer {\n  name: 'a' # one\n  # two\n}\n",
        "layer {\n  name: 'a' # one\n  type: 'b'\n  # two\n}\n",
    ),
    "with tabs": ("layer {\n\t\tname: 'a'\n}\n", "layer {\n\t\tname: 'a'\n\t\ttype: 'b'\n}\n"),
    "with a line's own ending": (
        "layer {\r\n  name: 'a'\r\n}\nlayer {\n  name: 'b'\n}\r\n",
        "layer {\r\n  name: 'a'\r\n  type: 'c'\r\n}\nlayer {\n  name: 'b'\n  type: 'd'\n}\r\n",
    ),
    "on one line": ("layer { name: 'a' top: 'c' }\n", "layer { name: 'a' type: 'b' top: 'c' }\n"),
    "on one line with separators": ("layer { name: 'a'; top: 'c'; }\n", "layer { name: 'a'; type: 'b' top: 'c'; }\n"),
    "a message on one line": (
        "layer { name: 'a' }\n",
        "layer { name: 'a' pooling_param { pool: AVE kernel_size: 2 } }\n",
    ),
    "a message on lines": (
        "layer {\n  name: 'a'\n}\n",
        "layer {\n  name: 'a'\n  pooling_param {\n    kernel_size: 2\n  }\n}\n",
    ),
    "in an empty message": ("layer {}\n", 'layer { name: "a"}\n'),
    "in an empty message of two lines": ("layer {  # c\n}\n", 'layer {  # c\n  name: "a"\n}\n'),
    "a repeated field grows": (
        "input_dim: 1\ninput_dim: 2\nname: 'a'\n",
        "input_dim: 1\ninput_dim: 2\ninput_dim: 3\nname: 'a'\n",
    ),
    "at the top": ("layer { }\n", 'name: "a"\nlayer { }\n'),
    "at the top, behind a mark": ("\ufefflayer { }\n", '\ufeffname: "a"\nlayer { }\n'),
    "at the end of a file without a newline": ("layer { }", "layer { }\nlayer { }"),
    "at the top, in the middle of a line": ("fork {\n} layer {\n}\n", 'fork {\n} name: "a" layer {\n}\n'),
    "behind unknown fields alone": ("colour: RED", 'colour: RED\nname: "a"\n'),
    "behind a comment alone": ("# a net", '# a net\nname: "a"\n'),
    "in an empty file": ("", 'name: "a"\n'),
    # lists
    "a list's value": ("input_dim: [1, 2, # two\n 3]\n", "input_dim: [1, 4, # two\n 3]\n"),
    "a list is shortened": ("input_dim: [1, 2, 3];\n", "input_dim: [1, 2];\n"),
    "a list is shortened and changed": ("input_dim: [1, 2, 3]\n", "input_dim: [4, 2]\n"),
    "a list of one is changed": ("input_dim: [1, 2, 3]\n", "input_dim: [4]\n"),
    "a list goes": ("name: 'a'\ninput_dim: [1, 2, 3]\n", "name: 'a'\n"),
    "a list grows": ("input_dim: [1, 2]\n", "input_dim: [1, 2]\ninput_dim: 3\n"),
    "an empty list grows": ("input_dim: []\n", "input_dim: []\ninput_dim: 1\n"),
    "a list and a single value": ("input_dim: [1, 2] input_dim: 3\n", "input_dim: [1, 4] input_dim: 5\n"),
}


@pytest.mark.parametrize(("before", "after"), PAIRS.values(), ids=PAIRS.keys())
def test_pairs(before: str, after: str) -> None:
    assert reconciled(parse(before), read(after)).text == after


LAYERS = {
    "dropped": (
        "# 1\nlayer { name: 'a' }\n# 2\nlayer { name: 'b' } # 3\n# 4\n",
        [1],
        "# 1\n# 2\nlayer { name: 'b' } # 3\n# 4\n",
    ),
    "dropped, its comment stays": ("layer { name: 'a' } # 1\nlayer { name: 'b' }\n", [1], "# 1\nlayer { name: 'b' }\n"),
    "dropped from a line": ("layer { name: 'a' } layer { name: 'b' }\n", [1], "layer { name: 'b' }\n"),
    "dropped from a line with a comment inside": (
        "layer { # 1\n} layer { name: 'b' }\n",
        [1],
        "# 1\nlayer { name: 'b' }\n",
    ),
    "all but the last": (
        "layer { name: 'a' }\nlayer { name: 'b' }\nlayer { name: 'c' }\n",
        [2],
        "layer { name: 'c' }\n",
    ),
    "in front": ("# 1\nlayer { name: 'b' }\n", [None, 0], "# 1\nlayer { name: 'x' }\nlayer { name: 'b' }\n"),
    "in front, behind the name": (
        "# 1\nname: 'n' # 2\n\nlayer { name: 'b' }\n",
        [None, 0],
        "# 1\nname: 'n' # 2\nlayer { name: 'x' }\n\nlayer { name: 'b' }\n",
    ),
    "in front, behind a mark": (
        "\ufefflayer { name: 'b' }\n",
        [None, 0],
        "\ufefflayer { name: 'x' }\nlayer { name: 'b' }\n",
    ),
    "between": (
        "layer { name: 'a' }  # 1\n\n# 2\nlayer { name: 'b' }\n",
        [0, None, 1],
        "layer { name: 'a' }  # 1\n\nlayer { name: 'x' }\n\n# 2\nlayer { name: 'b' }\n",
    ),
    "at the end": (
        "layer { name: 'a' }\r\n# 1",
        [0, None],
        "layer { name: 'a' }\r\nlayer { name: 'x' }\r\n# 1",
    ),
    "all replaced": ("layer { name: 'a' } # 1", [None], '# 1\nlayer {\n  name: "x"\n}\n'),
    "of a list": (
        "layer [{ name: 'a' }, { name: 'b' }, { name: 'c' }]\n",
        [0, 2],
        "layer [{ name: 'a' }, { name: 'c' }]\n",
    ),
}


NEIGHBOURS = {
    "many lines": (
        'layer {\n  name: "a"\n  param {\n    lr_mult: 1\n  }\n}\n',
        'layer {\n  name: "n"\n  type: "T"\n  param {\n    lr_mult: 2\n  }\n  param {\n    lr_mult: 0\n  }\n}\n',
    ),
    "messages inside on one line": (
        'layer {\n  name: "a"\n  param { lr_mult: 1 }\n}\n',
        'layer {\n  name: "n"\n  type: "T"\n  param { lr_mult: 2 }\n  param { lr_mult: 0 }\n}\n',
    ),
    "told by a neighbour further away": (
        "layer {\n    name: 'b'\n    param { lr_mult: 1 }\n}\n\nlayer {\n}\n",
        "\nlayer {\n    name: 'n'\n    type: 'T'\n    param { lr_mult: 2 }\n    param { lr_mult: 0 }\n}\n",
    ),
    "one line": (
        "layer { name: 'a' }\n",
        "layer { name: 'n' type: 'T' param { lr_mult: 2 } param { lr_mult: 0 } }\n",
    ),
    "tabs, no spaces": (
        'layer{\n\tname:"a"\n\tparam{\n\t\tlr_mult:1\n\t}\n}\n',
        'layer{\n\tname:"n"\n\ttype:"T"\n\tparam{\n\t\tlr_mult:2\n\t}\n\tparam{\n\t\tlr_mult:0\n\t}\n}\n',
    ),
}


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("in_front", [False, True])
@pytest.mark.parametrize(("before", "added"), NEIGHBOURS.values(), ids=NEIGHBOURS.keys())
def test_new_layers_are_laid_out_as_their_neighbours(before: str, added: str, in_front: bool, windows: bool) -> None:
    document = parse(before.replace("\n", "\r\n") if windows else before)
    old, new = read(document), schema.message_class("NetParameter")()
    more = new.layer.add(name="n", type="T")
    more.param.add(lr_mult=2)
    more.param.add(lr_mult=0)
    new.layer.extend(old.layer)
    origins = [None, *range(len(old.layer))]
    if not in_front:
        new.layer.append(new.layer[0])
        del new.layer[0]
        origins = [*origins[1:], None]
    text = reconciled(document, new, origins).text.replace("\r\n", "\n")
    assert text == (added.lstrip("\n") + "\n" * added.startswith("\n") + before if in_front else before + added)


INSIDE = {
    "many lines": (
        "layer {\n\tparam {\n\t\tlr_mult: 1\n\t}\n\tbias_param {\n\t\taxis: 1\n\t}\n}\n",
        '\t\tfiller {\n\t\t\ttype: "constant"\n\t\t\tvalue: 2\n\t\t}\n',
    ),
    "as a neighbour has it": (
        "layer {\n   bias_param {\n      axis: 1\n   }\n}\nlayer {\n   type: 'B'\n   bias_param {\n      axis: 1\n"
        "      filler { value: 1 }\n   }\n}\n",
        "      filler { type: 'constant' value: 2 }\n",
    ),
    "one line": (
        "layer{type:'B' bias_param{axis:1}}\n",
        " filler{ type:'constant' value:2 }",
    ),
}


@pytest.mark.parametrize(("before", "added"), INSIDE.values(), ids=INSIDE.keys())
def test_new_fields_are_laid_out_as_their_neighbours(before: str, added: str) -> None:
    document = parse(before)
    new = read(document)
    new.layer[0].bias_param.filler.type = "constant"
    new.layer[0].bias_param.filler.value = 2
    where = before.index("axis: 1\n") + 8 if added.endswith("\n") else before.index("axis:1") + 6
    assert reconciled(document, new).text == before[:where] + added + before[where:]


def test_a_string_that_needs_them_keeps_its_quotes() -> None:
    document = parse("layer { name: 'a' }\n")
    new = schema.message_class("NetParameter")(layer=[*read(document).layer, schema.LayerParameter(name="it's")])
    assert reconciled(document, new, [0, None]).text == "layer { name: 'a' }\nlayer { name: \"it\\'s\" }\n"


@pytest.mark.parametrize(("before", "origins", "after"), LAYERS.values(), ids=LAYERS.keys())
def test_layers_by_their_origin(before: str, origins: list[int | None], after: str) -> None:
    document = parse(before)
    old = read(document)
    new = schema.message_class("NetParameter")()
    new.CopyFrom(old)
    new.ClearField("layer")
    for origin in origins:
        new.layer.add(name="x") if origin is None else new.layer.append(old.layer[origin])
    assert reconciled(document, new, origins).text == after


def test_layers_without_a_move_are_compared_in_order() -> None:
    before = parse("layer { name: 'a' } # 1\nlayer { name: 'b' } # 2\n")
    assert reconciled(before, read("layer { name: 'b' }")).text == "layer { name: 'b' } # 1\n# 2\n"


def test_a_renamed_message_keeps_what_is_in_it() -> None:
    before = "layer {\n  inner_product_param: <  # one\n    num_output: 5\n    # two\n    fork: 1\n  >\n}\n"
    after = before.replace("inner_product_param", "convolution_param")
    assert reconciled(parse(before), read(after)).text == after


def test_a_message_is_not_renamed_onto_one_that_stands_there() -> None:
    before = "layer {\n  inner_product_param { num_output: 5 }\n  convolution_param { pad: 1 }\n}\n"
    new = read("layer { convolution_param { num_output: 5 } }")
    assert "inner_product_param" not in reconciled(parse(before), new).text


@pytest.mark.parametrize("char", ["\x85", "\u2028", "\u2029", "\x0b", "\x1c", "\n", '"', "'", "\\", "\x7f", "\0"])
def test_any_character_may_stand_in_a_name(char: str) -> None:
    new = read("layer { name: 'b' }")
    new.name = new.layer[0].name = f"x{char}y"
    reconciled(parse("name: 'a'\nlayer { name: 'b' }\n"), new)
    reconciled(parse("layer {\n}\n"), new)


# ---- What the schema cannot hold, or Caffe would not take ----


@pytest.mark.parametrize("text", ["name: 'a' name: 'a'\n", "name: 'a'\nlayer {}\nname: 'a'\n"])
@pytest.mark.parametrize("name", ["b", None])
def test_a_field_given_twice_changes_wholly(text: str, name: str | None) -> None:
    new = read(text)
    if name is None:
        new.ClearField("name")
    else:
        new.name = name
    reconciled(parse(text), new)


def test_a_list_of_blocks_changes_and_shrinks() -> None:
    before = parse("layer [{ name: 'a' }, { name: 'b' }, { name: 'c' }]\n")
    new = read("layer { name: 'a' } layer { name: 'z' }")
    assert reconciled(before, new, [0, 2]).text == "layer [{ name: 'a' }, { name: 'z' }]\n"


def test_an_unknown_enumerator_gives_way_to_a_known_one() -> None:
    before = parse("layer {\n  pooling_param {\n    pool: FOO  # one\n  }\n}\n")
    after = "layer {\n  pooling_param {\n    pool: AVE  # one\n  }\n}\n"
    assert reconciled(before, read(after)).text == after


@pytest.mark.parametrize("modes", ["STRICT FOO", "FOO STRICT", "FOO STRICT BAR PERMISSIVE"])
@pytest.mark.parametrize("new_modes", [[1], [], [1, 1, 0]])
def test_unknown_enumerators_among_known_ones(modes: str, new_modes: list[int]) -> None:
    text = "layers { " + " ".join(f"blob_share_mode: {mode}" for mode in modes.split()) + " }\n"
    new = read(text)
    new.layers[0].blob_share_mode[:] = new_modes
    reconciled(parse(text), new)


HIDDEN = [
    "name: # one\n  'a'\nforce_backward: true\n",
    "name: 'a' # one\n  'b'\nforce_backward: true\n",
    "name # one\n: 'a'\nforce_backward: true\n",
    "name: 'a' # one\n; force_backward: true\n",
]


@pytest.mark.parametrize("text", HIDDEN)
@pytest.mark.parametrize("name", ["z", None])
def test_comments_within_a_value_outlive_it(text: str, name: str | None) -> None:
    new = read(text)
    if name is None:
        new.ClearField("name")
    else:
        new.name = name
    assert all_comments(reconciled(parse(text), new)) == ["# one"]


@pytest.mark.parametrize("dims", [[1], [], [5, 2], [1, 2, 3, 4]])
def test_comments_within_a_list_outlive_its_values(dims: list[int]) -> None:
    text = "input_dim: [1, # one\n 2, # two\n 3 # three\n]\nname: 'a'\n"
    new = read(text)
    new.input_dim[:] = dims
    assert all_comments(reconciled(parse(text), new)) == ["# one", "# three", "# two"]


@pytest.mark.parametrize("text", ["layer { include { # one\n} name: 'a' }\n", "layer { include { # one\n} }"])
def test_a_comment_that_stays_swallows_nothing(text: str) -> None:
    new = read(text)
    new.layer[0].ClearField("include")
    assert all_comments(reconciled(parse(text), new)) == ["# one"]


# ---- Properties ----


@pytest.mark.thorough
@given(nets(), randoms())
@settings(max_examples=300)
def test_the_text_reads_as_the_changed_net(net_and_text: tuple[Any, str], random: Random) -> None:
    new, text = net_and_text
    document = parse(text)
    for _ in range(random.randrange(1, 4)):
        change(random, new)
    origins = change_layers(random, new)
    result = reconciled(document, new, origins)
    assert all_comments(result) == all_comments(document)
    assert result.text.startswith("\ufeff") == text.startswith("\ufeff")
    assert reconcile(result, new, new) == []


@pytest.mark.thorough
@given(nets())
@settings(max_examples=100)
def test_no_change_gives_no_edits(net_and_text: tuple[Any, str]) -> None:
    net, text = net_and_text
    assert reconcile(parse(text), net, net) == []
    assert reconcile(parse(text), net, net, Moves(NAMES, {"layer": list(range(len(net.layer)))})) == []


@pytest.mark.thorough
@given(nets(), nets())
@settings(max_examples=100)
def test_any_net_becomes_any_other(one: tuple[Any, str], other: tuple[Any, str]) -> None:
    reconciled(parse(one[1]), other[0])


@pytest.mark.thorough
@given(nets(), randoms())
@settings(max_examples=100)
def test_layers_that_do_not_change_stay_as_they_are_written(net_and_text: tuple[Any, str], random: Random) -> None:
    _, text = net_and_text
    document = parse(text)
    new = read(document)
    changed = random.randrange(len(new.layer))
    change(random, new.layer[changed])
    result = reconciled(document, new, list(range(len(new.layer))))

    def written(document: Document) -> list[str]:
        values = [value for field in document.root.fields if field.name == "layer" for value in field.values]
        return [document.text[value.start : value.end] for value in values]

    before, after = written(document), written(result)
    del before[changed], after[changed]
    assert before == after
