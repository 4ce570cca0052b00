"""`infoscope list`: what there is."""

from __future__ import annotations

import inspect
from typing import Any

from infoscope.data.corruption import CORRUPTIONS
from infoscope.data.embedded import EMBEDDED
from infoscope.data.readers import SOURCES
from infoscope.mi.methods import METHODS
from infoscope.models import MODELS
from infoscope.prequential.coders import CODERS
from infoscope.quantities import explain as entry
from infoscope.quantities import terms


def show(what: str | None) -> None:
    """Print one of the lists, or all."""
    tables = _tables()
    if what is not None and what not in tables:
        raise ValueError(f"no list of {what!r}; there are {', '.join(tables)}")
    for title, rows in tables.items():
        if what in (None, title):
            width = max(map(len, rows))
            print(f"{title}:", *(f"  {name:<{width}}  {text}" for name, text in rows.items()), sep="\n")


def explain(term: str) -> str:
    """A quantity or warning of the glossary, or a coder, estimator or corruption by its name."""
    for title, table in (("coder", CODERS), ("estimator", METHODS), ("corruption", CORRUPTIONS)):
        if term in table:
            return f"{term} (a {title}): {inspect.cleandoc(table[term].__doc__ or '').split('>>>')[0].strip()}"
    return entry(term)


def _tables() -> dict[str, dict[str, str]]:
    return {
        "data": EMBEDDED | SOURCES,
        "models": {name: repr(value) for name, value in MODELS.items()}
        | {"MODULE:FACTORY": "your own (shape, classes)"},
        "coders": {name: _first_line(value) for name, value in CODERS.items()},
        "estimators": {name: _first_line(value) for name, value in METHODS.items()},
        "corruptions": {name: _first_line(value) for name, value in CORRUPTIONS.items()},
        "terms": terms(),
    }


def _first_line(value: Any) -> str:
    return (value.__doc__ or "").strip().splitlines()[0]
