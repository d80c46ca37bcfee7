"""What `caffe-fcn draw` tells of the drawing that it wrote."""

from __future__ import annotations

from collections.abc import Iterator

from caffe_fcn.diagram.saving import SavedDrawing
from caffe_fcn.display import visible
from caffe_fcn.inspection.words import count_of, human_bytes


def lines(found: SavedDrawing) -> Iterator[str]:
    """Return the report for people, safe to print with any names of layers."""
    yield from map(visible, _lines(found))


def _lines(found: SavedDrawing) -> Iterator[str]:
    layers = sum(len(box.layers) for box in found.diagram.boxes)
    boxes = "1 box" if len(found.diagram.boxes) == 1 else f"{len(found.diagram.boxes):,} boxes"
    yield f"{found.net}: {count_of(layers, 'layer')} of phase {found.phase} in {boxes}"
    yield from (f"note: {note}" for note in found.notes)
    if found.output != "-":
        yield f"wrote {found.output} ({human_bytes(found.size)})"
