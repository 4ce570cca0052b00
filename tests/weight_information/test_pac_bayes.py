import itertools
import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infoscope.data.task import Task
from infoscope.measurement import Bound, Status
from infoscope.weight_information.certificate.certificate import BOUND, DRAWS, certificate_floor, certify
from infoscope.weight_information.certificate.compression import (
    compression_bound,
    file_bound,
    message_bits,
    token_bound,
)
from infoscope.weight_information.certificate.confidence import mean_lower, mean_upper, mean_upper_by_kl
from infoscope.weight_information.certificate.kl_inverse import binary_kl, kl_inverse
from infoscope.weight_information.certificate.ledger import Ledger
from infoscope.weight_information.certificate.pac_bayes import (
    PARAMETER_FREE,
    catoni_bound,
    complexity,
    kl_bound,
    lambda_bound,
    linear_bound,
    mcallester_bound,
    quadratic_bound,
    tolstikhin_seldin_bound,
)
from infoscope.weight_information.certificate.prior_data import unseen_by_prior
from infoscope.weight_information.certificate.split_kl import Excess, recursive_bound, split_kl_bound
from infoscope.weight_information.certificate.symmetry_discount import (
    HiddenUnits,
    log_permanent_upper,
    symmetry_discount,
)

RISKS = (0.0, 1e-12, 1e-3, 0.02, 0.3, 0.5, 0.77, 0.999, 1 - 1e-12)
PRICES = (1e-13, 1e-6, 1e-3, 0.1, 1.0, 5.0, 30.0)


def reference(q: float, p: float) -> mpmath.mpf:
    """kl(q‖p) in 50 digits."""
    with mpmath.workdps(50):
        a, b = mpmath.mpf(q), mpmath.mpf(p)
        if b == 1:
            return mpmath.inf
        return (a * mpmath.log(a / b) if a else mpmath.mpf(0)) + (1 - a) * mpmath.log((1 - a) / (1 - b))


def check_rounded_up(q: float, c: float) -> None:
    """The inverse is not below the true one, and two doubles below it lies what is."""
    p = kl_inverse(q, c)
    assert reference(q, p) >= c
    below = math.nextafter(math.nextafter(p, 0.0), 0.0)
    assert below <= q or reference(q, below) < c


@pytest.mark.parametrize(("q", "c"), list(itertools.product(RISKS, PRICES)))
def test_the_inverse_is_rounded_up_on_a_grid(q, c):
    check_rounded_up(q, c)


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.floats(1e-12, 20))
def test_the_inverse_is_rounded_up_on_random_draws(q, c):
    check_rounded_up(q, c)


def test_the_inverse_has_closed_ends():
    assert kl_inverse(1.0, 3.0) == 1.0
    assert kl_inverse(0.25, 0.0) == 0.25
    assert kl_inverse(0.0, 2.0) == pytest.approx(-math.expm1(-2.0), abs=1e-15)
    assert binary_kl(1.0, 0.5) == math.log(2) == binary_kl(0.0, 0.5)


def test_published_values():
    at = (0.02, 3000, 30000, 0.025)
    assert kl_bound(*at) == pytest.approx(0.151123, abs=5e-7)
    assert quadratic_bound(*at) == pytest.approx(0.238962, abs=5e-7)
    assert mcallester_bound(*at) == pytest.approx(0.243962, abs=5e-7)
    assert kl_bound(0.028, 5144, 55000, 0.025) == pytest.approx(0.160653, abs=5e-7)


AT = st.tuples(st.floats(0, 1), st.floats(0, 1e6), st.integers(8, 10**7), st.floats(1e-6, 0.5))


@settings(max_examples=60, deadline=None)
@given(AT)
def test_kl_is_the_tightest_and_pinsker_the_loosest_where_risks_are_small(at):
    tight, loose = kl_bound(*at), 1e-9 + math.sqrt(complexity(*at) / 2)
    for name, bound in PARAMETER_FREE.items():
        assert tight <= bound(*at) + 1e-12, name
    assert quadratic_bound(*at) <= tolstikhin_seldin_bound(*at) * (1 + 1e-12)
    if at[0] + 4 * loose <= 0.25:  # 2p ≤ ½ wherever the inequality is used
        assert quadratic_bound(*at) <= mcallester_bound(*at)


@settings(max_examples=40, deadline=None)
@given(AT, st.floats(0.01, 1.99))
def test_no_lambda_beats_the_quadratic_bound_and_the_best_one_is_it(at, parameter):
    assert lambda_bound(*at) == pytest.approx(quadratic_bound(*at), rel=1e-9)
    assert lambda_bound(*at, parameter) >= quadratic_bound(*at) * (1 - 1e-9)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 0.6), st.floats(0, 2000), st.integers(2000, 60000), st.floats(0.51, 50))
def test_the_linear_bound_lies_above_catoni_and_that_above_the_inverse(risk, kl, n, parameter):
    at = (risk, kl, n, 0.025)
    curve = [catoni_bound(*at, beta) for beta in np.geomspace(1e-2, 50, 4000)]
    assert linear_bound(*at, parameter) >= catoni_bound(*at, 1 / parameter) * (1 - 1e-12)
    assert min(curve) == pytest.approx(kl_inverse(risk, (kl - math.log(0.025)) / n), rel=1e-4)
    assert min(curve) >= kl_inverse(risk, (kl - math.log(0.025)) / n) - 1e-12


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 50, 300])
def test_maurers_constant(n):
    """E exp(n kl(r_n‖R)) ≤ Σ_k C(n, k) (k/n)^k (1 − k/n)^(n−k) ≤ 2√n, also below n = 8, where he left it out."""
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        + (k * math.log(k / n) if k else 0) + ((n - k) * math.log(1 - k / n) if k < n else 0)
        for k in range(n + 1)
    ]  # fmt: skip
    assert sum(map(math.exp, logs)) <= 2 * math.sqrt(n) * (1 + 1e-12)


def test_catoni_holds_for_losses_that_depend_on_each_other():
    """E exp(n Φ) ≤ 1 exactly for every β, where a loss's mean follows from the losses before it."""
    n = 10
    for beta in (0.3, 1.0, 4.0):
        total = 0.0
        for losses in itertools.product((0, 1), repeat=n):
            means, weight = [], 1.0
            for i, loss in enumerate(losses):
                means.append(0.1 + 0.8 * (sum(losses[:i]) + 1) / (i + 2))
                weight *= means[-1] if loss else 1 - means[-1]
            mean, risk = sum(means) / n, sum(losses) / n
            total += weight * math.exp(n * (-math.log1p(math.expm1(-beta) * mean) - beta * risk))
        assert total <= 1 + 1e-12


@pytest.mark.parametrize("p", [0.02, 0.2, 0.5, 0.9])
def test_the_mean_of_draws_is_bounded_as_often_as_promised(p):
    """All sequences of eight coins, weighed exactly."""
    delta, failed_above, failed_below = 0.1, 0.0, 0.0
    for coins in itertools.product((0.0, 1.0), repeat=8):
        weight = math.prod(p if coin else 1 - p for coin in coins)
        failed_above += weight * (mean_upper(torch.tensor(coins), delta) < p)
        failed_below += weight * (mean_lower(torch.tensor(coins), delta) > p)
    assert failed_above <= delta
    assert failed_below <= delta


def test_draws_of_little_spread_are_bounded_by_log_delta_over_m():
    draws = torch.full((2000,), 0.03) + 0.003 * torch.linspace(-1, 1, 2000)[torch.randperm(2000)]
    bound = mean_upper(draws, 0.01)
    assert 0.03 < bound < 0.03 + 1.2 * math.log(100) / 2000
    assert bound < mean_upper_by_kl(0.03, 2000, 0.01)


def test_a_ledger_cannot_be_overdrawn_and_adds_in_decimals():
    ledger = Ledger(0.3).spend("a", 0.1).spend("b", 0.2, choices=4)
    assert ledger.left == 0
    assert ledger.each("b") == 0.05
    with pytest.raises(ValueError, match="asks for"):
        ledger.spend("c", 0.001)
    with pytest.raises(ValueError, match="has been paid for"):
        Ledger(0.3).spend("a", 0.1).spend("a", 0.1)
    with pytest.raises(ValueError, match="more than δ"):
        Ledger(0.1, ledger.entries)


def test_the_best_of_many_parameters_pays_for_all_of_them():
    grid = (0.5, 1.0, 2.0, 4.0)
    each = Ledger(0.05).spend("β", 0.05, choices=len(grid)).each("β")
    chosen = min(catoni_bound(0.1, 500, 10000, each, beta) for beta in grid)
    assert chosen > min(catoni_bound(0.1, 500, 10000, 0.05, beta) for beta in grid)


def test_the_report_names_every_delta_and_is_flagged_where_it_says_nothing():
    ledger = Ledger(0.035).spend(BOUND, 0.025).spend(DRAWS, 0.01)
    found = certify(torch.full((500,), 0.02), 3000.0, 30000, ledger)
    assert found.value == kl_bound(found.risk_bound, 3000.0, 30000, 0.025) == min(found.bounds.values())
    told = found.measurement()
    assert told.bound is Bound.UPPER
    assert not told.status
    assert set(ledger.told()) <= set(told.receipt.notes)
    assert certify(torch.full((500,), 0.9), 3000.0, 30000, ledger).measurement(chance=0.9).status == {Status.VACUOUS}


def test_no_posterior_has_a_certificate_below_the_floor_of_the_prior():
    """A hundred classifiers of a uniform prior: all Gibbs posteriors, and random ones, lie above the floor."""
    draws = np.random.default_rng(0)
    risks, n = np.sort(draws.beta(4, 6, 100)), 500
    b = np.concatenate([[0.0], np.geomspace(1e-3, 10, 200)])
    free = np.array([-np.log(np.mean(np.exp(-x * n * risks))) for x in b])
    floor = certificate_floor(torch.tensor(b), torch.tensor(free), n, 0.05)
    posteriors = [np.exp(-x * n * (risks - risks[0])) for x in b] + list(draws.dirichlet(np.full(100, 0.05), 20))
    bounds = []
    for weights in posteriors:
        q = weights / weights.sum()
        kl = float(np.sum(q[q > 0] * np.log(100 * q[q > 0])))
        bounds.append(kl_bound(float(q @ risks), max(kl, 0.0), n, 0.05))
    assert floor <= min(bounds)
    assert floor > min(bounds) - 2e-3  # and the best Gibbs posterior all but reaches it


def test_split_kl_is_the_kl_bound_for_two_values_and_needs_rising_levels():
    assert split_kl_bound((0, 1), (0.1,), 50, 1000, 0.05) == kl_bound(0.1, 50, 1000, 0.05)
    with pytest.raises(ValueError, match="rising levels"):
        split_kl_bound((0, 0), (0.1,), 50, 1000, 0.05)


def test_split_kl_beats_kl_on_the_rescaled_loss_where_most_of_it_lies_in_the_middle():
    """Values −½, 0, ½, 1, nearly all 0: kl of the loss scaled to [0, 1] does not see that little is at the ends."""
    tails = (0.99, 0.02, 0.01)
    mean = -0.5 + 0.5 * sum(tails)
    whole = -0.5 + 1.5 * kl_bound((mean + 0.5) / 1.5, 30, 2000, 0.05)
    assert split_kl_bound((-0.5, 0, 0.5, 1), tails, 30, 2000, 0.05) < whole


def test_recursive_bounds_by_hand():
    step = Excess((0.98, 0.1, 0.05), 20.0, 500)
    found = recursive_bound(0.2, 100.0, 1000, [step], 0.05)
    first = kl_inverse(0.2, (100 + math.log(2 * 2 * math.sqrt(1000) / 0.05)) / 1000)
    c = (20 + math.log(6 * 2 * math.sqrt(500) / 0.05)) / 500
    excess = -0.5 + 0.5 * sum(kl_inverse(share, c) for share in step.tails)
    assert found == pytest.approx(excess + 0.5 * first, rel=1e-12)
    assert recursive_bound(0.2, 100.0, 1000, [], 0.05) == kl_bound(0.2, 100.0, 1000, 0.05)


def test_messages_are_a_prior_over_files(tmp_path):
    """Σ 2^−bits is at most 1 over both kinds of message and all 256^m contents of m bytes."""
    assert math.fsum(2 * 2.0 ** -(2 + 2 * math.floor(math.log2(m + 1))) for m in range(4000)) <= 1
    assert message_bits(bytes(100_000)) < 2_000
    random = np.random.default_rng(0).bytes(5000)
    assert 8 * 5000 < message_bits(random) < 8 * 5000 + 30
    (tmp_path / "weights.bin").write_bytes(random)
    found = file_bound(tmp_path / "weights.bin", 0.05, 10**6, 0.05)
    assert found == compression_bound(0.05, message_bits(random), 10**6, 0.05)
    assert reference(0.05, found) >= (message_bits(random) * math.log(2) - math.log(0.05)) / 10**6


def test_a_language_models_bound_grows_with_its_bits_and_shrinks_with_its_tokens():
    at = {"delta": 0.05, "vocabulary": 1000, "smoothing": 0.01}
    assert token_bound(3.0, 1e5, 10**7, **at) < token_bound(3.0, 1e6, 10**7, **at)
    assert token_bound(3.0, 1e6, 10**12, **at) == pytest.approx(3.0, abs=0.02)
    # No token can cost more than the uniform share of α allows.
    assert math.log1p(0.99 * 1000 / 0.01) == pytest.approx(math.log(0.99 + 0.01 / 1000) - math.log(0.01 / 1000))


def test_a_prior_that_saw_the_certificates_examples_is_refused_and_equal_inputs_left_out():
    x = np.arange(20.0).reshape(10, 2)
    task = Task.from_arrays(x, [0, 1] * 5, alphabet=["a", "b"])
    with pytest.raises(ValueError, match="which was trained on"):
        unseen_by_prior(task, task[:3])
    other = Task.from_arrays(np.concatenate([x[:2], x[:2] + 100]), [0, 1, 0, 1], alphabet=["a", "b"], name="other")
    found = unseen_by_prior(task, other)
    assert len(found.task) == 8
    assert "2 examples equal to the prior's were left out" in found.notes[0]
    assert unseen_by_prior(task[:5], task[5:]).notes == ()


def test_the_permanents_bound_is_never_below_the_permanent():
    draws = torch.Generator().manual_seed(0)
    for n in (1, 2, 4, 6):
        a = torch.rand(5, n, n, generator=draws, dtype=torch.float64) ** 4 + 1e-9
        orders = list(itertools.permutations(range(n)))
        true = torch.stack([torch.stack([one[torch.arange(n), list(o)].prod() for o in orders]).sum() for one in a])
        assert bool((log_permanent_upper(a.log()) >= true.log() - 1e-12).all())


def test_units_far_apart_give_the_whole_group_and_equal_units_nothing():
    generator = torch.Generator().manual_seed(0)
    apart = HiddenUnits(10 + 100 * torch.eye(4), torch.full((4, 4), 0.01), signs=True)
    assert apart.most - symmetry_discount(apart, 2000, 0.01, generator) < 0.05
    same = HiddenUnits(torch.zeros(4, 3), torch.ones(4, 3))
    assert symmetry_discount(same, 2000, 0.01, generator) <= 0
    assert symmetry_discount(HiddenUnits(torch.zeros(1, 3), torch.ones(1, 3)), 10, 0.01, generator) == 0


def test_the_discount_is_below_the_true_one_by_quadrature():
    """Two units of one weight: KL(q‖q̄) of a Gaussian in the plane, integrated on a grid."""
    units = HiddenUnits(torch.tensor([[0.0], [1.5]]), torch.tensor([[0.5], [1.0]]))
    t = torch.linspace(-8, 9, 801, dtype=torch.float64)
    first, second = (torch.distributions.Normal(m, v**0.5).log_prob(t) for m, v in ((0.0, 0.5), (1.5, 1.0)))
    q, swapped = first[:, None] + second, second[:, None] + first
    ratio = q - (torch.logaddexp(q, swapped) - math.log(2))
    true = float((q.exp() * ratio).sum() * (t[1] - t[0]) ** 2)
    found = symmetry_discount(units, 20_000, 0.01, torch.Generator().manual_seed(0))
    assert found <= true
    assert 0 < true < math.log(2)
