"""`infoscope information`: what a network knows, trained here or brought along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infoscope.cli import dry_run, figures, values
from infoscope.cli.app import Data, Run
from infoscope.cli.session import Session, print_config
from infoscope.learn.learner import Learner, Weights, copy_weights
from infoscope.learn.task import Task
from infoscope.prequential.coders import CODERS
from infoscope.prequential.partition import partition
from infoscope.prequential.questions import knowledge, training_part


def information(
    data: str,
    model: str | None,
    coder: str,
    k: int | None,
    train: int | None,
    weights: Path | None,
    trained_on: str | None,
    init: str | None,
    per_example: Path | None,
    reading: Data,
    run: Run,
) -> None:
    """How much does a network know about the data?"""
    files = {"weights": weights, "trained_on": trained_on, "init": init, "per_example": per_example}
    options = {"data": data, "model": model, "coder": coder, "k": k, "train": train, **files, **vars(reading)}
    if run.print_config:
        return print_config("information", options, run)
    if weights is None and (trained_on or init):
        raise ValueError("--trained-on and --init describe your own network; give its --weights too")
    code = values.method(coder, CODERS)
    if not code.needs_network:
        raise ValueError(f"{coder} knows no network; the information of a network needs its own code: replay or entk")
    tasks = values.tasks_from(data, reading)
    k = run.examples if k is None else k
    name, learner = values.learner_for(tasks[0], model)
    if run.dry_run:
        parts = (partition(task, k=k, train=train) for task in tasks)
        costs = (dry_run.of_knowledge(part, code, learner, run.orders, weights is not None) for part in parts)
        return dry_run.tell(sum(costs, dry_run.Cost()), run)
    own = _own_network(tasks[0], learner, weights, trained_on, init, reading)
    session = Session("information", run, options)
    terms: list[figures.Coded] = []
    choices = {"Network": name}
    with session.progress(len(tasks) * (3 if own else 4) * run.orders, "measuring"):
        for task in tasks:
            known = knowledge(
                task["test"] if own and "test" in task.splits else task,
                learner,
                code,
                k=k,
                train=train,
                replicates=run.orders,
                seed=run.seed,
                running=session.running(),
                **own,
            )
            session.append(known.measurements(), task=task.name)
            terms += figures.terms(task.name, known)
            choices[task.name] = "; ".join(known.notes) or f"{len(known.coded)} examples coded"
    if per_example is not None:
        values.save_per_example(per_example, {"initial_": terms[0].curves, "trained_": terms[1].curves})
    session.finish(f"Information of {name} about {data}", [figures.saving(terms)], {"its code": repr(code)}, choices)


def _own_network(
    task: Task, learner: Learner, weights: Path | None, trained_on: str | None, init: str | None, reading: Data
) -> dict[str, Any]:
    """What the caller says of a network that was trained elsewhere; empty if there is none."""
    if weights is None:
        return {}
    past = None
    if trained_on is not None:
        past = training_part(Task.from_dataset(trained_on, classes=reading.classes, size=reading.size))
    return {"weights": values.weights_from(weights), "trained_on": past, "initial": _initial(task, learner, init)}


def _initial(task: Task, learner: Learner, init: str | None) -> Weights | None:
    if init is None or not init.isdigit():
        return None if init is None else values.weights_from(Path(init))
    return copy_weights(learner.network(task.shape, task.classes, int(init)))
