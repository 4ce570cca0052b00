"""Hearing what the modules of a network give while it runs, without leaving a trace in it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from infoscope.data.inputs import Batch, to
from infoscope.training.forward import device_of, forward
from infoscope.training.isolation import isolated


@dataclass(frozen=True)
class Call:
    """One of the times that a module ran in a forward pass, counted from 1."""

    module: str
    number: int

    @property
    def layer(self) -> str:
        """What its output is called: the module's name, and `name#2`, … where it runs again."""
        return self.module if self.number == 1 else f"{self.module}#{self.number}"


def listen(
    network: nn.Module, names: Iterable[str], x: Batch, hear: Callable[[Call, Any], None], *, first: bool = False
) -> None:
    """One forward pass on x exactly as it is; `hear(call, output)` for each of these modules as soon as it answers.

    With `first` an output is heard before the module's own hooks change it. What is scripted cannot be heard.
    """
    calls: Counter[str] = Counter()

    def hook(name: str) -> Any:
        def heard(module: nn.Module, inputs: Any, output: Any) -> None:
            calls[name] += 1
            hear(Call(name, calls[name]), output)

        return heard

    modules = dict(network.named_modules())
    open_ = [name for name in names if not isinstance(modules[name], torch.jit.ScriptModule)]
    handles = [modules[name].register_forward_hook(hook(name), prepend=first) for name in open_]
    try:
        forward(network, to(x, device_of(network)))
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def undisturbed(network: nn.Module, seed: int = 0) -> Iterator[None]:
    """Eval mode, eager, no gradients, its own random state inside; modes and buffers as they were afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    # Code that was compiled before a hook was there does not call it.
    compiled = any(m._compiled_call_impl is not None or "_orig_mod" in m._modules for m in network.modules())
    eager = torch.compiler.set_stance("force_eager") if compiled else nullcontext()
    with isolated(seed), torch.no_grad(), eager:
        network.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            for buffer, before in buffers:
                buffer.copy_(before)


def rows_of(output: Any, n: int, layer: str) -> Shaped[Tensor, "n d"]:
    """An output flattened to one row an example; a ValueError if it holds none."""
    tensor = first_tensor(output)
    if tensor is None:
        raise ValueError(f"layer {layer!r} gives a {type(output).__name__} without a tensor; name another layer")
    if tensor.ndim == 0 or len(tensor) != n:
        raise ValueError(
            f"layer {layer!r} gives shape {tuple(tensor.shape)} for {n} examples; name layers that give one row each"
        )
    return tensor.detach().reshape(n, -1)


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor of a tuple, list, mapping or dataclass of them, however deep.

    >>> first_tensor({"aux": None, "out": (torch.tensor(3), torch.tensor(4))})
    tensor(3)
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        output = tuple(output.values())
    elif dataclasses.is_dataclass(output):
        output = tuple(vars(output).values())
    if isinstance(output, tuple | list):
        return next((found for item in output if (found := first_tensor(item)) is not None), None)
    return None
