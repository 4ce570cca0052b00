"""What pretrained weights know of a task, where the truth is known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import infoscope
from infoscope.data.combine import union
from infoscope.data.targets import Tokens
from infoscope.data.task import Task
from infoscope.measurement import Status
from infoscope.model_information.starts import candidates
from infoscope.model_information.transfer.question import Transfer, TransferAnswer
from infoscope.models import MLP, model
from infoscope.prequential.replay import Replay
from infoscope.run.question import ask
from infoscope.training.fit import fit
from infoscope.training.learner import Learner, copy_weights
from infoscope.training.recipe import Adam, Recipe

DIGITS = Task.from_dataset("digits")
QUICK = Replay(replays=2, start=256)
NETWORK = Learner(MLP((32,)), Recipe(epochs=60))


def asked(data, *networks, **options) -> TransferAnswer:
    return ask(Transfer(data, networks, **{"coder": QUICK, "k": 150, "replicates": 2, **options}))


def bits(answer: TransferAnswer) -> dict[str, float]:
    return {one.head: one.transferred.bits for one in answer.found}


def renamed(task: Task) -> Task:
    return Task.from_arrays(task.array, (task.labels + 3) % 10, alphabet=DIGITS.alphabet, name="renamed")


def test_newly_drawn_weights_bring_nothing_to_the_last_bit():
    """Those of the seed itself, under every head."""
    drawn = copy_weights(NETWORK.network(DIGITS.shape, 10, 0))
    answer = asked(DIGITS, NETWORK.starting_from(drawn), replicates=1, k=40, head=("kept", "new", "closed-form"))
    assert bits(answer) == {"kept": 0.0, "new": 0.0, "closed-form": 0.0}


def test_what_was_learned_elsewhere_is_told_by_the_body_whatever_the_classes_are_called():
    trained = fit(NETWORK, DIGITS[:900], DIGITS[900:1000]).weights
    new = DIGITS[1000:]
    options = {"head": ("kept", "closed-form"), "k": 100}
    same = asked(new, NETWORK.starting_from(trained), trained_on=DIGITS[:1000], **options)
    other = asked(renamed(new), NETWORK.starting_from(trained), **options)
    assert bits(same)["kept"] > bits(same)["closed-form"] > 20
    assert bits(other)["closed-form"] == pytest.approx(bits(same)["closed-form"], rel=0.05)
    assert bits(other)["kept"] < bits(same)["kept"] - 10
    assert all(not one.transferred.status for one in same.found)
    assert all(one.transferred.status == {Status.UNVERIFIED_SPLIT} for one in other.found)


def test_both_terms_are_told_and_paired():
    answer = asked(DIGITS[1000:], source=DIGITS[:400], model=NETWORK, head=("kept",), k=60, epochs=5)
    transferred, initial, trained = (row.measurement for row in answer.record())
    for seed in (0, 1):
        assert transferred.replicates[seed] == pytest.approx(initial.replicates[seed] - trained.replicates[seed])
    assert "head kept" in transferred.receipt.notes
    assert "trained on 360 of digits" in transferred.receipt.notes
    assert " ± " in answer.sentence()
    assert infoscope.explain("L_IT").startswith("L_IT: information transfer")


def test_examples_of_the_source_are_not_coded():
    mixed = union(DIGITS[:100], DIGITS[1000:1100])
    with pytest.raises(
        ValueError, match="100 examples of 'digits\\+digits' are also in 'digits', which was trained on"
    ):
        asked(mixed, source=DIGITS[:400], model=NETWORK, head=("kept",))


class Next(nn.Module):
    """A causal table: what comes next by this token alone."""

    def __init__(self, shape, vocabulary):
        super().__init__()
        self.table = nn.Embedding(vocabulary, vocabulary)
        nn.init.zeros_(self.table.weight)

    def forward(self, x):
        return self.table(x)


def text(tokens: range, seed: int, n: int = 60) -> Task:
    """Each token is one or two above the one before, round and round: a bit a token."""
    moves = np.random.default_rng(seed).integers(1, 3, (n, 13)).cumsum(1)
    y = torch.from_numpy(moves % len(tokens)) + tokens.start
    return Task.from_arrays(y[:, :-1], y[:, 1:], target=Tokens(16), name="text")


def test_of_text_what_is_known_is_transferred_and_what_is_of_other_tokens_is_not():
    learner, options = Learner(Next, Recipe(Adam(0.1), batch=16, epochs=30)), {"k": 8, "coder": Replay()}
    known = asked(text(range(8), 1), source=text(range(8), 2), model=learner, **options)
    apart = asked(text(range(8), 1), source=text(range(8, 16), 2), model=learner, **options)
    assert [one.head for one in known.found] == ["kept"]
    assert bits(apart)["kept"] == 0.0
    first, *_ = (one.fresh for one in known.found)
    assert 0 < bits(known)["kept"] < first[0].total / math.log(2) - 8 * 12 * 0.8


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "nothing is transferred; name pretrained networks"),
        ({"networks": ["mlp"]}, "has no weights to transfer; write NAME=FILE"),
        ({"networks": ["mlp=nowhere.pt"]}, "no such file"),
        ({"source": Task.from_dataset("iris"), "head": ("kept",)}, "do not fit"),
        ({"source": DIGITS[:300], "train": 1000}, "1000 were asked for"),
        ({"source": DIGITS[:300], "k": 10**6}, "were asked for"),
        ({"source": DIGITS[:300], "head": ("gone",)}, "no head 'gone'"),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_is_trained(options, told):
    with pytest.raises(ValueError, match=told):
        next(Transfer(DIGITS[300:], model=None if "networks" in options else MLP((4,)), **options).stages())


def test_weights_of_another_form_are_refused():
    weights = copy_weights(MLP((8,))((64,), 10))
    with pytest.raises(ValueError, match="do not fit"):
        next(Transfer(DIGITS, (Learner(MLP((4,))).starting_from(weights),)).stages())


def test_an_adapter_is_merged_into_its_base(tmp_path):
    """With ΔW = 2 B A of rank 1, α = 2; an adapter without its base or its scale is told."""
    iris = Task.from_dataset("iris")
    base = copy_weights(Learner(model("mlp")).network(iris.shape, 3, 0))
    down, up = torch.randn(1, 4), torch.randn(len(base["fc1.weight"]), 1)
    low = {"base_model.model.fc1.lora_A.weight": down, "base_model.model.fc1.lora_B.weight": up}
    save_file(base, tmp_path / "base.safetensors")
    save_file(low, tmp_path / "low.safetensors")
    words = f"mlp={tmp_path / 'base.safetensors'}+{tmp_path / 'low.safetensors'}"
    with pytest.raises(ValueError, match="no adapter_config"):
        candidates((words,), iris, "new", 0, frozen=True, least=1)
    with pytest.raises(ValueError, match="name its base"):
        candidates((f"mlp={tmp_path / 'low.safetensors'}",), iris, "new", 0, frozen=True, least=1)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 1, "lora_alpha": 2}))
    (found,) = candidates((words,), iris, "new", 0, frozen=True, least=1)
    assert found.weights is not None
    assert torch.allclose(found.weights["fc1.weight"], base["fc1.weight"] + 2 * up @ down)
    assert torch.equal(found.weights["fc1.bias"], base["fc1.bias"])


def test_the_whole_program(tmp_path, monkeypatch, capsys):
    from infoscope.cli import run

    monkeypatch.chdir(tmp_path)
    for name, seed in (("a", 0), ("b", 1)):
        save_file(copy_weights(Learner(model("mlp")).network((4,), 3, seed)), f"{name}.safetensors")
    words = ("transfer", "iris", "mlp=a.safetensors", "mlp=b.safetensors", "--head", "kept",
             "--k", 20, "--replicates", 2, "--jobs", 1, "--coder", "replay(replays=1, start=8)", "--json")  # fmt: skip
    run(list(map(str, words)))
    rows = json.loads(capsys.readouterr().out)["measurements"]
    found = [row for row in rows if row["quantity"] == "L_IT"]
    assert [row["network"] for row in found] == ["mlp=a.safetensors", "mlp=b.safetensors"]
    assert found[0]["replicates"]["0"] == 0.0
    assert found[1]["replicates"]["1"] == 0.0
    assert found[0]["unit"] == "bit"
