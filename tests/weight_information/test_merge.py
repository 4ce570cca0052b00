from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from infoscope import Merge, Task, ask, fisher, merge
from infoscope.data.targets import Real
from infoscope.models import MLP
from infoscope.run.question import units
from infoscope.training.learner import Learner
from infoscope.training.weights_file import tensors_from
from infoscope.weight_information import EKFAC, Diagonal, FullMatrix
from infoscope.weight_information.example_losses import losses
from infoscope.weight_information.merge.merging import fisher_merged
from infoscope.weight_information.second_order import second_order

IRIS = Task.from_dataset("iris")
NUMBERS = Real(0.001, -90.0, 90.0, centre=0.0, scale=1.0)


def line() -> nn.Module:
    return nn.Linear(3, 2)


def regression(x: torch.Tensor, seed: int) -> Task:
    draws = torch.Generator().manual_seed(seed)
    y = x.double() @ torch.tensor([[1.0, -0.5, 0.3], [0.2, 0.1, -1.0]]).double().T
    y = y + 0.5 * torch.randn(y.shape, generator=draws, dtype=torch.float64)
    return Task.from_arrays(x, y, target=dataclasses.replace(NUMBERS, dim=2), as_is=True, name=f"half {seed}")


def best(*several: Task) -> dict[str, torch.Tensor]:
    """The least squares solution on all of these together."""
    wide = torch.cat([torch.cat([task.array.double(), torch.ones(len(task), 1)], 1) for task in several])
    found = torch.linalg.lstsq(wide, torch.cat([task.y.double() for task in several])).solution.T
    return {"weight": found[:, :3].float(), "bias": found[:, 3].float()}


def halves(orthogonal: bool) -> list[Task]:
    """Of unequal sizes and scales; with `orthogonal` inputs no two entries of the Fisher information meet."""
    found = []
    for seed, n, scale in ((0, 40, 1.0), (1, 70, 2.0)):
        x = scale * torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        x = scale * n**0.5 * torch.linalg.qr(x - x.mean(0))[0] * torch.tensor([1.0, 2.0, 0.5]) if orthogonal else x
        found.append(regression(x.float(), seed))
    return found


@pytest.mark.parametrize(
    ("structure", "orthogonal"), [(FullMatrix(), False), (EKFAC(), False), (Diagonal(), True), (EKFAC(), True)]
)
def test_halves_of_a_linear_regression_merge_into_the_solution_of_the_whole(structure, orthogonal):
    """Exactly: a linear layer under squared error is one Kronecker product, and diagonal for orthogonal inputs."""
    parts = halves(orthogonal)
    points = [best(part) for part in parts]
    networks = [Learner(line, weights=point).network((3,), 2, 0) for point in points]
    fishers = [fisher(net, part, structure=structure) for net, part in zip(networks, parts, strict=True)]
    found = fisher_merged(points, fishers, [len(part) for part in parts])
    joint = best(*parts)
    assert torch.allclose(found.weights["weight"], joint["weight"], atol=1e-5)
    assert torch.allclose(found.weights["bias"], joint["bias"], atol=1e-5)
    assert (points[0]["weight"] - joint["weight"]).abs().max() > 1e-2


def test_the_diagonal_is_not_enough_for_correlated_inputs():
    parts = halves(orthogonal=False)
    points = [best(part) for part in parts]
    networks = [Learner(line, weights=point).network((3,), 2, 0) for point in points]
    fishers = [fisher(net, part) for net, part in zip(networks, parts, strict=True)]
    found = fisher_merged(points, fishers, [len(part) for part in parts])
    joint = best(*parts)
    assert (found.weights["weight"] - joint["weight"]).abs().max() > 1e-4
    mean = (points[0]["weight"] + points[1]["weight"]) / 2
    assert (found.weights["weight"] - joint["weight"]).norm() < (mean - joint["weight"]).norm()


def test_what_no_fisher_information_sees_is_the_mean():
    """A unit that is dead on all data: its weights are where the mean has them, and no number is NaN."""
    task = halves(orthogonal=False)[0]
    still = Task.from_arrays(task.array * torch.tensor([1.0, 1.0, 0.0]), task.y, target=task.target, as_is=True)
    points = [{"weight": torch.full((2, 3), v), "bias": torch.zeros(2)} for v in (1.0, 4.0)]
    for structure in (Diagonal(), EKFAC(), FullMatrix()):
        found = [fisher(Learner(line, weights=w).network((3,), 2, 0), still, structure=structure) for w in points]
        merged = fisher_merged(points, found, [1.0, 2.0]).weights["weight"]
        assert torch.allclose(merged[:, 2], torch.tensor(3.0))
        assert bool(merged.isfinite().all())


def test_the_second_order_is_that_of_the_losses_expectation():
    """½ δᵀ F δ is the KL divergence of predictions for a small δ, and exactly it for squared error at any."""
    part = halves(orthogonal=False)[0]
    point = best(part)
    network = Learner(line, weights=point).network((3,), 2, 0).double()
    change = {"weight": torch.randn(2, 3, generator=torch.Generator().manual_seed(3)), "bias": torch.ones(2)}
    u = part.array.double() @ change["weight"].double().T + 1
    assert torch.allclose(second_order(network, part, change), 0.5 * u.square().sum(1), rtol=1e-6)

    net = Learner(MLP((4,))).network(IRIS.shape, 3, 0).double()
    wide = Task.from_arrays(IRIS.array.double(), IRIS.y, target=IRIS.target, as_is=True)
    one = fisher(net, wide, structure=FullMatrix())
    small = {k: torch.randn(p.shape, generator=torch.Generator().manual_seed(4)) for k, p in net.named_parameters()}
    flat = torch.cat([block.joined(small).flatten() for block in one.blocks]).double()
    expected = 0.5 * float(flat @ one.matrix @ flat)
    assert float(second_order(net, IRIS, small).mean()) == pytest.approx(expected, rel=1e-6)


def test_the_price_of_halves_is_what_the_parabola_says():
    """For linear regression the measured rise is the prediction, as a checkpoint is the minimum on its own data."""
    parts = halves(orthogonal=False)
    points = [best(part) for part in parts]
    answer = merge(*points, data=parts, model=line, examples=None, draws=64, way="ekfac")
    for price in answer.prices:
        assert price.rise.measured.value == pytest.approx(price.rise.predicted.value, rel=1e-3)
        assert not price.rise.predicted.status
    assert answer.price("ekfac").value < answer.price("mean").value
    network = Learner(line, weights=answer.weights).network((3,), 2, 0)
    own = Learner(line, weights=points[0]).network((3,), 2, 0)
    rise = float((losses(network, parts[0]) - losses(own, parts[0])).mean())
    chosen = next(one for one in answer.prices if one.way == "ekfac")
    assert chosen.rise.measured.value == pytest.approx(rise, rel=1e-9)


def test_weights_move_the_result_towards_who_counts_more():
    parts = halves(orthogonal=False)
    points = [best(part) for part in parts]
    lean = merge(*points, data=parts, model=line, weights=(1e6, 1.0), examples=None)
    assert torch.allclose(lean.weights["weight"], points[0]["weight"], atol=1e-4)
    assert torch.allclose(lean.merged["mean"].weights["weight"], points[0]["weight"], atol=1e-4)


def test_the_file_holds_the_way_that_was_asked_for(tmp_path):
    parts = halves(orthogonal=False)
    points = [best(part) for part in parts]
    answer = ask(Merge(points, parts, line, way="diagonal", save=tmp_path / "both.safetensors", examples=30))
    answer.write(tmp_path)
    held = tensors_from(tmp_path / "both.safetensors")
    assert torch.equal(held["weight"], answer.merged["diagonal"].weights["weight"])
    assert "mean" in merge(*points, save=None).sentence()


def test_a_dry_run_counts_what_is_run():
    points = [Learner(MLP((4,))).network(IRIS.shape, 3, seed).state_dict() for seed in (0, 1)]
    assert units(Merge(points, IRIS, MLP((4,)))) == {"Fisher informations": 2, "passes": 4}
    assert units(Merge(points)) == {}


def test_bad_input_gets_a_word(tmp_path):
    a, b = (Learner(MLP((4,))).network(IRIS.shape, 3, seed).state_dict() for seed in (0, 1))
    wide = Learner(MLP((5,))).network(IRIS.shape, 3, 0).state_dict()
    for given, options, word in (
        ([a], {}, "1 checkpoints were given"),
        ([a, wide], {}, "two architectures"),
        ([a, dict(b) | {"fc1.weight": b["fc1.weight"] * torch.inf}], {}, "NaN or infinity"),
        ([a, b], {"weights": (1.0,)}, "1 weights were given for 2"),
        ([a, b], {"weights": (1.0, -1.0)}, "above 0"),
        ([a, b], {"data": None, "way": "ekfac"}, "takes the Fisher information of data"),
        ([a, b], {"data": ["iris", "iris", "iris"]}, "3 data sets were named for 2"),
        ([a, b], {"save": tmp_path / "x.pt"}, "name a .safetensors file"),
    ):
        with pytest.raises(ValueError, match=word):
            units(Merge(given, **{"data": IRIS, "model": MLP((4,)), **options}))


def test_on_the_same_examples_the_error_of_the_mean_price_is_paired():
    """What merging costs two checkpoints rises and falls together there: their errors are no independent ones."""
    network = MLP((3,))
    points = [Learner(network).network(IRIS.shape, 3, seed).state_dict() for seed in (0, 1)]
    found = merge(*points, data=IRIS, model=network)
    each = [one.each for one in found.prices if one.way == "mean"]
    mean = torch.stack(each).mean(0)
    assert found.price("mean").stderr == pytest.approx(float(mean.std()) / len(mean) ** 0.5)
    apart = Task.from_arrays(IRIS.array[::2], IRIS.labels[::2], name="half"), IRIS
    found = merge(*points, data=list(apart), model=network)
    errors = [one.rise.measured.stderr for one in found.prices if one.way == "mean"]
    assert found.price("mean").stderr == pytest.approx(sum(e * e for e in errors) ** 0.5 / 2)
