"""The result of a bisection as data: the first blobs at which two nets differ by more than rounding."""

from __future__ import annotations

from typing import NamedTuple

from caffe_fcn.net.shapes import Shape
from caffe_fcn.verify.new_function_records import BlobDifference
from caffe_fcn.verify.records import Difference, FieldDifference, OutputPair, Status


class BlobGap(NamedTuple):
    """A blob of the original and its counterpart, of the shapes EXPECTED and FOUND. DIFFERENCE is None if the number of
    values differs, or if values of the new net are not FINITE."""

    blob: OutputPair
    expected: Shape
    found: Shape
    difference: Difference | None = None
    finite: bool = True

    @property
    def small(self) -> bool:
        """Whether the blobs differ by rounding only."""
        return self.difference is not None and self.difference.relative <= self.difference.allowed


class ParameterDifference(NamedTuple):
    """A parameter BLOB that differs in LAYER and its counterpart TWIN."""

    layer: str
    twin: str
    blob: BlobDifference


class FirstDifference(NamedTuple):
    """A layer whose OUTPUT does not agree, in the original and in the new net, where it is TWIN, although all blobs
    before it do. INPUTS: the blobs that it reads, or of which layers that only one net has make what it reads.

    FIELDS and parameter BLOBS differ, of this layer or of one between its inputs and it. REWIRED: it reads other blobs.
    GONE and NEW: layers between its inputs and it that only the original, or only the new net has.
    """

    layer: str
    type: str
    twin: str
    twin_type: str
    inputs: tuple[BlobGap, ...]
    output: BlobGap
    fields: tuple[FieldDifference, ...] = ()
    blobs: tuple[ParameterDifference, ...] = ()
    rewired: bool = False
    gone: tuple[str, ...] = ()
    new: tuple[str, ...] = ()


class Bisection(NamedTuple):
    """All blobs of both nets compared on the same INPUTS: SAMPLES random ones from SEED, and GIVEN ones.

    FIRST has the layers at which the nets differ first, several if they lie on parallel branches. AGREED blobs agree;
    BEHIND blobs lie behind a difference. Layers that are GONE from the original or NEW have no counterpart; the blobs
    COARSE are not compared, because rounding alone changes them too much. UNMATCHED outputs of either net have no
    counterpart. ORIGINAL_ENGINE ran the original. NOT_SHOWN: why nothing could be compared.
    """

    inputs: dict[str, Shape]
    samples: int
    given: int
    seed: int
    original_engine: str = ""
    first: tuple[FirstDifference, ...] = ()
    agreed: int = 0
    behind: int = 0
    gone: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    coarse: tuple[OutputPair, ...] = ()
    unmatched: tuple[str, ...] = ()
    not_shown: str = ""

    @property
    def status(self) -> Status:
        """Whether all blobs agree, the outputs among them."""
        if self.first:
            return Status.FAILS
        unknown = self.not_shown or self.coarse or self.unmatched or not self.agreed
        return Status.NOT_SHOWN if unknown else Status.HOLDS
