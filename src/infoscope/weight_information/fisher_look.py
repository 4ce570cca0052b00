"""The look behind every Fisher information: one pass over a task's examples, two for EKFAC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from torch import nn

from infoscope.data.task import Task
from infoscope.observation.architecture import Architecture
from infoscope.observation.blocks import Block, blocks
from infoscope.observation.estimators import Estimator, Exact
from infoscope.observation.fisher_diagonal import check_precision, columns_of_batches, diagonal_of
from infoscope.observation.forms import Forms
from infoscope.observation.kronecker import Factors, InBasis, Moments
from infoscope.observation.layers import unwrapped
from infoscope.observation.likelihoods import Likelihood, as_given, likelihood_of
from infoscope.observation.rows import Differentiated
from infoscope.observation.squares import Squares
from infoscope.observation.whole_matrix import Full, LowRank, directions
from infoscope.options import AtLeast, check_fields
from infoscope.run.context import RunContext
from infoscope.run.key import key
from infoscope.run.look import Look, look
from infoscope.training.learner import Weights, copy_weights
from infoscope.weight_information.example_losses import check_likelihood
from infoscope.weight_information.fisher import Fisher, FisherFacts
from infoscope.weight_information.flat_fisher import flat_fisher

VERSION = 1
"""Raised when the same network and task would give another Fisher information."""

MOST_BYTES = 2**31
"""A matrix may be so large."""


@dataclass(frozen=True)
class Diagonal:
    """The diagonal alone: O(p), what every other structure holds too."""


@dataclass(frozen=True)
class KFAC:
    """Kronecker factors of each layer, places taken for independent (Martens & Grosse 2015)."""


@dataclass(frozen=True)
class EKFAC:
    """Kronecker factors, and the diagonal in their eigenbasis (George et al. 2018): a second pass over the examples."""


@dataclass(frozen=True)
class FullMatrix:
    """The whole matrix: 8 p² bytes, 2 GiB at most."""


@dataclass(frozen=True)
class Leading:
    """The largest `rank` eigenvalues and their vectors, by random directions."""

    rank: Annotated[int, AtLeast(1)] = 20

    def __post_init__(self) -> None:
        check_fields(self)


Structure = Diagonal | KFAC | EKFAC | FullMatrix | Leading

STRUCTURES: dict[str, Structure] = {
    "diagonal": Diagonal(),
    "kfac": KFAC(),
    "ekfac": EKFAC(),
    "full": FullMatrix(),
    "low-rank": Leading(),
}


@dataclass(frozen=True)
class FisherOptions:
    """What is looked at, and how. `names` are the parameters, all trainable ones if there are none."""

    structure: Structure = Diagonal()
    estimator: Estimator = Exact()
    likelihood: Likelihood | None = None
    names: tuple[str, ...] = ()
    seed: Annotated[int, AtLeast(0)] = 0
    batch: Annotated[int | None, AtLeast(1)] = None

    def __post_init__(self) -> None:
        check_fields(self)


def fisher(
    network: nn.Module, task: Task, *, strict: bool = True, context: RunContext = RunContext(), **options: Any
) -> Fisher:
    """The Fisher information of a network's weights on a task, F = (1/n) Σ_i J_iᵀ H_i J_i; nats an example.

    H_i is the Hessian of the negative log-likelihood that the task's target stands for, J_i the Jacobian of what the
    network gives for example i, in eval mode: the Fisher information of classes, labels, numbers and tokens is what
    the network itself expects, whatever the labels are. `options` are the fields of `FisherOptions`. The network is
    left as it is. With a store in the `context` nothing is computed twice.

    >>> task = Task.from_dataset("digits")[:100]
    >>> found = fisher(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), task)
    >>> found.trace().unit, sorted(found.by_layer())
    ('nat', ['1'])
    """
    inner = unwrapped(network)
    given = FisherOptions(**options)
    names = given.names or tuple(name for name, p in inner.named_parameters() if p.requires_grad)
    one = fisher_look(Architecture.of(inner), copy_weights(inner), task, names, given)
    return look([one], context.store, jobs=context.jobs, on_done=context.on_done)[0]


def fisher_look(
    architecture: Architecture, weights: Weights, task: Task, names: Sequence[str], options: FisherOptions
) -> Look[Fisher]:
    """The same as a look, for the stages of a question."""
    _check(task, options)
    args = (architecture, dict(weights), task, tuple(names), options)
    shapes = {name: tuple(weights[name].shape) for name in names}
    return Look(
        look_at_fisher,
        args,
        Fisher,
        VERSION,
        f"Fisher information on {task.name}",
        "Fisher informations",
        stand_in=partial(flat_fisher, shapes, len(task)),
    )


def network_fisher_look(
    network: nn.Module, task: Task, names: Sequence[str], options: FisherOptions, device: str
) -> Look[Fisher]:
    """The look at a network as it is."""
    return fisher_look(Architecture.of(network, device), copy_weights(network), task, names, options)


def look_at_fisher(
    architecture: Architecture, weights: Weights, task: Task, names: tuple[str, ...], options: FisherOptions
) -> Fisher:
    """Differentiate: what `fisher` gives."""
    network = architecture.with_weights(weights)
    device = next(network.parameters()).device
    of = Differentiated(network, task.x, names)
    check_precision(of)
    found = Squares({name: tuple(p.shape) for name, p in of.parameters.items()})
    whole = _passes(of, task, options, found)
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    facts = FisherFacts(
        type(options.structure).__name__,
        str(options.estimator),
        options.estimator.draws,
        options.seed,
        len(task),
        task.fingerprint,
        key((architecture, dict(weights))),
        str(of.dtype).removeprefix("torch."),
        "running statistics" if norms else "none",
        str(device),
    )
    return Fisher(facts, diagonal_of(found, of, options.estimator), **whole)


def _passes(of: Differentiated, task: Task, options: FisherOptions, found: Squares) -> dict[str, Any]:
    """What the structure holds besides the diagonal, whose squares are summed up in the first pass."""
    estimator, structure = options.estimator, options.structure
    k, kept = max(1, estimator.draws), list[Any]()

    def first_pass(forms: Forms, first: bool) -> None:
        found.add(forms, by_column=estimator.draws > 0)
        if not kept and not isinstance(structure, Diagonal):
            kept.extend(_sums(structure, blocks(forms, found.shapes), options.seed))
        for one in kept:
            one.add(forms, first)

    for n in _batches(of, task, options, first_pass):
        found.end(n)
    match structure:
        case KFAC() | EKFAC():
            factors = tuple(one.factors(estimator.draws) for one in kept)
            held = {"blocks": tuple(one.block for one in kept), "factors": factors}
            return held if isinstance(structure, KFAC) else held | _corrected(of, task, options, kept, factors)
        case FullMatrix():
            return {"blocks": kept[0].blocks, "matrix": (kept[0].sums / (len(task) * k)).cpu()}
        case Leading(rank):
            values, vectors = kept[0].decomposed(rank)
            return {"blocks": kept[0].blocks, "values": values / (len(task) * k), "vectors": vectors}
    return {}


def _sums(structure: Structure, found: tuple[Block, ...], seed: int) -> list[Any]:
    """What sums the rows up for a structure."""
    p = sum(block.height * block.width for block in found)
    match structure:
        case FullMatrix():
            if 8 * p * p > MOST_BYTES:
                raise ValueError(
                    f"the whole Fisher matrix of {p} parameters takes {8 * p * p / 2**30:.1f} GiB; take EKFAC, or name "
                    "fewer parameters"
                )
            return [Full(found)]
        case Leading(rank):
            return [LowRank(found, directions(p, rank, seed))]
    return [Moments(block) for block in found]


def _corrected(
    of: Differentiated, task: Task, options: FisherOptions, kept: Sequence[Moments], factors: Sequence[Factors]
) -> dict[str, Any]:
    """The second pass: the same columns again, in the eigenbasis of the factors."""
    turned = [InBasis(one.block, side.basis()) for one, side in zip(kept, factors, strict=True)]

    def add(forms: Forms, first: bool) -> None:
        for one in turned:
            one.add(forms, first)

    for _ in _batches(of, task, options, add):
        pass
    return {"moments": tuple(one.mean(options.estimator.draws) for one in turned)}


def _batches(of: Differentiated, task: Task, options: FisherOptions, add: Callable[[Forms, bool], None]) -> Any:
    likelihood = options.likelihood or likelihood_of(task.target)
    y = task.y if options.likelihood is not None else as_given(task.target, task.y)
    return columns_of_batches(of, task.x, y, likelihood, options.estimator, options.seed, options.batch, add)


def _check(task: Task, options: FisherOptions) -> None:
    """ValueError before anything is computed."""
    if not len(task):
        raise ValueError(f"{task.name!r} has no examples; the Fisher information is a mean over some")
    if options.likelihood is None:
        likelihood_of(task.target)
        check_likelihood(task)
