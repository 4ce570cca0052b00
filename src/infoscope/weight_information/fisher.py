"""The Fisher information of a network's weights on a task: the value that the look gives."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope import __version__
from infoscope.measurement import Bound, Measurement, Receipt, Status
from infoscope.observation.blocks import Block
from infoscope.observation.fisher_diagonal import FisherDiagonal
from infoscope.observation.kronecker import Factors
from infoscope.observation.squares import Total
from infoscope.record import Record, Row
from infoscope.run.look import pack, unpack
from infoscope.weight_information.gaussian import Axes, Curvature, KroneckerVectors


@dataclass(frozen=True)
class FisherFacts:
    """How it was made: what stands in the receipt.

    `batch_norm` is "running statistics" where there is batch normalisation, which is differentiated as in eval mode.
    """

    structure: str
    estimator: str
    draws: int
    seed: int
    n: int
    task: str
    network: str
    dtype: str
    batch_norm: str
    device: str


@dataclass(frozen=True, eq=False)
class Fisher:
    """F = (1/n) Σ_i J_iᵀ H_i J_i of n examples, nats a squared unit of weight and example, in one structure.

    Its diagonal is always there. For Kronecker factors and EKFAC there are `factors` for each of `blocks`, for EKFAC
    `moments` too, the eigenvalues in the factors' eigenbasis; `matrix` is the whole one, blocks side by side, each
    flattened; `values` and `vectors` (p, k) are those of low rank.
    """

    facts: FisherFacts
    diagonal: FisherDiagonal
    blocks: tuple[Block, ...] = ()
    factors: tuple[Factors, ...] = ()
    moments: tuple[Tensor, ...] = ()
    matrix: Float[Tensor, "p p"] | None = None
    values: Float[Tensor, " k"] | None = None
    vectors: Float[Tensor, "p k"] | None = None

    def trace(self) -> Measurement:
        """The trace, tr F: nats an example, to second order, for noise of variance 2 on every weight."""
        return self._measured("tr F", self.diagonal.trace())

    def by_layer(self) -> dict[str, Measurement]:
        """The trace of each layer: the parameters whose names differ in the last part only."""
        layers: dict[str, list[str]] = {}
        for name in self.diagonal.mean:
            layers.setdefault(name.rpartition(".")[0] or name, []).append(name)
        return {layer: self._measured("tr F", self.diagonal.trace(names)) for layer, names in layers.items()}

    def by_filter(self) -> dict[str, Tensor]:
        """Mean of the diagonal over the weights of each filter, a row of a parameter's first axis (see Task2Vec)."""
        means = self.diagonal.mean.items()
        return {name: t.flatten(1).mean(1) for name, t in means if t.ndim > 1}

    def record(self) -> Record:
        """The trace, and that of each layer; layer None is the whole network."""
        rows = [Row({"layer": None}, self.trace())]
        return Record.of([*rows, *(Row({"layer": layer}, m) for layer, m in self.by_layer().items())])

    def curvatures(self, n: int | None = None) -> dict[Block, Curvature]:
        """Of the loss summed over n examples (by default as many as it was made from), block by block.

        A block's weights are its matrix, flattened. The whole matrix is one block of all parameters, side by side.
        """
        n = self.facts.n if n is None else n
        if self.matrix is not None:
            shapes = tuple(shape for block in self.blocks for shape in block.shapes)
            names = tuple(name for block in self.blocks for name in block.names)
            return {Block(names, shapes, False, one_row=True): Curvature.full(n * self.matrix)}
        if self.factors:
            pairs = zip(self.blocks, self.factors, self.moments or (None,) * len(self.blocks), strict=True)
            return {block: _curvature(factors, moments, n) for block, factors, moments in pairs}
        return {
            Block((name,), (tuple(t.shape),), False): Curvature(n * t.flatten(), Axes())
            for name, t in self.diagonal.mean.items()
        }

    def _measured(self, quantity: str, total: Total) -> Measurement:
        facts, ways = self.facts, sorted(set(self.diagonal.ways.values()))
        notes = (f"dtype {facts.dtype}", f"batch normalisation: {facts.batch_norm}",
                 f"standard error over draws alone {total.stderr_of_draws:.3g} nats") if facts.draws > 1 else (
                 f"dtype {facts.dtype}", f"batch normalisation: {facts.batch_norm}")  # fmt: skip
        receipt = Receipt(
            facts.estimator, facts.task[:16], facts.network[:16], n=facts.n, seeds=(facts.seed,),
            over="examples and draws" if facts.draws else "examples", notes=notes, version=__version__,
            device=facts.device, path=", ".join(ways),
        )  # fmt: skip
        few = frozenset({Status.TOO_FEW_SAMPLES}) if facts.n < 2 else frozenset[Status]()
        return Measurement(quantity, total.value, total.stderr, "nat", Bound.NONE, few, receipt=receipt)

    def save(self, path: str | Path) -> None:
        """Write it as one safetensors file, its facts as JSON in the header."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> Fisher:
        """What `save` wrote."""
        return cls.from_bytes(Path(path).read_bytes())

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        tensors: dict[str, Tensor] = {}
        for i, factors in enumerate(self.factors):
            tensors |= {f"rows.{i}": factors.rows, f"columns.{i}": factors.columns}
        tensors |= {f"moments.{i}": t for i, t in enumerate(self.moments)}
        tensors |= {k: t for k in ("matrix", "values", "vectors") if (t := getattr(self, k)) is not None}
        diagonal, of_diagonal = self.diagonal.parts()
        blocks = [asdict(block) for block in self.blocks]
        return pack(tensors | diagonal, facts=asdict(self.facts), blocks=blocks, diagonal=of_diagonal)

    @classmethod
    def from_bytes(cls, data: bytes) -> Fisher:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        blocks = tuple(
            Block(tuple(b["names"]), tuple(tuple(shape) for shape in b["shapes"]), b["outer"]) for b in facts["blocks"]
        )
        factored, cornered = "rows.0" in tensors, "moments.0" in tensors
        return cls(
            FisherFacts(**facts["facts"]),
            FisherDiagonal.of_parts(tensors, facts["diagonal"]),
            blocks,
            tuple(Factors(tensors[f"rows.{i}"], tensors[f"columns.{i}"]) for i in range(len(blocks) * factored)),
            tuple(tensors[f"moments.{i}"] for i in range(len(blocks) * cornered)),
            *(tensors.get(k) for k in ("matrix", "values", "vectors")),
        )


def _curvature(factors: Factors, moments: Tensor | None, n: int) -> Curvature:
    (g, left), (a, right) = (_decomposed(side) for side in (factors.rows, factors.columns))
    h = torch.outer(g, a) if moments is None else moments
    return Curvature(n * h.flatten(), KroneckerVectors(left, right, (len(g), len(a))))


def _decomposed(side: Tensor) -> tuple[Tensor, Tensor | None]:
    """Eigenvalues and vectors; of a diagonal itself, and no vectors but its axes."""
    if side.ndim == 1:
        return side, None
    values, vectors = torch.linalg.eigh(side)
    return values, vectors
