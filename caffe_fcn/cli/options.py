"""What the commands' options accept: sizes, shapes, rename rules."""

from __future__ import annotations

import re
from typing import Any

import click


class Size(click.ParamType[tuple[int, ...]]):
    """HxW, in pixels."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"[1-9]\d{0,5}(x[1-9]\d{0,5})*", value):
            self.fail(f"expected HxW in pixels, such as 451x451, found {value!r}", param, ctx)
        size = tuple(int(extent) for extent in value.split("x"))
        return size * 2 if len(size) == 1 else size


class BlobShape(click.ParamType[tuple[str, tuple[int, ...]]]):
    """BLOB=N,C,H,W."""

    name = "BLOB=N,C,H,W"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[int, ...]]:
        if isinstance(value, tuple):
            return value
        blob, _, dims = value.rpartition("=")
        if not blob or not re.fullmatch(r"[1-9]\d{0,8}(,[1-9]\d{0,8})*", dims):
            self.fail(f"expected BLOB=N,C,H,W, such as data=1,3,224,224, found {value!r}", param, ctx)
        return blob, tuple(int(extent) for extent in dims.split(","))


class Text(click.ParamType[str]):
    """A text that can stand in a model."""

    name = "TEXT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fail("expected UTF-8 text, found other bytes", param, ctx)
        return str(value)


class RenameRule(Text):
    """PATTERN=REPLACEMENT, a regular expression."""

    name = "PATTERN=NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        value = super().convert(value, param, ctx)
        from caffe_fcn.surgery.naming import parse_rule

        try:
            parse_rule(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)
