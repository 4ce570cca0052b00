from __future__ import annotations

import numpy as np
import pytest
import torch

from infoscope import Task
from infoscope.data.task import coding_order
from infoscope.measurement import Measurement
from infoscope.prequential.encode import encode
from infoscope.prequential.mixed import Mixed
from infoscope.task_space.after import free_energy_distance, one_after_another
from infoscope.task_space.difficulty import rank_correlation
from infoscope.task_space.distance import (
    asymmetric,
    distances,
    information_distance,
    matrix,
    one_less_cosine,
    symmetric,
)


def vector(*entries: float) -> torch.Tensor:
    return torch.tensor(entries, dtype=torch.float64)


@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e300, 5e-321])
def test_published_values_at_any_scale(scale):
    """At 5e-321 the numbers are subnormal: a sum or an epsilon would lose them."""
    exact = scale != 5e-321
    assert symmetric(scale * vector(1, 3), scale * vector(3, 1)) == pytest.approx(0.4, abs=1e-12 if exact else 0.01)
    three = symmetric(scale * vector(1, 3, 5), scale * vector(3, 1, 5))
    assert three == pytest.approx(2 / 7, abs=1e-12 if exact else 0.01)


def test_each_coordinate_has_its_own_unit():
    draws = torch.Generator().manual_seed(0)
    a, b, unit = (torch.rand(50, generator=draws, dtype=torch.float64) for _ in range(3))
    assert symmetric(a, b) == pytest.approx(float(symmetric(1e9 * unit * a, 1e9 * unit * b)), abs=1e-12)
    assert symmetric(a, b) == pytest.approx(float(symmetric(b, a)), abs=1e-15)
    assert symmetric(a, 7 * a) == pytest.approx(0, abs=1e-12)


def test_what_is_zero_in_both_is_left_out_and_no_information_has_no_angle():
    assert symmetric(vector(1, 3, 0), vector(3, 1, 0)) == pytest.approx(0.4)
    assert symmetric(vector(1, 0), vector(0, 1)) == 1
    assert symmetric(vector(1, 2), vector(0, 0)).isnan()
    assert one_less_cosine(vector(0, 0), vector(1, 2)).isnan()


def test_one_less_cosine():
    assert one_less_cosine(vector(3, 4), vector(4, 3)) == pytest.approx(1 - 24 / 25)
    assert one_less_cosine(1e-200 * vector(3, 4), 1e200 * vector(4, 3)) == pytest.approx(1 - 24 / 25)


def test_the_expert_of_the_more_complex_task_is_nearer():
    target, trivial = vector(2, 2), vector(1, 1)
    plain, complex_one = vector(1, 1.5), vector(50, 4)
    alpha = 100.0
    assert symmetric(plain, target) < symmetric(complex_one, target)
    assert asymmetric(plain, target, trivial, alpha) > asymmetric(complex_one, target, trivial, alpha)
    assert asymmetric(plain, target, trivial, 0.0) == symmetric(plain, target)


def test_self_distance_is_taken_off():
    """Replicates of a task that differ by noise alone: what is left of its distance from an equal task is around 0."""
    draws = torch.Generator().manual_seed(1)
    base = torch.rand(400, generator=draws, dtype=torch.float64) + 0.1
    noisy = base * torch.randn(8, 6, 400, generator=draws, dtype=torch.float64).mul(0.3).exp()
    found = distances(matrix(noisy, noisy, symmetric))
    off = ~torch.eye(8, dtype=torch.bool)
    assert found.values[off].min() > 0.01
    left = found.corrected()[off]
    assert abs(float(left.mean())) < 4 * float(left.std()) / 28**0.5
    assert abs(float(left.mean())) < 0.05 * float(found.values[off].mean())


def test_slow_and_plain_pairs_agree():
    draws = torch.Generator().manual_seed(2)
    values = torch.rand(3, 2, 5, generator=draws, dtype=torch.float64)
    found = distances(matrix(values, values, symmetric))
    pairs = [float(symmetric(values[0, r], values[2, s])) for r in range(2) for s in range(2)]
    assert found.values[0, 2] == pytest.approx(np.mean(pairs))
    assert found.itself[1] == pytest.approx(float(symmetric(values[1, 0], values[1, 1])))


def test_information_distance_there_and_back():
    one, two, both = (Measurement("L(M,D)", v, 0.1) for v in (3.0, 5.0, 6.5))
    there, back = information_distance(both, one), information_distance(both, two)
    assert (there - back).value == pytest.approx((two - one).value)
    known = 3.0 + 5.0 - 6.5  # what the first tells of the second
    assert there.value == pytest.approx(5.0 * (1 - known / 5.0))


DIGITS = Task.from_dataset("digits")


def test_free_energy_is_the_code_of_what_comes_second():
    one, other = DIGITS["classes=0,1"][:40], DIGITS["classes=0,1"][40:80]
    apart = DIGITS["classes=2,3"][:40]
    whole = one_after_another(one, apart, 3)
    assert set(whole.labels[coding_order(80, 3)[:40]].tolist()) == {0, 1}
    costs = {}
    for name, first in (("same", other), ("unlike", apart)):
        curve = encode(one_after_another(first, one, 0), Mixed(), None, 0)
        later, both = free_energy_distance([curve], len(first))
        assert 0 <= later.value <= both.value
        assert later.value + float(curve.nats[:40].sum()) == pytest.approx(both.value)
        costs[name] = later.value
    assert costs["same"] < 0.5 * costs["unlike"]


def test_rank_correlation_controls_for_size():
    n = np.repeat([100.0, 500.0, 900.0], 20)
    draws = np.random.default_rng(0)
    norm, length = n + draws.normal(size=60), n + draws.normal(size=60)
    plain, controlled = rank_correlation(norm, length), rank_correlation(norm, length, n)
    assert plain.value > 0.8
    assert abs(controlled.value) < 3 * controlled.stderr
    same = rank_correlation(norm, length, np.full(60, 3.0))
    assert same.value == pytest.approx(plain.value)
