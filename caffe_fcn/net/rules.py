"""The include and exclude rules of a file: which layers belong to a net, and which stages and levels there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from caffe_fcn.display import printable
from caffe_fcn.schema import Message
from caffe_fcn.wording import option

_MOST = 6
"""The most stages or levels that a message lists."""


class Named(NamedTuple):
    """The stages and levels that the rules of a file name, each once, in the order of the file."""

    stages: tuple[str, ...]
    levels: tuple[int, ...]
    """Bounds of levels."""


def named(net: Message) -> Named:
    """The stages and levels that the rules of NET name."""
    rules = [rule for layer in net.layer for rule in (*layer.include, *layer.exclude)]
    stages = dict.fromkeys(stage for rule in rules for stage in (*rule.stage, *rule.not_stage))
    bounds = [(rule, bound) for rule in rules for bound in ("min_level", "max_level") if rule.HasField(bound)]
    return Named(tuple(stages), tuple(dict.fromkeys(getattr(rule, bound) for rule, bound in bounds)))


def choices(net: Message) -> str:
    """The end of a message about a missing net: the stages and levels that the rules of NET name; "" for none."""
    found = named(net)
    stages = _listed("stage", "stages", [repr(printable(stage)) for stage in found.stages])
    levels = _listed("level", "levels", [str(level) for level in found.levels])
    told = " and ".join(filter(None, (stages, levels)))
    options = [option(name) for name, names in (("stage", found.stages), ("level", found.levels)) if names]
    return f"; the file has {told}; choose with {' and '.join(options)}" if told else ""


def in_words(state: Message) -> str:
    """The stages and the level of STATE, a NetState, in words that follow the name of its phase."""
    stages = _listed("stage", "stages", [repr(printable(stage)) for stage in state.stage])
    level = f" at level {state.level}" if state.level else ""
    return f" with {stages}{level}" if stages else f" without a stage{level}"


def _listed(one: str, many: str, names: Iterable[str]) -> str:
    shown = [*names]
    more = [f"{len(shown) - _MOST} more"] if len(shown) > _MOST else []
    listed = [*shown[:_MOST], *more]
    if len(listed) < 2:
        return f"the {one} {listed[0]}" if listed else ""
    return f"the {many} {', '.join(listed[:-1])} and {listed[-1]}"


def included(layer: Message, state: Message) -> bool:
    """Whether LAYER belongs to the net in STATE: an include rule matches, or no exclude rule does."""
    if not layer.include and not layer.exclude:
        return True
    if layer.include:
        return any(_meets(state, rule) for rule in layer.include)
    return not any(_meets(state, rule) for rule in layer.exclude)


def _meets(state: Message, rule: Message) -> bool:
    """Whether STATE satisfies every part of RULE, a NetStateRule, that is set."""
    if rule.HasField("phase") and rule.phase != state.phase:
        return False
    if rule.HasField("min_level") and state.level < rule.min_level:
        return False
    if rule.HasField("max_level") and state.level > rule.max_level:
        return False
    stages = set(state.stage)
    return stages.issuperset(rule.stage) and stages.isdisjoint(rule.not_stage)
