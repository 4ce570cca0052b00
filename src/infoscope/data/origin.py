"""How a value was made, so that another process makes it again instead of being sent its content."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Origin:
    """How a task was made: a step (an importable function), its arguments, and the tasks that it took."""

    step: Callable[..., Any]
    arguments: tuple[tuple[str, Any], ...] = ()
    parents: tuple[Origin, ...] = ()
    made: tuple[int, int] | None = field(default=None, compare=False, repr=False)
    """The identities, in this process, of the inputs and of the y that came of it."""
    lost: bool = field(default=False, compare=False, repr=False)
    """Whether arrays were put in the place of those that came of it, in a parent of this task."""

    def of(self, task: Any) -> Origin:
        """The origin of what this task holds now."""
        return dataclasses.replace(self, made=(id(task.x), id(task.y)))

    def tells(self, task: Any) -> bool:
        """Whether this is how what the task holds came to be; not so if its arrays were replaced by others."""
        return not self.lost and self.made in (None, (id(task.x), id(task.y)))

    def rests_on(self, step: Callable[..., Any]) -> bool:
        """Whether this step was taken anywhere on the way."""
        return self.step is step or any(parent.rests_on(step) for parent in self.parents)

    def __str__(self) -> str:
        words = [*(str(p) for p in self.parents), *(f"{k}={_brief(v)}" for k, v in self.arguments)]
        return f"{self.step.__name__}({', '.join(words)})"


def derive(step: Callable[..., T], /, *parents: Any, **arguments: Any) -> T:
    """`step(*parents, **arguments)`, with its origin written on it."""
    made: Any = step(*parents, **arguments)
    lost = not all(parent.origin.tells(parent) for parent in parents)
    origin = Origin(step, tuple(arguments.items()), tuple(p.origin for p in parents), lost=lost)
    return dataclasses.replace(made, origin=origin.of(made))


def _brief(value: Any) -> str:
    text = repr(value)
    if len(text) <= 60:
        return text
    return f"<{type(value).__name__} of {len(value)}>" if hasattr(value, "__len__") else text
