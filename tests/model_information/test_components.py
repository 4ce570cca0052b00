"""Components of a network: which parameters and buffers they are, whatever the network's modules are called."""

from __future__ import annotations

import itertools
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from infoscope.model_information.ablation.anatomy import Slice
from infoscope.model_information.ablation.components import Component, Components
from infoscope.model_information.ablation.reset import Beginnings, with_reset
from infoscope.models import MLP, CifarResNet, PreActResNet, ResNet
from infoscope.training.learner import load_weights


@pytest.fixture(scope="module")
def preact() -> Components:
    return Components(PreActResNet(20)((3, 32, 32), 10), torch.zeros(2, 3, 32, 32))


@pytest.mark.parametrize(
    ("kind", "parameters"), [("1x1-before", 32000), ("3x3", 96768), ("1x1-after", 43008), ("residual", 41984)]
)
def test_kinds_of_convolutions_have_the_counts_of_table_8(preact, kind, parameters):
    (found,) = preact.choose([kind])
    assert found.parameters == parameters


def test_blocks_have_the_counts_of_table_9(preact):
    parts = {c.name: c.parameters for c in preact.choose()}
    blocks = [parts[f"blocks.{i}"] for i in range(6)]
    assert (parts["stem"], blocks, parts["fc"]) == (432, [4704, 4544, 23808, 17792, 94720, 70400], 2570)
    assert sum(parts.values()) == preact.parameters == 219_482


def test_buffers_go_with_the_component(preact):
    (block,) = preact.choose(["blocks.0"])
    assert "blocks.0.bn_before.running_var" in {s.name for s in block.slices}
    (first, *_) = preact.choose(["1x1-before:each"])
    assert {s.name for s in first.slices} == {
        "blocks.0.before.weight",
        *(f"blocks.0.bn_bottleneck.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")),
    }


def test_statistics_stay_with_their_block_where_that_is_chosen_too(preact):
    """The normalisation behind the stem lies in the first block: reset with either, with both it is the block's."""
    behind = "blocks.0.bn_before.running_mean"
    (alone,) = preact.choose(["stem"])
    stem, block = preact.choose(["stem", "blocks.0"])
    assert [behind in {s.name for s in c.slices} for c in (alone, stem, block)] == [True, False, True]


def test_ways_around_are_told_from_ways_through():
    """Option-A shortcuts have no weights; ResNet-18's three are 1×1; a stem that feeds the branch is none."""
    plain = Components(CifarResNet(8)((3, 16, 16), 10), torch.zeros(2, 3, 16, 16))
    assert plain.kinds() == {"blocks": 3, "fc": 1, "stem": 1, "3x3": 6}
    eighteen = Components(ResNet(18)((3, 32, 32), 2), torch.zeros(2, 3, 32, 32))
    kinds = eighteen.kinds()
    assert (kinds["residual"], kinds["3x3"], kinds["stem"], kinds["blocks"]) == (3, 16, 1, 8)


class Attending(nn.Module):
    """Two layers of a transformer as people write them: its own attention, or torch's."""

    def __init__(self, own: bool):
        super().__init__()
        self.words, self.out = nn.Embedding(20, 12), nn.Linear(12, 4)
        make = Layer if own else lambda: nn.TransformerEncoderLayer(12, 3, 10, batch_first=True)
        self.layers = nn.ModuleList([make() for _ in range(2)])

    def forward(self, x):
        h = self.words(x)
        for layer in self.layers:
            h = layer(h)
        return self.out(h.mean(1))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(12, 12) for _ in range(4))
        self.up, self.down, self.norm = nn.Linear(12, 10), nn.Linear(10, 12), nn.LayerNorm(12)

    def forward(self, h):
        n, length, width = h.shape
        q, k, v = (f(self.norm(h)).view(n, length, 3, 4).transpose(1, 2) for f in (self.q, self.k, self.v))
        found = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, width)
        h = h + self.o(found)
        return h + self.down(F.gelu(self.up(h)))


@pytest.fixture(scope="module", params=[True, False], ids=["own attention", "torch's"])
def attending(request) -> Components:
    torch.manual_seed(0)
    return Components(Attending(request.param), torch.randint(20, (2, 7)))


def test_heads_are_rows_of_q_k_v_and_columns_of_o(attending):
    heads = attending.choose(["heads:each"])
    assert len(heads) == 6
    assert {head.parameters for head in heads} == {3 * 4 * (12 + 1) + 4 * 12}
    assert attending.kinds() == {"blocks": 2, "layers": 2, "heads": 6, "mlps": 2, "embeddings": 1, "fc": 1}
    assert {c.parameters for c in attending.choose(["mlps:each"])} == {12 * 10 + 10 + 10 * 12 + 12}


def test_a_head_is_all_that_its_output_depends_on(attending):
    """Where nothing reads a head (its columns of o are 0), its rows of q, k and v may be anything."""
    net, x = attending.network.eval(), attending.x
    head = attending.choose(["heads:each"])[1]
    columns = Component("columns", tuple(s for s in head.slices if s.axis == 1), 0)
    rows = Component("rows", tuple(s for s in head.slices if s.axis == 0), 0)
    before = {name: t.clone() for name, t in net.state_dict().items()}
    zeros = {name: torch.zeros_like(t) for name, t in before.items()}
    silent = with_reset(before, [columns], "new", Beginnings(None, zeros), 0)
    moved = with_reset(silent, [rows], "resampled", Beginnings(None, zeros), 0)
    shown = with_reset(before, [rows], "resampled", Beginnings(None, zeros), 0)
    outputs = []
    for weights in (silent, moved, before, shown):
        load_weights(net, weights)
        outputs.append(net(x).detach())
    load_weights(net, before)
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-6)
    assert (outputs[2] - outputs[3]).abs().max() > 1e-4


def test_tied_weights_count_once_and_are_reset_together():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.out = nn.Embedding(20, 6), nn.Linear(6, 20, bias=False)
            self.out.weight = self.words.weight

        def forward(self, x):
            return self.out(self.words(x))

    net = Tied()
    parts = Components(net, torch.randint(20, (2, 5)))
    (words,) = parts.choose(["embeddings"])
    assert words.parameters == parts.parameters == 120
    zeros = {name: torch.zeros_like(t) for name, t in net.state_dict().items()}
    load_weights(net, with_reset(net.state_dict(), [words], "new", Beginnings(None, zeros), 0))
    assert not net.out.weight.any()
    with pytest.raises(ValueError, match="both hold"):
        parts.choose(["words", "out"])


def test_a_parameter_beside_blocks_is_a_part_of_its_own():
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.at, self.layers = nn.Parameter(torch.zeros(7, 12)), nn.ModuleList([Layer()])

        def forward(self, x):
            return self.layers[0](x + self.at)

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.out = Encoder(), nn.Linear(12, 3)

        def forward(self, x):
            return self.out(self.body(x).mean(1))

    parts = Components(Whole(), torch.zeros(2, 7, 12)).choose()
    assert [c.name for c in parts] == ["body.at", "body.layers.0", "out"]


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_heads_of_hugging_face_models(kind):
    """A BERT and a GPT-2 of two layers of three heads, made from a config."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "bert":
            sizes = {"vocab_size": 50, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3}
            config = transformers.BertConfig(**sizes, intermediate_size=10, num_labels=4)
            net = transformers.BertForSequenceClassification(config)
        else:
            config = transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=12, n_layer=2, n_head=3)
            net = transformers.GPT2LMHeadModel(config)
        x = {"input_ids": torch.randint(50, (2, 7)), "attention_mask": torch.ones(2, 7, dtype=torch.long)}
        kinds = Components(net, x).kinds()
        heads = Components(net, x).choose(["heads:each"])
    assert (kinds["layers"], kinds["heads"], kinds["mlps"]) == (2, 6, 2)
    assert {head.parameters for head in heads} == {3 * 4 * (12 + 1) + 4 * 12}


def test_words_are_kinds_modules_and_globs():
    parts = Components(MLP((8, 6))((5,), 3), torch.zeros(2, 5))
    named = {word: [c.name for c in parts.choose([word])] for word in ("fc", "fc:each", "fc[12]", "fc[12]:each")}
    assert named == {"fc": ["fc"], "fc:each": ["fc1", "fc2", "fc3"], "fc[12]": ["fc[12]"],
                     "fc[12]:each": ["fc1", "fc2"]}  # fmt: skip
    assert [c.parameters for c in parts.choose(["*.bias", "fc1.weight"])] == [17, 40]
    own = Component("rows", (Slice("fc1.weight", 0, (0, 1)),), 0)
    assert [c.parameters for c in parts.choose([own])] == [10]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["heads"],
            r"no component of Sequential is meant by 'heads'; there are the kinds fc \(3\), and the modules fc1",
        ),
        (["layer7.*"], "fc1, fc2, fc3"),
        (["fc1", "fc:each"], "'fc1' and 'fc1' both hold fc1.weight"),
        (["fc1.*", "*.bias"], "both hold fc1.bias"),
        ([Component("own", (Slice("fc9.weight"),), 0)], "which Sequential lacks"),
        ([Component("own", (Slice("fc1.weight", 0, (8,)),), 0)], "which Sequential lacks"),
    ],
)
def test_what_is_not_there_and_what_overlaps_is_told(words, told):
    with pytest.raises(ValueError, match=told):
        Components(MLP((8, 6))((5,), 3), torch.zeros(2, 5)).choose(words)


def test_the_four_resets():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))
    net[1].running_var += torch.rand(5)
    start = {name: torch.full_like(t, 7) for name, t in net.state_dict().items()}
    new = {name: torch.full_like(t, 8) for name, t in net.state_dict().items()}
    chosen = Components(net, torch.zeros(2, 4)).choose(["[01]"])
    made = {how: with_reset(net.state_dict(), chosen, how, Beginnings(start, new), 3)
            for how in ("start", "new", "mean", "resampled")}  # fmt: skip
    old = net.state_dict()
    for how, name in itertools.product(made, old):
        if name.startswith("2."):
            assert torch.equal(made[how][name], old[name])
    assert bool((made["start"]["0.weight"] == 7).all())
    assert bool((made["new"]["1.running_var"] == 8).all())
    torch.testing.assert_close(made["mean"]["0.weight"], old["0.weight"].mean().expand(5, 4))
    for name in ("0.weight", "1.running_var"):
        moved = made["resampled"][name]
        assert not torch.equal(moved, old[name])
        assert torch.equal(moved.flatten().sort().values, old[name].flatten().sort().values)
    assert made["resampled"]["1.num_batches_tracked"] == old["1.num_batches_tracked"]
    lacking = {name: t for name, t in old.items() if not name.endswith("num_batches_tracked")}
    filled = with_reset(lacking, chosen, "new", Beginnings(None, new), 3)
    assert set(filled) == set(old)
    with pytest.raises(ValueError, match="give initial"):
        with_reset(old, chosen, "start", Beginnings(None, new), 3)


class Rotary(nn.Module):
    """Attention whose queries and keys are turned by their place, as in Llama."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, x):
        q, k, v = (make(x).unflatten(-1, (2, 4)).transpose(1, 2) for make in (self.q, self.k, self.v))
        angle = torch.arange(x.shape[1])[:, None] * torch.tensor([1.0, 0.1, 1.0, 0.1])
        q, k = (t * angle.cos() + torch.cat([-t[..., 2:], t[..., :2]], -1) * angle.sin() for t in (q, k))
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)).mean(1)


def test_heads_behind_rotary_places_are_refused_with_where_they_were_lost():
    made = Components(Rotary(), torch.randn(2, 5, 8))
    with pytest.raises(ValueError, match="heads could not be followed through scaled_dot_product_attention"):
        made.choose(["heads:each"])
    assert len(made.choose()) == 4


@pytest.mark.filterwarnings("ignore:.torch.jit.script.:DeprecationWarning")
def test_kinds_of_a_scripted_network_are_refused_by_name():
    scripted = torch.jit.script(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
    with pytest.raises(ValueError, match="no component of RecursiveScriptModule is meant by 'heads'"):
        Components(scripted, torch.zeros(2, 3)).choose(["heads"])
