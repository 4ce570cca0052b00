"""`infoscope decode`: labels back from the inputs alone."""

from __future__ import annotations

import json as json_
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from infoscope.cli.bar import bar
from infoscope.data.content import digest_of_inputs
from infoscope.data.inputs import one_array
from infoscope.data.readers import inputs
from infoscope.data.targets import MASKED, Tokens
from infoscope.method_text import method_of
from infoscope.model_information.files import check_writable
from infoscope.models import model as named_model
from infoscope.prequential.coders import CODERS
from infoscope.prequential.frozen import with_features
from infoscope.prequential.label_file import Header, check_file_features, read_header, read_labels
from infoscope.training.learner import Learner

BYTES = 256
"""Tokens of a text that was read without a tokenizer."""


@dataclass(frozen=True)
class Seen:
    """What was read when the file was written: images scaled to `size`, `label` the column left out, and `features`."""

    size: int | None = None
    label: str | None = None
    features: str | None = None


def decode(
    file: Path, data: str | None, out: Path | None, model: str | None, how: Seen, json: bool, quiet: bool
) -> None:
    """Give labels back from the inputs alone, text from nothing but the file."""
    header, _ = read_header(file)
    place = out or file.with_name(f"{file.name}.decoded.npz")
    if place.exists() and any(place.samefile(read) for read in (file, Path(data or file)) if read.exists()):
        raise ValueError(f"--out {place}: is what is read from; name another file")
    check_writable(place)
    if ":" in header.model and model != header.model:
        raise ValueError(f"{file}: was sent by the code of {header.model!r}; to run it, say --model {header.model}")
    coder = with_features(method_of(header.coder, CODERS), how.features)
    check_file_features(file, header, coder)
    x = _inputs(file, header, data, how)
    learner = Learner(named_model(header.model)) if header.model else None
    with bar(not quiet, "decoding") as advance:
        decoded = read_labels(file, x, coder, learner, on_label=advance)
    with place.open("wb") as target:
        np.savez(target, y=decoded.labels, index=decoded.index, classes=np.array(header.alphabet))
    told = f"{place} (y, index)"
    if header.target == Tokens(BYTES):
        (text := place.with_suffix(".txt")).write_bytes(_bytes(decoded.labels))
        told += f", {text}"
    bits = 8 * header.payload_bytes
    if json:
        print(json_.dumps({"labels": len(decoded.labels), "file": str(place), "payload_bits": bits}))
    elif not quiet:
        print(f"{len(decoded.labels)} labels decoded from a payload of {bits} bits: {told}")


def _inputs(file: Path, header: Header, data: str | None, how: Seen) -> Tensor:
    """What the sender had besides the labels; of text, whose tokens are both, its size alone."""
    if isinstance(header.target, Tokens):
        return torch.zeros(header.shape, dtype=torch.long)
    if data is None:
        raise ValueError(f"{file}: holds labels of inputs; name the data that they belong to")
    name = data
    x = one_array(inputs(name, size=how.size, label=how.label), data)
    if header.part is not None and len(x) != header.n:
        name = f"{data}:{header.part}"
        x = one_array(inputs(name, size=how.size, label=how.label), data)
    if how.label is None and digest_of_inputs(x) != header.inputs:
        # A table that has lost the column which is to come back: its last one is an input like the others.
        every = one_array(inputs(name, size=how.size, label=""), data)
        x = every if digest_of_inputs(every) == header.inputs else x
    return x


def _bytes(tokens: Int[np.ndarray, "n length"]) -> bytes:
    """The text of byte tokens, without what was masked."""
    return tokens[tokens != MASKED].astype(np.uint8).tobytes()
