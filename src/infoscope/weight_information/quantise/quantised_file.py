"""Files of quantised weights: safetensors with packed codes and their steps, from which the weights come back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from safetensors import safe_open
from safetensors.torch import load, save
from torch import Tensor

from infoscope.unreadable import unreadable
from infoscope.weight_information.quantise.quantisation import Codes

FORMAT = "infoscope quantised weights 1"
_CHUNK = 1 << 20  # codes at once: a multiple of 8, so that every chunk but the last is whole bytes


def packed(codes: Int[Tensor, " *size"], bits: int) -> UInt8[Tensor, " bytes"]:
    """Codes, moved to start at 0, as `bits` bits each, the highest first.

    >>> packed(torch.tensor([-1, 0, 1, 1]), 2).tolist()
    [26]
    """
    flat = (codes.flatten().numpy().astype(np.int64) + 2 ** (bits - 1) - 1).astype(np.uint16)
    parts = [_bytes(flat[start : start + _CHUNK], bits) for start in range(0, len(flat), _CHUNK)]
    return torch.from_numpy(np.concatenate(parts) if parts else np.zeros(0, np.uint8))


def unpacked(held: UInt8[Tensor, " bytes"], bits: int, size: int) -> Int[Tensor, " size"]:
    """The codes that `packed` wrote."""
    step = _CHUNK * bits // 8
    parts = [_codes(held[start : start + step].numpy(), bits) for start in range(0, len(held), step)]
    flat = np.concatenate(parts)[:size] if parts else np.zeros(0, np.int32)
    return torch.from_numpy(flat - (2 ** (bits - 1) - 1))


def content(weights: Mapping[str, Tensor], codes: Mapping[str, Codes], same: Mapping[str, str]) -> bytes:
    """The file: codes where there are some, other weights as they are; `same` names tensors that others stand for."""
    tensors: dict[str, Tensor] = {}
    for name, one in codes.items():
        tensors |= {f"{name}.codes": packed(one.codes, one.bits), f"{name}.steps": one.steps}
    plain = {k: t.detach().clone().contiguous() for k, t in weights.items() if k not in codes and k not in same}
    if clash := [name for name in plain if name in tensors]:
        raise ValueError(f"the weights have a tensor called {clash[0]!r} already, as codes are; give it another name")
    facts = {k: {"bits": one.bits, "shape": list(one.codes.shape)} for k, one in codes.items()}
    header = {"format": FORMAT, "quantised": json.dumps(facts), "same": json.dumps(dict(same))}
    return save(tensors | plain, header)


def is_quantised(path: Path) -> bool:
    """Whether this is such a file."""
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    with unreadable(path, "file of weights", "write it again"), safe_open(path, "pt") as file:
        return (file.metadata() or {}).get("format") == FORMAT


def read_quantised(path: str | Path) -> dict[str, Tensor]:
    """The weights of a file that `infoscope quantise --save` wrote, in single precision: a state dict."""
    path = Path(path)
    if not is_quantised(path):
        raise ValueError(f"{path}: is no file of quantised weights; write one by `infoscope quantise --save`")
    with unreadable(path, "file of quantised weights", "write it again"):
        data = path.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        facts, same = json.loads(header["quantised"]), json.loads(header["same"])
        held = load(data)
        found = {
            name: _weights(held.pop(f"{name}.codes"), held.pop(f"{name}.steps"), one) for name, one in facts.items()
        }
    return found | held | {name: (found | held)[first] for name, first in same.items()}


def _weights(codes: Tensor, steps: Tensor, one: Mapping[str, Any]) -> Tensor:
    size = int(np.prod(one["shape"], dtype=np.int64))
    return Codes(unpacked(codes, one["bits"], size).view(one["shape"]), steps, one["bits"]).weights()


def _bytes(flat: np.ndarray, bits: int) -> np.ndarray:
    return np.packbits((flat[:, None] >> np.arange(bits - 1, -1, -1, dtype=np.uint16)) & 1)


def _codes(held: np.ndarray, bits: int) -> np.ndarray:
    places = np.unpackbits(held)
    rows = places[: len(places) // bits * bits].reshape(-1, bits).astype(np.int32)
    return (rows << np.arange(bits - 1, -1, -1, dtype=np.int32)).sum(1).astype(np.int32)
