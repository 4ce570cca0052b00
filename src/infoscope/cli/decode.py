"""`infoscope decode`: labels back from the inputs alone."""

from __future__ import annotations

import json as json_
from pathlib import Path

import numpy as np

from infoscope.cli.bar import bar
from infoscope.data.inputs import one_array
from infoscope.data.readers import inputs
from infoscope.method_text import method_of
from infoscope.model_information.files import check_writable
from infoscope.models import model as named_model
from infoscope.prequential.coders import CODERS
from infoscope.prequential.label_file import read_header, read_labels
from infoscope.training.learner import Learner


def decode(
    file: Path, data: str, out: Path | None, model: str | None, size: int | None, json: bool, quiet: bool
) -> None:
    """Give labels back from the inputs alone."""
    header, _ = read_header(file)
    place = out or file.with_name(f"{file.name}.decoded.npz")
    if place.exists() and (place.samefile(file) or (Path(data).exists() and place.samefile(data))):
        raise ValueError(f"--out {place}: is what is read from; name another file")
    check_writable(place)
    if ":" in header.model and model != header.model:
        raise ValueError(f"{file}: was sent by the code of {header.model!r}; to run it, say --model {header.model}")
    x = one_array(inputs(data, size=size), data)
    if header.part is not None and len(x) != header.n:
        x = one_array(inputs(f"{data}:{header.part}", size=size), data)
    learner = Learner(named_model(header.model)) if header.model else None
    with bar(not quiet, "decoding") as advance:
        decoded = read_labels(file, x, method_of(header.coder, CODERS), learner, on_label=advance)
    with place.open("wb") as target:
        np.savez(target, y=decoded.labels, index=decoded.index, classes=np.array(header.alphabet))
    bits = 8 * header.payload_bytes
    if json:
        print(json_.dumps({"labels": len(decoded.labels), "file": str(place), "payload_bits": bits}))
    elif not quiet:
        print(f"{len(decoded.labels)} labels decoded from a payload of {bits} bits: {place} (y, index)")
