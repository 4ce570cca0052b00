"""Networks of the library `transformers`, as a folder or the Hub holds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from infoscope.hugging_face import HUB, digest_of, is_saved_network, loaded, transformers

WITH_A_HEAD = ("ForCausalLM", "LMHeadModel", "ForSequenceClassification", "ForImageClassification")
"""Ends of the names of those classes that give logits for a task; any other one is given a classifier's head."""


@dataclass(frozen=True)
class HuggingFaceModel:
    """A network from a folder that `save_pretrained` wrote, or by its name on the Hub, with the weights it has there.

    A language model or classifier is what it was saved as; of any other network a classifier is made, whose head is
    drawn by the seed. It computes in single precision, without flash attention, whose second derivatives are missing.
    `digest` is of what its files hold, so that another one under the same name is another one.
    """

    name: str
    digest: str

    @classmethod
    def of(cls, name: str) -> HuggingFaceModel:
        """The network `hf:NAME`, or of this folder; only its configuration is read."""
        name = name.removeprefix(HUB)
        folder = Path(name)
        if folder.is_dir() and not is_saved_network(folder):
            raise ValueError(f"hf:{name}: the folder has no config.json; give one that save_pretrained wrote")
        config = loaded(name, "AutoConfig")
        return cls(name, digest_of(folder) if folder.is_dir() else getattr(config, "_commit_hash", None) or "unknown")

    @property
    def __name__(self) -> str:
        return f"{HUB}{self.name}"

    def __call__(self, shape: Any, outputs: int) -> nn.Module:
        """The network, for so many classes where it has no head of its own."""
        own = self._own_class()
        if own.endswith(WITH_A_HEAD):
            return self._made(own, dtype="float32")
        return self._made("AutoModelForSequenceClassification", dtype="float32", num_labels=outputs)

    def as_saved(self) -> nn.Module:
        """The network under its own class, its weights of their own types."""
        return self._made(self._own_class(), dtype="auto")

    def _own_class(self) -> str:
        """The class that the network was saved as."""
        told = getattr(loaded(self.name, "AutoConfig"), "architectures", None) or ["AutoModel"]
        return told[0] if hasattr(transformers(), told[0]) else "AutoModel"

    def _made(self, kind: str, **options: Any) -> nn.Module:
        network = loaded(self.name, kind, attn_implementation="eager", **options)
        network.config.use_cache = False
        if getattr(network.config, "pad_token_id", None) is None:
            network.config.pad_token_id = network.config.eos_token_id
        return network
