"""A file that holds a data set's labels at their code length, and gives them back from the inputs alone.

One line of text names the format, one line of JSON is the header, the rest is the payload of the range coder. The
header says what both sides must share: the inputs' fingerprint, the alphabet, the coding order, the coder, versions,
device and number of threads. It holds nothing about the labels but a 32-bit check of the decoded ones.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import constriction
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from infoscope import __version__
from infoscope.data.content import digest_of_inputs
from infoscope.data.task import Task, coding_order, split
from infoscope.prequential import range_coder
from infoscope.prequential.encode import Coder, sender
from infoscope.prequential.loss_curve import LossCurve
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, check_device

MAGIC = b"infoscope labels 1\n"


@dataclass(frozen=True)
class Header:
    """What the decoder must share with the encoder, and the size of what follows."""

    inputs: str
    part: str | None
    n: int
    examples: int
    alphabet: tuple[str, ...]
    order: int
    coder: str
    model: str
    versions: dict[str, str]
    device: str
    threads: int
    check: int
    codelength_bits: float
    payload_bytes: int


@dataclass(frozen=True)
class Written:
    """A label file that was written: where, its header, and the sizes of header and payload in bits."""

    path: Path
    header: Header
    header_bits: int
    payload_bits: int


@dataclass(frozen=True)
class Decoded:
    """Labels read back: `labels[i]` belongs to row `index[i]` of the inputs, in the order of the rows."""

    index: Int[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]
    header: Header


def write_labels(
    path: str | Path,
    task: Task,
    curve: LossCurve,
    *,
    coder: str,
    model: str = "",
) -> Written:
    """Write the labels of a curve that kept its predictions; the file appears whole or not.

    `coder` and `model` are the names from which `read_labels` is given the same coder and learner.
    """
    if curve.p is None:
        raise ValueError("this curve did not keep its predictions; make it with keep_first=True")
    y = task.y.numpy()[curve.index]
    payload = range_coder.encode(y, curve.p)
    header = Header(
        task.input_fingerprint,
        _part(task),
        len(task),
        len(y),
        task.alphabet,
        curve.seed,
        coder,
        model,
        versions(),
        curve.receipt.device,
        curve.receipt.threads,
        zlib.crc32(y.astype("<i8").tobytes()),
        curve.total / np.log(2),
        len(payload),
    )
    head = MAGIC + json.dumps(dataclasses.asdict(header)).encode() + b"\n"
    path = Path(path)
    draft = path.with_name(f".{path.name}.part")
    draft.write_bytes(head + payload)
    draft.replace(path)
    return Written(path, header, 8 * len(head), 8 * len(payload))


def read_header(path: str | Path) -> tuple[Header, bytes]:
    """Header and payload of a label file; a ValueError says what is wrong with it."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    if not data.startswith(MAGIC):
        raise ValueError(f"{path}: is not a label file of infoscope (its first line differs)")
    try:
        line, payload = data[len(MAGIC) :].split(b"\n", 1)
        fields: dict[str, Any] = json.loads(line)
        fields["alphabet"] = tuple(fields["alphabet"])
        header = Header(**fields)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: its header is damaged ({error}); write it again") from error
    if len(payload) != header.payload_bytes:
        raise ValueError(f"{path}: holds {len(payload)} of {header.payload_bytes} bytes of payload; it was cut short")
    return header, payload


def read_labels(
    path: str | Path,
    inputs: Float[Tensor, "n ..."],
    coder: Coder,
    learner: Learner | None = None,
    *,
    on_label: Callable[[int, int], None] | None = None,
) -> Decoded:
    """The labels of a file, by replaying the sender on the inputs alone. No label is an argument, and none is read."""
    header, payload = read_header(path)
    _check_same(path, header, inputs)
    index = coding_order(header.n, header.order)[: header.examples]
    with isolated(header.order, threads=header.threads):
        x = inputs[torch.from_numpy(index)]
        code = sender(x, len(header.alphabet), coder, learner, header.order, check_device(header.device))
        labels = range_coder.decode(payload, code, header.examples, on_label)
    if zlib.crc32(labels.astype("<i8").tobytes()) != header.check:
        raise ValueError(
            f"{path}: the decoded labels fail the check: this machine computes in another way than {path}'s"
        )
    rows = np.argsort(index)
    return Decoded(index[rows], labels[rows], header)


def _part(task: Task) -> str | None:
    """The split that the task is, so that the decoder finds it in the data's name alone."""
    arguments = dict(task.origin.arguments)
    return arguments["which"] if task.origin.step is split else None


def versions() -> dict[str, str]:
    """What the last bit of a prediction depends on."""
    return {
        "infoscope": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "constriction": str(getattr(constriction, "__version__", "")),
        "cpu": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }


def _check_same(path: str | Path, header: Header, inputs: Tensor) -> None:
    if len(inputs) != header.n:
        raise ValueError(f"{path}: was written for {header.n} inputs; these are {len(inputs)}")
    if digest_of_inputs(inputs) != header.inputs:
        raise ValueError(f"{path}: was written for other inputs (their fingerprint differs); give the same data")
    here = versions()
    unlike = [f"{k} {v} (here {here.get(k)})" for k, v in header.versions.items() if here.get(k) != v]
    if unlike:
        raise ValueError(f"{path}: was written with {', '.join(unlike)}; the last bits may differ: use the same")
