from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from infoscope.data.inputs import Inputs, count, take
from infoscope.observation.jacobians import gram, jacobian


class Attention(nn.Module):
    """Embedding, in-place relu, residual, LayerNorm, and attention, whose projections are not called as layers."""

    def __init__(self):
        super().__init__()
        self.embed, self.lift = nn.Embedding(7, 5), nn.Linear(5, 6)
        self.norm, self.attend = nn.LayerNorm(6), nn.MultiheadAttention(6, 2, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.lift(self.embed(x)).relu_())
        return self.head((h + self.attend(h, h, h, need_weights=False)[0]).mean(1))


class Folded(nn.Module):
    """A layer that sees more rows than there are examples."""

    def __init__(self):
        super().__init__()
        self.inner, self.head = nn.Linear(2, 3), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.inner(x.reshape(-1, 2)).tanh().reshape(len(x), 6))


class Idle(nn.Module):
    """A layer that is used and makes no difference."""

    def __init__(self):
        super().__init__()
        self.head, self.aside = nn.Linear(4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.aside(x)
        return self.head(x)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 9), nn.ReLU(inplace=True), nn.Linear(9, 3, bias=False))


def tied() -> nn.Module:
    twice = nn.Linear(4, 4)
    return nn.Sequential(twice, nn.Tanh(), twice, nn.Linear(4, 2))


def shared() -> nn.Module:
    one, two = nn.Linear(4, 4), nn.Linear(4, 4)
    two.weight = one.weight
    return nn.Sequential(one, nn.Tanh(), two)


def frozen() -> nn.Module:
    network = mlp()
    network[0].weight.requires_grad_(False)
    return network


def conv() -> nn.Module:
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, stride=2), nn.BatchNorm2d(4), nn.ReLU(True),
        nn.Conv2d(4, 6, 3, dilation=2, bias=False),
        nn.ReLU(), nn.Conv2d(6, 6, 1, groups=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(6, 3),
    )  # fmt: skip
    network(torch.randn(20, 2, 14, 14))  # running statistics that are not 0 and 1
    return network


NETWORKS = {
    "mlp": (mlp, lambda: torch.randn(7, 4)),
    "a layer used twice": (tied, lambda: torch.randn(7, 4)),
    "a weight of two layers": (shared, lambda: torch.randn(7, 4)),
    "a frozen weight": (frozen, lambda: torch.randn(7, 4)),
    "convolutions": (conv, lambda: torch.randn(9, 2, 14, 14)),
    "wide convolution at few places": (
        lambda: nn.Sequential(nn.Conv2d(8, 12, 3), nn.Flatten(), nn.Linear(24, 2)),
        lambda: torch.randn(5, 8, 3, 4),
    ),
    "attention": (Attention, lambda: torch.randint(0, 7, (6, 4))),
    "a layer without effect": (Idle, lambda: torch.randn(5, 4)),
    "rows that are no examples": (Folded, lambda: torch.randn(5, 4)),
}


def by_autograd(network: nn.Module, x: Tensor) -> Tensor:
    """The slow plain way: one backward pass for each example and output."""
    network = network.double().eval()
    weights = [p for p in network.parameters() if p.requires_grad]
    rows = []
    for example in x.double() if x.is_floating_point() else x:
        logits = network(example[None])[0]
        grads = [torch.autograd.grad(z, weights, retain_graph=True, materialize_grads=True) for z in logits]
        rows.append(torch.stack([torch.cat([g.flatten() for g in each]) for each in grads]))
    return torch.stack(rows)


@pytest.mark.parametrize("name", NETWORKS)
def test_jacobian_is_autograds(name):
    torch.manual_seed(0)
    make, inputs = NETWORKS[name]
    network, x = make().double(), inputs()
    x = x.double() if x.is_floating_point() else x
    torch.testing.assert_close(jacobian(network, x), by_autograd(network, x), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("memory", [2**31, 30_000, 1], ids=["all at once", "in parts", "pair by pair"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gram_is_the_jacobians_own(name, memory):
    torch.manual_seed(0)
    make, inputs = NETWORKS[name]
    network, x = make(), inputs()
    kernel, logits = gram(network, x, memory)
    j = by_autograd(network, x)
    reference = torch.einsum("ncp,mcp->nm", j, j) / j.shape[1]
    torch.testing.assert_close(kernel, reference, rtol=1e-10, atol=1e-12 * float(reference.max()))
    assert not kernel.requires_grad
    assert logits.shape == j.shape[:2]
    assert logits.dtype == torch.float64


def test_the_closed_form_of_a_linear_map():
    x = torch.randn(6, 4)
    kernel, _ = gram(nn.Linear(4, 3), x)
    torch.testing.assert_close(kernel, x.double() @ x.double().T + 1)


def test_the_network_stays_as_it_is():
    network = conv().train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    gram(network, torch.randn(4, 2, 14, 14))
    jacobian(network, torch.randn(4, 2, 14, 14))
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert all(m.training for m in network.modules())
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert not any(m._forward_hooks for m in network.modules())


def test_some_parameters_and_outputs_only():
    network, x = mlp(), torch.randn(5, 4)
    part = jacobian(network, x, ["2.weight"], [1])
    torch.testing.assert_close(part, jacobian(network, x)[:, 1:2, -27:])


def test_a_network_without_trainable_parameters_is_refused():
    with pytest.raises(ValueError, match="no trainable parameters"):
        gram(mlp().requires_grad_(False), torch.randn(3, 4))


@dataclass
class Output:
    """What a Hugging Face model gives."""

    logits: Tensor
    hidden: Tensor


class TinyGPT(nn.Module):
    """Token and position embeddings, causal masked attention, LayerNorm, an MLP, and a head tied to the tokens."""

    def __init__(self, vocabulary: int = 7, width: int = 6):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Parameter(0.1 * torch.randn(8, width))
        self.before, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.between, self.wide, self.narrow = nn.LayerNorm(width), nn.Linear(width, 9), nn.Linear(9, width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Output:
        length = input_ids.shape[1]
        h = self.tokens(input_ids) + self.places[:length]
        q, k, v = self.qkv(self.before(h)).chunk(3, -1)
        seen = torch.ones(length, length, dtype=torch.bool).tril()
        if attention_mask is not None and not attention_mask.all():
            seen = seen & (attention_mask[:, None].bool() | torch.eye(length, dtype=torch.bool))
        h = h + self.out(nn.functional.scaled_dot_product_attention(q, k, v, seen))
        h = h + self.narrow(nn.functional.gelu(self.wide(self.between(h))))
        return Output(self.head(h), h)


class SequenceFirst(nn.Module):
    """A layer that sees (positions, examples, width), with as many positions as a small batch has examples."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(input=x.transpose(0, 1)).transpose(0, 1).tanh()


def ids() -> Tensor:
    return torch.randint(0, 7, (5, 4))


SEQUENCES = {
    "token ids": (TinyGPT, ids),
    "ids and their mask": (
        TinyGPT,
        lambda: {"input_ids": ids(), "attention_mask": torch.tensor([[1] * 4] * 4 + [[1, 1, 0, 0]])},
    ),
    "sequence first": (SequenceFirst, lambda: torch.randn(5, 2, 3)),
}


def plain(network: nn.Module, x: Inputs) -> Tensor:
    """One backward pass for each example, position and word; (n, positions · words, parameters)."""
    network = network.double().eval()
    weights = [p for p in network.parameters() if p.requires_grad]
    rows = []
    for i in range(count(x)):
        example = take(x, [i])
        output = network(example) if isinstance(example, Tensor) else network(**example)
        logits = (output if isinstance(output, Tensor) else output.logits)[0]
        outputs = [logits[t, v] for t in range(logits.shape[0]) for v in range(logits.shape[1])]
        grads = [torch.autograd.grad(z, weights, retain_graph=True) for z in outputs]
        rows.append(torch.stack([torch.cat([g.flatten() for g in each]) for each in grads]))
    return torch.stack(rows)


@pytest.mark.parametrize("memory", [2**31, 60_000], ids=["all at once", "in parts"])
@pytest.mark.parametrize("name", SEQUENCES)
def test_every_position_and_word_of_a_sequence_is_an_output(name, memory):
    torch.manual_seed(0)
    make, inputs = SEQUENCES[name]
    network, x = make().double(), inputs()
    x = x.double() if isinstance(x, Tensor) and x.is_floating_point() else x
    j = plain(network, x)
    torch.testing.assert_close(jacobian(network, x), j, rtol=1e-10, atol=1e-13)
    kernel, logits = gram(network, x, memory)
    reference = torch.einsum("ncp,mcp->nm", j, j) / j.shape[1]
    torch.testing.assert_close(kernel, reference, rtol=1e-10, atol=1e-12 * float(reference.max()))
    assert logits.shape == j.shape[:2]


def test_an_output_that_is_no_row_an_example_is_refused():
    class Total(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input).sum()

    with pytest.raises(ValueError, match=r"Total gave shape \(\) for 3 examples; per-example derivatives need"):
        jacobian(Total(2, 2), torch.ones(3, 2))
