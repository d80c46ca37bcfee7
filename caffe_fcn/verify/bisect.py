"""Finds the first blobs, in the order of the net, at which a net differs from its original by more than rounding.

Both nets run on the same inputs, part by part, and all blobs that have a counterpart are compared. Rounding adds up
along a net, so each blob has a limit of its own: it is measured as for the answers, by running the original once more
with its blobs rounded to fewer bits. A layer whose inputs agree and whose output does not is where the nets part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import NamedTuple

from caffe_fcn.engines.protocol import Array, Engine
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.verify.bisection import Bisection, BlobGap, FirstDifference
from caffe_fcn.verify.blobs import rearranges
from caffe_fcn.verify.cause import LayerCause
from caffe_fcn.verify.limits import BLUNT, FACTORS
from caffe_fcn.verify.outputs import Party
from caffe_fcn.verify.records import Difference, OutputPair
from caffe_fcn.verify.side_by_side import Measured, SideBySide

_ALGORITHMS = 8.0
"""So many times what rounding explains is allowed between two engines: they sum in other ways, such as Winograd's,
whose intermediate values are larger. OpenCV and onnxruntime were up to 1.8 times apart."""

_SAME = Difference(0.0, 0.0, 0.0, 0, 0)


class BisectSettings(NamedTuple):
    """The user's choices: the largest number of random inputs SAMPLES and their SEED, PICTURES to compare on as well,
    and a TOLERANCE that replaces the measured effect of rounding. ENGINES run the original and the new net. FINER: maps
    of the new net may have more cells."""

    engines: tuple[Engine, Engine]
    samples: int
    seed: int
    pictures: Sequence[Array]
    tolerance: float | None
    finer: bool


def bisect(original: Party, twin: Party, cause: LayerCause, settings: BisectSettings) -> Bisection:
    """Compare all blobs of ORIGINAL and TWIN. CAUSE tells how two layers differ. Raises what the engines raise."""
    engines, samples, seed, pictures, tolerance, finer = settings
    nets = SideBySide(
        original, twin, engines, samples=samples, seed=seed, pictures=pictures, finer=finer, layers=cause.names
    )
    known = _Known(nets, tolerance, 1.0 if engines[0].name == engines[1].name else _ALGORITHMS)
    parted = _parted(nets, known.gaps)
    while known.widened(blob for _, blob in parted.first):
        parted = _parted(nets, known.gaps)
    pairing, fed = nets.pairs.pairing, {*original.scope.inputs, *twin.scope.inputs}
    compared = [blob for blob in known.gaps if blob not in parted.behind]
    coarse = [blob for blob in compared if known.gaps[blob].coarse]
    lone = [node for node in twin.scope.graph.nodes if not any(nets.pairs.counterparts[top] for top in node.tops)]
    return Bisection(
        dict(nets.inputs),
        nets.sample.drawn,
        nets.sample.given,
        seed,
        engines[0].name,
        tuple(_told(nets, known, cause, node, blob) for node, blob in parted.first),
        agreed=sum(known.gaps[blob].gap.small and not known.gaps[blob].coarse for blob in compared),
        behind=len(parted.behind),
        gone=_names(node for node in pairing.gone.values() if fed.isdisjoint(node.tops)),
        new=_names(node for node in lone if fed.isdisjoint(node.tops)),
        coarse=tuple(known.gaps[blob].gap.blob for blob in coarse),
        unmatched=tuple(_unmatched(nets)),
    )


class _Nearest(NamedTuple):
    """A blob of the new net and the counterpart BY to which it is nearest. COARSE: rounding alone changes it too much
    for a comparison."""

    by: Blob
    gap: BlobGap
    coarse: bool


class _Known:
    """How far each blob of the new net is from its nearest counterpart, and what rounding explains, which is measured
    once more, with other errors, where a difference is small."""

    def __init__(self, nets: SideBySide, tolerance: float | None, factor: float) -> None:
        self._nets, self._tolerance, self._factor = nets, tolerance, factor
        self._measured = nets.compare()
        every = dict.fromkeys(each.by for several in self._measured.values() for each in several)
        self._limits = nets.rounded(FACTORS[0], every) if tolerance is None else dict.fromkeys(every, tolerance)
        self._widened: set[Blob] = set()
        self.gaps = self._nearest()

    def widened(self, first: Iterable[Blob]) -> bool:
        """Measure again what rounding explains if that may explain the difference of one of FIRST; return whether it
        was done."""
        if self._tolerance is not None or not any(self._is_doubtful(blob) for blob in first):
            return False
        for factor in FACTORS[1:]:
            doubtful = [blob for blob in self.gaps if self._is_doubtful(blob)]
            if not doubtful:
                break
            found = self._nets.rounded(factor, dict.fromkeys(self.gaps[blob].by for blob in doubtful))
            self._limits |= {by: max(self._limits[by], limit) for by, limit in found.items()}
            self.gaps = self._nearest()
        self._widened.update(blob for blob in self.gaps if self._is_doubtful(blob))
        return True

    def between(self, blob: Blob, by: Blob) -> BlobGap | None:
        """How far BLOB of the new net is from its counterpart BY, None if BY is not one that was measured."""
        return next((self._judged(each).gap for each in self._measured.get(blob, ()) if each.by == by), None)

    def _is_doubtful(self, blob: Blob) -> bool:
        gap = self.gaps[blob].gap
        small = gap.difference is not None and gap.difference.relative <= BLUNT
        return small and not gap.small and blob not in self._widened

    def _nearest(self) -> dict[Blob, _Nearest]:
        return {blob: min(map(self._judged, several), key=_distance) for blob, several in self._measured.items()}

    def _judged(self, each: Measured) -> _Nearest:
        limit, difference = self._limits[each.by], each.gap.difference
        limit *= self._factor if self._tolerance is None else 1.0
        coarse = self._tolerance is None and limit > BLUNT
        if difference is None:
            return _Nearest(each.by, each.gap, False)
        gap = each.gap._replace(difference=difference._replace(allowed=limit))
        return _Nearest(each.by, gap, coarse and gap.small)


def _distance(each: _Nearest) -> float:
    """How far a blob is from a counterpart; infinitely far if they cannot be compared."""
    return inf if each.gap.difference is None else each.gap.difference.relative


class _Parted(NamedTuple):
    """The FIRST layers of the new net that make another blob, with the blob; and the blobs BEHIND them."""

    first: list[tuple[Node, Blob]]
    behind: frozenset[Blob]


def _parted(nets: SideBySide, gaps: Mapping[Blob, _Nearest]) -> _Parted:
    """Where the nets part, by the GAPS between their blobs."""
    first: list[tuple[Node, Blob]] = []
    differing: set[Blob] = set()
    behind: set[Blob] = set()
    for node in nets.twin.scope.graph.nodes:
        if not differing.isdisjoint(node.bottoms):
            differing.update(node.tops)
            behind.update(node.tops)
            continue
        other = [top for top in node.tops if top in gaps and not gaps[top].gap.small]
        first += [(node, other[0])] if other else []
        differing.update(other)
    return _Parted(first, frozenset(behind & gaps.keys()))


def _told(nets: SideBySide, known: _Known, cause: LayerCause, other: Node, blob: Blob) -> FirstDifference:
    """What is known of OTHER, the layer that makes BLOB and differs."""
    pairs, gaps = nets.pairs, known.gaps
    node = pairs.pairing.old.producer[pairs.counterparts[blob][0]]
    inputs: dict[Blob, BlobGap] = {}
    gone: list[Node] = []
    new: dict[int, Node] = {}
    rewired = len(node.bottoms) != len(other.bottoms)
    for place, bottom in enumerate(other.bottoms):
        origins, between = pairs.origins(bottom)
        new |= {each.index: each for each in between}
        for each in origins:
            inputs[each] = gaps[each].gap if each in gaps else _input(nets, each)
        by = gaps[origins[0]].by if origins[0] in gaps else next(iter(pairs.counterparts[origins[0]]), None)
        read = node.bottoms[place] if place < len(node.bottoms) else None
        lost = pairs.lost(by, read) if len(origins) == 1 and by is not None and read is not None else None
        gone += lost or []
        rewired |= lost is None
        if (
            lost
            and read is not None
            and not between
            and (gap := known.between(origins[0], pairs.ahead(read))) is not None
        ):
            inputs[origins[0]] = gap  # with the blob that the original reads, not with that before the lost layers
    found = [cause.of(each) for each in (*new.values(), other)]
    explained = all(cause.in_place(each) for each in (*new.values(), other))
    return FirstDifference(
        node.name,
        node.type,
        other.name,
        other.type,
        tuple(inputs.values()),
        gaps[blob].gap,
        tuple(field for fields, _ in found for field in fields),
        tuple(blob for _, blobs in found for blob in blobs),
        rewired and not explained,
        () if explained else _names(gone),
        () if explained else _names(new.values()),
    )


def _input(nets: SideBySide, blob: Blob) -> BlobGap:
    """BLOB, an input of the new net, which is fed what the original is."""
    shape = nets.twin.scope.shapes.blobs[blob]
    known = shape if isinstance(shape, tuple) else ()
    name = next((name for name, other in nets.names.items() if other == blob.name), blob.name)
    return BlobGap(OutputPair(name, blob.name), known, known, _SAME)


def _unmatched(nets: SideBySide) -> Iterator[str]:
    """The outputs of either net that have no counterpart."""
    compared = {each.by for several in nets.compared.values() for each in several} | set(nets.original.scope.inputs)
    ours = (blob.name for blob in nets.original.scope.outputs if compared.isdisjoint(nets.pairs.same_values(blob)))
    origins = {blob: nets.pairs.origins(blob) for blob in nets.twin.scope.outputs}
    known = nets.compared.keys() | set(nets.twin.scope.inputs)
    theirs = (blob.name for blob, (found, new) in origins.items() if new or not known >= set(found))
    yield from dict.fromkeys((*ours, *theirs))


def _names(nodes: Iterable[Node]) -> tuple[str, ...]:
    """The names of NODES that do more than to rearrange values."""
    return tuple(dict.fromkeys(node.name for node in nodes if not rearranges(node)))
