"""What a method learns is a look: with a store it is learned once."""

from __future__ import annotations

import numpy as np
import pytest

from infoscope.mi import (
    MINE,
    NWJ,
    SMILE,
    CopulaCritic,
    Critic,
    InfoNCE,
    Largest,
    Probe,
    extrapolated,
    layer_information,
    mutual_information,
)
from infoscope.mi.estimators import probe
from infoscope.mi.numerics import critic
from infoscope.run import Store
from infoscope.training.recipe import Adam, Recipe

RECIPE = Recipe(Adam(3e-3), batch=64, epochs=3, patience=2)
QUICK = Critic((16,), 8, RECIPE)
NEURAL = [
    MINE(QUICK),
    NWJ(QUICK),
    InfoNCE(QUICK),
    SMILE(0.05, QUICK),
    CopulaCritic(QUICK),
    Largest(critic=CopulaCritic(QUICK)),
]


@pytest.fixture
def trainings(monkeypatch):
    """One entry a training."""
    done: list[str] = []
    for module in (critic, probe):
        fit = module.fit
        monkeypatch.setattr(module, "fit", lambda *a, fit=fit, **k: (done.append(fit.__name__), fit(*a, **k))[1])
    return done


def pair(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    r = np.random.default_rng(0)
    x = r.normal(size=(n, 1))
    return x, x + r.normal(size=(n, 1))


@pytest.mark.parametrize("method", NEURAL, ids=lambda m: type(m).__name__)
def test_a_critic_trains_once_a_store_and_says_what_it_says_without(method, trainings):
    store, (x, y) = Store(None), pair()
    first, again = (mutual_information(x, y, method, store=store, strict=False) for _ in range(2))
    assert len(trainings) == 1
    assert first == again == mutual_information(x, y, method, strict=False)
    assert len(trainings) == 2


def test_the_bounds_share_one_critic(trainings):
    store, (x, y) = Store(None), pair()
    values = [mutual_information(x, y, method, store=store, strict=False).value for method in NEURAL[:4]]
    assert len(trainings) == 1
    assert len(set(values)) == 4


def test_other_data_another_seed_or_another_recipe_is_another_training(trainings):
    store, (x, y) = Store(None), pair()
    longer = MINE(Critic((16,), 8, Recipe(Adam(3e-3), batch=64, epochs=4, patience=2)))
    for a, method, seed in ((x, NEURAL[0], 0), (x[::-1], NEURAL[0], 0), (x, NEURAL[0], 1), (x, longer, 0)):
        mutual_information(a, y, method, seed=seed, store=store, strict=False)
    assert len(trainings) == 4


def test_a_layer_s_probe_its_shufflings_and_a_store_on_disk(trainings, tmp_path):
    x, _ = pair()
    y = (x[:, 0] > 0).astype(int)
    found = [layer_information(x, y, Probe(recipe=RECIPE), null=3, store=Store(tmp_path)) for _ in range(2)]
    assert len(trainings) == 4
    assert found[0].t_y == found[1].t_y


def test_extrapolation_goes_on_from_its_store(trainings):
    store, (x, y) = Store(None), pair(300)
    values = [extrapolated(x, y, NEURAL[0], parts=(1, 2), store=store).value for _ in range(2)]
    assert len(trainings) == 4  # the whole, in two orders, and its halves
    assert values[0] == values[1]
