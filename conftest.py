"""Shapes in signatures are checked at every call in the process that runs the tests; elsewhere they cost nothing."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from typing import Any

from beartype import beartype
from jaxtyping import jaxtyped

CHECKED = "_shapes_are_checked"  # what the decorator is called in a module


def checked(*names: str) -> Callable[[Any], Any]:
    """Have jaxtyping check these arguments, or `return`, of a function, or these fields of a dataclass; no others."""

    def decorate(thing: Any) -> Any:
        function = thing.__init__ if isinstance(thing, type) else thing
        annotations = function.__annotations__
        function.__annotations__ = {name: annotations[name] for name in names if name in annotations}
        done = jaxtyped(thing, typechecker=beartype)
        for one in (function, done.__init__ if isinstance(thing, type) else done):
            one.__annotations__ = annotations
        return done

    return decorate


class Decorated(ast.NodeTransformer):
    """A module in which all functions and dataclasses that name the shape of an array are checked."""

    def __init__(self):
        self.shapes: set[str] = set()  # what is imported from jaxtyping, and what the module makes of it

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        if node.module == "jaxtyping":
            self.shapes |= {alias.asname or alias.name for alias in node.names}
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        if self._is_shape(node.value):
            self.shapes |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        named = [
            part.arg for part in ast.walk(node.args) if isinstance(part, ast.arg) and self._is_shape(part.annotation)
        ]
        if named := named + ["return"] * self._is_shape(node.returns):
            node.decorator_list.append(_call(named, node))  # the innermost: others may hide the signature
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.generic_visit(node)
        fields = [f for f in node.body if isinstance(f, ast.AnnAssign) and self._is_shape(f.annotation)]
        if named := [field.target.id for field in fields if isinstance(field.target, ast.Name)]:
            node.decorator_list.insert(0, _call(named, node))  # the outermost: `dataclass` has made the `__init__`
        return node

    def _is_shape(self, node: ast.AST | None) -> bool:
        return node is not None and any(isinstance(p, ast.Name) and p.id in self.shapes for p in ast.walk(node))


def _call(names: list[str], at: ast.AST) -> ast.Call:
    call = ast.Call(ast.Name(CHECKED, ast.Load()), [ast.Constant(name) for name in names], [])
    for part in ast.walk(call):
        ast.copy_location(part, at)
    return call


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str):
        """Neither from `__pycache__` nor to it: there lies the library as it is."""
        source = self.get_data(self.path)
        if b"jaxtyping" not in source:
            return super().get_code(fullname)
        return compile(Decorated().visit(ast.parse(source, self.path)), self.path, "exec", dont_inherit=True)

    def exec_module(self, module):
        setattr(module, CHECKED, checked)
        super().exec_module(module)


class _Finder(MetaPathFinder):
    def find_spec(self, fullname, path, target=None):
        if fullname.partition(".")[0] != "infoscope":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


assert "infoscope" not in sys.modules, "something imported infoscope before its shapes could be checked"
sys.meta_path.insert(0, _Finder())
