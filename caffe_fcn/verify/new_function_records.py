"""The proofs of a net with a new function as data: what became of its layers, and whether Caffe takes and runs it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from caffe_fcn.net.shapes import Shape
from caffe_fcn.verify.records import Difference, FieldDifference, Status


class Fate(Enum):
    """What became of a layer in a net that was made of its net."""

    UNTOUCHED = "untouched"
    """The same type, fields and parameter blobs, bit by bit."""
    CONVERTED = "converted"
    """A Convolution, or a pooling with a window, with the same parameters."""
    CHANGED = "changed"
    """Other fields or bottoms, or parameter blobs with other shapes or values."""
    REPLACED = "replaced"
    """A layer of another type, or with another name, reads the same blob."""
    NEW = "new"
    GONE = "gone"


class BlobDifference(NamedTuple):
    """A parameter blob, by its position, with another shape, or with so many other values. A shape is None if the layer
    has no such blob."""

    position: int
    expected: Shape | None
    found: Shape | None
    differing: int


class LayerFate(NamedTuple):
    """What became of `layer`, of `type`, in the new net: the layer `twin`, of `twin_type`. None if there is none.

    `identical`: it makes the same blobs for any input. `rewired`: it reads other blobs. `fields` and `blobs` differ;
    `known`: the new values are those that the pass computes from the original.
    """

    fate: Fate
    layer: str | None
    twin: str | None
    type: str | None
    twin_type: str | None
    identical: bool = False
    rewired: bool = False
    known: bool = False
    fields: tuple[FieldDifference, ...] = ()
    blobs: tuple[BlobDifference, ...] = ()

    @property
    def other_values(self) -> int:
        """How many values differ in parameter blobs with the same shapes."""
        return sum(each.differing for each in self.blobs)


class LayersProof(NamedTuple):
    """What became of all layers: those of the new net in order, then the layers that are gone.

    `unclaimed`: the layers that differ although the pass does not say so. If no pass is known, these are layers with
    other values in parameter blobs of the same shape.
    """

    layers: tuple[LayerFate, ...]
    unclaimed: tuple[LayerFate, ...] = ()
    not_shown: str = ""

    @property
    def status(self) -> Status:
        """Whether all layers that should be untouched are untouched."""
        if self.unclaimed:
            return Status.FAILS
        return Status.NOT_SHOWN if self.not_shown else Status.HOLDS


class Refusal(NamedTuple):
    """What BVLC Caffe refuses in the new net, as `check --strict` finds it. `layer` is None for the net itself.
    `inherited`: the original is refused for it as well."""

    layer: str | None
    line: int
    column: int
    message: str
    inherited: bool


class AcceptanceProof(NamedTuple):
    """The new net by the rules of BVLC Caffe. Refusals that are inherited from the original do not count."""

    refusals: tuple[Refusal, ...]

    @property
    def status(self) -> Status:
        """Whether Caffe accepts the new net."""
        return Status.HOLDS if all(each.inherited for each in self.refusals) else Status.FAILS


class FitProof(NamedTuple):
    """The new weights and the new net: `layers` have parameter blobs, with the shapes that the net gives them.
    `missing`: layers without weights, which are not missing in the original."""

    layers: int
    failures: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """Whether all weights are there and fit."""
        return Status.FAILS if self.failures or self.missing else Status.HOLDS


class RunProof(NamedTuple):
    """The new net run on random `inputs`: the `outputs` have the inferred shapes, and all values are finite. A shape is
    None if it is unknown."""

    inputs: dict[str, Shape]
    outputs: dict[str, Shape | None]
    seed: int
    failure: str = ""
    not_shown: str = ""

    @property
    def status(self) -> Status:
        """Whether the net runs."""
        if self.failure:
            return Status.FAILS
        return Status.NOT_SHOWN if self.not_shown else Status.HOLDS


class MapProof(NamedTuple):
    """A `blob` of the new net, of a `shape`, on random inputs: it has the values of the map that the pass names, of the
    converted original with the padding of the new net."""

    blob: str
    shape: Shape = ()
    difference: Difference | None = None
    not_shown: str = ""

    @property
    def status(self) -> Status:
        """Whether the values are the same, within rounding."""
        if self.difference is None:
            return Status.NOT_SHOWN
        return Status.HOLDS if self.difference.relative <= self.difference.allowed else Status.FAILS


class NewFunctionProofs(NamedTuple):
    """The proofs for a new net that computes another function than the original. `map` is None where no map of the new
    net is said to be one of another net."""

    acceptance: AcceptanceProof
    weights: FitProof
    layers: LayersProof
    run: RunProof
    map: MapProof | None = None
