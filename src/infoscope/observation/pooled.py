"""What the layers of a network say of each example as a whole: pooled over tokens or places, padding left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from infoscope.data.inputs import Inputs, count, pieces
from infoscope.observation.activations import Activations
from infoscope.observation.layers import layer_names, unwrapped
from infoscope.observation.listening import Call, first_tensor, listen, rows_of, undisturbed
from infoscope.observation.survey import survey

Pooling = Literal["mean", "first", "max", "flat"]
"""Over the tokens of a sequence or the places of an image; `flat` keeps all side by side."""

MASK = "attention_mask"
"""The input that says which tokens are none, by the name that Hugging Face gives it."""


def pooled_layers(
    network: nn.Module,
    x: Inputs,
    layers: Sequence[str] | None = None,
    pooling: Pooling = "mean",
    *,
    seed: int = 0,
    batch: int = 64,
) -> Activations:
    """The outputs of a network's layers in eval mode, one row of numbers an example, in the order of the pass.

    `layers` are names or globs as for `activations`. Vectors stay as they are. Sequences (n, tokens, d) are pooled over
    the tokens that the input `attention_mask` keeps, over all without one; images (n, channels, height, width) over
    places, and so are (n, channels, length) in a network with one-dimensional convolutions.

    >>> net = nn.Conv2d(1, 2, 1)
    >>> {name: tuple(t.shape) for name, t in pooled_layers(nn.Sequential(net), torch.ones(5, 1, 3, 3)).layers.items()}
    {'0': (5, 2)}
    """
    inner = unwrapped(network)
    found = survey(inner, layer_names(inner, layers), x, named=layers is not None, seed=seed)
    channels_first = any(isinstance(module, nn.Conv1d) for module in inner.modules())
    parts: dict[str, list[Tensor]] = {}

    with undisturbed(inner, seed):
        for rows in pieces(x, batch):
            n, mask = count(rows), rows.get(MASK) if isinstance(rows, Mapping) else None

            def hear(call: Call, output: Any, n: int = n, mask: Tensor | None = mask) -> None:
                rows_of(output, n, call.layer)  # a ValueError unless it holds a row an example
                tensor = first_tensor(output)
                assert tensor is not None
                parts.setdefault(call.layer, []).append(pooled(tensor, pooling, mask, channels_first).float().cpu())

            listen(inner, found.modules, rows, hear)
    held = {name: torch.cat(given) for name, given in parts.items() if sum(map(len, given)) == count(x)}
    return Activations(held, {}, found.unsteady & held.keys())


def pooled(
    output: Shaped[Tensor, "n ..."],
    pooling: Pooling,
    mask: Shaped[Tensor, "n tokens"] | None = None,
    channels_first: bool = False,
) -> Shaped[Tensor, "n d"]:
    """One row an example, a tensor of its own.

    >>> tokens = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> pooled(tokens, "mean", torch.tensor([[1, 1, 0]])), pooled(tokens, "max", torch.tensor([[1, 1, 0]]))
    (tensor([[2.]]), tensor([[3.]]))
    """
    if output.ndim < 3 or pooling == "flat":
        return output.detach().flatten(1).clone() if output.ndim > 1 else output.detach()[:, None].clone()
    if output.ndim > 3 or channels_first:
        if pooling == "first":
            raise ValueError("pooling='first' takes the first token of a sequence; of images take mean, max or flat")
        output, mask = output.flatten(2).transpose(1, 2), None
    kept = _kept(output, mask)
    match pooling:
        case "first":
            first = kept.int().argmax(1)  # where the padding is on the left it is not the token at 0
            return output[torch.arange(len(output)), first].detach().clone()
        case "max":
            return output.masked_fill(~kept[..., None], -torch.inf).amax(1).detach()
        case _:
            weight = kept[..., None].to(output.dtype)
            return (output.masked_fill(~kept[..., None], 0).sum(1) / weight.sum(1)).detach()


def _kept(output: Float[Tensor, "n tokens d"], mask: Shaped[Tensor, "n tokens"] | None) -> Bool[Tensor, "n tokens"]:
    """The tokens that count; a mask of another length is of other tokens than these."""
    if mask is None or tuple(mask.shape) != tuple(output.shape[:2]):
        return torch.ones(output.shape[:2], dtype=torch.bool, device=output.device)
    kept = mask.to(output.device).bool()
    if empty := int((~kept.any(1)).sum()):
        raise ValueError(f"{empty} examples are nothing but padding in {MASK!r}; drop them")
    return kept
