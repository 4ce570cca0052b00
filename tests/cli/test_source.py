from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from infoscope.cli.command import question_of
from infoscope.cli.listing import TABLES
from infoscope.cli.source import docstring_of, rows_of
from infoscope.questions import QUESTIONS

PLACES = [place for _, place in TABLES.values()] + ["infoscope.models:MODELS"]


@pytest.mark.parametrize("place", PLACES)
def test_a_table_in_the_source_is_the_table_that_is_imported(place):
    module, _, name = place.partition(":")
    table = getattr(importlib.import_module(module), name)
    rows = rows_of(place)
    assert list(rows) == list(table)
    for key, row in rows.items():
        kind = table[key] if isinstance(table[key], type) else type(table[key])
        assert row.place == f"{kind.__module__}:{kind.__qualname__}"
        assert docstring_of(row.place).split() == (kind.__doc__ or "").split()


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_s_help_is_its_docstring(name):
    assert docstring_of(QUESTIONS[name]).split() == (question_of(name).__doc__ or "").split()


def test_lists_need_nothing_heavy():
    code = (
        "import sys; from infoscope.cli import run; run(['list']); run(['explain', 'ksg']); "
        "print(sorted({'torch', 'numpy', 'scipy', 'sklearn', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
