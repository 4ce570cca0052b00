"""Methods as text and back: `replay(replays=4)` is the table's `replay` with another value for one field."""

from __future__ import annotations

import ast
import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def method_of(text: str, table: Mapping[str, T]) -> T:
    """The frozen value of a table that this text means.

    >>> from infoscope.prequential.coders import CODERS
    >>> method_of("replay(replays=4)", CODERS).replays
    4
    """
    name, _, options = text.partition("(")
    if name not in table:
        near = difflib.get_close_matches(name, table, 1) or [", ".join(table)]
        raise ValueError(f"no method {name!r}; did you mean {near[0]}?")
    value: Any = table[name]
    return _changed(name, value, _options(text)) if options else value


def text_of(value: object, table: Mapping[str, object]) -> str:
    """The text that means this value, by the row of its type that it differs least from; its repr if there is none.

    >>> from infoscope.prequential.coders import CODERS
    >>> text_of(CODERS["blocks-warm"], CODERS), text_of(method_of("replay(replays=4)", CODERS), CODERS)
    ('blocks-warm', 'replay(replays=4)')
    """
    changes = {name: _differences(row, value) for name, row in table.items() if type(row) is type(value)}
    if not changes:
        return repr(value)
    name = min(changes, key=lambda name: len(changes[name]))
    options = ", ".join(f"{field}={new!r}" for field, new in changes[name].items())
    return f"{name}({options})" if options else name


def _differences(row: Any, value: Any) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(row)]
    return {name: getattr(value, name) for name in names if getattr(value, name) != getattr(row, name)}


def _changed(name: str, value: Any, given: Mapping[str, Any]) -> Any:
    known = [field.name for field in dataclasses.fields(value)]
    unknown = [key for key in given if key not in known]
    if unknown:
        raise ValueError(f"{name} has no option {unknown[0]!r}; it has: {', '.join(known) or 'none'}")
    for key, word in given.items():
        own = getattr(value, key)
        if type(own) in (int, float) and (isinstance(word, bool) or not isinstance(word, int | float)):
            raise ValueError(f"{name}'s {key} is {word!r}; it is a number, such as {own}")
    return dataclasses.replace(value, **given)


def _options(text: str) -> dict[str, Any]:
    try:
        # Names may hold hyphens, which Python would take for subtraction.
        call = ast.parse("options" + text[text.index("(") :], mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("options go by name")
        return {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg}
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"cannot read {text!r}; write it like name(option=3)") from error
