"""A small transformer on words, for where no encoder can be fetched: trained on the spot, and said to be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from infoscope.data.task import Task

PADDING, UNKNOWN = 0, 1


@dataclass(frozen=True)
class SmallTransformer:
    """Factory: words and places embedded, `depth` blocks of attention and a network, the mean over words, logits."""

    vocabulary: int
    width: int = 48
    depth: int = 3
    heads: int = 4

    def __call__(self, shape: Any, outputs: int) -> nn.Module:
        """The network for sequences of this length."""
        return _Transformer(self, shape["input_ids"][0], outputs)


class _Transformer(nn.Module):
    def __init__(self, sizes: SmallTransformer, length: int, outputs: int):
        super().__init__()
        self.embeddings = _Embeddings(sizes.vocabulary, length, sizes.width)
        self.blocks = nn.ModuleList(_Block(sizes.width, sizes.heads) for _ in range(sizes.depth))
        self.norm, self.head = nn.LayerNorm(sizes.width), nn.Linear(sizes.width, outputs)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        kept = attention_mask.bool()
        h = self.embeddings(input_ids)
        for block in self.blocks:
            h = block(h, kept)
        weight = attention_mask[..., None].to(h.dtype)
        return self.head(self.norm((h * weight).sum(1) / weight.sum(1)))


class _Embeddings(nn.Module):
    def __init__(self, vocabulary: int, length: int, width: int):
        super().__init__()
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Parameter(0.1 * torch.randn(length, width))

    def forward(self, ids: Tensor) -> Tensor:
        return self.words(ids) + self.places


class _Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, h: Tensor, kept: Tensor) -> Tensor:
        n, length, width = h.shape
        parts = self.mix(self.first(h)).view(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(*parts, attn_mask=kept[:, None, None])
        h = h + self.out(seen.transpose(1, 2).reshape(n, length, width))
        return h + self.narrow(F.gelu(self.wide(self.second(h))))


def words_of(text: str) -> list[str]:
    """Words and marks, in small letters."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


def vocabulary_of(texts: Sequence[str], most: int) -> dict[str, int]:
    """The most frequent words, numbered from 2 on."""
    counts = Counter(word for text in texts for word in words_of(text))
    return {word: i + 2 for i, (word, _) in enumerate(counts.most_common(most))}


def tokens(task: Task, vocabulary: dict[str, int], length: int) -> Task:
    """The same examples as numbers of words with their mask; what is longer is cut."""
    texts = task.x.words()  # type: ignore[union-attr]
    ids = np.full((len(texts), length), PADDING)
    for row, text in zip(ids, texts, strict=True):
        known = [vocabulary.get(word, UNKNOWN) for word in words_of(text)][:length] or [UNKNOWN]
        row[: len(known)] = known
    x = {"input_ids": ids, "attention_mask": (ids != PADDING).astype(np.int64)}
    return Task.from_arrays(x, task.labels, alphabet=task.alphabet, name=task.name)
