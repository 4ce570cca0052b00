"""Which file imports which: no two files need each other, by however long a way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import infoscope

ROOT = Path(infoscope.__file__).parent


def modules(root: Path) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    files = {path: (root.name, *path.relative_to(root).with_suffix("").parts) for path in root.rglob("*.py")}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): path for path, parts in files.items()}


def statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """All imports, those inside functions too, except those that only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not (isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")):
            yield from statements(child)


def graph(root: Path) -> dict[str, set[str]]:
    """What each module imports of its own package; a package's name stands for its `__init__`."""
    known = modules(root)
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        targets: set[str] = set()
        for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            else:
                package = name if path.name == "__init__.py" else name.rpartition(".")[0]
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*(above if node.level else []), *([node.module] if node.module else [])])
                inside = {f"{base}.{alias.name}" for alias in node.names}
                targets |= {each if each in known else base for each in inside}
        found[name] = targets & set(known) - {name}
    return found


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Files that need each other in a ring, or none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_circle_of_files():
    assert circle(graph(ROOT)) == []


@pytest.mark.parametrize(
    ("statement", "rings"),
    [
        ("import house.a", True),
        ("def f():\n    from house.a import thing", True),
        ("def f():\n    from .a import thing", True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.a import thing", False),
        ("import os", False),
    ],
)
def test_a_circle_is_found_wherever_the_import_stands(tmp_path, statement, rings):
    house = tmp_path / "house"
    house.mkdir()
    (house / "__init__.py").write_text("")
    (house / "a.py").write_text("from house import b\nthing = 1\n")
    (house / "b.py").write_text(statement)
    assert (set(circle(graph(house))) == {"house.a", "house.b"}) == rings
