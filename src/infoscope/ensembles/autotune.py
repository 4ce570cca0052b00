"""Which way to train many networks is fastest here: decided by a few steps of each."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from shutil import which
from typing import Any, cast

import torch
from torch import nn

from infoscope.ensembles.memory import example_bytes, network_bytes, room
from infoscope.ensembles.population import Member
from infoscope.ensembles.stack import closed_ways
from infoscope.ensembles.trials import LEAST, PAIRS, Trials
from infoscope.ensembles.ways import WAYS, Way, WayName, check_way, first_line
from infoscope.training.check_network import check_network
from infoscope.training.isolation import isolated

_SHORT = 0.5  # seconds of plain looping below which no trial pays
_SHARE = 0.02  # of the seconds of plain looping that the trial of one way may take
_LEAST = 0.05  # seconds that it may always take
_TIMES = 40  # times the least that a trial costs, a training may pay it back
_BETTER = 0.95  # of the seconds of the loop, at most, for a stack to be taken
_FEW = 3  # networks at a time, up to which a stack is not tried if the answer is wanted soon
_SOON = 0.2  # seconds that the trial of one way may then take
_LONG = 600.0  # seconds of training above which compiling may
_UNIT = 20.0  # seconds that may be lost where networks go one after another


@dataclass(frozen=True)
class Plan:
    """How to train: the way, how many networks at once, and what is known of time and memory.

    `seconds` is of one network's training in this way, `bytes_each` of one network while it trains. `tried` holds the
    seconds a step of a network takes; `closed` why a way is not open. `untried` networks at a time might train sooner:
    that was left open. `unit` counts the networks of a loop that may be
    measured, and lost, as one: so many as take some seconds (0 for a stack).
    """

    way: Way
    bytes_each: int
    seconds: float
    tried: Mapping[Way, float] = field(default_factory=dict)
    closed: Mapping[WayName, str] = field(default_factory=dict)
    unit: int = 0
    untried: int = 0

    @property
    def bytes_at_once(self) -> int:
        """What the networks that train at one time fill, in one process."""
        return self.way.stacked * self.bytes_each

    def __str__(self) -> str:
        way = self.way
        stack = "one after another" if way.name == "loop" else f"{way.stacked} at a time by {way.name}"
        told = f"{stack}, {self.bytes_at_once / 2**20:.0f} MiB at a time"
        return f"{told}, or {self.untried} stacked where a trial finds that faster" if self.untried else told

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary that `from_json` reads back."""
        tried = [[way.name, way.stacked, seconds] for way, seconds in self.tried.items()]
        mine = {name: value for name, value in vars(self).items() if name != "untried"}  # such a plan is not kept
        return {**mine, "way": [self.way.name, self.way.stacked], "tried": tried, "closed": dict(self.closed)}

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Plan:
        """The plan that `to_json` gave; ValueError, TypeError or KeyError for what it could not have given."""
        tried = {_way(*one[:2]): float(one[2]) for one in held["tried"]}
        closed = {str(name): str(why) for name, why in held["closed"].items()}
        numbers = int(held["bytes_each"]), float(held["seconds"])
        return cls(_way(*held["way"]), *numbers, tried, cast("dict[WayName, str]", closed), int(held["unit"]))


def _way(name: str, stacked: int) -> Way:
    check_way(name)
    if not isinstance(stacked, int) or stacked < 1:
        raise ValueError(f"a stack of {stacked!r}")
    return Way(cast("WayName", name), stacked)


def plan(
    members: Sequence[Member],
    *,
    device: str | torch.device = "cpu",
    way: WayName | None = None,
    memory: int | None = None,
    jobs: int = 1,
    kept: int = 0,
    soon: bool = False,
) -> Plan:
    """The way and the stack size for these members, which share an architecture, an n and a batch size.

    `memory` is what all stacks may fill at a time, in bytes: half of what is free, unless said otherwise; `kept` counts
    the states of each network that are kept besides its first, best and last. A plan that is wanted `soon` is to reckon
    with: trials are shorter, and there is none where so few would train at a time that they are hardly twice as fast.
    """
    first, steps = members[0], _steps(members[0])
    some = [members[i] for i in sorted({0, len(members) // 2, len(members) - 1})]
    with isolated(first.seed, threads=1):
        networks = [_network(member, device) for member in some]
        if first.learner.recipe.loss is None:
            check_network(networks[0], first.task)
        closed = closed_ways(networks[0], [m.recipe for m in members])
        if way is not None and way in closed:
            raise _not_open(way, networks[0], closed[way])
        each = network_bytes(networks[0], first, kept) + example_bytes(members)
        most = max(1, min(math.ceil(len(members) / jobs), room(memory, device) // jobs // each))
        trials = Trials(networks, _network(first, device), some, device, 1 if soon else PAIRS)
        alone = trials.alone * steps
        tried = {Way("loop"): 1.0}
        pays = alone * len(members) >= _SHORT and steps * len(members) >= _TIMES * LEAST
        untried = most if soon and way is None and pays and 1 < most <= _FEW and len(closed) < len(WAYS) - 1 else 0
        if way is not None or (pays and most > 1 and not untried):
            share = max(_LEAST, _SHARE * alone * len(members))
            _try_stacks(trials, tried, closed, way, most, min(share, _SOON) if soon else share)
        best = _fastest(tried, way)
        long = not soon and tried[best] * alone * len(members) > _LONG
        if way is None and best.name == "vmap" and long and _has_compiler(device):
            _try_compiled(trials, tried, closed, best.stacked)
            best = _fastest(tried, way)
    unit = max(1, min(int(_UNIT / alone), most, len(members) // (4 * jobs)))
    seconds = {way: share * trials.alone for way, share in tried.items()}
    return Plan(best, each, seconds[best] * steps, seconds, closed, unit if best.name == "loop" else 0, untried)


def _try_stacks(
    trials: Trials, tried: dict[Way, float], closed: dict[WayName, str], way: WayName | None, most: int,
    seconds: float,
) -> None:  # fmt: skip
    """Take note of the costs of stacks, in each way or the one asked for, and of ways that are closed after all."""
    for name in ("grouped", "vmap") if way is None else (way,):
        if name == "loop" or name in closed:
            continue
        try:
            tried |= dict(trials.of_sizes(name, most, seconds))
        except Exception as error:  # vmap says in many ways that it can't
            closed[name] = first_line(error)
            if way is not None:
                raise _not_open(name, trials.networks[0], closed[name]) from error


def _try_compiled(trials: Trials, tried: dict[Way, float], closed: dict[WayName, str], stacked: int) -> None:
    way = Way("compiled", stacked)
    try:
        tried[way] = trials.of(way)
    except Exception as error:  # a compiler that is there but does not work
        closed["compiled"] = first_line(error)


def _fastest(tried: Mapping[Way, float], name: WayName | None) -> Way:
    best = min((way for way in tried if name in (None, way.name)), key=tried.__getitem__)
    return Way("loop") if name is None and tried[best] > _BETTER * tried[Way("loop")] else best


def _not_open(name: WayName, network: nn.Module, why: str) -> ValueError:
    return ValueError(f"{name!r} is not open to {type(network).__name__}: {why}; use way='loop'")


def _network(member: Member, device: str | torch.device) -> nn.Module:
    return member.learner.network(member.task.shape, member.task.target.outputs, member.seed).to(device)


def _steps(member: Member) -> int:
    recipe = member.learner.recipe
    return recipe.epochs * math.ceil(len(member.task) / recipe.batch)


def _has_compiler(device: str | torch.device) -> bool:
    return torch.device(device).type == "cuda" or which(os.environ.get("CXX", "g++")) is not None
