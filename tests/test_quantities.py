from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import infoscope
from infoscope.measurement import Status
from infoscope.quantities import ROOMS, explain, quantities, terms


@pytest.mark.parametrize("term", [q.symbol for q in quantities()] + [s.name for s in Status])
def test_every_quantity_and_warning_is_explained(term):
    assert term in explain(term)
    assert term in terms()


def test_an_unknown_term_names_its_neighbours():
    with pytest.raises(ValueError, match="did you mean codelength"):
        explain("codelenght")


def test_names_are_not_shared():
    names = [n.casefold() for q in quantities() for n in {q.symbol, q.name, *q.aliases}]
    assert len(names) == len(set(names))


GIVES_A_NAME = ("Measurement", "from_replicates", "named", "measured", "measurement", "answer")


def reported() -> Iterator[tuple[str, str]]:
    """The names that the source gives to measurements, and where: `Measurement("…")`, `.named("…")`, `quantity="…"`."""
    for path in sorted(Path(infoscope.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[ast.expr | None] = []
            if isinstance(node, ast.Call):
                function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                names = [keyword.value for keyword in node.keywords if keyword.arg == "quantity"]
                names += node.args[:1] if function.lstrip("_") in GIVES_A_NAME else []
            elif isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "quantity":
                names = [node.value]
            for name in names:
                choices = [name.body, name.orelse] if isinstance(name, ast.IfExp) else [name]
                yield from (
                    (c.value, path.name) for c in choices if isinstance(c, ast.Constant) and isinstance(c.value, str)
                )


def test_every_quantity_that_is_reported_is_in_the_glossary():
    missing = {name: place for name, place in reported() if name not in {q.symbol for q in quantities()}}
    assert missing == {}
    assert {"L(y|x)", "I(X;Y)", "accuracy", "d(w_t,w)"} <= {name for name, _ in reported()}


def test_every_file_of_the_glossary_is_read_and_none_before_it_is_needed():
    folder = Path(infoscope.__file__).parent / "glossary"
    assert {path.stem for path in folder.iterdir()} == set(ROOMS)
    program = "import infoscope.quantities as q; assert q.quantities.cache_info().currsize == 0"
    subprocess.run([sys.executable, "-c", program], check=True)
