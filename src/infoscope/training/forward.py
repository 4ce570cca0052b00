"""The one place where a network is called and where what it returns is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from infoscope.data.inputs import Batch


def forward(network: Callable[..., Any], x: Batch) -> Any:
    """What the network gives for these inputs: its logits where it gives any, else its output as it is.

    A mapping goes in by keyword, as Hugging Face models take it.
    """
    if torch.compiler.is_compiling():
        return _called(network, x)
    try:
        return _called(network, x)
    except RuntimeError as error:
        own, given = _dtypes(network.parameters()) if isinstance(network, nn.Module) else set(), _dtypes(_tensors(x))
        if not own or not given or own & given:
            raise
        raise ValueError(
            f"{type(network).__name__} has weights of {_named(own)} and is given {_named(given)}; make the network "
            f"{_named(given)} (network.to(torch.{_named(given)})), or give inputs of its own type (as_is=True)"
        ) from error


def _called(network: Callable[..., Any], x: Batch) -> Any:
    return logits_of(network(x) if isinstance(x, Tensor) else network(**x))


def _tensors(x: Batch) -> Iterable[Tensor]:
    return [x] if isinstance(x, Tensor) else x.values()


def _dtypes(tensors: Iterable[Tensor]) -> set[torch.dtype]:
    return {t.dtype for t in tensors if t.is_floating_point()}


def _named(dtypes: set[torch.dtype]) -> str:
    return ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))


def logits_of(output: Any) -> Any:
    """The logits in an output: itself, its `.logits`, its `["logits"]`; anything else is given back as it is.

    >>> logits_of({"logits": 3})
    3
    """
    if isinstance(output, Mapping) and "logits" in output:
        return output["logits"]
    return getattr(output, "logits", output)


def device_of(network: nn.Module) -> torch.device:
    """Where a network's parameters are; the CPU for one without any."""
    return next((p.device for p in network.parameters()), torch.device("cpu"))
