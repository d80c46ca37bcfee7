"""The errors of this package: one small family, turned into exit codes in one place (the CLI).

Every message names the file and the place, what was expected, what was found and the next step.
"""

from __future__ import annotations


class CaffeFcnError(Exception):
    """Anything that keeps a model from being processed. The message is one line meant for people."""


class PrototxtError(CaffeFcnError):
    """A prototxt cannot be read; the message begins with file:line:column and shows the line."""

    place: tuple[int, int] | None = None
    """Line and column, from 1; None for what concerns the whole file."""
    reason: str = ""
    """The message without the file, the place and the line, where there is a place."""


class CaffemodelError(CaffeFcnError):
    """A caffemodel is truncated, corrupt, or not a caffemodel."""


class NetError(CaffeFcnError):
    """The net is not one that Caffe could build: a missing bottom, a cycle, a parameter out of range."""

    index: int | None = None
    """The layer, by its `Node.index`, if it is one layer's fault."""


class ShapeError(CaffeFcnError):
    """A shape that is needed cannot be inferred, or is impossible."""

    index: int | None = None
    """The layer, by its `Node.index`, if it is at one layer."""


class SurgeryError(CaffeFcnError):
    """The net cannot be rewritten as asked; the message names the layer and a way round."""


class WeightsError(CaffeFcnError):
    """The weights do not belong to the net."""


class ExtraError(CaffeFcnError):
    """Something needs a package that is not installed; the message says what to install."""


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
    """A net is not the twin it should be; the message says which proof fails, and why."""
