"""What networks fill while they train, and what is free for them, in bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from infoscope.data.inputs import each, take, to
from infoscope.ensembles.examples import arrays, place
from infoscope.ensembles.population import Member
from infoscope.training.forward import device_of, forward

_CONTAINER = Path("/sys/fs/cgroup")


def network_bytes(network: nn.Module, member: Member, kept: int = 0) -> int:
    """What one network fills while it trains: weights, gradient, moments, states kept, a batch's activations."""
    weights = sum(t.numel() * t.element_size() for t in network.state_dict().values())
    held: dict[int, int] = {}

    def keep(t: Tensor) -> Tensor:
        held[t.data_ptr()] = t.numel() * t.element_size()
        return t

    rows = min(4, len(member.task))
    x = each(take(member.task.x, slice(rows)), Tensor.clone)  # a network may write into its input
    device, y = device_of(network), member.task.y[:rows]
    network.eval()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        loss = member.loss(forward(network, to(x, device)), y.to(device))
    del loss
    parameters = {p.data_ptr() for p in network.parameters()}
    activations = sum(size for at, size in held.items() if at not in parameters)
    return weights * (8 + kept) + 2 * activations * min(member.learner.recipe.batch, len(member.task)) // rows


def example_bytes(members: Sequence[Member]) -> int:
    """What a member adds to the examples of its stack in memory; those that members share are held once."""
    tasks = [task for m in members for task in (m.task, m.validation) if task is not None]
    held = (t for task in tasks for t in (*arrays(task.x), task.y) if isinstance(t, Tensor))
    distinct = {place(t): t.numel() * t.element_size() for t in held}
    return sum(distinct.values()) // len(members)


def room(memory: int | None, device: str | torch.device) -> int:
    """What all stacks may fill at a time: `memory`, or half of what is free on the device."""
    if memory is not None:
        return memory
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    return free() // 2


def free() -> int:
    """What is free here, within what a container may have; on a system that does not tell, half of all there is."""
    page = os.sysconf("SC_PAGE_SIZE")
    try:
        available = os.sysconf("SC_AVPHYS_PAGES") * page
    except (ValueError, OSError):
        available = os.sysconf("SC_PHYS_PAGES") * page // 2
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        limit, used = (int((_CONTAINER / name).read_text()) for name in ("memory.max", "memory.current"))
        available = min(available, max(0, limit - used))
    return available
