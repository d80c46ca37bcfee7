"""The pictures of `run`, with folders and globs expanded, and the names of the files made from each picture."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click


class Targets(NamedTuple):
    """The files to be made from one picture, or the endings of their names for many pictures; None for none."""

    output: str | None = None
    heatmap: str | None = None
    label_map: str | None = None
    overlay: str | None = None
    picture: str | None = None
    boxes: str | None = None
    csv: str | None = None

    @property
    def files(self) -> list[str]:
        """The targets that are files."""
        return [path for path in self if path is not None and path != "-"]


KINDS = Targets._fields
"""The kinds of files, by the names of their options."""


def expanded(words: Sequence[str]) -> list[str]:
    """Return the pictures that WORDS name: files, folders of pictures, and globs that the shell did not expand. Raises
    PictureError if a folder or a glob has no pictures."""
    return [path for word in words for path in _pictures(word)]


def _pictures(word: str) -> Iterator[str]:
    from caffe_fcn.errors import PictureError
    from caffe_fcn.predict.images.picture import SUFFIXES

    if os.path.isdir(word):
        names = sorted(name for name in os.listdir(word) if os.path.splitext(name)[1].lower() in SUFFIXES)
        if not names:
            raise PictureError(
                source=word, expected="a folder with pictures", found=f"none ({', '.join(sorted(SUFFIXES))})"
            )
        yield from (os.path.join(word, name) for name in names)
    elif any(each in word for each in "*?[") and not os.path.lexists(word):
        import glob  # here, because pictures are rarely named by patterns

        found = sorted(path for path in glob.glob(word, recursive=True) if not os.path.isdir(path))
        if not found:
            raise PictureError(source=word, expected="pictures", found="no such file")
        yield from found
    else:
        yield word


def targets_of(paths: Sequence[str], wanted: Targets, out_dir: str | None) -> list[Targets]:
    """Return the files to be made from each of PATHS: the WANTED ones for a single picture; in OUT_DIR their names
    follow from the picture's name. Raises UsageError if two files would have one name."""
    if out_dir is None:
        if len(paths) > 1 and any(wanted):
            option = next(kind for kind, path in zip(KINDS, wanted, strict=True) if path is not None)
            raise click.UsageError(f"--{option.replace('_', '-')} of {len(paths)} pictures needs --out-dir DIR")
        return [wanted for _ in paths]
    made = [Targets(*(_named(path, ending, out_dir) for ending in wanted)) for path in paths]
    makers: dict[str, str] = {}
    for path, targets in zip(paths, made, strict=True):
        for file in targets.files:
            if file in makers:
                raise click.UsageError(
                    f"{makers[file]} and {path} would both be written to {file}; run them separately"
                )
            makers[file] = path
    return made


def _named(path: str, ending: str | None, out_dir: str) -> str | None:
    """Return the file in OUT_DIR for the picture PATH: cat.npy or cat_heat.png for the endings .npy and heat.png."""
    if ending is None:
        return None
    stem = os.path.splitext(os.path.basename(path))[0]
    return os.path.join(out_dir, f"{stem}{'' if ending[:1] in '._-' else '_'}{ending}")
