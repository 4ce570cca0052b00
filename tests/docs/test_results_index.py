"""The index of results names every page of them."""

from __future__ import annotations

import re
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"


def test_every_page_of_results_is_in_the_index():
    named = re.findall(r"\]\((\w+\.md)\)", (RESULTS / "README.md").read_text(encoding="utf-8"))
    assert sorted(named) == sorted(page.name for page in RESULTS.glob("*.md") if page.name != "README.md")
