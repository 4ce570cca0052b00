"""Texts as the tokens of a tokenizer of Hugging Face's, which go to a network by name."""

from __future__ import annotations

import dataclasses

import numpy as np

from infoscope.data.raw import Raw, Reading
from infoscope.data.texts import Texts
from infoscope.hugging_face import tokenizer_of


def tokenized(raw: Raw, source: str, reading: Reading) -> Raw:
    """`input_ids` and `attention_mask` in the place of texts, all of the longest one's length.

    Texts are cut where the tokenizer says that its network ends, and at `length` tokens at the latest.
    """
    if reading.tokenizer is None or raw.as_is:  # running text is read in tokens already
        return raw
    if not isinstance(raw.x, Texts):
        raise ValueError(f"{source}: a tokenizer reads texts, and the examples are none; leave it out")
    tokenizer = tokenizer_of(reading.tokenizer)
    if not hasattr(tokenizer, "model_max_length"):
        raise TypeError(f"{type(tokenizer).__name__} does not cut and pad texts; give a tokenizer of transformers")
    if tokenizer.pad_token is None:  # decoders have none; the mask keeps it out
        tokenizer.pad_token = tokenizer.eos_token
    most = min(tokenizer.model_max_length, reading.length)
    given = tokenizer(raw.x.words(), padding=True, truncation=True, max_length=most)
    names = ("input_ids", "attention_mask")
    return dataclasses.replace(raw, x={name: np.asarray(given[name], dtype=np.int64) for name in names})
