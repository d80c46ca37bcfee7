"""What an option is: a field of a frozen dataclass, with a name, a default and a meaning.

The options of a command stand beside the code that serves them, in modules called `options` that import nothing else
of the package, so that the command line can refer to them before it knows whether a command runs. The command line
takes defaults and meanings from there (`cli/options.py`), and so do the functions of the library (`api/`).
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, NamedTuple


class Meaning(NamedTuple):
    """What an option is for, as a sentence; and what holds BY_DEFAULT, where the default itself does not say it."""

    text: str
    by_default: str = ""


def option_field(default: Any, meaning: str, by_default: str = "") -> Any:
    """The field of an option with its DEFAULT, a constant, and its MEANING; BY_DEFAULT is as in `Meaning`."""
    return field(default=default, metadata={"meaning": Meaning(meaning, by_default)})


def meanings(options: type) -> dict[str, Meaning]:
    """The meanings of OPTIONS, a dataclass, by name; of those that are options."""
    fields = options.__dataclass_fields__  # type: ignore[attr-defined]
    return {name: each.metadata["meaning"] for name, each in fields.items() if "meaning" in each.metadata}
