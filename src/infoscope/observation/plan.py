"""How the uses of parameters are read: where the examples stand in each, and which parameters they are enough for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.observation.by_example import Columns
from infoscope.observation.closed_forms import Back
from infoscope.observation.forms import Forms, Slot
from infoscope.observation.uses import Listening, Placement, Use, placement

Hear = Callable[[int, frozenset[int]], tuple[Tensor, Listening]]
"""A forward pass on the first so many examples, with these uses spread out; what it gave, and what was heard."""

MOST_SPREAD = 8
"""Uses, one for all examples, that are done for each of them so that their gradients come back apart."""


@dataclass(frozen=True)
class Placed:
    """Where the examples stand in what enters a use, and in what leaves it."""

    slots: tuple[Slot, ...]
    entered: Placement
    left: Placement


@dataclass(frozen=True)
class Plan:
    """The uses of a forward pass in their order, None for one that can't be read; parameters that this is all of.

    `spread` are the numbers of uses whose result, one for all examples, is given to each by itself.
    """

    uses: tuple[Placed | None, ...]
    spread: frozenset[int]
    names: frozenset[str]

    def fits(self, uses: Sequence[Use]) -> bool:
        """Whether a forward pass uses the parameters in the order that was planned."""
        return len(uses) == len(self.uses) and all(
            placed is None or placed.slots == slots_of(use) for placed, use in zip(self.uses, uses, strict=True)
        )

    def forms(self, uses: Sequence[Use], n: int, outputs: Float[Tensor, "n ..."], columns: Columns) -> Forms:
        """The rows of the planned parameters: one reverse pass a column, to where uses are, not to parameters."""
        chosen = [
            (placed, use)
            for placed, use in zip(self.uses, uses, strict=True)
            if placed is not None and any(slot.name in self.names for slot in placed.slots)
        ]
        if not chosen:
            return {}
        backs = [torch.autograd.grad(outputs, [use.edge for _, use in chosen], c, retain_graph=True, allow_unused=True)
                 for c in columns] if outputs.requires_grad else [[None] * len(chosen)] * len(columns)  # fmt: skip
        found: Forms = {}
        for (placed, use), *back in zip(chosen, *backs, strict=True):
            entered = placed.entered.of(use.entered, n)
            came = Back(tuple(placed.left.of(_or_zero(g, use, outputs), n) for g in back))
            for part in use.parts:
                if part.slot.name in self.names:
                    form = use.rule(part.role, part.shape, entered, came)
                    found.setdefault(part.slot, []).append(form)
        return found


def slots_of(use: Use) -> tuple[Slot, ...]:
    """What a use uses."""
    return tuple(part.slot for part in use.parts)


def _or_zero(g: Tensor | None, use: Use, outputs: Tensor) -> Tensor:
    return outputs.new_zeros(use.left) if g is None else g.reshape(use.left)


def plan(hear: Hear, n: int) -> Plan:
    """The plan of a network, found by what it does with the first example alone and with n of them."""
    _, one = hear(1, frozenset())
    outputs, heard = hear(n, frozenset())
    spread, placed = frozenset[int](), _placed(one.uses, heard.uses, n, frozenset())
    for _ in range(MOST_SPREAD):
        shared = [i for i, use in enumerate(placed) if use is not None and use.left.shared]
        if not shared or (tried := _spread_out(hear, n, spread | {shared[0]}, outputs)) is None:
            break
        spread, heard = spread | {shared[0]}, tried
        placed = _placed(one.uses, heard.uses, n, spread)
    read = {slot.name for use in placed if use is not None and not use.left.shared for slot in use.slots}
    unread = (slots_of(use) for use, p in zip(heard.uses, placed, strict=False) if p is None or p.left.shared)
    bad = one.unknown | heard.unknown | {slot.name for slots in unread for slot in slots} | _overlapping(placed)
    unused = heard.names - {slot.name for use in (*one.uses, *heard.uses) for slot in slots_of(use)}
    return Plan(placed, spread, frozenset((read | unused) - bad))


def _placed(one: Sequence[Use], every: Sequence[Use], n: int, spread: frozenset[int]) -> tuple[Placed | None, ...]:
    if [slots_of(use) for use in one] != [slots_of(use) for use in every]:
        return (None,) * len(every)
    return tuple(_place(a, b, n, i in spread) for i, (a, b) in enumerate(zip(one, every, strict=True)))


def _place(one: Use, use: Use, n: int, spread: bool) -> Placed | None:
    entered = placement(tuple(one.entered.shape), tuple(use.entered.shape), n)
    left = Placement() if spread else placement(one.left, use.left, n)
    if entered is None or left is None:
        return None
    if entered.folded and not _near(entered.of(use.entered, n)[0], one.entered):
        entered = replace(entered, inner=True)
    return Placed(slots_of(use), entered, replace(left, inner=left.folded and entered.inner))


def _near(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.double(), b.double(), rtol=1e-3, atol=1e-6)


def _spread_out(hear: Hear, n: int, spread: frozenset[int], outputs: Tensor) -> Listening | None:
    """The network with these uses done for each example; None if it does not go on with that, or comes elsewhere."""
    try:
        found, heard = hear(n, spread)
    except (RuntimeError, ValueError, TypeError, IndexError):  # whatever it does with a shape that it did not expect
        return None
    return heard if found.shape == outputs.shape and _near(found, outputs) else None


def _overlapping(placed: Sequence[Placed | None]) -> set[str]:
    """Parameters of which one use takes a part, and another a part that overlaps it."""
    slots = sorted({slot for use in placed if use is not None for slot in use.slots}, key=repr)
    return {a.name for a, b in combinations(slots, 2) if a.meets(b)}
