"""Write the reference pages, `cli.md` from the commands' help and `api.md` from the library's docstrings.

    python docs/generate.py

A test holds both pages to what this makes of the sources.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

import click

from caffe_fcn import api
from caffe_fcn.cli.main import app

DOCS = Path(__file__).parent


def cli_page() -> str:
    """The page of all commands and their options."""
    lines = [
        "# The command line",
        "",
        "<!-- Made by docs/generate.py from the commands' help; do not edit. -->",
        "",
        *_help(app),
        "",
        "| command | what it does |",
        "|---|---|",
        *(f"| [`{name}`](#caffe-fcn-{name}) | {_summary(command)} |" for name, command in sorted(app.commands.items())),
        "",
        *_options(app),
    ]
    for name, command in sorted(app.commands.items()):
        lines += ["", f"## caffe-fcn {name}", "", *_usage(name, command), *_help(command), "", *_options(command)]
    return "\n".join(lines) + "\n"


def _summary(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "").split("\n\n")[0].replace("\n", " ").rstrip(".")


def _usage(name: str, command: click.Command) -> Iterator[str]:
    words = [_argument(each) for each in command.params if isinstance(each, click.Argument)]
    yield f"    caffe-fcn {name} [OPTIONS] {' '.join(words)}"
    yield ""


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    name += "..." if argument.nargs == -1 and not name.endswith("...") else ""
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _help(command: click.Command) -> Iterator[str]:
    """The help as Markdown: what click is told not to wrap is code."""
    for position, paragraph in enumerate(inspect.cleandoc(command.help or "").split("\n\n")):
        if position:
            yield ""
        lines = paragraph.splitlines()
        if lines[0] == "\b":
            yield from (f"    {line}" for line in lines[1:])
        else:
            yield from lines
    if command.epilog:
        yield ""
        yield inspect.cleandoc(command.epilog).replace("\b\n", "")


def _options(command: click.Command) -> Iterator[str]:
    yield "| option | what it does |"
    yield "|---|---|"
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            yield f"| {_spelling(option)} | {_what(option)} |"


def _spelling(option: click.Option) -> str:
    value = "" if option.is_flag or option.count else f" {_value(option)}"
    return ", ".join(f"`{name}{value}`" for name in option.opts).replace("|", "\\|")


def _value(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    choices = getattr(option.type, "choices", None)
    return "|".join(str(choice) for choice in choices) if choices else option.type.name.upper()


def _what(option: click.Option) -> str:
    text = (option.help or "").replace("|", "\\|")
    return f"{text} Default: `{option.default}`." if option.show_default and option.default is not None else text


# ---- The library ----


def api_page() -> str:
    """The page of the library's functions and types."""
    made = "<!-- Made by docs/generate.py from the docstrings; do not edit. -->"
    lines = ["# The Python library", "", made, "", inspect.cleandoc(api.__doc__ or ""), ""]
    names = [name for name in api.__all__ if inspect.isfunction(getattr(api, name))]
    types = [name for name in api.__all__ if inspect.isclass(each := getattr(api, name)) and not get_origin(each)]
    lines += ["## Functions"]
    for name in names:
        lines += ["", *_function(name, getattr(api, name))]
    lines += ["", "## Types"]
    for name in types:
        lines += ["", *_class(name, getattr(api, name))]
        for method, function in _methods(getattr(api, name)):
            lines += ["", *_function(f"{name}.{method}", function, "####")]
    return "\n".join(lines) + "\n"


def _function(name: str, function: Any, level: str = "###") -> Iterator[str]:
    yield f"{level} {name}"
    yield ""
    yield "```python"
    yield _signature(name, function)
    yield "```"
    yield ""
    yield inspect.cleandoc(function.__doc__ or "")


def _signature(name: str, function: Any) -> str:
    signature = inspect.signature(function)
    arguments = []
    for each in signature.parameters.values():
        if each.kind is each.KEYWORD_ONLY and "*" not in arguments:
            arguments.append("*")
        default = "" if each.default is each.empty else f" = {each.default!r}"
        arguments += [f"{each.name}: {each.annotation}{default}"] if each.name != "self" else []
    result = f" -> {signature.return_annotation}"
    line = f"{name}({', '.join(arguments)}){result}"
    folded = ",\n    ".join(arguments)
    return line if len(line) <= 100 else f"{name}(\n    {folded},\n){result}"


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    """Each argument as it is declared."""
    first = len(arguments.args) - len(arguments.defaults)
    for position, argument in enumerate(arguments.args):
        yield _argument_of(argument, arguments.defaults[position - first] if position >= first else None)
    if arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _argument_of(argument, default)
    if arguments.kwarg is not None:
        yield f"**{_argument_of(arguments.kwarg, None)}"


def _argument_of(argument: ast.arg, default: ast.expr | None) -> str:
    spelling = f"{argument.arg}: {ast.unparse(argument.annotation)}" if argument.annotation else argument.arg
    return spelling if default is None else f"{spelling} = {ast.unparse(default)}"


def _methods(kind: Any) -> Iterator[tuple[str, Any]]:
    """The public methods of a class that say what their keywords mean."""
    for name, each in vars(kind).items():
        if inspect.isfunction(each) and hasattr(each, "__wrapped__") and not name.startswith("_"):
            yield name, each


def _class(name: str, kind: Any) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    yield inspect.cleandoc(kind.__doc__ or "")
    if inherited := [base.__name__ for base in kind.__bases__ if base.__name__ in api.__all__]:
        yield ""
        yield f"It also has the attributes of {', '.join(f'[`{base}`](#{base.lower()})' for base in inherited)}."
    members = list(_members(kind))
    if members:
        yield ""
        yield "| member | meaning |"
        yield "|---|---|"
        yield from (f"| `{spelling}` | {text} |" for spelling, text in members)


_INTERNAL = {
    "Change": {"said", "in_weights", "cells", "apply", "tensors", "behind", "agrees"},
    "ToConvolution": {"cells", "columns", "weight_edit", "reordered"},
    "BlobRecord": {"values", "stored", "data"},
    "LayerRecord": {"span", "raw"},
}
"""Members that are documented for those who work on the package."""


def _members(kind: Any) -> Iterator[tuple[str, str]]:
    """The documented fields, properties and methods of a class, each with its meaning. Members of a base that has a
    section of its own are left out."""
    bases = [base for base in kind.__bases__ if base.__module__.startswith("caffe_fcn")]
    inherited = [base for base in bases if base.__name__ not in api.__all__]
    for base in inherited:
        yield from _members(base)
    for spelling, text in _own_members(kind):
        name = spelling.partition(":")[0].partition("(")[0]
        if text and name not in _INTERNAL.get(kind.__name__, ()):
            yield spelling, text


def _own_members(kind: Any) -> Iterator[tuple[str, str]]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(tree, ast.ClassDef)
    for node, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id[0] != "_":
            documented = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            text = str(following.value.value) if documented else ""  # type: ignore[union-attr]
            yield f"{node.target.id}: {ast.unparse(node.annotation)}".replace("|", "\\|"), _one_line(text)
        elif isinstance(node, ast.FunctionDef) and node.name[0] != "_" and not _is_checked(node):
            is_property = any(isinstance(d, ast.Name) and "property" in d.id for d in node.decorator_list)
            result = ast.unparse(node.returns) if node.returns is not None else "None"
            arguments = [argument for argument in _arguments(node.args) if argument != "self"]
            spelling = f"{node.name}: {result}" if is_property else f"{node.name}({', '.join(arguments)}) -> {result}"
            yield spelling.replace("|", "\\|"), _one_line(ast.get_docstring(node) or "")


def _is_checked(node: ast.FunctionDef) -> bool:
    """Whether NODE is a method with a section of its own."""
    return any(isinstance(each, ast.Call) and ast.unparse(each.func) == "checked" for each in node.decorator_list)


def _one_line(text: str) -> str:
    return " ".join(inspect.cleandoc(text).split()).replace("|", "\\|")


PAGES = {"cli.md": cli_page, "api.md": api_page}


def main() -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
