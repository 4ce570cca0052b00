import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.stats import kendalltau
from torch import nn

from infoscope import Learner, Recipe, Status, Task, WhichCheckpoint, ask, fit, which_checkpoint
from infoscope.data.targets import Real
from infoscope.dynamics.which_checkpoint.choice import chosen, kendall
from infoscope.models import MLP
from infoscope.run.context import RunContext
from infoscope.weight_information.certificate.certificate import certify
from infoscope.weight_information.certificate.confidence import mean_upper
from infoscope.weight_information.gaussian import QuadraticCurve, gaussian_learning_coefficients
from infoscope.weight_information.stationarity import FAR, gradient_ratio

IRIS = Task.from_dataset("iris").shuffled(0)
TRAIN, TEST = IRIS[:100], IRIS[100:]
SMALL = MLP((4,), "tanh")


def line() -> nn.Module:
    return nn.Linear(4, 1)


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))


def numbers() -> Task:
    """A linear regression with noise of variance 1."""
    x = (IRIS.array - IRIS.array.mean(0)) / IRIS.array.std(0)
    noise = torch.randn(len(x), generator=torch.Generator().manual_seed(0))
    y = (x @ torch.tensor([1.0, -0.5, 0.3, 0.2]) + noise)[:, None].double()
    return Task.from_arrays(x, y, target=Real(0.001, -10.0, 10.0, centre=0.0, scale=1.0), name="line")


def saved(folder, several):
    for step, weights in several.items():
        save_file({k: v.detach().clone().contiguous() for k, v in weights.items()}, folder / f"step_{step}.safetensors")
    return folder


def weights_of(factory, task, seed=0):
    return Learner(factory).network(task.shape, task.target.outputs, seed).state_dict()


def at(answer, step, quantity, part=None):
    (m,) = [
        row.measurement for row in answer.record()
        if row.coordinates.get("checkpoint") == step and row.measurement.quantity == quantity
        and row.coordinates.get("part") == part and "criterion" not in row.coordinates
    ]  # fmt: skip
    return m


def test_a_linear_model_has_its_closed_forms(tmp_path):
    """KL, E_q L, λ_E and λ_H from XᵀX; what is left to gain is 0 at least squares, and ½ gᵀ(H + I/bλ²)⁻¹g elsewhere."""
    task, scale, b = numbers(), 0.7, 0.3
    x = torch.cat([task.array.double(), torch.ones(len(task), 1)], 1)
    y, gram = task.y.double()[:, 0], x.T @ x
    least = torch.linalg.solve(gram, x.T @ y)
    ws = {1: torch.zeros(5).double(), 2: least, 10: least + 0.3}
    folder = saved(tmp_path, {k: {"weight": w[None, :4].float(), "bias": w[4:].float()} for k, w in ws.items()})
    answer = which_checkpoint(folder, task, line, scale=scale, b=b, draws=200)
    assert answer.steps == (1, 2, 10)
    h, axes = torch.linalg.eigh(gram)
    for place, (step, w) in enumerate(ws.items()):
        loss = 0.5 * float((y - x @ w).square().sum())
        curve = QuadraticCurve(loss, h, axes.T @ w, scale**2)
        assert at(answer, step, "KL(q|p)").value == pytest.approx(curve.kl(1.0), rel=1e-4)
        sampled = at(answer, step, "E_q L")
        assert abs(sampled.value - curve.expected_loss(1.0)) < 4 * sampled.stderr
        assert at(answer, step, "loss", "train").value == pytest.approx(loss / len(task), rel=1e-5)
        lambdas = gaussian_learning_coefficients(h, b, scale**2)
        assert (at(answer, step, "lambda_E").value, at(answer, step, "lambda_H").value) == pytest.approx(
            lambdas, rel=1e-4
        )
        slope = gram @ w - x.T @ y
        gain = 0.5 * float(slope @ torch.linalg.solve(gram + torch.eye(5) / (b * scale**2), slope))
        assert answer.found[place].gain == pytest.approx(gain, rel=1e-3, abs=1e-6)
    flags = [Status.NOT_AT_A_MINIMUM in at(answer, step, "lambda_E").status for step in ws]
    assert flags == [True, False, True]
    assert "no certificate" in answer.choices()["left out"]
    assert not answer.certificates


def test_identical_checkpoints_give_identical_rows(tmp_path):
    weights = weights_of(SMALL, TRAIN)
    folder = saved(tmp_path, {9: weights, 100: weights, 20: weights})
    answer = which_checkpoint(folder, TRAIN, SMALL, held_out=TEST, rounds=2, draws=10)
    assert answer.steps == (9, 20, 100)
    first, *others = ([(r.measurement.quantity, r.measurement.value) for r in answer.rows(i)] for i in range(3))
    assert all(other == first for other in others)
    assert {one.excess for one in answer.choices_made.values()} == {0.0}
    assert all(math.isnan(one.tau) for one in answer.choices_made.values())


def test_certificates_hold_together_and_above_what_is_held_out(tmp_path):
    learner = Learner(SMALL, Recipe(epochs=40, patience=None))
    trained = fit(learner, TRAIN)
    folder = saved(tmp_path, {0: trained.initial, 40: trained.weights})
    answer = which_checkpoint(folder, TRAIN, SMALL, held_out=TEST, draws=40)
    for one, found in zip(answer.certificates, answer.found, strict=True):
        risks = torch.tensor(found.risks, dtype=torch.float64)
        assert one.risk_bound == mean_upper(risks, 0.0105 / 2)
        assert one.value == certify(risks, found.kl + math.log(29), 100, one.ledger).value
        assert one.ledger.left == 0
    network = learner.starting_from(trained.weights).network(TEST.shape, 3, 0).eval()
    wrong = (network(TEST.array).argmax(1) != TEST.y).double().mean()
    assert answer.certificates[1].value > wrong
    assert answer.certificates[1].value < answer.certificates[0].value
    assert answer.found[1].loss == pytest.approx(trained.losses[-1] * 100, rel=0.1)
    assert answer.choices_made["training loss"].tau == 1.0
    around = which_checkpoint(folder, TRAIN, SMALL, start=folder / "step_0.safetensors", rounds=2, draws=10, scale=0.1)
    assert around.found[0].kl < around.found[1].kl
    assert Status.UNVERIFIED_SPLIT in at(around, 0, "certificate").status
    assert Status.UNVERIFIED_SPLIT not in at(answer, 0, "certificate").status
    assert "nobody can tell" in around.sentence()


def test_being_the_best_by_chance_does_not_count():
    """Of twenty checkpoints that are equally good the best on these examples looks better; not by halves."""
    draws, excess, naive = np.random.default_rng(0), [], []
    for _ in range(200):
        losses = draws.normal(size=(20, 40))
        excess.append(chosen(list(range(20)), losses, 0).excess)
        naive.append(losses[0].mean() - losses.mean(1).min())
    error = np.std(excess) / math.sqrt(200)
    assert abs(np.mean(excess)) < 3 * error
    assert np.mean(naive) > 10 * error


def test_rank_correlations_are_one_for_what_ranks_alike():
    losses = np.arange(5.0)[:, None] + 0.1 * np.random.default_rng(0).normal(size=(5, 30))
    same, turned = chosen([1, 2, 3, 4, 5], losses, 0), chosen([5, 4, 3, 2, 1], losses, 0)
    assert (same.tau, turned.tau, same.excess) == (1.0, -1.0, 0.0)
    assert (same.place, turned.place) == (0, 4)
    values, others = [3.0, 1.0, 2.0, 2.0, 5.0], np.array([1.0, 1.0, 2.0, 4.0, 3.0])
    assert float(kendall(values, others)) == pytest.approx(kendalltau(values, others).statistic)
    assert abs(turned.excess - 4) < 3 * turned.excess_stderr + 1e-9


def first(folder, task=TRAIN, model=SMALL, **options):
    """The first thing that is asked for; what is refused is refused before it."""
    return next(WhichCheckpoint(folder, task, model, **options).stages())


def test_what_is_no_training_is_refused_before_anything_is_looked_at(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        first(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no checkpoints"):
        first(tmp_path)
    good = weights_of(SMALL, TRAIN)
    saved(tmp_path, {1: good})
    with pytest.raises(ValueError, match="1 checkpoints were given; name 2"):
        first(tmp_path)
    saved(tmp_path, {2: weights_of(MLP((5,), "tanh"), TRAIN)})
    with pytest.raises(ValueError, match=r"step_1.safetensors and step_2.safetensors are of two architectures"):
        first(tmp_path)
    saved(tmp_path, {2: {k: v * torch.nan for k, v in good.items()}})
    with pytest.raises(ValueError, match=r"step_2.safetensors: 4 of 4 tensors hold NaN"):
        first(tmp_path)
    saved(tmp_path, {2: {k: v.half() for k, v in good.items()}})
    answer = ask(WhichCheckpoint(tmp_path, TRAIN, SMALL, rounds=1, draws=4, examples=20))
    assert "weights of 'float16' are taken in single precision" in answer.choices()["read as"]
    with pytest.raises(ValueError, match="made in half precision"):
        first(tmp_path, model=lambda: SMALL((4,), 3).half())
    with pytest.raises(ValueError, match="hold out examples of the same kind"):
        first(tmp_path, held_out=Task.from_dataset("digits"))
    with pytest.raises(ValueError, match=r"scale is 0\.0; it is above 0"):
        first(tmp_path, scale=0.0)
    with pytest.raises(ValueError, match="do not fit"):
        first(tmp_path, model=MLP((6,)))


def test_statistics_that_were_learned_have_no_certificate(tmp_path):
    """Running means of batch normalisation come from the data, and are no part of q."""

    trained = fit(Learner(normed, Recipe(epochs=3)), TRAIN)
    folder = saved(tmp_path, {0: trained.initial, 3: trained.weights})
    answer = which_checkpoint(folder, TRAIN, normed, held_out=TEST, rounds=1, draws=4)
    assert "1.running_mean was learned from the data" in answer.choices()["left out"]
    assert set(answer.choices_made) == {"KL(q|p)", "lambda_E", "C", "training loss"}


def test_an_untrained_network_that_answers_all_alike_is_no_minimum(tmp_path):
    """Its gradient is within the noise of the examples' own, as their classes are balanced; its loss gives it away."""
    task = Task.from_dataset("digits")[:200]
    learner = Learner(MLP((16,)), Recipe(epochs=150, patience=None))
    trained = fit(learner, task)
    flat = {k: 1e-3 * t if k.endswith("weight") else 0 * t for k, t in trained.initial.items()}
    folder = saved(tmp_path, {0: flat, 150: trained.weights})
    answer = which_checkpoint(folder, task, MLP((16,)), rounds=1, draws=2)
    untrained, last = answer.found
    assert untrained.slope < FAR
    assert untrained.loss > untrained.constant > last.loss
    assert [one.at_a_minimum for one in answer.found] == [False, True]
    assert Status.NOT_AT_A_MINIMUM in at(answer, 0, "lambda_E").status


def test_a_gradient_beyond_the_noise_of_examples_is_told_from_one_within():
    """A line through numbers of unit variance: at the population's weights the ratio is a χ² of one, 1 on average."""
    ratios = {0.0: [], 1.0: []}
    for seed in range(100):
        draws = torch.Generator().manual_seed(seed)
        x, noise = (torch.randn(50, 1, generator=draws) for _ in range(2))
        task = Task.from_arrays(x, noise, target=Real(0.001, -10.0, 10.0, centre=0.0, scale=1.0))
        net = torch.nn.Linear(1, 1, bias=False)
        for w, found in ratios.items():
            torch.nn.init.constant_(net.weight, w)
            found.append(gradient_ratio(net, task, (x * (w * x - noise)).sum(0)))
    within, beyond = (torch.tensor(r) for r in ratios.values())
    assert abs(float(within.mean()) - 1) < 3 * float(within.std()) / 100**0.5
    assert float((within > FAR).double().mean()) <= 0.02
    assert float((beyond > FAR).double().mean()) > 0.9


def test_a_dry_run_foretells_the_time(tmp_path):
    weights = weights_of(SMALL, TRAIN)
    folder = saved(tmp_path, {1: weights, 2: weights})
    looks = next(WhichCheckpoint(folder, TRAIN, SMALL, rounds=1, draws=2).stages())
    ((trial, count),) = looks.cost(RunContext()).trials.items()
    assert count == 2
    assert trial() > 0
