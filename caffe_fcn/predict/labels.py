"""Reads class names from a file with one name in each line, such as synset.txt, and finds classes by name or
number.

A class is identified by its number. A name is looked up once, at the beginning.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from caffe_fcn.display import printable
from caffe_fcn.errors import PictureError, TextPlace
from caffe_fcn.files.reading import reading
from caffe_fcn.wording import Option, advise, nearest

_MOST_BYTES = 64 << 20
_TOLD = 5
"""The maximum number of classes with one name that a message lists."""

_SYNSET = re.compile(r"n[0-9]{8}\s+")
"""The identifier of WordNet before the name of a class."""

_BACKGROUND = frozenset(("background", "__background__", "_background_", "bg"))
"""Names of the class for places without an object."""


@dataclass(frozen=True)
class Labels:
    """The names of COUNT classes; without a file they have no names."""

    count: int
    names: tuple[str, ...] = ()
    source: str = ""

    def name(self, index: int) -> str | None:
        """Return the name of class INDEX."""
        return self.names[index] if self.names else None

    def title(self, index: int) -> str:
        """Return the name of class INDEX, or its number if it has no name."""
        return self.name(index) or f"class {index}"

    @property
    def background(self) -> int | None:
        """The class whose name marks it as the background; None if there is none."""
        return next((index for index, name in enumerate(self.names) if name.lower() in _BACKGROUND), None)

    def find(self, wanted: str) -> int:
        """Return the class WANTED, by number, name, or one of the names between commas. Raises PictureError."""
        if re.fullmatch(r"[0-9]{1,9}", wanted):
            if int(wanted) < self.count:
                return int(wanted)
            raise PictureError(
                f"expected 0 to {self.count - 1}, the net has {self.count} classes", place=f"class {wanted}"
            )
        key = wanted.strip().lower()
        names = [name.lower() for name in self.names] if key else []
        exact = [index for index, name in enumerate(names) if name == key]
        found = exact or [index for index, name in enumerate(names) if key in map(str.strip, name.split(","))]
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(map(str, found[:_TOLD])) + (", ..." if len(found) > _TOLD else "")
            raise PictureError(
                f"several classes have this name, {some}", place=f"class {wanted!r}", hint="give its number"
            )
        if not self.names:
            raise PictureError(
                "expected a number, because the names are unknown",
                place=f"class {wanted!r}",
                hint=advise("give them with ", Option("labels")),
            )
        near = nearest(wanted, self.names, cutoff=0.3)
        hint = f"; did you mean {printable(near)!r}?" if near else "; or give its number"
        raise PictureError(
            place=f"class {wanted!r}", expected=f"a name from {self.source}", found=f"no such name{hint}"
        )


def read_labels(path: str | os.PathLike[str], count: int | None) -> Labels:
    """Return the names in the file PATH of the COUNT classes of a net, None for any number; the numbers of WordNet
    before them are left out.

    Raises PictureError if the number of names is another or the file is not text; OSError if it cannot be read.
    """
    name = os.fspath(path)
    with reading(name) as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES or b"\0" in data:
        raise PictureError(source=name, expected="labels, one in each line", found="no text")
    try:
        lines = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PictureError(
            source=name,
            place=TextPlace(line),
            expected="labels in UTF-8",
            found="other bytes",
            hint="convert the file",
        ) from error
    while lines and not lines[-1].strip():
        lines.pop()
    if count is not None and len(lines) != count:
        raise PictureError(
            source=name,
            expected=f"{count} labels, one line for each class of the net",
            found=f"{len(lines)}",
            hint="give the net's own",
        )
    return Labels(len(lines), tuple(_SYNSET.sub("", line.strip(), count=1) for line in lines), name)
