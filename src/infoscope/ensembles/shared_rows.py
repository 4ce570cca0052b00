"""Members whose trainings are the same up to an epoch, and which are one row of their stack until then."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

from infoscope.ensembles.population import Member

Groups = list[list[int]]
"""The members that each row stands for, by their place; the first is the one that it is trained as."""


def first_rows(members: Sequence[Member]) -> Groups:
    """The rows that a stack begins with: one a member, unless some have a `Window`.

    Members that start alike, and learn from the same examples at the same rate in the first epoch, are then one row.
    """
    if all(member.window is None for member in members):
        return [[i] for i in range(len(members))]
    alike: list[list[int]] = []
    for i, member in enumerate(members):
        found = next((group for group in alike if _starts_like(members[group[0]], member)), None)
        if found is None:
            alike.append([i])
        else:
            found.append(i)
    return next_rows(members, alike, 0)


def next_rows(members: Sequence[Member], groups: Groups, epoch: int) -> Groups:
    """The rows of an epoch: those before, each in as many as its members go different ways."""
    return [part for group in groups for part in _parted(group, lambda i: _path(members[i], epoch))]


def row_epochs(members: Sequence[Member]) -> int:
    """How many epochs of one network all trainings are, what is shared counted once."""
    groups, total = first_rows(members), 0
    for epoch in range(max(member.learner.recipe.epochs for member in members)):
        going = [[i for i in group if epoch < members[i].learner.recipe.epochs] for group in groups]
        groups = next_rows(members, [group for group in going if group], epoch)
        total += len(groups)
    return total


def _starts_like(a: Member, b: Member) -> bool:
    """Whether they are one network, trained alike but for the rate, the epochs and the windows."""
    one, other = a.learner, b.learner
    facts = [
        (m.seed, m.task.fingerprint, m.validation, m.learner.recipe.optimizer, m.learner.recipe.augment) for m in (a, b)
    ]
    return one.factory == other.factory and one.weights is other.weights and facts[0] == facts[1]


def _parted(group: list[int], path: Callable[[int], Hashable]) -> list[list[int]]:
    if len(group) == 1:
        return [group]
    parts: dict[Hashable, list[int]] = {}
    for i in group:
        parts.setdefault(path(i), []).append(i)
    return list(parts.values())


def _path(member: Member, epoch: int) -> Hashable:
    """What an epoch's steps depend on besides the weights: the examples, and the rate at every step."""
    recipe, n = member.learner.recipe, len(member.task)
    steps = math.ceil(n / recipe.batch)
    taken = steps - (n > recipe.batch and n % recipe.batch == 1)  # a last batch of one is joined to its neighbour
    done = [(epoch * taken + step) / (steps * recipe.epochs) for step in range(taken)]
    return member.learns_from(epoch).fingerprint, tuple(recipe.decay(one) for one in done)
