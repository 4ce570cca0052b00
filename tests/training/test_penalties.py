from __future__ import annotations

import pytest
import torch
from torch import nn

from infoscope.data.combine import union
from infoscope.data.task import Task
from infoscope.ensembles.ensemble import ensemble
from infoscope.ensembles.population import Member
from infoscope.models import MLP
from infoscope.run import key
from infoscope.training.fit import fit
from infoscope.training.learner import Learner
from infoscope.training.path_integral import PathIntegral
from infoscope.training.penalties import Anchored, Distilled, Memory, Rehearsed, Together
from infoscope.training.recipe import SGD, Penalty, Recipe

A, B = Task.from_dataset("digits")[:60], Task.from_dataset("digits")[60:120]


def recipe(lr: float = 0.1, penalty: Penalty | None = None, epochs: int = 5) -> Recipe:
    """Plain gradient descent on whole sets."""
    return Recipe(SGD(lr, momentum=0.0), batch=60, epochs=epochs, patience=None, penalty=penalty)


def learner(lr: float = 0.1, penalty: Penalty | None = None, epochs: int = 5) -> Learner:
    return Learner(MLP((16,)), recipe(lr, penalty, epochs))


def far(one, other) -> float:
    """The largest change of a weight."""
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def constant(weights, value: float) -> dict:
    return {name: torch.full_like(t, value) for name, t in weights.items()}


def test_rehearsal_of_everything_is_joint_training():
    """Both losses summed: gradient descent on all examples, whose mean is half of that sum, at twice the rate."""
    all_of_a = Rehearsed((Memory(A, A.target.loss),), batch=60)
    joint = Learner(MLP((16,)), Recipe(SGD(0.2, momentum=0.0), batch=120, epochs=5, patience=None))
    rehearsed, together = fit(learner(0.1, all_of_a), B), fit(joint, union(A, B))
    assert far(rehearsed.weights, together.weights) < 1e-6
    assert far(rehearsed.weights, fit(learner(), B).weights) > 1e-3


def test_anchors_of_no_importance_change_nothing_and_great_ones_keep_everything():
    begun = fit(learner(), A)
    plain, free, held = (
        fit(learner(0.1, penalty).starting_from(begun.weights), B).weights
        for penalty in (
            None,
            Anchored(begun.weights, constant(begun.weights, 0.0)),
            Anchored(begun.weights, constant(begun.weights, 10.0)),
        )
    )
    assert far(free, plain) == 0
    assert far(plain, begun.weights) > 1e-2
    # the pull at θ* + δ is 10 δ, taken 0.1 times: what is left is the last of five steps
    assert far(held, begun.weights) < 0.3 * far(plain, begun.weights)


def test_anchors_hold_the_weights_that_matter_and_no_others():
    begun = fit(learner(), A)
    importance = constant(begun.weights, 0.0) | {"fc1.weight": torch.full_like(begun.weights["fc1.weight"], 9.0)}
    moved = fit(learner(0.1, Anchored(begun.weights, importance)).starting_from(begun.weights), B).weights
    plain = fit(learner().starting_from(begun.weights), B).weights
    own = {name: far({name: moved[name]}, {name: begun.weights[name]}) for name in begun.weights}
    free = {name: far({name: plain[name]}, {name: begun.weights[name]}) for name in begun.weights}
    assert own["fc1.weight"] < 0.5 * free["fc1.weight"]
    assert own["fc2.weight"] > 0.8 * free["fc2.weight"]


def test_anchors_of_another_network_are_refused():
    other = MLP((8,))((64,), 10).state_dict()
    with pytest.raises(ValueError, match=r"not of Sequential, which has no fc1\.weight of such a shape"):
        fit(learner(0.1, Anchored(other, constant(other, 1.0))), B)


def test_distillation_is_nothing_at_first_and_keeps_what_was_said():
    network = MLP((16,))((64,), 10)
    term = Distilled(((0, 5), (5, 10))).begin(network, 0)
    nothing = term(B.x, network(B.x))
    assert abs(float(nothing.detach())) < 1e-6
    nothing.backward()
    assert all(float(p.grad.abs().max()) < 1e-6 for p in network.parameters())
    with torch.no_grad():
        network.fc2.bias[0] += 1.0  # pyright: ignore[reportAttributeAccessIssue]
    changed = term(B.x, network(B.x))
    assert float(changed.detach()) > 0.01
    only_the_other = Distilled(((5, 10),)).begin(network, 0)
    with torch.no_grad():
        network.fc2.bias[0] += 1.0  # pyright: ignore[reportAttributeAccessIssue]
    assert abs(float(only_the_other(B.x, network(B.x)).detach())) < 1e-6


def test_a_distilled_network_says_the_more_what_it_said_the_stronger():
    begun = fit(learner(epochs=20), A)

    def said(penalty):
        weights = fit(learner(0.1, penalty, 20).starting_from(begun.weights), B).weights
        network = learner().starting_from(weights).network((64,), 10, 0)
        return nn.functional.log_softmax(network(B.x), 1)

    teacher = learner().starting_from(begun.weights).network((64,), 10, 0)
    was = nn.functional.log_softmax(teacher(B.x), 1)
    away = [
        float((said(p) - was).detach().abs().mean())
        for p in (None, Distilled(((0, 10),), 1.0), Distilled(((0, 10),), 5.0))
    ]
    assert away[0] > away[1] > away[2]


@pytest.mark.parametrize("anchored", [False, True])
def test_a_path_integral_adds_up_to_how_far_the_loss_fell(anchored):
    """With small steps Σ_j w_j = L(start) − L(end), of the loss alone also where a penalty turns the way."""
    begun = fit(learner(), A)
    anchors = (Anchored(begun.weights, constant(begun.weights, 1.0)),) if anchored else ()
    way = learner(0.002, Together(anchors) if anchored else None, epochs=100).starting_from(begun.weights)
    path = PathIntegral(begun.weights, anchors)
    trained = fit(way, B, observers=[path])
    fell = trained.losses[0] - fit(learner(0.002, epochs=1).starting_from(trained.weights), B).losses[0]
    assert sum(float(w.sum()) for w in path.sums.values()) == pytest.approx(fell, rel=0.03)


def test_importance_is_what_a_weight_did_over_how_far_it_went():
    start = {"weight": torch.zeros(1, 2), "bias": torch.zeros(1)}
    path = PathIntegral(start)
    path.sums = {"weight": torch.tensor([[1.0, -1.0]])}
    path.before = {"weight": torch.tensor([[2.0, 0.0]])}
    assert path.importance(0.5)["weight"].tolist() == [[pytest.approx(1 / 4.5), 0.0]]


def test_a_penalty_is_in_the_key_and_keeps_networks_from_being_stacked():
    begun = fit(learner(), A).weights
    weak, strong = (recipe(0.1, Anchored(begun, constant(begun, value))) for value in (1.0, 2.0))
    assert len({key(recipe()), key(weak), key(strong)}) == 3
    penalised = Learner(MLP((16,)), strong).starting_from(begun)
    population = ensemble([Member(penalised, B, seed) for seed in (0, 1)])
    assert [way.name for way in population.ways] == ["loop"]
    assert far(population.member(1), fit(penalised, B, seed=1).weights) == 0
