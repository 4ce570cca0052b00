"""How many operations a network's products take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from infoscope.data.inputs import take
from infoscope.data.task import Task
from infoscope.training.check_network import owned
from infoscope.training.forward import device_of, forward
from infoscope.training.predict import evaluating


def operations(network: nn.Module, task: Task, examples: int = 1) -> float:
    """Operations of products in a forward pass in eval mode, an example, counted on so many of the task's first.

    A product of an (m, n) with an (n, p) matrix takes 2 m n p. 0 of a network without products.

    >>> import numpy as np
    >>> operations(nn.Linear(3, 5), Task.from_arrays(np.zeros((4, 3)), [0, 1, 2, 3]))
    30.0
    """
    some = owned(take(task.x, slice(examples)), device_of(network))
    with evaluating(network):
        return counted(lambda: forward(network, some)) / min(examples, len(task))


@torch.no_grad()
def counted(work: Callable[[], object]) -> float:
    """Operations of all products that are called for.

    >>> counted(lambda: torch.ones(2, 3) @ torch.ones(3, 4))
    48.0
    """
    with _Counter() as counter:
        work()
    return float(counter.total)


class _Counter(TorchDispatchMode):
    """Adds up what torch's formulas say of the operations that are called within.

    What `FlopCounterMode` does in total, without loading torch's compiler, which takes a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:
            found = func.decompose(*args, **kwargs)
        if found is not NotImplemented:
            return found
        out = func(*args, **kwargs)
        if (formula := flop_registry.get(func._overloadpacket)) is not None:
            self.total += formula(*args, **kwargs, out_val=out)
        return out
