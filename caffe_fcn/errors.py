"""The errors of this package: one small family, turned into exit codes in one place (the CLI).

An error carries what it tells as data: the file, the place in it, the layer, what was expected, what was found, and
what to do next. Its message is made of them here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from caffe_fcn.wording import Hint, Option


class TextPlace(NamedTuple):
    """Line and column in a text, from 1; the column is None where it is not known."""

    line: int
    column: int | None = None


Place = TextPlace | int | str | Option
"""Where in a source: in a text; the byte of a binary file; what has a name, such as "blob 1" or "input 'data'"; an
option of the caller."""

_LONG = 100
"""The characters that are shown of a longer name."""


class CaffeFcnError(Exception):
    """Anything that keeps a model from being processed. `str(error)` is one line meant for people; programs read the
    attributes, which are None where they are not known or do not apply."""

    source: str | None
    """The file, as the caller named it."""
    role: str | None
    """What the source is for, where it is no model: "mean"."""
    place: Place | None
    """Where in the source."""
    layer: str | None
    """The name of the layer."""
    layer_type: str | None
    """Its type."""
    index: int | None
    """Its `Node.index`."""
    told: str | None
    """What is wrong in words, without source and place; None where `expected` and `found` tell all of it."""
    expected: str | None
    """What was expected."""
    found: str | None
    """What was found."""
    hint: Hint | None
    """What to do next; options are data in it, spelt for a command or for the library when it is shown."""
    excerpt: str | None
    """Lines that show the place in a text, for the end of the message."""

    def __init__(
        self,
        told: str | None = None,
        *,
        source: str | None = None,
        role: str | None = None,
        place: Place | None = None,
        layer: str | None = None,
        layer_type: str | None = None,
        index: int | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: Hint | str | None = None,
        excerpt: str | None = None,
    ) -> None:
        """What is TOLD names the LAYER itself; where it is left out, the message begins with the layer, and goes on
        with what was EXPECTED and what was FOUND."""
        super().__init__(*(() if told is None else (told,)))
        self.source, self.role, self.place = source, role, place
        self.layer, self.layer_type, self.index = layer, layer_type, index
        self.told, self.expected, self.found = told, expected, found
        self.hint = Hint((hint,)) if isinstance(hint, str) else hint
        self.excerpt = excerpt
        self._names_layer = told is None

    def locate(
        self,
        *,
        source: str | None = None,
        layer: str | None = None,
        layer_type: str | None = None,
        index: int | None = None,
        place: Place | None = None,
    ) -> None:
        """Add what the error does not know yet. A LAYER that is new to it stands before its message."""
        if self.source is None:
            self.source = source
        if self.index is None:
            self.index = index
        if self.place is None:
            self.place = place
        if self.layer is None and layer is not None:
            self.layer, self.layer_type, self._names_layer = layer, layer_type, True

    def __str__(self) -> str:
        return "\n".join(filter(None, (self.line, self.excerpt)))

    @property
    def line(self) -> str:
        """The message without the excerpt of the text."""
        place = ""
        if isinstance(self.place, TextPlace):
            place = "".join(f":{number}" for number in self.place if number is not None)
        source = "" if self.source is None else f"{self.role} {self.source}" if self.role else self.source
        return f"{source}{place}: {self.message}" if source or place else self.message

    def within(self, source: str) -> str:
        """The message for readers who know that it is on the file SOURCE; another file is named."""
        return self.message if self.source == source else self.line

    @property
    def message(self) -> str:
        """The message without the source, and without the place in a text."""
        told = f"expected {self.expected}, found {self.found}" if self.told is None else self.told
        told = ": ".join([*self._where(), told])
        return told if self.hint is None else f"{told}; {self.hint}"

    def _where(self) -> list[str]:
        """The layer and the place, in words."""
        place = "" if self.place is None or isinstance(self.place, TextPlace) else str(self.place)
        layer = ""
        if self.layer is not None and self._names_layer:
            kind = "" if self.layer_type is None else f" ({_shown(self.layer_type)})"
            layer = f'layer "{_shown(self.layer)}"{kind}'
        if isinstance(self.place, int):
            place = f"offset {place} ({layer})" if layer else f"offset {place}"
            layer = ""
        where = ", ".join(filter(None, (layer, place)))
        return [where] if where else []


@contextmanager
def located(
    *,
    source: str | None = None,
    layer: str | None = None,
    layer_type: str | None = None,
    index: int | None = None,
    place: Place | None = None,
) -> Iterator[None]:
    """Let errors that are raised within tell where they are, as far as they do not know it yet."""
    try:
        yield
    except CaffeFcnError as error:
        error.locate(source=source, layer=layer, layer_type=layer_type, index=index, place=place)
        raise


def _shown(name: str) -> str:
    """NAME as it is quoted: the beginning of a long one, and nothing that would steer a terminal."""
    short = name if len(name) <= _LONG else f"{name[: _LONG - 1]}…"
    return "".join(each if each.isprintable() else "?" for each in short)


class PrototxtError(CaffeFcnError):
    """A prototxt cannot be read; the message begins with file:line:column and shows the line, where it has a place."""


class CaffemodelError(CaffeFcnError):
    """A caffemodel is truncated, corrupt, or not a caffemodel."""


class NetError(CaffeFcnError):
    """The net is not one that Caffe could build: a missing bottom, a cycle, a parameter out of range."""


class ShapeError(CaffeFcnError):
    """A shape that is needed cannot be inferred, or is impossible."""


class SurgeryError(CaffeFcnError):
    """The net cannot be rewritten as asked; the message names the layer and a way round."""


class WeightsError(CaffeFcnError):
    """The weights do not belong to the net."""


class ExtraError(CaffeFcnError):
    """Something needs a package that is not installed; the hint says what to install."""


def missing(error: Exception, module: str, told: str) -> ExtraError:
    """What to raise for ERROR, which the import of MODULE raised: TOLD where it is not installed, else its reason too,
    such as another NumPy or a shared library that is not there."""
    if isinstance(error, ModuleNotFoundError) and (error.name or module).partition(".")[0] == module:
        return ExtraError(told)
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return ExtraError(f"the module {module} is installed, but cannot be imported ({reason}); {told}")


class OutputError(CaffeFcnError):
    """A file cannot be written: it exists, its directory does not, the disk is full."""


class LoweringError(CaffeFcnError):
    """The net cannot be written in another format; the message names every layer that stands in the way."""

    lacking: frozenset[str] = frozenset()
    """The layer types that the other format does not have, if that is all that stands in the way."""


class EngineError(CaffeFcnError):
    """An engine cannot load the net, or was given what the net does not take."""


class PictureError(CaffeFcnError):
    """A picture, a mean or a list of labels cannot be read, or does not suit the net."""


class VerificationError(CaffeFcnError):
    """A net does not match the net that it was compared with; the message says which proof fails, and why."""
