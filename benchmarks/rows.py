"""The rows of the codelength benchmark: whose labels, which coder, and what is to be reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infoscope import NTK, Blocks, Kernel, Mixed, Replay
from infoscope.models import MLP, SmallCNN
from infoscope.prequential.encode import Coder
from peer import Preqtorch


@dataclass(frozen=True)
class Row:
    """The first `examples` of `data`, coded in the orders of seeds 0, 1, … `orders` − 1.

    `bits` and `seconds` are what their means are to stay under. With `random` labels are drawn anew, evenly, for every
    seed; `noise` is the share of them that is replaced by another. A `long` row is left out unless asked for.
    """

    data: str
    coder: Coder | Preqtorch
    network: Callable[..., Any] | None = None
    examples: int | None = None
    orders: int = 1
    bits: float | None = None
    seconds: float | None = None
    random: bool = False
    noise: float = 0.0
    long: bool = False


# preqtorch's best of peers/settings.jsonl (see results/preqtorch_settings.md), chosen on these very labels.
CONVOLUTIONAL = {
    "replay": "buffer", "batch": 16, "lr": 4e-3, "samples": 60, "alpha": 0.03, "widths": [], "convolutions": [32, 64],
}  # fmt: skip
DENSE = {"replay": "buffer", "batch": 4, "lr": 1e-3, "samples": 40, "widths": [512]}
PEERS = {"digits": "digits-preqtorch", "mnist": "mnist10k-preqtorch"}
"""The peer's row of a data set, if it has one."""

ROWS = {
    "digits-preqtorch": Row("digits", Preqtorch(CONVOLUTIONAL), orders=5),
    "digits-preqtorch-mlp": Row("digits", Preqtorch(DENSE), orders=5),
    "digits-kernel": Row("digits", Kernel(), orders=20, bits=100, seconds=3),
    "digits-mixed": Row("digits", Mixed(), orders=20, bits=100, seconds=3),
    "digits-entk": Row("digits", NTK(), MLP((512,)), orders=20, bits=330, seconds=8),
    "digits-replay": Row("digits", Replay(), MLP((512,)), orders=5),
    "digits-blocks": Row("digits", Blocks(), MLP((512,)), orders=5),
    "digits-blocks-warm": Row("digits", Blocks(warm=True), MLP((512,)), orders=5),
    "random-kernel": Row("digits", Kernel(), orders=20, random=True),
    "random-entk": Row("digits", NTK(), MLP(), examples=500, orders=20, random=True),
    "random-replay": Row("digits", Replay(), MLP(), examples=500, orders=20, random=True),
    "mnist10k-preqtorch": Row("mnist", Preqtorch(CONVOLUTIONAL | {"samples": 20}), examples=10_000),
    "mnist10k-kernel": Row("mnist", Kernel(), examples=10_000, bits=480, seconds=43),
    "mnist10k-mixed": Row("mnist", Mixed(), examples=10_000, bits=480, seconds=37),
    "mnist2k-mixed": Row("mnist", Mixed(), examples=2000),
    "mnist2k-mixed, 20 % noise": Row("mnist", Mixed(), examples=2000, noise=0.2),
    "mnist2k-mixed, 45 % noise": Row("mnist", Mixed(), examples=2000, noise=0.45),
    "mnist2k-kernel, 20 % noise": Row("mnist", Kernel(), examples=2000, noise=0.2),
    "sst2-mixed": Row("sst2", Mixed(), examples=3000, bits=2481),
    "trec-mixed": Row("trec", Mixed(), examples=3000, bits=2852),
    "mnist500-replay": Row("mnist", Replay(), SmallCNN(), examples=500, bits=257, seconds=20),
    "mnist1k-replay": Row("mnist", Replay(), SmallCNN(), examples=1000, seconds=35),
    "mnist10k-replay": Row("mnist", Replay(), SmallCNN(), examples=10_000, bits=1000),
    "mnist60k-replay": Row("mnist", Replay(), SmallCNN(), examples=60_000, bits=2500, long=True),
    "mnist10k-blocks": Row("mnist", Blocks(), SmallCNN(), examples=10_000),
    "mnist10k-blocks-warm": Row("mnist", Blocks(warm=True), SmallCNN(), examples=10_000),
    "mnist60k-kernel": Row("mnist", Kernel(), examples=60_000, bits=1450, seconds=400, long=True),
}
