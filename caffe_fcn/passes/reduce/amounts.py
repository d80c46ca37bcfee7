"""The amounts that are left of layers, as the user gives them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_AMOUNT = re.compile(r"([1-9][0-9]{0,8})(?::([1-9][0-9]{0,4}(?:x[1-9][0-9]{0,4})*))?", re.IGNORECASE)


class Amount(NamedTuple):
    """The OUTPUTS that are left of a layer, and the extent of its kernel, TAPS: one number for all axes or one for
    each, None for the old kernel. DILATION is given by the user; None takes it from the net."""

    outputs: int
    taps: tuple[int, ...] | None = None
    dilation: int | None = None


def parse_amount(text: str) -> Amount:
    """Return the amount in TEXT: OUTPUTS or OUTPUTS:HxW, such as 1024:3x3. Raises ValueError."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"expected OUTPUTS or OUTPUTS:HxW in whole numbers, such as 1024:3x3, found {text!r}")
    taps = None if match[2] is None else tuple(int(extent) for extent in match[2].lower().split("x"))
    return Amount(int(match[1]), taps)


def parse_layer(text: str) -> tuple[str, Amount]:
    """Return the layer and its amount in TEXT, LAYER=OUTPUTS:HxW. Raises ValueError."""
    layer, equals, amount = text.rpartition("=")
    if not equals or not layer:
        raise ValueError(f"expected LAYER=OUTPUTS or LAYER=OUTPUTS:HxW, such as fc6=1024:3x3, found {text!r}")
    try:
        return layer, parse_amount(amount)
    except ValueError as error:
        raise ValueError(f"{layer}: {error}") from error


def parse_layers(texts: Iterable[str]) -> dict[str, Amount]:
    """Return the layers and their amounts in TEXTS, each as for `parse_layer`. Raises ValueError."""
    amounts: dict[str, Amount] = {}
    for text in texts:
        layer, amount = parse_layer(text)
        if layer in amounts:
            raise ValueError(f"expected each layer once, found {layer!r} twice")
        amounts[layer] = amount
    return amounts
