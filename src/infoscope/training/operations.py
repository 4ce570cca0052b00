"""How many operations a network's products take."""

from __future__ import annotations

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
    few = min(examples, len(task))
    with torch.no_grad(), evaluating(network), _Counter() as counter:
        forward(network, owned(take(task.x, slice(few)), device_of(network)))
    return counter.total / few


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
