"""The command line: it parses, calls and shows. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import os
import sys

OK, FAILURE, USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


def main(argv: list[str] | None = None) -> None:
    """Run one command and leave with its exit code: 0 done, 1 failed, 2 wrong usage, 130 (or 143) interrupted."""
    from infoscope.interrupt import interrupted_once, terminated_in_order

    with interrupted_once(for_good=True), terminated_in_order():
        sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: list[str]) -> int:
    """Run one command; its exit code. Every error is one clear line on standard error."""
    import warnings

    from cyclopts import CycloptsError

    from infoscope.cli.app import app, configured
    from infoscope.interrupt import Terminated

    warnings.showwarning = lambda message, *_: _say(f"warning: {message}")
    try:
        app(configured(argv), exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _told(_one_line(error), USAGE)
    except KeyboardInterrupt:
        return _told("interrupted; the same command goes on where it stopped", INTERRUPTED)
    except Terminated:
        return _told("ended by the system; the same command goes on where it stopped", TERMINATED)
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except BaseException as error:  # a user's model or data may raise anything, and even leave
        if isinstance(error.__context__, BrokenPipeError):  # rich was the first to see it, and leaves
            return OK
        if os.environ.get("INFOSCOPE_TRACEBACK"):
            raise
        return _told(_sentence(error), FAILURE)
    return OK


def _told(message: str, code: int) -> int:
    _say(message)
    return code


def _say(message: str) -> None:
    print(f"infoscope: {' '.join(message.split())}", file=sys.stderr)


def _sentence(error: BaseException) -> str:
    """Our own errors are sentences; of others, which a user's code may raise, the kind is told too."""
    if isinstance(error, SystemExit):
        return f"the model or the data ended the program (exit {error.code}); nothing was measured"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, (ValueError, TypeError, RuntimeError, ImportError, OSError)) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error} (INFOSCOPE_TRACEBACK=1 shows where)"


def _one_line(error: object) -> str:
    from io import StringIO

    from rich.console import Console

    console = Console(file=StringIO(), width=10_000)
    console.print(error, markup=False, highlight=False)
    return f"{error}" if str(error) else str(console.file)
