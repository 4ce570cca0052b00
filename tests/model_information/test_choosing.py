from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from infoscope.data.task import Task
from infoscope.data.texts import Texts
from infoscope.model_information.choosing.question import Choosing
from infoscope.model_information.starts import candidates
from infoscope.models import LeNet5, SmallCNN, model, name_and_file
from infoscope.prequential.replay import Replay
from infoscope.run.question import ask
from infoscope.training.learner import Learner

QUICK = Replay(replays=1, start=64)


def linear(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), outputs))


def fixed():
    return nn.Linear(24, 7)


@pytest.fixture(scope="module")
def table():
    """A lookup teacher: 24 cells, four classes, as one-hot inputs; and the network that knows it."""
    draws = np.random.default_rng(0)
    cells, f = draws.integers(24, size=100), draws.integers(4, size=24)
    task = Task.from_arrays(np.eye(24, dtype=np.float32)[cells], f[cells], alphabet=[str(c) for c in range(4)])
    weights = {"1.weight": 15 * torch.eye(4)[torch.from_numpy(f)].T.contiguous(), "1.bias": torch.zeros(4)}
    return task, Learner(linear).starting_from(weights), len(set(cells.tolist()))


def found(answer, quantity, use):
    return {
        row.coordinates["network"]: row.measurement
        for row in answer.record()
        if row.measurement.quantity == quantity and row.coordinates["use"] == use
    }


def test_the_network_that_knows_the_table_saves_what_its_cells_cost(table):
    """log2 4 bits for every cell that is new, which no code can do without: the known one is the best start."""
    task, knows, seen = table
    answer = ask(Choosing(task, (linear, knows), QUICK, head="kept", replicates=1))
    lengths, shares = found(answer, "L(y|x)", "whole"), found(answer, "P(best)", "whole")
    new, known = lengths["linear #1"], lengths["linear #2"]
    assert known.bits < 12
    assert new.bits > seen * math.log2(4) - 6
    assert shares["linear #2"].value > 0.999
    assert found(answer, "crossing", "whole")["linear #1"].value <= 3
    # what both give to their heads is the cell itself: as they stand they are equal
    assert [m.value for m in found(answer, "P(best)", "frozen").values()] == [0.5, 0.5]


def test_two_equal_networks_are_as_good_a_start(table):
    task, knows, _ = table
    answer = ask(Choosing(task[:60], (knows, knows), QUICK, replicates=1))
    assert [m.value for m in found(answer, "P(best)", "whole").values()] == [0.5, 0.5]
    assert answer.crossings["linear #2"].turned == 1
    assert "is open: linear #1 needs" in answer.sentence()
    assert "ahead" not in answer.sentence()


def test_heads_in_closed_form_are_all_there_is_when_frozen(table):
    task, knows, _ = table
    answer = ask(Choosing(task[:60], (knows, linear), frozen=True, replicates=1))
    assert not found(answer, "L(y|x)", "whole")
    assert "in closed form" in answer.choices()["Head"]
    assert set(found(answer, "L(y|x)", "data")) == {"no network"}


def test_what_a_network_does_to_images_stands_behind_its_name():
    factory = model("lenet5[size=28, mean=0.5, deviation=(0.25,)]")
    network = Learner(factory).network((1, 20, 20), 3, 0).eval()
    plain = Learner(LeNet5()).network((1, 28, 28), 3, 0).eval()
    x = torch.rand(2, 1, 20, 20)
    larger = nn.functional.interpolate(x, (28, 28), mode="bilinear", antialias=True)
    assert torch.allclose(network(x), plain((larger - 0.5) / 0.25), atol=1e-6)
    assert list(network.state_dict()) == list(plain.state_dict())
    with pytest.raises(ValueError, match="for 3 channels, and images have 2"):
        Learner(model("lenet5[mean=(0, 0, 0)]")).network((2, 20, 20), 3, 0)


def test_names_take_files_and_preparations():
    assert name_and_file("a:b[size=8]=c=d.pt") == ("a:b[size=8]", "c=d.pt")
    assert name_and_file("mlp(widths=(3,))[size=8]") == ("mlp(widths=(3,))[size=8]", None)
    assert name_and_file("cnn=w.pt") == ("cnn", "w.pt")


def test_what_cannot_be_compared_is_refused_before_anything_runs(table, tmp_path):
    task = table[0]
    images = Task.from_arrays(np.zeros((4, 1, 20, 20)), [0, 1, 0, 1])
    wide = Learner(SmallCNN()).network((3, 20, 20), 2, 0).state_dict()
    save_file({name: t.contiguous() for name, t in wide.items()}, tmp_path / "rgb.safetensors")
    cases = [
        ((task, [linear]), "two networks or more"),
        ((task, ["cnn=nowhere.pt", "mlp"]), "nowhere.pt: no such file"),
        ((task, [fixed, linear]), "gave an output of shape .* for 2 examples"),
        ((task, ["nothing", "mlp"]), "no model is called 'nothing'"),
        ((images, [f"cnn={tmp_path / 'rgb.safetensors'}", "mlp"]), "do not fit"),
    ]
    for (data, networks), message in cases:
        with pytest.raises(ValueError, match=message):
            next(Choosing(data, tuple(networks)).stages())
    with pytest.raises(ValueError, match="100 labels, and 400"):
        next(Choosing(task, (linear, linear), examples=400).stages())
    with pytest.raises(ValueError, match="take new or kept"):
        Choosing(task, (linear, linear), head="start")


def test_an_encoder_is_compared_as_it_stands_on_texts(table, monkeypatch):
    from infoscope.model_information import starts
    from infoscope.observation.encoder import Encoder

    monkeypatch.setattr(starts.Encoder, "of", lambda name: Encoder(name, "0", 2))
    monkeypatch.setattr(starts, "parameters_of", lambda encoder: 1)
    with pytest.raises(ValueError, match="reads texts"):
        candidates(["hf:tiny", "mlp"], table[0], "new", 0, True)
    texts = Task.from_arrays(Texts.of(["a", "b"]), [0, 1])
    with pytest.raises(ValueError, match="add frozen"):
        candidates(["hf:tiny", "mlp"], texts, "new", 0, False)
