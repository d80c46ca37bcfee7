"""`caffe-fcn verify` and `convert --verify`: what they tell, their documents and exit codes, and bad input."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

import caffe_fcn
from caffe_fcn import schema
from caffe_fcn.engines import onnxruntime
from caffe_fcn.engines import registry as engines
from caffe_fcn.engines.nets import one_net
from caffe_fcn.engines.options import ENGINES
from caffe_fcn.errors import ExtraError
from caffe_fcn.files.weights import open_weights
from caffe_fcn.net.source import read_net
from caffe_fcn.predict.inputs import read_inputs
from caffe_fcn.predict.options import PreparationOptions
from caffe_fcn.verify.options import PROOFS
from caffe_fcn.verify.weights import prove_weights
from tests.cli.conftest import LENET, CommandLine, Result
from tests.engines.nets import net_of, weights_of
from tests.passes.nets import conv, data, fc, layer
from tests.paths import CASES, GOLDEN, ROOT

FILES = ("net.prototxt", "net.caffemodel", "net_fcn.prototxt", "net_fcn.caffemodel")
SCHEMAS = {path.stem: json.loads(path.read_bytes()) for path in (ROOT / "docs" / "schema").glob("*.json")}


@pytest.fixture(scope="module")
def lenet_and_twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with LeNet and its twin, for tests to copy."""
    path = tmp_path_factory.mktemp("lenet")
    for name in FILES[:2]:
        shutil.copy(LENET / name, path / name)
    caffe_fcn.convert(*(path / name for name in FILES[:2]))
    return path


@pytest.fixture
def pair(cli: CommandLine, lenet_and_twin: Path) -> CommandLine:
    """LeNet and its twin."""
    shutil.copytree(lenet_and_twin, cli.path, dirs_exist_ok=True)
    return cli


def damage(path: Path, layer: str) -> None:
    """Change a weight of LAYER in the caffemodel at PATH."""
    net = schema.NetParameter.FromString(path.read_bytes())
    next(each for each in net.layer if each.name == layer).blobs[0].data[0] += 1
    path.write_bytes(net.SerializeToString())


def valid(name: str, document: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMAS[name]).is_valid(document))


# ---- What it tells ----


@pytest.mark.thorough
def test_a_line_for_each_proof(pair: CommandLine) -> None:
    result = pair.run("verify", *FILES)
    assert (result.code, result.err) == (0, "")
    lines = result.out.decode().splitlines()
    assert lines[0] == "net_fcn.prototxt: is equivalent to net.prototxt: same bits (run by onnxruntime)"
    assert [line[2:22].split("  ")[0] for line in lines if line[2] != " "][1:] == ["weights", "same size", "dense"]
    assert lines[1] == "  weights    holds      8 blobs of 4 layers, 8,474 values; 1 in another shape"
    assert lines[-1].startswith("    prob  exact everywhere: off by ")


@pytest.mark.thorough
def test_borders_are_told_with_their_cause(cli: CommandLine) -> None:
    for name in FILES[:2]:
        shutil.copy(GOLDEN / "conversions" / "rnet" / name, cli.path / name)
    cli.converts(*FILES[:2])
    told = cli.run("verify", *FILES).out.decode()
    assert "conv5-2 (now conv5-2-conv)  exact away from borders: pool1 has a partial window at the border\n" in told
    assert re.search("on crops, which have their own borders: off by .*\\n +on the whole picture's maps: off by ", told)


@pytest.mark.thorough
def test_quiet_leaves_the_exit_code(pair: CommandLine) -> None:
    assert pair.run("verify", *FILES, "-q") == Result(0, b"", "")
    damage(pair.path / FILES[3], "ip2-conv")
    assert pair.run("verify", *FILES, "--quiet") == Result(1, b"", "")


@pytest.mark.thorough
def test_what_fails_is_named(pair: CommandLine) -> None:
    damage(pair.path / FILES[3], "ip2-conv")
    result = pair.run("verify", *FILES)
    assert (result.code, result.err) == (1, "")
    told = result.out.decode()
    assert "  weights    fails " in told and "  dense      fails " in told
    assert "layer 'ip2', 'ip2-conv' in the converted net, blob 0: 1 of 320 values differ from the original" in told
    assert "    prob  differs by more than rounding explains\n          off by " in told


@pytest.mark.thorough
def test_from_stdin(pair: CommandLine) -> None:
    text = (pair.path / FILES[2]).read_bytes()
    assert pair.run("verify", FILES[0], FILES[1], "-", FILES[3], stdin=text).code == 0


@pytest.mark.thorough
def test_pictures_are_prepared_as_they_are_run(pair: CommandLine) -> None:
    pixels = np.arange(28 * 28 * 3, dtype=np.uint8).reshape(28, 28, 3)
    Image.fromarray(pixels).save(pair.path / "a.png")
    Image.fromarray(pixels).resize((60, 50)).save(pair.path / "b.png")
    with open_weights(pair.path / FILES[1]) as weights:
        net = one_net(read_net(pair.path / FILES[0]), weights).net
    paths = [str(pair.path / name) for name in ("a.png", "b.png")]
    (made, other), notes = read_inputs(paths, net, PreparationOptions(mean="7", scale=0.5))
    assert made.shape == other.shape == (1, 28, 28) and notes == ()
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(made[0], (grey - 7) / 2, atol=1)
    told = pair.run("verify", *FILES, "--image", "a.png", "--image", "b.png", "--scale", "0.01").out.decode()
    assert "8 random inputs (seed 0) and 2 given, data 1×28×28" in told


@pytest.mark.parametrize("proof", PROOFS)
def test_single_proofs(pair: CommandLine, proof: str) -> None:
    document = pair.run("verify", *FILES, "--proof", proof, "--json").document
    assert {key: value is None for key, value in document["proofs"].items()} == {
        key: key != proof.replace("-", "_") for key in ("weights", "same_size", "dense")
    }
    assert valid("verify", document)


def test_the_options_are_those_of_the_library() -> None:
    assert tuple(engines.ENGINES) == ENGINES
    assert SCHEMAS["verify"]["properties"]["engine"]["enum"] == [*ENGINES, None]


# ---- Documents ----


@pytest.mark.thorough
def test_the_document(pair: CommandLine) -> None:
    np.save(pair.path / "x.npy", np.zeros((2, 1, 28, 28), np.uint8))
    document = pair.run("verify", *FILES, "--json", "--image", "x.npy", "--samples", "3", "--seed", "4").document
    assert valid("verify", document)
    assert document["holds"] is True and [document[key] for key in ("net", "weights", "fcn", "fcn_weights")] == [*FILES]
    proofs = document["proofs"]
    assert (proofs["same_size"]["samples"], proofs["same_size"]["pictures"], proofs["same_size"]["seed"]) == (3, 2, 4)
    assert proofs["dense"]["outputs"][0]["exactness"] == "everywhere" and proofs["dense"]["outputs"][0]["window"] == [
        28,
        28,
    ]
    difference = proofs["same_size"]["outputs"][0]["difference"]
    assert 0 < difference["relative"] < difference["allowed"] < 1e-4


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["c3d", "rnet", "transpose"])
def test_documents_of_other_nets(cli: CommandLine, name: str) -> None:
    for file in FILES[:2]:
        shutil.copy(GOLDEN / "conversions" / name / file, cli.path / file)
    told = cli.converts(*FILES[:2], "--verify", "--json").document
    assert valid("convert", told) and told["verification"]["holds"]
    assert valid("verify", cli.run("verify", *FILES, "--json").document)


@pytest.mark.thorough
def test_documents_of_failures(pair: CommandLine) -> None:
    damage(pair.path / FILES[3], "ip2-conv")
    result = pair.run("verify", *FILES, "--json")
    assert result.code == 1 and valid("verify", result.document) and result.document["holds"] is False
    (pair.path / FILES[2]).write_text(pair.read(FILES[2]).replace("kernel_size: 5", "kernel_size: 5 stride: 2", 1))
    document = pair.run("verify", *FILES, "--json").document
    assert valid("verify", document)
    assert [document["proofs"][key]["status"] for key in ("weights", "same_size", "dense")] == [
        "not_shown",
        "fails",
        "not_shown",
    ]


def parts(part: Any) -> Iterator[Any]:
    if isinstance(part, dict):
        yield part
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from parts(each)


def test_the_schema_is_closed_and_described() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS["verify"])
    for part in parts(SCHEMAS["verify"]):
        if part.get("type") == "object" and "properties" in part:
            assert part["additionalProperties"] is False and set(part["required"]) == set(part["properties"])
        if part.get("type", "null") != "null" and isinstance(part["type"], str | list):
            assert part["description"]


PROVING = [name for name, schema in SCHEMAS.items() if "verification" in schema.get("$defs", {})]
"""The commands with --verify."""


def test_some_commands_verify_what_they_write() -> None:
    assert {"convert", "fold"} <= set(PROVING)


@pytest.mark.parametrize("name", PROVING)
def test_a_command_describes_the_proofs_as_verify_does(name: str) -> None:
    defs, shared = SCHEMAS[name]["$defs"], SCHEMAS["verify"]["$defs"]
    assert {each: defs[each] for each in shared} == shared
    inner = defs["verification"]["properties"]
    assert {each: SCHEMAS["verify"]["properties"][each] for each in inner} == inner


# ---- Where the nets part ----


@pytest.mark.thorough
def test_the_first_layer_that_differs(pair: CommandLine) -> None:
    result = pair.run("verify", "--bisect", *FILES)
    assert result.code == 0
    assert (
        result.out.decode().splitlines()[0]
        == "net_fcn.prototxt: agrees with net.prototxt blob by blob (run by onnxruntime)"
    )
    damage(pair.path / FILES[3], "ip1-conv")
    result = pair.run("verify", "--bisect", *FILES)
    lines = result.out.decode().splitlines()
    assert result.code == 1
    assert lines[0] == "net_fcn.prototxt: first differs from net.prototxt in layer 'ip1-conv' (run by onnxruntime)"
    assert lines[2] == "  layer 'ip1', 'ip1-conv' in the new net (InnerProduct, now Convolution)"
    assert lines[3] == "    reads pool2: the same values" and lines[4].startswith(
        "    makes ip1 (now ip1-conv): off by "
    )
    assert lines[5].startswith("    ip1-conv parameter blob 0, ") and lines[5].endswith(
        " values differ from the original"
    )
    document = pair.run("verify", "--bisect", *FILES, "--json").document
    assert valid("verify", document) and not document["holds"] and document["proofs"]["weights"] is None
    (found,) = document["bisection"]["first"]
    assert (found["layer"], found["twin"], found["blobs"][0]["differing"]) == ("ip1", "ip1-conv", 1)
    result = pair.run("verify", "--bisect", "--proof", "weights", *FILES)
    assert result.code == 2 and "leave out --proof" in result.err
    with caffe_fcn.open(*FILES[2:]) as net:
        bisection = net.verify(*FILES[:2], bisect=True).bisection
        assert bisection is not None and bisection.first[0].twin == "ip1-conv"
        with pytest.raises(ValueError, match="bisect"):
            net.verify(*FILES[:2], bisect=True, claim="new-function")


@pytest.mark.thorough
def test_two_snapshots_of_one_net_are_called_by_their_weights(pair: CommandLine) -> None:
    shutil.copy(pair.path / FILES[1], pair.path / "later.caffemodel")
    damage(pair.path / "later.caffemodel", "ip1")
    files = *FILES[:2], FILES[0], "later.caffemodel"
    told = pair.run("verify", "--bisect", *files).out.decode()
    assert told.startswith("later.caffemodel: first differs from net.caffemodel in layer 'ip1' ")
    assert pair.run("verify", *files).out.decode().startswith("later.caffemodel: is not equivalent to net.caffemodel ")


# ---- The claim ----


@pytest.mark.thorough
def test_a_claim_that_is_asked_for(cli: CommandLine) -> None:
    folder = GOLDEN / "folds" / "conv_bn_scale_tops"
    files: list[str | Path] = [folder / "net.prototxt", folder / "net.caffemodel", "a", "b"]
    assert cli.run("fold", *files[:2], "-o", "a", "-w", "b").code == 0
    assert cli.run("verify", *files, "--claim", "same-function").code == 0
    told = cli.run("verify", *files, "--claim", "same-bits")
    assert told.code == 1 and "found 'same function within rounding'" in told.out.decode().splitlines()[0]
    document = cli.run("verify", *files, "--claim", "same-bits", "--json").document
    assert valid("verify", document) and (document["claim"], document["holds"]) == ("same_function", False)
    result = cli.run("verify", *files, "--claim", "new-function", "--proof", "weights")
    assert result.code == 2 and "do not go with --claim new-function" in result.err


@pytest.mark.thorough
def test_a_new_function(cli: CommandLine) -> None:
    files: list[str | Path] = [LENET / "net.prototxt", LENET / "net.caffemodel", "a", "b"]
    result = cli.run("reduce", *files[:2], "ip1=8", "-o", "a", "-w", "b", "--verify")
    assert result.code == 0 and "a: new function, from " in result.err and "every proof holds" in result.err
    told = cli.run("verify", *files, "--claim", "new-function")
    assert told.code == 0 and "  layers     holds      7 untouched, 2 changed; " in told.out.decode()
    document = cli.run("verify", *files, "--claim", "new-function", "--json").document
    assert valid("verify", document) and document["holds"]
    assert [each["fate"] for each in document["new_function"]["layers"]["layers"]].count("changed") == 2
    document["new_function"]["run"]["more"] = 1
    assert not valid("verify", document)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["reduce", "ip1=8"], "`caffe-fcn reduce`"),
        (["reduce", "ip1=8:2x2", "--dilation", "ip1=2"], "`caffe-fcn reduce`"),
        (["segment", "--classes", "2"], "`caffe-fcn segment`"),
        (["segment", "--keep-classifier"], "`caffe-fcn segment`"),
        (["segment", "--classes", "2", "--input-channels", "3"], "`caffe-fcn segment` and `caffe-fcn convert --input-"),
        (["convert", "--input-channels", "3"], "`caffe-fcn convert --input-channels`"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else None,
)
def test_a_new_function_is_not_equivalent_unless_it_is_claimed(cli: CommandLine, words: list[str], told: str) -> None:
    """Whatever made it: no proof of an equivalence holds, and a note says which claim would."""
    files = [*map(str, (LENET / "net.prototxt", LENET / "net.caffemodel")), "a", "b.caffemodel"]
    assert cli.run(words[0], *files[:2], *words[1:], "-o", files[2], "-w", files[3]).code == 0
    note = f"note: the converted net seems to be made by {told}"
    for options in ([], ["--claim", "same-bits"], ["--claim", "same-function"], ["--proof", "weights"]):
        result = cli.run("verify", *files, *options)
        assert result.code == 1 and b"a: is not equivalent to " in result.out and note in result.err, result
        assert result.err.endswith("--claim new-function proves such a net\n")
        assert (b"same size" in result.out) == (options[:1] != ["--proof"])
        if "--input-channels" in words:
            expected = "input 'data': expected 1×1×28×28, as in the original, found 1×3×28×28"
            assert expected in result.out.decode() and b"another net" not in result.out
    document = cli.run("verify", *files, "--json").document
    assert valid("verify", document) and not document["holds"] and document["new_function"] is None
    assert cli.run("verify", *files, "--claim", "new-function").code == 0
    with caffe_fcn.open(*files[:2]) as net, caffe_fcn.open(*files[2:]) as twin:
        found = twin.verify(net)
        assert not found.holds and found.notes[-1].endswith("; claim='new-function' proves such a net")
        assert twin.verify(net, claim="new-function").holds


# ---- convert --verify ----


@pytest.mark.thorough
def test_what_cannot_be_shown_is_not_written(cli: CommandLine) -> None:
    net = data() + conv("c", "data", 4) + fc("fc", "c", 1) + layer("prob", "Softmax", "fc")
    cli.write(net=net)
    with weights_of(net_of(net), cli.path / "net.caffemodel"):
        pass
    before = cli.names
    result = cli.convert("net.prototxt", "net.caffemodel", "--verify")
    assert (result.code, cli.names) == (1, before)
    told = (
        "is not shown to be equivalent to the original: dense not shown: 'prob': the answers are the same in "
        "all windows"
    )
    assert told in result.err and "leave --verify out" in result.err


@pytest.mark.parametrize("name", ["fcn8_like", "runtime_input"])
def test_with_nothing_to_convert_nothing_has_to_be_run(cli: CommandLine, name: str) -> None:
    cli.write(net=(CASES / f"{name}.prototxt").read_text())
    with weights_of(net_of((CASES / f"{name}.prototxt").read_text()), cli.path / "net.caffemodel"):
        pass
    result = cli.convert("net.prototxt", "net.caffemodel", "--verify")
    assert result.code == 0 and "is equivalent to net.prototxt: same bits (nothing was run)" in result.err
    told = cli.run("verify", *FILES[:2] * 2)
    assert (told.code, told.err) == (0, "")
    assert told.out.decode().splitlines()[-1] == "  dense      does not apply  nothing was converted"
    document = cli.run("verify", *FILES[:2] * 2, "--json").document
    assert valid("verify", document) and document["engine"] is None
    assert document["proofs"]["dense"]["does_not_apply"] == {"cause": "nothing_converted", "names": [], "reasons": []}


def test_no_proof_at_all_is_no_success(cli: CommandLine) -> None:
    for name in FILES[:2]:
        shutil.copy(LENET / name, cli.path / name)
    result = cli.run("verify", *FILES[:2] * 2, "--proof", "dense")
    assert result.code == 1 and b"is not shown to be equivalent" in result.out


@pytest.mark.thorough
def test_convert_verifies_before_it_writes(cli: CommandLine) -> None:
    result = cli.converts(LENET / "net.prototxt", LENET / "net.caffemodel", "-o", "a", "-w", "b.h5", "--verify")
    assert cli.names == {"a", "b.h5"}
    assert "wrote a, b.h5\na: is equivalent to " in result.err and "\n  dense      holds " in result.err
    assert cli.converts(LENET / "net.prototxt", "-o", "c", "--json").document["verification"] is None


@pytest.mark.thorough
def test_convert_verifies_by_the_engine_that_is_chosen(cli: CommandLine) -> None:
    lenet = LENET / "net.prototxt", LENET / "net.caffemodel"
    document = cli.converts(*lenet, "-o", "a", "-w", "b", "--verify", "--engine", "opencv", "--json").document
    assert document["verification"]["engine"] == "opencv" and valid("convert", document)
    result = cli.convert(*lenet, "-o", "c", "-w", "d", "--verify", "--engine", "caffe")
    assert (result.code, result.out, cli.names) == (1, b"", {"a", "b"}) and "needs its Python module" in result.err
    assert "--engine is for --verify" in cli.rejects(*lenet, "--engine", "opencv")


@pytest.mark.thorough
def test_nothing_is_written_where_a_proof_fails(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*sides: Any) -> Any:
        return prove_weights(*sides)._replace(failures=("a weight went astray",))

    monkeypatch.setattr("caffe_fcn.verify.work.prove_weights", failing)
    result = cli.convert(LENET / "net.prototxt", LENET / "net.caffemodel", "-o", "a", "-w", "b", "--verify")
    assert (result.code, result.out, cli.names) == (1, b"", set())
    told = (
        "caffe-fcn: a: the new net is not equivalent to the original: weights fails: a weight went astray; nothing was"
    )
    assert result.err.startswith(told)


@pytest.mark.thorough
def test_many_nets_are_verified_each(cli: CommandLine) -> None:
    files = [GOLDEN / "conversions" / name / "net.prototxt" for name in ("lenet", "mlp")]
    result = cli.run("convert", files[0], LENET / "net.caffemodel", "--out-dir", "o", "--verify", "--json")
    assert result.code == 0 and result.document[0]["verification"]["holds"]
    result = cli.run("convert", files[1], "--out-dir", "p", "--verify")
    assert result.code == 1 and "--verify needs weights, found none" in result.err and "p" not in cli.names


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([FILES[0], "--verify"], "--verify needs WEIGHTS"),
        ([*FILES[:2], "--verify", "--dry-run"], "--dry-run writes none"),
        ([*FILES[:2], "--verify", "-o", "-"], "the outputs cannot be '-'; name files"),
    ],
    ids=["weights", "dry-run", "stdout"],
)
def test_what_cannot_be_verified_is_wrong_usage(cli: CommandLine, arguments: list[str], told: str) -> None:
    for name in FILES[:2]:
        shutil.copy(LENET / name, cli.path / name)
    assert told in cli.rejects(*arguments, "--force")


# ---- Bad input ----


def refused(cli: CommandLine, *arguments: str) -> str:
    """What `verify` tells of what it cannot do, in one line."""
    result = cli.run("verify", *arguments)
    assert (result.code, result.out) == (1, b""), result.err
    (line,) = result.err.splitlines()
    return line


@pytest.mark.parametrize("missing", range(4))
def test_a_file_that_is_not_there(pair: CommandLine, missing: int) -> None:
    files = [*FILES]
    files[missing] = "nowhere"
    told = refused(pair, *files)
    assert told.startswith("caffe-fcn: nowhere: ") and told.endswith("No such file or directory")


def test_arguments_swapped(pair: CommandLine) -> None:
    assert KINDS in pair.run("verify", FILES[1], FILES[0], *FILES[2:]).err


@pytest.mark.thorough
def test_the_original_s_weights_in_place_of_the_twin_s(pair: CommandLine) -> None:
    result = pair.run("verify", *FILES[:3], FILES[1])
    told = "net.caffemodel holds 2 blobs for 'ip1', net.caffemodel no blobs for 'ip1-conv'"
    assert result.code == 1 and told in result.out.decode()
    assert "layer 'ip2' is in net.caffemodel, but not in the converted net" in result.out.decode()


KINDS = "expected two nets, each a prototxt before its weights or a caffemodel alone; found "
EXCHANGED = "the weights of the two nets are swapped; exchange them"
BACKWARDS = "note: the nets seem to be swapped: the first looks like one made of the second; give the original first"


@pytest.mark.parametrize("order", [*permutations(range(4))][1:], ids=str)
def test_the_files_in_another_order(pair: CommandLine, order: tuple[int, ...]) -> None:
    files = [FILES[place] for place in order]
    result = pair.run("verify", *files)
    if order in ((0, 3, 2, 1), (2, 1, 0, 3)):
        assert result.code == 1 and result.err.splitlines()[-1].endswith(EXCHANGED)
    elif order == (2, 3, 0, 1):
        assert result.code == 1 and BACKWARDS in result.err.splitlines()
    else:
        found = ", ".join(f"{file} ({'prototxt' if file.endswith('.prototxt') else 'weights'})" for file in files)
        assert result.code == 2 and result.err.splitlines()[-1] == f"Error: {KINDS}{found}"


def test_one_file_again_and_again(pair: CommandLine) -> None:
    for files in ([FILES[0]], [FILES[1]], [FILES[0]] * 4, [FILES[1]] * 4, FILES[:2], [FILES[0], FILES[0], *FILES[1:3]]):
        result = pair.run("verify", *files)
        assert result.code == 2 and result.err.splitlines()[-1].startswith("Error: ")
    assert pair.run("verify", *FILES[:2] * 2).code == 0


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("size", "told"),
    [
        ((1, 3, 28, 28), "blob 0: expected 450 values (6×3×5×5), found 150 (6×1×5×5)"),
        ((1, 1, 4, 4), 'layer "conv1" (Convolution): the kernel covers 5×5, more than the input of 4×4'),
        ((1, 784), 'layer "pool1" (Pooling): the bottom has 2 axes (1×6), but the layer needs 4'),
        ((7, 1, 60, 80), ""),
    ],
    ids=str,
)
def test_an_input_that_the_twin_states(pair: CommandLine, size: tuple[int, ...], told: str) -> None:
    text = (pair.path / FILES[2]).read_text()
    stated = " ".join(f"dim: {extent}" for extent in size)
    changed = text.replace("dim: 1 dim: 1 dim: 28 dim: 28", stated)
    assert changed != text
    (pair.path / FILES[2]).write_text(changed)
    result = pair.run("verify", *FILES)
    lines = [line for line in result.out.decode().splitlines() if "Caffe cannot load the converted net" in line]
    assert (result.code, len(lines)) == ((1, 1) if told else (0, 0)) and all(told in line for line in lines)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('top: "prob"\n}', 'top: "odd"\n}', 0),
        ('name: "prob"', 'name: "odd"', 0),
        ('  top: "ip2-conv"', '  top: "ip2-conv" top: "odd"', 1),
        ('type: "Softmax"', 'type: "Silence"', 1),
    ],
)
def test_outputs_that_the_twin_calls_otherwise(pair: CommandLine, old: str, new: str, code: int) -> None:
    text = (pair.path / FILES[2]).read_text()
    assert old in text
    (pair.path / FILES[2]).write_text(text.replace(old, new))
    assert pair.run("verify", *FILES).code == code


@pytest.mark.thorough
def test_outputs_that_the_twin_lacks_or_has_beside(pair: CommandLine) -> None:
    text = (pair.path / FILES[2]).read_text()
    more = 'layer { name: "more" type: "AbsVal" bottom: "ip1-conv" top: "more" }'
    for changed, told in (
        (text + more, ["the output 'more' of the converted net matches no output of the original"]),
        (text[: text.rindex("layer {")], ["the converted net has no output for 'prob'"]),
    ):
        (pair.path / FILES[2]).write_text(changed)
        result = pair.run("verify", *FILES)
        lines = result.out.decode()
        assert result.code == 1 and all(each in lines for each in told)


def test_weights_that_are_not_the_original_s(pair: CommandLine) -> None:
    other = GOLDEN / "conversions" / "rnet" / "net.caffemodel"
    assert "are these the weights of another net" in pair.run("verify", FILES[0], other, *FILES[2:]).err


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (None, "expected an array in .npy, found a damaged file"),
        (np.zeros((3, 3)), "input 'data': expected pictures of 1×28×28, found one of 3×3; resize it"),
        (np.array(["a"]), "expected numbers, found the type <U1"),
        (np.full((28, 28), np.nan), "expected finite numbers, found NaN or infinity"),
        (np.array([{}]), "expected numbers, found Python objects"),
    ],
    ids=["none", "size", "text", "nan", "pickle"],
)
def test_pictures_that_are_none(pair: CommandLine, array: Any, told: str) -> None:
    if array is None:
        (pair.path / "x.npy").write_bytes(b"\x89PNG\r\n")
    else:
        np.save(pair.path / "x.npy", array, allow_pickle=True)
    assert told in refused(pair, *FILES, "--image", "x.npy")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[:20],
        lambda data: data[:200],
        lambda data: data[:8] + b"\xff\xff" + data[10:],
        lambda data: data.replace(b"(1, 28, 28), }", b"(99999999,99999"),
        lambda data: data.replace(b"(1, 28, 28), }          ", b"(9999999,9999999,999), }"),
        lambda data: data.replace(b"<f4", b"<q9"),
    ],
)
def test_damaged_arrays(pair: CommandLine, change: Callable[[bytes], bytes]) -> None:
    np.save(pair.path / "x.npy", np.zeros((1, 28, 28), np.float32))
    before = (pair.path / "x.npy").read_bytes()
    assert change(before) != before
    (pair.path / "x.npy").write_bytes(change(before))
    told = refused(pair, *FILES, "--image", "x.npy")
    damages = r"an array in \.npy, found a damaged file|[\d,]+ bytes of values|a shape|numbers, found the type"
    assert re.match(rf"caffe-fcn: x\.npy: expected ({damages})", told)


@pytest.mark.thorough
def test_an_engine_that_is_not_installed(pair: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "needs its Python module" in refused(pair, *FILES, "--engine", "caffe")

    def missing() -> Any:
        raise ExtraError("needs more packages: pip install 'caffe-fcn[run]'")

    monkeypatch.setattr(onnxruntime, "onnxruntime", missing)
    assert refused(pair, *FILES).endswith("pip install 'caffe-fcn[run]'")
    files = sorted(pair.names)
    result = pair.convert(*FILES[:2], "--force", "--verify")
    assert result.code == 1 and "pip install" in result.err and sorted(pair.names) == files


@pytest.mark.parametrize(
    "arguments",
    [
        FILES[:3],
        [*FILES, "more"],
        [*FILES, "--engine", "tea"],
        [*FILES, "--samples", "0"],
        [*FILES, "--tolerance", "-1"],
        [*FILES, "--tolerance", "nan"],
        [*FILES, "--proof", "dens"],
        ["-", "-", *FILES[2:]],
        ["", *FILES[1:]],
    ],
    ids=lambda arguments: " ".join(arguments[-2:]),
)
def test_wrong_usage(pair: CommandLine, arguments: list[str]) -> None:
    result = pair.run("verify", *arguments)
    assert (result.code, result.out) == (2, b"") and "Traceback" not in result.err
