"""Which way to train many networks is fastest here: decided by a few steps of each."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import Any

import torch
from torch import Tensor, nn

from infoscope.ensembles.fit_stack import place
from infoscope.ensembles.grouped_forward import NotStackable, first_line
from infoscope.ensembles.population import Member
from infoscope.ensembles.stack import Stack, ways
from infoscope.training.isolation import isolated

_SHORT = 3.0  # seconds of plain looping below which no trial pays
_LONG = 600.0  # seconds of training above which compiling may
_UNIT = 20.0  # seconds that may be lost where networks go one after another
_SIZES = (4, 10, 30, 100, 300, 1000)
_CONTAINER = Path("/sys/fs/cgroup")
_WORSE = 1.15  # times the best so far: larger stacks won't help


@dataclass(frozen=True)
class Plan:
    """How to train: the way, how many networks at once, and what is known of time and memory.

    `seconds` is of one network's training in this way, `bytes_each` of one network while it trains. `tried` holds the
    seconds a step of a network takes by way and stack size; `closed` why a way is not open. `unit` counts the networks
    of a loop that may be measured, and lost, as one: so many as take some seconds (0 for a stack).
    """

    way: str
    together: int
    bytes_each: int
    seconds: float
    tried: dict[str, float] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    unit: int = 0

    def __str__(self) -> str:
        stack = "one after another" if self.way == "loop" else f"{self.together} at a time by {self.way}"
        size = self.together * self.bytes_each
        return f"{stack}, {self.seconds:.3g} s a network, {size / 2**20:.0f} MiB at a time"


def plan(
    members: Sequence[Member],
    *,
    device: str | torch.device = "cpu",
    way: str | None = None,
    memory: int | None = None,
    jobs: int = 1,
    kept: int = 0,
) -> Plan:
    """The way and the stack size for these members, which share an architecture, an n and a batch size.

    `memory` is what all stacks may fill at a time, in bytes: half of what is free, unless said otherwise; `kept` counts
    the states of each network that are kept besides its first, best and last.
    """
    first = members[0]
    recipe, n = first.recipe, len(first.task)
    with isolated(first.seed, threads=1):
        network = first.learner.network(first.task.shape, first.task.target.outputs, first.seed).to(device)
        closed = {name: why for name, why in ways(network, [m.recipe for m in members]).items() if why}
        if way is not None and way != "loop" and way in closed:
            raise ValueError(f"{way!r} is not open to {type(network).__name__}: {closed[way]}; use way='loop'")
        each = bytes_each(network, first, kept) + _examples_each(members)
        most = max(1, min(math.ceil(len(members) / jobs), _room(memory, device) // jobs // each))
        last = members[-1]
        other = last.learner.network(last.task.shape, last.task.target.outputs, last.seed).to(device)
        trial = _Trial(network, other, first, device)
        steps = recipe.epochs * math.ceil(n / recipe.batch)
        tried = {"loop": trial.of_loop()}
        unit = max(1, min(int(_UNIT / (tried["loop"] * steps)), most, len(members) // (4 * jobs)))
        if way is None and (tried["loop"] * steps * len(members) < _SHORT or len(members) == 1):
            return Plan("loop", 1, each, tried["loop"] * steps, tried, closed, unit)
        for name in ("grouped", "vmap") if way is None else (way,):
            if name in closed or name == "loop" or (way is None and most == 1):
                continue
            try:
                tried |= {f"{name} × {size}": s for size, s in trial.of_sizes(name, most)}
            except Exception as error:  # vmap says in many ways that it can't
                closed[name] = first_line(error)
                if way is not None:
                    raise ValueError(f"{way!r} is not open to {type(network).__name__}: {closed[name]}") from error
        best = min((k for k in tried if way is None or k.startswith(way)), key=tried.__getitem__)
        if way is None and best.startswith("vmap") and tried[best] * steps * len(members) > _LONG and _compiler(device):
            size = int(best.split(" × ")[1])
            try:
                tried[f"compiled × {size}"] = trial.of("compiled", size)
            except Exception as error:  # a compiler that is there but does not work
                closed["compiled"] = first_line(error)
            best = min(tried, key=tried.__getitem__)
        name, _, size = best.partition(" × ")
        return Plan(name, int(size or 1), each, tried[best] * steps, tried, closed, 0 if size else unit)


def bytes_each(network: nn.Module, member: Member, kept: int = 0) -> int:
    """What one network fills while it trains: weights, gradient, moments, the states kept, a batch's activations."""
    weights = sum(t.numel() * t.element_size() for t in network.state_dict().values())
    held: dict[int, int] = {}

    def keep(t: Tensor) -> Tensor:
        held[t.data_ptr()] = t.numel() * t.element_size()
        return t

    rows = min(4, len(member.task))
    x, y = member.task.array[:rows].clone(), member.task.y[:rows]  # a network may write into its input
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    network.eval()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        loss = member.loss(network(x.to(device)), y.to(device))
    del loss
    parameters = {p.data_ptr() for p in network.parameters()}
    activations = sum(size for at, size in held.items() if at not in parameters)
    return weights * (7 + kept) + 2 * activations * min(member.recipe.batch, len(member.task)) // rows


def _examples_each(members: Sequence[Member]) -> int:
    """Bytes of examples that a member adds to its stack; those that members share are held once."""
    tasks = [task for m in members for task in (m.task, m.validation) if task is not None]
    distinct = {place(t): t.numel() * t.element_size() for task in tasks for t in (task.array, task.y)}
    return sum(distinct.values()) // len(members)


def _room(memory: int | None, device: str | torch.device) -> int:
    if memory is not None:
        return memory
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    return _free() // 2


def _free() -> int:
    """Bytes that are free here, within what a container may have; on a system that does not tell, half of all."""
    page = os.sysconf("SC_PAGE_SIZE")
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * page
    except (ValueError, OSError):
        free = os.sysconf("SC_PHYS_PAGES") * page // 2
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        limit, used = (int((_CONTAINER / name).read_text()) for name in ("memory.max", "memory.current"))
        free = min(free, max(0, limit - used))
    return free


def _compiler(device: str | torch.device) -> bool:
    return torch.device(device).type == "cuda" or which(os.environ.get("CXX", "g++")) is not None


class _Trial:
    """Seconds that a step takes for one network; `other` is that of another member."""

    def __init__(self, network: nn.Module, other: nn.Module, member: Member, device: Any):
        self.network, self.other, self.recipe, self.loss = network, other, member.recipe, member.loss
        rows = torch.arange(min(self.recipe.batch, len(member.task)))
        self.x, self.y = member.task.array[rows].to(device), member.task.y[rows].to(device)

    def of_loop(self) -> float:
        network, loss = self.network.train(), self.loss
        before = {k: v.clone() for k, v in network.state_dict().items()}
        optimizer = self.recipe.optimizer(network.parameters())

        def step() -> None:
            value = loss(network(self.x), self.y)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()

        seconds = self._timed(step)
        network.load_state_dict(before)
        return seconds

    def of_sizes(self, way: str, most: int) -> Iterator[tuple[int, float]]:
        self._check_two(way)
        best = math.inf
        for size in sorted({*(s for s in _SIZES if s < most), min(most, _SIZES[-1])}):
            seconds = self.of(way, size)
            yield size, seconds
            if seconds > _WORSE * best:
                return
            best = min(best, seconds)

    def of(self, way: str, size: int) -> float:
        stack = Stack([self.network] * size, [self.recipe] * size, way)
        x, y = (t.expand(size, *t.shape).contiguous() for t in (self.x, self.y))
        self._check(stack, x[:, :8], y[:, :8])
        return self._timed(lambda: stack.step(x, y, 0, 1)) / size

    @torch.no_grad()
    def _check(self, stack: Stack, x: Tensor, y: Tensor) -> None:
        """A way must give the losses that the network itself gives."""
        want = self.loss(self.network.eval()(x[0]), y[0])
        if not torch.allclose(stack.loss(x, y), want.expand(len(x)), rtol=1e-3, atol=1e-4):
            raise NotStackable("its losses differ from those of the network by itself")

    @torch.no_grad()
    def _check_two(self, way: str) -> None:
        """Networks may differ in more than their state dicts, and do more in training than a stack takes note of."""
        both, x, y = [self.network, self.other], self.x[:8], self.y[:8]
        for training, when in ((False, "predicting"), (True, "training")):
            if training and self._draws(x, y):
                return
            # Compiled is vmap once more, and takes a minute.
            stack = Stack(both, [self.recipe] * 2, "vmap" if way == "compiled" else way)
            losses = stack.loss(torch.stack([x, x]), torch.stack([y, y]), training)
            for i, network in enumerate(both):
                loss, state = self._by_itself(network, x, y, training)
                if not torch.allclose(losses[i], loss, rtol=1e-3, atol=1e-4):
                    raise NotStackable(f"networks of two seeds have other losses together than each by itself, {when}")
                other = [k for k, t in stack.tensors.items() if not _equal(t[i], state[k])]
                if other:
                    raise NotStackable(f"{other[0]} changes otherwise in a stack than in a network by itself, {when}")

    def _draws(self, x: Tensor, y: Tensor) -> bool:
        """Whether training draws at random, as dropout does: two of its losses cannot be compared then."""
        return len({float(self._by_itself(self.network, x, y, True)[0]) for _ in range(2)}) > 1

    def _by_itself(self, network: nn.Module, x: Tensor, y: Tensor, training: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a network that stays as it was, and the state that its forward pass put it in."""
        before = {k: v.clone() for k, v in network.state_dict().items()}
        loss = self.loss(network.train(training)(x.clone()), y)
        after = {k: v.clone() for k, v in network.state_dict().items()}
        network.load_state_dict(before)
        return loss, after

    def _timed(self, step: Callable[[], Any]) -> float:
        step()
        best, begun = math.inf, time.perf_counter()
        while True:
            start = time.perf_counter()
            step()
            if self.x.is_cuda:
                torch.cuda.synchronize()
            now = time.perf_counter()
            best = min(best, now - start)
            if now - begun > 0.1:
                return best


def _equal(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.double(), b.double(), rtol=1e-3, atol=1e-4, equal_nan=True)
