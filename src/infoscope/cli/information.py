"""`infoscope information`: what a network knows, trained here or brought along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infoscope.cli import dry_run, figures, values
from infoscope.cli.app import Data, Run
from infoscope.cli.session import Session, print_config
from infoscope.data.partition import MOST_CODED, partition
from infoscope.data.task import Task
from infoscope.model_information.questions import knowledge, training_part
from infoscope.prequential.coders import CODERS
from infoscope.prequential.encode import Coder
from infoscope.report import Figure
from infoscope.training.learner import Learner, Weights, copy_weights


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
    if k is not None and run.examples is not None:
        raise ValueError("--k and --examples both say how many examples are coded; give one of them")
    if per_example is not None and len(tasks) > 1:
        raise ValueError("--per-example takes one task; leave out all but one --corrupt")
    values.check_targets(per_example)
    k = run.examples if k is None else k
    name, learner = values.learner_for(tasks[0], model)
    if run.dry_run:
        costs = (_cost(task, code, learner, k, train, run, trained=weights is not None) for task in tasks)
        return dry_run.tell(sum(costs, dry_run.Cost()), run)
    own = _own_network(tasks[0], learner, weights, trained_on, init, reading)
    session = Session("information", run, options)
    terms: list[figures.Coded] = []
    saved: list[Figure] = []
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
            saved.append(figures.saving(task.name, known))
            choices[task.name] = "; ".join(known.notes) or f"{len(known.coded)} examples coded"
    if per_example is not None:
        values.save_per_example(per_example, {"initial_": terms[0].curves, "trained_": terms[1].curves})
    shown = [*saved, figures.costs(terms)]
    session.finish(f"Information of {name} about {data}", shown, {"its code": repr(code)}, choices)


def _cost(
    task: Task, code: Coder, learner: Learner, k: int | None, train: int | None, run: Run, trained: bool
) -> dry_run.Cost:
    if not trained:
        return dry_run.of_knowledge(partition(task, k=k, train=train), code, learner, run.orders)
    coded = task["test"] if "test" in task.splits else task
    return dry_run.of_codes(coded, code, learner, 2 * run.orders, min(k or MOST_CODED, len(coded)))


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
