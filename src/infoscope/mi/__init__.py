"""Mutual information from samples: the front door, and one file an estimator.

Names are imported when they are first used. The stub beside this file lists them, and takes every estimator from the
table in `methods.py`, which is read here without being run: some of its estimators import torch.
"""

import ast
from pathlib import Path

import lazy_loader


def _imported(file: str) -> dict[str, list[str]]:
    """Names that a file imports from modules of this package, by module."""
    found: dict[str, list[str]] = {}
    for node in ast.parse(Path(__file__).with_name(file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            inside = node.module.removeprefix(f"{__name__}.") if not node.level else node.module
            if node.level or inside != node.module:
                found.setdefault(inside, []).extend(alias.name for alias in node.names if alias.name != "*")
    return found


_estimators = {module: names for module, names in _imported("methods.py").items() if module.startswith("estimators.")}
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs=_imported("__init__.pyi") | _estimators)
