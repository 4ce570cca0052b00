"""How much memory is left for what a file or a method asks for."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_MEMINFO, _CONTAINER = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def available() -> int:
    """Bytes that can still be had, what the system keeps of files counted in, within what a container may have.

    On a system that does not tell, half of all there is.
    """
    left = _of_machine()
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        limit, used = (int((_CONTAINER / name).read_text()) for name in ("memory.max", "memory.current"))
        left = min(left, max(0, limit - used + _numbers(_CONTAINER / "memory.stat").get("inactive_file", 0)))
    return left


def mebibytes(size: float) -> str:
    """A number of bytes for a person.

    >>> mebibytes(3 << 20), mebibytes(5 << 30)
    ('3 MiB', '5.0 GiB')
    """
    return f"{size / 2**30:.1f} GiB" if size >= 1 << 30 else f"{max(1, round(size / 2**20))} MiB"


def _of_machine() -> int:
    with suppress(OSError, ValueError, KeyError):
        return _numbers(_MEMINFO)["MemAvailable"] * 1024
    with suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 << 30


def _numbers(path: Path) -> dict[str, int]:
    """The lines `name number …` of a file of the system."""
    words = (line.replace(":", " ").split() for line in path.read_text().splitlines())
    return {name: int(number) for name, number, *_ in words}
