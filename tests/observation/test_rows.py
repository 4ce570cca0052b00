"""Rows of every use of a parameter against autograd, one example and one output after another."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from infoscope.observation.fisher_diagonal import fisher_diagonal
from infoscope.observation.forms import written_out
from infoscope.observation.likelihoods import Categorical
from infoscope.observation.rows import Differentiated


class Called(nn.Module):
    """Modules with what stands between their inputs and outputs."""

    def __init__(self, forward, **parts: nn.Module | nn.Parameter):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.called = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.called(self, x)


class Conv1D(nn.Module):
    """Hugging Face's: a linear layer whose weight is (inputs, outputs)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(inputs, outputs)), nn.Parameter(torch.randn(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(*x.shape[:-1], -1)


class Hidden(torch.autograd.Function):
    """A product that nobody hears."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g * w, (g * x).sum(0)


class Choosing(nn.Module):
    """A network that looks at its inputs before it goes on."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.norm = nn.Linear(3, 3), nn.Linear(3, 3), nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(torch.stack([self.one(r) if bool(r.sum() > 0) else self.two(r) for r in x]))


def sequence(network: nn.Module) -> nn.Module:
    return Called(lambda m, x: m.of(x)[0], of=network)


def images(*shape: int):
    return lambda: torch.randn(*shape)


def attention(**options) -> nn.Module:
    def forward(m, x):
        y = torch.cat([x, x.tanh()], 1)[:, : x.shape[1] + 1, : options.get("kdim", 4)]
        x, y = (x, y) if options.get("batch_first") else (x.transpose(0, 1), y.transpose(0, 1))
        out = m.of(x, y, y[..., : options.get("vdim", 4)], need_weights=False)[0]
        return out if options.get("batch_first") else out.transpose(0, 1)

    return Called(forward, of=nn.MultiheadAttention(4, 2, **options))


CLOSED = {
    "linear": (lambda: nn.Linear(3, 4), images(5, 3)),
    "linear over two axes": (lambda: nn.Linear(3, 2), images(5, 2, 2, 3)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, 2, 1, groups=2), images(5, 4, 7)),
    "conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2), images(5, 4, 5, 6)),
    "conv2d, depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4), images(5, 4, 4, 5)),
    "conv2d, 1 × 1": (lambda: nn.Conv2d(4, 3, 1, bias=False), images(5, 4, 3, 2)),
    "conv2d, same": (lambda: nn.Conv2d(2, 3, (5, 3), padding="same", dilation=(1, 2)), images(5, 2, 5, 4)),
    "conv2d, valid": (lambda: nn.Conv2d(2, 3, 2, padding="valid"), images(5, 2, 3, 4)),
    "conv2d, reflected": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), images(5, 2, 3, 4)),
    "conv3d": (lambda: nn.Conv3d(2, 2, 2, padding=1), images(5, 2, 2, 3, 2)),
    "transposed conv1d": (lambda: nn.ConvTranspose1d(4, 6, 3, 2, 1, 1, groups=2), images(5, 4, 3)),
    "transposed conv2d": (lambda: nn.ConvTranspose2d(2, 3, 3, (2, 1), (1, 0), (1, 0), dilation=2), images(5, 2, 3, 2)),
    "transposed conv3d": (lambda: nn.ConvTranspose3d(2, 1, 2, 2), images(5, 2, 2, 1, 2)),
    "layer norm": (lambda: nn.LayerNorm((2, 3)), images(5, 4, 2, 3)),
    "rms norm": (lambda: nn.RMSNorm(3), images(5, 2, 3)),
    "group norm": (lambda: nn.GroupNorm(2, 4), images(5, 4, 3)),
    "batch norm": (lambda: nn.BatchNorm2d(3), images(5, 3, 2, 2)),
    "batch norm of vectors": (lambda: nn.BatchNorm1d(3), images(5, 3)),
    "embedding": (
        lambda: nn.Sequential(nn.Embedding(6, 3, padding_idx=1), nn.Flatten(), nn.Linear(12, 2)),
        lambda: torch.tensor([[0, 1, 1, 5], [2, 2, 2, 2], [1, 1, 1, 1], [3, 4, 5, 0]]),
    ),
    "places, one table for all": (
        lambda: Called(lambda m, x: m.head(m.words(x) + m.places(torch.arange(x.shape[1])[None])).tanh(),
                       words=nn.Embedding(6, 3), places=nn.Embedding(5, 3), head=nn.Linear(3, 2)),
        lambda: torch.randint(0, 6, (5, 4)),
    ),
    "a learned shift, scale and first token": (
        lambda: Called(lambda m, x: torch.cat([m.token.expand(len(x), -1, -1), x + m.shift[:, :2]], 1) * m.scale,
                       token=nn.Parameter(torch.randn(1, 1, 3)), shift=nn.Parameter(torch.randn(1, 4, 3)),
                       scale=nn.Parameter(torch.randn(3))),
        images(5, 2, 3),
    ),
    "Conv1D": (lambda: nn.Sequential(Conv1D(3, 4), nn.GELU(), Conv1D(4, 2)), images(5, 2, 3)),
    "functions of parameters": (
        lambda: Called(lambda m, x: F.linear(x @ m.w, m.v.t(), m.b), w=nn.Parameter(torch.randn(3, 4)),
                       v=nn.Parameter(torch.randn(4, 2)), b=nn.Parameter(torch.randn(2))),
        images(5, 2, 3),
    ),
    "attention": (lambda: attention(batch_first=True, kdim=4, vdim=3), images(5, 3, 4)),
    "self-attention, sequence first": (
        lambda: Called(lambda m, x: m.of(x.transpose(0, 1), x.transpose(0, 1), x.transpose(0, 1))[0].transpose(0, 1),
                       of=nn.MultiheadAttention(4, 2)),
        images(5, 3, 4),
    ),
    "cross-attention in one matrix": (lambda: attention(), images(5, 3, 4)),
    "a transformer's layer": (lambda: nn.TransformerEncoderLayer(4, 2, 5, batch_first=True), images(5, 3, 4)),
    "recurrence": (
        lambda: Called(lambda m, x: m.step(m.step(m.step(x[:, 0]) + x[:, 1]).tanh() + x[:, 2]), step=nn.Linear(3, 3)),
        images(5, 3, 3),
    ),
    "images in a batch of their own": (
        lambda: Called(lambda m, x: m.norm(m.of(x.flatten(0, 1))).flatten(1).reshape(len(x), -1),
                       of=nn.Conv2d(2, 3, 2), norm=nn.BatchNorm2d(3)),
        images(4, 3, 2, 3, 3),
    ),
    "a part that is not used": (
        lambda: Called(lambda m, x: m.one(x), one=nn.Linear(3, 4), two=nn.Linear(4, 2)), images(5, 3),
    ),
    "changed in place": (
        lambda: Called(lambda m, x: m.two(m.one(x).mul_(2).relu_()).sigmoid_(), one=nn.Linear(3, 4),
                       two=nn.Linear(4, 2)),
        images(5, 2, 3),
    ),
}  # fmt: skip

OTHERS = {
    "LSTM": (lambda: sequence(nn.LSTM(3, 2, batch_first=True)), images(4, 3, 3), {"loop"}),
    "GRU, sequence first": (
        lambda: Called(lambda m, x: m.of(x.transpose(0, 1))[0].transpose(0, 1), of=nn.GRU(3, 2)), images(4, 3, 3),
        {"loop"},
    ),
    "bilinear": (lambda: Called(lambda m, x: m.of(x, x), of=nn.Bilinear(3, 3, 2)), images(4, 3), {"vmap"}),
    "weights made of weights": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)), nn.PReLU(), nn.Linear(3, 2)),
        images(4, 3), {"vmap", "closed"},
    ),
    "a function of their own": (
        lambda: Called(lambda m, x: m.head(Hidden.apply(x, m.w)), w=nn.Parameter(torch.randn(3)), head=nn.Linear(3, 2)),
        images(4, 3), {"loop", "closed"},
    ),
    "what looks at its inputs": (Choosing, images(4, 3), {"loop"}),
    "a part that is used twice, overlapping": (
        lambda: Called(lambda m, x: x @ m.w[:3] + x @ m.w[1:], w=nn.Parameter(torch.randn(4, 2))), images(4, 3),
        {"vmap"},
    ),
}  # fmt: skip


def of(network: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, str]]:
    found = Differentiated(network, x)
    passed = found.at(x)
    width = passed.outputs[0].numel()
    columns = torch.eye(width, dtype=passed.outputs.dtype)[:, None].expand(width, len(x), width)
    full = {k: torch.zeros(len(x), width, *p.shape, dtype=p.dtype) for k, p in found.parameters.items()}
    for slot, forms in passed.rows([c.reshape(passed.outputs.shape) for c in columns]).items():
        full[slot.name][:, :, *slot.index] = torch.cat(list(written_out(forms)))
    return torch.cat([r.flatten(2) for r in full.values()], 2), found.ways


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms_are_autograds(name, made, slowly):
    network, x = made(*CLOSED[name])
    rows, ways = of(network, x)
    truth = slowly(network, x, ways)
    assert set(ways.values()) == {"closed"}
    torch.testing.assert_close(rows, truth, rtol=0, atol=1e-14 * float(truth.abs().max()))


@pytest.mark.parametrize("name", CLOSED)
def test_the_diagonal_of_the_table_is_exact(name, made, plainly):
    network, x = made(*CLOSED[name])
    truth = plainly(network, x, None, lambda z, y: z.logsumexp(-1).sum())
    found = fisher_diagonal(network, x, Categorical(), batch=3)
    flat = torch.cat([t.flatten() for t in found.mean.values()])
    torch.testing.assert_close(flat, truth, rtol=0, atol=1e-14 * float(truth.max()))


@pytest.mark.parametrize("name", OTHERS)
def test_anything_else_falls_back_for_those_parameters_alone(name, made, slowly):
    make, inputs, expected = OTHERS[name]
    network, x = made(make, inputs)
    rows, ways = of(network, x)
    truth = slowly(network, x, ways)
    assert set(ways.values()) == expected
    torch.testing.assert_close(rows, truth, rtol=0, atol=1e-14 * float(truth.abs().max()))


def test_uses_that_change_with_the_examples_fall_back_batch_by_batch(slowly):
    """On the first examples the second layer runs for all; on later ones it doesn't."""
    network = Called(lambda m, x: m.two(m.one(x)) if bool((x > 0).all()) else m.one(x), one=nn.Linear(3, 3),
                     two=nn.Linear(3, 3)).double()  # fmt: skip
    x = torch.cat([torch.rand(3, 3), -torch.rand(4, 3)]).double()
    found = Differentiated(network, x)
    assert set(found.ways.values()) == {"closed"}
    passed = found.at(x[3:])
    columns = [torch.zeros(4, 3, dtype=torch.float64) for _ in range(3)]
    for c, column in enumerate(columns):
        column[:, c] = 1
    forms = passed.rows(columns)
    rows = torch.cat([torch.cat(list(written_out(forms[slot]))).flatten(2) for slot in sorted(forms, key=str)], 2)
    truth = slowly(network, x[3:], sorted(found.ways))
    torch.testing.assert_close(rows, truth, rtol=0, atol=1e-14)


def test_the_network_and_the_random_state_stay_as_they_are():
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(True), nn.Dropout(), nn.Flatten(),
                            nn.Linear(12, 2)).train()  # fmt: skip
    network[5].bias.requires_grad_(False)
    before, state = {k: v.clone() for k, v in network.state_dict().items()}, torch.get_rng_state()
    x = torch.randn(4, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    given = x.clone()
    found = Differentiated(network, x)
    found.at(x).rows([torch.ones(4, 2)])
    assert "5.bias" not in found.ways
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, given)
    assert all(m.training and not m._forward_hooks for m in network.modules())
    assert [p.requires_grad for p in network.parameters()] == [True] * 5 + [False]
    assert all(p.grad is None for p in network.parameters())


def test_what_cannot_be_differentiated_is_told():
    x = torch.randn(5, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.trace(nn.Linear(3, 2), x)
    with pytest.raises(ValueError, match="scripted or traced"):
        Differentiated(scripted, x)
    with pytest.raises(ValueError, match="no trainable parameters"):
        Differentiated(nn.Linear(3, 2).requires_grad_(False), x)
    with pytest.raises(ValueError, match="no parameter 'wait'; it has weight, bias"):
        Differentiated(nn.Linear(3, 2), x, ["wait"])
    with pytest.raises(ValueError, match="in one way alone and in another beside others"):
        Differentiated(nn.BatchNorm1d(3, track_running_stats=False), torch.randn(5, 3, 2))
    with pytest.raises(ValueError, match=r"gave shape \(\) for 3 examples"):
        Differentiated(Called(lambda m, x: m.of(x).sum(), of=nn.Linear(3, 2)), x)
