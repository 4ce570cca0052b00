"""Controls of a probe: labels that no representation could foretell, and inputs that nobody has to be trained for."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F

from infoscope.data.inputs import Array
from infoscope.data.task import Task
from infoscope.data.texts import Texts
from infoscope.prequential.closed_form import as_table
from infoscope.prequential.features import LARGEST_IMAGE, is_images

MOST_WORDS = 4000
"""Words of a bag, the most frequent ones."""


def random_labels(y: Shaped[Tensor, "n ..."], seed: int) -> Shaped[Tensor, "n ..."]:
    """The same labels dealt out at random: what a code of them saves, the probe invents."""
    return y[torch.from_numpy(np.random.default_rng([seed, 1]).permutation(len(y)))]


def labels_of_words(y: Shaped[Tensor, "n ..."], words: Sequence[str], seed: int) -> Shaped[Tensor, "n ..."]:
    """One label a word type, drawn from the labels (Hewitt & Liang 2019, control tasks).

    What a code of them saves, it knows by heart word by word: the input's identity, and nothing about the label.

    >>> labels_of_words(torch.arange(4), ["a", "b", "a", "a"], 0).unique().numel() <= 2
    True
    """
    _, kinds = np.unique(np.array(words), return_inverse=True)
    drawn = np.random.default_rng([seed, 2]).integers(len(y), size=int(kinds.max()) + 1)
    return y[torch.from_numpy(drawn[kinds])]


def first_words(texts: Sequence[str]) -> tuple[str, ...]:
    """The first word of each text, in small letters: its type where a label is of the whole text.

    >>> first_words(["What is it?", "", "... no"])
    ('what', '', '.')
    """
    return tuple((re.findall(r"\w+|[^\w\s]", text.lower()) or [""])[0] for text in texts)


def plain_inputs(task: Task) -> tuple[str, Float[Tensor, "n d"]]:
    """What a probe is given without a network, and what that is called: a bag of words, or the inputs themselves."""
    if isinstance(task.x, Texts):
        return "bag of words", bag_of_words(task.x.words())
    x = task.x
    if isinstance(x, Array) and is_images(x) and max(x.shape[2:]) > LARGEST_IMAGE:
        small = F.adaptive_avg_pool2d(x[:].float(), (min(x.shape[2], LARGEST_IMAGE), min(x.shape[3], LARGEST_IMAGE)))
        return "inputs", small.flatten(1)
    return "inputs", as_table(x).float()


def bag_of_words(texts: Sequence[str]) -> Float[Tensor, "n words"]:
    """Words weighted by how rare they are, counts by their logarithm, rows of unit length; order is lost."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    often = min(2, len(texts))
    counts = TfidfVectorizer(
        sublinear_tf=True, min_df=often, max_features=MOST_WORDS, token_pattern=r"(?u)\b\w+\b|[^\w\s]"
    )
    try:
        found = counts.fit_transform(texts)
    except ValueError:  # no word occurs twice
        return torch.zeros(len(texts), 1)
    dense = np.asarray(found.todense(), dtype=np.float32)
    return torch.from_numpy(dense)
