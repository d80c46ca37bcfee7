"""CONTRIBUTING.md: the layer that it adds is added, measured and inferred as the page says, here and from a package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from caffe_fcn.errors import SurgeryError
from caffe_fcn.net.layers import LAYERS, LayerType, channels, row_of
from caffe_fcn.net.layers.installed import ENTRY_POINTS
from caffe_fcn.onnx.layers import elementwise
from caffe_fcn.onnx.registry import LOWERINGS
from tests.engines.nets import load, net_of, weights_of
from tests.passes import nets
from tests.paths import GOLDEN, ROOT

pytestmark = pytest.mark.thorough

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
NET, SHAPES = "net.prototxt", "shapes.json"


def code(language: str, beginning: str) -> str:
    """The one block of code in LANGUAGE that begins with BEGINNING."""
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", PAGE, re.DOTALL | re.MULTILINE)
    found = [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in blocks]
    (chosen,) = [block for block in found if block.startswith(beginning)]
    return chosen


RULE, ROW, LOWERING = (code("python", beginning) for beginning in ("def crelu(", "ROWS", "@lowering("))
CASE = {NET: code("prototxt", 'name: "crelu"'), SHAPES: code("json", '{"blobs"')}


def run(*arguments: str, at: Path) -> subprocess.CompletedProcess[str]:
    """Python with ARGUMENTS in the directory AT, whose modules go before all others."""
    environment = os.environ | {
        "PYTHONPATH": str(at),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    return subprocess.run([sys.executable, *arguments], cwd=at, env=environment, capture_output=True, text=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The package, its shape tests, and the golden case of the page, but not the rule."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "caffe_fcn", tmp_path / "caffe_fcn", ignore=ignored)
    (tmp_path / "tests" / "net").mkdir(parents=True)
    for name in ("__init__.py", "paths.py", "net/__init__.py", "net/nets.py", "net/test_shapes.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests" / name)
    case = tmp_path / "tests" / "golden" / "layers" / "crelu"
    case.mkdir(parents=True)
    for name, text in CASE.items():
        (case / name).write_text(text)
    return tmp_path


def test_a_layer_takes_one_row_and_one_golden_case(checkout: Path) -> None:
    assert not row_of("CReLU").known, "choose another example"
    with (checkout / "caffe_fcn" / "net" / "layers" / "channels.py").open("a") as module:
        module.write(f"\n\n{RULE}\n\n{ROW}")
    done = run("-m", "pytest", "-p", "no:cacheprovider", "tests/net/test_shapes.py", "-k", "crelu", at=checkout)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout
    linted = run("-m", "ruff", "check", "--select", "E,F,I,D1", "--line-length", "120", str(module.name), at=checkout)
    assert linted.returncode == 0, linted.stdout


CEILED = """
from pathlib import Path
import numpy as np
from caffe_fcn.schema.layouts import layout
from tests.engines.nets import blobs_of, load, net_of, weights_of

assert layout("other").messages["LayerParameter"][199].name == "channel_ceiling_param"
shape, path = "input_param { shape { dim: 1 dim: 3 dim: 2 dim: 4 } }", Path("net.caffemodel")
net = net_of(f'''
layer {{ name: "data" type: "Input" top: "data" {shape} }}
layer {{ name: "layer" type: "ChannelCeiling" bottom: "data" top: "out" channel_ceiling_param {{ floor: -0.25 }} }}
''')
value = np.linspace(-2, 2, 24, dtype=np.float32).reshape(1, 3, 2, 4)
with weights_of(net, path) as weights:
    made = load(net, weights).run({"data": value})["out"]
(ceilings,) = blobs_of(path)["layer"]
np.testing.assert_array_equal(made, np.maximum(np.minimum(value, ceilings[:, None, None]), np.float32(-0.25)))
"""
"""A program that runs the layer with parameters, and says so if a value is wrong."""


def test_a_layer_with_parameters_changes_two_files(checkout: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    shutil.copytree(ROOT / "proto", checkout / "proto")
    (checkout / "tests" / "engines").mkdir()
    for name in ("engines/__init__.py", "engines/nets.py"):
        shutil.copy(ROOT / "tests" / name, checkout / "tests" / name)
    package = checkout / "caffe_fcn"
    before = {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()}

    proto = checkout / "proto" / "forks.proto"
    head = "message LayerParameter {\n"
    field, message = code("proto", "  optional"), code("proto", "message")
    proto.write_text(proto.read_text().replace(head, head + field) + message)
    (package / "net" / "layers" / "ceilings.py").write_text(code("python", '"""ChannelCeiling, of a fork'))
    (package / "onnx" / "layers" / "ceilings.py").write_text(code("python", '"""ChannelCeiling in ONNX'))
    fork = "message LayerParameter\n  channel_ceiling_param 199 optional ChannelCeilingParameter : other\n"
    (package / "schema" / "forks_other.txt").write_text(fork)
    shutil.copy(ROOT / "Makefile", checkout)
    make = ["make", "schema", "DEV=", f"BIN={Path(sys.executable).parent}"]
    made = subprocess.run(make, cwd=checkout, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr

    done = run("-c", CEILED, at=checkout)
    assert done.returncode == 0, done.stderr
    new = [str(path) for path in package.rglob("ceilings.py")]
    linted = run("-m", "ruff", "check", "--select", "E,F,I,D1", "--line-length", "120", *new, at=checkout)
    assert len(new) == 2 and linted.returncode == 0, linted.stdout
    changed = {str(path.relative_to(checkout)) for path, data in before.items() if path.read_bytes() != data}
    assert changed == {"proto/forks.proto", "caffe_fcn/schema/schema.binpb"}
    assert all(f"`{name}`" in PAGE for name in changed)


@pytest.fixture
def crelu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layer of the page among the layer types of this process."""
    rows: dict[str, LayerType] = {}
    exec(f"{RULE}\n{ROW}", vars(channels) | {"ROWS": rows})
    monkeypatch.setitem(LAYERS, "CReLU", rows["CReLU"])
    monkeypatch.setitem(LOWERINGS, "CReLU", None)
    exec(LOWERING, dict(vars(elementwise)))


def test_the_layer_runs_by_its_row_and_its_lowering(crelu: None, tmp_path: Path) -> None:
    net = net_of(CASE[NET])
    value = np.random.default_rng(0).normal(size=(2, 3, 11, 9)).astype(np.float32)
    with weights_of(net, tmp_path / "net.caffemodel") as weights:
        made = load(net, weights).run({"data": value})["out"]
    np.testing.assert_array_equal(made, np.concatenate([value.clip(0), -value.clip(None, 0)], axis=1))


def test_a_trait_takes_no_map_that_a_shape_rule_of_its_own_changes(crelu: None) -> None:
    text = nets.data() + nets.fc("one", "data", 4) + nets.layer("twice", "CReLU", "one") + nets.fc("two", "twice", 3)
    with pytest.raises(SurgeryError, match=r"twice \(CReLU\) is not known"):
        nets.planned(text)


STUB = """
import numpy

TEST = 1

class Blob:
    def __init__(self, *shape):
        self.data = numpy.zeros(shape, "f4")

class Net:
    def __init__(self, path, phase):
        assert (open(path).read(7), phase) == ('name: "', TEST)
        self.inputs = ["data"]
        self.blobs = {"data": Blob(2, 3, 11, 9), "out": Blob(2, 6, 11, 9)}
        self.params = {}

    def forward(self):
        data = self.blobs["data"].data
        self.blobs["out"].data[...] = numpy.concatenate([data.clip(0), -data.clip(None, 0)], axis=1)

    def save(self, path):
        open(path, "wb").close()
"""
"""A Caffe of that one layer, as far as the script that measures it asks."""


def test_the_script_measures_what_the_page_shows(tmp_path: Path) -> None:
    (tmp_path / "caffe.py").write_text(STUB)
    (tmp_path / NET).write_text(CASE[NET])
    (tmp_path / "measure.py").write_text(code("python", "import json\n"))
    done = run("measure.py", at=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / SHAPES).read_text()) == json.loads(CASE[SHAPES])
    values = run("-c", "import numpy; print(*sorted(numpy.load('io.npz').files))", at=tmp_path)
    assert values.stdout.split() == ["in:data", "out:data", "out:out"]
    assert {path.name for path in (GOLDEN / "layers" / "tile").iterdir()} <= {path.name for path in tmp_path.iterdir()}


def test_another_package_adds_the_layer(tmp_path: Path) -> None:
    entry = re.fullmatch(r'\[project\.entry-points\."(.+)"\]\n(\w+) = "([\w:]+)"\n', code("toml", "[project"))
    assert entry is not None and entry[1] == ENTRY_POINTS
    about = tmp_path / "my_layers-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-layers\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[{entry[1]}]\n{entry[2]} = {entry[3]}\n")
    (tmp_path / "my_layers.py").write_text(code("python", "from caffe_fcn.net.layers"))
    (tmp_path / NET).write_text(CASE[NET])
    (tmp_path / "caffe_fcn").symlink_to(ROOT / "caffe_fcn")
    program = f"import caffe_fcn; print(caffe_fcn.open({NET!r}).shapes.blobs)"
    done = run("-c", program, at=tmp_path)
    shapes = json.loads(CASE[SHAPES])["blobs"]
    assert done.stdout.strip() == str({name: tuple(shape) for name, shape in shapes.items()}), done.stderr


def test_the_golden_conversion_is_the_one_shown() -> None:
    shown = json.loads(code("json", '{"kernels"'))
    assert shown == json.loads((GOLDEN / "conversions" / "lenet" / "golden.json").read_text())


def test_files_and_rules_of_make_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:`|^    )make ([a-z]+)", PAGE, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for path in re.findall(r"`((?:caffe_fcn|tests|docs|proto)/[\w./-]+)`", PAGE):
        assert (ROOT / path).exists(), path
