"""LoRA adapters as the change of weights that they stand for."""

from __future__ import annotations

import json
import math
from pathlib import Path

from torch import Tensor

from infoscope.training.learner import Weights
from infoscope.unreadable import listed, unreadable

_DOWN, _UP, _ROOT = ".lora_A.", ".lora_B.", "base_model.model."


def is_adapter(weights: Weights) -> bool:
    """Whether these are the tensors of an adapter, as PEFT names them."""
    return any(_DOWN in name for name in weights)


def scale_beside(path: Path) -> float | None:
    """What an adapter's product is multiplied with, α/r or α/√r, by the `adapter_config.json` beside its file."""
    config = path.parent / "adapter_config.json"
    if not config.is_file():
        return None
    with unreadable(config, "adapter configuration", "write it again, or give the scale"):
        said = json.loads(config.read_text(encoding="utf-8"))
        rank = said["r"]
        return float(said["lora_alpha"]) / (math.sqrt(rank) if said.get("use_rslora") else rank)


def adapted(base: Weights, adapter: Weights, scale: float) -> dict[str, Tensor]:
    """The base with ΔW = scale · B A added to every weight that the adapter names (Hu et al. 2021).

    >>> import torch
    >>> low = {"a.lora_A.weight": torch.tensor([[1.0, 2.0]]), "a.lora_B.weight": torch.tensor([[3.0], [0.0]])}
    >>> adapted({"a.weight": torch.zeros(2, 2)}, low, 2.0)["a.weight"]
    tensor([[ 6., 12.],
            [ 0.,  0.]])
    """
    other = [name for name in adapter if _DOWN not in name and _UP not in name]
    if other:
        raise ValueError(
            f"the adapter holds more than products of two matrices, {listed(other, 3)}; merge it into its base first"
        )
    found = dict(base)
    for name, down in adapter.items():
        if _DOWN not in name:
            continue
        module = name.partition(_DOWN)[0].removeprefix(_ROOT)
        up, target = adapter.get(name.replace(_DOWN, _UP)), f"{module}.weight"
        if up is None or target not in base:
            lacks = "its second matrix" if up is None else f"a weight {target!r} in the base"
            raise ValueError(f"the adapter's {name!r} lacks {lacks}; give the base that the adapter was trained on")
        change = scale * (up.double().flatten(1) @ down.double().flatten(1))
        w = base[target]
        if change.shape != w.flatten(1).shape:
            change = change.T  # layers that keep inputs first, as GPT-2's
        if change.numel() != w.numel() or change.shape[0] != w.shape[0]:
            raise ValueError(
                f"the adapter's change of {target!r} is {tuple(change.shape)}, the weight {tuple(w.shape)}"
            )
        found[target] = (w.double() + change.reshape(w.shape)).to(w.dtype)
    return found
