"""How far does training carry a network? One question, asked of many networks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from infoscope import __version__
from infoscope.data.task import Task
from infoscope.ensembles.ensemble import measured
from infoscope.ensembles.population import Member
from infoscope.measurement import Measurement, Receipt, Unit
from infoscope.record import Record
from infoscope.run.context import RunContext
from infoscope.training.learner import Learner
from infoscope.weight_distance.distance import Distances
from infoscope.weight_distance.qmcm import QMCM, SubsetScale
from infoscope.weight_distance.study import Travel, Travelled, joined

_FUNCTIONS: dict[str, tuple[str, Unit, str]] = {
    "l2": ("|p−q|", "1", "Euclidean over probabilities"),
    "js": ("JS(p,q)", "nat", "Jensen–Shannon"),
}
_PATIENCE = 10_000  # samples that QMCM may reject before it is given up


@dataclass(frozen=True)
class Journey:
    """How far networks came from where they began, in weights and as functions.

    `whole` from initial to final weights, `layers` by layer name, `matched` at the matched loss (with the epochs of
    those that got there), `aligned` after permutation alignment, `balanced` after free scales were made
    canonical; `functions` holds |p − q| and the Jensen–Shannon
    divergence of initial and final predictions. `curve` is the mean d(w_t, w_final) by epoch. `strays` are networks
    whose end lies nearer to another's start than to its own, with that other; `overtaken` those whose start has
    another's end nearer than its own; None where all start from one place.
    """

    whole: Distances
    functions: tuple[Distances, ...]
    matched: Distances | None
    matched_epochs: tuple[int, ...]
    aligned: Distances | None
    balanced: Distances | None
    curve: dict[int, Measurement]
    strays: dict[str, str] | None
    overtaken: dict[str, str] | None
    losses: Tensor
    way: str
    failed: dict[str, str]

    def qmcm(self) -> SubsetScale:
        """Algorithm 2 of the paper over these distances, at most 200 of them; its bias is in the receipt."""
        return QMCM(samples=min(200, len(self.whole.names)), most=_PATIENCE).estimate(self.whole.values)

    def nearest(self) -> list[Measurement]:
        """Share of ends nearest to their own start, and of starts nearest to their own end (the paper's eq. 4)."""
        n = len(self.whole.names)
        shares = {"own start nearest": self.strays, "own end nearest": self.overtaken}
        receipt = replace(self.whole.receipt, method="Euclidean", over="networks")
        return [
            Measurement(name, 1 - len(others) / n, unit="1", receipt=receipt)
            for name, others in shares.items()
            if others is not None and n > 1
        ]

    def record(self) -> Record:
        """Every number as a table; coordinate `layer` is None for whole networks."""
        record = Record()
        whole = [self.whole.mean()]
        if len(self.whole.names) > 1:
            whole += [self.whole.deviation(), self.whole.variation()]
            whole += self._printed()
        whole += [self.matched.mean().named("d(w0,w) at matched loss")] if self.matched is not None else []
        whole += [self.aligned.mean().named("d(w0,w) aligned")] if self.aligned is not None else []
        whole += [self.balanced.mean().named("d(w0,w) balanced")] if self.balanced is not None else []
        whole += [one.mean() for one in self.functions]
        whole += self.nearest()
        whole.append(self._final_loss())
        for one in whole:
            record.append(one, layer=None)
        for layer, values in self.whole.layers.items():
            record.append(replace(self.whole, values=values, layers={}).mean(), layer=layer)
        return record

    def _printed(self) -> list[Measurement]:
        """What Algorithm 2 puts out; nothing where its threshold cannot be met."""
        try:
            return [self.qmcm().printed]
        except ValueError:
            return []

    def _final_loss(self) -> Measurement:
        last = [float(row[~row.isnan()][-1]) for row in self.losses]
        seeds = self.whole.seeds
        keys = seeds if len(set(seeds)) == len(seeds) else range(len(seeds))
        receipt = replace(self.whole.receipt, method="training loss of the last epoch", over="networks")
        return Measurement.from_replicates("training loss", dict(zip(keys, last, strict=True)), receipt=receipt)


def distance(
    task: Task,
    learner: Learner,
    *,
    networks: int = 10,
    seed: int = 0,
    snapshots: Collection[int] = (),
    until: float | None = None,
    aligned: bool = False,
    balanced: bool = False,
    way: str | None = None,
    memory: int | None = None,
    running: RunContext | None = None,
) -> Journey:
    """Train networks of the seeds `seed`, `seed` + 1 … and measure how far each goes; no weights are kept.

    "The distance between the weights of the neural network is meaningful" (Yang et al.), experiment 3 and Table 2.
    At equal steps a distance tells of rate and patience as well; `until` (a training loss, nats) measures it at equal
    fit too. `snapshots` are the epochs of the curve d(w_t, w_final). With `aligned`, hidden units of each final network
    are first permuted to lie near the initial one's; with `balanced`, scales that the function does not feel (of ReLU
    units, of what batch normalisation follows) are made canonical in both.

    >>> from infoscope.training.recipe import Recipe
    >>> from infoscope.models import MLP
    >>> digits = Task.from_dataset("digits")[:200]
    >>> journey = distance(digits, Learner(MLP((8,)), Recipe(epochs=2, patience=None)), networks=3)
    >>> len(journey.whole.names), journey.strays
    (3, {})
    """
    if networks < 1:
        raise ValueError(f"networks is {networks}; train 1 or more")
    members = [Member(learner, task, s) for s in range(seed, seed + networks)]
    return journey(
        members,
        snapshots=snapshots,
        until=until,
        aligned=aligned,
        balanced=balanced,
        way=way,
        memory=memory,
        running=running,
    )


def journey(
    members: Sequence[Member],
    *,
    snapshots: Collection[int] = (),
    until: float | None = None,
    aligned: bool = False,
    balanced: bool = False,
    way: str | None = None,
    memory: int | None = None,
    running: RunContext | None = None,
) -> Journey:
    """The same for members of your own, of one architecture: shared starts, other labels, other recipes."""
    running = running or RunContext()
    parts = measured(
        members, Travel(tuple(members), aligned, balanced), Travelled, running.store,
        jobs=running.jobs, device=running.device, way=way, memory=memory,
        snapshots={0, *snapshots}, until=until, on_done=running.on_done,
    )  # fmt: skip
    return _journey(joined(parts), members)


def _journey(found: Travelled, members: Sequence[Member]) -> Journey:
    receipt = Receipt(
        "Euclidean", data=members[0].task.fingerprint[:16], model=_name(members[0].learner.factory),
        n=len(found.names), seeds=found.seeds, notes=tuple(filter(None, (found.note,))), version=__version__,
    )  # fmt: skip
    whole = Distances("d(w0,w)", found.names, found.seeds, found.columns["d"], receipt, _under(found, "layer/"))
    whole = replace(whole, left_out=dict(found.failed))
    plain = replace(whole, layers={})
    functions = tuple(
        replace(plain, quantity=symbol, values=found.columns[k], unit=unit, receipt=replace(receipt, method=of))
        for k, (symbol, unit, of) in _FUNCTIONS.items()
        if k in found.columns
    )
    curve = {
        int(epoch): replace(plain, quantity="d(w_t,w)", values=values).mean()
        for epoch, values in _under(found, "epoch/").items()
    }
    aligned = replace(plain, values=found.columns["aligned"]) if "aligned" in found.columns else None
    balanced = replace(plain, values=found.columns["balanced"]) if "balanced" in found.columns else None
    matched, epochs = _matched(plain, found)
    return Journey(
        whole, functions, matched, epochs, aligned, balanced, dict(sorted(curve.items())), *_strays(found, members),
        found.losses, found.way, dict(found.failed),
    )  # fmt: skip


def _matched(whole: Distances, found: Travelled) -> tuple[Distances | None, tuple[int, ...]]:
    """The distances of those that came to the matched loss; who did not is left out by name."""
    if "matched" not in found.columns:
        return None, ()
    values, when = found.columns["matched"], [int(t) for t in found.columns["matched epoch"]]
    there = [i for i, t in enumerate(when) if t >= 0]
    least = [float(row[~row.isnan()].min()) for row in found.losses]
    missing = {
        found.names[i]: f"never came to the matched loss (its least was {least[i]:.4g} nats)"
        for i, t in enumerate(when) if t < 0
    }  # fmt: skip
    if not there:
        return None, ()
    names, seeds = tuple(found.names[i] for i in there), tuple(found.seeds[i] for i in there)
    left_out = {**whole.left_out, **missing}
    chosen = replace(whole, names=names, seeds=seeds, values=values[there], left_out=left_out)
    return chosen, tuple(when[i] for i in there)


def _strays(found: Travelled, members: Sequence[Member]) -> tuple[dict[str, str] | None, dict[str, str] | None]:
    """Ends nearer to another's start than to their own, and starts with another's end nearer than their own."""
    if found.to_starts.shape[1] == 0:
        return None, None
    place = {member.called: i for i, member in enumerate(members)}
    among = found.to_starts[:, [place[name] for name in found.names]]
    return _elsewhere(among, found.names), _elsewhere(among.T, found.names)


def _elsewhere(distances: Tensor, names: Sequence[str]) -> dict[str, str]:
    """Who has another nearer than its own, and that other; a tie to within rounding is its own."""
    nearest, own = distances.min(1), distances.diagonal()
    return {
        name: names[int(nearest.indices[i])] for i, name in enumerate(names) if nearest.values[i] < own[i] * (1 - 1e-9)
    }


def _under(found: Travelled, prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in found.columns.items() if k.startswith(prefix)}


def _name(factory: Callable[..., object]) -> str:
    return getattr(factory, "__name__", type(factory).__name__)
