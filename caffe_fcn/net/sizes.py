"""Finds the image sizes that a net accepts, where it does not accept all of them.

Sizes are tried. A net that joins maps of several strides, such as a decoder, accepts sizes in steps. The steps follow
from the next sizes that fit, so no rule about layer types is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice, pairwise
from math import lcm
from typing import NamedTuple

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.shapes import Shape, Shapes, infer_shapes, refuse_empty, show

_STEP = 128
"""The steps that are tried divide this number, or are smaller. In pixels."""

_CHECKED = 4
"""The number of multiples that are tried for each step."""

Size = tuple[int, ...]


class Along(NamedTuple):
    """The sizes that fit along one axis, in pixels: the nearest ones BELOW and ABOVE the requested size, both equal to
    it if it fits. Further sizes fit in steps of STEP; 0 if the step is unknown."""

    below: int | None
    above: int
    step: int

    @property
    def rule(self) -> str:
        """The sizes that fit, in words; "" for all sizes, or if unknown."""
        if self.step == 1 and self.below is None:
            return f"of at least {self.above}"
        rest = self.above % self.step if self.step else 0
        if self.step < 2:
            return ""
        return f"of {self.step}·n + {rest}" if rest else f"that are multiples of {self.step}"


def along(takes: Callable[[int], bool], nominal: int, size: int) -> Along | None:
    """The sizes near SIZE that TAKES accepts, as it does NOMINAL; None if there are none near."""
    if not takes(nominal + _STEP):
        return None
    above = list(islice(filter(takes, range(size, size + 3 * _STEP)), 3))
    if not above:
        return None
    below = next(filter(takes, range(size, max(0, size - _STEP), -1)), None)
    gaps = {later - earlier for earlier, later in pairwise(above)}
    return Along(below, above[0], gaps.pop() if len(above) > 2 and len(gaps) == 1 else 0)


def advice(
    graph: Graph, shapes: Shapes, images: Mapping[str, Shape], size: Size, given: Mapping[str, Shape] | None = None
) -> str:
    """The end of a message that the net does not accept SIZE: the nearest sizes that it accepts; "" if there are none
    near.

    IMAGES: the shapes of the inputs that get the size, for which the blobs of GRAPH have their SHAPES. GIVEN: the
    shapes of other inputs. Sizes are in pixels, height × width."""

    takes = _taking(graph, shapes, images, given)
    known = _near(takes, images, size)
    if len(known) < len(size):
        return ""
    if all(each.below is None and each.step == 1 for each in known):
        return f"; the net takes at least {_show([each.above for each in known])}"
    pairs = [tuple(each.below or 0 for each in known), tuple(each.above for each in known)]
    near = " and ".join(_show(each) for each in dict.fromkeys(pairs) if all(each) and takes(each))
    return f"; the net takes {_rules(known)}{near}" if near else ""


def multiple_of(graph: Graph, shapes: Shapes, images: Mapping[str, Shape], size: Size) -> int | None:
    """The least number of pixels to whose multiples SIZE can be enlarged, along all axes, so that the net accepts it:
    it accepts all such multiples that are near. None if there is none. Arguments are those of `advice`.

    Only powers of two and multiples of eight are tried, which strides are."""
    takes = _taking(graph, shapes, images, None)
    known = _near(takes, images, size)
    if len(known) < len(size) or all(each.step == 1 for each in known):
        return None
    tried: set[int] = {lcm(*(max(1, each.step) for each in known)), 2, 4, *range(8, _STEP + 1, 8)}
    for step in sorted(tried):
        first = [-(-extent // step) * step for extent in size]
        if step > 1 and all(takes(tuple(extent + more * step for extent in first)) for more in range(_CHECKED)):
            return step
    return None


def _taking(
    graph: Graph, shapes: Shapes, images: Mapping[str, Shape], given: Mapping[str, Shape] | None
) -> Callable[[Size], bool]:
    """A function that returns whether the net accepts a size; arguments are those of `advice`."""

    def takes(asked: Size) -> bool:
        resized = {name: (*shape[: -len(asked)], *asked) for name, shape in images.items()}
        try:
            other = infer_shapes(graph, given={**(given or {}), **resized})
            refuse_empty(graph, other)
        except ShapeError:
            return False
        return other_parameters(graph, shapes, other) is None

    return takes


def _near(takes: Callable[[Size], bool], images: Mapping[str, Shape], size: Size) -> list[Along]:
    """The sizes near SIZE that the net TAKES, along each axis; fewer than the axes if there are none along one."""
    nominal = next(iter(images.values()))[-len(size) :]
    found = [_on_axis(takes, nominal, size, axis) for axis in range(len(size))]
    return [each for each in found if each is not None]


def _on_axis(takes: Callable[[Size], bool], nominal: Size, size: Size, axis: int) -> Along | None:
    return along(lambda pixels: takes((*nominal[:axis], pixels, *nominal[axis + 1 :])), nominal[axis], size[axis])


def _rules(found: Sequence[Along]) -> str:
    """The sizes that fit along all axes, in words before examples; "" if all do, or if unknown."""
    names = {1: ("lengths",), 2: ("heights", "widths")}.get(len(found), ("extents",) * len(found))
    rules = [each.rule for each in found]
    if len(set(rules)) == 1:
        return f"{' and '.join(dict.fromkeys(names))} {rules[0]}, such as " if rules[0] else ""
    told = [f"{name} {rule}" for name, rule in zip(names, rules, strict=True) if rule]
    return f"{' and '.join(told)}, such as "


def _show(size: Sequence[int]) -> str:
    return "x".join(map(str, size))


class Misfit(NamedTuple):
    """A layer whose parameters would have another shape."""

    node: Node
    held: Shape
    needed: Shape

    def __str__(self) -> str:
        what = f"layer {self.node.name!r} ({self.node.type})"
        return f"{what} would need parameters of {show(self.needed)}, but has {show(self.held)}"


def other_parameters(graph: Graph, nominal: Shapes, other: Shapes) -> Misfit | None:
    """The first layer whose parameter blobs have another shape in OTHER than in NOMINAL; None if all agree."""
    for node in graph.nodes:
        before, after = nominal.params.get(node.index), other.params.get(node.index)
        if before is not None and after is not None and before != after:
            return Misfit(node, *next((was, now) for was, now in zip(before, after, strict=False) if was != now))
    return None
