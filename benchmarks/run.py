"""Benchmarks. They compare `caffe-fcn convert` with `cp` and with a script that uses the protobuf package, and dense
maps with sliding windows and other programs.

A conversion is measured as a whole process, from start to end, on warm caches. For dense maps, one run or one load is
measured, in a separate process. The contenders run in turns; the result is the ratio of medians. `make bench` runs all
benchmarks. The exit code is 1 if a target is missed or could not be measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import nets
from dense import DENSE, LOW_MEMORY, MATRICES, SLIDING, DenseMap, Loading, Picture
from environments import default_cache
from finer import COARSE, SHIFTED, FinerMap
from measuring import (
    MIB,
    Bench,
    Command,
    Contender,
    ContenderError,
    NoRoomError,
    Series,
    check_room,
    compare,
    floor,
    measure,
)

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MODELS = ROOT / "models"
SHARED = Path(os.environ.get("CAFFE_FCN_SHARED", ROOT.parent / "shared"))
RESNET = SHARED / "corpus" / "KaimingHe+deep-residual-networks" / "ae15aade-ResNet-152-deploy.prototxt"
CAFFE_FCN = Path(sys.executable).parent / "caffe-fcn"
"""The console script of the environment that runs this one."""

CP, CONVERT, PLAIN, HELP, NOTHING = "cp", "caffe-fcn convert", "plain protobuf", "caffe-fcn --help", "python -c pass"
FOLD, SEGMENT, REDUCE = "caffe-fcn fold", "caffe-fcn segment", "caffe-fcn reduce"
CMP, DIFF, DIFF_OTHERS = "cmp", "caffe-fcn diff", "caffe-fcn diff, all values differ"


@dataclass(frozen=True)
class Target:
    """A figure to reach: MEASURE takes the series by name and gives what FORM prints; at most LIMIT will do."""

    what: str
    limit: float
    form: str
    measure: Callable[[Mapping[str, Series]], float]


def beside(one: str, other: str) -> Callable[[Mapping[str, Series]], float]:
    """The median time of ONE as a multiple of OTHER's."""
    return lambda series: series[one].median / series[other].median


SIXTY_FOUR_MIB = Target("convert: peak memory", 64, "{:.0f} MiB", lambda series: series[CONVERT].peak / MIB)


@dataclass(frozen=True)
class Case:
    """One comparison: what it is, how it is run, and what it is to reach. The first contender is the measure of all."""

    title: str
    run: Callable[[Bench], list[Series]]
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True)
class Model:
    """A net whose weights, some SIZE bytes of them, are made on the spot.

    KERNELS tells the plain script what it cannot find out; without them it does not take part. COMMAND rewrites them,
    with WORDS behind the files.
    """

    prototxt: Callable[[], str]
    size: int
    kernels: Mapping[str, int]
    command: str = CONVERT
    words: tuple[str, ...] = ()

    def __call__(self, bench: Bench) -> list[Series]:
        """Compare copying, rewriting and the plain script on this model."""
        check_room(bench.directory, 2 * self.size + 64 * MIB)
        net, weights = bench.directory / "net.prototxt", bench.directory / "net.caffemodel"
        outputs = new_net, new_weights = bench.directory / "fcn.prototxt", bench.directory / "fcn.caffemodel"
        net.write_text(self.prototxt(), encoding="utf-8")
        bench.progress("making weights")
        measure([sys.executable, HERE / "make_weights.py", net, weights])
        name = self.command.split()[-1]
        rewrite: Command = [
            CAFFE_FCN,
            name,
            net,
            weights,
            *self.words,
            "-o",
            new_net,
            "-w",
            new_weights,
            "--force",
            "--quiet",
        ]
        contenders = [Contender(CP, ["cp", weights, new_weights], outputs), Contender(self.command, rewrite, outputs)]
        if self.kernels:
            kernels = [f"{name}={size}" for name, size in self.kernels.items()]
            script: Command = [sys.executable, HERE / "plain_protobuf.py", net, weights, new_net, new_weights, *kernels]
            contenders.append(Contender(PLAIN, script, outputs))
        return compare(contenders, bench.runs, bench.progress)


def run_help(bench: Bench) -> list[Series]:
    """The help page beside a Python that does nothing."""
    contenders = [Contender(NOTHING, [sys.executable, "-c", "pass"]), Contender(HELP, [CAFFE_FCN, "--help"])]
    return compare(contenders, 4 * bench.runs, bench.progress)


def run_resnet(bench: Bench) -> list[Series]:
    """The text of a 152-layer ResNet: the corpus's where it lies beside the checkout, else one of our own."""
    net, output = bench.directory / "resnet.prototxt", bench.directory / "fcn.prototxt"
    text = RESNET.read_bytes() if RESNET.exists() else nets.resnet152().encode()
    net.write_bytes(text)
    convert: Command = [CAFFE_FCN, "convert", net, "-o", output, "--force", "--quiet"]
    contenders = [Contender(NOTHING, [sys.executable, "-c", "pass"]), Contender(CONVERT, convert, (output,))]
    return compare(contenders, 2 * bench.runs, bench.progress)


def run_diff(bench: Bench) -> list[Series]:
    """Two equal VGG-16, beside cmp; and two in which every value differs, within a tolerance."""
    check_room(bench.directory, 3 * VGG16.size + 64 * MIB)
    net, *weights = (
        bench.directory / name for name in ("net.prototxt", "a.caffemodel", "b.caffemodel", "c.caffemodel")
    )
    net.write_text(VGG16.prototxt(), encoding="utf-8")
    bench.progress("making weights")
    for path, seed in zip(weights, (0, 0, 1), strict=True):
        measure([sys.executable, HERE / "make_weights.py", net, path, "--seed", str(seed)])
    old, same, other = weights
    contenders = [
        Contender(CMP, ["cmp", old, same]),
        Contender(DIFF, [CAFFE_FCN, "diff", old, same]),
        Contender(DIFF_OTHERS, [CAFFE_FCN, "diff", old, other, "--atol", "1000"]),
    ]
    return compare(contenders, bench.runs, bench.progress)


def model_file(name: str) -> Callable[[], str]:
    """A function that reads the prototxt called NAME of models/."""
    return lambda: (MODELS / f"{name}.prototxt").read_text(encoding="utf-8")


ALEXNET = Model(model_file("alexnet"), 244_000_000, {"fc6": 6, "fc7": 1, "fc8": 1})
VGG16 = Model(model_file("vgg16"), 554_000_000, {"fc6": 7, "fc7": 1, "fc8": 1})
ALEXNET_AT_707 = Picture(model_file("alexnet"), ALEXNET.size, window=227, size=707, cells=16)
VGG16_AT_704 = Picture(model_file("vgg16"), VGG16.size, window=224, size=704, cells=16)
"""At 707 pixels its poolings, rounding up, would make 17×17."""
GOOGLENET_AT_704 = Picture(model_file("googlenet"), 28_000_000, window=224, size=704, cells=16)
RESNET50_AT_704 = Picture(nets.resnet50, 103_000_000, window=224, size=704, cells=16)


def memory_targets(size: int) -> tuple[Target, ...]:
    """The peak memory of both nets in onnxruntime, against the SIZE of the model: by default, where onnxruntime holds
    weights up to three times while it loads them, and where memory is short."""
    return tuple(
        Target(f"{net}, {engine}: memory", limit, "{:.2f} ×", partial(peak_beside, f"{net}, {engine}", size))
        for engine, limit in (("onnxruntime", 3.5), (LOW_MEMORY, 2))
        for net in ("twin", "original")
    )


def peak_beside(name: str, size: int, series: Mapping[str, Series]) -> float:
    """The peak memory of the contender NAME as a multiple of SIZE."""
    return series[name].peak / size


def beside_the_best(series: Mapping[str, Series]) -> float:
    """The median time of `run`'s engine as a multiple of that of the fastest other program."""
    others = [each.median for name, each in series.items() if name not in (DENSE, SLIDING, MATRICES)]
    return series[DENSE].median / min(others)


def dense(title: str, picture: Picture, limit: float) -> Case:
    """The dense map of PICTURE, to be had in LIMIT times what the fastest peer takes."""
    size, windows = f"{picture.size}×{picture.size}", picture.cells**2
    target = Target("run's engine beside the fastest peer", limit, "{:.2f} ×", beside_the_best)
    told = f"{title}, {windows} windows of {size} pixels (sliding: 16 windows, times {windows // 16})"
    return Case(told, DenseMap(picture), (target,))


LARGE = Model(nets.vgg_large, 5_110_000_000, {})

CASES: dict[str, Case] = {
    "help": Case(
        "the help page", run_help, (Target("--help beside python -c pass", 5, "{:.2f} ×", beside(HELP, NOTHING)),)
    ),
    "resnet152": Case(
        "ResNet-152, text only",
        run_resnet,
        (Target("convert: wall time", 0.5, "{:.2f} s", lambda series: series[CONVERT].median),),
    ),
    "alexnet": Case("AlexNet, 244 MB", ALEXNET),
    "vgg16": Case(
        "VGG-16, 553 MB", VGG16, (Target("convert beside cp", 1.5, "{:.2f} ×", beside(CONVERT, CP)), SIXTY_FOUR_MIB)
    ),
    "resnet50-fold": Case(
        "ResNet-50, 102 MB, folded",
        Model(nets.resnet50, 103_000_000, {}, FOLD),
        (Target("fold: peak memory", 64, "{:.0f} MiB", lambda series: series[FOLD].peak / MIB),),
    ),
    "vgg16-segment": Case(
        "VGG-16, 553 MB, as FCN-8s of 21 classes",
        replace(VGG16, kernels={}, command=SEGMENT, words=("--classes", "21", "--style", "8s")),
        (Target("segment: peak memory", 64, "{:.0f} MiB", lambda series: series[SEGMENT].peak / MIB),),
    ),
    "vgg16-reduce": Case(
        "VGG-16, 553 MB, reduced as in SSD",
        replace(VGG16, kernels={}, command=REDUCE, words=("fc6=1024:3x3", "fc7=1024")),
        (Target("reduce: peak memory", 64, "{:.0f} MiB", lambda series: series[REDUCE].peak / MIB),),
    ),
    "vgg16-diff": Case(
        "two VGG-16, 553 MB each, compared",
        run_diff,
        (
            Target("diff beside cmp", 1.5, "{:.2f} ×", beside(DIFF, CMP)),
            Target("diff: peak memory", 64, "{:.0f} MiB", lambda series: series[DIFF_OTHERS].peak / MIB),
        ),
    ),
    "5gb": Case(
        "wide VGG, 5.1 GB (no plain protobuf: it cannot serialise 2 GiB)",
        LARGE,
        (Target("convert beside cp", 1.2, "{:.2f} ×", beside(CONVERT, CP)), SIXTY_FOUR_MIB),
    ),
    "alexnet-dense": dense("AlexNet", ALEXNET_AT_707, 0.95),
    "googlenet-dense": dense("GoogLeNet", GOOGLENET_AT_704, 1.2),
    "resnet50-dense": dense("ResNet-50", RESNET50_AT_704, 1.0),
    "vgg16-dense": dense("VGG-16", VGG16_AT_704, 1.0),
    "alexnet-stride": Case(
        "AlexNet, a map with four times as many cells on 707×707 pixels, from four shifts",
        FinerMap(ALEXNET_AT_707, 16),
        (Target("run --stride beside run", 4, "{:.2f} ×", beside(SHIFTED, COARSE)),),
    ),
    "alexnet-load": Case(
        "AlexNet, 244 MB, loaded (memory: after a run)", Loading(ALEXNET_AT_707), memory_targets(ALEXNET.size)
    ),
    "vgg16-load": Case(
        "VGG-16, 553 MB, loaded (memory: after a run)", Loading(VGG16_AT_704), memory_targets(VGG16.size)
    ),
}


def print_series(case: Case, series: Sequence[Series], least: int) -> None:
    """Print the table of one case: medians, spreads, ratios to the first contender, peak memory, and where they are
    known, floating point operations a second and versions."""
    counted, versions = any(each.work for each in series), any(each.version for each in series)
    print(f"\n{case.title}; {len(series[0].seconds)} runs each")
    heads = f"  {'':34} {'median':>9} {'min - max':>17} {'ratio':>8} {'peak memory':>14}"
    print(heads + (f" {'GFLOP/s':>8}" if counted else "") + ("  version" if versions else ""))
    for each in series:
        spread = f"{min(each.seconds):.3f} - {max(each.seconds):.3f} s"
        ratio = f"{each.median / series[0].median:.2f} ×" if each.name != MATRICES else ""
        # What is no higher than this process's own memory may be lower in truth.
        peak = f"{'≤ ' if each.peak <= 1.05 * least else ''}{each.peak / MIB:,.0f} MiB"
        speed = f" {each.speed / 1e9:8.0f}" if counted else ""
        version = f"  {each.version}" if versions else ""
        print(f"  {each.name:34} {each.median:7.3f} s {spread:>17} {ratio:>8} {peak:>14}{speed}{version}")


def print_targets(results: Mapping[str, Sequence[Series]]) -> bool:
    """Print what was to be reached beside what was; whether all of it was."""
    print(f"\n  {'target':56} {'at most':>9} {'measured':>10}")
    reached = True
    for name, series in results.items():
        by_name = {each.name: each for each in series}
        for target in CASES[name].targets:
            try:
                figure = target.measure(by_name)
            except (KeyError, ValueError):  # one of the two is not installed
                print(f"  {name + ': ' + target.what:56} {target.limit:>9g} {'-':>10}  left out")
                reached = False
                continue
            met = figure <= target.limit
            limit, shown = f"{target.limit:g}{target.form[target.form.index('}') + 1 :]}", target.form.format(figure)
            print(f"  {name + ': ' + target.what:56} {limit:>9} {shown:>10}  {'reached' if met else 'MISSED'}")
            reached = reached and met
    return reached


def show_progress(text: str) -> None:
    """Say on stderr, if a person watches, what is going on."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def run_case(name: str, arguments: argparse.Namespace, least: int) -> tuple[list[Series], bool]:
    """Run the case NAME in a directory of its own, print its table and remove all it made; whether it is complete.
    Nothing is measured where there is no room."""
    case = CASES[name]
    with tempfile.TemporaryDirectory(prefix="caffe-fcn-bench-", dir=arguments.dir) as directory:
        missing: dict[str, tuple[str, bool]] = {}
        bench = Bench(
            Path(directory),
            arguments.runs,
            lambda text: show_progress(f"{name}: {text}"),
            lambda contender, reason, needed: missing.setdefault(contender, (reason, needed)),
            arguments.cache,
        )
        try:
            series = case.run(bench)
        except NoRoomError as error:
            print(f"\n{case.title}: left out, {error}")
            return [], False
        finally:
            show_progress("")
    print_series(case, series, least)
    for contender, (reason, _) in missing.items():
        print(f"  {contender:34} left out: {reason}")
    return series, not any(needed for _, needed in missing.values())


def parse_arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description="Compare caffe-fcn with cp and plain protobuf, and dense maps with other programs."
    )
    parser.add_argument(
        "--only", action="append", choices=CASES, metavar="NAME", help=f"one of {', '.join(CASES)}; repeatable"
    )
    parser.add_argument(
        "--runs", type=int, default=5, metavar="N", help="runs of each contender (default 5; more for short runs)"
    )
    parser.add_argument(
        "--dir",
        type=Path,
        metavar="DIR",
        help="directory for the files, 10.3 GB for 5gb (default: a temporary directory)",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        default=default_cache(),
        help="directory for the environments of other programs (default %(default)s)",
    )
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error("--runs must be at least 1")
    if arguments.dir is not None and not arguments.dir.is_dir():
        parser.error(f"--dir: {arguments.dir} is not a directory")
    if not CAFFE_FCN.exists():
        parser.error(f"{CAFFE_FCN} is missing; `make bench` installs it")
    return arguments


def main() -> int:
    """Run the cases asked for and print their tables; 0, or 1 where a target is missed, a contender failed or one that
    is needed is left out, or 130 when interrupted."""
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that temporary files go then, too
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()};",
        end=" ",
    )
    print("by turns, caches warm; ratios of medians")
    results: dict[str, list[Series]] = {}
    whole = True
    try:
        least = floor()
        for name in arguments.only or CASES:
            series, complete = run_case(name, arguments, least)
            whole = whole and complete
            if series:
                results[name] = series
    except ContenderError as error:
        print(f"a contender failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; temporary files are removed", file=sys.stderr)
        return 130
    reached = print_targets(results) if any(CASES[name].targets for name in results) else True
    return 0 if reached and whole else 1


if __name__ == "__main__":
    sys.exit(main())
