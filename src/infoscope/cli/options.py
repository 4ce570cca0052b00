"""Options of every command: how data are read, how it runs, what it writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

POSITIVE = Parameter(validator=Number(gte=1))

DATA_OF_FILES: dict[str, list[str]] = {}
"""The DATA that configuration files name for each command: words without a name can't come through cyclopts."""


@Parameter(name="*")
@dataclass(frozen=True)
class Run:
    """How a command runs and what it writes.

    Attributes
    ----------
    device
        Where networks run: cpu, cuda, mps.
    jobs
        Processes side by side; as many as there are cores unless said otherwise.
    out
        Run directory. The same command finds its finished work there again.
    json
        Print one JSON object and nothing else on standard output.
    quiet
        No progress bar, no table.
    dry_run
        Say how many trainings and codes this would take, and about how long.
    print_config
        Print the options as TOML and stop.
    """

    device: str = "cpu"
    jobs: Annotated[int | None, POSITIVE] = None
    out: Path | None = None
    json: bool = False
    quiet: bool = False
    dry_run: bool = False
    print_config: bool = False


@Parameter(name="*")
@dataclass(frozen=True)
class DataOptions:
    """How the data are read.

    Attributes
    ----------
    classes
        Declare the number of classes, where the data name none and some may be missing.
    size
        Scale images to squares of this many pixels.
    label
        The column of a table that is to be predicted. Default: label, y or target, else the last.
    target
        What is to be said of an example where it should not be guessed: classes, labels, real or tokens.
    length
        Text is cut into blocks of so many bytes or tokens.
    tokenizer
        Texts are read as the tokens of this one, its folder or its name on the Hub (needs transformers).
    lines
        Every line of a text is an example.
    corrupt
        Add noise to all data that are named, but not to what weights were trained on: missing-pixels=0.1,
        missing-objects=0.1, massart=0.1, shuffled-labels, or the deficits of critical periods, blur=4, flip, permute
        and noise. Levels with commas, massart=0,0.1,0.2, or repeated, are compared. Behind a name, as in
        digits~massart=0.1, it is for this one alone.
    """

    classes: Annotated[int | None, POSITIVE] = None
    size: Annotated[int | None, POSITIVE] = None
    label: str | None = None
    target: Literal["classes", "labels", "real", "tokens"] | None = None
    length: Annotated[int, POSITIVE] = 256
    tokenizer: str | None = None
    lines: bool = False
    corrupt: tuple[str, ...] = ()
