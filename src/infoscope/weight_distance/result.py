"""How far networks went from where they began: the answer in numbers, and as a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from infoscope import __version__
from infoscope.data.targets import Classes
from infoscope.ensembles.population import Member
from infoscope.ensembles.ways import Way
from infoscope.measurement import NATS_PER_BIT, Measurement, Receipt, Status
from infoscope.record import Record
from infoscope.weight_distance.distance import Distances
from infoscope.weight_distance.member_distances import MemberDistances
from infoscope.weight_distance.qmcm import QMCM, SubsetScale, ThresholdNotMet

_PATIENCE = 10_000  # samples that QMCM may reject before it is given up


@dataclass(frozen=True)
class DistanceResult:
    """How far networks came from where they began, in weights and as functions.

    `whole` from initial to final weights, `layers` by layer name, `matched` at the matched loss (with the epochs of
    those that got there), `aligned` after permutation alignment, `balanced` after free scales were made canonical;
    `functions` holds |p − q| and the Jensen–Shannon divergence of initial and final predictions. `curve` is the mean
    d(w_t, w_final) by epoch. `other_start_nearer` are networks whose end lies nearer to another's start than to its
    own, with that other; `other_end_nearer` those whose start has another's end nearer than its own; None where all
    start from one place. `losses` and `moved` are those of each epoch; `worse` are networks that ended at a loss above
    that of one who knows nothing, with that loss, nats.
    """

    whole: Distances
    functions: tuple[Distances, ...]
    matched: Distances | None
    matched_epochs: tuple[int, ...]
    aligned: Distances | None
    balanced: Distances | None
    both: Distances | None
    curve: Mapping[int, Measurement]
    other_start_nearer: Mapping[str, str] | None
    other_end_nearer: Mapping[str, str] | None
    losses: Tensor
    moved: Tensor
    ways: tuple[Way, ...]
    failed: Mapping[str, str]
    level: float | None = None
    worse: Mapping[str, float] = field(default_factory=dict)
    unfollowed: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def qmcm(self) -> SubsetScale:
        """Algorithm 2 of the paper over these distances, at most 200 of them; its bias is in the receipt."""
        return QMCM(samples=min(200, len(self.whole.names)), most=_PATIENCE).estimate(self.whole.values)

    def nearest(self) -> list[Measurement]:
        """Share of ends nearest to their own start, and of starts nearest to their own end (the paper's eq. 4)."""
        n = len(self.whole.names)
        shares = {"own start nearest": self.other_start_nearer, "own end nearest": self.other_end_nearer}
        receipt = replace(self.whole.receipt, method="Euclidean", over="networks")
        return [
            Measurement(name, 1 - len(others) / n, unit="1", receipt=receipt)
            for name, others in shares.items()
            if others is not None and n > 1
        ]

    def record(self) -> Record:
        """Every number as a table; coordinate `layer` is None for whole networks."""
        record = Record()
        for one in self._of_whole_networks():
            record.append(one, layer=None)
        for layer, values in self.whole.layers.items():
            record.append(replace(self.whole, values=values, layers={}).mean(), layer=layer)
        return record

    def _of_whole_networks(self) -> Iterable[Measurement]:
        yield self.whole.mean()
        if len(self.whole.names) > 1:
            yield self.whole.deviation()
            yield self.whole.variation()
        yield from self.as_printed()
        named = {"at matched loss": self.matched, "aligned": self.aligned, "balanced": self.balanced}
        named["aligned, balanced"] = self.both
        for name, distances in named.items():
            if distances is not None:
                yield distances.mean().named(f"d(w0,w) {name}")
        yield from (one.mean() for one in self.functions)
        yield from self.nearest()
        yield self._final_loss()

    def as_printed(self) -> list[Measurement]:
        """What Algorithm 2 puts out; nothing for a single network, or where its threshold cannot be met."""
        if len(self.whole.names) < 2:
            return []
        try:
            return [self.qmcm().printed]
        except ThresholdNotMet:
            return []

    def _final_loss(self) -> Measurement:
        last = [float(row[~row.isnan()][-1]) for row in self.losses]
        seeds = self.whole.seeds
        keys = seeds if len(set(seeds)) == len(seeds) else range(len(seeds))
        receipt = replace(self.whole.receipt, method="training loss of the last epoch", over="networks")
        replicates = dict(zip(keys, last, strict=True))
        return Measurement.from_replicates("training loss", replicates, status=self.whole.status, receipt=receipt)


def distance_result(found: MemberDistances, members: Sequence[Member], level: float | None = None) -> DistanceResult:
    """The answer from the numbers of these members; `level` is a training loss, nats, to compare at."""
    receipt = Receipt(
        "Euclidean", data=members[0].task.fingerprint[:16], model=_name(members[0].learner.factory),
        n=len(found.names), seeds=found.seeds, notes=tuple(filter(None, (found.note,))), version=__version__,
        path=", ".join(map(str, found.ways)),
    )  # fmt: skip
    worse = _worse(found, knowing_nothing(members[0]))
    status = frozenset({Status.WORSE_THAN_UNIFORM}) if worse else frozenset()
    told = tuple(f"{name} ended at a training loss of {loss / NATS_PER_BIT:.4g} bits" for name, loss in worse.items())
    receipt = replace(receipt, notes=(*receipt.notes, *told, *found.remarks))
    whole = Distances("d(w0,w)", found.names, found.seeds, found.whole, receipt, found.layers, dict(found.failed))
    whole = replace(whole, status=status)
    plain = replace(whole, layers={})
    aligned = replace(plain, receipt=replace(receipt, notes=(*receipt.notes, *found.unfollowed)))
    matched, epochs = _matched(replace(plain, status=frozenset()), found, level)
    return DistanceResult(
        whole=whole,
        functions=tuple(_functions(plain, found)),
        matched=matched,
        matched_epochs=epochs,
        aligned=None if found.aligned is None else replace(aligned, values=found.aligned),
        balanced=None if found.balanced is None else replace(plain, values=found.balanced),
        both=None if found.both is None else replace(aligned, values=found.both),
        curve={
            epoch: replace(plain, quantity="d(w_t,w)", values=values).mean()
            for epoch, values in sorted(found.curve.items())
        },
        other_start_nearer=_elsewhere(_among(found, members), found.names),
        other_end_nearer=_elsewhere(_among(found, members, ends=True), found.names),
        losses=found.losses,
        moved=found.moved,
        ways=found.ways,
        failed=dict(found.failed),
        level=level,
        worse=worse,
        unfollowed=found.unfollowed,
        remarks=found.remarks,
    )


def _functions(plain: Distances, found: MemberDistances) -> Iterable[Distances]:
    if found.l2 is not None:
        receipt = replace(plain.receipt, method="Euclidean over probabilities")
        yield replace(plain, quantity="|p−q|", values=found.l2, receipt=receipt)
    if found.js is not None:
        receipt = replace(plain.receipt, method="Jensen–Shannon")
        yield replace(plain, quantity="JS(p,q)", values=found.js, unit="nat", receipt=receipt)


def common_loss(parts: Sequence[tuple[MemberDistances, float]]) -> float | None:
    """The lowest training loss, nats, that every network came down to; None where there is none.

    A network that never did better than one who knows nothing (the loss that goes with each part) counts for nothing.
    """
    least = [one for found, nothing in parts for one in _least(found) if one <= nothing]
    return max(least, default=None)


def knowing_nothing(member: Member) -> float:
    """The loss, nats, of one who knows the classes only; infinite where the loss is not their likelihood."""
    target = member.task.target
    known = member.learner.recipe.loss is None and isinstance(target, Classes)
    return math.log(max(target.outputs, 1)) if known else math.inf


def _worse(found: MemberDistances, nothing: float) -> dict[str, float]:
    """Networks that ended above this loss: finite, and of no use."""
    last = (float(row[~row.isnan()][-1]) for row in found.losses)
    return {name: loss for name, loss in zip(found.names, last, strict=True) if loss > nothing}


def _least(found: MemberDistances) -> list[float]:
    return [float(row[~row.isnan()].min()) for row in found.losses]


def _matched(plain: Distances, found: MemberDistances, level: float | None) -> tuple[Distances | None, tuple[int, ...]]:
    """The distances after the first epoch whose training loss is at most the level; who got there never is named."""
    if level is None:
        return None, ()
    below = [(row <= level).nonzero()[:, 0].tolist() for row in found.losses]
    there = [i for i, epochs in enumerate(below) if epochs]
    left_out = dict(plain.left_out)
    for i, least in enumerate(_least(found)):
        if not below[i]:
            left_out[found.names[i]] = f"never came to the matched loss (its least was {least:.4g} nats)"
    if not there:
        return None, ()
    epochs = tuple(below[i][0] + 1 for i in there)
    names, seeds = tuple(found.names[i] for i in there), tuple(found.seeds[i] for i in there)
    values = torch.stack([found.moved[i, epoch - 1] for i, epoch in zip(there, epochs, strict=True)])
    note = f"after the first epoch whose training loss is at most {level / NATS_PER_BIT:.4g} bits"
    receipt = replace(plain.receipt, notes=(*plain.receipt.notes, note))
    return replace(plain, names=names, seeds=seeds, values=values, left_out=left_out, receipt=receipt), epochs


def _among(found: MemberDistances, members: Sequence[Member], ends: bool = False) -> Tensor | None:
    """Distances (E, E) from each end to each start, or with `ends` from each start to each end."""
    if found.to_starts.shape[1] == 0:
        return None
    place = {member.called: i for i, member in enumerate(members)}
    among = found.to_starts[:, [place[name] for name in found.names]]
    return among.T if ends else among


def _elsewhere(distances: Tensor | None, names: Sequence[str]) -> dict[str, str] | None:
    """Rows whose nearest is not their own, with that nearest; within rounding it is a tie."""
    if distances is None:
        return None
    nearest, own = distances.min(1), distances.diagonal()
    return {
        name: names[int(nearest.indices[i])] for i, name in enumerate(names) if nearest.values[i] < own[i] * (1 - 1e-9)
    }


def _name(factory: Callable[..., object]) -> str:
    return getattr(factory, "__name__", type(factory).__name__)
