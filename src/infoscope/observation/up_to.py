"""A network up to one of its layers, as a network: for what layers do to inputs and weights to first order."""

from __future__ import annotations

from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from infoscope.observation.layers import unwrapped
from infoscope.observation.listening import Call, first_tensor

Places = Literal["mean", "all"]
"""Of the places of an image, or the tokens of a sequence, the mean for each channel; or all, side by side."""


class UpTo(nn.Module):
    """What the layer gives in one of its calls, a row an example. The parameters are those of `whole`.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    >>> UpTo(net, Call("1", 1))(torch.ones(5, 2)).shape
    torch.Size([5, 3])
    """

    def __init__(self, network: nn.Module, call: Call, places: Places = "mean"):
        super().__init__()
        self.whole, self.call, self.places = unwrapped(network), call, places
        self._channels_first = any(isinstance(module, nn.Conv1d) for module in self.whole.modules())

    def forward(self, *args: Any, **kwargs: Any) -> Float[Tensor, "n d"]:
        """Run all of the network, and give what was heard."""
        heard: list[Tensor] = []

        def hear(module: nn.Module, inputs: Any, output: Any) -> None:
            tensor = first_tensor(output)
            if tensor is not None:
                heard.append(tensor.clone())  # what comes next may work in place

        # Here, not when it is made: a copy of this network hears its own layer.
        handle = self.whole.get_submodule(self.call.module).register_forward_hook(hear)
        try:
            self.whole(*args, **kwargs)
        finally:
            handle.remove()
        if len(heard) < self.call.number:
            raise ValueError(f"layer {self.call.layer!r} ran {len(heard)} times only; name another layer")
        return self._row(heard[self.call.number - 1])

    def _row(self, output: Tensor) -> Tensor:
        if output.ndim < 3 or self.places == "all":
            return output.flatten(1) if output.ndim > 1 else output[:, None]
        images = output.ndim > 3 or self._channels_first
        return output.flatten(2).mean(2) if images else output.mean(1)
