import pytest
import torch
from torch import nn
from torch.func import functional_call

from infoscope.data.targets import Real, Tokens
from infoscope.data.task import Task
from infoscope.ensembles.stacked_loss import StackedLoss
from infoscope.models import MLP
from infoscope.training.learner import Learner


class Tied(nn.Module):
    """A small language model whose embedding is its readout, too."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 5)
        self.mix = nn.Linear(5, 5)
        self.read = nn.Linear(5, 7, bias=False)
        self.read.weight = self.embed.weight

    def forward(self, x):
        h = torch.tanh(self.mix(self.embed(x)))
        return self.read(h.cumsum(1) / 3)


class Branches(nn.Module):
    """What no stack can follow: a branch on the numbers."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(x) if float(x.sum()) > 1e9 else self.fc(x) * float(self.fc.weight.abs().sum() > 0)


class Attentive(nn.Module):
    """Whose attention is one fused call in eval mode, if nobody asks for derivatives."""

    def __init__(self):
        super().__init__()
        self.enter, self.read = nn.Linear(1, 4), nn.Linear(4, 3)
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        h = self.enter(x[:, :, None])
        return self.read(self.attend(h, h, h, need_weights=False)[0].mean(1))


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3))


def tokens() -> Task:
    x = torch.randint(0, 7, (6, 5), generator=torch.Generator().manual_seed(0))
    y = x.roll(-1, 1).clone()
    y[:2, 3:] = -100
    return Task.from_arrays(x, y, target=Tokens(7))


def numbers() -> Task:
    x = Task.from_dataset("iris").array[::5]
    return Task.from_arrays(x, x.sum(1, keepdim=True).double(), target=Real(0.01, -40.0, 40.0))


CASES = {
    "layers": (lambda: MLP((5,))((4,), 3), lambda: Task.from_dataset("iris")[::5], "grouped"),
    "batch normalisation": (normed, lambda: Task.from_dataset("iris")[::5], "grouped"),
    "tied tokens": (Tied, tokens, "vmap"),
    "attention": (Attentive, lambda: Task.from_dataset("iris")[::5], "vmap"),
    "a branch": (Branches, lambda: Task.from_dataset("iris")[::5], "loop"),
    "numbers": (lambda: nn.Sequential(nn.Linear(4, 1)), numbers, "grouped"),
}


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients_are_those_of_the_network_by_itself(case):
    make, data, way = CASES[case]
    task = data()
    network = Learner(make).network(task.shape, task.target.outputs, 0)
    before = {name: t.clone() for name, t in network.state_dict().items()}
    stacked = StackedLoss(network, task)
    assert stacked.way == way
    rows = stacked.flat(before) + 0.3 * torch.randn(3, stacked.dimension, generator=torch.Generator().manual_seed(1))
    values, slopes = stacked(rows)
    count = int((task.y != -100).sum()) if isinstance(task.target, Tokens) else len(task)
    wide = network.double().eval()
    x = task.array if isinstance(task.target, Tokens) else task.array.double()
    for row, value, slope in zip(rows, values, slopes, strict=True):
        leaf = row.clone().requires_grad_()
        own, at = {}, 0
        for name, p in wide.named_parameters():
            own[name] = leaf[at : at + p.numel()].view(p.shape)
            at += p.numel()
        loss = task.target.loss(functional_call(wide, own, x), task.y) * count
        assert float(value) == pytest.approx(loss.item(), rel=1e-10)
        assert torch.allclose(slope, torch.autograd.grad(loss, leaf)[0], rtol=1e-9, atol=1e-9)
    assert all(torch.equal(before[name].double(), t.double()) for name, t in network.state_dict().items())


def test_networks_that_are_sure_cost_what_they_cost_in_either_precision():
    """Of logits hundreds of nats apart: labels that were thought impossible cost all of it, and none is a subnormal."""
    task = Task.from_dataset("iris")[::5]
    network = nn.Linear(4, 3)
    loss = StackedLoss(network, task)
    rows = 300 * torch.randn(4, loss.dimension, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for row, value, slope in zip(rows, *loss(rows), strict=True):
        weight, bias = row[:12].view(3, 4).requires_grad_(), row[12:].clone().requires_grad_()
        plain = nn.functional.cross_entropy(task.array.double() @ weight.T + bias, task.y, reduction="sum")
        plain.backward()
        assert float(plain.detach()) > 100 * len(task)
        assert value == pytest.approx(float(plain.detach()), rel=1e-12)
        assert torch.allclose(slope, torch.cat([weight.grad.flatten(), bias.grad]), rtol=1e-12, atol=1e-12)
    single, its_slope = loss.in_precision(torch.float32)(rows)
    assert single.dtype == its_slope.dtype == torch.float64
    assert torch.allclose(single, loss(rows)[0], rtol=1e-5)
    assert torch.allclose(its_slope, loss(rows)[1], rtol=1e-4, atol=1e-3)


def test_pieces_add_up(monkeypatch):
    task = Task.from_dataset("iris")
    network = Learner(MLP((5,))).network(task.shape, 3, 0)
    stacked = StackedLoss(network, task)
    rows = stacked.flat(network.state_dict())[None].repeat(2, 1)
    whole = stacked(rows)
    monkeypatch.setattr("infoscope.ensembles.stacked_loss._AT_A_TIME", 100)
    parts = stacked(rows)
    assert all(torch.allclose(a, b) for a, b in zip(whole, parts, strict=True))
    assert all(torch.allclose(t, network.state_dict()[k].double()) for k, t in stacked.weights(rows[0]).items())


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: nn.Linear(4, 3).requires_grad_(False), "no weights to train"),
        (lambda: nn.Linear(4, 2), "it must give logits"),
        (lambda: nn.Linear(4, 3).half(), "float16"),
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)), "leave the softmax out"),
    ],
)
def test_what_has_no_likelihood_is_told(make, word):
    with pytest.raises(ValueError, match=word):
        StackedLoss(make(), Task.from_dataset("iris"))
