"""Sequences of tokens: what is known of them beforehand, codes that count contexts, and their mixture."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from infoscope.data.inputs import Batch, Inputs
from infoscope.data.targets import MASKED
from infoscope.prequential.mixture import Experts, Mixture, Posterior, probabilities

SMALL = 512
"""Up to this vocabulary, pairs of tokens are counted, and experts are also mixed in the logit domain."""


def mixture(experts: Experts, mask: Bool[np.ndarray, "n length"], vocabulary: int) -> Generator[np.ndarray, int, None]:
    """The code of tokens: yields the probabilities of the next one that is sent.

    To the experts come counts over the whole vocabulary with few pseudo-counts (`Counts`, α = 1/V; Hutter 2013,
    "Sparse adaptive Dirichlet-multinomial-like processes"), for a vocabulary up to `SMALL` those in the context of the
    token before (Krichevsky & Trofimov), and a uniform code. So L ≤ min_e L_e + log E.
    """
    rows = next(experts)
    counts = [Counts(0, 1 / vocabulary, vocabulary), *([Counts(1, 0.5, vocabulary)] if vocabulary <= SMALL else [])]
    mixed = Mixture(len(rows) + 2, vocabulary) if vocabulary <= SMALL else _Large(len(rows) + 1, vocabulary)
    for document in mask:
        past: list[int] = []
        for sent in document:
            token = MASKED
            if sent:
                token = yield mixed.predict(np.concatenate([rows, *(each.row(past)[None] for each in counts)]))
                for learner in (mixed, *counts):
                    learner.learn(token)
                past.append(token)
            try:
                rows = experts.send(token)
            except StopIteration:
                return


class _Large:
    """A Bayes mixture of the rows, a uniform one, and their mixture with switching."""

    def __init__(self, rows: int, vocabulary: int) -> None:
        self.uniform = np.full((1, vocabulary), -np.log(vocabulary))
        self.switching, self.bayes = Posterior(rows + 1, share=0.3), Posterior(rows + 2)

    def predict(self, rows: Float[np.ndarray, "rows vocabulary"]) -> Float[np.ndarray, " vocabulary"]:
        rows = np.concatenate([rows, self.uniform])
        return probabilities(self.bayes.predict(np.concatenate([rows, self.switching.predict(rows)[None]])))

    def learn(self, token: int) -> None:
        self.switching.learn(token)
        self.bayes.learn(token)


class Counts:
    """Dirichlet counts (n_w + α) / (n + α V) in the context of the last `order` tokens of the document.

    α = ½ is the estimator of Krichevsky & Trofimov (1981), good where most of a small alphabet occurs.

    >>> counts = Counts(0, 0.5, 2)
    >>> _ = counts.row([]); counts.learn(1); np.exp(counts.row([]))
    array([0.25, 0.75])
    """

    def __init__(self, order: int, alpha: float, vocabulary: int) -> None:
        self.order, self.nothing = order, np.full(vocabulary, alpha)
        self.tables: dict[tuple[int, ...], np.ndarray] = {}
        self.table = self.nothing

    def row(self, past: list[int]) -> Float[np.ndarray, " vocabulary"]:
        """Log-probabilities of the next token."""
        self.table = self.tables.setdefault(_context(past, self.order), self.nothing.copy())
        return np.log(self.table / self.table.sum())

    def learn(self, token: int) -> None:
        """Count the token in the context that was asked for last."""
        self.table[token] += 1


@dataclass(frozen=True)
class Contexts:
    """The model-free code of tokens: counts in the contexts of the last 0 … `order` tokens, each leaning on the last.

    p_k(w) = (n_k(w) + d_k p_k−1(w)) / (n_k + d_k), with n_k the counts in the context of k tokens, d_k how many unlike
    tokens have followed it, one at least, and p_−1 uniform (Witten & Bell 1991, "The zero-frequency problem"). Each
    order is an expert. A document is a context of its own: nothing before its beginning is looked at.
    """

    order: int = 5

    def experts(self, shape: tuple[int, ...], vocabulary: int) -> Experts:
        """Log-probabilities of the next token (orders, vocabulary), which is then sent, or −100 where it is masked."""
        tables: list[dict[tuple[int, ...], dict[int, int]]] = [{} for _ in range(self.order + 1)]
        for _ in range(shape[0]):
            past: list[int] = []
            for _ in range(shape[1]):
                used = [table.setdefault(_context(past, k), {}) for k, table in enumerate(tables) if k <= len(past)]
                token = yield np.log(self._rows(used, vocabulary))
                if token != MASKED:
                    for table in used:
                        table[token] = table.get(token, 0) + 1
                    past.append(token)

    def _rows(self, used: list[dict[int, int]], vocabulary: int) -> Float[np.ndarray, "orders vocabulary"]:
        rows = np.empty((self.order + 1, vocabulary))
        p = np.full(vocabulary, 1 / vocabulary)
        for k in range(self.order + 1):
            if k < len(used) and used[k]:
                table, unlike = used[k], len(used[k])
                total = sum(table.values()) + unlike
                p = p * (unlike / total)
                p[list(table)] += np.array(list(table.values())) / total
            rows[k] = p
        return rows


def _context(past: list[int], order: int) -> tuple[int, ...]:
    return tuple(past[-order:]) if order else ()


def ids_of(x: Inputs) -> Tensor:
    """The tokens among the inputs: themselves, or what goes by the name `input_ids`."""
    if not isinstance(x, Mapping):
        return x[:] if len(x) else torch.empty(0, 0)
    if "input_ids" not in x:
        raise ValueError(f"the inputs have {', '.join(x)} and no input_ids; give the tokens this name")
    return x["input_ids"][:]


def with_ids(x: Batch, ids: Tensor) -> Batch:
    """The inputs with other tokens."""
    return ids if isinstance(x, Tensor) else {**x, "input_ids": ids}


def known(x: Inputs, mask: Bool[np.ndarray, "n length"]) -> Inputs:
    """What both sides know of the inputs: tokens that are to be sent are 0 where the network is to read them.

    >>> known(torch.tensor([[9, 4, 5]]), np.array([[True, False, True]]))
    tensor([[9, 0, 5]])
    """
    ids = ids_of(x).clone()
    ids[:, 1:][torch.from_numpy(mask)[:, :-1]] = 0
    return {**x, "input_ids": ids} if isinstance(x, Mapping) else ids


def check_behind(x: Inputs, y: Int[Tensor, "n length"]) -> None:
    """ValueError unless the inputs are the tokens one place behind, so that place t is given what came before it."""
    ids, sent = ids_of(x), (y != MASKED)[:, :-1]
    if ids.shape != y.shape or ids.is_floating_point():
        raise ValueError(
            f"the inputs are {ids.dtype} of shape {tuple(ids.shape)} for tokens of shape {tuple(y.shape)}; "
            "give integers of the same shape"
        )
    wrong = (sent & (ids[:, 1:] != y[:, :-1])).any(1)
    if wrong.any():
        raise ValueError(
            f"the inputs of {int(wrong.sum())} of {len(y)} sequences are not their tokens one place behind (the first "
            f"is row {int(wrong.nonzero()[0])}): x[:, t + 1] must be y[:, t]"
        )
