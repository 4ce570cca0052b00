"""Files that cannot be read: whatever a library raises over one becomes a ValueError of one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def unreadable(path: str | Path, what: str, remedy: str) -> Iterator[None]:
    """Around the calls of a library that reads `path`, and around nothing else: its errors name file and remedy.

    Damaged bytes make libraries raise dozens of kinds: KeyError, TokenError, struct.error, RecursionError …

    >>> with unreadable("a.json", "JSON file", "write it again"):
    ...     {}["n"]
    Traceback (most recent call last):
    ValueError: a.json: not a readable JSON file (KeyError: 'n'); write it again
    """
    try:
        yield
    except MemoryError as error:
        raise ValueError(f"{path}: asks for more memory than there is; {remedy}") from error
    except OSError as error:
        why = error.strerror or first_line(error)
        raise ValueError(f"{path}: not a readable {what} ({why}); {remedy}") from error
    except Exception as error:
        raise ValueError(f"{path}: not a readable {what} ({first_line(error)}); {remedy}") from error


def first_line(error: BaseException, most: int = 120) -> str:
    """What an exception says, on one line; its kind where it says nothing, or only a word."""
    text = " ".join(str(error).split())[:most]
    return text if " " in text else f"{type(error).__name__}: {text}" if text else type(error).__name__


def listed(names: Iterable[object], most: int = 8) -> str:
    """Names from a file in a message: quoted, as they may hold anything, and not too many of them.

    >>> listed(["x", "y"]), listed([])
    ("'x', 'y'", 'none')
    """
    every = [repr(name)[:60] for name in names]
    return ", ".join(every[:most] + [f"and {len(every) - most} more"] * (len(every) > most)) or "none"
