"""Texts as inputs: networks read hashed words, whoever can read reads the words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from infoscope.data.mapped import Mapped
from infoscope.data.text import hashed_words


@dataclass(frozen=True, eq=False)
class Texts(Mapped):
    """One text an example: as an array its hashed words (n, 1024), beside them the texts themselves.

    >>> x = Texts.of(["no", "yes", "no"])
    >>> x.shape, x.select([2, 1]).words()
    (torch.Size([3, 1024]), ['no', 'yes'])
    """

    texts: tuple[str, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str], hashed: np.ndarray | None = None) -> Texts:
        """These texts; `hashed` are their hashed words, where they are there already."""
        known = tuple(texts)
        source = torch.from_numpy(hashed_words(known) if hashed is None else hashed)
        return cls(source, range(len(known)), texts=known)

    def words(self) -> list[str]:
        """The texts, in the order of the rows."""
        return [self.texts[row] for row in self.rows]
