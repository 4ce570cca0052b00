from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from torch import nn

from infoscope import Embed, Learner, Real, Recipe, Task, TaskSpace, ask, embed, fit, task_space
from infoscope.data.targets import Classes
from infoscope.models import MLP, CifarResNet, SmallCNN
from infoscope.observation.estimators import Exact, Sketch
from infoscope.run.question import cost, units
from infoscope.task_space.distance import symmetric
from infoscope.task_space.embeddings import Embeddings, joined
from infoscope.task_space.filter_noise import FilterNoise
from infoscope.task_space.head import fit_head
from infoscope.task_space.probe import Probe, features_of, probe_of
from infoscope.task_space.task2vec import embed_task

DIGITS = Task.from_dataset("digits")
FEW = DIGITS["classes=0,1,2,3"][:60]


def line() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 1))


def linear_task(n: int = 200) -> tuple[Task, Probe]:
    """Numbers that a linear body of two filters and a linear head are asked for."""
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(n, 3, generator=draws) * torch.tensor([1.0, 2.0, 0.5])
    y = (x @ torch.tensor([1.0, 0.5, 2.0])).double()[:, None] + torch.randn(n, 1, generator=draws).double()
    target = Real(1e-3, -50.0, 50.0, centre=0.0, scale=1.0)
    task = Task.from_arrays(x, y, target=target, as_is=True, name="line")
    weights = {"0.weight": torch.tensor([[1.0, 0.2, 0.1], [0.1, 0.3, -1.0]]), "1.weight": torch.ones(1, 2)}
    return task, Probe("line", Learner(line, weights=weights | {"1.bias": torch.zeros(1)}), 1, "by hand")


def small_resnet() -> Probe:
    """A network with batch normalisation whose statistics are none of a batch's."""
    learner = Learner(CifarResNet(8))
    weights = learner.network((1, 8, 8), 10, seed=0).state_dict()
    draws = torch.Generator().manual_seed(0)
    moved = {
        name: t + 0.1 * torch.rand(t.shape, generator=draws) if name.endswith(("running_mean", "running_var")) else t
        for name, t in weights.items()
    }
    return Probe("resnet8", learner.starting_from(moved), 10, "drawn")


def head_of(task: Task, probe: Probe) -> torch.Tensor:
    return fit_head(features_of(probe.body(task), task.x), task.y, task.target).weight


def test_a_linear_probe_has_its_closed_form():
    """y = V W x under squared error: F of w_kj is V_k² E x_j², and a filter's mean V_k² E |x|²/3."""
    task, probe = linear_task()
    found = embed_task(task, probe, Exact(), 0)
    expected = head_of(task, probe)[0].square() * task.array.double().square().mean()
    assert torch.allclose(found.values, expected, rtol=1e-5)
    assert found.layers == {"0.weight": 2}
    assert found.scale.tolist() == pytest.approx([2.15 / 6] * 2)


def test_trained_noise_finds_the_optimum_of_a_quadratic_loss():
    """Λ⁻¹ = n F/β + 1/λ² is exact where the loss is a parabola: (β/n) Λ⁻¹ is F with the trivial task as its floor."""
    task, probe = linear_task()
    noise = FilterNoise(steps=600, beta=5.0)
    found = embed_task(task, probe, noise, 0)
    exact = embed_task(task, probe, Exact(), 0)
    expected = exact.values + 5.0 * exact.trivial
    assert (found.values / expected).log().abs().max() < 0.1
    assert expected.max() / expected.min() > 1.5


def test_the_sketch_is_close_to_the_exact_embedding_in_a_network_with_batch_norm():
    probe, task = small_resnet(), DIGITS["classes=0,1,2"][:40]
    exact = embed_task(task, probe, Exact(), 0).values
    drawn = torch.stack([embed_task(task, probe, Sketch(), seed).values for seed in range(8)])
    assert (drawn.mean(0) - exact).square().sum() < 3 * (drawn.var(0) / 8).sum()
    single = symmetric(drawn, exact).mean()
    assert symmetric(drawn.mean(0), exact) < 0.3 * single


def test_nothing_is_mutated():
    probe = small_resnet()
    assert probe.learner.weights is not None
    before = {name: t.clone() for name, t in probe.learner.weights.items()}
    state = torch.get_rng_state()
    embed_task(FEW, probe, Sketch(), 0)
    embed_task(FEW, probe, FilterNoise(steps=4), 0)
    assert all(torch.equal(t, probe.learner.weights[name]) for name, t in before.items())
    assert torch.equal(state, torch.get_rng_state())


def test_names_of_classes_and_absent_ones_do_not_matter():
    probe = small_resnet()
    renamed = Task.from_arrays(FEW.array, 3 - FEW.labels, target=Classes(("d", "c", "b", "a", "absent")), as_is=True)
    a, b = (embed_task(task, probe, Exact(), 0).values for task in (FEW, renamed))
    assert torch.allclose(a, b, rtol=1e-4)


def test_labels_matter_where_the_inputs_are_the_same():
    """Different tasks on the same inputs: parity and size of a digit lie farther apart than parts of one of them."""
    learner = Learner(SmallCNN((8, 16, 32), 32), Recipe(epochs=5))
    probe = learner.starting_from(fit(learner, DIGITS[:600], seed=0).weights)
    tasks = [
        dataclasses.replace(Task.from_arrays(DIGITS.array, labels, as_is=True), name=name)
        for name, labels in (("parity", DIGITS.labels % 2), ("size", (DIGITS.labels > 4).long()))
    ]
    found = task_space(embed(*tasks, probe=probe, examples=800, length=False)).symmetric
    assert found.values[0, 1] > 2 * found.itself.max()


def test_the_head_is_the_most_probable_one():
    """At the optimum the gradient of Σ −log p + |W|²/2 is 0, here taken by hand."""
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    head = fit_head(3 + 10 * x, y, Classes(("a", "b")))
    p = head(3 + 10 * x).softmax(1)
    centred = x.double() - x.double().mean(0)
    scale = float(centred.square().mean().sqrt())
    inner = 4 * head.weight * 10 * scale
    slope = (p - nn.functional.one_hot(y, 2)).T @ (centred / scale) + inner
    assert slope.abs().max() < 1e-3
    assert head.converged


def plain(scale: float) -> Learner:
    learner = Learner(MLP((8,)))
    weights = learner.network((1, 8, 8), 10, seed=0).state_dict()
    return learner.starting_from({name: scale * t for name, t in weights.items()})


@pytest.fixture(scope="module")
def three() -> Embeddings:
    names = ("classes=0,1", "classes=0,2", "classes=8,9")
    return embed(*(DIGITS[name] for name in names), probe=plain(1.0), examples=30)


def test_files_come_back_and_other_settings_are_refused(three, tmp_path):
    three.save(tmp_path)
    back = Embeddings.load(tmp_path)
    assert torch.equal(back.values, three.values)
    assert (back.hash, back.tasks, back.layers) == (three.hash, three.tasks, three.layers)
    assert len(joined([back, three]).names) == len(set(joined([back, three]).names)) == 6
    for other in ({"examples": 20}, {"draws": 2}):
        found = embed(DIGITS["classes=4,5"], probe=plain(1.0), length=False, **({"examples": 30} | other))
        with pytest.raises(ValueError, match="cannot be compared"):
            joined([three, found])
    changed = embed(DIGITS["classes=4,5"], probe=plain(1.001), examples=30, length=False)
    with pytest.raises(ValueError, match="weights of the probe"):
        joined([three, changed])


def test_damaged_files_get_a_clear_word(three, tmp_path):
    with pytest.raises(ValueError, match="infoscope embed"):
        Embeddings.load(tmp_path)
    three.save(tmp_path)
    facts = json.loads((tmp_path / "embeddings.json").read_text())
    (tmp_path / "embeddings.json").write_text(json.dumps(facts | {"tasks": facts["tasks"][:2]}))
    with pytest.raises(ValueError, match="two runs"):
        Embeddings.load(tmp_path)


def test_an_answer_draws_tree_and_maps(three):
    answer = task_space(three)
    titles = [figure.title for figure in answer.figures()]
    assert any("tree" in title for title in titles)
    assert any("classical" in title for title in titles)
    quantities = {row.measurement.quantity for row in answer.record()}
    assert {"d_sym", "d_sym - d_self", "d_asym", "1 - cos", "d_self"} <= quantities


def test_bad_input_gets_a_clear_word_before_anything_runs(tmp_path):
    probe = small_resnet().learner
    colour = Task.from_arrays(torch.rand(20, 3, 8, 8), [0, 1] * 10, name="colour")
    with pytest.raises(ValueError, match=r"channels and size"):
        units(Embed([colour], probe))
    with pytest.raises(ValueError, match="one class only"):
        units(Embed([DIGITS["classes=3"]], probe))
    with pytest.raises(ValueError, match="differ in shape"):
        units(Embed([FEW, Task.from_dataset("iris")]))
    bare = Learner(MLP(()))
    bare = bare.starting_from(bare.network((1, 8, 8), 10, 0).state_dict())
    with pytest.raises(ValueError, match="no layer but its head"):
        units(Embed([FEW], bare))
    with pytest.raises(ValueError, match="no such file"):
        units(Embed([FEW], f"resnet20={tmp_path / 'nothing.pt'}"))
    with pytest.raises(ValueError, match="one embedded task"):
        ask(TaskSpace(embed(FEW, probe=probe, examples=20, length=False)))


def test_a_file_alone_is_recognised(tmp_path):
    from safetensors.torch import save_file

    weights = Learner(CifarResNet(20)).network((1, 8, 8), 5, 0).state_dict()
    save_file(dict(weights), tmp_path / "mine.safetensors")
    found = probe_of(str(tmp_path / "mine.safetensors"), [FEW])
    assert found is not None
    assert (found.outputs, found.name) == (5, "resnet20=mine.safetensors")


def test_tables_of_classes_and_of_numbers_go_through_one_mlp():
    """Wine's three kinds, one kind against the rest, and one column foretold from the others' table."""
    wine = Task.from_dataset("wine")
    x = (wine.array - wine.array.mean(0)) / wine.array.std(0)
    kinds = Task.from_arrays(x, wine.labels, name="kinds", as_is=True)
    first = Task.from_arrays(x, (wine.labels == 0).long(), name="first", as_is=True)
    amount = Task.from_arrays(x, x[:, 12:].double(), target=Real, name="amount", as_is=True)
    learner = Learner(MLP((16,)), Recipe(epochs=10, patience=None))
    probe = learner.starting_from(fit(learner, kinds, seed=0).weights)
    found = embed(kinds, first, amount, probe=probe, estimate="exact")
    assert found.values.shape == (3, 2, 16)
    near = task_space(found).near
    assert near[0, 1] < near[0, 2]  # two classifications of one another are nearer than a regression
    assert all(one.length is not None for one in found.tasks)


def test_texts_are_read_as_hashed_words_by_an_mlp_and_refused_by_convolutions(tmp_path):
    rows = [f"{word} film number {i},{word}" for i in range(20) for word in ("good", "bad")]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *rows]))
    texts = Task.from_dataset(str(tmp_path / "reviews.csv"))
    found = embed(texts, probe=MLP((8,)), epochs=2)
    assert found.values.shape == (1, 2, 8)
    assert bool((found.values.sum(2) > 0).all())
    with pytest.raises(ValueError, match="cannot read 'reviews'"):
        units(Embed([texts], small_resnet().learner))


@pytest.mark.parametrize("estimate", ["sketch", "variational"])
def test_a_dry_run_counts_the_time_of_what_it_counts(estimate):
    question = Embed(
        [DIGITS["classes=0,1"], DIGITS["classes=2,3"]], small_resnet(), estimate=estimate, examples=30, steps=4
    )
    one = cost(question)
    assert dict(one.units) == {"embeddings": 4, "codes": 4}
    more = cost(dataclasses.replace(question, replicates=4))
    assert 0 < one.seconds < more.seconds
