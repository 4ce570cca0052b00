"""The diagonal against per-example Jacobians and the Hessian of the loss, and its estimates against it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from infoscope.data.targets import Boxes, Classes, Labels, Real, Tokens
from infoscope.observation.estimators import Empirical, Exact, MonteCarlo, Sketch
from infoscope.observation.example_traces import example_traces
from infoscope.observation.fisher_diagonal import FisherDiagonal, fisher_diagonal
from infoscope.observation.likelihoods import BERNOULLI, GAUSSIAN, POISSON, Categorical, as_given, likelihood_of
from infoscope.observation.rows import Differentiated


class TiedGPT(nn.Module):
    """Words, places, masked attention, a gated layer, and a head that is the table of words."""

    def __init__(self, vocabulary: int = 9, width: int = 8, heads: int = 2):
        super().__init__()
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Embedding(6, width)
        self.before, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.between, self.wide, self.narrow = nn.RMSNorm(width), nn.Linear(width, 12), nn.Linear(12, width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight, self.heads = self.words.weight, heads

    def forward(self, x: Tensor) -> Tensor:
        h = self.words(x) + self.places(torch.arange(x.shape[1])[None])
        q, k, v = self.qkv(self.before(h)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        h = h + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return self.head(h + self.narrow(F.gelu(self.wide(self.between(h)))))


def flat(found: FisherDiagonal) -> Tensor:
    return torch.cat([t.flatten() for t in found.mean.values()])


def entropy(z: Tensor, y: Tensor | None) -> Tensor:
    """Its Hessian depends on no target, but on which ones count."""
    seen = torch.ones(z.shape[:-1]) if y is None else (y != -100).to(z)
    return (z.logsumexp(-1) * seen).sum()


def test_a_gpt_with_tied_embeddings_and_masked_tokens_is_exact(made, plainly):
    network, x = made(TiedGPT, lambda: torch.randint(0, 9, (4, 5)))
    y = x.roll(-1, 1)
    y[:, -1] = y[1, 2] = -100
    truth = plainly(network, x, y, entropy)
    found = fisher_diagonal(network, x, Categorical(), y)
    assert set(found.ways.values()) == {"closed"}
    assert len(found.mean) == len(list(network.parameters()))
    torch.testing.assert_close(flat(found), truth, rtol=0, atol=1e-14 * float(truth.max()))
    assert found.trace().value == pytest.approx(float(truth.sum()), rel=1e-13)


LOSSES = {
    "numbers": (Real(0.1, -9, 9, 3), torch.randn(6, 3), lambda z, y: 0.5 * (z - y).square().sum()),
    "labels": (
        Labels(("a", "b", "c")), torch.tensor([[0, 1, 1], [1, -1, 0], [0, 0, -1], [1, 1, 1], [0, 1, 0], [-1, -1, -1]]),
        lambda z, y: (F.binary_cross_entropy_with_logits(z, torch.zeros_like(z), reduction="none") * ~y.isnan()).sum(),
    ),
    "counts": (POISSON, torch.tensor([[0, 1, 2]] * 6), lambda z, y: F.poisson_nll_loss(z, y, reduction="sum")),
    "one class": (Classes(("a",) * 3), torch.tensor([0, 1, 2, 0, 1, 2]), entropy),
    "a class a place": (Classes(("a",) * 3), None, entropy),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_every_likelihood_is_its_hessian(name, made, plainly):
    target, y, loss = LOSSES[name]
    known = target is POISSON
    likelihood, given = (target, y) if known else (likelihood_of(target), None if y is None else as_given(target, y))
    network, x = made(lambda: nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3)), lambda: torch.randn(6, 2))
    x = x if y is not None else torch.randn(6, 2, 2, dtype=torch.float64)
    truth = plainly(network, x, given, loss)
    exact = fisher_diagonal(network, x, likelihood, given)
    torch.testing.assert_close(flat(exact), truth, rtol=0, atol=1e-14 * float(truth.max()))
    for estimator in (Sketch(100), MonteCarlo(400)):
        found = fisher_diagonal(network, x, likelihood, given, estimator=estimator, seed=1).trace()
        assert abs(found.value - exact.trace().value) < 4 * found.stderr_of_draws + 1e-12
        assert found.stderr_of_draws < 0.15 * found.value


def test_the_empirical_one_is_of_the_given_labels(made):
    network, x = made(lambda: nn.Linear(3, 4), lambda: torch.randn(5, 3))
    y = torch.tensor([0, 3, 1, 1, 2])
    found = fisher_diagonal(network, x, Categorical(), y, estimator=Empirical())
    losses = [F.cross_entropy(network(x[i : i + 1]), y[i : i + 1]) for i in range(5)]
    grads = [torch.autograd.grad(loss, list(network.parameters())) for loss in losses]
    rows = [torch.cat([g.flatten() for g in each]) for each in grads]
    torch.testing.assert_close(flat(found), torch.stack(rows).square().mean(0), rtol=1e-12, atol=0)
    with pytest.raises(ValueError, match="that of given targets"):
        fisher_diagonal(network, x, Categorical(), estimator=Empirical())


@pytest.mark.parametrize("estimator", [Sketch(1), Sketch(2), MonteCarlo(1)], ids=str)
def test_estimates_are_unbiased_and_their_errors_cover(estimator, made):
    """Over 60 seeds: the mean lies within its error, and 95 % lie within theirs (Student, 8 batches)."""
    network, x = made(lambda: nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 5)), lambda: torch.randn(24, 3))
    exact = fisher_diagonal(network, x, Categorical())
    found = [fisher_diagonal(network, x, Categorical(), estimator=estimator, seed=s, batch=3) for s in range(60)]
    each = torch.stack([flat(one) for one in found])
    off, error = each.mean(0) - flat(exact), each.std(0) / 60**0.5
    drawn = error > 1e-12 * flat(exact)  # the first class has a column of the root to itself
    assert float((off[drawn] / error[drawn]).square().mean()) < 1.5
    assert float(off[~drawn].abs().max()) < 1e-12 if (~drawn).any() else True
    # The examples are the same ones each time, so that the error over examples and draws is the larger one.
    within = [abs(one.trace().value - exact.trace().value) < 2.36 * one.trace().stderr for one in found]
    assert sum(within) >= 52
    spread = float(torch.tensor([one.trace().value for one in found]).std())
    told = (sum(one.trace().stderr ** 2 for one in found) / 60) ** 0.5
    assert spread < 1.25 * told  # the spread of 60 is itself known to 9 %


def test_the_error_over_draws_is_that_of_draws(made):
    network, x = made(lambda: nn.Linear(3, 5), lambda: torch.randn(30, 3))
    found = [fisher_diagonal(network, x, Categorical(), estimator=Sketch(8), seed=s).trace() for s in range(60)]
    spread = float(torch.tensor([one.value for one in found]).std())
    told = sum(one.stderr_of_draws**2 for one in found) / len(found)
    assert told**0.5 == pytest.approx(spread, rel=0.25)


def test_the_error_over_examples_is_that_of_examples():
    torch.manual_seed(0)
    network = nn.Linear(3, 4)
    found = [fisher_diagonal(network, torch.randn(50, 3), Categorical()) for _ in range(100)]
    spread = float(torch.tensor([one.trace().value for one in found]).std())
    assert sum(one.trace().stderr for one in found) / 100 == pytest.approx(spread, rel=0.2)
    each = torch.stack([flat(one) for one in found]).std(0)
    told = torch.stack([torch.cat([t.flatten() for t in one.stderr.values()]) for one in found]).mean(0)
    torch.testing.assert_close(told, each, rtol=0.4, atol=0)
    one = fisher_diagonal(network, torch.randn(1, 3), Categorical())
    assert one.trace().stderr != one.trace().stderr
    assert all(t.isnan().all() for t in one.stderr.values())


@pytest.mark.parametrize("confidence", [1.0, 10.0, 100.0])
def test_a_sketch_stays_good_however_sure_the_network_is(confidence):
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(6, 30), nn.ReLU(), nn.Linear(30, 10)), torch.randn(800, 6)
    network[2].weight.data *= confidence
    exact, sketch = (flat(fisher_diagonal(network, x, Categorical(), estimator=e)) for e in (Exact(), Sketch()))
    assert float((sketch - exact).norm() / exact.norm()) < 0.2


def test_the_root_holds_at_any_confidence():
    """L Lᵀ = diag(p) − ppᵀ where p is 1 up to 1e-200, first, last and in between."""
    for place in range(4):
        z = torch.full((1, 4), -460.0, dtype=torch.float64)
        z[0, place] = 0.0
        columns = torch.stack(list(Categorical().columns(z, None)))[:, 0]
        p = z[0].exp()
        rest = p.clone()
        rest[place] = 0
        variance = torch.where(torch.arange(4) == place, rest.sum(), p)
        torch.testing.assert_close(columns.square().sum(0), variance, rtol=1e-12, atol=0)


def test_several_batches_and_columns_at_a_time_change_nothing(made):
    network, x = made(TiedGPT, lambda: torch.randint(0, 9, (5, 4)))
    whole = flat(fisher_diagonal(network, x, Categorical(), batch=5))
    parts = flat(fisher_diagonal(network, x, Categorical(), batch=2, memory=1))
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-16)


def test_bytes_hold_it(made):
    network, x = made(lambda: nn.Linear(3, 4), lambda: torch.randn(40, 3))
    found = fisher_diagonal(network, x, Categorical(), estimator=Sketch(2))
    again = FisherDiagonal.from_bytes(found.to_bytes())
    assert (again.n, again.trace(), again.trace(["bias"]), again.ways) == (
        40, found.trace(), found.trace(["bias"]), found.ways)  # fmt: skip
    assert all(torch.equal(again.mean[k], t) and torch.equal(again.stderr[k], found.stderr[k])
               for k, t in found.mean.items())  # fmt: skip


def test_bad_input_is_told():
    x = torch.randn(5, 3)
    with pytest.raises(ValueError, match=r"weights of bfloat16, .* give network.float\(\)"):
        fisher_diagonal(nn.Linear(3, 2).bfloat16(), x, Categorical())
    lost = nn.Linear(3, 2)
    lost.weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="outputs that are not finite; check its weights"):
        fisher_diagonal(lost, x, Categorical())
    later = torch.cat([x, x])
    later[7, 1] = torch.inf
    with pytest.raises(ValueError, match="the first is row 7"):
        fisher_diagonal(nn.Linear(3, 2), later, Categorical())
    with pytest.raises(ValueError, match="is no likelihood"):
        likelihood_of(Boxes(("a",)))
    assert likelihood_of(Tokens(3)) == Categorical()
    assert (likelihood_of(Labels(("a",))), likelihood_of(Real(1, 0, 2))) == (BERNOULLI, GAUSSIAN)


class Scaled(nn.Module):
    """A linear layer times one number."""

    def __init__(self):
        super().__init__()
        self.inner, self.scale = nn.Linear(3, 2), nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.scale


@pytest.mark.parametrize("estimator", [Exact(), Sketch(3)])
def test_a_parameter_that_is_one_number_has_its_information(estimator):
    """∂⟨v, f⟩/∂s = ⟨v, f⟩/s for each column v."""
    torch.manual_seed(0)
    net, x = Scaled().double(), torch.randn(4, 3, dtype=torch.float64)
    inner = net.inner(x).detach()
    columns = [*estimator.columns(GAUSSIAN, net(x).detach(), None, torch.Generator().manual_seed(0))]
    rows = torch.stack([(v * inner).sum(1) for v in columns])
    found = fisher_diagonal(net, x, GAUSSIAN, estimator=estimator, batch=4)
    exact = rows.square().sum() / (4 * max(1, estimator.draws))
    torch.testing.assert_close(found.mean["scale"], exact, rtol=1e-13, atol=0)
    assert found.trace(["scale"]).value == pytest.approx(float(exact))
    traces = example_traces(Differentiated(net, x), x, GAUSSIAN, None, Exact(), torch.Generator()).traces
    torch.testing.assert_close(traces["scale"], inner.square().sum(1))


def test_a_network_that_is_sure_is_the_same_in_single_precision():
    """Its rare classes are far below what single precision holds; nothing that counts is lost with them."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    network[2].weight.data *= 200
    x = torch.randn(64, 4)
    single = fisher_diagonal(network, x, Categorical(), estimator=Exact()).mean
    double = fisher_diagonal(network.double(), x.double(), Categorical(), estimator=Exact()).mean
    assert float(network(x.double()).detach().std()) > 30
    for name, t in double.items():
        assert float((single[name] - t).norm()) < 1e-4 * float(t.norm())
    assert bool(torch.tensor(1e-38) * 0.1)
