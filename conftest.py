"""Shapes in signatures are checked at every call in the process that runs the tests; elsewhere they cost nothing."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
import types
from collections.abc import Callable, Collection, Mapping
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from typing import Any, Union, get_args, get_origin

from jaxtyping import jaxtyped

CHECKED = "_shapes_are_checked"  # what the decorator is called in a module


def conforms(value: object, hint: Any) -> bool:
    """Whether a value is what an annotation says: all items of a collection, nothing of what is still to come."""
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if kind is Any:
        return True
    if kind in (Union, types.UnionType):
        return any(conforms(value, part) for part in parts)
    if not isinstance(value, types.NoneType if kind is None else kind):
        return False
    if kind is tuple and ... not in parts:
        return len(value) == len(parts) and all(map(conforms, value, parts))
    if isinstance(value, Mapping):
        return all(conforms(item, parts[1]) for item in value.values())
    return not (parts and isinstance(value, Collection)) or all(conforms(item, parts[0]) for item in value)


def every_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its arguments and what it gives held to its annotations."""
    signature = inspect.signature(function)

    def expect(value: object, hint: Any) -> None:
        if hint is not inspect.Signature.empty and not conforms(value, hint):
            raise TypeError(f"not a {hint}")

    @functools.wraps(function)
    def held(*args: object, **kwargs: object) -> object:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            expect(value, signature.parameters[name].annotation)
        result = function(*args, **kwargs)
        expect(result, signature.return_annotation)
        return result

    return held


def checked(*names: str) -> Callable[[Any], Any]:
    """Have jaxtyping check these arguments, or `return`, of a function, or these fields of a dataclass; no others."""

    def decorate(thing: Any) -> Any:
        function = thing.__init__ if isinstance(thing, type) else thing
        annotations = function.__annotations__
        function.__annotations__ = {name: annotations[name] for name in names if name in annotations}
        done = jaxtyped(thing, typechecker=every_argument)
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
