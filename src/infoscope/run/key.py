"""A stable name for a description: equal descriptions have equal keys, in every process and on every machine."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import sys
import types
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

_PERSON = b"infoscope key 1"  # raised when the encoding changes, so that old keys are never mistaken for new ones


def key(value: object) -> str:
    """Content hash of a description: 32 hexadecimal digits of BLAKE2b.

    A description is made of dataclasses, tuples, lists, dicts, sets, strings, bytes, numbers, None, enum members,
    paths, numpy arrays and torch tensors (by content), functions and classes that can be imported (by name) and
    `functools.partial`. An object with a method `__describe__` is hashed as what that returns.

    Everything is written with its type and its length before it is hashed, so two descriptions share a key only if
    they are equal. Dicts and sets are equal whatever their order; dataclass fields with `compare=False` don't count;
    a numpy scalar counts as the Python number of the same value. A function in the main script is named as if the
    script had been imported. Code is not hashed: whoever changes what a function computes changes its description.

    >>> key(("digits", 0.1, 3))
    '9906ca79ae39108ef935a6b15c3cb631'
    >>> key({"a": 1, "b": 2}) == key({"b": 2, "a": 1}), key(1) == key(1.0), key(("ab", "c")) == key(("a", "bc"))
    (True, False, False)
    """
    return hashlib.blake2b(_encode(value, type(value).__name__), digest_size=16, person=_PERSON).hexdigest()


def _pack(tag: bytes, *parts: bytes) -> bytes:
    """One-byte tag, number of parts, then each part behind its length: decodable, hence injective."""
    lengths_and_parts = (len(part).to_bytes(8, "big") + part for part in parts)
    return tag + len(parts).to_bytes(8, "big") + b"".join(lengths_and_parts)


def _encode(value: Any, place: str) -> bytes:
    if hasattr(type(value), "__describe__"):
        return _encode(value.__describe__(), place)
    if (scalar := _encode_scalar(value, place)) is not None:
        return scalar
    if (array := _encode_array(value, place)) is not None:
        return array
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _encode_dataclass(value, place)
    return _encode_container(value, place)


def _encode_scalar(value: Any, place: str) -> bytes | None:
    match value:
        case None:
            return _pack(b"N")
        case Enum():
            return _pack(b"E", _name(type(value), place), str(value.name).encode())
        case bool():
            return _pack(b"B", b"1" if value else b"0")
        case PurePath():
            return _pack(b"P", value.as_posix().encode("utf-8", "surrogateescape"))
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        plain = value.item()
        return None if isinstance(plain, numpy.generic) else _encode_scalar(plain, place)
    if type(value) is int:
        return _pack(b"I", str(value).encode())
    if type(value) is float:
        return _pack(b"F", value.hex().encode())
    if type(value) is str:
        return _pack(b"S", value.encode("utf-8", "surrogatepass"))
    if type(value) in (bytes, bytearray):
        return _pack(b"Y", bytes(value))
    return None


def _encode_array(value: Any, place: str) -> bytes | None:
    """Arrays and tensors by type of element, shape and content; a library that is not loaded has none to give."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None and isinstance(value, numpy.ndarray):
        if value.dtype.hasobject:
            raise _cannot(value, place, "an array of Python objects", "give it a numeric or string dtype")
        little = numpy.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        content = hashlib.blake2b(little.reshape(-1).view(numpy.uint8)).digest()
        return _pack(b"A", repr(little.dtype.descr).encode(), repr(value.shape).encode(), content)
    if torch is None:
        return None
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided:
            raise _cannot(value, place, "a sparse tensor", "pass `x.to_dense()`")
        plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        content = hashlib.blake2b(plain.reshape(-1).view(torch.uint8).numpy()).digest()
        return _pack(b"T", str(value.dtype).encode(), repr(tuple(value.shape)).encode(), content)
    if isinstance(value, torch.dtype | torch.device):
        return _pack(b"t", type(value).__name__.encode(), str(value).encode())
    return None


def _encode_dataclass(value: Any, place: str) -> bytes:
    parts = [_name(type(value), place)]
    for field in dataclasses.fields(value):
        if field.compare:
            parts += [field.name.encode(), _encode(getattr(value, field.name), f"{place}.{field.name}")]
    return _pack(b"D", *parts)


def _encode_container(value: Any, place: str) -> bytes:
    match value:
        case functools.partial():
            bound = zip(("func", "args", "keywords"), (value.func, value.args, value.keywords), strict=True)
            return _pack(b"p", *(_encode(part, f"{place}.{name}") for name, part in bound))
        case types.MethodType():
            return _pack(b"m", _encode(value.__self__, f"{place}.__self__"), value.__func__.__name__.encode())
        case type() | types.FunctionType() | types.BuiltinFunctionType():
            return _pack(b"C", _name(value, place))
        case range():
            return _pack(b"R", *(str(bound).encode() for bound in (value.start, value.stop, value.step)))
        case list() if type(value) is list:
            return _pack(b"L", *_items(value, place))
        case tuple() if type(value) is tuple:
            return _pack(b"U", *_items(value, place))
        case tuple():
            return _pack(b"u", _name(type(value), place), *_items(value, place))
        case set() | frozenset():
            return _pack(b"Z", *sorted(_items(value, place)))
        case Mapping():
            pairs = ((_encode(k, f"{place} key"), _encode(v, f"{place}[{k!r}]")) for k, v in value.items())
            return _pack(b"M", *(_pack(b"-", k, v) for k, v in sorted(pairs)))
    if _is_found_by_name(value):  # a numpy function, a jitted one: callable, yet no plain function
        return _pack(b"C", _name(value, place))
    remedy = "describe it with a frozen dataclass, or give its class a method `__describe__`"
    raise _cannot(value, place, f"a {type(value).__name__}", remedy)


def _items(values: Iterable[Any], place: str) -> list[bytes]:
    return [_encode(item, f"{place}[{i}]") for i, item in enumerate(values)]


def _name(thing: Any, place: str) -> bytes:
    """`module:qualname` of a function or class that can be found again under that name."""
    qualname, module = getattr(thing, "__qualname__", ""), getattr(thing, "__module__", None)
    if "<lambda>" in qualname or "<locals>" in qualname:
        kind = "a lambda" if "<lambda>" in qualname else f"`{qualname}`, defined inside a function"
        raise _cannot(thing, place, kind, "define it at the top of a module, or use functools.partial of one that is")
    if not module or not qualname:
        raise _cannot(thing, place, f"{thing!r}, which names no module", "wrap it in a function of your own module")
    return f"{_module_name(module)}:{qualname}".encode()


def _is_found_by_name(thing: Any) -> bool:
    found = sys.modules.get(getattr(thing, "__module__", None) or "")
    for step in getattr(thing, "__qualname__", "<none>").split("."):
        found = getattr(found, step, None)
    return found is thing


def _module_name(module: str) -> str:
    """The main script goes by the name it would be imported under: it has that name in workers and tests, too."""
    if module not in ("__main__", "__mp_main__"):
        return module
    main = sys.modules[module]
    spec, path = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    return spec.name if spec is not None else PurePath(path).stem if path else "__main__"


class NoStableKey(TypeError):
    """A part of a description that cannot be hashed: where it stands, what it is, and what to do."""

    def __init__(self, place: str, what: str, remedy: str):
        self.place, self.what, self.remedy = place, what, remedy
        super().__init__(f"`{place}` is {what}, which has no stable key; {remedy}")

    def __reduce__(self) -> tuple[Any, ...]:
        return NoStableKey, (self.place, self.what, self.remedy)


def _cannot(value: object, place: str, what: str, remedy: str) -> NoStableKey:
    return NoStableKey(place, what, remedy)
