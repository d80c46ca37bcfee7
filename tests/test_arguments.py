"""What the functions of the library take: numbers of numpy as well as Python's, and no value in place of another."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import pytest

import caffe_fcn
from caffe_fcn.api import arguments
from caffe_fcn.api.answers import DenseMap
from caffe_fcn.api.net import Net
from caffe_fcn.api.prediction import Prediction
from tests.cli.conftest import DIGITS

FUNCTIONS = {
    f"{getattr(owner, '__name__', '')}.{name}": function
    for owner in (caffe_fcn, Net, DenseMap, Prediction)
    for name in dir(owner)
    if inspect.isfunction(function := inspect.getattr_static(owner, name, None) or getattr(owner, name, None))
    and hasattr(function, "__wrapped__")
}
"""All functions that check their arguments."""

PLAIN: tuple[Callable[[Any], Any], ...] = (int, float, bool)
OF_NUMPY: tuple[Callable[[Any], Any], ...] = (np.int64, np.float32, np.bool_)


def values(hint: Any, kinds: tuple[Callable[[Any], Any], ...]) -> Iterator[Any]:
    """A value for each form that HINT allows, with numbers of KINDS."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        for each in inner:
            yield from values(each, kinds)
    elif hint in (int, float, bool):
        yield kinds[(int, float, bool).index(hint)](1)
    elif kind is Literal:
        yield inner[0]
    elif isinstance(kind, type) and issubclass(kind, Mapping):
        yield from ({"a": each} for each in values(inner[1], kinds))
    elif isinstance(kind, type) and issubclass(kind, Collection) and inner[0] is not Any:
        yield from ([each, each] for each in values(inner[0], kinds))
    elif hint not in (type(None), Net):
        yield "x"


def taken(function: Any, name: str, value: Any) -> Any:
    """What FUNCTION gets for its argument NAME, called with VALUE and with as little else as it needs."""
    hints, signature = arguments._hints(function.__wrapped__), inspect.signature(function)
    needed = [each for each, said in signature.parameters.items() if said.default is said.empty]
    given = {each: next(values(hints[each], PLAIN), Net.__new__(Net)) for each in needed if each in hints}
    given |= {each: None for each in needed if each not in hints} | {name: value}
    found = arguments._checked(function.__wrapped__, signature, [given.pop("self")] if "self" in given else [], given)
    return found.arguments[name]


def test_every_function_is_looked_at() -> None:
    assert {"caffe_fcn.convert", "caffe_fcn.score", "Net.segment", "Net.reduce", "Net.run"} <= FUNCTIONS.keys()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_numbers_of_numpy_become_those_of_python(function: str) -> None:
    called = FUNCTIONS[function]
    for name, hint in arguments._hints(called.__wrapped__).items():
        for plain, other in zip(values(hint, PLAIN), values(hint, OF_NUMPY), strict=True):
            if name not in ("self", "return") and repr(plain) != repr(other):
                assert repr(taken(called, name, other)) == repr(plain), name


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_flag_is_no_number(function: str) -> None:
    called = FUNCTIONS[function]
    for name, hint in arguments._hints(called.__wrapped__).items():
        forms = [*values(hint, PLAIN)]
        if name != "return" and any(isinstance(each, int | float) for each in forms) and True not in map(id_of, forms):
            with pytest.raises(TypeError, match=f"{name}: expected .*, found True"):
                taken(called, name, True)


def id_of(value: Any) -> Any:
    """VALUE if it is a flag."""
    return value if isinstance(value, bool) else None


def test_the_functions_take_them() -> None:
    """Each as it was first seen to fail: what checks the values, too, has to know such numbers."""
    n = np.int64
    with caffe_fcn.open(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel") as opened:
        net: Any = opened
        for one, other in (
            (net.convolutionalize(input_channels=n(3)), net.convolutionalize(input_channels=3)),
            (net.convolutionalize(stride=n(4)), net.convolutionalize(stride=4)),
            (net.convolutionalize(input_size=(n(30), 30)), net.convolutionalize(input_size=30)),
            (net.convolutionalize(input_size=np.array([30, 32])), net.convolutionalize(input_size=[30, 32])),
            (net.segment(n(3), pad=n(8)), net.segment(3, pad=8)),
            (net.reduce({"ip1": n(48)}), net.reduce({"ip1": 48})),
        ):
            assert one.text == other.text
        picture = np.zeros((48, 60), np.uint8)
        runs = [net.convolutionalize().run(picture, resize=each, stride=each // 20) for each in (n(40), 40)]
        assert np.array_equal(runs[0].scores, runs[1].scores)


def test_a_wrong_element_is_named() -> None:
    with caffe_fcn.open(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel") as opened:
        net: Any = opened
        library: Any = caffe_fcn
        calls: dict[str, Callable[[], Any]] = {
            "reduce: layers['ip1']: expected int | str, found 48.0": lambda: net.reduce({"ip1": 48.0}),
            "reduce: dilation['ip1']: expected int, found '2'": lambda: net.reduce({"ip1": 48}, dilation={"ip1": "2"}),
            "run: scales[1]: expected float, found 'x'": lambda: net.run("x.png", scales=[1, "x"]),
            "convolutionalize: only[0]: expected str, found 3": lambda: net.convolutionalize(only=[3]),
            "open: shapes['data'][1]: expected int, found 2.5": lambda: library.open("x", shapes={"data": (1, 2.5)}),
        }
        for told, call in calls.items():
            with pytest.raises(TypeError) as caught:
                call()
            assert str(caught.value) == told
