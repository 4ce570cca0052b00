"""Networks and tokenizers of `transformers`, which need not be there: a library of the same shape stands in for it."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from infoscope import RiskCertificate, RunContext, Task, WeightInformation, ask, between, fisher, merge, quantise
from infoscope.data.raw import Raw, Reading
from infoscope.data.targets import Classes, Tokens
from infoscope.data.task import from_raw
from infoscope.data.texts import Texts
from infoscope.data.tokenized import tokenized
from infoscope.models import HuggingFaceModel, model
from infoscope.observation.estimators import Exact
from infoscope.training.learner import Learner, load_weights
from infoscope.training.lora import Scaling, adapted
from infoscope.weight_information import read_quantised
from infoscope.weight_information.checkpoint import Checkpoint

WORDS = ["<pad>", "bad", "good", "not", "film", "a"]


class Root(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * self.scale * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5)


class Block(nn.Module):
    """Attention of one head over what came before, with rotated queries, and a gate, as in Llama."""

    def __init__(self, width: int):
        super().__init__()
        self.norms = nn.ModuleList([Root(width), Root(width)])
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(width, 2 * width, bias=False) for _ in range(2))
        self.down = nn.Linear(2 * width, width, bias=False)

    def forward(self, x, mask):
        h = self.norms[0](x)
        q, k = (turned(one(h)) for one in (self.q, self.k))
        near = (q @ k.mT / x.shape[-1] ** 0.5).masked_fill(~mask, float("-inf")).softmax(-1)
        x = x + self.o(near @ self.v(h))
        h = self.norms[1](x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


def turned(x):
    """Pairs of coordinates, rotated by their place."""
    angle = torch.arange(x.shape[1])[:, None] / 3.0 ** torch.arange(x.shape[2] // 2)
    a, b = x.chunk(2, -1)
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)


class TinyForCausalLM(nn.Module):
    """One block; embeddings and head are the same weights, as a saved file has them once."""

    def __init__(self, width: int = 4):
        super().__init__()
        self.config = SimpleNamespace(pad_token_id=0, eos_token_id=0)
        self.embed, self.block, self.norm = nn.Embedding(len(WORDS), width), Block(width), Root(width)
        self.head = nn.Linear(width, len(WORDS), bias=False)
        self.head.weight = self.embed.weight

    def _last(self, input_ids, attention_mask=None):
        n = input_ids.shape[1]
        mask = torch.ones(n, n, dtype=torch.bool).tril()
        if attention_mask is not None:
            mask = mask & (attention_mask[:, None, :] > 0)
        return self.norm(self.block(self.embed(input_ids), mask))

    def forward(self, input_ids, attention_mask=None):
        return SimpleNamespace(logits=self.head(self._last(input_ids, attention_mask)))

    @classmethod
    def from_pretrained(cls, name, attn_implementation, dtype, **options):
        network, held = cls(**options), load_file(f"{name}/model.safetensors")
        held = {k: v.float() for k, v in held.items()} if dtype == "float32" else held
        network.to(next(iter(held.values())).dtype).load_state_dict(held, strict=False)
        return network


class TinyForSequenceClassification(TinyForCausalLM):
    """The same with a head on the mean of what is not padding."""

    def __init__(self, num_labels: int = 2):
        super().__init__()
        self.head = nn.Linear(4, num_labels)

    def forward(self, input_ids, attention_mask=None):
        weight = attention_mask[..., None] / attention_mask.sum(1)[:, None, None]
        return SimpleNamespace(logits=self.head((self._last(input_ids, attention_mask) * weight).sum(1)))


class Tokenizer:
    pad_token, eos_token, model_max_length, vocab_size = None, "<pad>", int(1e30), len(WORDS)

    @classmethod
    def from_pretrained(cls, name):
        return cls()

    def __call__(self, texts, padding, truncation, max_length):
        rows = [[WORDS.index(word) for word in text.split()][:max_length] for text in texts]
        width = max(map(len, rows))
        return {
            "input_ids": [row + [0] * (width - len(row)) for row in rows],
            "attention_mask": [[1] * len(row) + [0] * (width - len(row)) for row in rows],
        }


class Config:
    @classmethod
    def from_pretrained(cls, name):
        try:
            with open(f"{name}/config.json", encoding="utf-8") as file:
                return SimpleNamespace(**json.load(file))
        except OSError as error:
            raise OSError("no such model") from error


@pytest.fixture
def library(monkeypatch):
    quiet = SimpleNamespace(set_verbosity_error=lambda: None, disable_progress_bar=lambda: None)
    stand_in = ModuleType("transformers")
    for name, held in {
        "AutoConfig": Config, "AutoTokenizer": Tokenizer, "TinyForCausalLM": TinyForCausalLM,
        "TinyForSequenceClassification": TinyForSequenceClassification,
        "AutoModelForSequenceClassification": TinyForSequenceClassification,
        "utils": SimpleNamespace(logging=quiet),
    }.items():  # fmt: skip
        setattr(stand_in, name, held)
    monkeypatch.setitem(sys.modules, "transformers", stand_in)


def saved(folder, kind=TinyForCausalLM, seed=0, dtype=torch.float32):
    """A folder as `save_pretrained` writes it: tied weights have one name."""
    torch.manual_seed(seed)
    network = kind()
    folder.mkdir(exist_ok=True)
    held = dict(network.state_dict())
    if kind is TinyForCausalLM:
        del held["head.weight"]
    save_file({k: v.to(dtype).clone() for k, v in held.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architectures": [kind.__name__]}))
    return network


def talk(n: int = 12) -> Task:
    draws = torch.Generator().manual_seed(0)
    x, y = (torch.randint(0, len(WORDS), (n, 5), generator=draws) for _ in range(2))
    y[::3, 3:] = -100
    return Task.from_arrays(x, y, target=Tokens(len(WORDS)), name="talk")


def test_texts_become_the_tokens_of_a_tokenizer_by_name_cut_and_padded(library):
    texts = Texts.of([f"{'not ' * (i % 3)}{WORDS[i % 2 + 1]} film" for i in range(6)], np.zeros((6, 1024), np.float32))
    raw = tokenized(Raw(texts, [0, 1] * 3), "films", Reading(tokenizer="tiny", length=3))
    assert raw.x["input_ids"].tolist()[:3] == [[1, 4, 0], [3, 2, 4], [3, 3, 1]]
    assert raw.x["attention_mask"].tolist()[:3] == [[1, 1, 0], [1, 1, 1], [1, 1, 1]]
    task = from_raw(raw, "films")
    assert task.shape == {"input_ids": (3,), "attention_mask": (3,)}
    assert isinstance(task.target, Classes)
    with pytest.raises(ValueError, match="reads texts, and the examples are none"):
        Task.from_dataset("iris", tokenizer="tiny")


def test_a_folder_is_a_network_with_its_weights_and_another_one_where_they_change(library, tmp_path):
    network = saved(tmp_path / "a")
    found = model(f"hf:{tmp_path / 'a'}")
    assert isinstance(found, HuggingFaceModel)
    made = Learner(found).network((5,), len(WORDS), 0)
    x = talk().x
    assert torch.equal(made(x).logits, network(x).logits)
    saved(tmp_path / "a", seed=1)
    assert model(f"hf:{tmp_path / 'a'}") != found
    for bad, told in ((tmp_path / "none", "neither a folder that save_pretrained wrote"), (tmp_path, "no config.json")):
        with pytest.raises(ValueError, match=told):
            model(f"hf:{bad}")


def test_a_file_that_names_tied_weights_once_fits(library, tmp_path):
    network = saved(tmp_path / "a")
    other = TinyForCausalLM()
    load_weights(other, load_file(tmp_path / "a" / "model.safetensors"))
    assert torch.equal(other.head.weight, network.embed.weight)
    with pytest.raises(ValueError, match=r"lacks norm\.scale"):
        load_weights(other, {k: v for k, v in network.state_dict().items() if k != "norm.scale"})


def test_the_fisher_information_of_a_tied_rotary_transformer_is_that_of_single_examples(library, tmp_path):
    """Σ_tokens E_y (∂ log p)², by autograd for every class of every token; a masked token counts for nothing."""
    network, task = saved(tmp_path / "a").double(), talk(3)
    found = fisher(network, task, estimator=Exact()).diagonal.mean
    names, weights = zip(*network.named_parameters(), strict=True)
    slow = [torch.zeros_like(w) for w in weights]
    for i in range(len(task)):
        logits = network(task.x[i : i + 1]).logits[0]
        for t, y in enumerate(task.y[i]):
            for c in range(len(WORDS)) if y >= 0 else ():
                log = logits[t].log_softmax(-1)[c]
                for sums, g in zip(slow, torch.autograd.grad(log, weights, retain_graph=True), strict=True):
                    sums += log.exp().detach() * g.square() / len(task)
    for name, sums in zip(names, slow, strict=True):
        assert torch.allclose(found[name], sums, rtol=1e-9, atol=1e-14), name


@pytest.mark.parametrize("kind", [TinyForCausalLM, TinyForSequenceClassification])
def test_a_folder_goes_through_every_question_of_checkpoints(library, tmp_path, kind):
    """Its network comes with it; what is written holds the network that was measured."""
    for seed, name in enumerate("ab"):
        saved(tmp_path / name, kind, seed)
    a, b = tmp_path / "a", tmp_path / "b"
    if kind is TinyForCausalLM:
        task = talk()
    else:
        draws = torch.Generator().manual_seed(0)
        mask = (torch.arange(5) < torch.randint(1, 6, (12, 1), generator=draws)).long()
        x = {"input_ids": torch.randint(0, 6, (12, 5), generator=draws), "attention_mask": mask}
        task = Task.from_arrays(x, torch.arange(12) % 2, name="films")
    rounded = quantise(a, task, bits=6, save=tmp_path / "small.safetensors")
    rounded.write(tmp_path)
    network = kind()
    network.load_state_dict(read_quantised(tmp_path / "small.safetensors"), strict=False)
    assert rounded.spent is not None
    told = rounded.losses.mean() + rounded.spent.rise.measured.value
    assert loss(network, task) == pytest.approx(float(told), rel=1e-5)
    merged = merge(a, b, data=task, save=tmp_path / "both.safetensors")
    merged.write(tmp_path)
    load_weights(network, load_file(tmp_path / "both.safetensors"))
    mean = sum(loss(Learner(model(f"hf:{one}")).network(task.shape, 2, 0), task) for one in (a, b)) / 2
    assert loss(network, task) == pytest.approx(mean + merged.price(merged.way).value, rel=1e-5)
    assert between(a, a, task).distance.whole == 0
    if kind is TinyForSequenceClassification:  # whose inputs go by name
        certified = ask(RiskCertificate(task, weights=a, steps=2, draws=2)).found[0]
        assert certified.posterior.n == len(task)
    found = ask(WeightInformation(task, weights=a, rounds=1, draws=2, scale=1.0), RunContext())
    assert found.found[0].model == f"hf:{a}"
    with pytest.raises(ValueError, match="do not fit Tiny"):
        quantise({"w": torch.zeros(2)}, task, f"hf:{a}")


def loss(network, task) -> float:
    """Nats an example, by the network alone."""
    x = {"input_ids": task.x} if isinstance(task.x, torch.Tensor) else task.x
    logits = network.eval()(**x).logits
    return float(F.cross_entropy(logits.flatten(0, -2), task.y.flatten().long(), reduction="sum").detach() / len(task))


def test_half_precision_is_taken_in_single_and_said(library, tmp_path):
    saved(tmp_path / "half", dtype=torch.float16)
    found = Checkpoint.of(tmp_path / "half")
    assert all(t.dtype == torch.float32 for t in found.weights.values())
    assert found.notes == ("weights of 'float16' are taken in single precision",)
    assert found.model == HuggingFaceModel.of(str(tmp_path / "half"))


def test_a_network_without_a_head_is_given_one_of_so_many_classes(library, tmp_path):
    saved(tmp_path / "body")
    (tmp_path / "body" / "config.json").write_text(json.dumps({"architectures": ["TinyModel"]}))
    made = Learner(model(f"hf:{tmp_path / 'body'}")).network((5,), 7, 0)
    assert made.head.weight.shape == (7, 4)


def test_an_adapter_of_layers_that_keep_inputs_first_is_turned_though_it_is_square():
    low = {"c.lora_A.weight": torch.tensor([[1.0, 2.0]]), "c.lora_B.weight": torch.tensor([[3.0], [4.0]])}
    change = low["c.lora_B.weight"] @ low["c.lora_A.weight"]
    base = {"c.weight": torch.zeros(2, 2), "head.weight": torch.zeros(2)}
    assert torch.equal(adapted(base, low, Scaling(turned=True))["c.weight"], change.T)
    found = adapted(base, low | {"base_model.model.head.weight": torch.ones(2)}, Scaling(2.0, 4.0, alphas={"c": 8}))
    assert torch.equal(found["c.weight"], 2 * change)
    assert torch.equal(found["head.weight"], torch.ones(2))


def test_without_the_library_one_is_told_so(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match="pip install transformers"):
        model(f"hf:{tmp_path}/x")
