"""Noise that is drawn where it acts, against weights that are drawn whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from infoscope.weight_information.certificate.local_noise import used_once
from infoscope.weight_information.certificate.noisy_weights import NoisyWeights, layers_of

DRAWS = 20_000


class Tied(nn.Module):
    """One layer that every example meets twice, and one that it meets once."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.once = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.once(torch.tanh(self.twice(torch.tanh(self.twice(x)))))


def positions() -> nn.Module:
    """A layer that an example meets at two places."""
    return nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Linear(2, 3), nn.Flatten(), nn.Linear(6, 2))


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 3, 3)), nn.Conv2d(1, 2, 2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2)
    )


def noisy(network: nn.Module) -> NoisyWeights:
    """With standard deviations of all sizes, in bases that are no axes."""
    found = NoisyWeights(network, layers_of(network), 0.5)
    with torch.no_grad():
        for p in found.logs:
            p.add_(0.1 * torch.randn_like(p))
    found.turn([tuple(torch.linalg.qr(torch.randn(k, k))[0] for k in mean.shape) for mean in found.means])
    return found


@pytest.mark.parametrize(
    ("make", "inputs", "local"),
    [
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), 4, 4),
        (convolutions, 9, 4),
        (positions, 4, 2),
        (Tied, 3, 2),
    ],
)
def test_outputs_of_an_example_are_distributed_as_under_whole_weights(make, inputs, local):
    """Means and covariances of the outputs and of their squares, within five of their standard errors."""
    torch.manual_seed(0)
    network = noisy(make())
    x = torch.randn(1, inputs)
    with torch.no_grad():
        # In parts of one example, as those of a part share what is drawn whole.
        apart = torch.cat([network(x.expand(network.parts, -1)).outputs for _ in range(300)])
        assert len(network._local or ()) == local
        weights = network.draw(2000)
        whole = torch.cat([network.outputs({k: t[i] for k, t in weights.items()}, x) for i in range(2000)])
    for power in (1, 2):
        for f in (lambda z: z, lambda z: z[:, :1] * z):
            a, b = f(apart**power), f(whole**power)
            error = (a.var(0) / len(a) + b.var(0) / len(b)).sqrt()
            assert bool(((a.mean(0) - b.mean(0)).abs() < 5 * error).all())


def test_noise_of_examples_is_independent():
    """Under a common draw equal examples would have equal outputs."""
    torch.manual_seed(0)
    network = noisy(nn.Sequential(nn.Linear(4, 3)))
    with torch.no_grad():
        out = network(torch.randn(1, 4).expand(DRAWS, -1)).outputs
    first, second = out[::2] - out.mean(0), out[1::2] - out.mean(0)
    assert float((first * second).mean() / out.var()) == pytest.approx(0, abs=5 / DRAWS**0.5)


def test_the_gradient_is_that_of_the_mean_loss_over_whole_weights():
    """∂/∂M and ∂/∂log s of E z², z = Wx: 2(Mx)xᵀ, and 8 s²x² as the logarithm is stored in quarters."""
    torch.manual_seed(0)
    network = NoisyWeights(nn.Linear(2, 1, bias=False), layers_of(nn.Linear(2, 1, bias=False)), 0.5)
    x = torch.tensor([[1.0, 2.0]])
    network(x.expand(DRAWS, -1)).outputs.square().mean().backward()
    mean = network.means[0]
    assert mean.grad is not None
    assert network.logs[0].grad is not None
    slope = 2 * (mean.detach() @ x.T) * x
    assert torch.allclose(mean.grad, slope, atol=0.1)
    assert torch.allclose(network.logs[0].grad, 8 * 0.25 * x.square(), rtol=0.05)


def test_a_weight_that_is_looked_at_elsewhere_is_drawn_whole():
    line, x = nn.Linear(2, 2), torch.randn(3, 2)
    given = dict(line.named_parameters())
    assert used_once(lambda: line(x), given, 3) == {"weight", "bias"}
    assert used_once(lambda: line(x) + line.bias, given, 3) == {"weight"}
    assert used_once(lambda: line(x) @ line.weight, given, 3) == {"bias"}
    assert used_once(lambda: line(x.expand(2, 3, 2)), given, 3) == set()
    assert used_once(lambda: line(x), given, 2) == set()
