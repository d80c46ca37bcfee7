"""`caffe-fcn upgrade`: files of any age in, current ones out, and what is told of it."""

from __future__ import annotations

import copy
import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from caffe_fcn import schema
from caffe_fcn.files import prototxt
from caffe_fcn.net.source import interpret
from caffe_fcn.net.upgrade import needs_upgrade
from tests.cli.conftest import LENET, CommandLine, Result, listing, the_message
from tests.cli.test_interruption import AT_BYTES, LIMIT, filling, finish, start
from tests.files.datasets import CAFFES, read, same
from tests.files.encodings import bytes_field, layer, legacy_shape, matrix, model, packed, varint_field
from tests.paths import CASES, GOLDEN, ROOT

SCHEMA = json.loads((ROOT / "docs" / "schema" / "upgrade.json").read_bytes())
OLD = """\
# of 2014
input: "data"  # the image
input_dim: 1 input_dim: 1 input_dim: 28 input_dim: 28
layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip" inner_product_param { num_output: 2 } }
"""
V1 = (LENET / "variants" / "v1.caffemodel").read_bytes()
CURRENT = (LENET / "net.caffemodel").read_bytes()


@pytest.fixture
def old(cli: CommandLine) -> CommandLine:
    """The command line in a directory with old.prototxt, old.caffemodel and old.h5."""
    cli.write(old=OLD)
    cli.write(old=V1)
    shutil.copy(CAFFES, cli.path / "old.h5")
    return cli


def done(cli: CommandLine, *arguments: str | Path, stdin: bytes = b"") -> Result:
    result = cli.run("upgrade", *arguments, stdin=stdin)
    assert result.code == 0, result.err
    return result


def fails(cli: CommandLine, *arguments: str | Path, stdin: bytes = b"") -> str:
    """What a run tells that must fail with exit code 1, one message, and nothing written."""
    before = listing(cli.path)
    result = cli.run("upgrade", *arguments, stdin=stdin)
    assert (result.code, result.out) == (1, b""), result.err
    assert listing(cli.path) == before
    return the_message(result.err)


def misused(cli: CommandLine, *arguments: str | Path, stdin: bytes = b"") -> str:
    """What a run tells that must fail as wrong usage: exit code 2, and nothing written."""
    before = listing(cli.path)
    result = cli.run("upgrade", *arguments, stdin=stdin)
    assert (result.code, result.out) == (2, b""), result.err
    assert listing(cli.path) == before
    assert "Traceback" not in result.err
    return result.err.splitlines()[-1]


# ---- What it does ----


def test_a_net(old: CommandLine) -> None:
    result = done(old, "old.prototxt", "new.prototxt")
    assert (result.out, result.err.splitlines()) == (
        b"",
        [
            "old.prototxt: upgraded",
            "  1 layer in format V1",
            "  input fields of the net become an Input layer",
            "wrote new.prototxt",
        ],
    )
    new = old.read("new.prototxt")
    assert new.startswith("# of 2014\n") and "# the image" in new
    net = interpret(prototxt.parse(new, "new.prototxt")).written
    assert [each.type for each in net.layer] == ["Input", "InnerProduct"]
    assert not needs_upgrade(net)
    again = done(old, "new.prototxt", "again.prototxt")
    assert again.err.splitlines() == ["new.prototxt: already up to date", "wrote again.prototxt"]
    assert old.read("again.prototxt") == new


@pytest.mark.parametrize("name", ["v0_net", "v1_deploy", "v1_train_val", "batchnorm_params", "input_fields"])
def test_nets_of_the_reference_tool(cli: CommandLine, name: str) -> None:
    golden = GOLDEN / "upgrades"
    done(cli, golden / f"{name}.in.prototxt", "new.prototxt", "-q")
    wanted = interpret(prototxt.read(golden / f"{name}.out.prototxt")).written
    assert interpret(prototxt.read("new.prototxt")).written == wanted


def test_weights(old: CommandLine) -> None:
    result = done(old, "old.caffemodel", "new.caffemodel")
    assert result.err.splitlines() == [
        "old.caffemodel: upgraded",
        "  8 layers in format V1",
        "  8 blobs with num, channels, height and width instead of a shape",
        "wrote new.caffemodel",
    ]
    assert old.blobs("new.caffemodel")["ip1"] == [(32, 192), (32,)]
    again = done(old, "new.caffemodel", "again.caffemodel")
    assert again.err.splitlines() == ["new.caffemodel: already up to date", "wrote again.caffemodel"]
    assert (old.path / "again.caffemodel").read_bytes() == (old.path / "new.caffemodel").read_bytes()


def test_weights_to_hdf5_and_back(old: CommandLine) -> None:
    done(old, "old.caffemodel", "new.caffemodel.h5")
    held = {name: blobs for name, blobs in read(CAFFES).items() if blobs}
    assert same({name: blobs for name, blobs in read(Path("new.caffemodel.h5")).items() if blobs}, held)
    result = done(old, "new.caffemodel.h5", "back.caffemodel")
    assert "note: HDF5 holds no net, so the caffemodel has only the names and the weights of the layers" in result.err
    assert old.blobs("back.caffemodel")["ip1"] == [(32, 192), (32,)]
    done(old, "new.caffemodel.h5", "copy.h5")
    assert same(read(Path("copy.h5")), read(Path("new.caffemodel.h5")))


def test_the_name_says_nothing_of_the_input(old: CommandLine) -> None:
    (old.path / "old.caffemodel").rename("weights.prototxt")
    (old.path / "old.h5").rename("weights.caffemodel")
    assert b"V1" in done(old, "weights.prototxt", "a.caffemodel", "--json").out
    assert b"HDF5" in done(old, "weights.caffemodel", "b.caffemodel", "--json").out


def test_a_current_file_is_copied_byte_for_byte(cli: CommandLine) -> None:
    text = '\ufeff# x\r\nlayer {\tname: "r" type: "ReLU"; bottom: "d" top: "d" }'
    cli.write(net=text)
    cli.write(net=CURRENT)
    done(cli, "net.prototxt", "new.prototxt")
    done(cli, "net.caffemodel", "new.caffemodel")
    assert (cli.path / "new.prototxt").read_bytes() == text.encode()
    assert (cli.path / "new.caffemodel").read_bytes() == CURRENT


# ---- Streams ----


@pytest.mark.thorough
def test_stdin_and_stdout(old: CommandLine) -> None:
    done(old, "old.prototxt", "new.prototxt")
    done(old, "old.caffemodel", "new.caffemodel")
    for stem in ("prototxt", "caffemodel"):
        new = (old.path / f"new.{stem}").read_bytes()
        before = (old.path / f"old.{stem}").read_bytes()
        assert done(old, f"old.{stem}", "-").out == new
        result = done(old, "-", "-", stdin=before)
        assert result.out == new
        assert result.err.startswith("<stdin>: upgraded\n") and "wrote" not in result.err
        done(old, "-", f"piped.{stem}", stdin=before)
        assert (old.path / f"piped.{stem}").read_bytes() == new


def test_hdf5_through_stdin(old: CommandLine) -> None:
    result = done(old, "-", "-", stdin=CAFFES.read_bytes())
    assert schema.NetParameter.FromString(result.out).layer
    done(old, "-", "new.h5", stdin=CAFFES.read_bytes())
    assert same(read(Path("new.h5")), read(CAFFES))


def test_errors_call_stdin_by_its_name(cli: CommandLine) -> None:
    assert fails(cli, "-", "x", stdin=b"layer {").startswith("<stdin>:1:8: ")
    assert fails(cli, "-", "x", stdin=CAFFES.read_bytes()[:999]).startswith("<stdin>: expected HDF5 weights")
    assert fails(cli, "-", "x", stdin=V1[:999]).startswith("<stdin>: offset")
    assert fails(cli, "-", "x", stdin=b"").startswith("<stdin>: expected a net, found an empty file")


# ---- Options ----


def test_dry_run_writes_nothing(old: CommandLine) -> None:
    before = listing(old.path)
    for name in ("old.prototxt", "old.caffemodel", "old.h5"):
        result = done(old, name, "new", "--dry-run")
        assert result.err.splitlines()[-1] == "would write new"
        assert result.out == b""
    assert done(old, "old.h5", "old.h5", "--dry-run").err.endswith("would write old.h5 (exists; needs --force)\n")
    assert done(old, "old.prototxt", "-", "--dry-run").out == b""
    assert listing(old.path) == before


def test_diff(old: CommandLine) -> None:
    result = done(old, "old.prototxt", "new.prototxt", "--diff")
    shown = result.out.decode().splitlines()
    assert shown[:2] == ["--- old.prototxt", "+++ new.prototxt"]
    assert any(line.startswith('-input: "data"') for line in shown)
    assert "wrote new.prototxt" in result.err and (old.path / "new.prototxt").exists()
    before = listing(old.path)
    assert done(old, "old.prototxt", "new.prototxt", "--diff", "--dry-run").out == result.out
    assert done(old, "new.prototxt", "x", "--diff", "--dry-run").out == b""
    assert done(old, "-", "-", "--diff", "--dry-run", stdin=OLD.encode()).out.startswith(b"--- <stdin>\n+++ ")
    assert listing(old.path) == before


def test_quiet(old: CommandLine) -> None:
    result = done(old, "old.prototxt", "new.prototxt", "-q")
    assert (result.out, result.err) == (b"", "")
    result = done(old, "old.prototxt", "x", "-q", "--diff", "--dry-run")
    assert result.out and not result.err


def test_force(old: CommandLine) -> None:
    old.write(new="the old one")
    before = old.read("old.prototxt")
    assert "new.prototxt: already exists; overwrite it with --force" in fails(old, "old.prototxt", "new.prototxt")
    done(old, "old.prototxt", "new.prototxt", "--force")
    assert "Input" in old.read("new.prototxt") and old.read("old.prototxt") == before


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["", "force"])
@pytest.mark.parametrize("name", ["old.prototxt", "old.caffemodel", "old.h5"])
def test_a_file_is_not_written_over_itself(old: CommandLine, name: str, force: list[str]) -> None:
    (old.path / "link").symlink_to(name)
    os.link(name, "twin")
    for out in (name, f"./{name}", "link", "twin"):
        assert "the same file as the input" in fails(old, name, out, *force)


# ---- JSON ----


def checked(document: Any) -> Any:
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return document


def valid(document: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(document))


def test_the_schema_is_one_and_leaves_nothing_open() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["title"] == "caffe-fcn upgrade --json"
    file = SCHEMA["$defs"]["file"]
    assert file["additionalProperties"] is False
    assert set(file["required"]) == set(file["properties"])
    for part in file["properties"].values():
        assert part["description"] and part.get("items", part)["description"]


def test_json(old: CommandLine) -> None:
    result = done(old, "old.prototxt", "new.prototxt", "--json")
    assert result.err == ""
    document = checked(result.document)
    assert document == {
        "caffe_fcn": document["caffe_fcn"],
        "input": "old.prototxt",
        "kind": "net",
        "format": "V1",
        "output": "new.prototxt",
        "dry_run": False,
        "changes": ["1 layer in format V1", "input fields of the net become an Input layer"],
        "notes": [],
    }
    document = checked(done(old, "old.caffemodel", "new.caffemodel", "--json").document)
    assert (document["kind"], document["format"], len(document["changes"])) == ("weights", "V1", 2)
    document = checked(done(old, "old.h5", "x", "--json", "--dry-run").document)
    assert (document["format"], document["dry_run"], len(document["notes"])) == ("HDF5", True, 1)
    document = checked(done(old, "new.prototxt", "-", "--json", "--dry-run").document)
    assert (document["format"], document["output"], document["changes"]) == ("V2", "-", [])
    assert checked(done(old, "-", "x", "--json", stdin=OLD.encode()).document)["input"] == "<stdin>"


@pytest.mark.parametrize("path", sorted((GOLDEN / "upgrades").iterdir()), ids=lambda path: path.name)
def test_json_of_every_golden_net(cli: CommandLine, path: Path) -> None:
    assert checked(done(cli, path, "x", "--json", "--dry-run").document)["input"] == str(path)


def test_other_documents_are_not_valid(old: CommandLine) -> None:
    document = done(old, "old.h5", "x", "--json", "--dry-run").document
    assert valid(document)
    for key in document:
        for changed in ({**document, key: 1.5}, {**document, key: None}):
            assert not valid(changed), key
        less = copy.deepcopy(document)
        del less[key]
        assert not valid(less), key
    assert not valid({**document, "more": 1})
    for key in ("changes", "notes"):
        assert not valid({**document, key: [""]}) and not valid({**document, key: [1]})
    others: list[Any] = [[], {}, None, "x", [document]]
    assert not any(map(valid, others))


# ---- Wrong usage and bad input ----


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "Missing argument 'IN'"),
        (["old.prototxt"], "Missing argument 'OUT|WEIGHTS'"),
        (["old.prototxt", "a", "b"], "unexpected extra argument"),
        (["", "x"], "a file's name is empty"),
        (["old.prototxt", ""], "a file's name is empty"),
        (["old.prototxt", "x", "--diff", "--json"], "--diff and --json both print to stdout"),
        (["old.prototxt", "-", "--diff"], "so the output cannot be '-'"),
        (["old.caffemodel", "-", "--json"], "so the output cannot be '-'"),
        (["old.caffemodel", "x", "--diff"], "--diff needs a prototxt, but old.caffemodel is not one"),
        (["old.h5", "x", "--diff"], "--diff needs a prototxt, but old.h5 is not one"),
        (
            ["old.prototxt", "new.h5"],
            "OUT new.h5: expected a name for a prototxt (.prototxt, .pbtxt), found one for",
        ),
        (["old.prototxt", "new.prototxt", "--in-place"], "No such option"),
    ],
)
def test_wrong_usage(old: CommandLine, arguments: list[str], expected: str) -> None:
    assert expected in misused(old, *arguments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["none.prototxt", "x"], "none.prototxt: No such file"),
        ([".", "x"], "."),
        (["old.prototxt", "no/where"], "no/where: the directory no does not exist"),
        (["old.caffemodel", "no/where"], "no/where: the directory no does not exist"),
        (["old.h5", "."], ".: expected a file name, found a directory"),
        (
            ["old.h5", "new.pbtxt", "--dry-run"],
            "old.h5: an HDF5 file holds weights but no net; give",
        ),
        (["old.h5", "there.h5"], "there.h5: already exists"),
    ],
)
def test_files_that_do_not_suit(old: CommandLine, arguments: list[str], expected: str) -> None:
    (old.path / "there.h5").touch()
    assert fails(old, *arguments).startswith(expected)


@pytest.mark.parametrize("out", ["new", "new.h5"])
@pytest.mark.parametrize("size", [1, 50, 1000, 30_000, -1])
def test_truncated_weights(cli: CommandLine, size: int, out: str) -> None:
    for data in (V1, CAFFES.read_bytes()):
        cli.write(w=b"\0" * (size == 1) + data[:size])
        assert "w.caffemodel" in fails(cli, "w.caffemodel", out)


def test_a_net_that_caffe_refuses_is_refused_by_name(cli: CommandLine) -> None:
    cli.write(net='layers { layer { name: "x" type: "new" } }')
    assert fails(cli, "net.prototxt", "x").startswith('net.prototxt: layer "x": unknown type "new"')


def test_types_of_forks_in_weights_are_noted(cli: CommandLine) -> None:
    own = bytes_field(4, b"own") + varint_field(5, 99)  # a type that the schema lacks
    blob = bytes_field(6, legacy_shape((2, 3)) + packed(5, matrix(2, 3)))
    model(cli.path / "w", bytes_field(2, own + blob))
    result = done(cli, "w", "new", "--json")
    assert "'Unknown'" in checked(result.document)["notes"][0]


# ---- What comes in between ----


@pytest.fixture
def big(cli: CommandLine) -> Path:
    """A directory with old.caffemodel, 2 MB of weights with a legacy shape."""
    model(cli.path / "old.caffemodel", layer("fc", [legacy_shape((50, 10_000)) + packed(5, matrix(50, 10_000))]))
    return cli.path


def begun(directory: Path, *arguments: str, code: str) -> tuple[int, bytes, str]:
    """`caffe-fcn upgrade ARGUMENTS` as a process in which CODE runs first."""
    program = f"import sys\n{code}\nsys.argv[1:2] = ['upgrade']"
    return finish(start(directory, *arguments, code=program))


@pytest.mark.thorough
@pytest.mark.parametrize("out", ["new.caffemodel", "new.h5"])
@pytest.mark.parametrize("force", [[], ["--force"]], ids=["", "force"])
def test_ctrl_c_in_the_middle_of_the_copy(big: Path, out: str, force: list[str]) -> None:
    if force:
        (big / out).write_bytes(b"the old one")
    before = listing(big)
    code, told, err = begun(big, "old.caffemodel", out, *force, code=AT_BYTES.format(size=1_000_000))
    assert (code, told) == (130, b"")
    assert the_message(err) == "interrupted; no file is half written"
    assert listing(big) == before


@pytest.mark.thorough
@pytest.mark.parametrize("out", ["new.caffemodel", "new.h5"])
@pytest.mark.parametrize("size", [0, 1000, 1_900_000])
def test_files_limited_in_size(big: Path, out: str, size: int) -> None:
    before = listing(big)
    code, told, err = begun(big, "old.caffemodel", out, code=LIMIT.format(size=size))
    assert (code, told) == (1, b"")
    message = the_message(err)
    assert message.startswith(f"{out}: a file of 2,000,0") and "ulimit -f" in message
    assert listing(big) == before


@pytest.mark.parametrize("name", ["old.prototxt", "old.caffemodel"])
def test_a_full_disk(old: CommandLine, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = listing(old.path)
    with monkeypatch.context() as patched:
        filling(patched, 20, errno.ENOSPC)
        result = old.run("upgrade", name, "new")
    assert result.code == 1 and the_message(result.err).startswith("new: the disk is full: ")
    assert listing(old.path) == before


@pytest.mark.thorough
def test_a_reader_that_leaves(big: Path) -> None:
    before = listing(big)
    reader, writer = os.pipe()
    os.close(reader)
    process = start(big, "old.caffemodel", "-", code="import sys; sys.argv[1:2] = ['upgrade']", stdout=writer)
    os.close(writer)
    code, _, err = finish(process)
    assert code == 141 and "Traceback" not in err and "defect" not in err
    assert listing(big) == before


# ---- A net with its weights, for BVLC Caffe ----


FORK = ("bn_fork.prototxt", "bn_fork.caffemodel")
BOTH = ("-o", "new.prototxt", "-w", "new.caffemodel")


@pytest.fixture
def fork(cli: CommandLine) -> CommandLine:
    """The command line in a directory with a net that has a BatchNorm of a fork, and its weights."""
    for name in FORK:
        (cli.path / name).write_bytes((CASES / name).read_bytes())
    return cli


def test_a_net_with_its_weights(fork: CommandLine) -> None:
    result = done(fork, *FORK, *BOTH, "--for", "bvlc")
    becomes = "  layer 'bn1' (BatchNorm): its scale or ReLU becomes a separate layer: bn1_scale"
    assert result.err.splitlines() == [
        "bn_fork.prototxt: upgraded",
        becomes,
        "  fields of these layers that BVLC Caffe does not know are removed: batch_norm_param.scale_filler, "
        "batch_norm_param.bias_filler",
        "wrote new.prototxt",
        "bn_fork.caffemodel: upgraded",
        becomes,
        "wrote new.caffemodel",
    ]
    assert {name: len(shapes) for name, shapes in fork.blobs("new.caffemodel").items()} == {
        "c1": 2,
        "bn1": 3,
        "bn1_scale": 2,
        "fc": 2,
    }
    told = fork.run("inspect", "new.prototxt", "new.caffemodel").err
    assert told == ""
    assert done(fork, "new.prototxt", "again.prototxt", "--for", "bvlc").err.startswith(
        "new.prototxt: already up to date"
    )


def test_a_dry_run_and_a_diff_of_both(fork: CommandLine) -> None:
    before = listing(fork.path)
    result = done(fork, *FORK, *BOTH, "--for", "bvlc", "--dry-run", "--diff")
    assert listing(fork.path) == before
    assert '+  name: "bn1_scale"' in result.out.decode() and "+++ new.prototxt" in result.out.decode()
    assert [line for line in result.err.splitlines() if "write" in line] == [
        "would write new.prototxt",
        "would write new.caffemodel",
    ]


def test_the_documents_of_both(fork: CommandLine) -> None:
    found = done(fork, *FORK, *BOTH, "--for", "bvlc", "--json").document
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    assert [(each["kind"], each["output"]) for each in found] == [("net", BOTH[1]), ("weights", BOTH[3])]


def test_both_appear_or_neither(fork: CommandLine) -> None:
    (fork.path / "new.caffemodel").write_bytes(b"mine")
    assert "new.caffemodel" in fails(fork, *FORK, *BOTH, "--for", "bvlc")
    done(fork, *FORK, *BOTH, "--for", "bvlc", "--force")
    assert set(fork.blobs("new.caffemodel")) == {"c1", "bn1", "bn1_scale", "fc"}
    assert "--force" in fails(fork, *FORK, *BOTH, "--for", "bvlc")


def test_without_a_target_layers_of_forks_stay(fork: CommandLine) -> None:
    result = done(fork, *FORK, *BOTH)
    assert fork.read("new.prototxt") == fork.read(FORK[0])
    assert "BVLC Caffe refuses the weights of bn1" in result.err and "--for bvlc" in result.err


def test_one_file_alone_is_refused(fork: CommandLine) -> None:
    for name, out in ((FORK[0], "new.prototxt"), (FORK[1], "new.caffemodel"), (FORK[1], "new.prototxt")):
        told = fails(fork, name, out, "--for", "bvlc")
        assert told.startswith(f"{name}: layer 'bn1' (BatchNorm)")
        assert "`caffe-fcn upgrade NET WEIGHTS -o NEW_NET -w NEW_WEIGHTS --for bvlc`" in told


def test_the_streams_of_both(fork: CommandLine) -> None:
    text = (fork.path / FORK[0]).read_bytes()
    result = done(fork, "-", FORK[1], "-o", "-", "-w", "new.caffemodel", "--for", "bvlc", stdin=text)
    assert b'name: "bn1_scale"' in result.out and "<stdin>: upgraded" in result.err


def test_what_makes_no_pair_is_wrong_usage(fork: CommandLine) -> None:
    assert "-o and -w must be given together" in misused(fork, *FORK, "-o", "new.prototxt")
    assert "only one of the net and its weights" in misused(fork, "-", "-", *BOTH)
    assert "only one of -o and -w" in misused(fork, *FORK, "-o", "-", "-w", "-")
    assert "name a file" in misused(fork, *FORK, "-o", "-", "-w", "x.caffemodel", "--json")
    assert "is not one of 'bvlc', 'old'" in misused(fork, *FORK, *BOTH, "--for", "intel")
    (fork.path / "other.prototxt").write_text(fork.read(FORK[0]))
    assert "expected" in fork.run("upgrade", FORK[0], "other.prototxt", *BOTH).err


def test_inputs_for_old_caffe(lenet: CommandLine) -> None:
    result = lenet.run("upgrade", "net.prototxt", "old.prototxt", "--for", "old")
    assert (result.code, result.err.splitlines()[1]) == (0, "  Input layers become input fields of the net: data")
    assert 'input: "data"\ninput_dim: 1\n' in lenet.read("old.prototxt") and "Input" not in lenet.read("old.prototxt")
    both = ("net.prototxt", "net.caffemodel", "-o", "a.prototxt", "-w", "a.caffemodel")
    assert lenet.run("upgrade", *both, "--for", "old").code == 0
    assert lenet.read("a.prototxt") == lenet.read("old.prototxt")
    assert lenet.blobs("a.caffemodel") == lenet.blobs("net.caffemodel")
    assert lenet.run("upgrade", "net.caffemodel", "b.prototxt", "--for", "old").code == 0
    assert 'input: "data"' in lenet.read("b.prototxt")
    assert lenet.run("verify", "net.prototxt", "net.caffemodel", "a.prototxt", "a.caffemodel").code == 0


def test_weights_alone_have_no_inputs(lenet: CommandLine) -> None:
    result = lenet.run("upgrade", "net.caffemodel", "new.caffemodel", "--for", "old")
    assert result.code == 2 and "--for old is for a prototxt" in result.err and "new.caffemodel" not in lenet.names
