"""What converted layers and their tops are called.

Caffe maps weights to layers by name and refuses a blob of another shape, so a converted layer takes a
new name by default: a net written before still finds nothing of the wrong shape under the old one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from caffe_fcn.errors import SurgeryError
from caffe_fcn.wording import Option, advise

DEFAULT_SUFFIX = "-conv"


class Naming(NamedTuple):
    """NAME becomes NAME + suffix; a rename rule that matches the whole name goes first.

    `suffix` is "" to keep names. `rules` are (pattern, replacement), as for re.sub.
    """

    suffix: str = DEFAULT_SUFFIX
    rules: tuple[tuple[re.Pattern[str], str], ...] = ()

    def __call__(self, name: str) -> str:
        """The new name of a converted layer, or of a blob it makes."""
        for pattern, replacement in self.rules:
            match = pattern.fullmatch(name)
            if match:
                return match.expand(replacement)
        return name + self.suffix


def parse_rule(text: str) -> tuple[re.Pattern[str], str]:
    r"""The rename rule PATTERN=REPLACEMENT, e.g. "fc(\d+)=conv\1". Raises ValueError.

    A pattern can hold an equals sign itself, so the first one that leaves a valid pattern divides the two.
    """
    problem = "is not PATTERN=REPLACEMENT, e.g. 'fc(\\d+)=conv\\1'"
    for equals in re.finditer("=", text):
        pattern, replacement = text[: equals.start()], text[equals.end() :]
        if not pattern or not replacement:
            continue
        try:
            compiled = re.compile(pattern)
            compiled.sub(replacement, "")  # reads the replacement, and refuses groups that the pattern lacks
        except (re.error, IndexError) as error:
            problem = f"is no rule: {error}"
            continue
        return compiled, replacement
    raise ValueError(f"{text!r} {problem}")


def check_names(kind: str, renamed: Mapping[str, str], others: Iterable[str]) -> None:
    """Raise SurgeryError when a new name is taken: by a layer that keeps its name, or by another new one."""
    taken = set(others)
    owners: dict[str, str] = {}
    for old, new in renamed.items():
        if not new:
            raise SurgeryError(
                f"{old!r} would become '', a {kind} without a name", hint=advise("mend the rules of ", Option("rename"))
            )
        if new in taken:
            raise SurgeryError(
                f"{old!r} would become {new!r}, a {kind} that the net has already",
                hint=advise("choose other names with ", Option("suffix"), " or ", Option("rename")),
            )
        if new in owners:
            raise SurgeryError(
                f"{kind}s {owners[new]!r} and {old!r} would both become {new!r}",
                hint=advise("mend the rules of ", Option("rename")),
            )
        owners[new] = old
