"""Which contract a thing is held to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infoscope.mi.method import Method
from infoscope.testing.check import Check, cases


def checks_of(subject: Any) -> list[Check]:
    """The checks of an estimator, a coder or a question, picked by what it declares.

    >>> from infoscope.mi import KSG
    >>> [check.name for check in checks_of(KSG())][-2:]
    ['invariant_under_scale', 'invariant_under_sides']
    """
    if isinstance(subject, Method):
        from infoscope.testing.estimators import checks_of_estimator

        return checks_of_estimator(subject)
    if hasattr(subject, "experts") and hasattr(subject, "needs_network"):
        from infoscope.testing.coders import checks_of_coder

        return checks_of_coder(subject)
    if hasattr(subject, "stages"):
        from infoscope.testing.questions import checks_of_question

        return checks_of_question(subject)
    raise TypeError(
        f"{subject!r} is neither an estimator (`takes`, `subsampled`, `claims`, `estimate`), nor a coder "
        "(`needs_network`, `experts`), nor a question (`stages`); give it what it lacks"
    )


def parametrize_with_checks(table: Mapping[str, Any], slow: Any = ()) -> Any:
    """Make of a test that calls its `check` one pytest case for each check of each row; `slow` marks the slow ones."""
    return cases({name: checks_of(subject) for name, subject in table.items()}, slow)
