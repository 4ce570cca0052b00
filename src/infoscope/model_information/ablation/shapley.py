"""Shapley values: what each of several parts adds, on average over the orders in which they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from math import comb

import numpy as np

Coalition = frozenset[int]
Worth = Callable[[Coalition], float]
"""What a coalition of parts is worth."""

MOST = 12
"""Parts for which Shapley values are offered."""

EXACT = 6
"""Parts up to which all coalitions are looked at: 64."""


def coalitions(parts: int) -> list[Coalition]:
    """All, the smaller ones first.

    >>> [sorted(one) for one in coalitions(2)]
    [[], [0], [1], [0, 1]]
    """
    return [frozenset(some) for size in range(parts + 1) for some in combinations(range(parts), size)]


def random_orders(parts: int, count: int, seed: int) -> list[tuple[int, ...]]:
    """So many orders of the parts, drawn by the seed."""
    draws = np.random.default_rng(seed)
    return [tuple(draws.permutation(parts).tolist()) for _ in range(count)]


def prefixes(orders: Iterable[Sequence[int]]) -> list[Coalition]:
    """The coalitions that stand at the beginning of these orders, each once."""
    return list(dict.fromkeys(frozenset(order[:size]) for order in orders for size in range(len(order) + 1)))


def shapley(worth: Worth, parts: int) -> list[float]:
    """Exact values, from all 2^g coalitions (Shapley 1953); their sum is worth(all) − worth(none).

    φ_i = Σ_{S without i} (v(S with i) − v(S)) / (g C(g−1, |S|)).

    >>> shapley(lambda some: float(len(some) == 2), 2)  # each is worth nothing without the other
    [0.5, 0.5]
    """
    values = {some: worth(some) for some in coalitions(parts)}
    return [
        sum(
            (values[some | {i}] - without) / (parts * comb(parts - 1, len(some)))
            for some, without in values.items()
            if i not in some
        )
        for i in range(parts)
    ]


def gains(worth: Worth, orders: Sequence[Sequence[int]]) -> np.ndarray:
    """What each part adds where it comes, (orders, parts); the mean over random orders estimates Shapley values.

    Each row's sum is worth(all) − worth(none), whatever the order (Castro, Gómez & Tejada 2009).

    >>> gains(lambda some: float(len(some) == 2), [(0, 1), (1, 0)]).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    values = {some: worth(some) for some in prefixes(orders)}
    table = np.empty((len(orders), len(orders[0])))
    for row, order in zip(table, orders, strict=True):
        for size, part in enumerate(order):
            row[part] = values[frozenset(order[: size + 1])] - values[frozenset(order[:size])]
    return table
