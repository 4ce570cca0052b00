from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from infoscope import Quantise, Task, ask, quantise
from infoscope.data.targets import Real
from infoscope.measurement import NATS_PER_BIT, Status
from infoscope.models import MLP
from infoscope.run.question import units
from infoscope.training.learner import Learner
from infoscope.weight_information import read_quantised
from infoscope.weight_information.checkpoint import Checkpoint, checkpoints_of
from infoscope.weight_information.quantise.quantisation import WIDTHS, allocated, quantised
from infoscope.weight_information.quantise.quantised_file import content, packed, unpacked
from infoscope.weight_information.quantise.quantised_layers import part

IRIS = Task.from_dataset("iris")


def line() -> nn.Module:
    return nn.Linear(4, 1)


def numbers(noise: float = 0.0) -> tuple[Task, dict[str, torch.Tensor]]:
    """A linear regression at its minimum: the loss is a parabola, so that the prediction has no remainder."""
    x = IRIS.array - IRIS.array.mean(0)
    wide = torch.cat([x.double(), torch.ones(len(x), 1)], 1)
    draws = torch.Generator().manual_seed(0)
    y = x.double() @ torch.tensor([1.0, -0.5, 0.3, 0.2]).double() + noise * torch.randn(len(x), generator=draws)
    best = torch.linalg.lstsq(wide, y[:, None]).solution[:, 0].float()
    task = Task.from_arrays(x, y[:, None], target=Real(0.001, -10.0, 10.0, centre=0.0, scale=1.0), name="line")
    return task, {"weight": best[None, :4], "bias": best[4:]}


@pytest.mark.parametrize("bits", WIDTHS)
def test_codes_go_through_bits_and_come_back(bits):
    w = torch.randn(5, 3, 7, generator=torch.Generator().manual_seed(bits))
    held = quantised(w, bits)
    assert int(held.codes.abs().max()) <= 2 ** (bits - 1) - 1
    written = packed(held.codes, bits)
    assert len(written) == -(-w.numel() * bits // 8)
    assert torch.equal(unpacked(written, bits, w.numel()).view(w.shape), held.codes)


def test_nothing_is_rounded_by_more_than_half_a_step_unless_it_is_cut_off():
    w = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    for bits in (2, 4, 8):
        held = quantised(w, bits)
        top = (2 ** (bits - 1) - 1) * held.steps[:, None]
        inside = w.abs() <= top
        assert bool(((held.weights() - w).abs() <= held.steps[:, None] / 2 + 1e-6)[inside].all())
        assert torch.equal(held.weights()[~inside].abs(), top.expand_as(w)[~inside])


def test_weights_that_are_codes_already_stay_as_they_are():
    w = torch.tensor([[3.0, -1.0, 0.0], [0.0, 0.0, 0.0]])
    assert torch.equal(quantised(w, 3).weights(), w)


def test_rounding_to_more_bits_loses_less():
    w = torch.randn(8, 64, generator=torch.Generator().manual_seed(1))
    errors = [float((quantised(w, bits).weights() - w).square().sum()) for bits in WIDTHS]
    assert errors == sorted(errors, reverse=True)


def test_the_allocation_is_the_best_of_all():
    draws = np.random.default_rng(0)
    widths = (2, 3, 4, 8)
    for _ in range(20):
        sizes = {name: int(draws.integers(1, 40)) for name in "abcd"}
        rises = {name: sorted(draws.exponential(size=4), reverse=True) for name in sizes}
        budget = int(draws.integers(2 * sum(sizes.values()), 8 * sum(sizes.values())))
        fit = [
            sum(rises[name][widths.index(b)] for name, b in zip(sizes, bits, strict=True))
            for bits in itertools.product(widths, repeat=4)
            if sum(size * b for size, b in zip(sizes.values(), bits, strict=True)) <= budget
        ]
        found = allocated(rises, sizes, budget, widths)
        assert sum(sizes[name] * b for name, b in found.items()) <= budget
        assert sum(rises[name][widths.index(b)] for name, b in found.items()) == pytest.approx(min(fit), rel=1e-12)


def test_of_a_parabola_with_orthogonal_inputs_every_prediction_is_the_rise_itself():
    """F is diagonal then, and at the minimum the loss has no slope: nothing is left out of ½ Σ F δ²."""
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = (8 * torch.linalg.qr(x - x.mean(0))[0]).float()
    w = torch.tensor([[0.9, -0.37, 0.21, 0.11]])
    task = Task.from_arrays(x, (x @ w.T).double(), target=Real(0.001, -90.0, 90.0, centre=0.0, scale=1.0), as_is=True)
    answer = quantise({"weight": w, "bias": torch.zeros(1)}, task, line, examples=None, draws=1)
    (layer,) = answer.layers
    for rise in layer.rises:
        assert rise.measured.value == pytest.approx(rise.predicted.value, rel=1e-3, abs=1e-9)
        assert not rise.predicted.status


def test_the_file_gives_the_network_that_was_measured(tmp_path):
    task, weights = numbers(noise=0.3)
    file = tmp_path / "small.safetensors"
    answer = ask(Quantise(weights, task, line, bits=4, save=file, examples=None))
    answer.write(tmp_path)
    back = read_quantised(file)
    assert torch.equal(back["weight"], quantised(weights["weight"], dict(answer.spent.bits)["weight"]).weights())
    assert torch.equal(back["bias"], weights["bias"])
    again = quantise(file, task, line, examples=None)
    assert again.loss.value == pytest.approx(answer.loss.value + answer.spent.rise.measured.value, rel=1e-12)


@pytest.mark.parametrize("most", [1150, 1400, 2100])
def test_no_file_is_larger_than_its_budget(most):
    learner = Learner(MLP((16,)))
    weights = learner.network(IRIS.shape, 3, 0).state_dict()
    answer = quantise(weights, IRIS, MLP((16,)), bytes=most, examples=50)
    assert len(answer.spent.content) <= most


def test_what_a_layer_needs_follows_from_its_rises():
    task, weights = numbers(noise=0.5)
    answer = quantise(weights, task, line, examples=None)
    (layer,) = answer.layers
    most = 0.01 * answer.loss.value
    needed = layer.bits(most).value / NATS_PER_BIT
    for width, rise in zip(WIDTHS, layer.rises, strict=True):
        if width >= needed:
            assert rise.measured.value <= most
    below = [rise.measured.value for width, rise in zip(WIDTHS, layer.rises, strict=True) if width < needed]
    assert not below or below[-1] > most


def test_far_from_a_parabola_is_flagged():
    assert part(3.0, 0.1, 1.0, 0.1)
    assert not part(1.9, 0.1, 1.0, 0.1)  # within a factor of 2
    assert not part(3.0, 1.0, 1.0, 0.1)  # within three errors
    wild = {name: 30 * t for name, t in Learner(MLP((4,))).network(IRIS.shape, 3, 0).state_dict().items()}
    found = quantise(wild, IRIS, MLP((4,)), examples=None)
    assert any(Status.NOT_QUADRATIC in rise.predicted.status for layer in found.layers for rise in layer.rises)


class Tied(nn.Module):
    """Embedding and head are one matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.head = nn.Linear(4, 3)
        self.out.weight = self.into.weight

    def forward(self, x):
        return self.head(self.out(torch.tanh(self.into(x))))


def test_a_tied_matrix_is_rounded_and_written_once(tmp_path):
    weights = {k: t.clone() for k, t in Tied().state_dict().items()}
    file = tmp_path / "tied.safetensors"
    answer = ask(Quantise(weights, IRIS, Tied, bits=3, save=file, examples=60))
    assert [layer.parameter for layer in answer.layers] == ["into.weight", "head.weight"]
    answer.write(tmp_path)
    back = read_quantised(file)
    assert torch.equal(back["into.weight"], back["out.weight"])
    assert set(back) == set(weights)


def test_a_dry_run_counts_one_fisher_information_and_a_rounding_a_layer():
    weights = Learner(MLP((4,))).network(IRIS.shape, 3, 0).state_dict()
    assert units(Quantise(weights, IRIS, MLP((4,)), bits=4)) == {"Fisher informations": 1, "roundings": 4}


def test_bad_input_gets_a_word_before_anything_runs(tmp_path):
    weights = Learner(MLP((4,))).network(IRIS.shape, 3, 0).state_dict()
    broken = dict(weights) | {"fc1.weight": weights["fc1.weight"] * torch.nan}
    for given, options, word in (
        (broken, {}, "hold NaN or infinity, 'fc1.weight'"),
        (weights, {"bytes": 10}, "10 bytes were asked for"),
        (weights, {"bytes": 10, "bits": 3}, "both bytes and bits"),
        (weights, {"save": tmp_path / "a.safetensors"}, "there is no budget"),
        (weights, {"bits": 3, "save": tmp_path / "a.pt"}, "name a .safetensors file"),
        ({"other": torch.ones(2)}, {}, "do not fit"),
        (tmp_path / "none.pt", {}, "no such file"),
    ):
        with pytest.raises(ValueError, match=word):
            units(Quantise(given, IRIS, MLP((4,)), **options))


def test_half_precision_and_other_architectures_get_a_word():
    weights = Learner(MLP((4,))).network(IRIS.shape, 3, 0).state_dict()
    half = {name: t.bfloat16() for name, t in weights.items()}
    assert "bfloat16" in Checkpoint.of(half).notes[0]
    with pytest.raises(ValueError, match="half precision"):
        Checkpoint.of({"weight": torch.ones(3, 4), "bias": torch.ones(3)}).learner(IRIS, lambda: nn.Linear(4, 3).half())
    other = Learner(MLP((5,))).network(IRIS.shape, 3, 0).state_dict()
    with pytest.raises(ValueError, match=r"two architectures: fc1\.weight"):
        checkpoints_of([weights, other])
    with pytest.raises(ValueError, match="two architectures: 1 tensors stand in one"):
        checkpoints_of([weights, dict(weights) | {"more": torch.ones(1)}])


def test_a_name_that_codes_would_take_is_refused():
    with pytest.raises(ValueError, match="have a tensor called"):
        content({"w": torch.ones(2, 2), "w.codes": torch.ones(1)}, {"w": quantised(torch.ones(2, 2), 2)}, {})


@pytest.mark.long
def test_a_pretrained_residual_network(shared_data):
    """ResNet-20 of CIFAR-10: every matrix is a layer, and 4 bits a weight leave a good network."""
    file = shared_data("weights") / "cifar10_resnet20.safetensors"
    network = "resnet20[mean=(0.485,0.456,0.406), deviation=(0.229,0.224,0.225)]"
    answer = quantise(file, Task.from_dataset(str(shared_data("cifar10"))), network, bits=4, examples=100)
    assert len(answer.layers) == 20
    assert answer.spent.rise.measured.value < 2 * answer.loss.value


def test_bits_measured_on_one_example_have_no_error(tmp_path):
    weights = Learner(MLP((4,))).network(IRIS.shape, 3, 0).state_dict()
    found = quantise(weights, IRIS[:1], MLP((4,)))
    errors = [row.measurement.stderr for row in found.record() if row.measurement.quantity == "bits"]
    assert errors
    assert all(math.isnan(error) for error in errors)
