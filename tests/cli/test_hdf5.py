"""`caffe-fcn convert` with weights in HDF5: whatever goes in and whatever comes out, the same values and shapes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from google.protobuf import text_format

from caffe_fcn import schema
from caffe_fcn.schema import Message
from tests.cli.conftest import LENET, CommandLine, listing, the_message
from tests.cli.test_interruption import AT_BYTES, LIMIT, filling, finish, start
from tests.files.datasets import CAFFES, Blobs, made, memory, read, same, weights
from tests.files.encodings import matrix, parsed
from tests.passes.nets import data, fc, layer
from tests.paths import GOLDEN

CASES = sorted(path.parent for path in (GOLDEN / "conversions").glob("*/net.prototxt"))
VARIANTS = sorted(path.name for path in (LENET / "variants").iterdir())
OUTPUTS = ["out.caffemodel", "out.caffemodel.h5"]


def trained(path: Path) -> Blobs:
    """The blobs in a caffemodel, those of doubles as floats, read by protobuf alone."""
    net = parsed(path)
    return {
        each.name: {str(position): array(blob) for position, blob in enumerate(each.blobs)}
        for each in net.layer
        if each.blobs
    }


def array(blob: Message) -> np.ndarray:
    """A blob's values; one that says its shape in the old way is without the axes that only fill up."""
    values = np.array(blob.data or blob.double_data, "<f4")
    if blob.HasField("shape"):
        return values.reshape([*blob.shape.dim])
    shape = (blob.num, blob.channels, blob.height, blob.width)
    return values.reshape(shape if blob.num > 1 else [extent for extent in shape if extent != 1])


def held(path: Path) -> Blobs:
    """The blobs in weights of either kind."""
    if path.suffix != ".h5":
        return trained(path)
    return {name: {at: blob.astype("<f4") for at, blob in blobs.items()} for name, blobs in read(path).items() if blobs}


def as_hdf5(path: Path, blobs: Blobs, **options: object) -> Path:
    """BLOBS as an HDF5 file at PATH, each stored with OPTIONS."""
    return made(
        path,
        lambda file: [
            file.create_dataset(f"data/{name}/{position}", data=blob, **options)
            for name, held in blobs.items()
            for position, blob in held.items()
        ],
    )


def expected(case: Path) -> Blobs:
    """The blobs of the converted CASE, by what was measured with Caffe: its kernels."""
    kernels = json.loads((case / "golden.json").read_text())["kernels"]
    net = text_format.Parse((case / "net.prototxt").read_text(), schema.NetParameter())
    transposed = {each.name for each in net.layer if each.inner_product_param.transpose}
    found = {}
    for name, blobs in trained(case / "net.caffemodel").items():
        if name in kernels:
            weight = blobs["0"].T if name in transposed else blobs["0"]
            blobs = {**blobs, "0": weight.reshape(len(weight), -1, *kernels[name])}
        found[f"{name}-conv" if name in kernels else name] = blobs
    return found


def test_a_transposed_case_is_among_them() -> None:
    assert any("transpose: true" in (case / "net.prototxt").read_text() for case in CASES)


@pytest.mark.thorough
@pytest.mark.parametrize("out", OUTPUTS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_golden_conversion(cli: CommandLine, case: Path, out: str) -> None:
    as_hdf5(cli.path / "in.h5", trained(case / "net.caffemodel"))
    wanted = expected(case)
    for source in (case / "net.caffemodel", "in.h5"):
        cli.converts(case / "net.prototxt", source, "-o", "out.prototxt", "-w", out, "--force")
        assert same(held(cli.path / out), wanted)
        if out.endswith("l"):
            assert cli.blobs(out) == {name: [blob.shape for blob in blobs.values()] for name, blobs in wanted.items()}


@pytest.mark.parametrize("out", OUTPUTS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant(cli: CommandLine, variant: str, out: str) -> None:
    cli.converts(LENET / "net.prototxt", LENET / "variants" / variant, "-o", "out.prototxt", "-w", out)
    assert same(held(cli.path / out), expected(LENET))
    if out.endswith(".h5"):
        kinds = {blob.dtype for blobs in read(cli.path / out).values() for blob in blobs.values()}
        assert kinds == {np.dtype("<f8" if "double" in variant else "<f4")}


def test_the_headers_in_a_caffemodel_from_hdf5_are_the_new_nets(lenet: CommandLine) -> None:
    lenet.converts("net.prototxt", CAFFES, "-w", "out.caffemodel")
    net = text_format.Parse(lenet.read("net_fcn.prototxt"), schema.NetParameter())
    inside = parsed(lenet.path / "out.caffemodel")
    for each in inside.layer:
        each.ClearField("blobs")
    assert inside == net
    again = lenet.converts("out.caffemodel", "--dry-run", "--json").document
    assert again["converted"] == [] and again["missing_weights"] == []


@pytest.mark.parametrize("options", [{"chunks": True, "compression": "gzip", "shuffle": True}, {"dtype": ">f8"}])
def test_transposed_weights_that_have_to_be_unpacked(cli: CommandLine, options: dict[str, object]) -> None:
    case = GOLDEN / "conversions" / "transpose"
    as_hdf5(cli.path / "in.h5", trained(case / "net.caffemodel"), **options)
    for out in OUTPUTS:
        cli.converts(case / "net.prototxt", "in.h5", "-o", "out.prototxt", "-w", out, "--force")
        assert same(held(cli.path / out), expected(case))


@pytest.mark.parametrize("out", OUTPUTS)
def test_columns_with_the_channels_last(cli: CommandLine, out: str) -> None:
    channels, height, width = 3, 2, 4
    cli.write(
        net=data(shape=f"1 {channels} {height} {width}")
        + layer("nhwc", "Permute", "data", params="permute_param { order: 0 order: 2 order: 3 order: 1 }")
        + layer("flat", "Flatten", "nhwc")
        + fc("fc", "flat", 5, "bias_term: false")
    )
    array = matrix(5, channels * height * width)
    weights(cli.path / "in.h5", fc=[array], flat=[], nhwc=[])
    cli.converts("net.prototxt", "in.h5", "-w", out)
    wanted = array.reshape(5, height, width, channels).transpose(0, 3, 1, 2)
    assert same(held(cli.path / out), {"fc-conv": {"0": wanted}})


def test_layers_that_are_dropped_have_no_group(cli: CommandLine) -> None:
    cli.write(net=data(shape="1 2 2 2") + layer("flat", "Flatten", "data") + fc("fc", "flat", 3))
    weights(cli.path / "in.h5", data=[], flat=[], fc=[matrix(3, 8), np.zeros(3, "<f4")])
    cli.converts("net.prototxt", "in.h5", "-w", "out.h5")
    assert set(read(cli.path / "out.h5")) == {"data", "fc-conv"}


@pytest.mark.parametrize("out", OUTPUTS)
def test_layers_that_the_net_lacks_are_copied(lenet: CommandLine, out: str) -> None:
    shutil.copy(CAFFES, "in.h5")
    made(lenet.path / "in.h5", lambda file: None)
    as_hdf5(lenet.path / "in.h5", {**read(CAFFES), "aux": {"0": matrix(2, 3)}})
    document = lenet.converts("net.prototxt", "in.h5", "-w", out, "--json").document
    assert (document["copied_layers"], document["missing_weights"]) == (["aux"], [])
    np.testing.assert_array_equal(held(lenet.path / out)["aux"]["0"], matrix(2, 3))


def test_the_same_bytes_every_time(lenet: CommandLine) -> None:
    for name in ("one.h5", "two.h5"):
        lenet.converts("net.prototxt", "net.caffemodel", "-o", "x", "-w", name, "--force")
    assert (lenet.path / "one.h5").read_bytes() == (lenet.path / "two.h5").read_bytes()


# ---- Weights that layers share ----

W, B = matrix(5, 160), matrix(1, 5).ravel()
TWINS = data() + "".join(
    fc(name, "data", 5, params='param { name: "w" } param { lr_mult: 2 }') for name in ("one", "two")
)


@pytest.mark.parametrize("out", OUTPUTS)
def test_shared_weights(cli: CommandLine, out: str) -> None:
    cli.write(net=TWINS)
    weights(cli.path / "in.h5", one=[W, B], two=[None, B + 1])
    cli.converts("net.prototxt", "in.h5", "-w", out)
    shaped = W.reshape(5, 2, 8, 10)
    assert same(held(cli.path / out), {"one-conv": {"0": shaped, "1": B}, "two-conv": {"0": shaped, "1": B + 1}})


def test_shared_weights_of_layers_that_stay(cli: CommandLine) -> None:
    cli.write(net=TWINS)
    weights(cli.path / "in.h5", one=[W, B], two=[None, B + 1])
    cli.converts("net.prototxt", "in.h5", "--skip", "*", "-w", "out.caffemodel")
    assert same(held(cli.path / "out.caffemodel"), {"one": {"0": W, "1": B}, "two": {"0": W, "1": B + 1}})


@pytest.mark.parametrize("out", OUTPUTS)
def test_a_gap_that_the_net_does_not_explain(cli: CommandLine, out: str) -> None:
    cli.write(net=TWINS.replace('name: "w"', "lr_mult: 1"))
    weights(cli.path / "in.h5", one=[W, B], two=[None, B])
    assert 'in.h5: layer "two": expected a blob 0' in cli.refuses("net.prototxt", "in.h5", "-w", out)


# ---- What is refused ----


@pytest.mark.parametrize("out", OUTPUTS)
def test_weights_of_another_net(cli: CommandLine, out: str) -> None:
    cli.write(net=TWINS)
    weights(cli.path / "in.h5", one=[matrix(5, 161), B], two=[matrix(5, 161), B])
    message = cli.refuses("net.prototxt", "in.h5", "-w", out)
    assert 'in.h5: layer "one" (InnerProduct), blob 0: expected 800 values (5×160), found 805' in message
    weights(cli.path / "in.h5", three=[W, B])
    assert "none of the layers of this file (three) is in the net" in cli.refuses("net.prototxt", "in.h5", "-w", out)
    weights(cli.path / "in.h5", one=[], two=[])
    assert "layers without any blobs" in cli.refuses("net.prototxt", "in.h5", "-w", out)


def test_hdf5_alone_brings_no_net(cli: CommandLine) -> None:
    message = cli.refuses(CAFFES)
    assert message == f"{CAFFES}: an HDF5 file holds weights but no net; give the prototxt first"
    assert "holds weights but no net" in cli.refuses("-", "-w", "x.h5", stdin=CAFFES.read_bytes())


def test_swapped_arguments(lenet: CommandLine) -> None:
    assert "the arguments are swapped: give the prototxt first" in lenet.refuses(CAFFES, "net.prototxt")


def test_weights_from_stdin(lenet: CommandLine) -> None:
    lenet.converts("net.prototxt", "-", "-w", "out.h5", stdin=CAFFES.read_bytes())
    assert same(held(lenet.path / "out.h5"), expected(LENET))
    message = lenet.refuses("net.prototxt", "-", "-o", "x", "-w", "y", stdin=CAFFES.read_bytes()[:500])
    assert message.startswith("<stdin>: expected HDF5 weights, found a damaged file")


def test_names_that_hdf5_cannot_hold(cli: CommandLine) -> None:
    cli.write(net=data() + fc("block/fc", "data", 5))
    as_hdf5(cli.path / "in.h5", {"block/fc": {"0": W, "1": B}})
    message = cli.refuses("net.prototxt", "in.h5", "-w", "out.h5")
    assert message.startswith("out.h5: the slash in the layer name 'block/fc-conv' would make nested groups")
    cli.converts("net.prototxt", "in.h5", "-w", "out.caffemodel")
    assert cli.blobs("out.caffemodel") == {"block/fc-conv": [(5, 2, 8, 10), (5,)]}


def test_hdf5_does_not_go_through_pipes(lenet: CommandLine) -> None:
    os.mkfifo("pipe.h5")
    reader = Thread(target=Path("pipe.h5").read_bytes)
    reader.start()
    message = lenet.refuses("net.prototxt", "net.caffemodel", "-w", "pipe.h5")
    reader.join(10)
    assert message == "pipe.h5: HDF5 cannot be written to a pipe; name a file"


@pytest.mark.thorough
def test_damaged_weights(lenet: CommandLine) -> None:
    whole = CAFFES.read_bytes()
    for size in (10, 100, 5000, len(whole) - 1):
        (lenet.path / "in.h5").write_bytes(whole[:size])
        assert lenet.refuses("net.prototxt", "in.h5", "-w", "out.h5").startswith("in.h5: ")


def test_without_h5py(lenet: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    what = "weights in HDF5 need the package h5py; install it with: pip install 'caffe-fcn[hdf5]'"
    assert lenet.refuses("net.prototxt", CAFFES, "-w", "out.caffemodel") == f"{CAFFES}: {what}"
    assert lenet.refuses("net.prototxt", "net.caffemodel", "-w", "out.h5") == f"out.h5: {what}"
    for arguments in ((CAFFES, "x"), ("net.caffemodel", "out.h5")):
        before = listing(lenet.path)
        result = lenet.run("upgrade", *arguments)
        assert result.code == 1 and the_message(result.err).endswith(what)
        assert listing(lenet.path) == before
    lenet.converts("net.prototxt", "net.caffemodel")


# ---- What comes in between ----


@pytest.fixture
def big(cli: CommandLine) -> Path:
    """A directory with net.prototxt, in.h5 of 2 MB, and gzip.h5, the same compressed."""
    cli.write(net=data(shape="1 1 100 100") + fc("fc", "data", 50))
    blobs = {"fc": {"0": matrix(50, 10_000), "1": np.zeros(50, "<f4")}}
    as_hdf5(cli.path / "in.h5", blobs)
    as_hdf5(cli.path / "gzip.h5", blobs, compression="gzip")
    (cli.path / "temporary").mkdir()
    return cli.path


def temporary(directory: Path, code: str) -> str:
    """CODE for a process whose temporary files go to DIRECTORY."""
    return f"import tempfile; tempfile.tempdir = {str(directory / 'temporary')!r}\n{code}"


@pytest.mark.thorough
@pytest.mark.parametrize("source", ["in.h5", "gzip.h5"])
@pytest.mark.parametrize("out", OUTPUTS)
def test_ctrl_c_in_the_middle_of_the_copy(big: Path, source: str, out: str) -> None:
    before = listing(big)
    code = temporary(big, AT_BYTES.format(size=1_000_000))
    result, told, err = finish(start(big, "net.prototxt", source, "-w", out, code=code))
    assert (result, told) == (130, b"")
    assert the_message(err) == "interrupted; no file is half written"
    assert listing(big) == before


@pytest.mark.thorough
@pytest.mark.parametrize("source", ["in.h5", "gzip.h5"])
@pytest.mark.parametrize("size", [1000, 1_999_000])
def test_files_limited_in_size(big: Path, source: str, size: int) -> None:
    before = listing(big)
    code = temporary(big, LIMIT.format(size=size))
    result, told, err = finish(start(big, "net.prototxt", source, "-w", "out.h5", code=code))
    assert (result, told) == (1, b"")
    name = "a temporary copy of gzip.h5" if source == "gzip.h5" else "out.h5"
    assert the_message(err).startswith(f"{name}: a file ") and "ulimit -f" in err
    assert listing(big) == before


@pytest.mark.parametrize("room", [0, 20_000])
@pytest.mark.parametrize("out", OUTPUTS)
def test_a_full_disk(lenet: CommandLine, monkeypatch: pytest.MonkeyPatch, room: int, out: str) -> None:
    before = listing(lenet.path)
    with monkeypatch.context() as patched:
        filling(patched, room, errno.ENOSPC)
        result = lenet.convert("net.prototxt", CAFFES, "-w", out)
    assert result.code == 1 and the_message(result.err).startswith(f"{out}: the disk is full: ")
    assert listing(lenet.path) == before


def test_force_and_what_exists(lenet: CommandLine) -> None:
    (lenet.path / "out.h5").write_bytes(b"the old one")
    assert "out.h5: already exists" in lenet.refuses("net.prototxt", CAFFES, "-w", "out.h5")
    lenet.converts("net.prototxt", CAFFES, "-w", "out.h5", "--force")
    assert same(held(lenet.path / "out.h5"), expected(LENET))
    shutil.copy(CAFFES, "in.h5")
    assert "same file as the input" in lenet.refuses("net.prototxt", "in.h5", "-w", "in.h5", "--force", "-o", "y")


CONVERT = """
    import sys
    from caffe_fcn.cli.main import run
    assert run(["convert", *sys.argv[1:], "-q"]) == 0
"""


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_weights(cli: CommandLine) -> None:
    """Transposed ones, in either direction: 100 MiB, of which never more than some panels are held."""
    cli.write(net=data(shape="1 1 160 160") + fc("fc", "data", 1024, "bias_term: false transpose: true"))
    weights(cli.path / "in.h5", fc=[np.zeros((25_600, 1024), "<f4")])
    for out in OUTPUTS:
        assert memory(CONVERT, "net.prototxt", "in.h5", "-o", "x", "-w", out, "--force") < 100
        assert (cli.path / out).stat().st_size > 100 << 20
