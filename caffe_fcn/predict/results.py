"""Writes the results for a picture to the requested files: maps in numpy formats, and drawings.

An array is written piece by piece, to a pipe, into a member of an archive, or as the .npy in which the map was made.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING

from caffe_fcn.errors import EngineError
from caffe_fcn.predict.maps import npy_header
from caffe_fcn.wording import Option, advise

if TYPE_CHECKING:
    from caffe_fcn.predict.choosing import Heat
    from caffe_fcn.predict.draw import view  # here, because few pictures are drawn on
    from caffe_fcn.predict.draw.render import Drawing
    from caffe_fcn.predict.outputs import NetOutput
    from caffe_fcn.predict.run import Answer, BlobResult, Level, RunSettings

Write = Callable[[bytes], None]

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of all members of an archive; it is fixed, so that the bytes are always the same."""


class _Sink:
    """A file that can only be written to."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def write(self, data: bytes) -> int:
        """Append DATA."""
        self._write(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: there is no buffer."""


def write_npy(answer: Answer, write: Write) -> None:
    """WRITE the only array of ANSWER as a .npy: a map K×rows×columns, other values in Caffe's shape."""
    (result,) = answer.results
    for piece in _pieces(result, result.levels[0] if result.levels else None):
        write(piece)


def write_npz(answer: Answer, write: Write) -> None:
    """WRITE all arrays of ANSWER as a .npz, by the names of their blobs; and for each map the geometry of its cells in
    the picture: `NAME.window`, `NAME.stride`, `NAME.offset`. A window of all pixels is infinite. With several scales,
    or a scale other than 1, names end in the scale: `NAME_0.5`. Raises EngineError if two arrays would have one
    name."""
    taken: set[str] = set()
    with zipfile.ZipFile(_Sink(write), "w") as archive:  # type: ignore[call-overload]
        for name, pieces in (each for result in answer.results for each in _arrays(result)):
            if name in taken:
                raise EngineError(
                    f"two arrays would have the name {name!r} in one file",
                    hint=advise("choose a blob with ", Option("blob")),
                )
            taken.add(name)
            with archive.open(zipfile.ZipInfo(f"{name}.npy", _EPOCH), "w", force_zip64=True) as file:
                for piece in pieces:
                    file.write(piece)


def _arrays(result: BlobResult) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Return the arrays of RESULT by name, each as the pieces of a .npy."""
    name = result.output.name
    if not result.levels:
        yield name, _pieces(result, None)
    plain = len(result.levels) == 1 and result.levels[0].scale == 1
    for level in result.levels:
        end = "" if plain else f"_{level.scale:g}"
        yield f"{name}{end}", _pieces(result, level)
        axes = level.cells.rows, level.cells.columns
        yield f"{name}{end}.window", _pair([inf if axis.window is None else axis.window for axis in axes])
        yield f"{name}{end}.stride", _pair([float(axis.stride) for axis in axes])
        yield f"{name}{end}.offset", _pair([float(axis.offset) for axis in axes])


def _pieces(result: BlobResult, level: Level | None) -> Iterator[bytes]:
    """Return the bytes of a .npy of the map at LEVEL, or of the values of RESULT."""
    if level is not None:
        yield from level.scores.npy()
    elif result.values is not None:
        yield npy_header(result.values.shape)
        yield result.values.astype("<f4", copy=False).tobytes()


def _pair(values: Sequence[float]) -> Iterator[bytes]:
    yield npy_header((len(values),), "<f8")
    yield struct.pack(f"<{len(values)}d", *values)


def draw_heat(answer: Answer, heat: Heat, settings: RunSettings) -> Drawing:
    """Draw the scores of HEAT over the picture. Raises PictureError, ExtraError."""
    from caffe_fcn.predict.draw.render import heat_map  # here, because few pictures are drawn on

    maps = _drawn(answer, heat.blob)
    how = settings.drawing
    return heat_map(
        answer.plan.picture,
        maps,
        heat.classes,
        heat.title,
        span=how.span,
        upsample=how.upsample,
        colour=how.colour,
    )


def draw_overlay(answer: Answer, output: NetOutput, settings: RunSettings) -> Drawing:
    """Draw the top class of each cell of the map OUTPUT over the picture. Raises PictureError, ExtraError."""
    from caffe_fcn.predict.draw.render import label_map  # here, because few pictures are drawn on

    return label_map(
        answer.plan.picture,
        _drawn(answer, output.name),
        settings.labels(output),
        upsample=settings.drawing.upsample,
        palette=settings.drawing.palette.colours if settings.drawing.palette else (),
        colour=settings.drawing.colour,
    )


def draw_labels(answer: Answer, output: NetOutput, settings: RunSettings) -> Drawing:
    """Draw the top class of each pixel as an indexed image, if there is a palette; else like `draw_overlay`. Raises
    PictureError, ExtraError."""
    from caffe_fcn.predict.draw.render import indexed_map  # here, because few pictures are drawn on

    how = settings.drawing
    if how.palette is None:
        return draw_overlay(answer, output, settings)
    size = answer.plan.picture.size
    return indexed_map(_drawn(answer, output.name), how.palette, size, upsample=how.upsample)


def _drawn(answer: Answer, blob: str) -> list[view.DrawnMap]:
    """Return the maps of BLOB on the picture to draw, the part that is the input of the net."""
    from caffe_fcn.predict.draw import view  # here, because few pictures are drawn on

    levels = next(result.levels for result in answer.results if result.output.name == blob)
    return [view.DrawnMap(level.scores, *level.cells.drawn) for level in levels]
