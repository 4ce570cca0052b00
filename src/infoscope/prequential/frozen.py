"""Frozen features: what any network, function or table of numbers says of the inputs, which both sides own.

What the features know of the labels is not sent, and so not counted: a code from frozen features says what the labels
cost *given these features*, and the information of the features themselves is excluded.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.inputs import Array, Inputs, count, pieces
from infoscope.data.targets import Classes, Labels, Real, Target
from infoscope.data.task import coding_order
from infoscope.data.texts import Texts
from infoscope.hugging_face import HUB, file_of, loaded, revision_of
from infoscope.models import MODELS, model, name_and_file
from infoscope.models.preparation import Preparation
from infoscope.observation.encoder import Encoder, encoder_layers
from infoscope.run import key
from infoscope.training.forward import forward
from infoscope.training.isolation import isolated
from infoscope.training.weights_file import weights_from

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of colours from 0 to 1 that torchvision's networks are trained with."""

EXCLUDED = "given frozen features, whose own information is excluded"
"""What a reader of the number must know."""


@dataclass(frozen=True)
class FrozenNetwork:
    """What a network gives to its last layer, averaged over places: its weights from a file, its form by a name.

    `model` is a name of `infoscope list models` or `module:factory`. Images are scaled to `size` pixels a side; those
    with a number of `mean` a channel have it taken off and are divided by `deviation`: what the network was trained
    with. Other inputs are given to it as they are.
    """

    model: str
    weights: Path = field(compare=False)
    mean: tuple[float, ...] = IMAGENET[0]
    deviation: tuple[float, ...] = IMAGENET[1]
    size: int | None = None
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", Path(self.weights))
        if not self.weights.is_file():
            raise ValueError(f"{self.weights}: no such file; features are NAME=FILE, a model's name and its weights")
        if len(self.mean) != len(self.deviation) or 0 in self.deviation:
            raise ValueError(f"mean {self.mean}, deviation {self.deviation}: give a number a channel, none of these 0")
        object.__setattr__(self, "digest", hashlib.blake2b(self.weights.read_bytes(), digest_size=8).hexdigest())

    def __call__(self, x: Inputs, seed: int = 0) -> Float[Tensor, "n d"]:
        """The features of every example."""
        if not isinstance(x, Array):
            raise ValueError(f"features of {self.model}: takes one array of numbers; for texts give hf:NAME")
        given = weights_from(self.weights)
        with isolated(0, threads=1), torch.no_grad():
            channels = _channels(model(self.model)(tuple(x.shape[1:]), 2), given)
            shape = self._prepared(x[:1].float(), channels).shape[1:]
            network, last = self._network(given, tuple(shape))
            parts = (self._prepared(part.float(), channels) for part in pieces(x, 64))
            return torch.cat([before(network, last, part) for part in parts])

    def _network(self, given: Mapping[str, Tensor], shape: tuple[int, ...]) -> tuple[nn.Module, str]:
        """The network with its weights, and the name of its last layer."""
        factory = model(self.model)
        last = _last_layer(factory(shape, 2))
        try:
            network = factory(shape, len(given[f"{last}.weight"]))
            network.load_state_dict(dict(given))
        except (KeyError, RuntimeError) as error:
            raise ValueError(
                f"{self.weights}: are no weights of {self.model} for inputs {shape} "
                f"({str(error).splitlines()[-1].strip()[:160]}); name the model that they are of"
            ) from error
        return network.eval(), last

    def _prepared(self, x: Tensor, channels: int | None) -> Tensor:
        if x.ndim != 4:
            return x
        units = Preparation(self.mean, self.deviation, self.size)
        return prepared(x, channels or x.shape[1], units, self.told)

    @property
    def told(self) -> str:
        """What they are, in words."""
        return f"{self.model} of {self.weights.name}"

    def __repr__(self) -> str:
        image = f"mean={self.mean}, deviation={self.deviation}, size={self.size}"
        return f"FrozenNetwork({self.model}, {self.weights.name}, {image}, {self.digest})"


def prepared(
    x: Float[Tensor, "n c h w"], channels: int, units: Preparation, told: str
) -> Float[Tensor, "n channels height width"]:
    """Images as a network was trained with: so many channels, scaled, and in its units where it has as many."""
    if x.shape[1] not in (1, channels):
        raise ValueError(f"features of {told}: takes images of {channels} channels, and these have {x.shape[1]}")
    if len(units.mean) not in (1, channels):
        units = replace(units, mean=(), deviation=())
    return replace(units, channels=channels).of(x)


def before(network: nn.Module, layer: str, x: Tensor) -> Float[Tensor, "b d"]:
    """What a network gives to one of its layers, averaged over places."""
    found: list[Tensor] = []
    hook = network.get_submodule(layer).register_forward_pre_hook(lambda _, given: found.append(given[0]))
    try:
        forward(network, x)
    finally:
        hook.remove()
    return over_places(found[0])


def over_places(found: Float[Tensor, "b d *places"]) -> Float[Tensor, "b d"]:
    """Means over the places of a map."""
    return found.flatten(2).mean(2) if found.ndim > 2 else found


def _channels(network: nn.Module, given: Mapping[str, Tensor]) -> int | None:
    """Of the images that these weights take: those of the first convolution; None if there is none."""
    first = next((name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)), None)
    weight = given.get(f"{first}.weight")
    return None if weight is None else weight.shape[1]


def _last_layer(network: nn.Module) -> str:
    """The name of the last layer that has weights, which makes the logits."""
    named = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    if not named:
        raise ValueError(f"{type(network).__name__} has no linear layer and no convolution whose inputs are features")
    return named[-1]


@dataclass(frozen=True)
class HubModel:
    """The mean last hidden state of a network from the Hugging Face Hub, or a folder that `save_pretrained` wrote.

    Texts are read by the network's own tokenizer; images are scaled to its size and put into its units, as the
    `preprocessor_config.json` beside it says. The digest is that of a folder's files or the commit on the Hub.
    """

    name: str = field(compare=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", revision_of(self.name) or self.name)

    def __call__(self, x: Inputs, seed: int = 0) -> Float[Tensor, "n d"]:
        """The features of every example."""
        if isinstance(x, Texts):
            encoder = Encoder.of(self.name)
            last = encoder.layers[-1]
            return encoder_layers(encoder, tuple(x.words()), (last,), "mean")[last]
        if not isinstance(x, Array) or x.ndim != 4:
            raise ValueError(f"{HUB}{self.name}: takes texts, or images (n, channels, height, width)")
        return self._of_images(x)

    def _of_images(self, x: Array) -> Float[Tensor, "n d"]:
        units = _image_units(self.name)
        with isolated(0, threads=1), torch.no_grad():
            network = loaded(self.name, "AutoModel").eval().float()
            config = network.config
            channels = getattr(config, "num_channels", 3)
            size = units.size or getattr(config, "image_size", None)
            units = replace(units, size=size[0] if isinstance(size, list | tuple) else size)
            parts = (prepared(part.float(), channels, units, self.told) for part in pieces(x, 32))
            return torch.cat([self._pooled(network(pixel_values=part)) for part in parts])

    def _pooled(self, given: Any) -> Float[Tensor, "b d"]:
        """Of tokens (b, tokens, d) or a map (b, d, height, width) the mean over places."""
        state = getattr(given, "last_hidden_state", None)
        if state is None:
            raise ValueError(f"{HUB}{self.name}: gives no last hidden state of images; give an encoder of images")
        return state.mean(1) if state.ndim == 3 else over_places(state)

    @property
    def told(self) -> str:
        """What they are, in words."""
        return f"{HUB}{Path(self.name).name if Path(self.name).is_dir() else self.name}"

    def __repr__(self) -> str:
        return f"HubModel({self.told}, {self.digest})"


def _image_units(name: str) -> Preparation:
    """Mean, deviation and size that a network on the Hub was trained with; nothing where it does not say."""
    told = file_of(name, "preprocessor_config.json")
    size = told.get("size")
    if isinstance(size, Mapping):
        size = size.get("height", size.get("shortest_edge"))
    if not told.get("do_normalize", True):
        return Preparation(size=size)
    return Preparation(tuple(told.get("image_mean", ())), tuple(told.get("image_std", ())), size)


@dataclass(frozen=True)
class OwnNetwork:
    """What a caller's own network gives, in eval mode, averaged over places; the caller's is left as it is."""

    network: nn.Module = field(compare=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        held = {name: tensor.detach() for name, tensor in self.network.state_dict().items()}
        object.__setattr__(self, "digest", key((repr(self.network), held))[:16])

    def __call__(self, x: Inputs, seed: int = 0) -> Float[Tensor, "n d"]:
        """The features of every example."""
        with isolated(0, threads=1), torch.no_grad():
            network = copy.deepcopy(self.network).cpu().eval()
            return torch.cat([over_places(forward(network, part)).float() for part in pieces(x, 64)])

    @property
    def told(self) -> str:
        """What they are, in words."""
        return f"a {type(self.network).__name__}"

    def __repr__(self) -> str:
        return f"OwnNetwork({type(self.network).__name__}, {self.digest})"


@dataclass(frozen=True)
class Function:
    """A caller's own: inputs to an array (n, d)."""

    call: Callable[[Any], Any]

    def __call__(self, x: Inputs, seed: int = 0) -> Float[Tensor, "n d"]:
        """The features of every example."""
        with isolated(seed, threads=1), torch.no_grad():
            return torch.as_tensor(np.asarray(self.call(x[:] if isinstance(x, Array) else x))).float()

    @property
    def told(self) -> str:
        """What they are, in words."""
        return f"the function {getattr(self.call, '__qualname__', type(self.call).__name__)}"

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

    @property
    def told(self) -> str:
        """What they are, in words."""
        return f"an array of {len(self.values)} × {self.values.shape[1]}"

    def __describe__(self) -> str:
        return repr(self)

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


def check_features(features: Features | None, n: int, target: Target) -> None:
    """ValueError where a task of n examples cannot be coded with these: an array of other rows would go unnoticed."""
    if features is None:
        return
    if not isinstance(target, Classes | Labels | Real):
        raise ValueError(f"{target} are not predicted from features; leave them out")
    if isinstance(features, Given) and len(features.values) != n:
        raise ValueError(f"features have {len(features.values)} rows, and {n} examples are coded from; give one each")


Features = FrozenNetwork | HubModel | OwnNetwork | Function | Given

AnyFeatures = Any
"""Features, or whatever `frozen` takes for them."""

FORMS = "NAME=FILE, hf:NAME, a file .npy"
"""Features as they are written on the command line."""


def frozen(what: Any) -> Features | None:
    """Features by whatever names them: `NAME=FILE`, `hf:NAME`, a network, a function of the inputs, an array.

    FILE holds the weights of a network of `infoscope list models`. What is done to images first stands behind the name,
    as in `squeezenet[size=227]=weights.safetensors`; without it colours are put into the units of `IMAGENET`. An array
    may be a file, `.npy`.
    """
    match what:
        case None | FrozenNetwork() | HubModel() | OwnNetwork() | Function() | Given():
            return what
        case str() if what.startswith(HUB):
            return HubModel(what.removeprefix(HUB))
        case str() if "=" in what:
            return _network_of(*name_and_file(what))
        case str() | Path() if Path(what).suffix == ".npy":
            return Given(_array_of(Path(what)))
        case str() if what in MODELS:
            return _network_of(what, None)
        case str():
            return HubModel(what)
        case np.ndarray() | Tensor():
            return Given(np.asarray(what))
        case nn.Module():
            return OwnNetwork(what)
        case _ if callable(what):
            return Function(what)
    raise TypeError(f"features={what!r}: give {FORMS}, a network, a function of the inputs or an array")


def _network_of(name: str, file: str | None) -> FrozenNetwork:
    if file is None:
        raise ValueError(f"features {name}: give its weights, too: {name}=FILE")
    return FrozenNetwork(name, Path(file), (), ()) if name.endswith("]") else FrozenNetwork(name, Path(file))


def _array_of(file: Path) -> np.ndarray:
    if not file.is_file():
        raise ValueError(f"{file}: no such file; features are {FORMS}")
    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: is no array as numpy.save writes it ({error})") from error


def told_of(features: Features | None) -> dict[str, str]:
    """What an answer tells of the features that its codes were given."""
    return {} if features is None else {"Features": f"{features.told}; what these know of the labels is not counted"}


def with_features(coder: Any, features: AnyFeatures) -> Any:
    """The coder with these features beside the inputs; a ValueError if it has them already, or takes none."""
    if features is None:
        return coder
    if not hasattr(coder, "features"):
        raise ValueError(f"{type(coder).__name__} takes no features; take the coder mixed or kernel")
    if coder.features is not None:
        raise ValueError("features are given twice, in the coder and beside it; leave out one")
    return replace(coder, features=frozen(features))
