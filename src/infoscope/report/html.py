"""The report: one HTML file that needs nothing else, not even a network."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from types import MappingProxyType

from infoscope.figure import Figure, Gallery
from infoscope.record import Record
from infoscope.report import sections
from infoscope.report.side_by_side import side_by_side
from infoscope.report.table import json_text
from infoscope.report.thinning import thinned

NONE: Mapping[str, str] = MappingProxyType({})


def write_html(
    path: str | os.PathLike[str],
    record: Record,
    *,
    title: str,
    lead: str = "",
    figures: Sequence[Figure | Gallery] = (),
    facts: Mapping[str, str] = NONE,
    glossary: Mapping[str, str] = NONE,
) -> Path:
    """Write a self-contained report of `record` and return its path; the file appears whole or not at all.

    `lead` says the result in one plain sentence. `facts` say how it was made; the one named "command" gets a copy
    button, and what the receipts know (method, data, seeds, version, threads) is added. Every text is shown as it is:
    none can become markup or script. `record` is also inside, as the JSON of `json_text`, in the element `record`.
    A table of more than a few rows stands below the figures.
    """
    whole = [figure for figure in figures if isinstance(figure, Figure)]
    drawn = [thinned(figure) for figure in whole]
    galleries = [sections.gallery(one) for one in figures if isinstance(one, Gallery)]
    plots = [sections.figure(i, a, b) for i, (a, b) in enumerate(zip(whole, drawn, strict=True))]
    numbers = sections.section("numbers", "The numbers", sections.numbers(record, glossary))
    pictures = sections.section("figures", "Figures", "\n".join([*galleries, *plots]))
    parts = [
        *((numbers, pictures) if len(record) <= sections.FEW else (pictures, numbers)),
        sections.section("sides", "Side by side", side_by_side(record)),
        sections.section("facts", "How it was made", sections.facts(record, facts)),
        sections.section("glossary", "Terms", sections.glossary(glossary)),
    ]
    scripts = [_asset("assets/report.js")]
    if drawn:
        scripts.insert(0, _asset("vendor/plotly-cartesian.min.js"))
    page = Template(_asset("assets/report.html")).substitute(
        title=escape(title),
        lead=f'<p class="lead">{escape(lead)}</p>' if lead else "",
        style=_asset("assets/report.css"),
        sections="\n".join(part for part in parts if part),
        script_hashes=" ".join(map(_hash, scripts)),
        scripts="\n".join(
            [
                _data("record", json_text(record)),
                _data("figure-data", json.dumps([figure.as_dict() for figure in drawn], allow_nan=False)),
                *(f"<script>{script}</script>" for script in scripts),
            ]
        ),
    )
    return _write_whole(Path(path), page)


def _asset(name: str) -> str:
    return files("infoscope.report").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """The only scripts that the page's security policy lets run are the ones whose hash it names."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _data(name: str, text: str) -> str:
    r"""JSON that no HTML parser can mistake for markup.

    >>> _data("x", '"</script>"')
    '<script type="application/json" id="x">"\\u003c/script\\u003e"</script>'
    """
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _write_whole(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("wb") as file:
            # A file name with undecodable bytes is shown with question marks rather than lose the report.
            file.write(text.encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        fact = error.strerror or str(error)
        raise OSError(error.errno, f"{fact}: the report was not written; free some space", str(path)) from error
    finally:
        draft.unlink(missing_ok=True)
    return path
