"""Symbols to bytes and back by a range coder (constriction), within 32 bits of their code length."""

from __future__ import annotations

import math
from typing import Any

import constriction
import numpy as np
from jaxtyping import Float

stream: Any = constriction.stream  # pyright: ignore[reportAttributeAccessIssue] - it has no type stubs
# Probabilities enter the coder as 24-bit fixed point, at least one unit each: both sides round alike.
_FAMILY = stream.model.Categorical(perfect=False)

WHOLE = 4096
"""The largest alphabet whose symbols are written whole; of a larger one a symbol is two digits."""


class Compressor:
    """Symbols to the shortest bytes that `Decompressor` gives back, each under the probabilities given with it.

    >>> compressor = Compressor()
    >>> for symbol in [0, 1] * 50:
    ...     compressor.put(symbol, np.full(2, 0.5))
    >>> len(compressor.finish())  # 100 bits are 13 bytes
    13
    """

    def __init__(self) -> None:
        self._coder = stream.queue.RangeEncoder()

    def put(self, symbol: int, p: Float[np.ndarray, " alphabet"]) -> None:
        """Write one symbol; of an alphabet of one it takes nothing."""
        for digit, row in _digits(symbol, p):
            self._coder.encode(np.array([digit], dtype=np.int32), _FAMILY, row[None])

    def finish(self) -> bytes:
        """The shortest bytes in the last interval: the coder itself ends on a whole word, where fewer bytes may do."""
        whole = self._coder.get_compressed().astype(">u4").tobytes()
        words, (lower, width) = self._coder.pos()
        size = 4 * words + 8
        point = int.from_bytes(whole.ljust(size, b"\0"), "big")
        low = (point >> 64 << 64) + lower
        low -= (low > point) << 64  # the point lies in the interval: a carry ran through the words before
        for kept in range(len(whole)):
            rest = 8 * (size - kept)
            for number in (point >> rest, (point >> rest) + 1):
                if low <= number << rest < low + width and (number < 256**kept or kept == number == 0):
                    return number.to_bytes(kept, "big")
        return whole


class Decompressor:
    """Symbols from bytes, each under the probabilities given for it."""

    def __init__(self, payload: bytes) -> None:
        padded = payload + bytes(-len(payload) % 4 + 8)
        self._coder = stream.queue.RangeDecoder(np.frombuffer(padded, dtype=">u4").astype(np.uint32))

    def get(self, p: Float[np.ndarray, " alphabet"]) -> int:
        """Read one symbol; ValueError where no such symbols can have been written."""
        if len(p) <= WHOLE:
            return self._digit(p)
        base, table = _table(p)
        high = self._digit(table.sum(1))
        return high * base + self._digit(_share(table[high]))

    def _digit(self, p: Float[np.ndarray, " alphabet"]) -> int:
        try:
            return int(self._coder.decode(_FAMILY, p[None])[0]) if len(p) > 1 else 0
        except AssertionError as error:
            raise ValueError(
                "the payload cannot come from this code: it, or the computation here, is another"
            ) from error


def _digits(symbol: int, p: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """A symbol of a large alphabet as two digits, as fixed point would be too coarse for it."""
    if len(p) <= WHOLE:
        return [(symbol, p)] if len(p) > 1 else []
    base, table = _table(p)
    high, low = divmod(symbol, base)
    return [(high, table.sum(1)), (low, _share(table[high]))]


def _table(p: np.ndarray) -> tuple[int, np.ndarray]:
    base = math.isqrt(len(p) - 1) + 1
    return base, np.pad(p, (0, -len(p) % base)).reshape(-1, base)


def _share(row: np.ndarray) -> np.ndarray:
    return row / row.sum()
