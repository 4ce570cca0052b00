"""Frozen features: what any network, function or table of numbers says of the inputs, which both sides own.

What the features know of the labels is not sent, and so not counted: a code from frozen features says what the labels
cost *given these features*, and the information of the features themselves is excluded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from infoscope.data.inputs import Array, Inputs, count, pieces
from infoscope.data.task import coding_order
from infoscope.models import model
from infoscope.run import key
from infoscope.training.forward import forward
from infoscope.training.isolation import isolated
from infoscope.training.weights_file import weights_from

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of colours from 0 to 1 that torchvision's networks are trained with."""


@dataclass(frozen=True)
class FrozenNetwork:
    """What a network gives to its last layer, averaged over places: its weights from a file, its form by a name.

    `model` is a name of `infoscope list models` or `module:factory`. Inputs are scaled to `size` pixels a side, and
    have `mean` taken off and are divided by `deviation`, a number a channel: that which the network was trained with.
    """

    model: str
    weights: Path
    mean: tuple[float, ...] = IMAGENET[0]
    deviation: tuple[float, ...] = IMAGENET[1]
    size: int | None = None
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", Path(self.weights))
        if not self.weights.is_file():
            raise ValueError(f"{self.weights}: no such file; features are NAME=FILE, a model's name and its weights")
        object.__setattr__(self, "digest", hashlib.blake2b(self.weights.read_bytes(), digest_size=8).hexdigest())

    def __call__(self, x: Inputs, seed: int = 0) -> Float[Tensor, "n d"]:
        """The features of every example."""
        given = weights_from(self.weights)
        with isolated(0, threads=1), torch.no_grad():
            parts = [self._prepared(part) for part in pieces(x, 64)]
            last = _last_layer(model(self.model)(tuple(parts[0].shape[1:]), 2))
            network = model(self.model)(tuple(parts[0].shape[1:]), len(given[f"{last}.weight"])).eval()
            network.load_state_dict(given)
            return torch.cat([before(network, last, part) for part in parts])

    def _prepared(self, x: Any) -> Tensor:
        if not isinstance(x, Tensor) or x.ndim != 4:
            raise ValueError(f"features of {self.model}: takes images (n, channels, height, width), one array")
        channels = len(self.mean)
        x = x.expand(-1, channels, -1, -1) if x.shape[1] == 1 else x
        if self.size:
            x = F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True)
        shape = (1, channels, 1, 1)
        return (x - torch.tensor(self.mean).view(shape)) / torch.tensor(self.deviation).view(shape)


def before(network: nn.Module, layer: str, x: Tensor) -> Float[Tensor, "b d"]:
    """What a network gives to one of its layers, averaged over places."""
    found: list[Tensor] = []
    hook = network.get_submodule(layer).register_forward_pre_hook(lambda _, given: found.append(given[0]))
    try:
        forward(network, x)
    finally:
        hook.remove()
    return found[0].flatten(2).mean(2) if found[0].ndim > 2 else found[0]


def _last_layer(network: nn.Module) -> str:
    """The name of the last layer that has weights, which makes the logits."""
    named = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    if not named:
        raise ValueError(f"{type(network).__name__} has no linear layer and no convolution whose inputs are features")
    return named[-1]


@dataclass(frozen=True)
class HubModel:
    """The mean last hidden state of a network from the Hugging Face Hub, or a folder that `save_pretrained` wrote."""

    name: str

    def __call__(self, x: Inputs, seed: int = 0) -> Float[Tensor, "n d"]:
        """The features of every example: of texts by the model's own tokenizer, of images as float pixels."""
        try:
            transformers: Any = import_module("transformers")
        except ImportError as error:
            raise ValueError(f"features={self.name!r}: names on the Hub need pip install transformers") from error
        with isolated(0, threads=1), torch.no_grad():
            network = transformers.AutoModel.from_pretrained(self.name).eval()
            tokenizer = transformers.AutoTokenizer.from_pretrained(self.name) if hasattr(x, "words") else None
            return torch.cat([self._of(network, tokenizer, part) for part in _parts(x)])

    def _of(self, network: Any, tokenizer: Any, part: Any) -> Tensor:
        if tokenizer is None:
            return network(pixel_values=part).last_hidden_state.flatten(2).mean(1)
        given = tokenizer(part, padding=True, truncation=True, return_tensors="pt")
        mask = given["attention_mask"][..., None]
        return (network(**given).last_hidden_state * mask).sum(1) / mask.sum(1)


def _parts(x: Any) -> list[Any]:
    if not hasattr(x, "words"):
        return list(pieces(x, 32))
    texts = x.words()
    return [texts[start : start + 32] for start in range(0, len(texts), 32)]


@dataclass(frozen=True)
class Function:
    """A caller's own: inputs to an array (n, d)."""

    call: Callable[[Any], Any]

    def __call__(self, x: Inputs, seed: int = 0) -> Float[Tensor, "n d"]:
        """The features of every example."""
        with isolated(seed, threads=1), torch.no_grad():
            return torch.as_tensor(np.asarray(self.call(x[:] if isinstance(x, Array) else x))).float()

    def __repr__(self) -> str:
        return f"Function({getattr(self.call, '__qualname__', type(self.call).__name__)}, {key(self.call)[:16]})"


@dataclass(frozen=True, eq=False)
class Given:
    """An array with a row for each example of the task that is coded, in the task's own order."""

    values: np.ndarray
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        values = np.ascontiguousarray(self.values, dtype=np.float32)
        if values.ndim != 2 or not np.isfinite(values).all():
            raise ValueError(f"features of shape {values.shape}: give finite numbers (n, d), a row an example")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "digest", key(values)[:16])

    def __call__(self, x: Inputs, seed: int = 0) -> Float[Tensor, "n d"]:
        """The rows of these examples: those that the seed's coding order sends first."""
        if count(x) > len(self.values):
            raise ValueError(f"features have {len(self.values)} rows and there are {count(x)} examples; give one each")
        return torch.from_numpy(self.values[coding_order(len(self.values), seed)[: count(x)]])

    def __repr__(self) -> str:
        return f"Given({len(self.values)} × {self.values.shape[1]}, {self.digest})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Given) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def checked(features: Tensor, n: int) -> Float[Tensor, "n d"]:
    """The features; a ValueError unless they are finite numbers, a row for each of n examples."""
    if features.ndim != 2 or len(features) != n or not features.isfinite().all():
        raise ValueError(f"features of shape {tuple(features.shape)} for {n} examples: they are finite numbers (n, d)")
    return features


Features = FrozenNetwork | HubModel | Function | Given

AnyFeatures = Any
"""Features, or whatever `frozen` takes for them."""


def frozen(what: Any) -> Features | None:
    """Features by whatever names them: `NAME=FILE`, a name on the Hub, a function of the inputs, an array."""
    match what:
        case None | FrozenNetwork() | HubModel() | Function() | Given():
            return what
        case str() if "=" in what:
            name, _, file = what.partition("=")
            return FrozenNetwork(name, Path(file))
        case str():
            return HubModel(what)
        case np.ndarray() | Tensor():
            return Given(np.asarray(what))
        case _ if callable(what):
            return Function(what)
    raise TypeError(f"features={what!r}: give 'NAME=FILE', a name on the Hub, a function of the inputs or an array")
