"""`infoscope codelength` and `infoscope decode`: labels into bits and back."""

from __future__ import annotations

import json as json_
from pathlib import Path

import numpy as np

from infoscope.cli import dry_run, figures, values
from infoscope.cli.app import Data, Run
from infoscope.cli.bar import bar
from infoscope.cli.session import Session, print_config
from infoscope.data.datasets import inputs
from infoscope.data.task import Task
from infoscope.model_information.questions import about_labels, loss_curves, training_part
from infoscope.models import model as named_model
from infoscope.prequential.coders import CODERS
from infoscope.prequential.encode import Coder
from infoscope.prequential.label_file import Written, read_header, read_labels, write_labels
from infoscope.training.learner import Learner


def codelength(
    data: str, coder: str, model: str | None, write: Path | None, per_example: Path | None, reading: Data, run: Run
) -> None:
    """In how few bits can these labels be sent?"""
    options = {
        "data": data,
        "coder": coder,
        "model": model,
        "write": write,
        "per_example": per_example,
        **vars(reading),
    }
    if run.print_config:
        return print_config("codelength", options, run)
    values.check_targets(write, per_example)
    _check_one_task(write, per_example, reading)
    tasks = [training_part(task) for task in values.tasks_from(data, reading)]
    code = values.method(coder, CODERS)
    name, learner = _network_of(code, tasks[0], model)
    if run.dry_run:
        costs = (dry_run.of_codes(t, code, learner, run.orders, run.examples or len(t)) for t in tasks)
        return dry_run.tell(sum(costs, dry_run.Cost()), run)
    session = Session("codelength", run, options)
    shown: list[figures.Coded] = []
    with session.progress(len(tasks) * run.orders, "sending labels"):
        for task in tasks:
            curves = loss_curves(
                task,
                code,
                learner=learner,
                orders=run.orders,
                seed=run.seed,
                examples=run.examples,
                keep_first=write is not None,
                running=session.running(),
            )
            session.append(about_labels(task, curves), task=task.name)
            shown.append(figures.Coded(task.name, curves))
    choices = {"Coder": coder if not name else f"{coder} of {name}"}
    if write is not None:
        choices["Label file"] = _told(write_labels(write, tasks[0], shown[0].curves[0], coder=coder, model=name))
    if per_example is not None:
        values.save_per_example(per_example, {"": shown[0].curves})
    session.finish(f"Codelength of {data}", figures.of(shown), {}, choices)


def decode(
    file: Path, data: str, out: Path | None, model: str | None, size: int | None, json: bool, quiet: bool
) -> None:
    """Give labels back from the inputs alone."""
    header, _ = read_header(file)
    place = out or file.with_name(f"{file.name}.decoded.npz")
    if place.exists() and (place.samefile(file) or (Path(data).exists() and place.samefile(data))):
        raise ValueError(f"--out {place}: is what is read from; name another file")
    values.check_targets(place)
    if ":" in header.model and model != header.model:
        raise ValueError(f"{file}: was sent by the code of {header.model!r}; to run it, say --model {header.model}")
    x = inputs(data, size=size)
    if header.part is not None and len(x) != header.n:
        x = inputs(f"{data}:{header.part}", size=size)
    learner = Learner(named_model(header.model)) if header.model else None
    with bar(not quiet, "decoding") as advance:
        decoded = read_labels(file, x, values.method(header.coder, CODERS), learner, on_label=advance)
    with place.open("wb") as target:
        np.savez(target, y=decoded.labels, index=decoded.index, classes=np.array(header.alphabet))
    bits = 8 * header.payload_bytes
    if json:
        print(json_.dumps({"labels": len(decoded.labels), "file": str(place), "payload_bits": bits}))
    elif not quiet:
        print(f"{len(decoded.labels)} labels decoded from a payload of {bits} bits: {place} (y, index)")


def _check_one_task(write: Path | None, per_example: Path | None, reading: Data) -> None:
    if (write or per_example) and len(reading.corrupt) > 1:
        raise ValueError("--write and --per-example take one task; leave out all but one --corrupt")
    if write and any(word.startswith("missing-") for word in reading.corrupt):
        raise ValueError("--write: a decoder has the true inputs, not those with missing parts; leave --corrupt out")


def _network_of(code: Coder, task: Task, model: str | None) -> tuple[str, Learner | None]:
    if code.needs_network:
        return values.learner_for(task, model)
    if model is not None:
        raise ValueError("a model-free coder uses no --model; give --coder replay or entk as well")
    return "", None


def _told(written: Written) -> str:
    h = written.header
    return (
        f"{written.path}: order {h.order}, header {written.header_bits} bits, payload {written.payload_bits} bits "
        f"for a codelength of {h.codelength_bits:.1f} bits"
    )
