"""Checks the arguments of the library's functions, brings numbers of numpy to Python's, and documents the keywords.

The signature of a function gives its arguments: editors show it, and it is checked here. The meaning of the keywords is
defined with the options (`caffe_fcn/options.py`) and is added below the docstring.
"""

from __future__ import annotations

import inspect
import os
import re
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
    ValueError for a word that it does not know. It gets Python's numbers where it is called with numpy's.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)

        @wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            bound = _checked(function, signature, given, named)
            return function(*bound.args, **bound.kwargs)

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


def _checked(
    function: Callable[..., Any], signature: inspect.Signature, given: Sequence[Any], named: Mapping[str, Any]
) -> inspect.BoundArguments:
    """The arguments GIVEN and NAMED of FUNCTION, by name. Raises TypeError or ValueError if they do not fit it."""
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
            place, wrong, hint = _misfit(each, value, hints[each])
            expected = function.__annotations__[each] if wrong is value else _spelt(hint)
            raise TypeError(f"{name}: {place}: expected {_expected(str(expected))}, found {_told(wrong)}")
        words = _words(hints[each])
        if isinstance(value, str) and words and value not in words:
            raise ValueError(f"{each}: expected {' or '.join(map(repr, words))}, found {value!r}")
        bound.arguments[each] = _plain(value, hints[each])
    return bound


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
        return isinstance(value, _NUMBERS[hint]) and not isinstance(value, bool)
    if hint is bool:
        return isinstance(value, bool) or _is_numpy_bool(value)
    if kind is Literal:
        return isinstance(value, type(inner[0]))
    if _is_of(kind, Mapping):
        return isinstance(value, Mapping) and all(_fits(each, inner[1]) for each in value.values())
    if _is_of(kind, Collection):
        return (
            isinstance(value, Collection)
            and not isinstance(value, Mapping | bytes)
            and all(_fits(each, inner[0]) for each in value)
        )
    if kind in _UNIONS:
        return any(_fits(value, each) for each in inner)
    wanted = kind or hint
    return not isinstance(wanted, type) or isinstance(value, wanted)


def _is_numpy_bool(value: object) -> bool:
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    return getattr(dtype, "kind", "") == "b" and shape == ()


def _plain(value: Any, hint: Any) -> Any:
    """VALUE, which fits HINT, with numbers of Python in it, and collections of them, in place of numpy's."""
    kind, inner = get_origin(hint), get_args(hint)
    if hint in _NUMBERS:
        return value if isinstance(value, int | float) else int(value) if isinstance(value, Integral) else float(value)
    if hint is bool:
        return bool(value)
    if kind in _UNIONS:
        return _plain(value, next(each for each in inner if _fits(value, each)))
    if _is_of(kind, Mapping):
        return {name: _plain(each, inner[1]) for name, each in value.items()}
    if _is_of(kind, Collection) and not isinstance(value, str) and inner[0] is not Any:
        made = [_plain(each, inner[0]) for each in value]
        return type(value)(made) if type(value) in (list, set, frozenset) else tuple(made)
    return value


def _misfit(place: str, value: Any, hint: Any) -> tuple[str, Any, Any]:
    """What of VALUE, at PLACE, does not fit HINT: an element of it where VALUE is a collection as HINT wants one."""
    choices = get_args(hint) if get_origin(hint) in _UNIONS else (hint,)
    for each in choices:
        kind, inner = get_origin(each), get_args(each)
        if _is_of(kind, Mapping) and isinstance(value, Mapping):
            name, wrong = next((name, wrong) for name, wrong in value.items() if not _fits(wrong, inner[1]))
            return _misfit(f"{place}[{name!r}]", wrong, inner[1])
        if _is_of(kind, Collection) and isinstance(value, Sequence) and not isinstance(value, str | bytes):
            at, wrong = next((at, wrong) for at, wrong in enumerate(value) if not _fits(wrong, inner[0]))
            return _misfit(f"{place}[{at}]", wrong, inner[0])
    return place, value, hint


def _is_of(kind: Any, base: type) -> bool:
    """Whether KIND, the origin of a hint, is a BASE. A Mapping is no Collection here."""
    wanted = isinstance(kind, type) and issubclass(kind, base)
    return wanted and (base is Mapping or not issubclass(kind, Mapping))


def _spelt(hint: Any) -> str:
    """HINT as annotations spell it."""
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else re.sub(r"[\w.]+\.(?=\w)", "", str(hint))


def _told(value: object) -> str:
    """Return VALUE in a few words."""
    shown = isinstance(value, str | os.PathLike | int | float)
    return repr(value) if shown else f"a {type(value).__name__}"
