"""How a value was made, so that another process makes it again instead of being sent its content."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Origin:
    """How a task was made: a step (an importable function), its arguments, and the tasks that it took."""

    step: Callable[..., Any]
    arguments: tuple[tuple[str, Any], ...] = ()
    parents: tuple[Origin, ...] = ()

    def rests_on(self, step: Callable[..., Any]) -> bool:
        """Whether this step was taken anywhere on the way."""
        return self.step is step or any(parent.rests_on(step) for parent in self.parents)

    def __str__(self) -> str:
        words = [*(str(p) for p in self.parents), *(f"{k}={_brief(v)}" for k, v in self.arguments)]
        return f"{self.step.__name__}({', '.join(words)})"


def derive(step: Callable[..., T], /, *parents: Any, **arguments: Any) -> T:
    """`step(*parents, **arguments)`, with its origin written on it."""
    made: Any = step(*parents, **arguments)
    return dataclasses.replace(made, origin=Origin(step, tuple(arguments.items()), tuple(p.origin for p in parents)))


def _brief(value: Any) -> str:
    text = repr(value)
    if len(text) <= 60:
        return text
    return f"<{type(value).__name__} of {len(value)}>" if hasattr(value, "__len__") else text
