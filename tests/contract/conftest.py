from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from infoscope.testing import checks_of
from infoscope.testing.check import ContractBroken


@pytest.fixture
def broken() -> Callable[[Any], dict[str, str]]:
    """Of an estimator, a coder or a question the checks that fail, and what they say."""

    def found(subject: Any) -> dict[str, str]:
        told = {}
        for check in checks_of(subject):
            try:
                check()
            except ContractBroken as error:
                told[check.name] = str(error)
        return told

    return found
