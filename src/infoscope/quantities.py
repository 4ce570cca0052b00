"""Every quantity that the library reports, and the words around it, explained: the glossary's files hold them."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from infoscope.measurement import Bound, Status

ROOMS = (
    "prequential",
    "model_information",
    "mi",
    "weight_distance",
    "weight_information",
    "bottleneck",
    "task_space",
    "general",
)
"""The glossary's files, in the order in which terms are listed."""


@dataclass(frozen=True)
class Quantity:
    """A term: symbol, unit, side, meaning in plain words, equation and source; `aliases` are its other names."""

    symbol: str
    name: str
    unit: str
    bound: Bound
    meaning: str
    equation: str = ""
    source: str = ""
    aliases: tuple[str, ...] = ()


@cache
def quantities() -> tuple[Quantity, ...]:
    """All of them, room by room, read from the glossary when they are first asked for.

    >>> quantities()[0].symbol
    'L(y|x)'
    """
    return tuple(q for room in ROOMS for q in _read(room))


def explain(term: str) -> str:
    """What a term means, in a few lines; a ValueError names the nearest terms if it is unknown.

    >>> print(explain("SATURATED"))
    SATURATED (a warning): within 5 % of the most this estimator can report: take more samples or a larger batch.
    """
    wanted = term.strip().casefold()
    for status in Status:
        if wanted == status.name.casefold():
            return f"{status.name} (a warning): {status.value}."
    by_name = {name.casefold(): q for q in quantities() for name in (q.symbol, q.name, *q.aliases)}
    if wanted not in by_name:
        near = difflib.get_close_matches(wanted, [*by_name, *(s.name.casefold() for s in Status)], 3, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "infoscope list terms shows them all"
        raise ValueError(f"no term {term!r}; {hint}")
    return _entry(by_name[wanted])


def terms() -> dict[str, str]:
    """Every term with its one-line name."""
    return {q.symbol: q.name for q in quantities()} | {s.name: s.value for s in Status}


def _read(room: str) -> list[Quantity]:
    text = files("infoscope").joinpath("glossary", f"{room}.toml").read_text(encoding="utf-8")
    return [
        Quantity(**term | {"bound": Bound(term.get("bound", "none")), "aliases": tuple(term.get("aliases", ()))})
        for term in tomllib.loads(text)["term"]
    ]


def _entry(q: Quantity) -> str:
    side = {Bound.UPPER: ", an upper bound", Bound.LOWER: ", a lower bound", Bound.EXACT: ", exact"}.get(q.bound, "")
    unit = "bits" if q.unit == "bit" else "no unit"
    lines = [f"{q.symbol}: {q.name} ({unit}{side})", q.meaning]
    lines += [f"    {q.equation}"] if q.equation else []
    lines += [f"Source: {q.source}."] if q.source else []
    return "\n".join(lines)
