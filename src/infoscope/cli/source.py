"""What the source says of a class, read without importing it: `--help` stays light."""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path


@cache
def docstring_of(place: str) -> str:
    """The docstring of `module:Class`.

    >>> docstring_of("infoscope.record:Row")
    'One measurement at its coordinates.'
    """
    module, _, name = place.partition(":")
    spec = find_spec(module.partition(".")[0])
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return ast.get_docstring(found) or ""


def summary_of(place: str) -> str:
    """Its first paragraph."""
    return " ".join(docstring_of(place).partition("\n\n")[0].split())


def options_of(docstring: str) -> tuple[str, dict[str, str]]:
    r"""What stands before a docstring's `Attributes`, and what they say of each field.

    >>> options_of("What?\n\nAttributes\n----------\nk\n    How\n    many.")
    ('What?', {'k': 'How many.'})
    """
    text, _, fields = cleandoc(docstring).partition("\nAttributes\n----------\n")
    parts = re.split(r"(?m)^(\w+)\n", f"{fields}\n")[1:]
    told = {name: " ".join(words.split()) for name, words in zip(parts[::2], parts[1::2], strict=True)}
    return text.strip(), told
