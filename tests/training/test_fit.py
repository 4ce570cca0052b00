from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import infoscope
from infoscope.data.corruption import Massart
from infoscope.data.task import Task
from infoscope.models import MLP
from infoscope.run import Store
from infoscope.run.look import Look, look
from infoscope.training.fit import Moment, Trained, fit, overfit
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, load_weights
from infoscope.training.predict import probabilities
from infoscope.training.recipe import SGD, Adam, Cosine, Recipe, Steps


@pytest.fixture(scope="module")
def digits() -> Task:
    return Task.from_dataset("digits").shuffled(0)


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def test_fit_equals_a_plain_loop_step_by_step(digits):
    recipe = Recipe(SGD(lr=0.1), batch=32, epochs=2, patience=None)
    trained = fit(Learner(linear, recipe), digits[:100], seed=5)
    with isolated(5):
        network = linear()
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9)
    draws = torch.Generator().manual_seed(5)
    for _ in range(2):
        for rows in torch.randperm(100, generator=draws).split(32):
            loss = nn.functional.cross_entropy(network(digits.x[rows]), digits.y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for name, value in network.state_dict().items():
        assert torch.equal(trained.weights[name], value), name


def test_early_stopping_gives_back_the_best_weights(digits):
    learner = Learner(MLP((64,)), Recipe(epochs=200, patience=3))
    trained = fit(learner, digits[:150], digits[200:300])
    assert trained.converged
    assert trained.epochs < 200
    best = min(trained.validation_losses)
    network = learner.starting_from(trained.weights).network(digits.shape, 10, 0)
    p = probabilities(network, digits[200:300].x)
    assert -p[range(100), digits[200:300].y].log().mean() == pytest.approx(best, abs=1e-5)


def test_a_held_out_loss_that_rises_is_overfitting_unless_training_stops_early(digits):
    train, validation = digits[:60].corrupted(Massart(0.5)), digits[200:300]
    recipe = Recipe(Adam(0.01), batch=20, epochs=40, patience=None)
    learner, short = Learner(MLP((64,)), recipe), replace(recipe, epochs=2)
    late = fit(learner, train, validation)
    assert late.losses[-1] < 0.5 * late.losses[3]
    assert late.validation_losses[-1] > 1.3 * min(late.validation_losses)
    assert len(late.validation_losses) == late.epochs == 40
    assert overfit(late, recipe)
    assert not overfit(fit(Learner(MLP((64,)), short), train, validation), short)
    assert not overfit(fit(learner, train), recipe)  # nobody looked
    stopped = fit(Learner(MLP((64,)), replace(recipe, patience=3)), train, validation)
    assert stopped.validation_losses == late.validation_losses[: stopped.epochs]
    assert not overfit(stopped, replace(recipe, patience=3))


def test_looking_at_the_held_out_loss_changes_no_bit(digits):
    learner = Learner(dropout_net, Recipe(epochs=3, patience=None))
    seen, alone = fit(learner, digits[:100], digits[100:150]), fit(learner, digits[:100])
    assert seen.losses == alone.losses
    assert seen.converged == alone.converged
    assert all(torch.equal(seen.weights[name], w) for name, w in alone.weights.items())


def test_training_leaves_the_caller_s_state_alone(digits):
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    fit(Learner(dropout_net, Recipe(epochs=1)), digits[:64])
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def dropout_net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Dropout(0.5), nn.Linear(32, 10))


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(digits):
    learner = Learner(dropout_net, Recipe(epochs=2))
    a, b, c = (fit(learner, digits[:65], seed=s) for s in (1, 1, 2))
    assert all(torch.equal(a.weights[k], b.weights[k]) for k in a.weights)
    assert not all(torch.equal(a.weights[k], c.weights[k]) for k in a.weights)


def test_observers_see_every_step(digits):
    seen: list[Moment] = []

    class Watch:
        def observe(self, moment: Moment) -> None:
            seen.append(moment)

    fit(Learner(linear, Recipe(batch=50, epochs=3, patience=None)), digits[:120], observers=[Watch()])
    assert [(m.step, m.epoch, m.end_of_epoch) for m in seen] == [(i + 1, i // 3, i % 3 == 2) for i in range(9)]


def test_decay_and_schedules():
    assert Cosine()(0) == 1
    assert Cosine()(1) == pytest.approx(0)
    assert [Steps()(f) for f in (0, 0.5, 0.9)] == pytest.approx([1, 0.1, 0.01])


def test_a_diverging_training_says_so(digits):
    with pytest.raises(ValueError, match="lower the learning rate"):
        fit(Learner(linear, Recipe(SGD(lr=1e38), epochs=5)), digits[:100])


def test_a_network_of_the_wrong_shape_says_so(digits):
    with pytest.raises(ValueError, match="it must give logits of shape"):
        fit(Learner(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 7))), digits[:10])


def test_weights_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"lacks 1\.weight"):
        load_weights(linear(), {"1.bias": torch.zeros(10)})
    with pytest.raises(ValueError, match=r"another shape for 1\.bias"):
        load_weights(linear(), {"1.weight": torch.zeros(10, 64), "1.bias": torch.zeros(11)})


def test_a_trained_network_survives_its_bytes(digits):
    trained = fit(Learner(dropout_net, Recipe(epochs=2)), digits[:64], digits[64:90])
    back = Trained.from_bytes(trained.to_bytes())
    assert (back.losses, back.validation_losses, back.converged) == (
        trained.losses, trained.validation_losses, trained.converged,
    )  # fmt: skip
    for mine, theirs in ((trained.weights, back.weights), (trained.initial, back.initial)):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[k], theirs[k]) for k in mine)


def count_and_fit(task: Task, learner: Learner, log: str) -> Trained:
    with open(log, "a") as file:
        file.write("x")
    return fit(learner, task)


def test_a_look_is_paid_for_once(digits, tmp_path):
    learner, log = Learner(MLP((8,)), Recipe(Adam(), epochs=1)), str(tmp_path / "log")
    looks = [Look(count_and_fit, (digits[:50], learner, log), Trained)] * 2
    for _ in range(2):
        first, second = look(looks, Store(tmp_path))
        assert all(torch.equal(first.weights[k], second.weights[k]) for k in first.weights)
    assert (tmp_path / "log").read_text() == "x"


def test_a_lambda_is_looked_at_here_and_said_not_to_be_kept(digits):
    learner = Learner(lambda: linear(), Recipe(epochs=1))
    with pytest.warns(UserWarning, match="not kept for a later run"):
        (trained,) = look([Look(fit, (learner, digits[:20]), Trained, label="training")])
    assert trained.epochs == 1


def test_probabilities_in_the_place_of_logits_are_refused():
    learner = Learner(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1)), Recipe(epochs=1))
    with pytest.raises(ValueError, match="leave the softmax out"):
        fit(learner, Task.from_dataset("digits")[:50])


def test_a_lambda_is_named_once_however_many_stages_it_goes_through(digits):
    learner = Learner(lambda: linear(), Recipe(epochs=1))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for n in (20, 30, 40):
            look([Look(fit, (learner, digits[:n]), Trained, label=f"training on {n}")])
    assert [str(one.message) for one in told] == [
        "what is computed is not kept for a later run: it rests on a lambda; define it at the top of a module, or use "
        "functools.partial of one that is"
    ]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_network_of_another_type_is_told_in_one_line(digits, dtype):
    learner = Learner(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).to(dtype), Recipe(epochs=1))
    with pytest.raises(ValueError, match=r"has weights of b?float\d+ and is given float32; make the network float32"):
        fit(learner, digits[:50])


def test_a_network_that_changes_the_type_itself_is_taken(digits):
    class Doubles(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(64, 10).double()

        def forward(self, x):
            return self.linear(x.flatten(1).double())

    assert fit(Learner(Doubles, Recipe(epochs=1)), digits[:50]).epochs == 1


@pytest.mark.parametrize(("task", "validation"), [(slice(0, 20), slice(0, 0)), (slice(0, 0), None)])
def test_nothing_to_train_with_is_refused(digits, task, validation):
    with pytest.raises(ValueError, match="has no examples to train with"):
        fit(Learner(linear, Recipe(epochs=1)), digits[task], None if validation is None else digits[validation])


def one_output():
    return nn.Linear(4, 1)


def test_one_output_for_two_classes_is_refused_where_networks_train_together():
    task = Task.from_arrays(np.random.default_rng(0).random((60, 4)), np.arange(60) % 2)
    with pytest.raises(ValueError, match=r"it must give logits of shape \(2, 2\)"):
        infoscope.information(task, one_output, replicates=1)
