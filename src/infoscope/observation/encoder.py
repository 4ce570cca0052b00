"""The layers of an encoder from the Hugging Face Hub, or from a folder that `save_pretrained` wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infoscope.hugging_face import loaded, revision_of, transformers
from infoscope.observation.activations import Activations
from infoscope.observation.layers import chosen
from infoscope.observation.pooled import Pooling, pooled
from infoscope.training.isolation import isolated

BATCH = 32
"""Texts that are read at a time, those of a length together."""


@dataclass(frozen=True)
class Encoder:
    """An encoder by its name and what its files hold, so that another one under the same name is another one."""

    name: str
    digest: str
    depth: int

    @classmethod
    def of(cls, name: str) -> Encoder:
        """The encoder of this name; only its configuration is read."""
        digest = revision_of(name)
        config = loaded(name, "AutoConfig")
        depth = getattr(config, "num_hidden_layers", None)
        if depth is None:
            raise ValueError(f"hf:{name}: its configuration counts no hidden layers; give an encoder of texts")
        return cls(name, digest, depth)

    @property
    def layers(self) -> tuple[str, ...]:
        """What it gives: the embeddings, and the layers by number from 1 on."""
        return ("embeddings", *(str(i + 1) for i in range(self.depth)))

    def chosen(self, globs: Sequence[str]) -> tuple[str, ...]:
        """Those of the layers that the globs match; `all` and no glob are all."""
        return chosen(self.layers, globs, f"hf:{self.name}")


def encoder_layers(
    encoder: Encoder, texts: tuple[str, ...], layers: tuple[str, ...], pooling: Pooling, untrained: int | None = None
) -> Activations:
    """What these layers say of every text, padding left out; the marks that the tokenizer adds count as tokens.

    `untrained` is the seed from which the same architecture is drawn anew. Texts longer than the encoder takes are cut.
    """
    library, tokenizer = transformers(), loaded(encoder.name, "AutoTokenizer")
    with isolated(0 if untrained is None else untrained, threads=1), torch.no_grad():
        if untrained is None:
            network = loaded(encoder.name, "AutoModel")
        else:
            network = library.AutoModel.from_config(loaded(encoder.name, "AutoConfig"))
        network = (network.get_encoder() if network.config.is_encoder_decoder else network).eval().float()
        return layers_of_texts(network, tokenizer, texts, encoder.layers, layers, pooling)


def parameters_of(encoder: Encoder) -> int:
    """How many parameters an encoder has; its weights are not read."""
    with torch.device("meta"):
        network = transformers().AutoModel.from_config(loaded(encoder.name, "AutoConfig"))
    return sum(p.numel() for p in network.parameters())


def layers_of_texts(
    network: Any, tokenizer: Any, texts: Sequence[str], names: Sequence[str], wanted: Sequence[str], pooling: Pooling
) -> Activations:
    """The hidden states of a network as Hugging Face makes it, `names` being what they are called in their order."""
    if tokenizer.pad_token is None:  # decoders have none; the mask keeps it out
        tokenizer.pad_token = tokenizer.eos_token
    most = _longest(network, tokenizer)
    held: dict[str, Tensor] = {}
    for rows in _alike(texts):
        given = tokenizer([texts[i] for i in rows], padding=True, truncation=True, max_length=most, return_tensors="pt")
        states = network(**given, output_hidden_states=True).hidden_states
        if len(states) != len(names):
            raise ValueError(f"the encoder gave {len(states)} hidden states, and its configuration says {len(names)}")
        for name, state in zip(names, states, strict=True):
            if name in wanted:
                found = pooled(state, pooling, given["attention_mask"])
                held.setdefault(name, found.new_empty(len(texts), found.shape[1]))[rows] = found
    return Activations(held)


def _alike(texts: Sequence[str]) -> Iterator[list[int]]:
    """Rows in batches, short texts with short ones: little is padded."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    return (order[start : start + BATCH] for start in range(0, len(order), BATCH))


def _longest(network: Any, tokenizer: Any) -> int:
    """Tokens that the encoder takes: some tokenizers say 10³⁰, some configurations nothing."""
    told = [tokenizer.model_max_length, getattr(network.config, "max_position_embeddings", None)]
    return min(int(most) for most in (*told, 512 if not told[1] else None) if most)
