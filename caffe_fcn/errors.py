"""The errors of this package. The command line turns them into exit codes in one place.

An error carries its information as data: the file, the place in it, the layer, what was expected, what was found, and
what to do next. Only this module makes messages of them.
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


class CaffeFcnError(Exception):
    """The base of all errors of this package. `str(error)` is one line for people. Programs read the attributes; an
    attribute is None if it is not known or does not apply."""

    source: str | None
    """The file, as the caller named it."""
    role: str | None
    """What the source is, if it is not a model: "mean"."""
    place: Place | None
    """The place in the source."""
    layer: str | None
    """The name of the layer."""
    layer_type: str | None
    """The type of the layer."""
    index: int | None
    """The index of the layer in the net, from 0."""
    told: str | None
    """What is wrong, without source and place; None if `expected` and `found` say it."""
    expected: str | None
    """What was expected."""
    found: str | None
    """What was found."""
    hint: Hint | None
    """What to do next. It contains options as data; they are spelt for the command line or for the library."""
    excerpt: str | None
    """The lines of the text around the place; the message ends with them."""

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
        """Set the attributes that are None. If LAYER is set here, the message begins with it."""
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
        """The message without the source if that is SOURCE, else `line`."""
        return self.message if self.source == source else self.line

    @property
    def message(self) -> str:
        """The message on one line, without the source and the place in a text. Whatever names of a model it quotes,
        its length is bounded, and it has no control characters."""
        from caffe_fcn.display import visible  # here, because most runs have no errors

        told = f"expected {self.expected}, found {self.found}" if self.told is None else self.told
        told = ": ".join([*self._where(), told])
        return visible(told if self.hint is None else f"{told}; {self.hint}")

    def _where(self) -> list[str]:
        """The layer and the place, in words."""
        from caffe_fcn.display import printable  # here, because most runs have no errors

        place = "" if self.place is None or isinstance(self.place, TextPlace) else str(self.place)
        layer = ""
        if self.layer is not None and self._names_layer:
            kind = "" if self.layer_type is None else f" ({printable(self.layer_type)})"
            layer = f'layer "{printable(self.layer)}"{kind}'
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


class PrototxtError(CaffeFcnError):
    """A prototxt cannot be read. If the place is known, the message begins with file:line:column and shows the line."""


class CaffemodelError(CaffeFcnError):
    """A caffemodel is truncated, corrupt, or not a caffemodel."""


class NetError(CaffeFcnError):
    """Caffe could not build the net: a missing bottom, a cycle, a parameter out of range."""


class ShapeError(CaffeFcnError):
    """A required shape cannot be inferred, or is impossible."""


class SurgeryError(CaffeFcnError):
    """The net cannot be rewritten as requested. The message names the layer and an alternative."""


class WeightsError(CaffeFcnError):
    """The weights do not fit the net."""


class ExtraError(CaffeFcnError):
    """A required package is not installed. The hint says what to install."""


def missing(error: Exception, module: str, told: str) -> ExtraError:
    """What to raise for ERROR, which the import of MODULE raised: TOLD where it is not installed, else its reason too,
    such as another NumPy or a shared library that is not there."""
    if isinstance(error, ModuleNotFoundError) and (error.name or module).partition(".")[0] == module:
        return ExtraError(told)
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return ExtraError(f"the module {module} is installed, but cannot be imported ({reason}); {told}")


class OutputError(CaffeFcnError):
    """A file cannot be written: it exists already, its directory does not exist, or the disk is full."""


class LoweringError(CaffeFcnError):
    """The net cannot be written in another format. The message names every layer that prevents it."""

    lacking: frozenset[str] = frozenset()
    """The layer types that the other format does not have, if there is no other reason."""


class EngineError(CaffeFcnError):
    """An engine cannot load the net, or the net does not accept the input."""


class PictureError(CaffeFcnError):
    """A picture, a mean or a list of labels cannot be read, or does not fit the net."""


class VerificationError(CaffeFcnError):
    """A net is not equivalent to the original. The message says which proof fails, and why."""
