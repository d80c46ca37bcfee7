"""What `caffe-fcn draw` tells of the drawing that it wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from caffe_fcn.diagram.records import Comparison
from caffe_fcn.diagram.saving import SavedDrawing
from caffe_fcn.display import visible
from caffe_fcn.inspection.words import count_of, human_bytes


def lines(found: SavedDrawing) -> Iterator[str]:
    """Return the report for people, safe to print with any names of layers."""
    yield from map(visible, _lines(found))


def _lines(found: SavedDrawing) -> Iterator[str]:
    drawn = found.drawn
    nets = (drawn.old, drawn.new) if isinstance(drawn, Comparison) else (drawn,)
    boxes = [box for net in nets for box in net.boxes]
    layers = [layer for box in boxes for layer in box.layers]
    told = "1 box" if len(boxes) == 1 else f"{len(boxes):,} boxes"
    both = " of both nets" if len(nets) > 1 else ""
    yield f"{found.net}: {count_of(len(layers), 'layer')} of phase {found.phase}{both} in {told}"
    # A mark is on both layers of a pair, except on those that are new or gone.
    marks = Counter(layer.mark for box in nets[-1].boxes for layer in box.layers if layer.mark)
    marks.update(layer.mark for layer in layers if layer.mark == "gone")
    if marks:
        yield f"  marked: {', '.join(f'{count:,} {mark}' for mark, count in sorted(marks.items()))}"
    elif len(nets) > 1:
        yield "  no layer differs"
    yield from (f"note: {note}" for note in found.notes)
    if found.output != "-":
        yield f"wrote {found.output} ({human_bytes(found.size)})"
