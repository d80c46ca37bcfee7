"""The second proof: at the nominal input size the new net gives the answers of the original.

Random inputs with values of two sizes reach every weight of a net. The allowed difference is the measured effect of
rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from caffe_fcn.engines.protocol import Array
from caffe_fcn.errors import EngineError, PictureError
from caffe_fcn.net.shapes import Shape, show
from caffe_fcn.verify.differences import worst
from caffe_fcn.verify.items import Items, Runner
from caffe_fcn.verify.limits import BLUNT, Limits
from caffe_fcn.verify.outputs import ComparedOutput, Pairs, Party, compared, names_of
from caffe_fcn.verify.records import SameSize, SameSizeProof
from caffe_fcn.verify.rounding import Answered, allowances, fixed, too_coarse
from caffe_fcn.wording import option

DEVIATIONS = (1.0, 64.0)
"""The standard deviations of random inputs, used in turn: of pictures scaled to about 1, and of pixels."""


class Sample(NamedTuple):
    """The ITEMS for both nets: first DRAWN random ones from SEED, then GIVEN ones."""

    items: Items
    drawn: int
    given: int
    seed: int

    @property
    def groups(self) -> list[list[int]]:
        """The indices of the items, grouped by their scale. Differences are relative to the largest output for inputs
        of one scale: a single output may be almost 0 by chance, while its error is not."""
        kinds = len(DEVIATIONS)
        groups = [list(range(kind, self.drawn, kinds)) for kind in range(kinds)]
        return [group for group in (*groups, list(range(self.drawn, self.drawn + self.given))) if group]


def prove_same_size(
    runner: Runner,
    original: Party,
    twin: Party,
    pairs: Pairs,
    sample: Sample,
    tolerance: float | None,
) -> SameSizeProof:
    """Run both nets on SAMPLE and compare. TOLERANCE replaces the measured effect of rounding. Raises what the engine
    raises."""
    run = [output for output in pairs.outputs if not output.identical]
    if not run:
        same = tuple(SameSize(output.pair, identical=True) for output in pairs.outputs)
        return SameSizeProof({}, 0, 0, sample.seed, same, tuple(pairs.failures))
    names = input_names(original, twin)
    ours = original.run(runner, sample.items, names_of(run))
    if tolerance is None:
        limits = allowances(runner, original, run, Answered(sample.items, ours, sample.groups))
    else:
        limits = fixed(run, tolerance)
    theirs = twin.run(runner, sample.items.renamed(names), [output.twin.name for output in run])
    allows = "rounding explains" if tolerance is None else f"{option('tolerance')} allows"
    too_far = f"differs by more than {allows}"
    found = tuple(
        SameSize(each.pair, identical=True)
        if each.identical
        else _compare(each, ours, each.of_original(theirs[each.twin.name]), sample.groups, limits, too_far)
        for each in pairs.outputs
    )
    blunt = [each.output.name for each in found if each.difference and each.difference.allowed > BLUNT]
    shown = "" if tolerance is not None or not blunt else f"{blunt[0]!r}: {too_coarse()}"
    return SameSizeProof(original.inputs, sample.drawn, sample.given, sample.seed, found, tuple(pairs.failures), shown)


def _compare(
    output: ComparedOutput,
    ours: Mapping[str, Array],
    found: Array,
    groups: Sequence[list[int]],
    limits: Limits,
    too_far: str,
) -> SameSize:
    expected, judged = ours[output.blob.name], ours[output.judged.name]
    if expected.size != found.size:
        shapes = f"{show(expected.shape[1:])}, found {show(found.shape[1:])}"
        return SameSize(output.pair, None, f"expected an answer of {shapes}")
    gap = worst(compared(output, expected[group], judged[group], found[group], limits) for group in groups)
    return SameSize(output.pair, gap, "" if gap.small else too_far)


def input_names(original: Party, twin: Party) -> Mapping[str, str]:
    """The names in TWIN of the inputs of ORIGINAL. Raises EngineError."""
    names, others = list(original.inputs), list(twin.inputs)
    if len(names) != len(others):
        raise EngineError(
            f"the inputs of the original are {', '.join(names) or 'none'}, those of the converted net "
            f"{', '.join(others) or 'none'}"
        )
    return dict(zip(names, names if set(names) == set(others) else others, strict=True))


def draw(inputs: Mapping[str, Shape], samples: int, seed: int, pictures: Sequence[Array], *, whole: bool) -> Sample:
    """SAMPLES random items from SEED for a net with INPUTS, and PICTURES, each N×C×spatial or C×spatial. WHOLE: each
    item is a whole batch. Raises PictureError for pictures that the net does not accept."""
    import numpy as np

    random = np.random.default_rng(seed)
    scales = np.resize(np.array(DEVIATIONS, np.float32), samples)
    items: dict[str, Array] = {}
    for name, shape in inputs.items():
        drawn = random.standard_normal((samples, *(shape if whole else shape[1:])), dtype=np.float32)
        items[name] = drawn * scales.reshape(-1, *[1] * (drawn.ndim - 1))
    if pictures and len(inputs) != 1:
        raise PictureError(f"pictures need a net with one input, but this net has {len(inputs)}", hint="leave them out")
    for name, shape in inputs.items() if pictures else ():
        given = np.concatenate([_several(picture, name, shape) for picture in pictures])
        if whole:
            given = np.stack([np.broadcast_to(picture, shape) for picture in given])
        items[name] = np.concatenate([items[name], given])
    found = Items(items, whole)
    return Sample(found, samples, found.many - samples, seed)


def _several(picture: Array, name: str, shape: Shape) -> Array:
    """PICTURE as N×C×spatial for the input NAME of SHAPE. It may lack N, and C if it is grey."""
    whole = picture
    if whole.ndim == len(shape) - 2 and shape[1] == 1:
        whole = whole[None]
    if whole.ndim == len(shape) - 1:
        whole = whole[None]
    if whole.shape[1:] != shape[1:]:
        found = show(tuple(map(int, picture.shape)))
        raise PictureError(
            place=f"input {name!r}",
            expected=f"pictures of {show(shape[1:])}",
            found=f"one of {found}",
            hint="resize it",
        )
    return whole
