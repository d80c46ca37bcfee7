"""Names converted layers and their tops.

Caffe finds the weights of a layer by its name and refuses a blob of another shape. So a converted layer gets a new name
by default: old weights in a new net, and new weights in an old net, are then ignored and not refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from caffe_fcn.errors import SurgeryError
from caffe_fcn.wording import Option, advise

DEFAULT_SUFFIX = "-conv"


class Naming(NamedTuple):
    """NAME becomes NAME + suffix, unless a rename rule matches the whole name.

    `suffix` is "" to keep names. `rules` are (pattern, replacement), as for re.sub.
    """

    suffix: str = DEFAULT_SUFFIX
    rules: tuple[tuple[re.Pattern[str], str], ...] = ()

    def __call__(self, name: str) -> str:
        """The new name of a converted layer, or of its top."""
        for pattern, replacement in self.rules:
            match = pattern.fullmatch(name)
            if match:
                return match.expand(replacement)
        return name + self.suffix


def parse_rule(text: str) -> tuple[re.Pattern[str], str]:
    r"""The rename rule PATTERN=REPLACEMENT, e.g. "fc(\d+)=conv\1". Raises ValueError.

    A pattern can contain "=", so the first "=" that leaves a valid pattern divides the two.
    """
    problem = "is not PATTERN=REPLACEMENT, e.g. 'fc(\\d+)=conv\\1'"
    for equals in re.finditer("=", text):
        pattern, replacement = text[: equals.start()], text[equals.end() :]
        if not pattern or not replacement:
            continue
        try:
            compiled = re.compile(pattern)
            compiled.sub(replacement, "")  # raises re.error for groups that the pattern lacks
        except (re.error, IndexError) as error:
            problem = f"is not a valid rule: {error}"
            continue
        return compiled, replacement
    raise ValueError(f"{text!r} {problem}")


def check_names(kind: str, renamed: Mapping[str, str], others: Iterable[str]) -> None:
    """Raise SurgeryError when a new name is empty, in use, or given twice."""
    taken = set(others)
    owners: dict[str, str] = {}
    for old, new in renamed.items():
        if not new:
            raise SurgeryError(
                f"{kind} {old!r} would have an empty name", hint=advise("correct the rules of ", Option("rename"))
            )
        if new in taken:
            raise SurgeryError(
                f"{kind} {old!r} would become {new!r}, but the net has a {kind} of this name already",
                hint=advise("choose other names with ", Option("suffix"), " or ", Option("rename")),
            )
        if new in owners:
            raise SurgeryError(
                f"{kind}s {owners[new]!r} and {old!r} would both become {new!r}",
                hint=advise("correct the rules of ", Option("rename")),
            )
        owners[new] = old
