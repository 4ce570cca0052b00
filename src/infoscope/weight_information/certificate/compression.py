"""Certificates of a compressed network: the length of a file is the KL of one who puts all his weight on it."""

from __future__ import annotations

import lzma
import math
from pathlib import Path

from infoscope.weight_information.certificate.kl_inverse import kl_inverse


def message_bits(content: bytes) -> int:
    """Bits of a message from which these bytes come back, and which is no beginning of another one.

    A bit says whether what follows is compressed (LZMA), 2⌊log2(m + 1)⌋ + 1 its length of m bytes (Elias γ), then come
    the bytes. 2^−bits is therefore a prior over all files.

    >>> message_bits(b"")
    2
    """
    m = min(len(content), len(lzma.compress(content, format=lzma.FORMAT_ALONE)))
    return 1 + 2 * math.floor(math.log2(m + 1)) + 1 + 8 * m


def compression_bound(risk: float, bits: float, n: int, delta: float) -> float:
    """Bound on the risk of a network that a message of so many bits describes: kl⁻¹(r | (bits log 2 + log 1/δ)/n).

    Chernoff's bound for one network at a time, with δ 2^−bits for each (Occam; Langford 2005, Zhou et al. 2019 eq. (4)
    without its constants): the network is no average, so that nothing is paid for the average. Whatever else is needed
    to decode (architecture, quantiser, code) must have been fixed before the examples were seen.

    >>> round(compression_bound(0.05, 8000, 60000, 0.05), 4)
    0.1984
    """
    _check(bits, n, delta)
    return kl_inverse(risk, (bits * math.log(2) + math.log(1 / delta)) / n)


def file_bound(path: Path, risk: float, n: int, delta: float) -> float:
    """`compression_bound` of a file of (quantised) weights, every byte of it counted."""
    return compression_bound(risk, message_bits(path.read_bytes()), n, delta)


def token_bound(loss: float, bits: float, n: int, delta: float, vocabulary: int, smoothing: float) -> float:
    """Bound on the loss of a language model, nats a token, of which n tokens in their order are the examples.

    Lotfi et al. 2024 (2407.18158), Theorem 3.1: loss + Δ √((bits log 2 + log 1/δ)/2n), by Azuma's inequality: tokens
    depend on each other, and the loss of each given those before, less its expectation, is a martingale. What is
    bounded is the mean of these expectations along the text that was seen. `loss` is that of the predictions mixed with
    the uniform one, (1 − α) p + α/V with α = `smoothing`, whose range is Δ = log(1 + (1 − α)V/α).

    >>> round(token_bound(3.0, 1e6, 10**8, 0.05, vocabulary=50257, smoothing=0.01), 3)
    3.908
    """
    _check(bits, n, delta)
    if not 0 < smoothing < 1:
        raise ValueError(f"the smoothing is {smoothing}; a share between 0 and 1 keeps the loss of a token bounded")
    spread = math.log1p((1 - smoothing) * vocabulary / smoothing)
    return loss + spread * math.sqrt((bits * math.log(2) + math.log(1 / delta)) / (2 * n))


def _check(bits: float, n: int, delta: float) -> None:
    if not bits >= 0 or n < 1 or not 0 < delta < 1:
        raise ValueError(f"bits={bits}, n={n}, delta={delta}: bits are 0 or more, n is 1 or more, δ between 0 and 1")
