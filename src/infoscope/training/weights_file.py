"""Files of weights: tensors by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from infoscope.training.learner import Weights


def weights_from(path: Path) -> Weights:
    """Tensors by name from a .safetensors file, or from a .pt that holds tensors only."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return {
                name: tensor.float() if tensor.is_floating_point() else tensor
                for name, tensor in load_file(path).items()
            }
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format raises its own
        raise ValueError(
            f"{path}: cannot be read as weights ({type(error).__name__}); save the tensors alone: model.state_dict()"
        ) from error
    tensors = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise ValueError(f"{path}: holds a {type(tensors).__name__}, not tensors by name; save model.state_dict()")
    return {_unwrapped(name): tensor for name, tensor in tensors.items()}


def _unwrapped(name: str) -> str:
    """A parameter's name without what data parallelism and compilation put before it."""
    for wrapper in ("module.", "_orig_mod."):
        name = name.removeprefix(wrapper)
    return name
