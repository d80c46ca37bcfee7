"""Upsamples scores to every pixel, on one phase of a net whose coarse scores are a map:

1. the map is upsampled by bilinear Deconvolutions, stride by stride, and each skip, scored and cropped to it, is added;
2. the kernels are those for which the offsets of the crops are whole numbers (`upsampling`);
3. the first Convolution pads as much as the crops need (`padding`);
4. the last Crop has the size of the image, and its top is `score`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.changes import Change, Decision, NewLayer
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim, Phase, Result, SharedMap, agreed, carried_out
from caffe_fcn.net.graph import Blob
from caffe_fcn.passes.resize import image_channels, resized_inputs
from caffe_fcn.passes.segment.changes import AddHead, SetPad, Stage
from caffe_fcn.passes.segment.fractions import no_whole_offset, numbers
from caffe_fcn.passes.segment.geometry import ScoreMaps, score_maps
from caffe_fcn.passes.segment.layers import Bilinear, Scoring, check_names, cropped, scaled, summed
from caffe_fcn.passes.segment.padding import Padding, choose, declared_size, sizes_in_words
from caffe_fcn.passes.segment.skips import Skip
from caffe_fcn.passes.segment.upsampling import Upsampling, factor_between
from caffe_fcn.wording import Option, advise, option

_MOST_BYTES = (1 << 31) - 1
"""The maximum size of a caffemodel in Caffe, which counts the bytes in an int."""


class Upsampled(NamedTuple):
    """The map SCORES to upsample, the SKIPS to add, and how."""

    scores: str
    skips: tuple[Skip, ...]
    pad: str | int
    prefix: str
    size: tuple[int, ...] | None
    """The new nominal size of the image, in pixels, if it changes."""
    scoring: Scoring
    bilinear: Bilinear
    kept: bool
    """Whether the scores are those of the old classifier; these are verified."""


def upsample(model: Model, wanted: Upsampled) -> Result:
    """Return MODEL with scores of every pixel, `score`. Raises SurgeryError if no kernel gives a whole offset, if
    there is no padding with which the crops fit, or if a name is taken."""
    decision, phases = agreed(model, lambda phase: _decide(phase, wanted), "segment")
    resized = image_channels(model) if decision.of_kind("input_size") else None
    made = carried_out(model, decision, claim=Claim.NEW_FUNCTION, phases=phases, resized=resized)
    if not wanted.kept:
        return made
    before = tuple(change for change in decision.changes if not isinstance(change, AddHead))
    padded = carried_out(model, Decision(before), claim=Claim.NEW_FUNCTION, resized=resized)
    return replace(made, shared=SharedMap(padded.model, wanted.scores))


def _decide(phase: Phase, wanted: Upsampled) -> Decision:
    graph = phase.graph
    blobs = [_latest(phase, name) for name in (wanted.scores, *(skip.blob for skip in wanted.skips))]
    maps = score_maps(graph, phase.shapes, blobs[0], blobs[1:])
    _check_maps(maps, wanted.skips)
    order = sorted(zip(maps.skips, wanted.skips, strict=True), key=lambda pair: -maps.place(pair[0])[0].stride)
    maps = score_maps(graph, phase.shapes, blobs[0], [blob for blob, _ in order])
    skips = [skip for _, skip in order]
    *factors, final = _factors(maps, skips)
    steps = maps.upsamplings(factors, final)
    _check_offsets(maps, steps, skips)
    axes = maps.axes(steps, wanted.size)
    padding = choose(maps, axes, wanted.pad)
    offsets = [step.offset for step in steps[:-1]]
    offsets.append(tuple(axis.offsets[-1] + pad for axis, pad in zip(axes, padding.before, strict=True)))
    names = _Names(wanted, skips, [step.factor for step in steps])
    stages = tuple(names.stages(steps, offsets, maps.image.name))
    layers = tuple(_layers(phase, maps, wanted, stages))
    last = graph.nodes[-1]
    check_names(phase, [each.layer.name for each in layers])
    changes: list[Change] = []
    size = declared_size(maps, axes, padding, wanted.size, wanted.pad)
    if size is not None:
        changes += resized_inputs(graph, phase.shapes, size)
    if (
        maps.first is not None
        and padding.pad is not None
        and any(sides != (padding.pad,) * 2 for sides in maps.padding)
    ):
        changes.append(SetPad(maps.first.index, maps.first.name, padding.pad, tuple(each[0] for each in maps.padding)))
    head = AddHead(
        last.index,
        last.name,
        layers,
        coarse=wanted.scores,
        classes=wanted.bilinear.channels,
        stages=stages,
        padding=padding,
        first=maps.first.name if maps.first is not None else None,
    )
    notes = (*_notes(maps, padding, wanted, size), *_size_notes(phase, layers))
    return Decision((*changes, head), notes=notes)


def _latest(phase: Phase, name: str) -> Blob:
    blob = phase.graph.latest(name)
    if blob is None:
        raise SurgeryError(f"no blob is called {name!r}", source=phase.graph.source)
    return blob


def _check_maps(maps: ScoreMaps, skips: Sequence[Skip]) -> None:
    """Raise SurgeryError if one of SKIPS is not a map of the image."""
    for blob, skip in zip(maps.skips, skips, strict=True):
        if maps.image not in maps.places[blob] or len(maps.place(blob)) != len(maps.place(maps.coarse)):
            raise SurgeryError(
                f"the skip {blob.name!r} is not a map of the image {maps.image.name!r}",
                source=maps.graph.source,
                place=skip.option,
            )


def _factors(maps: ScoreMaps, skips: Sequence[Skip]) -> list[int]:
    """Return the factor to each of SKIPS, coarsest first, and to the image. Raises SurgeryError if one is not a whole
    number above 1."""
    made: list[int] = []
    coarse = maps.coarse
    for blob, skip in [*zip(maps.skips, skips, strict=True), (maps.image, None)]:
        factor = factor_between(maps.place(coarse), maps.place(blob))
        if factor is None and skip is None and _stride(maps, coarse) == _stride(maps, blob):
            what = "the skip" if skips else "the map of the scores"
            raise SurgeryError(
                f"{what} {coarse.name!r} has the stride 1, so there is nothing to upsample",
                source=maps.graph.source,
                place=skips[-1].option if skips else None,
            )
        if factor is None:
            strides = [_stride(maps, each) for each in (coarse, blob)]
            what = f"the skip {blob.name!r}" if skip else f"the image {blob.name!r}"
            raise SurgeryError(
                f"{what} has the stride {strides[1]}, and the scores before, {coarse.name!r}, {strides[0]}; expected a "
                "multiple of it, the same along height and width",
                source=maps.graph.source,
                place=skip.option if skip else None,
            )
        made.append(factor)
        coarse = blob
    return made


def _stride(maps: ScoreMaps, blob: Blob) -> str:
    return "×".join(dict.fromkeys(str(each.stride) for each in maps.place(blob)))


def _check_offsets(maps: ScoreMaps, steps: Sequence[Upsampling], skips: Sequence[Skip]) -> None:
    """Raise SurgeryError if an offset is not a whole number, or that of a skip is negative."""
    for place, step in enumerate(steps):
        blob = maps.skips[place] if place < len(maps.skips) else maps.image
        if step.kernel is None:
            raise no_whole_offset(maps, maps.coarse, blob, step)
        if place < len(skips) and min(step.offset) < 0:
            raise SurgeryError(
                f"the scores are larger than the skip {blob.name!r}: its crop would have the offset "
                f"{numbers(step.offset)}, whatever the padding",
                source=maps.graph.source,
                place=skips[place].option,
                hint=advise("choose the skips with ", Option("skip"))
                if skips[place].option.name == "style"
                else "leave out this skip",
            )


class _Names:
    """The names of the new layers, as in the published nets."""

    def __init__(self, wanted: Upsampled, skips: Sequence[Skip], factors: Sequence[int]) -> None:
        self.prefix, self.skips = wanted.prefix, skips
        inner = [f"upscore{factors[0]}", *(f"upscore_{skip.blob}" for skip in skips)][: len(skips)]
        last = f"upscore{factors[-1]}" if skips else "upscore"
        self.upsamplings = [*inner, "upscore" if last in inner else last]

    def stages(self, steps: Sequence[Upsampling], offsets: Sequence[tuple[int, ...]], image: str) -> Iterator[Stage]:
        """Return STEPS with names and OFFSETS."""
        crops = [*(f"score_{skip.blob}c" for skip in self.skips), "score"]
        blobs = [*(skip.blob for skip in self.skips), image]
        scales = [*(skip.scale for skip in self.skips), None]
        for step, offset, layer, crop, blob, scale in zip(
            steps, offsets, self.upsamplings, crops, blobs, scales, strict=True
        ):
            yield Stage(self.prefix + layer, step.kernel or 0, step.factor, self.prefix + crop, offset, blob, scale)


def _layers(phase: Phase, maps: ScoreMaps, wanted: Upsampled, stages: Sequence[Stage]) -> Iterator[NewLayer]:
    """Return the new layers, in the order of the published nets."""
    scores, prefix, trained = wanted.scores, wanted.prefix, wanted.bilinear.trained
    for stage in stages:
        yield wanted.bilinear.layer(stage.layer, scores, stage.kernel, stage.factor)
        if stage is stages[-1]:
            yield cropped(stage.crop, stage.layer, stage.blob, stage.offset)
            return
        channels = maps.shape(_latest(phase, stage.blob))[1]
        skip = stage.blob
        if stage.scale is not None:
            skip = f"{prefix}scale_{stage.blob}"
            yield scaled(skip, stage.blob, stage.scale, channels, trained=trained)
        name = f"{prefix}score_{stage.blob}"
        yield wanted.scoring.layer(name, skip, channels)
        yield cropped(stage.crop, name, stage.layer, stage.offset)
        scores = f"{prefix}fuse_{stage.blob}"
        yield summed(scores, [stage.layer, stage.crop])


def _notes(maps: ScoreMaps, padding: Padding, wanted: Upsampled, size: Sequence[int] | None) -> Iterator[str]:
    unlike = [f'"{blob.name}"' for blob in (maps.coarse, *maps.skips) if len(maps.places[blob][maps.image]) > 1]
    if unlike:
        names = ", ".join(unlike)
        what = f"{names} is" if len(unlike) == 1 else f"{names} are"
        yield f"the net joins maps whose cells do not coincide; {what} aligned by the first bottom of each join"
    if not all(fits.every for fits in padding.fits):
        yield f"the crops fit only for inputs of {sizes_in_words(padding.fits)}"
    if size is not None and wanted.size is None:
        old, new = ("×".join(map(str, each)) for each in (maps.shape(maps.image)[2:], size))
        yield f"they do not fit for {old}, the input size of the net, so the new net has an input of {new}"
    if wanted.bilinear.dense and not wanted.bilinear.trained:
        yield "no filler of Caffe makes the kernels of upsampling in one group; the net needs weights with them"


def _size_notes(phase: Phase, layers: Sequence[NewLayer]) -> Iterator[str]:
    """Return a note if the kernels of LAYERS, in one group, make the weights too large for a caffemodel of Caffe."""
    before = sum(tensor.size for tensors in phase.tensors.values() for tensor in tensors)
    after = before + sum(tensor.size for layer in layers for tensor in layer.tensors)
    if before <= _MOST_BYTES < after:
        yield (
            f"the weights have {after / 1e9:.1f} GB, but Caffe reads only caffemodels of less than 2 GiB; write them "
            f"as HDF5, with a name that ends in .h5, or leave out {option('dense_upsampling')}"
        )
