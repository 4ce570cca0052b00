"""`infoscope difficulty`: the main job."""

from __future__ import annotations

from collections.abc import Sequence

from infoscope.cli import dry_run, figures, values
from infoscope.cli.app import Data, Run
from infoscope.cli.session import Session, print_config
from infoscope.data.partition import MOST_CODED, partition
from infoscope.model_information.questions import comparable, describe, training_part
from infoscope.prequential.coders import CODERS
from infoscope.report import Figure


def difficulty(
    data: Sequence[str], model: str | None, coder: str, k: int | None, train: int | None, reading: Data, run: Run
) -> None:
    """How hard are these tasks, and how much of them does a network learn?"""
    if not data:
        raise ValueError("name one or more data sets, such as digits")
    options = {"data": list(data), "model": model, "coder": coder, "k": k, "train": train, **vars(reading)}
    if run.print_config:
        return print_config("difficulty", options, run)
    code, kernel = values.method(coder, CODERS), CODERS["kernel"]
    tasks = values.told_apart([task for name in data for task in values.tasks_from(name, reading)])
    parts = comparable([partition(task, k=k, train=train) for task in tasks])
    learners = [values.learner_for(task, model) for task in tasks]
    if run.dry_run:
        total = dry_run.Cost()
        for task, part, (_, learner) in zip(tasks, parts, learners, strict=True):
            whole = training_part(task)
            total += dry_run.of_codes(whole, kernel, None, run.orders, run.examples or min(MOST_CODED, len(whole)))
            total += dry_run.of_knowledge(part, code, learner, run.orders)
        return dry_run.tell(total, run)
    session = Session("difficulty", run, options)
    labels: list[figures.Coded] = []
    saved: list[Figure] = []
    with session.progress(len(tasks) * 5 * run.orders, "measuring"):
        for task, part, (_, learner) in zip(tasks, parts, learners, strict=True):
            found = describe(
                task,
                part,
                learner,
                code,
                kernel,
                orders=run.orders,
                seed=run.seed,
                examples=run.examples,
                running=session.running(),
            )
            session.append(found.measurements(), task=task.name)
            labels.append(figures.Coded(task.name, found.curves))
            saved.append(figures.saving(task.name, found.known))
    choices = {"Network": ", ".join(dict.fromkeys(name for name, _ in learners))}
    choices |= {task.name: "; ".join(part.notes) for task, part in zip(tasks, parts, strict=True)}
    shown = [*figures.of(labels), *saved]
    session.finish(f"Difficulty of {', '.join(task.name for task in tasks)}", shown, {"its code": repr(code)}, choices)
