from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from infoscope import Learner, Recipe, Select, Task, ask, fit
from infoscope.models import MLP
from infoscope.run.question import units
from infoscope.task_space.experts import Expert
from infoscope.task_space.probe import Probe
from infoscope.task_space.selection import against, chosen_errors, error_increase
from infoscope.task_space.transferability import h_score, leep, log_me

DIGITS = Task.from_dataset("digits")


def features(n: int = 40, d: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=draws, dtype=torch.float64)
    return x, (x[:, 0] + 0.7 * torch.randn(n, generator=draws, dtype=torch.float64) > 0).long()


def test_log_me_is_the_largest_evidence_of_a_dense_gaussian():
    """y ~ N(0, I/β + F Fᵀ/α), its density written out and searched over a grid of α and β."""
    x, y = features(16, 3)
    n, t = len(y), torch.stack([y == 0, y == 1]).double()
    eye, gram = torch.eye(n, dtype=torch.float64), x @ x.T
    largest = []
    for c in t:
        found = []
        for alpha in np.geomspace(0.3, 300, 31):
            for beta in np.geomspace(0.5, 50, 31):
                spread = torch.distributions.MultivariateNormal(torch.zeros(n).double(), eye / beta + gram / alpha)
                found.append(float(spread.log_prob(c)) / n)
        largest.append(max(found))
    found = log_me(x, y)
    assert found >= sum(largest) / 2 - 1e-9
    assert found == pytest.approx(sum(largest) / 2, abs=2e-3)


def test_leep_is_the_mean_of_the_formula():
    draws = torch.Generator().manual_seed(1)
    theta = torch.rand(30, 4, generator=draws).softmax(1)
    y = torch.randint(0, 3, (30,), generator=draws)
    total = 0.0
    for i in range(30):
        p = 0.0
        for z in range(4):
            joint = sum(float(theta[j, z]) for j in range(30) if y[j] == y[i])
            p += joint / sum(float(theta[j, z]) for j in range(30)) * float(theta[i, z])
        total += math.log(p)
    assert leep(theta, y) == pytest.approx(total / 30, abs=1e-6)


def test_h_score_is_the_trace_written_out_and_takes_any_basis():
    x, y = features()
    f = x - x.mean(0)
    between = sum(float((y == c).sum()) * torch.outer(m := f[y == c].mean(0), m) for c in (0, 1))
    assert h_score(x, y) == pytest.approx(float(torch.trace(torch.linalg.inv(f.T @ f) @ between)))
    turned = x @ torch.randn(5, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 3
    assert h_score(turned, y) == pytest.approx(h_score(x, y), rel=1e-6)
    assert h_score(torch.cat([x, x], 1), y) == pytest.approx(h_score(x, y), rel=1e-6)


def test_the_cost_of_a_rule():
    errors = np.array([[0.1, 0.3, np.nan], [0.4, 0.2, 0.2], [0.5, 0.5, 0.1]])
    assert chosen_errors(errors, None).tolist() == pytest.approx([0.2, 0.8 / 3, 1.1 / 3])
    perfect = chosen_errors(errors, errors)
    assert error_increase(errors, perfect).value == 0
    worst = chosen_errors(errors, -errors)
    assert error_increase(errors, worst).value == pytest.approx((1.2 - 0.4) / 0.4)
    assert chosen_errors(errors, np.array([[5.0, np.nan, 0.0]] * 3)).tolist() == [0.1, 0.2, 0.1]
    assert chosen_errors(errors, np.ones((3, 3))).tolist() == pytest.approx(chosen_errors(errors, None).tolist())
    assert against(errors, perfect, worst).value == pytest.approx(-2.0)


@pytest.fixture(scope="module")
def experts() -> list[Expert]:
    """One knows digits 5 to 9, the other was drawn and knows nothing."""
    learner = Learner(MLP((24,)), Recipe(epochs=12, patience=None))
    source = DIGITS["classes=5,6,7,8,9"][:500]
    knows = fit(learner, source, seed=0).weights
    drawn = {name: 0.05 * t for name, t in learner.network((1, 8, 8), 10, seed=7).state_dict().items()}
    drawn["fc1.weight"] = drawn["fc1.weight"] * (torch.arange(24) < 2)[:, None]  # two units alone are alive
    made = {"knows": knows, "drawn": drawn}
    return [Expert(name, Probe(name, learner.starting_from(w), 10, "here"), source, 500) for name, w in made.items()]


def test_the_expert_that_knows_is_chosen(experts):
    answer = ask(Select([DIGITS["classes=0,1,2"], DIGITS["classes=2,3,4"]], experts, examples=60))
    assert answer.ranked(answer.found[0].name)[0] == "knows"
    assert answer.shares[answer.found[0].name]["knows"] > 0.95
    assert answer.increase("free energy").value == 0
    assert answer.increase("chance").value > 0
    assert {"LEEP", "LogME", "H-score", "d_asym", "size", "largest source", "chance"} <= set(answer.rules)
    assert "knows" in answer.sentence()


def test_a_task_never_chooses_the_expert_that_was_trained_on_it(experts):
    task = DIGITS["classes=0,1,2"]
    others = [*experts, Expert("own", experts[0].network, task, 500)]
    answer = ask(Select([task], others, examples=60))
    assert "own" not in answer.ranked(task.name)
    assert np.isnan(answer.errors[0, 2])


def test_a_folder_with_its_list(experts, tmp_path):
    for one in experts:
        weights = {name: t.contiguous() for name, t in (one.network.learner.weights or {}).items()}
        save_file(weights, tmp_path / f"{one.name}.safetensors")
    rows = [{"weights": f"{one.name}.safetensors", "model": "mlp(widths=(24,))", "data": "digits"} for one in experts]
    (tmp_path / "experts.json").write_text(json.dumps(rows))
    answer = ask(Select([DIGITS["classes=0,1,2"]], str(tmp_path), examples=40, replicates=1))
    assert sorted(one.name for one in answer.experts) == ["drawn", "knows"]
    assert all(one.size == len(DIGITS) for one in answer.experts)
    (tmp_path / "knows.safetensors").unlink()
    with pytest.raises(ValueError, match="no such file"):
        units(Select([DIGITS["classes=0,1,2"]], str(tmp_path)))


def test_bad_input_gets_a_clear_word(experts, tmp_path):
    with pytest.raises(ValueError, match="two files of weights"):
        units(Select([DIGITS], str(tmp_path)))
    with pytest.raises(ValueError, match="one class only"):
        units(Select([DIGITS["classes=1"]], experts))
    with pytest.raises(ValueError, match="cannot read"):
        units(Select(["iris"], experts))
    with pytest.raises(ValueError, match="3 sources"):
        units(Select([DIGITS], experts, sources=["iris", "digits", "wine"]))


def test_networks_that_go_on_learning_are_one_more_rule(experts):
    answer = ask(Select([DIGITS["classes=0,1"]], experts, examples=12, replicates=1, choose=8))
    assert "choose" in answer.rules
    assert {name: len(curves[0]) for name, curves in answer.found[0].whole.items()} == {"knows": 8, "drawn": 8}


def test_examples_that_an_expert_was_trained_on_are_told(experts):
    """A part of what both were trained on is another task by its name, and still no new one."""
    seen = ask(Select([experts[0].source["classes=5,6"]], experts, examples=12, replicates=1))
    assert set(seen.overlaps.values()) == {1.0}
    assert "trained on before: 100%" in seen.choices()["Overlap"]
    new = ask(Select([DIGITS["classes=0,1"]], experts, examples=12, replicates=1))
    assert not new.overlaps
    assert "Overlap" not in new.choices()
