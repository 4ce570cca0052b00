"""Texts by their words and letters: n-grams weighted by how rare they are, regressed and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int

from infoscope.data.targets import Classes, Labels
from infoscope.prequential.experts.family import ExampleTarget, refitted
from infoscope.prequential.experts.of_classes import classwise, columns_of, smoothed
from infoscope.prequential.gaussian_process import Regression
from infoscope.prequential.memory import DOUBLE, of_blocks, of_ridge, of_whole
from infoscope.prequential.mixture import Experts
from infoscope.prequential.readouts import by_example, in_blocks, readout
from infoscope.training.isolation import isolated

GRAM = 400
"""Bytes that a letter fills at most in n-grams: those of 2 to 5 letters that begin with it, thrice."""


def grams(texts: Sequence[str]) -> tuple[sp.csr_array, sp.csr_array]:
    """Words and pairs of words, and runs of 2 to 5 letters, by tf-idf with logarithmic counts, rows of unit length.

    What is rare is counted in all texts, which both sides know.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    words: dict[str, Any] = {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b|[^\w\s]"}
    letters: dict[str, Any] = {"ngram_range": (2, 5), "analyzer": "char_wb"}
    found = []
    for options in (words, letters):
        vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=min(2, len(texts)), **options)
        try:
            found.append(sp.csr_array(vectorizer.fit_transform(texts)))
        except ValueError:  # no gram occurs twice
            found.append(sp.csr_array((len(texts), 1)))
    return found[0], found[1]


@dataclass(frozen=True)
class WordProcesses:
    """Gaussian-process regression with the cosine of n-grams for kernel: words, letters, and both, and several noises.

    Up to `exact` texts the kernel is whole; beyond, n-grams are first turned into their `components`.
    """

    noises: tuple[float, ...] = (0.3, 1.0, 3.0)
    readouts: tuple[tuple[float, float], ...] = ((4.0, 0.0), (8.0, 0.0), (12.0, 0.0))
    soft: tuple[float, ...] = (0.1, 0.3)
    exact: int = 6000
    components: int = 1000
    block: int = 500

    def experts(self, texts: Sequence[str], target: ExampleTarget, seed: int) -> Experts:
        """What they predict of the next text."""
        read, n = readout(target, self.readouts, self.soft), len(texts)
        yield from in_blocks(
            lambda: (each.blocks(target.outputs, self.block) for each in self.regressions(texts, seed)),
            n, self.block, lambda _, blocks: by_example(blocks, read), seed,
        )  # fmt: skip

    def memory(self, texts: Sequence[str], target: ExampleTarget) -> int:
        """How many bytes they fill at most: the n-grams, whole kernels or components."""
        n, width, kernels = len(texts), target.outputs, 3 * len(self.noises)
        filled = GRAM * sum(map(len, texts)) + of_blocks(kernels, min(n, self.block), width)
        if n <= self.exact:
            return filled + of_whole(n, kernels + 7, kernels, width)
        m = self.components + 1
        return filled + 5 * DOUBLE * n * m + kernels * of_ridge(n, m, width)

    def regressions(self, texts: Sequence[str], seed: int) -> Iterator[Regression]:
        """The kernels, each with its noise."""
        words, letters = grams(texts)
        both = sp.csr_array(sp.hstack([words, letters]) * 0.5**0.5)
        if len(texts) > self.exact:
            features = [self._components(each, seed) for each in (words, letters, both)]
            yield from (Regression(phi, noise, whole=False) for phi in features for noise in self.noises)
            return
        kernels = [torch.from_numpy((each @ each.T).toarray().astype(np.float32)) for each in (words, letters, both)]
        yield from (Regression(k + 0.1, noise) for k in kernels for noise in self.noises)

    def _components(self, grams: Any, seed: int) -> torch.Tensor:
        from sklearn.decomposition import TruncatedSVD

        size = min(self.components, grams.shape[1] - 1)
        found = TruncatedSVD(size, n_iter=3, random_state=seed % 2**32).fit_transform(grams)
        return torch.from_numpy(np.concatenate([found, np.full((len(found), 1), 0.1**0.5)], 1).astype(np.float32))


@dataclass(frozen=True)
class WordRegression:
    """Logistic regression on n-grams, plain, and on n-grams weighed by how they tell the classes apart.

    The second multiplies each n-gram by the logarithm of the ratio of its frequencies within and outside a class (Wang
    & Manning 2012, "Baselines and bigrams"), class against the rest. `strengths` are inverse penalties.
    """

    strengths: tuple[float, ...] = (3.0, 30.0)
    weighed: tuple[float, ...] = (1.0, 10.0)
    first: int = 20
    growth: float = 1.25

    def experts(self, texts: Sequence[str], target: ExampleTarget, seed: int) -> Experts:
        """What they predict of the next text."""
        if not isinstance(target, Classes | Labels):
            raise TypeError(f"logistic regression tells classes apart, not {target}")
        with isolated(seed, threads=1):
            x = sp.csr_array(sp.hstack(grams(texts)) * 0.5**0.5)
        size = len(self.strengths) + len(self.weighed)
        places = np.arange(len(texts))[:, None]

        def predict(past: np.ndarray, y: Int[np.ndarray, " past"], new: np.ndarray, classes: int) -> np.ndarray:
            return self._rows(x[past[:, 0]], y, x[new[:, 0]], classes)

        yield from refitted(classwise(predict, target), size, places, target, seed, self.first, self.growth)

    def _rows(self, past: Any, y: np.ndarray, new: Any, classes: int) -> Float[np.ndarray, "b e c"]:
        from sklearn.linear_model import LogisticRegression

        seen = np.unique(y)
        if len(seen) < 2:
            even = np.full((new.shape[0], classes), 1 / classes)
            return np.stack([smoothed(even, y, 1.0)] * (len(self.strengths) + len(self.weighed)), 1)
        rows = []
        for strength in self.strengths:
            model = LogisticRegression(C=strength, max_iter=200, tol=1e-3).fit(past, y)
            rows.append(columns_of(model.predict_proba(new), model.classes_, classes))
        for strength in self.weighed:
            odds = np.zeros((new.shape[0], classes))
            for c in seen:
                ratio = log_ratio(past, y == c)
                scaled = LogisticRegression(C=strength, max_iter=200, tol=1e-3)
                scaled.fit(past.multiply(ratio).tocsr(), y == c)
                odds[:, c] = scaled.predict_proba(new.multiply(ratio).tocsr())[:, 1]
            rows.append(odds / odds.sum(1, keepdims=True))
        return np.stack([smoothed(p, y, 1 / (len(y) + 2)) for p in rows], 1)


def log_ratio(x: sp.csr_array, own: np.ndarray) -> Float[np.ndarray, " grams"]:
    """Log of how much more of its weight an n-gram has in the texts of a class than in the others."""
    counts = [np.asarray((x[rows] > 0).sum(0)).ravel() + 1.0 for rows in (own, ~own)]
    within, outside = (each / each.sum() for each in counts)
    return np.log(within / outside)
