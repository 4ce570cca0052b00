"""One run of a command: its directory, its table, its progress bar, and what it leaves behind."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from infoscope import __version__
from infoscope.cli.bar import bar
from infoscope.cli.options import Run
from infoscope.quantities import quantities
from infoscope.record import Record, Row
from infoscope.report import json_text, show, write_html
from infoscope.report.wording import duration
from infoscope.run import Store, Work, key
from infoscope.run.context import RunContext
from infoscope.run.free_memory import available, mebibytes
from infoscope.run.progress import fractions
from infoscope.run.question import Answer, Question, cost, units
from infoscope.run.study import Uncountable
from infoscope.training.learner import check_device

FILES = ("write", "per_example")
"""Options that name a file to write: they do not change the answer."""


class Session:
    """Where a command keeps its finished work, and how it tells what it does."""

    def __init__(self, command: str, options: Mapping[str, Any], run: Run, store: Path | None = None):
        check_device(run.device)
        self.run = run
        self.root = run.out or default_out(command, options, run)
        self.store = Store(self.root)
        self.works = Store(store) if store else self.store
        # A finished run may be read back from where nothing can be written.
        self.writable = os.access(self.root, os.W_OK)
        self._claim(command, options)
        # Made again from the looks, which are what is kept; an earlier table stays until this one is whole.
        self.draft = self.root / "record.partial.jsonl"
        if self.writable:
            self.draft.unlink(missing_ok=True)
        self.partial = Record(self.draft if self.writable else None)
        self.done = 0
        self.jobs = run.jobs or cores()

    def _claim(self, command: str, options: Mapping[str, Any]) -> None:
        """Write on the folder what it holds; ValueError if it holds something else already.

        A run that was refused before any of its work was done has left nothing to hold.
        """
        mine = {"command": command, "options": _deciding(options, self.run)}
        there: Any = None
        with suppress(ValueError):  # a damaged note tells nothing
            there = self.store.read_json("run")
        if there and {k: there.get(k) for k in mine} != mine and self._holds_work():
            raise ValueError(f"{self.root}: holds the run `{there.get('line')}`; choose another --out")
        if self.writable or not there:
            self.store.write_json("run", {**mine, "line": command_line(), "version": __version__})

    def _holds_work(self) -> bool:
        return any(path.is_file() and path.name != "run.json" and path.stat().st_size for path in self.root.rglob("*"))

    def context(self) -> RunContext:
        """How the work of this command is done."""
        return RunContext(self.works, self.jobs, self.run.device, self._count, self._append, self._tell_plan)

    def _count(self, work: Work) -> None:
        self.done += 1

    def _tell_plan(self, plan: str) -> None:
        """On standard error: standard output is for the answer."""
        if not self.run.quiet:
            print(plan, file=sys.stderr)

    def _append(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self.partial.append(row.measurement, **row.coordinates)

    @contextmanager
    def progress(self, question: Question[Any]) -> Iterator[None]:
        """A bar that counts finished work, and how far the rest is."""
        shown = not self.run.quiet and sys.stderr.isatty()
        total = _total(question, self.run.device) if shown else None
        with bar(shown, "measuring") as advance:
            over = threading.Event()

            def watch() -> None:
                while not over.wait(0.3):
                    done = self.done + sum(fractions(self.works.root or self.root).values())
                    advance(done if total is None else min(total, done), total)

            watcher = threading.Thread(target=watch, daemon=True)
            watcher.start()
            try:
                yield
            finally:
                over.set()
                watcher.join()

    def finish(self, answer: Answer) -> None:
        """Write the report and print the table, or the JSON. What was chosen for the caller stands in both.

        What could not be written is told when all that can be shown has been.
        """
        record, choices, lead = answer.record(), dict(answer.choices()), answer.sentence()
        trouble: OSError | None = None
        try:
            self._keep(record)
            choices |= answer.write(self.root)
            self._report(answer, record, choices)
        except OSError as error:
            trouble = error if error.filename else OSError(error.errno, error.strerror, str(self.root))
        if self.run.json:
            print(json_text(record))
        elif not self.run.quiet:
            show(record)
            told = [f"{what}: {chosen}" for what, chosen in choices.items()]
            print(lead, *told, *([] if trouble else [f"Report: {self.report}"]), sep="\n")
        if trouble is not None:
            raise trouble

    @property
    def report(self) -> Path:
        """Where the report is."""
        return self.root / "report.html"

    def _report(self, answer: Answer, record: Record, choices: Mapping[str, str]) -> None:
        if not self.writable:
            return
        write_html(
            self.report,
            record,
            title=answer.title,
            lead=answer.sentence(),
            figures=answer.figures(),
            facts={"command": command_line(), **choices},
            glossary=glossary(record),
        )

    def _keep(self, record: Record) -> None:
        """The whole table in place of the partial one."""
        if not self.writable:
            return
        self.draft.unlink(missing_ok=True)
        whole = Record(self.draft)
        for row in record:
            whole.append(row.measurement, **row.coordinates)
        if len(record):
            self.draft.replace(self.root / "record.jsonl")


def default_out(command: str, options: Mapping[str, Any], run: Run) -> Path:
    """A folder under `infoscope-runs` whose name tells the command and the data, and whose hash tells the options."""
    data = options.get("data") or ()
    names = [data] if isinstance(data, str | Path) else data
    title = "-".join(re.sub(r"[^A-Za-z0-9_.=]+", "_", Path(name).name) for name in names)[:60]
    parts = [command, title, key((command, _deciding(options, run)))[:8]]
    return Path("infoscope-runs") / "-".join(part for part in parts if part)


def _total(question: Question[Any], device: str) -> int | None:
    """How many units a question is, None where that shows only as it goes."""
    try:
        return sum(units(question, device).values())
    except Uncountable:
        return None


def _deciding(options: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """The options that decide what comes out."""
    return {k: v for k, v in _plain(options).items() if k not in FILES} | {"device": run.device}


def tell_cost(question: Question[Any], run: Run) -> None:
    """Say how many trainings and codes this would take, and about how long, in words or as JSON."""
    jobs = run.jobs or cores()
    started = time.process_time()  # loading the library and the data, which a run pays too, and each of its workers
    found = cost(question, RunContext(jobs=jobs, device=run.device))
    most = max([1, *found.units.values()])
    jobs = min(jobs, most)
    seconds = found.seconds * math.ceil(most / jobs) / most + started * (2 if jobs > 1 else 1)
    if run.json:
        told = {**found.units, "seconds": round(seconds, 1), "jobs": jobs, "remarks": list(found.remarks)}
        told |= {"memory_bytes": found.memory * jobs} if found.memory else {}
        print(json.dumps({"dry_run": told}))
        return
    counted = [f"{count} {kind if count > 1 else _one(kind)}" for kind, count in found.units.items()]
    counted = [*counted[:-2], " and ".join(counted[-2:])]
    print(f"This takes {', '.join(counted) or 'nothing'}: {duration(seconds)} with {jobs} jobs, by a short trial.")
    if found.memory:
        apart = f", {mebibytes(found.memory)} a job" if jobs > 1 else ""
        left = mebibytes(available())
        print(f"It fills at most {mebibytes(found.memory * jobs)} beside the data{apart}; {left} may be had.")
    print(*found.remarks, sep="\n", end="\n" if found.remarks else "")


def _one(kind: str) -> str:
    """One of several.

    >>> _one("trainings"), _one("passes")
    ('training', 'pass')
    """
    return kind.removesuffix("es" if kind.endswith("sses") else "s")


def glossary(record: Record) -> dict[str, str]:
    """The meaning of every quantity in the table."""
    meanings = {q.symbol: f"{q.name}. {q.meaning}" for q in quantities()}
    symbols = dict.fromkeys(row.measurement.quantity for row in record)
    return {symbol: meanings[symbol] for symbol in symbols if symbol in meanings}


def command_line() -> str:
    """The command as it was typed, to be typed again."""
    return shlex.join(["infoscope", *sys.argv[1:]])


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def print_config(command: str, options: Mapping[str, Any], run: Run) -> None:
    """The options as a table of the file that `--config` reads."""
    print(f"[{command}]")
    for name, value in _plain({**options, **vars(run)}).items():
        if value is not None and name not in ("print_config", "dry_run"):
            print(f"{name.replace('_', '-')} = {json.dumps(value)}")


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    return {k: [_word(one) for one in v] if isinstance(v, tuple) else _word(v) for k, v in options.items()}


def _word(value: Any) -> Any:
    """A place as its name; everything else as it is."""
    return str(value) if isinstance(value, Path) else value
