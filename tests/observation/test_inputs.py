"""A network sees its inputs exactly as they are given: against the same network run by hand."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from infoscope.observation.activations import Activations, activations, in_groups

N = 9


def draws(*shape: int) -> Tensor:
    return torch.randn(N, *shape, generator=torch.Generator().manual_seed(1))


class Bytes(nn.Module):
    """Takes bytes, and scales them itself."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(5, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        assert x.dtype == torch.uint8
        return self.conv(x.permute(0, 3, 1, 2).float() / 255)


class Masked(nn.Module):
    """Takes token ids and their mask by name, and gives an object with logits."""

    def __init__(self):
        super().__init__()
        self.tokens, self.attend = nn.Embedding(11, 4), nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, *, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        h = self.tokens(input_ids)
        h, _ = self.attend(h, h, h, key_padding_mask=attention_mask == 0)
        return {"logits": self.head(h)}


class Pooled(nn.Module):
    """An LSTM, of whose answer the last position goes on."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 6, batch_first=True), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        assert x.ndim == 3
        return self.head(self.lstm(x)[0][:, -1])


IDS = torch.arange(4 * N).reshape(N, 4) % 11
NETWORKS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "sequences": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), draws(5, 3),
        {"0": lambda net, x: net[0](x), "2": lambda net, x: net(x)},
    ),
    "channels of a sequence": (
        lambda: nn.Sequential(nn.Conv1d(4, 2, 3), nn.ReLU()), draws(4, 7), {"0": lambda net, x: net[0](x)},
    ),
    "bytes, channels last": (
        Bytes, torch.arange(N * 60).reshape(N, 4, 3, 5).to(torch.uint8),
        {"conv": lambda net, x: net(x)},
    ),
    "token ids": (
        lambda: nn.Sequential(nn.Embedding(11, 3), nn.Flatten(), nn.Linear(12, 2)), IDS,
        {"0": lambda net, x: net[0](x), "2": lambda net, x: net(x)},
    ),
    "one id an example": (lambda: nn.Sequential(nn.Embedding(11, 3)), IDS[:, 0], {"0": lambda net, x: net(x)}),
    "ids and their mask by name": (
        Masked, {"input_ids": IDS, "attention_mask": (IDS > 2).long() | (torch.arange(4) == 0)},
        {"tokens": lambda net, x: net.tokens(x["input_ids"]), "head": lambda net, x: net(**x)["logits"]},
    ),
    "an LSTM": (Pooled, draws(5, 3), {"lstm": lambda net, x: net.lstm(x)[0], "head": lambda net, x: net(x)}),
    "attention": (
        lambda: nn.Sequential(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)), draws(3, 4),
        {"0": lambda net, x: net(x)},
    ),
    "double precision": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh()).double(), draws(3).double(),
        {"1": lambda net, x: net(x)},
    ),
    "half precision": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh()).bfloat16(), draws(3).bfloat16(),
        {"1": lambda net, x: net(x)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_answer_as_they_do_by_hand(name: str):
    make, x, expected = NETWORKS[name]
    torch.manual_seed(0)
    net = make().eval()
    seen = activations(net, x, list(expected))
    (grouped,) = in_groups(net, x, list(expected))
    for layer, by_hand in expected.items():
        with torch.no_grad():
            truth = by_hand(net, x).reshape(N, -1)
        assert seen[layer].dtype == (torch.float64 if truth.dtype == torch.float64 else torch.float32)
        torch.testing.assert_close(seen[layer], truth.to(seen[layer].dtype), rtol=1e-6, atol=1e-6)
        assert torch.equal(grouped[layer], seen[layer])
        batched = activations(net, x, [layer], batch=4)[layer]
        near = 0.02 if truth.dtype == torch.bfloat16 else 1e-5
        torch.testing.assert_close(batched, seen[layer], rtol=near, atol=near)
    assert seen.unsteady == frozenset()


def test_rows_that_differ_in_double_precision_alone_stay_apart():
    x = 1 + torch.arange(6, dtype=torch.float64)[:, None] * 1e-12
    seen = activations(nn.Sequential(nn.Identity()), x, ["0"])
    assert len(seen["0"].unique()) == 6


class Placed(nn.Module):
    """Adds a table of positions, the same for all examples."""

    def __init__(self):
        super().__init__()
        self.places, self.head = nn.Embedding(5, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.places(torch.arange(5)))


def test_a_table_of_positions_is_no_layer_unless_it_is_named():
    assert list(activations(Placed(), draws(5, 3)).layers) == ["head"]
    with pytest.raises(ValueError, match=r"layer 'places' gives shape \(5, 3\) for 4 examples"):
        activations(Placed(), draws(5, 3), ["places"])


def test_a_layer_that_is_sequence_first_is_refused_even_where_its_shape_would_do():
    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.lstm(x.transpose(0, 1))[0][-1]

    with pytest.raises(ValueError, match=r"layer 'lstm' gives shape \(9, 4, 2\) for 4 examples"):
        activations(First(), draws(N, 3), ["lstm"])


def test_what_scripting_hides_is_refused_in_one_line():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(nn.Sequential(nn.Linear(3, 2)))
    with pytest.raises(ValueError, match=r"layer '0' of RecursiveScriptModule never ran .* scripting"):
        activations(scripted, draws(3))


class AlwaysOn(nn.Module):
    """Dropout that eval mode does not switch off, behind one layer and before another."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(nn.functional.dropout(self.first(x), 0.5, training=True))


def test_layers_that_give_two_answers_for_one_input_are_named():
    seen = activations(AlwaysOn(), draws(3))
    assert list(seen.layers) == ["first", "last"]
    assert seen.unsteady == {"last"}
    assert [one.unsteady for one in in_groups(AlwaysOn(), draws(3), room=0)] == [frozenset(), {"last"}]
    assert Activations.from_bytes(seen.to_bytes()).unsteady == {"last"}
    assert activations(nn.Sequential(nn.Linear(3, 8), nn.Dropout(), nn.BatchNorm1d(8)), draws(3)).unsteady == set()


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_models_of_hugging_face_see_ids_and_mask(kind: str):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(0)
    sizes = {"vocab_size": 11, "attn_implementation": "eager"}
    if kind == "bert":
        shape = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
        net = transformers.BertForSequenceClassification(transformers.BertConfig(**sizes, **shape)).eval()
        layer, part = "bert.encoder.layer.1.output", "bert"
    else:
        shape = {"n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 8}
        net = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **shape)).eval()
        layer, part = "transformer.ln_f", "transformer"
    x = {"input_ids": IDS, "attention_mask": torch.tensor([[1, 1, 1, 0]]).expand(N, 4)}
    seen = activations(net, x, [layer])
    with torch.no_grad():
        by_hand = getattr(net, part)(**x).last_hidden_state.reshape(N, -1)
    torch.testing.assert_close(seen[layer], by_hand)
    assert seen.unsteady == frozenset()
    assert len(activations(net, x).layers) > 3
