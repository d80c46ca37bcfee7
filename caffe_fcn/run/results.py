"""What a net made of a picture, as the files that are asked for: the maps in numpy's formats, and drawn.

The one idea: an array goes to its file a piece at a time, whether the file is a pipe, a member of an archive or a
.npy in which the map was made in the first place.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from caffe_fcn.errors import EngineError
from caffe_fcn.run.labels import Labels
from caffe_fcn.run.maps import npy_header

if TYPE_CHECKING:
    from caffe_fcn.run import view
    from caffe_fcn.run.render import Drawing
    from caffe_fcn.run.running import Answer, Level

Write = Callable[[bytes], None]

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of everything in an archive, so that its bytes are the same each time."""


class Heat(NamedTuple):
    """Whose scores a heat map shows: the highest of CLASSES, together called TITLE."""

    classes: tuple[int, ...]
    title: str


def heat_of(labels: Labels, wanted: str | None, source: str) -> Heat:
    """The class WANTED by name or number; where none is, all but the background. Raises EngineError where it is not
    plain what that is."""
    if wanted is not None:
        index = labels.find(wanted)
        return Heat((index,), labels.title(index))
    if labels.count == 1:
        return Heat((0,), labels.title(0))
    if labels.background is None:
        raise EngineError(
            f"{source}: has {labels.count} classes, and none that is known to be the background; choose the class of "
            "the heat map with --class"
        )
    others = tuple(index for index in range(labels.count) if index != labels.background)
    return Heat(others, f"all but {labels.title(labels.background)}")


class _Sink:
    """A file that is only written to."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def write(self, data: bytes) -> int:
        """Append DATA."""
        self._write(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


def write_npy(answer: Answer, write: Write) -> None:
    """WRITE the only map of ANSWER as a .npy."""
    for piece in answer.levels[0].scores.npy():
        write(piece)


def write_npz(answer: Answer, write: Write) -> None:
    """WRITE all maps of ANSWER as a .npz: `map`, and where its cells lie in the picture: `window`, `stride`, `offset`.
    With several scales, or another than 1, these names end in the scale: `map_0.5`."""
    with zipfile.ZipFile(_Sink(write), "w") as archive:  # type: ignore[call-overload]
        for level in answer.levels:
            plain = len(answer.levels) == 1 and level.scale == 1
            for name, pieces in _arrays(level):
                entry = zipfile.ZipInfo(f"{name if plain else f'{name}_{level.scale:g}'}.npy", _EPOCH)
                with archive.open(entry, "w", force_zip64=True) as file:
                    for piece in pieces:
                        file.write(piece)


def _arrays(level: Level) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The arrays of LEVEL by name, each as the pieces of a .npy."""
    yield "map", level.scores.npy()
    if level.cells is not None:
        axes = level.cells.rows, level.cells.columns
        for name in ("window", "stride", "offset"):
            yield name, _pair([float(getattr(axis, name)) for axis in axes])


def _pair(values: Sequence[float]) -> Iterator[bytes]:
    import struct

    yield npy_header((len(values),), "<f8")
    yield struct.pack(f"<{len(values)}d", *values)


def draw_heat(answer: Answer, heat: Heat) -> Drawing:
    """How high HEAT is where. Raises PictureError, ExtraError."""
    from caffe_fcn.run.render import heat_map

    return heat_map(answer.plan.picture, _drawn(answer), heat.classes, heat.title)


def draw_labels(answer: Answer, labels: Labels) -> Drawing:
    """The top class of each cell. Raises PictureError, ExtraError."""
    from caffe_fcn.run.render import label_map

    return label_map(answer.plan.picture, _drawn(answer), labels)


def _drawn(answer: Answer) -> list[view.Level]:
    from caffe_fcn.run import view

    found = [(level.scores, level.cells) for level in answer.levels]
    return [view.Level(scores, cells.rows, cells.columns) for scores, cells in found if cells is not None]
