"""Symbols to bytes and back by a range coder (constriction), within 32 bits of their code length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import constriction
import numpy as np
from jaxtyping import Float, Int

from infoscope.prequential.loss_curve import Code

stream: Any = constriction.stream  # pyright: ignore[reportAttributeAccessIssue] - it has no type stubs
# Probabilities enter the coder as 24-bit fixed point, at least one unit each: both sides round alike.
_FAMILY = stream.model.Categorical(perfect=False)


def encode(y: Int[np.ndarray, " n"], p: Float[np.ndarray, "n classes"]) -> bytes:
    """The shortest bytes that `decode` turns back into `y` under the probabilities `p`.

    >>> p = np.full((100, 2), 0.5)
    >>> len(encode(np.arange(100) % 2, p))  # 100 bits are 13 bytes
    13
    """
    if p.shape[1] == 1:
        return b""
    symbols = y.astype(np.int32)
    coder = stream.queue.RangeEncoder()
    coder.encode(symbols, _FAMILY, p)
    whole = coder.get_compressed().astype(">u4").tobytes()
    # The coder ends on a whole word; any number in its last interval will do, and the shortest one is sought.
    for size in range(max(0, len(whole) - 12), len(whole)):
        floor = int.from_bytes(whole[:size], "big")
        for number in (floor, floor + 1):
            if number < 256**size or size == number == 0:
                short = number.to_bytes(size, "big")
                if _decodes(short, symbols, p):
                    return short
    return whole


def _decodes(payload: bytes, symbols: np.ndarray, p: np.ndarray) -> bool:
    try:
        return bool((_decoder(payload).decode(_FAMILY, p) == symbols).all())
    except AssertionError:  # no message at all starts with these bytes
        return False


def decode(payload: bytes, code: Code, n: int, on_label: Callable[[int, int], None] | None = None) -> np.ndarray:
    """The n labels that `encode` wrote, by running the sender's own `code` on what has been decoded so far."""
    labels = np.zeros(n, dtype=np.int64)
    decoder = _decoder(payload)
    p = next(code)
    for i in range(n):
        labels[i] = _next(decoder, p)
        if i + 1 < n:
            p = code.send(int(labels[i]))
        if on_label is not None:
            on_label(i + 1, n)
    code.close()
    return labels


def _next(decoder: Any, p: Float[np.ndarray, " classes"]) -> int:
    try:
        return int(decoder.decode(_FAMILY, p[None])[0]) if len(p) > 1 else 0
    except AssertionError as error:
        raise ValueError("the payload cannot come from this code: it, or the computation here, is another") from error


def _decoder(payload: bytes) -> Any:
    padded = payload + bytes(-len(payload) % 4 + 8)
    return stream.queue.RangeDecoder(np.frombuffer(padded, dtype=">u4").astype(np.uint32))
