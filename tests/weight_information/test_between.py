from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from infoscope import Between, Task, ask, between
from infoscope.data.targets import Labels, Real
from infoscope.measurement import Status
from infoscope.models import MLP
from infoscope.run.question import units
from infoscope.symmetry.permutations import permutation_groups
from infoscope.training.learner import Learner
from infoscope.training.lora import Scaling, adapted
from infoscope.weight_information.between.looks import divergence

IRIS = Task.from_dataset("iris")


NUMBERS = Real(0.01, -99.0, 99.0, centre=0.0, scale=1.0)


def line() -> nn.Module:
    return nn.Linear(2, 1, bias=False)


def network(seed: int) -> nn.Module:
    return Learner(MLP((8,))).network(IRIS.shape, 3, seed)


def rows(answer, way: str = "as they are", layer: str | None = None) -> dict:
    """The measurements of a way and a layer, by quantity."""
    wanted = {"layer": layer, "way": way}
    return {row.measurement.quantity: row.measurement for row in answer.record() if row.coordinates == wanted}


def test_a_checkpoint_and_itself():
    weights = network(0).state_dict()
    found = rows(between(weights, dict(weights), IRIS, model=MLP((8,))))
    for quantity in ("|Δw|", "|Δw|/|w|", "½ΔwᵀFΔw", "KL(A‖B)", "KL(B‖A)", "barrier", "change by noise"):
        assert found[quantity].value == pytest.approx(0.0, abs=1e-7)
    record = between(weights, weights, IRIS, model=MLP((8,))).record()
    like = [row.measurement.value for row in record if row.measurement.quantity == "CKA"]
    assert like == pytest.approx([1.0] * len(like))


def test_a_permuted_copy_is_apart_as_weights_alone():
    """Alignment takes the whole distance away, and the barrier with it; functions and layers' CKA never saw any."""
    net = network(0)
    groups = permutation_groups(net, (4,))
    copy = groups.permuted(net.state_dict(), groups.random(seed=1))
    answer = between(net.state_dict(), copy, IRIS, model=MLP((8,)), aligned=True, examples=None)
    plain, freed = rows(answer), rows(answer, "aligned")
    assert plain["|Δw|"].value > 0.1
    assert plain["KL(A‖B)"].value == pytest.approx(0.0, abs=1e-10)
    assert freed["|Δw|"].value == pytest.approx(0.0, abs=1e-12)
    assert freed["barrier"].value == pytest.approx(0.0, abs=1e-7)


def test_a_rescaled_copy_is_apart_as_weights_alone():
    net = network(0)
    copy = {k: t.clone() for k, t in net.state_dict().items()}
    first, *_, last = (k for k in copy if k.endswith("weight"))
    copy[first], copy[first.replace("weight", "bias")] = 3 * copy[first], 3 * copy[first.replace("weight", "bias")]
    copy[last] = copy[last] / 3
    answer = between(net.state_dict(), copy, IRIS, model=MLP((8,)), balanced=True, examples=60)
    assert rows(answer)["|Δw|"].value > 1
    assert rows(answer, "balanced")["|Δw|"].value == pytest.approx(0.0, abs=1e-5)


def test_the_fisher_metric_is_the_divergence_of_what_lies_near():
    net = network(0)
    draws = torch.Generator().manual_seed(1)
    near = {k: t + 1e-2 * torch.randn(t.shape, generator=draws) for k, t in net.state_dict().items()}
    found = rows(between(net.state_dict(), near, IRIS, model=MLP((8,)), examples=None))
    assert found["½ΔwᵀFΔw"].value == pytest.approx(found["KL(A‖B)"].value, rel=0.05)
    assert found["KL(B‖A)"].value == pytest.approx(found["KL(A‖B)"].value, rel=0.05)


def test_layers_add_up_in_length_and_a_change_of_one_is_its_own():
    net = network(0)
    one = {k: t.clone() for k, t in net.state_dict().items()}
    layer = next(iter(one)).rpartition(".")[0]
    one[f"{layer}.bias"] += 0.1
    answer = between(net.state_dict(), one, IRIS, model=MLP((8,)), examples=50)
    whole, own = rows(answer), rows(answer, layer=layer)
    assert whole["|Δw|"].value == pytest.approx(own["|Δw|"].value, rel=1e-12)
    assert whole["½ΔwᵀFΔw"].value == pytest.approx(own["½ΔwᵀFΔw"].value, rel=1e-9)
    others = [name for name in answer.distance.layers if name != layer]
    assert all(rows(answer, layer=name)["½ΔwᵀFΔw"].value == 0 for name in others)


def test_a_draw_from_the_posterior_of_a_linear_regression_is_within_the_noise_on_average():
    """E_q ½ n ΔwᵀFΔw = ½ Σ s/(1 + s): the share is 1 on average over draws from q."""
    x = torch.randn(80, 2, generator=torch.Generator().manual_seed(0))
    task = Task.from_arrays(x, (x @ torch.ones(2, 1)).double(), target=NUMBERS, as_is=True)
    w = {"weight": torch.ones(1, 2)}
    h = x.double().T @ x.double()
    q = torch.linalg.inv(h + torch.eye(2))
    noise = torch.randn(2, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    draws = torch.linalg.cholesky(q) @ noise

    answer = between(w, {"weight": 1 + draws[:, :1].T.float()}, task, model=line, examples=None, draws=64)
    expected = rows(answer)["lambda_E"].value
    s = torch.linalg.eigvalsh(h)
    assert expected == pytest.approx(float(0.5 * (s / (1 + s)).sum()), rel=1e-2)
    shares = 0.5 * torch.einsum("id,ij,jd->d", draws, h, draws) / expected
    assert rows(answer)["change by noise"].value == pytest.approx(float(shares[0]), rel=1e-5)
    assert abs(float(shares.mean()) - 1) < 3 * float(shares.std()) / 40**0.5


def test_of_a_parabola_the_loss_sags_between_its_sides():
    """For squared error the loss inside a line lies below the chord, by t(1 − t) ½ ΔwᵀFΔw."""
    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    task = Task.from_arrays(x, torch.zeros(30, 1).double(), target=NUMBERS, as_is=True)
    a, b = ({"weight": torch.tensor([[v, 0.0]])} for v in (-1.0, 1.0))
    found = rows(between(a, b, task, model=line, examples=None))
    assert found["barrier"].value == pytest.approx(-0.1 * 0.9 * found["½ΔwᵀFΔw"].value, rel=1e-4)


def test_an_adapter_is_its_change_of_weights(tmp_path):
    base = {k: t.clone() for k, t in network(0).state_dict().items()}
    name = next(k for k in base if k.endswith("weight"))
    out, into = base[name].shape
    draws = torch.Generator().manual_seed(0)
    low = {
        f"base_model.model.{name.removesuffix('weight')}lora_A.weight": torch.randn(2, into, generator=draws),
        f"base_model.model.{name.removesuffix('weight')}lora_B.weight": torch.randn(out, 2, generator=draws),
    }
    save_file(low, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ValueError, match="give lora_scale"):
        between(base, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 8}))
    answer = between(base, tmp_path / "adapter_model.safetensors")
    a, b = low.values()
    assert answer.distance.whole == pytest.approx(float((4 * b @ a).norm()), rel=1e-5)
    assert rows(answer, layer=name.rpartition(".")[0])["|Δw|"].value == pytest.approx(answer.distance.whole)
    turned = {"c.lora_A.weight": a, "c.lora_B.weight": b}
    assert torch.allclose(
        adapted({"c.weight": torch.zeros(into, out)}, turned, Scaling(given=1.0))["c.weight"], (b @ a).T, atol=1e-6
    )
    for broken, word in (
        ({"c.lora_A.weight": a}, "lacks its second matrix"),
        (turned | {"d.bias": b}, "more than products of two"),
        ({"d.lora_A.weight": a, "d.lora_B.weight": b}, "lacks a weight"),
    ):
        with pytest.raises(ValueError, match=word):
            adapted({"c.weight": torch.zeros(into, out)}, broken, Scaling(given=1.0))


def test_the_divergence_of_several_labels_is_the_sum_of_each():
    p, q = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 2.0]])
    a, b = 0.5, float(torch.tensor(1.0).sigmoid())
    one = a * torch.tensor(a / b).log() + (1 - a) * torch.tensor((1 - a) / (1 - b)).log()
    found = divergence(p, q, Labels(("x", "y")), torch.tensor([[1, 0]]))
    assert float(found) == pytest.approx(float(one), rel=1e-6)


def test_without_data_there_is_what_needs_none():
    found = {row.measurement.quantity for row in between(network(0).state_dict(), network(1).state_dict()).record()}
    assert found == {"|Δw|", "|Δw|/|w|"}


def test_a_dry_run_counts_what_is_run():
    question = Between([network(0).state_dict(), network(1).state_dict()], IRIS, MLP((8,)), aligned=True)
    assert units(question) == {"passes": 5, "Fisher informations": 1, "symmetries": 1}


def test_bad_input_gets_a_word():
    a, b = network(0).state_dict(), network(1).state_dict()
    for given, options, word in (
        ([a], {}, "1 checkpoints were given"),
        ([a, Learner(MLP((4,))).network(IRIS.shape, 3, 0).state_dict()], {}, "two architectures"),
        ([a, b], {"data": None, "aligned": True}, "name data"),
        ([a, b], {"prior": 0.0}, "prior is 0"),
        ([a, b], {"lora_scale": 2.0}, "is no LoRA adapter"),
        ([a, b], {"model": MLP((4,))}, "do not fit"),
    ):
        with pytest.raises(ValueError, match=word):
            ask(Between(given, **{"data": IRIS, "model": MLP((8,)), **options}))


class Grouped(nn.Module):
    """Units inside of a group norm keep their places, as it is not followed."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(4, 6), nn.GroupNorm(2, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.b(self.norm(self.a(x)).relu())


def test_what_could_not_be_aligned_is_told():
    one, other = Grouped().state_dict(), Grouped().state_dict()
    found = between(one, other, IRIS, model=Grouped, aligned=True, balanced=True)
    told = found.choices()["Symmetries"]
    assert "no units that may change places" in told
    assert "group_norm is not followed" in told


@pytest.mark.parametrize(("times", "flagged"), [(1.001, False), (20.0, True)])
def test_a_change_that_is_too_large_for_the_metric_is_flagged(times, flagged):
    """Twenty times as sure: by the Fisher information at the first 361 times a change, by the predictions some nats."""
    one = Learner(MLP((8,))).network(IRIS.shape, 3, 0).state_dict()
    found = between(one, {k: times * t for k, t in one.items()}, IRIS, model=MLP((8,)))
    whole = {row.measurement.quantity: row.measurement for row in found.record() if row.coordinates["layer"] is None}
    for name in ("½ΔwᵀFΔw", "change by noise"):
        assert (Status.NOT_QUADRATIC in whole[name].status) is flagged
    assert ("they lie far apart" in found.sentence()) is flagged
