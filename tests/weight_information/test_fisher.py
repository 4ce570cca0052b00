"""Structures of the Fisher information against its whole matrix, made of per-example Jacobians."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from infoscope import Store, Task, fisher
from infoscope.data.targets import Boxes, Classes, Real
from infoscope.observation.estimators import MonteCarlo, Sketch
from infoscope.observation.jacobians import jacobian
from infoscope.observation.likelihoods import POISSON
from infoscope.run.context import RunContext
from infoscope.weight_information.fisher import Fisher
from infoscope.weight_information.fisher_look import EKFAC, KFAC, FullMatrix, Leading


def task(n: int = 12, *shape: int) -> Task:
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(n, *(shape or (3,)), generator=draws)
    return Task.from_arrays(x, torch.arange(n) % 4, target=Classes(("a", "b", "c", "d")), as_is=True)


def network(*layers: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    made = nn.Sequential(*layers).double()
    for p in made.parameters():
        nn.init.normal_(p, std=0.5)
    return made


def mlp() -> nn.Module:
    return network(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4))


def conv() -> nn.Module:
    return network(nn.Conv2d(2, 3, 2), nn.GroupNorm(1, 3), nn.ReLU(), nn.Conv2d(3, 4, 2, groups=1, bias=False),
                   nn.Flatten())  # fmt: skip


def whole(net: nn.Module, x: Tensor) -> Tensor:
    """(1/n) Σ J_iᵀ H_i J_i, in the order of `named_parameters`."""
    j = jacobian(net, x)
    p = net(x.double()).detach().softmax(1)
    return torch.einsum("nap,nab,nbq->pq", j, torch.diag_embed(p) - p[:, :, None] * p[:, None], j) / len(x)


def in_blocks(found: Fisher, matrix: Tensor, net: nn.Module) -> list[Tensor]:
    """The matrix's own blocks, in the order of weights in each of the found blocks."""
    places, start = {}, 0
    for name, p in net.named_parameters():
        places[name] = torch.arange(start, start + p.numel()).view(p.shape)
        start += p.numel()
    order = [block.joined(places).flatten() for block in found.blocks]
    return [matrix[i][:, i] for i in order]


def expanded(found: Fisher) -> list[Tensor]:
    """Each block's curvature, of one example, as a matrix."""
    made = []
    for curvature in found.curvatures(1).values():
        axes = curvature.basis.back(torch.eye(len(curvature.h), dtype=torch.float64))
        made.append(axes.T @ (curvature.h[:, None] * axes))
    return made


def test_the_full_matrix_is_the_mean_of_per_example_ones():
    net, of = mlp(), task()
    found = fisher(net, of, structure=FullMatrix())
    truth = whole(net, of.x)
    order = torch.cat([block.joined({k: i.view(p.shape) for (k, p), i in zip(
        net.named_parameters(), torch.arange(len(truth)).split([p.numel() for p in net.parameters()]), strict=True)}
    ).flatten() for block in found.blocks])  # fmt: skip
    torch.testing.assert_close(found.matrix, truth[order][:, order], rtol=0, atol=1e-15)
    (block, curvature), = found.curvatures().items()  # fmt: skip
    assert float(curvature.h.sum()) == pytest.approx(12 * found.trace().value)
    assert sum(len(shape) for shape in block.shapes) == 6
    torch.testing.assert_close(found.diagonal.mean["0.bias"], truth.diagonal()[15:20], rtol=1e-12, atol=0)


@pytest.mark.parametrize("structure", [KFAC(), EKFAC()])
def test_a_side_too_wide_for_its_factor_has_its_axes_and_no_matrix_of_them(structure, monkeypatch):
    """The same with the identity written out; of 5 inputs, more than the 4 that are allowed here, no factor is kept."""
    net, of = mlp(), task()
    monkeypatch.setattr("infoscope.observation.kronecker.LARGEST", 4)
    found = fisher(net, of, structure=structure)
    assert any(side.ndim == 1 for f in found.factors for side in (f.rows, f.columns))
    for curvature, factors in zip(found.curvatures(1).values(), found.factors, strict=True):
        sides = [torch.diag(side) if side.ndim == 1 else side for side in (factors.rows, factors.columns)]
        for held, side in zip((curvature.basis.outputs, curvature.basis.inputs), sides, strict=True):
            assert held is None or held.shape == side.shape
        axes = curvature.basis.back(torch.eye(len(curvature.h), dtype=torch.float64))
        torch.testing.assert_close(curvature.basis.to(axes), torch.eye(len(axes), dtype=torch.float64))
        if structure == KFAC():
            matrix = axes.T @ (curvature.h[:, None] * axes)
            torch.testing.assert_close(matrix, torch.kron(*sides), rtol=0, atol=1e-13)
    traces = sum(float(curvature.h.sum()) for curvature in found.curvatures(1).values())
    if structure == EKFAC():
        assert traces == pytest.approx(found.trace().value)


def test_low_rank_is_the_best_one_where_the_rank_is_small():
    """12 examples of 3 columns: rank 36 at most, of 44 parameters."""
    net, of = mlp(), task()
    found = fisher(net, of, structure=Leading(36))
    full = fisher(net, of, structure=FullMatrix())
    assert found.values is not None
    torch.testing.assert_close(
        found.vectors @ torch.diag(found.values) @ found.vectors.T, full.matrix, rtol=0, atol=1e-13
    )
    few = fisher(net, of, structure=Leading(5))
    assert few.values.shape == (5,)
    torch.testing.assert_close(few.values[:2], found.values[:2], rtol=0.05, atol=0)


def test_kfac_is_exact_for_one_example_and_one_place():
    """One example and one column (two classes): a aᵀ ⊗ g gᵀ is the block itself."""
    net = network(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    of = Task.from_arrays(torch.randn(1, 3), torch.tensor([1]), target=Classes(("a", "b")), as_is=True)
    for structure in (KFAC(), EKFAC()):
        found = fisher(net, of, structure=structure)
        for got, truth in zip(expanded(found), in_blocks(found, whole(net, of.x), net), strict=True):
            torch.testing.assert_close(got, truth, rtol=0, atol=1e-14)


def test_kfac_is_the_product_of_two_means():
    net, of = mlp(), task()
    found = fisher(net, of, structure=KFAC())
    a = torch.cat([of.x.double(), torch.ones(12, 1)], 1)
    assert found.blocks[0].names == ("0.weight", "0.bias")
    torch.testing.assert_close(found.factors[0].columns, a.T @ a / 12)
    g = whole(net, of.x)[15:20, 15:20]  # that of the bias
    torch.testing.assert_close(found.factors[0].rows, g)


@pytest.mark.parametrize("make", [mlp, conv])
def test_ekfac_has_the_trace_and_is_nearer_than_kfac(make):
    """George et al. 2018: in any basis the diagonal of the matrix itself is the nearest one."""
    net, of = make(), task(12, *((3,) if make is mlp else (2, 3, 3)))
    truth = whole(net, of.x)
    off = {}
    for structure in (KFAC(), EKFAC()):
        found = fisher(net, of, structure=structure)
        pairs = list(zip(expanded(found), in_blocks(found, truth, net), strict=True))
        off[type(structure)] = sum(float((got - block).square().sum()) for got, block in pairs)
        assert sum(found.blocks[i].height * found.blocks[i].width for i in range(len(pairs))) == len(truth)
        if structure == EKFAC():
            for got, block in pairs:
                assert float(got.trace()) == pytest.approx(float(block.trace()), rel=1e-12)
    assert off[EKFAC] < off[KFAC]


def test_parts_are_the_diagonals_sums_and_their_errors_are_told():
    net, of = conv(), task(40, 2, 3, 3)
    found = fisher(net, of, estimator=Sketch(4), seed=3)
    layers = found.by_layer()
    assert list(layers) == ["0", "1", "3"]
    assert sum(m.value for m in layers.values()) == pytest.approx(found.trace().value)
    assert all(0 < m.stderr < m.value for m in layers.values())
    assert found.by_filter()["0.weight"].shape == (3,)
    torch.testing.assert_close(found.by_filter()["0.weight"], found.diagonal.mean["0.weight"].flatten(1).mean(1))
    receipt = found.trace().receipt
    assert (receipt.method, receipt.n, receipt.seeds, receipt.over) == (
        "Sketch(draws=4)",
        40,
        (3,),
        "examples and draws",
    )
    assert receipt.notes[:2] == ("dtype float64", "batch normalisation: none")
    assert [row.coordinates["layer"] for row in found.record()] == [None, "0", "1", "3"]


@pytest.mark.parametrize("structure", [KFAC(), EKFAC(), FullMatrix(), Leading(3)], ids=str)
def test_a_file_holds_it(structure, tmp_path):
    net, of = mlp(), task()
    found = fisher(net, of, structure=structure)
    found.save(tmp_path / "fisher.safetensors")
    again = Fisher.load(tmp_path / "fisher.safetensors")
    assert (again.facts, again.blocks, again.trace()) == (found.facts, found.blocks, found.trace())
    assert again.to_bytes() == found.to_bytes()
    if not isinstance(structure, Leading):
        for a, b in zip(again.curvatures().values(), found.curvatures().values(), strict=True):
            assert torch.equal(a.h, b.h)


def test_it_is_looked_at_once_and_the_network_stays_as_it_is(tmp_path, monkeypatch):
    net, of = mlp().train(), task()
    before, state = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_rng_state()
    context = RunContext(Store(tmp_path))
    first = fisher(net, of, estimator=Sketch(), context=context)
    assert fisher(net, of, estimator=Sketch(), seed=1, context=context).to_bytes() != first.to_bytes()
    monkeypatch.setattr("infoscope.weight_information.fisher_look.Differentiated", None)
    assert fisher(net, of, estimator=Sketch(), context=context).to_bytes() == first.to_bytes()
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(m.training and not m._forward_hooks for m in net.modules())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())


def test_any_likelihood_and_some_parameters_only():
    net = network(nn.Linear(3, 4))
    counts = Task.from_arrays(
        torch.randn(6, 3), torch.randint(0, 4, (6, 4)).double(), target=Real(1, 0, 4, 4), as_is=True
    )
    found = fisher(net, counts, likelihood=POISSON, names=("0.bias",))
    assert list(found.diagonal.mean) == ["0.bias"]
    rates = net(counts.x.double()).exp().mean(0)
    torch.testing.assert_close(found.diagonal.mean["0.bias"], rates.detach())


def test_bad_input_is_told():
    of = task()
    with pytest.raises(ValueError, match=r"weights of float16, .* give network.float\(\)"):
        fisher(mlp().half(), of)
    lost = mlp()
    lost[2].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite; check its weights"):
        fisher(lost, of)
    boxes = Task.from_arrays(torch.randn(2, 3), torch.zeros(2, 1, 5), target=Boxes(("a",)), as_is=True)
    with pytest.raises(ValueError, match="is no likelihood of what the network gives"):
        fisher(mlp(), boxes)
    with pytest.raises(ValueError, match=r"batch normalisation without running statistics"):
        fisher(network(nn.Unflatten(1, (3, 1)), nn.BatchNorm1d(3, track_running_stats=False), nn.Flatten(),
                       nn.Linear(3, 4)), of)  # fmt: skip
    with pytest.raises(ValueError, match=r"takes .* GiB; take EKFAC"):
        fisher(network(nn.Linear(3, 4000), nn.Linear(4000, 4)), of, structure=FullMatrix())
    with pytest.raises(ValueError, match="rank is 0; it is at least 1"):
        Leading(0)
    with pytest.raises(ValueError, match="draws is 0; it is at least 1"):
        MonteCarlo(0)
