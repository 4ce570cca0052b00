"""What the source says of a class or a table, read without importing it: `--help`, `list` and `explain` stay light."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path


@dataclass(frozen=True)
class TableRow:
    """A row of a table in the source: what stands there, and the `module:Class` that it is of."""

    text: str
    place: str


@cache
def docstring_of(place: str) -> str:
    """The docstring of `module:Class`.

    >>> docstring_of("infoscope.record:Row")
    'One measurement at its coordinates.'
    """
    module, _, name = place.partition(":")
    return _docstring(_tree(module), name)


def docstring_in(file: Path, name: str) -> str:
    """The docstring of a class in this file."""
    return _docstring(ast.parse(file.read_text(encoding="utf-8")), name)


def _docstring(tree: ast.Module, name: str) -> str:
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return ast.get_docstring(found) or ""


def first_paragraph(text: str) -> str:
    """A docstring's first paragraph, on one line."""
    return " ".join(text.partition("\n\n")[0].split())


def summary_of(place: str) -> str:
    """Its first paragraph."""
    return first_paragraph(docstring_of(place))


def rows_of(place: str) -> dict[str, TableRow]:
    """The rows of a table `module:NAME` that stands there as a dictionary of classes or of calls of them.

    >>> rows_of("infoscope.prequential.coders:CODERS")["blocks-warm"]
    TableRow(text='Blocks(warm=True)', place='infoscope.prequential.blocks:Blocks')
    """
    module, _, table = place.partition(":")
    tree = _tree(module)
    homes = {
        name.asname or name.name: f"{node.module}:{name.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    literal = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == table
    )
    assert isinstance(literal, ast.Dict)
    rows = {}
    for key, value in zip(literal.keys, literal.values, strict=True):
        called = value.func if isinstance(value, ast.Call) else value
        assert isinstance(key, ast.Constant)
        assert isinstance(called, ast.Name)
        rows[key.value] = TableRow(ast.unparse(value), homes.get(called.id, f"{module}:{called.id}"))
    return rows


def options_of(docstring: str) -> tuple[str, dict[str, str]]:
    r"""What stands before a docstring's `Attributes`, and what they say of each field.

    >>> options_of("What?\n\nAttributes\n----------\nk\n    How\n    many.")
    ('What?', {'k': 'How many.'})
    """
    text, _, fields = cleandoc(docstring).partition("\nAttributes\n----------\n")
    parts = re.split(r"(?m)^(\w+)\n", f"{fields}\n")[1:]
    told = {name: " ".join(words.split()) for name, words in zip(parts[::2], parts[1::2], strict=True)}
    return text.strip(), told


@cache
def _tree(module: str) -> ast.Module:
    package, *steps = module.split(".")
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent.joinpath(*steps)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))
