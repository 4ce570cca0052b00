import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from infoscope import (
    Learner,
    Measurement,
    Real,
    RiskCertificate,
    Status,
    Task,
    UnreliableMeasurement,
    ask,
    risk_certificate,
)
from infoscope.models import MLP
from infoscope.run.question import units
from infoscope.training.fit import Moment
from infoscope.weight_information.certificate.bound_training import KlInverse, SmoothBound
from infoscope.weight_information.certificate.bounds_of_posterior import bounds_of
from infoscope.weight_information.certificate.certificate import BOUND, DRAWS, certificate_floor
from infoscope.weight_information.certificate.certified_posterior import CertifiedPosterior, Message
from infoscope.weight_information.certificate.compression import message_bits
from infoscope.weight_information.certificate.hidden_units import unnamed_units
from infoscope.weight_information.certificate.kl_inverse import kl_inverse
from infoscope.weight_information.certificate.ledger import Ledger
from infoscope.weight_information.certificate.noisy_weights import (
    SCALES,
    Drawn,
    GradientMoments,
    NoisyWeights,
    layers_of,
)
from infoscope.weight_information.certificate.pac_bayes import kl_bound
from infoscope.weight_information.gaussian import Posterior

IRIS = Task.from_dataset("iris")
QUICK = {"steps": 60, "draws": 50}
LINE = MLP(())

# One threshold w in place of a network: 1 where x > w, x uniform on [−1, 1], the label 1 where x > 0, wrong in FLIPPED.
FLIPPED = 0.1
GRID = torch.linspace(-6, 6, 4001, dtype=torch.float64)


def risk_of(w: torch.Tensor) -> torch.Tensor:
    return FLIPPED + (1 - 2 * FLIPPED) * w.abs().clamp(max=1) / 2


def losses(w: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Rows of weights, columns of examples."""
    return ((x > w[:, None]) != y).double()


def threshold(n: int, seed: int, draws: int = 200) -> tuple[CertifiedPosterior, float, torch.Tensor]:
    """A posterior around the threshold of least error, its true risk, and the risk on the examples along the grid."""
    drawing = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(n, generator=drawing, dtype=torch.float64) - 1
    y = (x > 0) ^ (torch.rand(n, generator=drawing) < FLIPPED)
    curve = losses(GRID, x, y).mean(1)
    mean, sd = float(GRID[curve.argmin()]), 0.1
    kl = 0.5 * (mean**2 + sd**2 - 1) - math.log(sd)
    w = mean + sd * torch.randn(draws, generator=drawing, dtype=torch.float64)
    wrong, before = losses(w, x, y), losses(torch.zeros(1, dtype=torch.float64), x, y)
    tails = torch.stack([1 - ((1 - wrong) * before).mean(1), wrong.mean(1), (wrong * (1 - before)).mean(1)], 1)
    message = Message(3, 8.0, float(losses(torch.tensor([mean]).double(), x, y).mean()))
    true = float(risk_of(mean + sd * torch.randn(4000, generator=drawing, dtype=torch.float64)).mean())
    found = CertifiedPosterior(
        tails, torch.empty(0), {"w": kl}, {"w": 1.0}, 1, float(before.mean()), (message,), n, n, 0.0
    )
    return found, true, curve


def ledger(delta: float, choices: int = 1) -> Ledger:
    return Ledger(delta).spend(DRAWS, float(f"{0.3 * delta:.3g}")).spend_rest(BOUND, choices)


def test_every_bound_fails_in_no_more_than_its_share_of_data_sets():
    """Of 200 data sets whose true risk is known; each of the nine bounds by itself, at δ = 0.3."""
    failed, times = dict.fromkeys([b.name for b in bounds_of(threshold(20, 0)[0], ledger(0.3))], 0), 200
    closest = 1.0
    for seed in range(times):
        q, true, _ = threshold(30, seed)
        for bound in bounds_of(q, ledger(0.3)):
            failed[bound.name] += bound.name != "compression" and bound.value < true
        closest = min(closest, bounds_of(q, ledger(0.3))[0].value - true)
    assert len(failed) == 9
    assert max(failed.values()) <= 0.3 * times + 3 * math.sqrt(0.21 * times)
    assert closest < 0.25  # the bound says something, so that it could fail


def test_no_certificate_is_below_the_floor_of_its_prior():
    """F(b) of the prior N(0, 1) over thresholds, by quadrature on the same examples."""
    b = torch.linspace(0, 3, 31)
    weights = torch.softmax(-GRID.square() / 2, 0)
    for seed in range(3):
        q, _, curve = threshold(100, seed, draws=2000)
        free_energy = torch.stack([-(weights * (-float(t) * 100 * curve).exp()).sum().log() for t in b])
        spent = ledger(0.05)
        floor = certificate_floor(b, free_energy, 100, spent.each(BOUND))
        bound = bounds_of(q, spent)[0].value
        assert floor <= bound
        assert floor > float(curve.min())


@pytest.mark.parametrize("delta", [0.035, 0.1, 1 / 30, 0.3, 1e-9])
def test_the_ledger_spends_all_of_delta_and_no_more(delta):
    spent = ledger(delta, 33)
    assert sum(entry.delta for entry in spent.entries) == pytest.approx(delta, rel=1e-12)
    assert 0 <= spent.left < 1e-15
    assert spent.each(BOUND) * 33 == pytest.approx(0.7 * delta, rel=0.01)


def test_kl_is_that_of_the_whole_gaussians_in_any_basis():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    noisy = NoisyWeights(network, layers_of(network), 0.3)
    assert float(noisy.kl().detach()) == pytest.approx(0, abs=1e-5)  # q begins at p
    with torch.no_grad():
        for p in (*noisy.means, *noisy.logs, noisy.scales):
            p.add_(0.1 * torch.randn_like(p))
    sides = [mean.shape for mean in noisy.means]
    noisy.turn([tuple(torch.linalg.qr(torch.randn(k, k))[0] for k in side) for side in sides])
    total = 0.0
    for i, (name, layer) in enumerate([("0.weight", 0), ("0.bias", 0), ("2.weight", 1), ("2.bias", 1)]):
        rows, columns = noisy._bases[i]
        whole = torch.kron(rows, columns).double()
        covariance = whole @ torch.diag((8 * noisy.logs[i].detach()).double().exp().flatten()) @ whole.T
        q = torch.distributions.MultivariateNormal(noisy.means[i].detach().double().flatten(), covariance)
        start = network.get_parameter(name).detach().double().flatten()
        variance = (8 * noisy.scales[layer].detach()).double().exp()
        p = torch.distributions.MultivariateNormal(start, variance * torch.eye(len(start), dtype=torch.float64))
        total += float(torch.distributions.kl_divergence(q, p).detach())
    assert float(noisy.kl().detach()) == pytest.approx(total, rel=1e-4)
    drawn = noisy.draw(20_000)["2.weight"].flatten(1)
    rows, columns = noisy._bases[2]
    whole = torch.kron(rows, columns)
    assert torch.allclose(
        drawn.detach().T.cov(), whole @ torch.diag((8 * noisy.logs[2].detach()).exp().flatten()) @ whole.T, atol=0.01
    )


def test_the_scale_is_one_of_the_grid_when_it_is_paid_for():
    network = MLP((3,))((4,), 3)
    noisy = NoisyWeights(network, layers_of(network), 0.2)
    noisy.snap()
    assert all(min(abs(s / one - 1) for one in SCALES) < 1e-5 for s in noisy.prior_scales().values())
    assert not noisy.scales.requires_grad


def test_the_smooth_bound_is_the_kl_bound_and_its_gradient_is_right():
    q, c = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.1, 0.05))
    assert torch.autograd.gradcheck(KlInverse.apply, (q, c), eps=1e-6, atol=1e-5)
    outputs, y = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 1, 1])
    one = torch.ones(())
    risk = float(1 - outputs.softmax(1).gather(1, y[:, None]).double().mean())
    bound = SmoothBound(500, 0.02)(Drawn(outputs, 3 * one.double(), one), y)
    assert float(bound) == pytest.approx(kl_bound(risk, 3.0, 500, 0.02), abs=1e-7)


def test_iris_is_certified_and_labels_that_mean_nothing_are_not():
    answer = ask(RiskCertificate(IRIS, LINE, steps=600, draws=200))
    first = next(iter(answer.record())).measurement
    kinds = {row.coordinates["kind"] for row in answer.record() if row.measurement.quantity == "certificate"}
    assert first.value < 0.6
    assert not first.status
    assert first.value == min(row.measurement.value for row in list(answer.record())[:5])
    assert len(kinds) == 9
    assert any("PAC-Bayes bound" in note and "for each of 33" in note for note in first.receipt.notes)
    shuffled = Task.from_arrays(
        IRIS.array, IRIS.labels[torch.randperm(150, generator=torch.Generator().manual_seed(1))]
    )
    with pytest.raises(UnreliableMeasurement, match="VACUOUS"):
        risk_certificate(shuffled, LINE, steps=200, draws=100)
    vacuous = risk_certificate(shuffled, LINE, steps=200, draws=100, strict=False)
    assert vacuous.status == {Status.VACUOUS}


def test_what_is_kept_comes_back_and_the_same_question_has_the_same_answer():
    first, second = (ask(RiskCertificate(IRIS, LINE, **QUICK)).found[0].posterior for _ in range(2))
    again = CertifiedPosterior.from_bytes(first.to_bytes())
    assert torch.equal(first.tails, second.tails)
    assert torch.equal(first.tails, again.tails)
    assert (first.kl, first.messages) == (second.kl, again.messages)


def test_a_learnt_prior_leaves_the_certificate_the_other_half():
    question = RiskCertificate(IRIS, LINE, "learnt", epochs=30, **QUICK)
    assert units(question) == {"trainings": 1, "posteriors": 1}
    (found,) = ask(question).found
    assert found.posterior.n <= 75
    assert any("learnt from 75 other examples" in note for note in found.notes)


def test_a_prior_that_saw_the_examples_is_refused_and_one_that_nobody_knows_is_flagged():
    weights = Learner(LINE).network(IRIS.shape, 3, 1).state_dict()
    with pytest.raises(ValueError, match="also in"):
        ask(RiskCertificate(IRIS[50:], LINE, weights=weights, trained_on=IRIS[:60], **QUICK))
    found = ask(RiskCertificate(IRIS[50:], LINE, weights=weights, **QUICK)).found[0]
    assert found.rows()[0].measurement.status >= {Status.UNVERIFIED_SPLIT}
    kept = ask(RiskCertificate(IRIS[60:], LINE, weights=weights, trained_on=IRIS[:60], **QUICK)).found[0]
    assert Status.UNVERIFIED_SPLIT not in kept.rows()[0].measurement.status


def test_hidden_units_without_names_cost_less():
    """Units' own KL adds up to that of their weights; the discount lies between 0 and log |G|, and its δ is paid."""
    torch.manual_seed(0)
    network = MLP((5,), "tanh")((4,), 3)
    unnamed = unnamed_units(network)
    noisy = NoisyWeights(network, layers_of(network, one=True), 0.5, centred=True, kept=unnamed.kept)
    with torch.no_grad():
        for p in (*noisy.means, *noisy.logs):
            p.add_(0.2 * torch.randn_like(p))
    fit_gradients(noisy)
    units = unnamed.of(noisy)
    assert units.means.shape == (5, 4 + 3 + 1)
    rest = noisy.coordinates("fc2.bias")
    means, variances = (
        torch.cat([a.flatten(), b.flatten()]).double()
        for a, b in zip((units.means, units.variances), rest, strict=True)
    )
    kl = Posterior(means, variances).kl(torch.zeros_like(means), float(noisy.prior_scales()["all"]) ** 2)
    assert float(noisy.kl().detach()) == pytest.approx(kl, rel=1e-4)
    answers = [
        ask(RiskCertificate(IRIS, MLP((5,), "tanh"), "zero", discount=on, **QUICK)).found[0] for on in (True, False)
    ]
    q = answers[0].posterior
    assert 0 <= q.discount <= math.lgamma(6) + 5 * math.log(2)
    assert q.total == pytest.approx(math.fsum(q.kl.values()) - q.discount)
    assert answers[0].ledger.each("symmetry discount") == pytest.approx(0.0035)
    assert answers[0].ledger.left == answers[1].ledger.left == 0
    assert answers[1].posterior.discount == 0


def fit_gradients(noisy: NoisyWeights) -> None:
    """Turn the noise to where one step's gradients point."""
    noisy(IRIS.array.float()).outputs.square().mean().backward()
    moments = GradientMoments(noisy)
    moments.observe(Moment(noisy, 1, 0, torch.zeros(()), True))
    noisy.turn(moments.bases())


def test_a_file_is_bounded_by_its_length(tmp_path):
    """Of a network that always says class 0, in few bytes: kl⁻¹ of its errors and the message's length."""
    path = tmp_path / "few.safetensors"
    save_file({"fc1.weight": torch.zeros(3, 4, dtype=torch.float16), "fc1.bias": torch.tensor([2.0, 0, 0])}, path)
    rows = ask(RiskCertificate(IRIS, LINE, file=path, **QUICK)).found[0].rows()
    (found,) = [row.measurement for row in rows if row.coordinates["kind"] == "file"]
    bits = message_bits(path.read_bytes())
    assert found.value == kl_inverse(2 / 3, (bits * math.log(2) + math.log(1 / 0.035)) / 150)
    assert found.status == {Status.VACUOUS}
    with pytest.raises(ValueError, match=f"{path.name}: the weights do not fit"):
        ask(RiskCertificate(IRIS, MLP((3,)), file=path, **QUICK))


def half() -> nn.Module:
    return nn.Linear(4, 3).half()


def wild() -> nn.Module:
    line = nn.Linear(4, 3)
    nn.init.constant_(line.weight, math.nan)
    return line


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"delta": 0.0}, "delta is 0.0"),
        ({"share": 1.0}, "share is 1.0"),
        ({"prior": "flat"}, "prior is 'flat'"),
        ({"epochs": 3}, "epochs are of learning a prior"),
        ({"trained_on": IRIS}, "give these weights too"),
        ({"discount": True}, "takes --prior zero"),
        ({"discount": True, "prior": "zero"}, "no hidden units"),
        ({"model": half}, "half precision"),
        ({"model": wild}, "NaN or infinity"),
        ({"data": IRIS[:1]}, "has 1 examples"),
        ({"data": Task.from_arrays(IRIS.array, IRIS.array[:, :1], target=Real)}, "counts wrong classes"),
        ({"data": IRIS[:12], "prior": "learnt"}, "too few to learn a prior"),
    ],
)
def test_bad_input_gets_a_word_before_any_training(options, word):
    with pytest.raises(ValueError, match=word):
        ask(RiskCertificate(**{"data": IRIS, "model": LINE, **QUICK, **options}))


def test_the_bounds_of_one_posterior_rest_on_one_measurement():
    q, _, _ = threshold(50, 0)
    rows = {b.name: b.value for b in bounds_of(replace(q, kl={"w": 0.0}), ledger(0.05))}
    assert rows["kl"] <= min(rows[name] for name in ("quadratic", "lambda", "McAllester", "Tolstikhin-Seldin"))
    assert rows["linear"] >= rows["Catoni"] - 0.02
    assert isinstance(ask(RiskCertificate(IRIS, LINE, **QUICK)).found[0].rows()[0].measurement, Measurement)
