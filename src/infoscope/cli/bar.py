"""A progress bar with the time left, on standard error, where somebody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[float, float | None], None]
"""Is told how much is done, of how much (None if that is unknown)."""


@contextmanager
def bar(shown: bool, title: str) -> Iterator[Advance]:
    """Show a bar while inside; it moves when it is told to, and leaves no trace."""
    if not shown or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    percent, left = TextColumn("{task.percentage:>3.0f} %"), TextColumn("left")
    columns = (TextColumn("{task.description}"), BarColumn(), percent, TimeElapsedColumn(), left, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
