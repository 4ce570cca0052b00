"""One run of a command: its directory, its table, its progress bar, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from infoscope import __version__
from infoscope.cli.bar import bar
from infoscope.cli.former_commands import Run
from infoscope.figure import Figure
from infoscope.measurement import Measurement
from infoscope.model_information.wording import sentences
from infoscope.quantities import quantities
from infoscope.record import Record
from infoscope.report import json_text, show, write_html
from infoscope.run import Store, Work, key
from infoscope.run.context import RunContext
from infoscope.run.progress import fractions
from infoscope.training.learner import check_device

NONE: Mapping[str, str] = MappingProxyType({})


class Session:
    """Where a command keeps its finished looks, and how it tells what it does."""

    def __init__(self, command: str, run: Run, options: Mapping[str, Any]):
        check_device(run.device)
        self.run = run
        self.root = run.out or default_out(command, run, options)
        self.store = Store(self.root)
        self._claim(command, options)
        # Made again from the looks, which are what is kept; an earlier table stays until this one is whole.
        self.draft = self.root / "record.partial.jsonl"
        self.draft.unlink(missing_ok=True)
        self.record = Record(self.draft)
        self.done = 0
        self.jobs = run.jobs or cores()

    def _claim(self, command: str, options: Mapping[str, Any]) -> None:
        """Write on the folder what it holds; ValueError if it holds something else already."""
        mine = {"command": command, "data": _plain(options)["data"]}
        there: Any = None
        with suppress(ValueError):  # a damaged note tells nothing
            there = self.store.read_json("run")
        if there and {k: there.get(k) for k in mine} != mine:
            raise ValueError(f"{self.root}: holds the run `{there.get('line')}`; choose another --out")
        self.store.write_json(
            "run", {**mine, "line": command_line(), "version": __version__, "options": _plain(options)}
        )

    def running(self) -> RunContext:
        """How the looks of this command are taken."""
        return RunContext(self.store, self.jobs, self.run.device, self._count)

    def _count(self, work: Work) -> None:
        self.done += 1

    @contextmanager
    def progress(self, total: int, title: str) -> Iterator[None]:
        """A bar that counts finished looks, and how far the others are."""
        with bar(not self.run.quiet, title) as advance:
            over = threading.Event()

            def watch() -> None:
                while not over.wait(0.3):
                    advance(min(total, self.done + sum(fractions(self.root).values())), total)

            watcher = threading.Thread(target=watch, daemon=True)
            watcher.start()
            try:
                yield
            finally:
                over.set()
                watcher.join()

    def append(self, rows: Iterable[Measurement], **coordinates: str) -> None:
        """Add measurements to the table of this run."""
        for row in rows:
            self.record.append(row, **coordinates)

    def finish(
        self,
        title: str,
        figures: Sequence[Figure],
        facts: Mapping[str, str],
        choices: Mapping[str, str] = NONE,
        lead: str = "",
    ) -> None:
        """Write the report, then print the table, or the JSON. What was chosen for the caller stands in both."""
        lead = lead or sentences(self.record)
        if len(self.record):
            self.draft.replace(self.root / "record.jsonl")
        report = write_html(
            self.root / "report.html",
            self.record,
            title=title,
            lead=lead,
            figures=figures,
            facts={"command": command_line(), **choices, **facts},
            glossary=glossary(self.record),
        )
        if self.run.json:
            print(json_text(self.record))
        elif not self.run.quiet:
            show(self.record)
            print(lead, *(f"{what}: {chosen}" for what, chosen in choices.items()), f"Report: {report}", sep="\n")


def default_out(command: str, run: Run, options: Mapping[str, Any]) -> Path:
    """A folder under `infoscope-runs` whose name tells the command and the data, and whose hash tells the options."""
    what = {k: v for k, v in options.items() if k not in ("write", "per_example")}
    what |= {"orders": run.orders, "seed": run.seed, "examples": run.examples, "device": run.device}
    data = options["data"]
    names = [data] if isinstance(data, str) else data
    title = "-".join(re.sub(r"[^A-Za-z0-9_.=]+", "_", Path(name).name) for name in names)[:60]
    return Path("infoscope-runs") / f"{command}-{title}-{key((command, _plain(what)))[:8]}"


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
    return {k: str(v) if isinstance(v, Path) else list(v) if isinstance(v, tuple) else v for k, v in options.items()}
