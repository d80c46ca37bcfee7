"""Chooses the padding of the first Convolution, and determines the sizes of the image at which all crops fit."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from caffe_fcn.errors import SurgeryError
from caffe_fcn.passes.segment.fitting import Axis, Fits, Which, first_of, least_pad
from caffe_fcn.passes.segment.geometry import ScoreMaps
from caffe_fcn.wording import Hint, Option, advise

SIDES = ("heights", "widths")


class PadReason(Enum):
    """Why a padding was chosen."""

    EVERY = "the least with which every crop fits for every input size"
    LEAST = "the least with which every crop fits from the smallest input on that the net takes"
    NOMINAL = "the least with which every crop fits at the input size of the net"
    SOME = "the least with which every crop fits for some input sizes"
    ASKED = "as asked"
    KEPT = "unchanged"


_WISHES: dict[str | int, tuple[Which, ...]] = {
    "auto": ("every", "least", "nominal", "some"),
    "least": ("least", "nominal", "some"),
}
_REASONS: dict[Which, PadReason] = {
    "every": PadReason.EVERY,
    "least": PadReason.LEAST,
    "nominal": PadReason.NOMINAL,
    "some": PadReason.SOME,
}


class Padding(NamedTuple):
    """The padding of the first Convolution, BEFORE and AFTER each axis, WHY it was chosen, and the sizes of the input
    at which all crops FIT, along each axis. PAD is the new value of its field, None if it stays."""

    pad: int | None
    before: tuple[int, ...]
    after: tuple[int, ...]
    why: PadReason
    fits: tuple[Fits, ...]


def choose(maps: ScoreMaps, axes: Sequence[Axis], wish: str | int) -> Padding:
    """Return the padding for WISH: a number, "auto", "least" or "keep". Raises SurgeryError if an offset would be
    negative, or the crops do not fit the nominal input."""
    own = maps.padding
    before, after = (tuple(sides[end] for sides in own) for end in (0, 1))
    if wish == "keep" or (maps.first is None and not isinstance(wish, int)):
        return _checked(maps, axes, Padding(None, before, after, PadReason.KEPT, ()), wish)
    if maps.first is None:
        raise SurgeryError(
            "the padding cannot be chosen, because no Convolution alone reads the input",
            source=maps.graph.source,
            place=Option("pad", wish),
        )
    if isinstance(wish, int):
        return _checked(maps, axes, _of(wish, PadReason.ASKED, len(own)), wish)
    found = first_of(axes, _WISHES[wish])
    if found is None:
        raise SurgeryError(
            f"no padding of {maps.first.name!r} lets the crops fit any input size",
            layer=maps.first.name,
            layer_type=maps.first.type,
            place=Option("pad", wish),
            hint="leave out the finest skip",
        )
    which, pad = found
    return _checked(maps, axes, _of(pad, _REASONS[which], len(own)), wish)


def _of(pad: int, why: PadReason, axes: int) -> Padding:
    return Padding(pad, (pad,) * axes, (pad,) * axes, why, ())


def _checked(maps: ScoreMaps, axes: Sequence[Axis], padding: Padding, wish: str | int) -> Padding:
    """Return PADDING with the sizes at which all crops fit."""
    sides = list(zip(axes, padding.before, padding.after, strict=True))
    offsets = [axis.offsets[-1] + before for axis, before, _ in sides]
    if min(offsets) < 0:
        raise _refused(maps, f"the last crop would have the offset {_numbers(offsets)}, which is negative", axes, wish)
    fits = tuple(axis.fits(before, after) for axis, before, after in sides)
    if not all(each.ranges for each in fits):
        raise _refused(maps, "the crops fit no input size", axes, wish)
    return padding._replace(fits=fits)


def declared_size(
    maps: ScoreMaps, axes: Sequence[Axis], padding: Padding, asked: Sequence[int] | None, wish: str | int
) -> tuple[int, ...] | None:
    """Return the new nominal size of the image, None if it stays: the size ASKED for, or the nearest at which the crops
    fit with PADDING. Raises SurgeryError if they do not fit the size asked for."""
    nominal = tuple(axis.nominal for axis in axes)
    if all(size in fits for size, fits in zip(nominal, padding.fits, strict=True)):
        return None if asked is None else nominal
    if asked is None:
        return tuple(fits.nearest(size) for size, fits in zip(nominal, padding.fits, strict=True))
    size = "×".join(map(str, nominal))
    raise _refused(maps, f"the crops do not fit at {size}: they fit {sizes_in_words(padding.fits)}", axes, wish)


def _refused(maps: ScoreMaps, told: str, axes: Sequence[Axis], wish: str | int) -> SurgeryError:
    if maps.first is None:
        readers = "no Convolution alone reads the input"
        return SurgeryError(f"{told}, and the padding cannot be chosen: {readers}", source=maps.graph.source)
    return SurgeryError(
        told,
        layer=maps.first.name,
        layer_type=maps.first.type,
        place=Option("pad", wish),
        hint=_least(axes),
    )


def _least(axes: Sequence[Axis]) -> Hint | None:
    """Return the paddings with which the crops fit."""
    every, least, nominal = (least_pad(axes, which) for which in ("every", "least", "nominal"))
    parts: list[str | Option] = []
    for pad, what in (
        (nominal, "at this input size"),
        (least, "from the smallest input on"),
        (every, "for every input size"),
    ):
        if pad is not None:
            parts += [", " if parts else "the least that fits is ", Option("pad", pad), f" {what}"]
    return advise(*parts) if parts else None


def sizes_in_words(fits: Sequence[Fits]) -> str:
    """Return the sizes along both axes, in words that follow a verb."""
    if len(set(fits)) == 1:
        return _in_words(fits[0], "sizes")
    return " and ".join(_in_words(each, side) for each, side in zip(fits, SIDES, strict=True))


def _in_words(fits: Fits, sides: str) -> str:
    if fits.every:
        return f"all {sides}"
    if not fits.ranges:
        return f"no {sides}"
    last = fits.ranges[-1]
    shown = [f"{first} to {end}" if end != first else str(first) for first, end in fits.ranges if end is not None]
    if last[1] is None:
        shown.append(f"from {last[0]} on")
    told = f"{sides} {', '.join(shown)}"
    return f"{told}, and so on every {fits.period}" if fits.period else told


def _numbers(values: Sequence[int]) -> str:
    return "×".join(map(str, dict.fromkeys(values)))
