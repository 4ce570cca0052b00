"""Codes labels with preqtorch's own encoders, in its own environment; prints bits and CPU seconds as JSON.

The arrays are given in coding order: x (n, 1, height, width) float32, y (n,) int64, and the number of classes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import time
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise

import numpy as np
import torch
from preqtorch import BlockEncoder, MIREncoder, ModelClass
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class Network(nn.Module):
    """A classifier of whole batches (x, y), as preqtorch wants it: linear layers, after two convolutions if asked."""

    def __init__(self, shape: tuple[int, ...], classes: int, widths: tuple[int, ...], convolutions: tuple[int, ...]):
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for maps in convolutions:
            layers += [nn.Conv2d(channels, maps, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            channels = maps
        sizes = [nn.Sequential(*layers, nn.Flatten())(torch.zeros(1, *shape)).shape[1], *widths, classes]
        layers.append(nn.Flatten())
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Logits (n, classes)."""
        return self.layers(batch[0])


@dataclass(frozen=True)
class Setting:
    """What preqtorch lets a user choose. `replay` is "streams" or "buffer" (`MIREncoder`), or "blocks"."""

    replay: str = "streams"
    samples: int = 20
    lr: float = 1e-3
    batch: int = 16
    widths: tuple[int, ...] = (256,)
    convolutions: tuple[int, ...] = ()
    alpha: float = 0.1
    ema: bool = True
    beta: bool = True
    epochs: int = 50
    patience: int = 20
    first: int = 64
    xavier: bool = True  # preqtorch's initial weights; otherwise torch's


def cross_entropy(batch: tuple[torch.Tensor, torch.Tensor], output: torch.Tensor) -> torch.Tensor:
    """Code lengths in nats, (n,)."""
    return F.cross_entropy(output, batch[1], reduction="none")


def code(x: torch.Tensor, y: torch.Tensor, classes: int, setting: Setting, seed: int) -> float:
    """Code length of the labels in this order, bits."""
    kwargs = {"shape": tuple(x.shape[1:]), "classes": classes}
    kwargs |= {"widths": setting.widths, "convolutions": setting.convolutions}
    model = ModelClass(Network, "cpu", kwargs, None if setting.xavier else lambda network: network)
    common = {"set_name": "", "seed": seed, "loss_fn": cross_entropy, "learning_rate": setting.lr}
    if setting.replay == "blocks":
        result = BlockEncoder(model, "cpu").encode(
            *_blocks(x, y, setting), **common, epochs=setting.epochs, patience=setting.patience
        )
    else:
        result = MIREncoder(model, "cpu").encode(
            DataLoader(TensorDataset(x, y), setting.batch),
            **common,
            n_replay_samples=setting.samples,
            replay_type=setting.replay,
            alpha=setting.alpha,
            use_beta=setting.beta,
            use_ema=setting.ema,
        )
    return result.code_length / math.log(2)


def _blocks(x: torch.Tensor, y: torch.Tensor, setting: Setting) -> tuple[list[DataLoader], list[DataLoader]]:
    """Loaders of the prefixes to train on and of the doubling blocks to code."""
    stops = [0, setting.first]
    while stops[-1] < len(x):
        stops.append(min(2 * stops[-1], len(x)))
    train = [DataLoader(TensorDataset(x[:s], y[:s]), setting.batch, shuffle=True) for s in stops[1:]]
    ends = pairwise(stops)
    return train, [DataLoader(TensorDataset(x[a:b], y[a:b]), 1024) for a, b in ends]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arrays", help="an .npz with x, y and classes")
    parser.add_argument("--setting", type=json.loads, default={}, help="JSON of what differs from the defaults")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with np.load(options.arrays) as arrays:
        x, y = (torch.from_numpy(arrays[k]) for k in "xy")
        classes = int(arrays["classes"])
    setting = Setting(**options.setting)
    with contextlib.redirect_stdout(io.StringIO()):  # preqtorch prints
        code(x[:24], y[:24], classes, setting, options.seed)  # warms up
        start = time.process_time()
        bits = code(x, y, classes, setting, options.seed)
        seconds = time.process_time() - start
    print(json.dumps({"bits": bits, "cpu_seconds": seconds, "preqtorch": version("preqtorch"), **vars(setting)}))


if __name__ == "__main__":
    main()
