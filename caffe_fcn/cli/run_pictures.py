"""Carries out `run`: runs the net on each picture, writes the files for it, and reports.

A picture that fails does not stop the others; only Ctrl-C and a closed pipe do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import click

from caffe_fcn.cli.failures import DONE, FAILED, explain, in_one_line, is_about, tell
from caffe_fcn.cli.progress import looking
from caffe_fcn.cli.run_files import KINDS, Targets
from caffe_fcn.cli.run_options import TellManner
from caffe_fcn.display import visible, visible_json
from caffe_fcn.errors import CaffeFcnError
from caffe_fcn.files.atomic import OutputFile, OutputFiles
from caffe_fcn.files.stdout import to_stdout
from caffe_fcn.predict.ahead import Turn, ahead
from caffe_fcn.predict.images.picture import open_picture
from caffe_fcn.predict.output_picture import Restored, restored
from caffe_fcn.predict.results import draw_heat, draw_labels, draw_overlay, write_npy, write_npz
from caffe_fcn.predict.run import carry_out, plan
from caffe_fcn.predict.searching import draw_boxes, found_in, write_csv
from caffe_fcn.report import run_document
from caffe_fcn.report.run import lines, picture_lines

if TYPE_CHECKING:
    from caffe_fcn.predict.choosing import Heat
    from caffe_fcn.predict.outputs import NetOutput
    from caffe_fcn.predict.picture_net import PictureNet
    from caffe_fcn.predict.run import Answer, PicturePlan, RunSettings
    from caffe_fcn.predict.searching import AnswerSearch, Searched

_CHUNK = 1 << 16

_AHEAD = 32_000_000
"""Larger pictures, in pixels, are not read ahead: each takes a hundred megabytes."""


class Job(NamedTuple):
    """What all pictures have in common: the net, the file of its WEIGHTS, the name of the engine and the settings. HEAT
    is the class for the heat map, if one is drawn; LABELLED is the output of the label map, and PICTURED the one that
    is written as a picture; SEARCH is what is looked for in the answers; NOTES are about the net."""

    model: PictureNet
    weights: str
    engine: str
    settings: RunSettings
    heat: Heat | None
    labelled: NetOutput | None
    pictured: NetOutput | None
    search: AnswerSearch
    notes: tuple[str, ...]


def size_of(path: str, channels: int, max_pixels: int) -> tuple[int, int] | None:
    """Return height and width of the picture PATH; None if it cannot be read, which is reported later, in its turn."""
    try:
        return open_picture(path, channels, max_pixels).size
    except (CaffeFcnError, OSError):
        return None


def run_all(job: Job, paths: Sequence[str], targets: Sequence[Targets], manner: TellManner) -> int:
    """Run the net on the pictures PATHS, write the files TARGETS for each, and return the exit code. The error of a
    single picture is raised."""
    document = _Document(job)
    notes = _Notes(manner)
    untold = job.notes
    failed = 0
    asked = [_Asked(*each) for each in zip(paths, targets, strict=True)]
    with closing(
        ahead(asked, lambda each: _read(job, each.path), lambda turn: _look(job, turn, manner.force))
    ) as turns:
        for number, turn in enumerate(turns, 1):
            path, target = turn.item
            title = path if len(paths) == 1 else f"{number}/{len(paths)} {path}"
            try:
                with looking(title, turn.steps(), manner.quiet) as show:
                    looked = turn.result(show)
                _write(job, looked, target, manner)
                _note("", untold, manner)
                untold = ()
                notes.tell(path, looked.answer.plan.notes)
                _tell(job, looked, target, manner, document)
            except (click.ClickException, BrokenPipeError):
                raise
            except Exception as error:  # any error belongs to this picture and must not stop the others
                if len(paths) == 1:
                    raise
                failed += 1
                tell(explain(error) if is_about(error, (path,)) else f"{path}: {explain(error)}")
                if manner.as_json:
                    document.add([run_document.failure(path, in_one_line(error))])
    notes.end()
    if manner.as_json:
        document.end()
    if failed:
        click.echo(f"caffe-fcn: {failed} of {len(paths)} pictures failed", err=True)
    return FAILED if failed else DONE


class _Document:
    """The JSON document on stdout; nothing is printed before its first entry."""

    def __init__(self, job: Job) -> None:
        self._before = run_document.head(job.model, job.weights, job.engine, job.settings, job.notes) + "\n"

    def add(self, entry: Iterable[str]) -> None:
        """Print ENTRY piece by piece. Raises OutputError."""
        pieces, size = [self._before], 0
        for piece in entry:
            pieces.append(piece)
            size += len(piece)
            if size > _CHUNK:
                to_stdout(visible_json("".join(pieces)).encode())
                pieces, size = [], 0
        to_stdout(visible_json("".join(pieces)).encode())
        self._before = ",\n"

    def end(self) -> None:
        """Print the end of the document."""
        to_stdout(run_document.END.encode())


class _Asked(NamedTuple):
    """A picture, and the files to be made from it."""

    path: str
    targets: Targets


class _Looked(NamedTuple):
    """The result of the net for a picture, what was SEARCHED in it, and the picture MADE of an output, if any. FILES
    are the files to be made from it, OUTPUTS by their kinds; the file of the kind DONE is written already."""

    answer: Answer
    searched: Searched
    made: Restored | None
    files: OutputFiles
    outputs: Mapping[str, OutputFile]
    done: str | None


def _read(job: Job, path: str) -> PicturePlan | None:
    """Plan the runs for the picture PATH. Return None if it is large, or cannot be processed, which is reported in its
    turn."""
    try:
        return _plan(job, path, min(_AHEAD, job.settings.max_pixels))
    except (CaffeFcnError, OSError):
        return None


def _plan(job: Job, path: str, most: int) -> PicturePlan:
    return plan(job.model, open_picture(path, job.model.channels, most), job.settings)


def _look(job: Job, turn: Turn[_Asked, PicturePlan | None, _Looked], force: bool) -> _Looked:
    """Run the net on the picture of TURN. Raises CaffeFcnError; OSError if it cannot be read."""
    path, target = turn.item
    work = turn.read.result() or _plan(job, path, job.settings.max_pixels)
    turn.expect(work.runs)
    files = turn.stack.enter_context(OutputFiles())
    wanted = [(kind, name) for kind, name in zip(KINDS, target, strict=True) if name not in (None, "-")]
    outputs = {kind: files.add(str(name), overwrite=force) for kind, name in wanted}
    npy = outputs.get("output") if str(target.output).lower().endswith(".npy") else None
    file = (npy.temp, npy.path) if npy and npy.temp and job.model.maps else None
    answer = carry_out(job.model, work, job.settings, turn.stack, file=file, done=turn.step)
    searched = found_in(answer, job.search, job.settings)
    made = None if job.pictured is None else restored(answer, job.pictured, job.settings)
    return _Looked(answer, searched, made, files, outputs, "output" if file else None)


def _write(job: Job, looked: _Looked, target: Targets, manner: TellManner) -> None:
    """Write the files of a picture. Raises CaffeFcnError."""
    for kind, output in looked.outputs.items():
        if kind == "output" and kind != looked.done:
            (write_npz if output.path.lower().endswith(".npz") else write_npy)(looked.answer, output.write)
        elif kind == "picture" and looked.made is not None:
            output.write(looked.made.drawing().png())
        elif kind == "csv" and looked.searched.peaks is not None:
            write_csv(looked.answer, looked.searched.peaks, job.settings, output.write)
        elif kind != "output":
            _draw(job, looked, kind, output, manner)
    if target.output == "-":
        write_npy(looked.answer, to_stdout)
    looked.files.commit()


def _draw(job: Job, looked: _Looked, kind: str, output: OutputFile, manner: TellManner) -> None:
    """Draw the picture of KIND into OUTPUT."""
    answer = looked.answer
    if kind == "heatmap" and job.heat is not None:
        drawing = draw_heat(answer, job.heat, job.settings)
    elif kind == "label_map" and job.labelled is not None:
        drawing = draw_labels(answer, job.labelled, job.settings)
    elif kind == "overlay" and job.labelled is not None:
        drawing = draw_overlay(answer, job.labelled, job.settings)
    elif kind == "boxes" and looked.searched.peaks is not None:
        drawing = draw_boxes(answer, looked.searched.peaks, job.settings)
    else:
        return
    output.write(drawing.png())
    if drawing.step > 1:
        _note(f"{output.path}: ", [f"shows one of {drawing.step} pixels along each side"], manner)


def _tell(job: Job, looked: _Looked, target: Targets, manner: TellManner, document: _Document) -> None:
    """Print the answer to stdout, or to stderr if the map goes to stdout; names of files to stderr."""
    if manner.as_json:
        files = dict(zip(KINDS, target, strict=True))
        document.add(run_document.entry(looked.answer, job.settings, manner.top, files, looked.searched, looked.made))
    elif not manner.quiet:
        told = lines(looked.answer, job.settings, manner.top, looked.searched)
        for line in (*told, *picture_lines(looked.made)):
            click.echo(line, err=target.output == "-")
        if target.files:
            click.echo(visible(f"wrote {', '.join(target.files)}"), err=True)


class _Notes:
    """The notes on pictures. If several pictures have the same note, it is printed for the first, and later the number
    of the others."""

    def __init__(self, manner: TellManner) -> None:
        self._manner = manner
        self._others: dict[str, int] = {}

    def tell(self, path: str, notes: Sequence[str]) -> None:
        """Print NOTES on the picture PATH, and count those that were printed before."""
        _note(f"{path}: ", [note for note in notes if note not in self._others], self._manner)
        for note in notes:
            self._others[note] = self._others.get(note, -1) + 1

    def end(self) -> None:
        """Print for each note how many other pictures have it."""
        for note, others in self._others.items():
            if others:
                _note(f"{others} other picture{'s' if others > 1 else ''}: ", [note], self._manner)


def _note(place: str, notes: Sequence[str], manner: TellManner) -> None:
    """Print NOTES to stderr; the document has them too."""
    for note in notes if not manner.quiet and not manner.as_json else ():
        click.echo(visible(f"note: {place}{note}"), err=True)
