from __future__ import annotations

import pytest

from infoscope.measurement import Status
from infoscope.quantities import QUANTITIES, explain, terms


@pytest.mark.parametrize("term", [q.symbol for q in QUANTITIES] + [s.name for s in Status])
def test_every_quantity_and_warning_is_explained(term):
    assert term in explain(term)
    assert term in terms()


def test_an_unknown_term_names_its_neighbours():
    with pytest.raises(ValueError, match="did you mean codelength"):
        explain("codelenght")


def test_names_are_not_shared():
    names = [n.casefold() for q in QUANTITIES for n in {q.symbol, q.name, *q.aliases}]
    assert len(names) == len(set(names))
