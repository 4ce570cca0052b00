"""What regressions fill in memory, in bytes: told before they begin, and at most so much."""

from __future__ import annotations

from typing import Any

from infoscope.prequential.graph import BY_ROWS, CANDIDATES, FILTERED
from infoscope.prequential.rows import AT_ONCE, SAMPLE, many
from infoscope.run.free_memory import available, mebibytes

SINGLE, DOUBLE = 4, 8


def check_fits(asked: int, told: str, remedy: str) -> None:
    """ValueError where more is asked for than may be had."""
    if asked > (left := available()):
        raise ValueError(f"{told}: needs {mebibytes(asked)}, and {mebibytes(left)} may be had; {remedy}")


def memory_of(coder: Any, x: Any, target: Any) -> int:
    """What a coder says that it fills for these inputs, beside them; 0 where it does not say."""
    tells: Any = getattr(coder, "bytes_filled", None)
    return 0 if tells is None else tells(x, target)


def of_blocks(kernels: int, size: int, width: int) -> int:
    """Of each kernel a block's factor, twice as they are put side by side; means, errors, targets; one covariance."""
    return DOUBLE * kernels * size * (2 * size + 4 * width) + SINGLE * 3 * size**2


def of_whole(n: int, matrices: int, kernels: int, width: int) -> int:
    """So many matrices (n, n) at a time, and what each regression has learned."""
    return SINGLE * (matrices * n**2 + kernels * width * n)


def of_ridge(n: int, m: int, width: int) -> int:
    """A, its factor, and what they are multiplied with."""
    return (2 * DOUBLE + SINGLE if many(n) else 3 * SINGLE) * m * (m + width)


def of_projection(n: int, m: int, d: int, size: int, features: int) -> int:
    """Distances to m landmarks and so many features made of them: held, or of many rows a sample and a few blocks."""
    if not many(n):
        return SINGLE * n * m * (2 + features) + DOUBLE * 2 * m**2
    blocks = SINGLE * size * (2 * d + m * (2 + 2 * features)) + DOUBLE * size * m
    return SINGLE * SAMPLE * (2 * d + 3 * m) + DOUBLE * 2 * m**2 + blocks


def of_graph(n: int, components: int, neighbours: int, rank: int) -> int:
    """Points and their neighbours, the graph, and its eigenvectors, which are filtered a part at a time."""
    among = min(n, AT_ONCE // 2) * (n if n <= BY_ROWS else 2 * CANDIDATES)
    rank = min(rank, n)
    filtered = 4 * min(n * rank, max(FILTERED, n))
    return SINGLE * (n * components + 3 * among + 4 * n * rank + filtered) + 160 * n * neighbours


def of_refitted(n: int, d: int, rows: int, growth: float) -> int:
    """What is fitted anew to a table: copies of it, and `rows` numbers an example of the longest block."""
    return DOUBLE * (4 * n * d + 2 * int(n * (1 - 1 / growth) + 1) * rows) + 64 * n
