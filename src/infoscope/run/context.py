"""How what a question needs is done: where it is kept, over how many processes, on which device, who is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from infoscope.record import Row
from infoscope.run.execute import Work
from infoscope.run.store import Store


@dataclass(frozen=True)
class RunContext:
    """Where finished work is kept (`store`), how many processes do it (`jobs`), and on which `device` networks run.

    `on_done` is told of every finished unit of work, `on_rows` of measurements as soon as they are made, `on_plan` how
    many networks will train, and how long that takes, before they do.
    """

    store: Store | None = None
    jobs: int = 1
    device: str = "cpu"
    on_done: Callable[[Work], None] | None = None
    on_rows: Callable[[Iterable[Row]], None] | None = None
    on_plan: Callable[[str], None] | None = None
