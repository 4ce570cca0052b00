"""The one place where a network is called and where what it returns is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from infoscope.data.inputs import Batch


def forward(network: Callable[..., Any], x: Batch) -> Any:
    """What the network gives for these inputs: its logits where it gives any, else its output as it is.

    A mapping goes in by keyword, as Hugging Face models take it.
    """
    return logits_of(network(x) if isinstance(x, Tensor) else network(**x))


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
