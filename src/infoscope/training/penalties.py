"""Terms that hold a network to what it has learned before: anchors of its weights, its former outputs, old examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from infoscope.data.inputs import Batch, count, take, to
from infoscope.data.task import Task
from infoscope.training.forward import device_of, forward
from infoscope.training.learner import copy_network
from infoscope.training.recipe import Loss, Penalty, Term


@dataclass(frozen=True, eq=False)
class Anchored:
    """½ Σ_j ω_j (θ_j − θ*_j)²: each weight is held to where it was, by how much it matters there.

    With ω the diagonal of a Fisher information it is elastic weight consolidation (Kirkpatrick et al. 2017, eq. 3),
    with ω a path integral that of synaptic intelligence (Zenke, Poole & Ganguli 2017, eq. 4), with ω constant L²-SP
    (Li, Grandvalet & Davoine 2018). Weights that `importance` does not name are free.

    >>> line = nn.Linear(2, 1, bias=False)
    >>> held = Anchored({"weight": line.weight.detach() - 1.0}, {"weight": torch.tensor([[1.0, 3.0]])})
    >>> held.begin(line, 0)(torch.zeros(1, 2), None)
    tensor(2., grad_fn=<MulBackward0>)
    """

    weights: Mapping[str, Tensor]
    importance: Mapping[str, Tensor]

    def begin(self, network: nn.Module, seed: int) -> Term:
        """The pull on this network's weights."""
        own = {name: p for name, p in network.named_parameters() if name in self.importance}
        if lacks := [
            name for name in self.importance if name not in own or own[name].shape != self.weights[name].shape
        ]:
            raise ValueError(
                f"the anchors are not of {type(network).__name__}, which has no {lacks[0]} of such a shape"
            )
        held = [(p, self.weights[name].to(p), self.importance[name].to(p)) for name, p in own.items()]
        zero = torch.zeros((), device=device_of(network))

        def term(x: Batch, outputs: Any) -> Tensor:
            return 0.5 * sum(((weight * (p - at).square()).sum() for p, at, weight in held), start=zero)

        return term


@dataclass(frozen=True)
class Distilled:
    """What the network said when it began is still to be said, of the new inputs: learning without forgetting.

    `strength` · T² · KL(teacher ‖ student) at temperature T, the mean over examples (and places, of tokens), summed
    over `heads`, the columns of the outputs that are one distribution each (Li & Hoiem 2017, eq. 2-3, in Hinton's
    scaling, in which the pull does not fade with T). The teacher is the network as it starts, in eval mode.
    """

    heads: tuple[tuple[int, int], ...]
    strength: float = 1.0
    temperature: float = 2.0

    def begin(self, network: nn.Module, seed: int) -> Term:
        """Keep the network as it is now, and compare."""
        teacher = copy_network(network).eval().requires_grad_(False)

        def term(x: Batch, outputs: Any) -> Tensor:
            with torch.no_grad():
                wanted = forward(teacher, x)
            return self.strength * sum(
                (self._divergence(wanted[..., a:b], outputs[..., a:b]) for a, b in self.heads),
                start=torch.zeros((), device=outputs.device),
            )

        return term

    def _divergence(self, wanted: Tensor, said: Tensor) -> Tensor:
        t = self.temperature
        old, new = (F.log_softmax(z.flatten(0, -2) / t, -1) for z in (wanted, said))
        return t * t * F.kl_div(new, old, reduction="batchmean", log_target=True)


@dataclass(frozen=True)
class Memory:
    """Examples of an earlier task that are kept, and the loss that they are learned with."""

    task: Task
    loss: Loss


@dataclass(frozen=True)
class Rehearsed:
    """Σ over earlier tasks of the loss on examples that were kept, drawn anew in every step (Ratcliff 1990).

    So each task weighs as much as the new one. `batch` examples are drawn in all, as many from each task.
    """

    memories: tuple[Memory, ...]
    batch: int = 64

    def begin(self, network: nn.Module, seed: int) -> Term:
        """Draws of their own, so that the new task's batches are what they would be without."""
        draws, device = torch.Generator().manual_seed(seed + 1), device_of(network)
        size = -(-self.batch // max(1, len(self.memories)))

        def one(memory: Memory) -> Tensor:
            n = count(memory.task.x)
            rows = torch.randperm(n, generator=draws)[:size]
            outputs = forward(network, to(take(memory.task.x, rows), device))
            return memory.loss(outputs, memory.task.y[rows].to(device))

        def term(x: Batch, outputs: Any) -> Tensor:
            return sum(map(one, self.memories), start=torch.zeros((), device=device))

        return term


@dataclass(frozen=True)
class Together:
    """Several penalties, added up."""

    penalties: tuple[Penalty, ...]

    def begin(self, network: nn.Module, seed: int) -> Term:
        """The sum of their terms."""
        terms = [penalty.begin(network, seed) for penalty in self.penalties]
        return lambda x, outputs: sum((term(x, outputs) for term in terms[1:]), start=terms[0](x, outputs))
