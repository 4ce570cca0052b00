from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import infoscope


def test_every_public_name_is_there_and_in_the_stub():
    for name in infoscope.__all__:
        assert getattr(infoscope, name) is not None
    stub = ast.parse(Path(infoscope.__file__).with_suffix(".pyi").read_text())
    imported = {alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported | {"__version__"} == set(infoscope.__all__)


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, infoscope; print({'torch', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(AttributeError, match="codelength"):
        _ = getattr(infoscope, "codelenght")  # noqa: B009 - a name that no type checker lets pass
