"""Caffe as an engine, as far as a stand-in for its module can tell; with Caffe itself where it is installed."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from caffe_fcn import schema
from caffe_fcn.engines import caffe_files, expected, worker
from caffe_fcn.engines import registry as engines
from caffe_fcn.engines.caffe_worker import write
from caffe_fcn.engines.options import EngineOptions
from caffe_fcn.engines.pycaffe import _DIALECT as DIALECT
from caffe_fcn.engines.pycaffe import PyCaffe
from caffe_fcn.engines.worker import EndedError, Worker
from caffe_fcn.errors import EngineError, ExtraError, ShapeError
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.onnx.scope import choose_scope
from tests.engines.nets import case, difference, net_of, weights_of
from tests.passes.nets import conv, data, fc, layer
from tests.paths import GOLDEN, ROOT

pytestmark = pytest.mark.thorough

TEXT = data(shape="1 1 4 4") + conv("c", "data", 2) + fc("f", "c", 3)
IMAGE = np.ones((1, 1, 4, 4), np.float32)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A module `caffe`; the directory in which it keeps what it was given, with the weights `w` of the net TEXT."""
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "caffe.py").write_text("from tests.engines.stand_in_caffe import *\n")
    (tmp_path / "kept").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "python")
    monkeypatch.setenv("STAND_IN_KEEPS", str(tmp_path / "kept"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return tmp_path / "kept"


def made_of_text(path: Path, engine: PyCaffe | None = None) -> dict[str, object]:
    """What Caffe makes of the net TEXT."""
    net = net_of(TEXT)
    with weights_of(net, path / "w") as weights:
        session = (engine or PyCaffe()).load(net, weights)
    return dict(session.run({"data": IMAGE}))


def process(kept: Path) -> int:
    """The number of the process of the last net."""
    return int((kept / "process").read_text())


def is_running(number: int) -> bool:
    """Whether there is a process of that NUMBER, a dead one that nobody has asked for included."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def ends(number: int) -> bool:
    """Whether the process of that NUMBER comes to its end."""
    for _ in range(100):
        if not is_running(number):
            return True
        time.sleep(0.05)
    return False


# ---- What it is given, and what comes back ----


def test_blobs_go_by_their_names(stand_in: Path) -> None:
    with np.load(GOLDEN / "conversions" / "lenet" / "golden.npz") as file:
        measured = dict(file)
    with case(GOLDEN / "conversions" / "lenet") as (net, weights):
        session = PyCaffe(3).load(net, weights)
    assert (session.outputs, dict(session.inputs)) == (("prob",), {"data": (None, 1, None, None)})
    image = measured["in:same"]
    made = session.run({"data": np.concatenate([image, image])})
    assert made["prob"].shape[0] == 2 * len(image)
    assert difference(made["prob"][len(image) :], measured["same:prob"]) < 1e-5
    environment = (stand_in / "environment").read_text()
    assert environment == "{'OMP_NUM_THREADS': '3', 'GLOG_logtostderr': '1'}"


def test_nothing_works_in_place_and_no_rule_is_left(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN", "nothing")
    text = data() + conv("c", "data", 2) + layer("r", "ReLU", "c", "c", "exclude { phase: TRAIN }") + fc("f", "c", 2)
    with weights_of(net_of(text), stand_in / "w") as weights:
        PyCaffe().load(net_of(text), weights)
    written = text_format.Parse((stand_in / "net.prototxt").read_text(), schema.NetParameter())
    assert [(each.name, *each.bottom, *each.top) for each in written.layer] == [
        ("data", "data"),
        ("c_v0", "data", "c_v0"),
        ("c", "c_v0", "c"),
        ("f", "c", "f"),
    ]
    with open_caffemodel(stand_in / "net.caffemodel") as opened:
        assert {record.name for record in opened.layers} == {"c_v0", "f"}
    assert "exclude" not in str(written)


def test_weights_are_taken_as_pycaffe_did_before_2016(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN", "legacy")
    assert made_of_text(stand_in).keys() == {"f"}


def test_layers_that_would_end_the_process_are_refused(stand_in: Path) -> None:
    text = data() + layer("e", "ELU", "data") + layer("p", "Python", "e", params='python_param { module: "os" }')
    with weights_of(net_of(data() + conv("c", "data", 2)), stand_in / "w") as weights:
        net = net_of(text, given={"p": (1, 2, 8, 10)})
        with pytest.raises(EngineError) as caught:
            PyCaffe().load(net, weights)
    assert '"e" (ELU): this layer type is not in this Caffe' in str(caught.value)
    assert '"p" (Python): it would run Python code named in the net' in str(caught.value)
    assert not (stand_in / "net.prototxt").exists()


def test_fields_of_forks_are_said_in_bvlcs_words_or_refused(stand_in: Path) -> None:
    floor = "pooling_param { kernel_size: 3 stride: 2 ceil_mode: false avg_include_pad: true }"
    stray = "hole: 2 } permute_param { order: 0"
    text = data() + conv("c", "data", 2, more=stray) + layer("p", "Pooling", "c", params=floor)
    refused = text + layer("q", "Pooling", "p", params="pooling_param { kernel_size: 1 pad_l: 1 }")
    with weights_of(net_of(text), stand_in / "w") as weights:
        net = net_of(text)
        written = caffe_files.write_files(choose_scope(*net), weights, str(stand_in), DIALECT)
        told = Path(written.net).read_text()
        layers = {each.name: each for each in text_format.Parse(told, schema.NetParameter()).layer}
        assert list(layers["c"].convolution_param.dilation) == [2, 2] and "hole" not in told
        assert layers["p"].pooling_param.round_mode == 1 and "ceil" not in told
        assert "avg_include_pad" not in told, "it is true anyway, and BVLC would not read it"
        assert "permute_param" not in told, "no Convolution reads it"
        with pytest.raises(EngineError, match=r'"q" \(Pooling\): pooling_param\.pad_l is not supported'):
            PyCaffe().load(net_of(refused), weights)


def test_weights_that_caffe_does_not_read(stand_in: Path) -> None:
    with case(GOLDEN / "conversions" / "lenet") as (net, _):
        for path in sorted((GOLDEN / "conversions" / "lenet" / "variants").glob("*.caffemodel")):
            with open_caffemodel(path) as weights:
                found = {blob.dtype for record in weights.layers for blob in record.blobs}
                if "float16" in found:
                    with pytest.raises(EngineError, match="expected values of float32 or float64, found float16"):
                        PyCaffe().load(net, weights)
                else:
                    caffe_files.write_files(choose_scope(*net), weights, str(stand_in), DIALECT)


# ---- Where it ends itself ----


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (
            "abort c",
            'net.prototxt: "c" (Convolution): Caffe aborted while it loaded the net, by SIGABRT: conv_layer.cpp:16: '
            "Check failed: 3 == 2 (3 vs. 2) no room; use engine='onnxruntime'",
        ),
        (
            "abort load",
            "net.prototxt: Caffe aborted while it loaded the net, by SIGABRT: conv_layer.cpp:16: Check failed",
        ),
        (
            "kill load",
            "net.prototxt: Caffe aborted while it loaded the net, by SIGKILL, perhaps out of memory: noise on",
        ),
        ("raise load", "net.prototxt: Caffe cannot load the net: RuntimeError: Could not open file"),
        ("abort run", "net.prototxt: Caffe aborted while it ran the net, by SIGABRT: conv_layer.cpp:16: Check failed"),
        ("raise run", "net.prototxt: Caffe cannot run the net: RuntimeError: Could not open file"),
    ],
)
def test_a_net_on_which_caffe_ends_is_an_error(
    stand_in: Path, how: str, told: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With Caffe's last line, and nothing of the rest; and nothing is left, no process and no file."""
    monkeypatch.setenv("STAND_IN", how)
    monkeypatch.chdir(stand_in)
    with pytest.raises(EngineError) as error:
        made_of_text(stand_in)
    assert str(error.value).startswith(told)
    assert capfd.readouterr() == ("", "")
    del error
    gc.collect()
    assert not is_running(process(stand_in))
    assert not list((stand_in.parent / "temporary").iterdir())
    assert not [path for path in stand_in.iterdir() if path.name.startswith("core")]


def test_a_session_whose_caffe_has_ended_says_so_again(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN", "nothing")
    net = net_of(TEXT)
    with weights_of(net, stand_in / "w") as weights:
        session = PyCaffe().load(net, weights)
    os.kill(process(stand_in), signal.SIGTERM)
    for _ in range(2):
        with pytest.raises(EngineError, match="Caffe aborted while it ran the net, by SIGTERM"):
            session.run({"data": IMAGE})


def test_an_interrupt_ends_it(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting for what it is at."""
    monkeypatch.setenv("STAND_IN", "sleep run")
    net = net_of(TEXT)
    with weights_of(net, stand_in / "w") as weights:
        session = PyCaffe().load(net, weights)

    def interrupted(pipe: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "read", interrupted)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        session.run({"data": IMAGE})
    assert not is_running(process(stand_in)) and time.monotonic() - began < worker._PATIENCE


def test_its_process_ends_with_the_session(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN", "nothing")
    made_of_text(stand_in)
    gc.collect()
    assert not is_running(process(stand_in))


def test_its_process_ends_with_the_one_that_started_it(stand_in: Path) -> None:
    """Even if that is killed while the net runs."""
    script = f"""
        import sys
        sys.path[:0] = {sys.path!r}
        from pathlib import Path
        from tests.engines.test_pycaffe import made_of_text
        made_of_text(Path({str(stand_in)!r}))
    """
    environment = {**os.environ, "STAND_IN": "sleep run"}
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], env=environment, cwd=ROOT) as started:
        while not (stand_in / "asleep").exists():
            assert started.poll() is None
            time.sleep(0.05)
        started.kill()
    assert ends(process(stand_in))


def test_a_process_that_does_not_end_is_made_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_PATIENCE", 0.1)
    (tmp_path / "hangs.py").write_text("import time\ntime.sleep(60)\n")
    hanging = Worker(str(tmp_path / "hangs.py"), {})
    began = time.monotonic()
    hanging.close()
    assert time.monotonic() - began < 5
    with pytest.raises(EndedError) as ended:
        hanging.call({"call": "import"})
    assert ended.value.how == "by SIGKILL, perhaps out of memory"


def test_a_reply_that_is_none_is_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A length that nobody means, and an array that is cut short."""
    monkeypatch.setattr(worker, "_PATIENCE", 0.1)
    with (tmp_path / "short").open("wb") as file:
        write(file, {}, [("a", np.ones((2, 3), np.float32))])
    whole = (tmp_path / "short").read_bytes()
    for number, reply in enumerate((b"\xff" * 8, whole[:-1], whole[:20], b"")):
        script = tmp_path / f"{number}.py"
        script.write_text(f"import os, sys\nos.write(int(sys.argv[2]), {reply!r})\n")
        with pytest.raises(EndedError):
            Worker(str(script), {}).call({"call": "import"})


def test_a_process_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(EngineError, match="cannot start a process with /nowhere/python: No such file"):
        engines.engine(EngineOptions("caffe"))


def test_an_output_whose_shape_is_not_known_is_named() -> None:
    net = net_of(data() + data("r", "1 5") + layer("roi", "ROIPooling", "data r"))
    sizes = expected.Sizes(choose_scope(*net))
    with pytest.raises(ShapeError, match=r'"roi" \(ROIPooling\): the shape of \'roi\' is unknown: roi_pooling_param'):
        sizes.outputs({"data": np.zeros((1, 2, 8, 10)), "r": np.zeros((1, 5))})


# ---- Where it cannot be imported ----


def refused(monkeypatch: pytest.MonkeyPatch, path: Path) -> str:
    """What is said of the module in PATH."""
    monkeypatch.syspath_prepend(path)
    with pytest.raises(ExtraError) as error:
        engines.engine(EngineOptions("caffe"))
    return str(error.value)


LIBRARY = "libboost_python38.so.1.74.0: cannot open shared object file: No such file or directory"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import skimage_of_caffe", "it needs the module skimage_of_caffe: pip install skimage_of_caffe"),
        ("raise ModuleNotFoundError('no', name='skimage.io')", "needs the module skimage.io: pip install scikit-image"),
        ("raise ModuleNotFoundError('no', name='google')", "it needs the module google: pip install protobuf"),
        ("from ._caffe import Net", "its compiled module _caffe is missing; run `make pycaffe`"),
        (
            f"raise ImportError({LIBRARY!r}, name='_caffe', path='/x/_caffe.so')",
            f"a shared library is missing (ImportError: {LIBRARY}); install it, or add its directory to LD_",
        ),
        (
            "raise ImportError('module does not define module export function (PyInit__caffe)', path='/_caffe.so')",
            "/_caffe.so is for Python 2; build it for Python 3.",
        ),
        (
            "raise ImportError('/_caffe.so: undefined symbol: _Py_Dealloc', path='/_caffe.so')",
            "/_caffe.so was built with another Python or another library (ImportError: /_caffe.so: undefined symbol",
        ),
        (
            "raise ImportError('file too short', path='/_caffe.so')",
            "/_caffe.so does not load (ImportError: file too short",
        ),
        (
            "import numpy\nraise ImportError('numpy.core.multiarray failed to import')",
            f"it was built for another NumPy than the installed {np.__version__} (ImportError: numpy.core.multiar",
        ),
        (
            "try:\n    raise RuntimeError('module compiled against ABI version 0x1 but this version is 0x2')\n"
            "except RuntimeError as error:\n    raise ImportError('no') from error",
            "it was built for another NumPy than the installed one",
        ),
        ("print 'Python 2'", "SyntaxError: "),
        ("import numpy\nnumpy.bool_of_old", "AttributeError: module 'numpy' has no attribute 'bool_of_old', at "),
        ("", "is not Caffe's; set PYTHONPATH"),
        ("import os\nos.abort()", "importing Caffe's Python module ended the process, by SIGABRT"),
        ("raise SystemExit(3)", "SystemExit: 3, at "),
    ],
)
def test_the_reason_is_told_why_it_cannot_be_imported(
    text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "caffe").mkdir()
    (tmp_path / "caffe" / "__init__.py").write_text(text)
    said = refused(monkeypatch, tmp_path)
    assert told in said and "\n" not in said and ("use engine='onnxruntime'" in said or "PYTHONPATH" in said)
    assert "defect" not in said and "is part of Caffe" not in said


def test_a_compiled_part_for_another_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "caffe").mkdir()
    (tmp_path / "caffe" / "__init__.py").write_text("from ._caffe import Net\n")
    (tmp_path / "caffe" / "_caffe.cpython-27-x86_64-linux-gnu.so").touch()
    said = refused(monkeypatch, tmp_path)
    assert "compiled module _caffe.cpython-27-x86_64-linux-gnu.so is not for this Python (Python 3." in said


def test_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is part of Caffe and not on PyPI" in refused(monkeypatch, tmp_path)


def test_a_directory_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "caffe" / "src").mkdir(parents=True)
    said = refused(monkeypatch, tmp_path)
    assert f"the module caffe in {tmp_path / 'caffe'} is not Caffe's" in said


def test_engines_by_name() -> None:
    assert engines.engine(EngineOptions("onnxruntime", 1)).name == "onnxruntime"
    with pytest.raises(
        EngineError, match="expected an engine, one of onnxruntime, opencv, openvino, caffe, found 'tea'"
    ):
        engines.engine(EngineOptions("tea"))


def test_caffe_itself_where_it_is_installed() -> None:
    try:
        engine = engines.engine(EngineOptions("caffe"))
    except ExtraError as error:
        pytest.skip(str(error))
    for folder in sorted((GOLDEN / "conversions").iterdir()):
        if not folder.is_dir():
            continue
        with case(folder) as (net, weights), np.load(folder / "golden.npz") as file:
            session = engine.load(net, weights)
            made = session.run(dict.fromkeys(session.inputs, file["in:same"]))
            for name, blob in made.items():
                assert difference(blob.reshape(file[f"same:{name}"].shape), file[f"same:{name}"]) < 1e-5
