from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from caffe_fcn.errors import OutputError
from caffe_fcn.files.atomic import OutputFiles, check_outputs, output_error
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.files.rewrite import write
from caffe_fcn.model.entries import held_in
from tests.paths import GOLDEN


def listing(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


def test_outputs_appear_together_at_the_commit(tmp_path: Path) -> None:
    with OutputFiles() as outputs:
        net, weights = outputs.add(tmp_path / "net"), outputs.add(tmp_path / "weights")
        net.write(b"text")
        weights.write(b"values")
        assert weights.temp is not None
        assert Path(weights.temp).read_bytes() == b"values"
        assert all(name.startswith(".") for name in listing(tmp_path))
        outputs.commit()
    assert listing(tmp_path) == {"net": b"text", "weights": b"values"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, OutputError, ZeroDivisionError])
def test_nothing_is_left_of_a_failure(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "old").write_bytes(b"as before")
    with pytest.raises(error), OutputFiles() as outputs:
        outputs.add(tmp_path / "new").write(b"half")
        outputs.add(tmp_path / "old", overwrite=True).write(b"half")
        raise error
    assert listing(tmp_path) == {"old": b"as before"}


def test_nothing_is_left_without_a_commit(tmp_path: Path) -> None:
    with OutputFiles() as outputs:
        outputs.add(tmp_path / "new").write(b"all of it")
    assert listing(tmp_path) == {}


def test_an_interrupted_rewrite_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(written: int) -> None:
        raise KeyboardInterrupt

    with (
        open_caffemodel(GOLDEN / "conversions/lenet/net.caffemodel") as weights,
        pytest.raises(KeyboardInterrupt),
        OutputFiles() as outputs,
    ):
        output = outputs.add(tmp_path / "out")
        write(weights, output.fd, held_in(weights), progress=interrupt)
    assert listing(tmp_path) == {}


@pytest.mark.parametrize("linkless", [False, True])
def test_a_file_that_turned_up_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linkless: bool
) -> None:
    if linkless:
        monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OutputError, match="already exists"), OutputFiles() as outputs:
        outputs.add(tmp_path / "a").write(b"mine")
        outputs.add(tmp_path / "b").write(b"mine")
        (tmp_path / "b").write_bytes(b"of another")
        outputs.commit()
    assert listing(tmp_path) == {"b": b"of another"}


def test_what_can_fail_is_tried_before_a_file_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"as before")
    with pytest.raises(OutputError, match="new: already exists"), OutputFiles() as outputs:
        outputs.add(tmp_path / "old", overwrite=True).write(b"changed")
        outputs.add(tmp_path / "new")
        (tmp_path / "new").write_bytes(b"of another")
        outputs.commit()
    assert listing(tmp_path) == {"old": b"as before", "new": b"of another"}


def test_taking_back_does_not_remove_a_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"as before")
    (tmp_path / "b").write_bytes(b"as before")
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: refuse() if new.endswith("b") else replace(old, new))
    with pytest.raises(OutputError, match="b: cannot be written"), OutputFiles() as outputs:
        outputs.add(tmp_path / "a", overwrite=True).write(b"changed")
        outputs.add(tmp_path / "b", overwrite=True).write(b"changed")
        outputs.commit()
    assert listing(tmp_path) == {"a": b"as before", "b": b"as before"}


def refuse(*arguments: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", refuse)
    with OutputFiles() as outputs:
        outputs.add(tmp_path / "a").write(b"mine")
        outputs.commit()
    assert listing(tmp_path) == {"a": b"mine"}


def test_a_failed_rename_takes_back_what_was_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old").write_bytes(b"as before")
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match="old: cannot be written: Operation not permitted"), OutputFiles() as outputs:
        outputs.add(tmp_path / "old", overwrite=True).write(b"changed")
        outputs.add(tmp_path / "new").write(b"new")
        outputs.commit()
    assert listing(tmp_path) == {"old": b"as before"}


def test_modes(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"as before")
    (tmp_path / "old").chmod(0o604)
    umask = os.umask(0o027)
    try:
        with OutputFiles() as outputs:
            outputs.add(tmp_path / "new")
            outputs.add(tmp_path / "old", overwrite=True)
            outputs.commit()
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o604


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"as before")
    (tmp_path / "link").symlink_to("elsewhere/file")
    with OutputFiles() as outputs:
        outputs.add(tmp_path / "link", overwrite=True).write(b"changed")
        outputs.commit()
    assert (tmp_path / "link").is_symlink()
    assert listing(tmp_path / "elsewhere") == {"file": b"changed"}


def test_devices_and_pipes_are_written_to_and_stay(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with OutputFiles() as outputs:
        outputs.add(os.devnull, overwrite=True).write(b"gone")
        pipe = outputs.add(tmp_path / "pipe")
        assert pipe.temp is None
        pipe.write(b"through")
        outputs.commit()
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_long_names(tmp_path: Path) -> None:
    name = "ü" * 127
    with OutputFiles() as outputs:
        outputs.add(tmp_path / name)
        outputs.commit()
        with pytest.raises(OutputError, match="File name too long"):
            outputs.add(tmp_path / (name * 2))
    assert set(listing(tmp_path)) == {name}


def refused(output: Path | str, inputs: list[Path], force: bool = True) -> str:
    with pytest.raises(OutputError) as caught:
        check_outputs([output], inputs, force=force)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_output_that_is_an_input_is_refused_by_any_name(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.touch()
    (tmp_path / "symlink").symlink_to(source)
    (tmp_path / "hardlink").hardlink_to(source)
    for name in ("source", "symlink", "hardlink", "../" + tmp_path.name + "/source"):
        assert "the same file as the input" in refused(tmp_path / name, [source])
        assert "the same file as the input" in refused(source, [tmp_path / name])


def test_outputs_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    assert "already exists; overwrite it with force=True" in refused(tmp_path / "old", [], force=False)
    assert "already exists" in refused(tmp_path / "dangling", [], force=False)
    assert "found a directory" in refused(tmp_path, [])
    assert "found a directory" in refused(f"{tmp_path}/new/", [])
    assert "found a directory" in refused("", [])
    assert "none does not exist; create it first" in refused(tmp_path / "none" / "out", [])
    assert "does not exist" in refused(tmp_path / "old" / "out", [])
    with pytest.raises(OutputError, match="the same file as the output"):
        check_outputs([tmp_path / "new", f"{tmp_path}/./new"])
    with pytest.raises(OutputError, match="already exists"), OutputFiles() as outputs:
        outputs.add(tmp_path / "old")
    check_outputs([tmp_path / "new", tmp_path / "old", os.devnull, os.devnull], [os.devnull], force=True)


def test_a_directory_that_is_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # to root every directory is writable
    assert "is not writable" in refused(tmp_path / "out", [])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ENOSPC, "the disk is full: 1,234 bytes are needed; free some space"),
        (errno.EDQUOT, "the disk quota is used up: 1,234 bytes are needed; free some space"),
        (errno.EFBIG, "a file of 1,234 bytes is larger than"),
        (errno.EROFS, "cannot be written: Read-only file system"),
    ],
)
def test_what_errors_say(tmp_path: Path, code: int, expected: str) -> None:
    message = str(output_error(str(tmp_path / "out"), OSError(code, os.strerror(code)), needed=1234))
    assert message.startswith(f"{tmp_path / 'out'}: {expected}")
