"""`infoscope --install-completion`: what the shell completes after the command's name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def install(*, shell: Literal["bash", "zsh", "fish", "powershell"] | None = None, output: Path | None = None) -> None:
    """Let the shell complete commands and options, from its next start on.

    Parameters
    ----------
    shell
        Default: the shell that this is called from.
    output
        Write the script to this file, and leave the shell's own files as they are. Default: where the shell looks for
        it, with a line in its start-up file where it needs one.
    """
    from cyclopts.completion import ShellDetectionError

    from infoscope.cli.app import app

    try:
        path = app.install_completion(shell=shell, output=output, add_to_startup=output is None)
    except ShellDetectionError as error:
        raise ValueError(f"{error}; name it, as in --shell bash") from error
    print(f"{path}: start a new shell, and <Tab> completes infoscope")
