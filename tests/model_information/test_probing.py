from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import infoscope
from infoscope.data.targets import Labels, Real
from infoscope.data.task import Task
from infoscope.data.texts import Texts
from infoscope.measurement import Status
from infoscope.model_information.probing.controls import first_words, labels_of_words
from infoscope.model_information.probing.question import Probing
from infoscope.model_information.ranking import best, crossing
from infoscope.models import MLP
from infoscope.observation.pooled import pooled_layers
from infoscope.prequential.closed_form import ClosedForm
from infoscope.prequential.encode import encode
from infoscope.prequential.loss_curve import LossCurve
from infoscope.run.question import ask
from infoscope.training.fit import fit
from infoscope.training.learner import Learner, copy_weights


def bits(x, y, classes=None, seed=0, target=None):
    """The codelength of y given the features x."""
    alphabet = None if classes is None else [str(c) for c in range(classes)]
    task = Task.from_arrays(np.asarray(x, dtype=np.float32), y, alphabet=alphabet, target=target)
    return encode(task, ClosedForm(), None, seed).total / math.log(2)


def found(answer, quantity, control="none"):
    """Measurements of a quantity by layer."""
    return {
        row.coordinates["layer"]: row.measurement
        for row in answer.record()
        if row.measurement.quantity == quantity and row.coordinates["control"] == control
    }


def test_features_that_hold_the_label_leave_only_which_is_which():
    """One of 10! ways to name ten kinds of features: log2 10! = 21.8 bits."""
    y = np.random.default_rng(0).integers(10, size=500)
    assert bits(np.eye(10)[y], y, 10) < math.log2(math.factorial(10)) + 12


def test_gaussian_features_cost_the_oracle_s_bits_and_what_nine_parameters_cost():
    """Mean and prior of two classes in eight dimensions: ½ log2 n each (Rissanen 1986)."""
    draws = np.random.default_rng(1)
    y, mean = draws.integers(2, size=1000), np.array([1, 0.5, 0, 0, 0, 0, 0, 0])
    x = draws.normal(size=(1000, 8)) + np.outer(2 * y - 1, mean)
    oracle = np.log2(1 + np.exp(-2 * (x @ mean) * (2 * y - 1))).sum()
    assert oracle < bits(x, y, 2) < oracle + 9 / 2 * math.log2(1000)


def test_one_column_of_768_is_found():
    """Shifted by 2 between two classes: the oracle needs .514 bits a label, what shrinks all columns alike .7."""
    draws = np.random.default_rng(2)
    y = draws.integers(2, size=1000)
    x = draws.normal(size=(1000, 768))
    x[:, 7] += 2 * y
    oracle = np.log2(1 + np.exp(-2 * (x[:, 7] - 1) * (2 * y - 1))).sum()
    assert oracle < bits(x, y, 2) < oracle + 45


@pytest.mark.parametrize("seed", range(2))
def test_features_that_say_nothing_save_nothing(seed):
    draws = np.random.default_rng(seed)
    y = draws.integers(3, size=400)
    assert abs(bits(draws.normal(size=(400, 60)), y, 3) - 400 * math.log2(3)) < 20


def test_shift_scale_and_rotation_change_little():
    """But for rounding and for the experts of few columns, which cost log of the families and hand-overs at most."""
    draws = np.random.default_rng(3)
    y = draws.integers(3, size=300)
    x = np.eye(3)[y] @ draws.normal(size=(3, 10)) + draws.normal(size=(300, 10))
    turned = x @ np.linalg.qr(draws.normal(size=(10, 10)))[0]
    plain = bits(x, y, 3)
    assert bits(100 * x + 7, y, 3) == pytest.approx(plain, abs=0.1)
    assert bits(turned, y, 3) == pytest.approx(plain, abs=8)


def test_constant_features_cost_what_the_labels_cost_alone():
    y = np.random.default_rng(0).permutation([0] * 90 + [1] * 10)
    assert bits(np.ones((100, 4)), y, 2) < 100 * 0.469 + 12


def test_numbers_and_several_labels_are_probed():
    draws = np.random.default_rng(4)
    x = draws.normal(size=(150, 6))
    linear = x @ draws.normal(size=(6, 1)) + 0.1 * draws.normal(size=(150, 1))
    answer = ask(
        Probing(
            {"x": x, "noise": draws.normal(size=(150, 6))},
            Task.from_arrays(x, linear, target=Real),
            replicates=2,
            controls=False,
        )
    )
    lengths, shares = found(answer, "L(y|x)"), found(answer, "P(best)")
    assert lengths["x"].bits < lengths["noise"].bits - 300
    assert shares["x"].value > 0.99
    both = Task.from_arrays(x, np.stack([x[:, 0] > 0, x[:, 1] > 0], 1).astype(int), target=Labels(("a", "b")))
    lengths = found(
        ask(Probing({"x": x, "noise": draws.normal(size=(150, 6))}, both, replicates=1, controls=False)), "L(y|x)"
    )
    assert lengths["x"].bits < 0.6 * lengths["noise"].bits


def test_what_knows_every_word_is_found_out_by_the_control():
    """Given the word's identity, one label a word type costs what the labels cost."""
    draws = np.random.default_rng(5)
    kinds = draws.integers(15, size=200)
    y = draws.integers(2, size=15)[kinds]
    layers = {"identity": np.eye(15)[kinds], "label": np.eye(2)[y], "words": [f"w{k}" for k in kinds]}
    answer = ask(Probing(layers, y, replicates=2))
    random = found(answer, "selectivity", "random labels")
    typed = found(answer, "selectivity", "one label a word type")
    assert random["identity"].bits > 130
    lengths, control = found(answer, "L(y|x)"), found(answer, "L(y|x)", "one label a word type")
    assert control["identity"].bits == pytest.approx(lengths["identity"].bits, abs=10)
    assert typed["identity"].bits < 0.3 * random["identity"].bits
    assert typed["label"].bits > 100


def test_frequent_types_make_a_control_easy_and_not_the_probe_unselective():
    """Nine tenths of the rows are one word: its control labels are nearly constant, which says nothing of the layer."""
    draws = np.random.default_rng(6)
    kinds = np.where(draws.random(150) < 0.9, 0, draws.integers(1, 8, size=150))
    layers = {"noise": draws.normal(size=(150, 3)), "words": [f"w{k}" for k in kinds]}
    answer = ask(Probing(layers, draws.integers(3, size=150), replicates=2))
    alone = found(answer, "L(y|x)", "one label a word type")["the labels alone"]
    assert alone.bits < 120 < found(answer, "L(y|x)")["the labels alone"].bits
    assert abs(found(answer, "selectivity", "one label a word type")["noise"].bits) < 20
    assert answer.sentence().startswith("No layer saves anything")


def test_control_labels_are_one_a_type_and_drawn_anew_by_the_seed():
    y = torch.arange(60)
    words = first_words([f"w{i % 7} and more" for i in range(60)])
    first, again, other = (labels_of_words(y, words, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert all(len({int(first[i]) for i in range(60) if words[i] == word}) == 1 for word in set(words))


class Marked(nn.Module):
    """Tokens as vectors of their number; nothing mixes them."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding.from_pretrained(torch.arange(10.0)[:, None].repeat(1, 3))

    def forward(self, input_ids, attention_mask):
        return self.table(input_ids)[:, 0, :2]


def test_padding_is_left_out_of_the_pooling():
    ids = torch.tensor([[1, 3, 9, 9], [9, 9, 2, 4]])
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1]])
    x = {"input_ids": ids, "attention_mask": mask}
    said = {how: pooled_layers(Marked(), x, ["table"], how)["table"][:, 0].tolist() for how in ("mean", "first", "max")}
    assert said == {"mean": [2.0, 3.0], "first": [1.0, 2.0], "max": [3.0, 4.0]}
    assert pooled_layers(Marked(), x, ["table"], "flat")["table"].shape == (2, 12)
    with pytest.raises(ValueError, match="nothing but padding"):
        pooled_layers(Marked(), x | {"attention_mask": mask * 0}, ["table"])


def test_a_trained_network_is_probed_beside_itself_untrained():
    digits = Task.from_dataset("digits")
    learner = Learner(MLP((32,)))
    trained = fit(learner, digits[:900], digits[900:1100], seed=0)
    answer = ask(Probing(digits[1100:1300], model=learner, weights=trained.weights, replicates=1))
    last = list(found(answer, "width"))[-2]
    assert found(answer, "selectivity", "untrained")[last].bits > 30
    assert found(answer, "L(y|x)")[last].status == {Status.UNVERIFIED_SPLIT}
    assert "inputs" in found(answer, "L(y|x)")
    assert "holds most with a probability" in answer.sentence()


def test_what_was_trained_on_is_not_probed_and_the_rest_is_known_to_be_new():
    digits, learner = Task.from_dataset("digits"), Learner(MLP((4,)))
    weights = copy_weights(learner.network(digits.shape, 10, 0))
    options = {"model": learner, "weights": weights, "replicates": 1, "controls": False}
    seen, coded = (Task.from_arrays(digits.array[a:b].numpy(), digits.y[a:b]) for a, b in ((0, 850), (800, 1000)))
    answer = ask(Probing(coded, trained_on=seen, **options))
    assert len(answer.labels) <= 150
    assert all(row.measurement.status == set() for row in answer.record() if row.measurement.quantity == "L(y|x)")
    assert "50 examples equal to trained ones were not coded" in answer.choices()["Split"]
    with pytest.raises(ValueError, match="name its model"):
        Probing("digits", trained_on=digits)


def test_texts_have_a_bag_of_words_and_a_type_each():
    draws = np.random.default_rng(6)
    y = draws.integers(2, size=120)
    texts = [f"{'good' if label else 'bad'} w{draws.integers(9)} x{draws.integers(9)}" for label in y]
    task = Task.from_arrays(Texts.of(texts), y)
    answer = ask(Probing({"noise": draws.normal(size=(120, 3))}, task, replicates=1))
    lengths = found(answer, "L(y|x)")
    assert lengths["bag of words"].bits < 40 < 100 < lengths["noise"].bits
    assert "one label a word type" in {row.coordinates["control"] for row in answer.record()}
    assert answer.choices()["One label a word type"].endswith("2 types")


def curve(nats, seed=0, order=None):
    """A loss curve of these costs in this order."""
    index = np.arange(len(nats)) if order is None else order
    return LossCurve(np.asarray(nats)[index], index, float(len(nats)), len(nats), 2, seed=seed)


def test_p_best_is_right_as_often_as_it_says():
    """Of two codes that cost the same on average the better one is told at random: P < .1 in a tenth of the cases."""
    draws, said = np.random.default_rng(7), []
    for _ in range(200):
        a, b = draws.exponential(size=(2, 100)) + draws.exponential(size=100)
        said.append(best({"a": [curve(a)], "b": [curve(b)]})["a"])
    assert np.mean(said) == pytest.approx(0.5, abs=0.08)
    assert np.mean(np.array(said) < 0.1) == pytest.approx(0.1, abs=0.065)


def test_equal_codes_share_and_others_orders_are_refused():
    a = curve(np.linspace(0, 1, 50))
    assert best({"a": [a], "b": [a]}) == {"a": 0.5, "b": 0.5}
    with pytest.raises(ValueError, match="other orders"):
        best({"a": [a], "b": [curve(np.linspace(0, 1, 50), order=np.arange(50)[::-1])]})


def test_codes_cross_where_the_later_winner_has_caught_up():
    """One bit dearer for 20 labels, then half a bit cheaper: even at 60."""
    early = np.full(200, 1.0)
    late = np.where(np.arange(200) < 20, 2.0, 0.5)
    told = crossing([curve(late)], [curve(early)])
    assert told.n == 59
    assert told.lower <= 60 <= told.upper
    assert told.turned == 0
    assert crossing([curve(0.5 * early)], [curve(early)]).n == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": {"a": np.zeros((5, 2))}, "on": np.zeros(4)}, "has 5 rows, and there are 4 labels"),
        ({"data": {"a": np.zeros((5, 2)), "b": np.zeros((4, 2))}, "on": np.zeros(5)}, "unlike numbers of rows"),
        ({"data": {"a": np.zeros((5, 2))}}, "no labels `y`"),
        ({"data": "hf:nobody"}, "name the data that it reads"),
        ({"data": "iris", "on": "iris"}, "has labels of its own"),
        ({"data": {"a": np.zeros((5, 2))}, "on": np.arange(5) % 2, "layers": ("b",)}, "no layer matches 'b'"),
    ],
)
def test_what_cannot_be_probed_is_refused_before_anything_runs(options, message):
    with pytest.raises(ValueError, match=message):
        next(Probing(**options).stages())


def test_weights_without_a_network_and_codes_of_networks_are_refused():
    with pytest.raises(ValueError, match="name its model"):
        Probing("iris", weights={})
    with pytest.raises(ValueError, match="network's own"):
        Probing("iris", coder=infoscope.Replay())
