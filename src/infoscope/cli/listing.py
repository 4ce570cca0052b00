"""`infoscope list` and `infoscope explain`: what there is. Nothing heavy is imported: tables are read in the source."""

from __future__ import annotations

import json

from infoscope.cli.source import docstring_in, docstring_of, first_paragraph, rows_of, summary_of
from infoscope.data.sources import EMBEDDED, SOURCES
from infoscope.quantities import explain as entry
from infoscope.quantities import terms
from infoscope.questions import QUESTIONS
from infoscope.studies import STUDIES, folder

TABLES = {
    "coders": ("a coder", "infoscope.prequential.coders:CODERS"),
    "estimators": ("an estimator", "infoscope.mi.methods:METHODS"),
    "corruptions": ("a corruption", "infoscope.data.deficit:KINDS"),
}


def show(what: str | None, as_json: bool = False) -> None:
    """Print one of the lists, or all."""
    tables = _tables()
    if what is not None and what not in tables:
        raise ValueError(f"no list of {what!r}; there are {', '.join(tables)}")
    chosen = {title: rows for title, rows in tables.items() if what in (None, title)}
    if as_json:
        print(json.dumps(chosen, ensure_ascii=False))
        return
    for title, rows in chosen.items():
        width = max(map(len, rows))
        print(f"{title}:", *(f"  {name:<{width}}  {text}" for name, text in rows.items()), sep="\n")


def explain(term: str) -> str:
    """A quantity or warning of the glossary, or a question, coder, estimator or corruption by its name."""
    told = [
        f"{term} ({kind}): {docstring_of(row.place).split('>>>')[0].strip()}"
        for kind, place in TABLES.values()
        if (row := rows_of(place).get(term))
    ]
    if not told:
        try:
            return entry(term)
        except ValueError:
            if term not in QUESTIONS:
                raise
    if term in QUESTIONS:
        told.append(f"{term} (a question): {docstring_of(QUESTIONS[term]).partition('Attributes')[0].strip()}")
    return "\n\n".join(told)


def studies() -> dict[str, str]:
    """The studies, and what each repeats, read in their source."""
    places = {name: place.partition(":") for name, place in STUDIES.items()}
    return {
        name: first_paragraph(docstring_in(folder() / f"{file}.py", kind)) for name, (file, _, kind) in places.items()
    }


def _tables() -> dict[str, dict[str, str]]:
    models = {name: row.text for name, row in rows_of("infoscope.models:MODELS").items()}
    return {
        "questions": {name: summary_of(place) for name, place in QUESTIONS.items()},
        "studies": studies(),
        "data": EMBEDDED | SOURCES,
        "models": models | {"MODULE:FACTORY": "your own (shape, classes)"},
        **{
            title: {name: docstring_of(row.place).splitlines()[0] for name, row in rows_of(place).items()}
            for title, (_, place) in TABLES.items()
        },
        "terms": terms(),
    }
