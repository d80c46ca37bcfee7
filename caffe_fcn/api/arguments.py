"""What the library's functions are called with, checked before anything is done.

Nets and weights are objects there, which a path does not replace: weights have to be closed again. So a path in the
place of one is answered with the call that opens it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Integral, Real
from types import UnionType
from typing import Any, Literal, TypedDict, Union, get_args, get_origin, get_type_hints

from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.source import SourceNet
from caffe_fcn.wording import nearest

_MADE: Mapping[type, tuple[str, str]] = {
    SourceNet: ("a net", "caffe_fcn.read_net({})"),
    WeightFile: ("open weights", "caffe_fcn.open_weights({})"),
}
"""What objects are in words, and the call that makes one."""

_UNIONS = (Union, UnionType)

_UNIONS = (Union, UnionType)

_NUMBERS: Mapping[Any, type] = {int: Integral, float: Real}
"""What is as good as one of Python's, such as a number of numpy's."""


def check_models(function: str, *, optional: bool = False, **given: object) -> None:
    """Raise TypeError unless what is GIVEN to FUNCTION are nets and weights. Weights are the arguments of that name,
    and may be None if they are OPTIONAL."""
    for name, value in given.items():
        kind = WeightFile if name.endswith("weights") else SourceNet
        if isinstance(value, kind) or (value is None and optional and kind is WeightFile):
            continue
        what, call = _MADE[kind]
        path = repr(os.fspath(value)) if isinstance(value, str | os.PathLike) else "PATH"
        raise TypeError(f"{function}: {name}: expected {what}, made by {call.format(path)}, found {_told(value)}")


def check_path(function: str, name: str, value: object, *, optional: bool = False) -> None:
    """Raise TypeError unless VALUE, given to FUNCTION as its argument NAME, is a path; or None, if it is OPTIONAL."""
    if not isinstance(value, str | os.PathLike) and not (optional and value is None):
        raise TypeError(f"{function}: {name}: expected a path, found {_told(value)}")


class _Arguments(TypedDict, total=False):
    """Arguments that functions have by name, beside those in the TypedDicts of their options."""

    force: bool
    verify: bool
    fork: str | None
    engine: Literal["onnxruntime", "opencv", "openvino", "caffe"]
    threads: int | None
    blobs: str | Sequence[str]
    low_memory: bool


def check_arguments(function: str, **given: object) -> None:
    """Raise TypeError unless what is GIVEN to FUNCTION by name is of the types that these arguments have anywhere."""
    check_options(function, given, _Arguments)


def check_options(function: str, options: Mapping[str, Any], known: type, more: Iterable[str] = ()) -> None:
    """Raise TypeError for what is not one of the KNOWN keywords, a TypedDict, that FUNCTION takes beside MORE, or is of
    another type; ValueError for a word that it does not know."""
    hints = get_type_hints(known, localns={"NDArray": Sequence, "Any": Any})  # of an array, without numpy
    for name, value in options.items():
        if name not in hints:
            near = nearest(name, [*hints, *more])
            hint = f"did you mean {near}?" if near else f"it takes {', '.join([*hints, *more])}"
            raise TypeError(f"{function}: unknown keyword {name}; {hint}")
        if not _fits(value, hints[name]):
            raise TypeError(f"{function}: {name}: expected {_said(known, name)}, found {_told(value)}")
        words = _words(hints[name])
        if isinstance(value, str) and words and value not in words:
            raise ValueError(f"{name}: expected {' or '.join(map(repr, words))}, found {value!r}")


def _words(hint: Any) -> tuple[str, ...]:
    """The words that the type HINT allows, if it allows no other text."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    others = [each for each in get_args(hint) if each is not type(None)] if get_origin(hint) in _UNIONS else []
    return _words(others[0]) if len(others) == 1 else ()


def _fits(value: object, hint: Any) -> bool:
    """Whether VALUE is of the type HINT. Which words a Literal allows is for others to say."""
    kind, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if hint in _NUMBERS:
        return isinstance(value, _NUMBERS[hint])
    if kind is Literal:
        return isinstance(value, type(inner[0]))
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return isinstance(value, Mapping) and all(_fits(each, inner[1]) for each in value.values())
    if isinstance(kind, type) and issubclass(kind, Collection):
        return (
            isinstance(value, Collection)
            and not isinstance(value, Mapping | bytes)
            and all(_fits(each, inner[0]) for each in value)
        )
    if kind in _UNIONS:
        return any(_fits(value, each) for each in inner)
    wanted = kind or hint
    return not isinstance(wanted, type) or isinstance(value, wanted)


def _said(known: type, name: str) -> str:
    """The type of the keyword NAME of KNOWN, as it is written."""
    written = known.__annotations__[name]
    return str(getattr(written, "__forward_arg__", written))


def _told(value: object) -> str:
    """VALUE, in few words."""
    made = next((what for kind, (what, _) in _MADE.items() if isinstance(value, kind)), "")
    return made or (repr(value) if isinstance(value, str | os.PathLike | int | float) else f"a {type(value).__name__}")
