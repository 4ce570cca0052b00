"""Every coder of the table is held to what every coder must keep; a new one is one more row of `CODERS`."""

from __future__ import annotations

import dataclasses
from typing import Any

from infoscope.prequential.coders import CODERS
from infoscope.testing import parametrize_with_checks
from infoscope.training.recipe import Recipe


def small(coder: Any) -> Any:
    """The coder with fewer epochs, where it trains."""
    return dataclasses.replace(coder, first=8, recipe=Recipe(epochs=20)) if hasattr(coder, "recipe") else coder


@parametrize_with_checks({name: small(coder) for name, coder in CODERS.items()})
def test_contract(check):
    check()
