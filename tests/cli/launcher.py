"""A process that has imported what every command imports and forks for each: a command starts at once.

It reads one JSON line a command (words, folder, environment, files for standard output and error) and writes its exit
code. What depends on a fresh interpreter (signals, environment at import) is tested in a process of its own.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib import import_module

from infoscope.cli import main
from infoscope.questions import QUESTIONS

SECONDS = 250


def fork(words: list[str], folder: str, environment: dict[str, str], out: str, err: str) -> int:
    """The exit code of one command, run in a fork of this process."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    signal.alarm(SECONDS)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for place, path in enumerate((os.devnull, out, err)):
        os.dup2(os.open(path, os.O_RDONLY if place == 0 else os.O_WRONLY | os.O_CREAT), place)
    sys.path[0], sys.argv = folder, ["infoscope", *words]
    main()
    raise AssertionError("a command leaves by its exit code")


if __name__ == "__main__":
    for place in ("infoscope.cli.app", "infoscope.cli.command", "infoscope.report.html", "pandas", *QUESTIONS.values()):
        import_module(place.partition(":")[0])
    for line in sys.stdin:
        print(fork(*json.loads(line)), flush=True)
