"""LoRA adapters as the change of weights that they stand for."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from infoscope.training.learner import Weights
from infoscope.unreadable import listed, unreadable

_DOWN, _UP, _ROOT = ".lora_A.", ".lora_B.", "base_model.model."


@dataclass(frozen=True)
class Scaling:
    """What the products of an adapter are multiplied with: α/r, by `root` α/√r, of some modules with their own α or r.

    `turned` layers keep their inputs first, as GPT-2's do. `given` stands for all of them.

    >>> Scaling(alpha=16, rank=8, alphas={"q_proj": 4}).of("layers.0.q_proj"), Scaling(given=3.0).of("any")
    (0.5, 3.0)
    """

    alpha: float = 1.0
    rank: float = 1.0
    root: bool = False
    turned: bool = False
    alphas: Mapping[str, float] = field(default_factory=dict)
    ranks: Mapping[str, float] = field(default_factory=dict)
    given: float | None = None

    def of(self, module: str) -> float:
        """That of a module."""
        if self.given is not None:
            return self.given
        rank = _matched(self.ranks, module, self.rank)
        return _matched(self.alphas, module, self.alpha) / (math.sqrt(rank) if self.root else rank)


def _matched(pattern: Mapping[str, float], module: str, default: float) -> float:
    """The first entry whose name the module's ends with, as PEFT reads them: they are regular expressions."""
    return next((float(v) for key, v in pattern.items() if re.match(rf"(.*\.)?({key})$", module)), default)


def adapter_file(path: Path) -> Path:
    """The tensors of an adapter's folder; any other path as it is."""
    inside = path / "adapter_model.safetensors"
    return inside if inside.is_file() else path


def is_adapter(weights: Weights) -> bool:
    """Whether these are the tensors of an adapter, as PEFT names them."""
    return any(_DOWN in name for name in weights)


def scaling_beside(path: Path) -> Scaling | None:
    """What the `adapter_config.json` beside an adapter's file says."""
    config = path.parent / "adapter_config.json"
    if not config.is_file():
        return None
    with unreadable(config, "adapter configuration", "write it again, or give the scale"):
        said: Any = json.loads(config.read_text(encoding="utf-8"))
        return Scaling(
            float(said["lora_alpha"]), float(said["r"]), bool(said.get("use_rslora")), bool(said.get("fan_in_fan_out")),
            dict(said.get("alpha_pattern") or {}), dict(said.get("rank_pattern") or {}),
        )  # fmt: skip


def adapted(base: Weights, adapter: Weights, scaling: Scaling) -> dict[str, Tensor]:
    """The base with ΔW = scale · B A added to every weight that the adapter names (Hu et al. 2021).

    Weights that it holds whole, such as a new head, stand in the place of the base's.

    >>> import torch
    >>> low = {"a.lora_A.weight": torch.tensor([[1.0, 2.0]]), "a.lora_B.weight": torch.tensor([[3.0], [0.0]])}
    >>> adapted({"a.weight": torch.zeros(2, 2)}, low, Scaling(given=2.0))["a.weight"]
    tensor([[ 6., 12.],
            [ 0.,  0.]])
    """
    whole = {name.removeprefix(_ROOT): t for name, t in adapter.items() if _DOWN not in name and _UP not in name}
    if other := [name for name, t in whole.items() if name not in base or base[name].shape != t.shape]:
        raise ValueError(
            "the adapter holds more than products of two matrices and weights of its base, "
            f"{listed(other, 3)}; merge it into its base first"
        )
    found = {**base, **whole}
    for name, down in adapter.items():
        if _DOWN not in name:
            continue
        module = name.partition(_DOWN)[0].removeprefix(_ROOT)
        up, target = adapter.get(name.replace(_DOWN, _UP)), f"{module}.weight"
        if up is None or target not in base:
            lacks = "its second matrix" if up is None else f"a weight {target!r} in the base"
            raise ValueError(f"the adapter's {name!r} lacks {lacks}; give the base that the adapter was trained on")
        change = scaling.of(module) * (up.double().flatten(1) @ down.double().flatten(1))
        w = base[target]
        if scaling.turned or change.shape != w.flatten(1).shape:
            change = change.T
        if change.numel() != w.numel() or change.shape[0] != w.shape[0]:
            raise ValueError(
                f"the adapter's change of {target!r} is {tuple(change.shape)}, the weight {tuple(w.shape)}"
            )
        found[target] = (w.double() + change.reshape(w.shape)).to(w.dtype)
    return found
