"""Commands that are not yet questions of the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

POSITIVE = Parameter(validator=Number(gte=1))
app = App()


@Parameter(name="*")
@dataclass(frozen=True)
class Run:
    """How a command runs and what it writes.

    Attributes
    ----------
    orders
        Replicates: coding orders and seeds. The standard error is over them; one gives none.
    seed
        The first of the seeds.
    examples
        Send only the first so many labels in coding order, to one who has these inputs and no others.
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

    orders: Annotated[int, POSITIVE] = 3
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 0
    examples: Annotated[int | None, POSITIVE] = None
    device: str = "cpu"
    jobs: Annotated[int | None, POSITIVE] = None
    out: Path | None = None
    json: bool = False
    quiet: bool = False
    dry_run: bool = False
    print_config: bool = False


@Parameter(name="*")
@dataclass(frozen=True)
class Data:
    """How the data are read.

    Attributes
    ----------
    classes
        Declare the number of classes, where the data name none and some may be missing.
    size
        Scale images to squares of this many pixels.
    corrupt
        Add noise: missing-pixels=0.1, missing-objects=0.1, massart=0.1 or shuffled-labels. Repeat it to compare.
    """

    classes: Annotated[int | None, POSITIVE] = None
    size: Annotated[int | None, POSITIVE] = None
    corrupt: tuple[str, ...] = ()


RUN, DATA = Run(), Data()


def mi(file: Path, *, estimator: str = "kde-upper", null: int = 0, seed: int = 0, json: bool = False) -> None:
    """How much do layers hold about input and label? I(X;T) and I(T;Y) of saved activations.

    Parameters
    ----------
    file
        An .npz with labels `y`, activations `T1`, `T2` … a layer, and the inputs `X` if there are any.
    estimator
        One of `infoscope list estimators`, with options as in "ross(k=3)" or "saxe(width=0.5)".
    null
        Estimate again on so many shufflings of the labels, and flag what is not above them.
    seed
        Of shufflings, of draws of noise, of what is trained.
    json
        Print one JSON object and nothing else on standard output.
    """
    from infoscope.cli import mi as command

    command.mi(file, estimator, null, seed, json)


def plane(
    what: str,
    data: str | None = None,
    *,
    model: str | None = None,
    schedule: str | None = None,
    estimator: str | None = None,
    layers: tuple[str, ...] = (),
    epochs: Annotated[int | None, POSITIVE] = None,
    train: Annotated[int | None, POSITIVE] = None,
    bits: Annotated[int | None, Parameter(validator=Number(gte=1, lte=16))] = None,
    noise: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    null: int = 0,
    reading: Data = DATA,
    run: Run = RUN,
) -> None:
    """What do the layers know about input and label while a network trains? The information plane, animated.

    Parameters
    ----------
    what
        tishby (the 12-bit task and its network), DATA, module:factory (then DATA), a folder of checkpoints (then DATA
        and --model), or saved activations: an .npz with one array a layer and the labels y.
    data
        The data set that a factory or checkpoints go with.
    model
        Network: a name from `infoscope list models`, or module:factory.
    schedule
        Which epochs: every(n=10), log(per_decade=20), delta(delta=0.01), delta-approximate(delta=0.01). Default:
        delta, or log(per_decade=5) with --noise.
    estimator
        Such as "idnns", "saxe(width=0.5)", "kde-upper(variance=0.1)". Default: 30 bins over the layer's range, idnns
        for tishby; with --bits or --noise the exact one.
    layers
        Names or globs of layers, repeatable. Default: every layer after its activation.
    epochs
        Default: 8000 for tishby, else 20.
    train
        Examples to train on. Default: four fifths of tishby, else at most 10,000.
    bits
        Train with weights and activations of 2^bits levels, and measure exactly.
    noise
        Train with Gaussian noise of this variance on every layer but the last, and measure exactly.
    null
        Baselines of shuffled labels for I(T;Y).
    """
    from infoscope.cli import plane as command

    command.plane(
        command.Asked(what, data, model, schedule, estimator, layers, epochs, train, bits, noise, null, reading, run)
    )
