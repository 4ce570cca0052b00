from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from infoscope import NoiseTolerance, Task, noise_tolerance
from infoscope.data.targets import Real
from infoscope.measurement import Status
from infoscope.run.question import units
from infoscope.weight_information.noise_tolerance.noisy_layers import size_of

IRIS = Task.from_dataset("iris")


def line() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 1))


def sides() -> nn.Module:
    return nn.Sequential(nn.Linear(1, 2))


def numbers() -> tuple[Task, dict[str, torch.Tensor]]:
    """A linear regression, whose loss is a parabola: ½ |X δ|²/n is all that noise δ adds besides what is odd in it."""
    x = IRIS.array - IRIS.array.mean(0)
    draws = torch.Generator().manual_seed(0)
    weights = torch.tensor([[1.0, -0.5, 0.3, 0.2]])
    y = x @ weights.T + 0.5 * torch.randn(len(x), 1, generator=draws)
    task = Task.from_arrays(x, y, target=Real(0.001, -20.0, 20.0, centre=0.0, scale=1.0), name="line")
    return task, {"0.weight": weights, "0.bias": torch.tensor([0.1])}


def test_where_the_loss_is_a_parabola_it_rises_as_predicted():
    task, weights = numbers()
    found = noise_tolerance(weights, task, line, replicates=40, examples=None)
    size = size_of(weights, ["0.weight", "0.bias"])
    trace = float(torch.cat([task.array, torch.ones(len(task), 1)], 1).double().square().sum()) / len(task)
    for one in found.noised:
        for scale, rise, told in zip(one.scales, one.rises, one.predicted, strict=True):
            assert told.value == pytest.approx(0.5 * (scale * size) ** 2 * trace, rel=1e-5)
            assert abs(rise.value - told.value) < 3 * rise.stderr
            assert not told.status
    whole, layer = found.noised[-1], found.noised[0]
    assert whole.name is None
    assert [m.value for m in whole.rises] == [m.value for m in layer.rises]
    most = 0.1 * found.loss.value
    tolerated = layer.tolerated(most)
    assert tolerated.value == pytest.approx(math.sqrt(2 * most / trace) / size, abs=3 * tolerated.stderr)


def test_a_draw_and_its_mirror_image_leave_nothing_of_the_slope():
    task, weights = numbers()
    found = noise_tolerance(weights, task, line, scales=(0.03, 0.3), replicates=1, examples=None)
    one = found.noised[0]
    assert one.rises[1].value == pytest.approx(100 * one.rises[0].value, rel=1e-3)


def test_what_is_sure_of_its_data_has_no_curvature_and_noise_hurts_it_all_the_same():
    side = torch.tensor([-1.0, 1.0]).repeat(20)
    task = Task.from_arrays(side[:, None], (side > 0).long(), alphabet=["no", "yes"], name="sides")
    sure = {"0.weight": torch.tensor([[-20.0], [20.0]]), "0.bias": torch.zeros(2)}
    found = noise_tolerance(sure, task, sides, scales=(0.1, 3.0), replicates=20).noised[-1]
    assert found.predicted[1].value < 1e-10
    assert Status.NOT_QUADRATIC in found.predicted[1].status
    assert found.rises[1].value > 5
    assert Status.NOT_REACHABLE in found.tolerated(1e4).status


def test_it_is_counted_and_bad_input_gets_a_word():
    task, weights = numbers()
    assert units(NoiseTolerance(weights, task, line)) == {"Fisher informations": 1, "noisings": 2}
    with pytest.raises(ValueError, match="in order"):
        NoiseTolerance(weights, task, line, scales=(0.1, 0.01))
    with pytest.raises(ValueError, match="above 0"):
        NoiseTolerance(weights, task, line, scales=(0.0, 0.01))
    nothing = {name: torch.zeros_like(t) for name, t in weights.items()}
    with pytest.raises(ValueError, match="are all 0"):
        noise_tolerance(nothing, task, line)
