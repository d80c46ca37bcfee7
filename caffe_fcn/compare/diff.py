"""Compares two nets, their weights, or both, layer by layer: what `diff` tells.

Layers are compared in each phase in which both nets can be built; a layer with the same differences in all of them is
told once. Layers that only the weights have are paired by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from caffe_fcn.compare.blobs import BlobComparison
from caffe_fcn.compare.fields import message_changes
from caffe_fcn.compare.held import HeldBlobs, completed, sharing
from caffe_fcn.compare.nets import layers_of
from caffe_fcn.compare.options import DiffOptions
from caffe_fcn.compare.records import BlobDiff, ChangedField, LayerDiff, LayerMatch, NetDiff
from caffe_fcn.compare.sides import DiffSide
from caffe_fcn.compare.values import Tolerance
from caffe_fcn.compare.views import views_of
from caffe_fcn.display import printable
from caffe_fcn.errors import CaffeFcnError
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.wording import Option

_NOT_OF_THE_NET = frozenset({"layer", "layers", "input", "input_shape", "input_dim"})


def compare(
    old: DiffSide, new: DiffSide, options: DiffOptions | None = None, selection: Selection = ANY_NET
) -> NetDiff:
    """What differs between OLD and NEW, in what both have: nets, weights or both.

    Raises CaffeFcnError if they have nothing in common that could be compared, if values cannot be read, or if a
    pattern of OPTIONS matches no layer.
    """
    options = options or DiffOptions()
    nets = old.source is not None and new.source is not None and not options.weights_only
    weights = old.held is not None and new.held is not None
    _check_common(old, new, nets=nets, weights=weights)
    notes = [f"{side.told.files[-1]}: {note}" for side in (old, new) for note in side.notes]
    views = views_of(old, new, selection) if nets else None
    rules = not any(side.source is not None and side.source.from_weights for side in (old, new))
    fields = _net_fields(old, new, options) if nets else ()
    found = layers_of(views, rules=rules) if views is not None else []
    if weights:
        found = _with_weights(found, _comparison(old, new, options), options)
    _check_patterns(options.layers, found)
    notes += [*(views.notes if views else ()), *_format_notes(old, new, nets=nets, weights=weights)]
    kept = [each for each in found if _wanted(each, options.layers)]
    return NetDiff(
        old=old.told,
        new=new.told,
        nets=nets,
        weights=weights,
        fields=() if options.layers else fields,
        layers=tuple(kept),
        notes=tuple(notes),
        ignore_names=options.ignore_names,
    )


def _check_common(old: DiffSide, new: DiffSide, *, nets: bool, weights: bool) -> None:
    if nets or weights:
        return
    has = [
        " and ".join(what for what, there in (("a net", side.source), ("weights", side.held)) if there is not None)
        for side in (old, new)
    ]
    raise CaffeFcnError(
        source=new.told.files[-1],
        expected=f"{has[0] or 'a net or weights'} to compare, as in {old.told.files[-1]}",
        found=has[1] or "nothing that can be compared",
    )


def _format_notes(old: DiffSide, new: DiffSide, *, nets: bool, weights: bool) -> Iterator[str]:
    """Notes on what was not compared, and on other formats."""
    for side, other in ((old, new), (new, old)):
        name = side.told.files[-1]
        if side.held is None and other.held is not None:
            yield f"{name} has no weights; only the nets were compared"
        if side.source is None and other.source is not None and side.held is not None:
            yield f"{name} has no net; only the weights were compared"
    formats = (old.told.net_format, new.told.net_format)
    if nets and formats[0] != formats[1]:
        yield f"the nets are in the formats {formats[0]} and {formats[1]}; they were compared in the current format"
    formats = (old.told.weights_format, new.told.weights_format)
    if weights and formats[0] != formats[1]:
        yield f"the weights are in the formats {formats[0]} and {formats[1]}"


def _wanted(each: LayerDiff, patterns: Sequence[str]) -> bool:
    names = [name for name in (each.old, each.new) if name is not None]
    return not patterns or any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _check_patterns(patterns: Sequence[str], layers: Sequence[LayerDiff]) -> None:
    for pattern in patterns:
        if not any(_wanted(each, (pattern,)) for each in layers):
            names = list(dict.fromkeys(name for each in layers for name in (each.old, each.new) if name is not None))
            there = ", ".join(map(printable, names[:12])) + (", ..." if len(names) > 12 else "")
            expected = f"a layer with the name {pattern!r}"
            raise CaffeFcnError(place=Option("layers", pattern), expected=expected, found=there or "none")


# ---- Nets ----


def _net_fields(old: DiffSide, new: DiffSide, options: DiffOptions) -> tuple[ChangedField, ...]:
    """The fields of the nets themselves that differ."""
    assert old.source is not None and new.source is not None
    found = message_changes(old.source.net, new.source.net, without=_NOT_OF_THE_NET)
    return tuple(each for each in found if not (options.ignore_names and each.path == "name"))


# ---- Weights ----


def _comparison(old: DiffSide, new: DiffSide, options: DiffOptions) -> BlobComparison:
    """Compares the weights of OLD and NEW, with shared blobs completed by the nets that are known."""
    assert old.held is not None and new.held is not None
    held: list[HeldBlobs] = []
    for side, other in ((old, new), (new, old)):
        source = side.source or other.source
        needed = side.held is not None and (side.held.onnx or side.told.weights_format == "HDF5")
        blobs = side.held or HeldBlobs("", {})
        held.append(completed(blobs, sharing(source.net)) if needed and source is not None else blobs)
    return BlobComparison(held[0], held[1], Tolerance(options.rtol, options.atol))


def _with_weights(found: Sequence[LayerDiff], weights: BlobComparison, options: DiffOptions) -> list[LayerDiff]:
    """The layers FOUND with their blobs; then layers that only the weights have."""
    olds, news = {each.old for each in found}, {each.new for each in found}
    ours: set[str | None] = set()
    theirs: set[str | None] = set()
    made: list[LayerDiff] = []
    for each in found:
        # The weights may have a layer that the net does not have.
        old = each.new if each.old is None and each.new not in olds else each.old
        new = each.old if each.new is None and each.old not in news else each.new
        old, new = None if old in ours else old, None if new in theirs else new
        ours.add(old)
        theirs.add(new)
        made.append(each._replace(blobs=_blobs(weights, old, new, options)))
    return [*made, *_foreign(weights, ours, theirs, options)]


def _blobs(weights: BlobComparison, old: str | None, new: str | None, options: DiffOptions) -> tuple[BlobDiff, ...]:
    if not _wanted(LayerDiff(LayerMatch.NAME, old, new), options.layers):
        return ()
    return tuple(weights.layers(old, new))


def _foreign(
    weights: BlobComparison, ours: set[str | None], theirs: set[str | None], options: DiffOptions
) -> Iterator[LayerDiff]:
    """Layers that only the weights have, by name; not OURS and THEIRS, which the nets have."""
    old = [name for name in weights.old.names if name not in ours]
    new = dict.fromkeys(name for name in weights.new.names if name not in theirs)
    for name in old:
        there = name in new
        new.pop(name, None)
        match = LayerMatch.NAME if there else LayerMatch.GONE
        blobs = _blobs(weights, name, name if there else None, options)
        yield LayerDiff(match, name, name if there else None, blobs=blobs)
    for name in new:
        yield LayerDiff(LayerMatch.NEW, None, name, blobs=_blobs(weights, None, name, options))
