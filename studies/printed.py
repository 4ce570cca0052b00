"""Studies that say what they find line by line, and write what they measured to the run directory."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import fields
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from infoscope.run.context import RunContext
from infoscope.run.question import Stages
from infoscope.run.study import Claim, Doing, StudyAnswer

Study = Callable[[argparse.Namespace], Sequence[Claim] | None]
"""Prints what it finds, given its options, `out`, `jobs` and `device`; judges claims, if it does."""


def printed(title: str, study: Study, asked: Any) -> Stages[StudyAnswer]:
    """The study as a stage: its lines are shown, and stand on its page."""
    return (yield Doing(partial(_said, title, study, asked)))


def _said(title: str, study: Study, asked: Any, context: RunContext) -> StudyAnswer:
    options = {field.name: getattr(asked, field.name) for field in fields(asked)}
    with tempfile.TemporaryDirectory() as nowhere:
        out = context.store.root if context.store is not None else None
        given = argparse.Namespace(**options, out=out or Path(nowhere), jobs=context.jobs, device=context.device)
        with redirect_stdout(StringIO()) as said:
            claims = study(given)
    return StudyAnswer(title, (), claims=claims or (), lines=said.getvalue().splitlines())
