"""A network's last layer solved for at once: regressions of the labels on what the network makes of the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.inputs import Batch, Inputs, pieces, to
from infoscope.data.targets import Classes, Labels, Real
from infoscope.options import at_least
from infoscope.prequential.ahead import Ahead
from infoscope.prequential.gaussian_process import Block
from infoscope.prequential.gram import centred_features, gaussian, nystrom, to_landmarks, with_constant
from infoscope.prequential.heads import at_once
from infoscope.prequential.readouts import Pairs, readout
from infoscope.training.forward import device_of, forward


@dataclass(frozen=True)
class LastLayer:
    """Gaussian-process regression on the inputs of a network's last linear layer, the features.

    Two kernels: linear, which is that layer in closed form, and Gaussian in units of the median distance, both centred
    (but for numbers, whose mean is not known), so that what resembles nothing seen so far is expected to bring a new
    class. Each has its noise λ; every (slope β, power α) of `readouts` reads them as `Kernel` reads its own. So what a
    gradient teaches in hundreds of samples is known after a few labels, also where a trained network comes to classes
    under new names.

    The features are those of the network as it was given, taken once of all inputs, and of the learning one, which are
    taken anew each time the past has grown by `refresh`: all labels together cost 1 + `refresh` / (`refresh` − 1)
    passes forward each, of images that `Replay.nearby` changes five times the second. A kernel is projected on at most
    `landmarks` inputs. Of a network that does not end in a linear layer the outputs are taken.
    """

    refresh: float = 1.25
    landmarks: int = 1000
    noises: tuple[float, float] = (0.1, 0.1)
    real_noises: tuple[float, ...] = (0.1, 1.0)
    readouts: Pairs = ((2.0, 1.0), (4.0, 1.0), (6.0, 0.0), (12.0, 0.0))

    def __post_init__(self) -> None:
        at_least(self, "landmarks", 1)
        if not (self.refresh > 1 and min(*self.noises, *self.real_noises, *(slope for slope, _ in self.readouts)) > 0):
            raise ValueError(f"{self}: refresh is above 1, noises and slopes are above 0")


class Regressions:
    """The regressions as labels come in: `reach` examples are within them until they are `renewed` with more."""

    def __init__(self, preset: LastLayer, target: Classes | Labels | Real) -> None:
        self.preset = preset
        self.real, self.read = isinstance(target, Real), readout(target, preset.readouts)
        self.ahead: list[Ahead] = []
        self.means: list[Float[np.ndarray, "b width"]] = []
        self.targets = np.empty((0, 0, self.read.width))
        self.reach = 0

    def next_reach(self, stop: int, n: int) -> int:
        """How many examples a renewal should see that has to serve up to `stop`."""
        return min(n, max(stop, int(stop * self.preset.refresh) + 8))

    def renew(self, features: Sequence[Float[Tensor, "reach _"]], draws: torch.Generator) -> None:
        """Begin again from other features, with all that was learned so far."""
        self.reach = len(features[0])
        kernels = [
            (phi, noise)
            for f in features
            for phi, own in zip(self._kernels(f, draws), self.preset.noises, strict=True)
            for noise in (self.preset.real_noises if self.real else (own,))
        ]
        self.ahead = [Ahead(phi, noise, self.read.width) for phi, noise in kernels]
        if not len(self.targets):
            self.targets = np.empty((len(self.ahead), 0, self.read.width))
        for each, own in zip(self.ahead, self.targets, strict=True):
            each.begin(own)

    def blocks(self, start: int, stop: int) -> list[Block]:
        """What is predicted of the next examples, for `by_example` to read."""
        blocks = [each.block(start, stop) for each in self.ahead]
        self.means = [mean for _, mean in blocks]
        return blocks

    def learn(self, targets: Float[np.ndarray, "kernels b width"]) -> None:
        """Add the next examples to the past."""
        start = self.targets.shape[1]
        for each, mean, own in zip(self.ahead, self.means, targets, strict=True):
            each.learn(start, mean, own)
        self.targets = np.concatenate([self.targets, targets], 1)

    def _kernels(self, f: Float[Tensor, "reach d"], draws: torch.Generator) -> list[Float[Tensor, "reach _"]]:
        """Features whose inner products are the linear and the Gaussian kernel."""
        f = centred_features(torch.where(f.isfinite(), f, 0.0))
        some, squares, among = to_landmarks(f, self.preset.landmarks, draws)
        linear = f if f.shape[1] <= len(some) else nystrom(f @ some.T, some @ some.T)
        smooth = nystrom(gaussian(squares), gaussian(among))
        return [with_constant(phi) for phi in (linear, smooth)] if self.real else [linear, centred_features(smooth)]


@torch.no_grad()
def last_features(network: nn.Module, x: Inputs) -> Float[Tensor, "n d"]:
    """What the last linear layer of a network, put in eval mode, is given; float64.

    >>> last_features(nn.Sequential(nn.ReLU(), nn.Linear(2, 3)), torch.tensor([[-1.0, 2.0]]))
    tensor([[0., 2.]], dtype=torch.float64)
    """
    return torch.cat([_piece(network.eval(), part) for part in pieces(x, at_once(network))])


@torch.no_grad()
def ends_linear(network: nn.Module, x: Inputs) -> bool:
    """Whether the outputs of a network, put in eval mode, are those of a linear layer, a row an example.

    >>> ends_linear(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), torch.zeros(1, 2))
    False
    """
    return _into_the_end(network.eval(), next(iter(pieces(x, 1024))))[0] is not None


def _piece(network: nn.Module, x: Batch) -> Float[Tensor, "n d"]:
    features, outputs = _into_the_end(network, x)
    # a copy: what comes next may be done in place
    return (outputs if features is None else features).double().cpu().flatten(1).clone()


def _into_the_end(network: nn.Module, x: Batch) -> tuple[Tensor | None, Tensor]:
    """What goes into the linear layer that makes the outputs, None where there is no such layer; and the outputs."""
    heard: list[tuple[Tensor, Tensor]] = []

    def hear(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        heard.append((inputs[0].detach(), output))

    layers = [m for m in network.modules() if isinstance(m, nn.Linear) and not isinstance(m, torch.jit.ScriptModule)]
    handles = [layer.register_forward_hook(hear) for layer in layers]
    try:
        outputs = forward(network, to(x, device_of(network)))
    finally:
        for handle in handles:
            handle.remove()
    ends = heard and heard[-1][0].ndim == 2 and heard[-1][1].data_ptr() == outputs.data_ptr()
    return (heard[-1][0] if ends else None), outputs
