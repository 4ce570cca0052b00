"""Sequences of tokens that were trained on in part: they share runs of thirteen words with the trained text.

Thirteen words in a row are what Brown et al. 2020 ("Language models are few-shot learners", appendix C) look for. Text
is compared in lower case and without punctuation, ids of tokens as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Int

from infoscope.data.near_duplicates import Nearness
from infoscope.data.targets import MASKED, Tokens
from infoscope.data.task import Task

RUN = 13
"""Words in a row; a sequence of fewer is compared as a whole."""

SHARE = 0.25
"""Of its runs that a sequence shares with the trained ones, from which on it counts as one of them."""

BYTES = 256
"""The vocabulary of text that was read without a tokenizer."""

_PIECE = 1 << 20  # runs that are looked up at a time


def shared_passages(coded: Task, trained: Task) -> Nearness | None:
    """The examples of `coded` that share passages with those of `trained`; None where they are no sequences of tokens.

    >>> text = np.random.default_rng(0).integers(0, 999, (4, 40))
    >>> old, new = (Task.from_arrays(x, [0] * len(x), as_is=True) for x in (text[:3], text[2:]))
    >>> shared_passages(new, old).near.tolist()
    [True, False]
    """
    if _sequences(coded) is None or _sequences(trained) is None:
        return None
    runs = [_runs(words) for words in _words(coded)]
    every = np.concatenate([np.empty(0, np.uint64), *runs])
    known = np.zeros(len(every), dtype=bool)
    for piece in _gathered(_runs(words) for words in _words(trained)):
        known |= np.isin(every, piece)
    owner = np.repeat(np.arange(len(runs)), [len(run) for run in runs])
    shared = np.bincount(owner, known, len(runs)) / np.maximum(np.bincount(owner, minlength=len(runs)), 1)
    what = "words" if _is_text(coded) else "tokens"
    return Nearness(shared >= SHARE, f"passages of {RUN} {what}")


def _is_text(task: Task) -> bool:
    return task.target == Tokens(BYTES)


def _sequences(task: Task) -> np.ndarray | None:
    """What holds the tokens of each example, (n, length); −100 where there is none."""
    if isinstance(task.target, Tokens):
        return task.y.numpy()
    x = task.x
    ids = x.get("input_ids") if isinstance(x, Mapping) else x
    if ids is None or ids.ndim != 2 or ids.dtype.is_floating_point or ids.dtype.itemsize == 1:
        return None
    mask = x.get("attention_mask") if isinstance(x, Mapping) else None
    held = ids[:].numpy().astype(np.int64)
    return held if mask is None else np.where(mask[:].numpy() > 0, held, MASKED)


def _words(task: Task) -> Iterator[Int[np.ndarray, " words"]]:
    """Each example's words, as numbers."""
    rows = _sequences(task)
    assert rows is not None
    for row in rows:
        tokens = row[row != MASKED]
        if _is_text(task):
            text = tokens.astype(np.uint8).tobytes().decode(errors="ignore").lower()
            tokens = np.array([hash(word) for word in re.findall(r"\w+", text)], dtype=np.int64)
        yield tokens


def _runs(words: Int[np.ndarray, " words"]) -> np.ndarray:
    """A hash of every `RUN` words in a row: Σ_i w_i f^i modulo 2^64."""
    size, mixed = min(RUN, len(words)), words.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    found = np.zeros(len(words) - size + 1 if size else 0, dtype=np.uint64)
    for i in range(size):
        found = found * np.uint64(0xD6E8FEB86659FD93) + mixed[i : i + len(found)]
    return found


def _gathered(runs: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Many short arrays in few long ones."""
    held, size = [], 0
    for run in runs:
        held.append(run)
        size += len(run)
        if size >= _PIECE:
            yield np.concatenate(held)
            held, size = [], 0
    if held:
        yield np.concatenate(held)
