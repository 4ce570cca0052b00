from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from infoscope.observation.encoder import Encoder, encoder_layers, layers_of_texts

WORDS = ["[PAD]", "[UNK]", "good", "bad", "not", "very", "film", "a"]


class Tokenizer:
    """Words by their number, as Hugging Face's tokenizers are called."""

    pad_token, eos_token, model_max_length = None, "[PAD]", int(1e30)

    def __call__(self, texts, padding, truncation, max_length, return_tensors):
        rows = [[WORDS.index(word) for word in text.split()][:max_length] for text in texts]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        return {"input_ids": ids, "attention_mask": (ids > 0).long()}


class Network(torch.nn.Module):
    """Two states: the tokens as they are, and their number beside it."""

    config = SimpleNamespace(max_position_embeddings=4)

    def forward(self, input_ids, attention_mask, output_hidden_states):
        state = input_ids[..., None].float()
        return SimpleNamespace(hidden_states=(state, state + 1))


def test_texts_are_pooled_without_padding_in_their_own_order_and_cut():
    texts = ["good film", "a very very very bad film", "bad"]
    found = layers_of_texts(Network(), Tokenizer(), texts, ("embeddings", "1"), ("1",), "mean")
    assert list(found.layers) == ["1"]
    assert found["1"][:, 0].tolist() == [1 + (2 + 6) / 2, 1 + (7 + 5 + 5 + 5) / 4, 1 + 3]


def test_layers_are_chosen_by_number():
    encoder = Encoder("tiny", "0", 3)
    assert encoder.chosen(()) == encoder.chosen(("all",)) == ("embeddings", "1", "2", "3")
    assert encoder.chosen(("[12]",)) == ("1", "2")
    with pytest.raises(ValueError, match="no layer matches '7'; it has 'embeddings', '1', '2', '3'"):
        encoder.chosen(("7",))


def saved(folder):
    """A small BERT and its tokenizer, as `save_pretrained` writes them."""
    transformers = pytest.importorskip("transformers")
    marks = ["[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*WORDS, *marks]))
    tokenizer = transformers.BertTokenizer(str(folder / "vocab.txt"))
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertConfig(vocab_size=len(WORDS) + 3, max_position_embeddings=12, **sizes)
    torch.manual_seed(0)
    network = transformers.BertModel(config)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return network.eval(), tokenizer


@pytest.mark.filterwarnings("ignore")
def test_an_encoder_from_a_folder_says_what_it_says_by_itself(tmp_path):
    """Each text alone, without any padding, against all in one batch."""
    network, tokenizer = saved(tmp_path)
    encoder = Encoder.of(str(tmp_path))
    assert encoder.layers == ("embeddings", "1", "2")
    texts = ("good film", "a very bad film", "bad")
    found = encoder_layers(encoder, texts, encoder.layers, "mean")
    for i, text in enumerate(texts):
        with torch.no_grad():
            states = network(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
        for name, state in zip(encoder.layers, states, strict=True):
            assert torch.allclose(found[name][i], state[0].mean(0), atol=1e-5)
    untrained = encoder_layers(encoder, texts, encoder.layers, "first", 1)
    again = encoder_layers(encoder, texts, encoder.layers, "first", 1)
    assert torch.equal(untrained["2"], again["2"])
    assert not torch.allclose(untrained["2"], encoder_layers(encoder, texts, ("2",), "first")["2"], atol=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_another_encoder_under_the_same_name_is_another_one(tmp_path):
    saved(tmp_path)
    before = Encoder.of(str(tmp_path))
    (tmp_path / "note.txt").write_text("changed")
    assert Encoder.of(str(tmp_path)).digest != before.digest


def test_a_folder_without_an_encoder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no config\.json"):
        Encoder.of(str(tmp_path))
