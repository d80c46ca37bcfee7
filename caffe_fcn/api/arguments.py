"""Checks the arguments of the library's functions, and documents their keywords.

The signature of a function gives its arguments: editors show it, and it is checked here. The meaning of the keywords is
defined with the options (`caffe_fcn/options.py`) and is added below the docstring.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, wraps
from numbers import Integral, Real
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from caffe_fcn.options import meanings
from caffe_fcn.wording import nearest

Function = TypeVar("Function", bound=Callable[..., Any])

_UNIONS = (Union, UnionType)

_NUMBERS: Mapping[Any, type] = {int: Integral, float: Real}
"""Types that are accepted like one of Python's, such as a number of numpy's."""

_LATE = {"NDArray": Sequence, "Array": Any, "Image": Any, "Any": Any}
"""Types in annotations that are not imported for a check."""


def checked(*options: type) -> Callable[[Function], Function]:
    """Return a decorator that checks the types of a function's arguments, and adds to its docstring the meaning of
    keywords that are fields of OPTIONS.

    The function raises TypeError for an argument that it does not have or that has another type than its annotation,
    ValueError for a word that it does not know.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)

        @wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            _check(function, signature, given, named)
            return function(*given, **named)

        call.__doc__ = "\n".join([inspect.cleandoc(function.__doc__ or ""), *_keywords(signature, options)])
        return call  # type: ignore[return-value]

    return decorate


def _keywords(signature: inspect.Signature, options: Collection[type]) -> list[str]:
    """Return the meanings of the keywords in SIGNATURE that are fields of OPTIONS, as a list in Markdown."""
    known = {name: meaning for each in options for name, meaning in meanings(each).items()}
    lines = []
    for name in signature.parameters:
        if name in known:
            text, by_default = known[name]
            lines.append(f"- `{name}`: {text}" + (f" Default: {by_default}." if by_default else ""))
    return ["", *lines] if lines else []


def _check(
    function: Callable[..., Any], signature: inspect.Signature, given: Sequence[Any], named: Mapping[str, Any]
) -> None:
    """Raise TypeError or ValueError if the arguments GIVEN and NAMED do not fit FUNCTION."""
    name = function.__name__
    keywords = [each for each in signature.parameters if each != "self"]
    for each in named:
        if each not in keywords:
            near = nearest(each, keywords)
            hint = f"did you mean {near}?" if near else f"it takes {', '.join(keywords) or 'none'}"
            raise TypeError(f"{name}: unknown keyword {each}; {hint}")
    try:
        bound = signature.bind(*given, **named)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    hints = _hints(function)
    for each, value in bound.arguments.items():
        if each not in hints:
            continue
        if not _fits(value, hints[each]):
            expected = _expected(str(function.__annotations__[each]))
            raise TypeError(f"{name}: {each}: expected {expected}, found {_told(value)}")
        words = _words(hints[each])
        if isinstance(value, str) and words and value not in words:
            raise ValueError(f"{each}: expected {' or '.join(map(repr, words))}, found {value!r}")


@cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    from caffe_fcn.api.net import Net  # here, because its methods are such functions

    return get_type_hints(function, localns={**_LATE, "Net": Net})


def _expected(annotation: str) -> str:
    """Return ANNOTATION as it is shown in messages."""
    return annotation.replace("str | os.PathLike[str]", "a path").removesuffix(" | None")


def _words(hint: Any) -> tuple[str, ...]:
    """Return the words that the type HINT allows, if it allows no other text."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    others = [each for each in get_args(hint) if each is not type(None)] if get_origin(hint) in _UNIONS else []
    return _words(others[0]) if len(others) == 1 else ()


def _fits(value: object, hint: Any) -> bool:
    """Return whether VALUE is of the type HINT. The words of a Literal are checked elsewhere."""
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


def _told(value: object) -> str:
    """Return VALUE in a few words."""
    shown = isinstance(value, str | os.PathLike | int | float)
    return repr(value) if shown else f"a {type(value).__name__}"
