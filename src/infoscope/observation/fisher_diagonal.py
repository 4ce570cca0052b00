"""The diagonal of the Fisher information of a network's parameters, for its likelihood on given inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.inputs import Inputs, count, take
from infoscope.observation.estimators import Estimator, Exact
from infoscope.observation.forms import Forms
from infoscope.observation.likelihoods import Likelihood
from infoscope.observation.rows import MEMORY, Differentiated, Pass
from infoscope.observation.squares import Squares, Total, total
from infoscope.run.look import pack, unpack
from infoscope.training.isolation import subnormals_as_zero

BATCH = 32
"""Examples at once, at most: fewer where there are fewer than `GROUPS` of so many."""

GROUPS = 16
"""Batches, at least, where there are as many examples: what they differ by is the error."""


@dataclass(frozen=True, eq=False)
class FisherDiagonal:
    """The mean over n examples of E (∂ log p(y|x) / ∂θ_k)², y drawn from what the network predicts; float64.

    `stderr` is that of each entry, over examples and draws; `traces` hold the sum of each parameter's entries in every
    batch, for each of `draws`, and `batches` how many examples each had. A document is one example, all of its tokens
    together. `ways` are those of `Differentiated`.
    """

    mean: Mapping[str, Tensor]
    stderr: Mapping[str, Tensor]
    traces: Mapping[str, Float[Tensor, "batches columns"]]
    batches: Float[Tensor, " batches"]
    draws: int
    ways: Mapping[str, str]

    @property
    def n(self) -> int:
        """How many examples."""
        return int(self.batches.sum())

    def trace(self, names: Iterable[str] | None = None) -> Total:
        """The sum of the entries of these parameters, or of all."""
        chosen = list(self.mean if names is None else names)
        return total(torch.stack([self.traces[name] for name in chosen]).sum(0), self.batches, self.draws)

    def parts(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and facts that `of_parts` makes it from."""
        kinds = {"mean": self.mean, "stderr": self.stderr, "traces": self.traces}
        tensors = {f"{kind}.{name}": t for kind, held in kinds.items() for name, t in held.items()}
        return tensors | {"batches": self.batches}, {"draws": self.draws, "ways": dict(self.ways)}

    @classmethod
    def of_parts(cls, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> FisherDiagonal:
        """The value that `parts` took apart."""
        held = [{name: tensors[f"{kind}.{name}"] for name in facts["ways"]} for kind in ("mean", "stderr", "traces")]
        return cls(held[0], held[1], held[2], tensors["batches"], facts["draws"], facts["ways"])

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        tensors, facts = self.parts()
        return pack(tensors, **facts)

    @classmethod
    def from_bytes(cls, data: bytes) -> FisherDiagonal:
        """The value that `to_bytes` wrote."""
        return cls.of_parts(*unpack(data))


def fisher_diagonal(
    network: nn.Module,
    x: Inputs,
    likelihood: Likelihood,
    y: Tensor | None = None,
    *,
    estimator: Estimator = Exact(),
    names: Sequence[str] | None = None,
    seed: int = 0,
    batch: int | None = None,
    memory: int = MEMORY,
) -> FisherDiagonal:
    """The diagonal of F, (1/n) Σ_i diag(J_iᵀ H_i J_i).

    H_i is the Hessian of the negative log-likelihood of the network's outputs for an example, J_i their Jacobian.
    Over trainable parameters, or those named; a parameter that is used several times is one. In eval mode, on a copy;
    the network that is given is left as it is. `y` says which targets don't count (see `Categorical.masked`), and is
    what the empirical Fisher information is of. `seed` is what `Sketch` and `MonteCarlo` draw from.

    >>> from infoscope.observation.likelihoods import GAUSSIAN
    >>> fisher_diagonal(nn.Linear(2, 1), torch.tensor([[1.0, 2.0], [3.0, 4.0]]), GAUSSIAN).mean["weight"]
    tensor([[ 5., 10.]], dtype=torch.float64)
    """
    of = Differentiated(network, x, names, memory=memory)
    check_precision(of)
    found = Squares({name: tuple(p.shape) for name, p in of.parameters.items()})

    def add(forms: Forms, first: bool) -> None:
        found.add(forms, by_column=estimator.draws > 0)

    for n in columns_of_batches(of, x, y, likelihood, estimator, seed, batch, add):
        found.end(n)
    return diagonal_of(found, of, estimator)


def diagonal_of(found: Squares, of: Differentiated, estimator: Estimator) -> FisherDiagonal:
    """What the sums come to; a ValueError if any is not finite."""
    k = estimator.draws
    mean = {name: found.mean(name, k) for name in of.parameters}
    if bad := [name for name, t in mean.items() if not t.isfinite().all()]:
        raise ValueError(f"the gradients of {bad[0]!r} are NaN or infinite ({len(bad)} parameters); check the weights")
    sizes = torch.tensor(found.examples, dtype=torch.float64)
    return FisherDiagonal(mean, {name: found.stderr(name, k) for name in mean}, found.traces(), sizes, k, of.ways)


def columns_of_batches(
    of: Differentiated,
    x: Inputs,
    y: Tensor | None,
    likelihood: Likelihood,
    estimator: Estimator,
    seed: int,
    batch: int | None,
    add: Callable[[Forms, bool], None],
) -> Iterator[int]:
    """Hand the rows of every batch over, and whether they are its first; how many examples it had.

    As many columns at a time as memory takes.
    """
    total, draws = count(x), torch.Generator().manual_seed(seed)
    size = batch or max(1, min(BATCH, -(-total // GROUPS)))
    for start in range(0, total, size):
        rows = slice(start, start + size)
        passed = of.at(take(x, rows))
        _check_finite(passed, start)
        columns = estimator.columns(likelihood, passed.outputs.detach(), None if y is None else y[rows], draws)
        first = True
        while some := list(islice(columns, passed.together)):
            with subnormals_as_zero():  # the rows of a network that is sure
                add(passed.rows(some), first)
            first = False
        yield passed.n


def check_precision(of: Differentiated) -> None:
    """ValueError for weights of half precision."""
    if of.dtype in (torch.float16, torch.bfloat16):
        kind = str(of.dtype).removeprefix("torch.")
        raise ValueError(
            f"{type(of.network).__name__} has weights of {kind}, in which squares of gradients vanish; give "
            "network.float()"
        )


def _check_finite(passed: Pass, start: int) -> None:
    bad = ~passed.outputs.detach().flatten(1).isfinite().all(1)
    if bad.any():
        raise ValueError(
            f"the network gives NaN or infinity for {int(bad.sum())} of {len(bad)} examples from row {start} on, the "
            f"first is row {start + int(bad.nonzero()[0])}; check its weights and its inputs"
        )
