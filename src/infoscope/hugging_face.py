"""What is read by the library `transformers`: it is imported here, when something is asked of it, and nowhere else."""

from __future__ import annotations

import hashlib
import json
from importlib import import_module
from pathlib import Path
from typing import Any

HUB = "hf:"
"""Stands before the name or the folder of a network that `transformers` reads."""


def transformers() -> Any:
    """The library; a ValueError if it is not there."""
    try:
        library = import_module("transformers")
    except ImportError as error:
        raise ValueError("hf:NAME is read by transformers, which is not there: pip install transformers") from error
    library.utils.logging.set_verbosity_error()  # what matters it raises; standard error is for the progress
    library.utils.logging.disable_progress_bar()
    return library


def loaded(name: str, kind: str, **options: Any) -> Any:
    """A tokenizer, a configuration or a network, by its class there; a ValueError if there is none of this name."""
    library = transformers()
    try:
        return getattr(library, kind).from_pretrained(name, **options)
    except (OSError, ValueError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise ValueError(
            f"hf:{name}: neither a folder that save_pretrained wrote nor to be had from the Hub ({first}); check the "
            "name, or download it and give the folder"
        ) from error


def tokenizer_of(given: Any) -> Any:
    """A tokenizer as it is, or the one in the folder or of the name on the Hub that was given."""
    return loaded(given, "AutoTokenizer") if isinstance(given, str) else given


def is_saved_network(path: Path) -> bool:
    """Whether `save_pretrained` wrote this folder: a configuration lies in it."""
    return (path / "config.json").is_file()


def digest_of(folder: Path) -> str:
    """Of all files of a local network."""
    found = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.iterdir()):
        if path.is_file():
            found.update(path.name.encode())
            with path.open("rb") as file:
                found.update(hashlib.file_digest(file, "blake2b").digest())
    return found.hexdigest()


def revision_of(name: str) -> str:
    """What tells one network from another under the same name: of a folder its files, else the commit on the Hub."""
    folder = Path(name)
    if folder.is_dir():
        if not is_saved_network(folder):
            raise ValueError(f"hf:{name}: the folder has no config.json; give one that save_pretrained wrote")
        return digest_of(folder)
    return getattr(loaded(name, "AutoConfig"), "_commit_hash", None) or "unknown"


def file_of(name: str, file: str) -> dict[str, Any]:
    """A file of JSON beside a network; nothing if there is none."""
    path = Path(name) / file
    if not Path(name).is_dir():
        found = transformers().utils.cached_file(name, file, _raise_exceptions_for_missing_entries=False)
        path = Path(found or "")
    return json.loads(path.read_text()) if path.is_file() else {}
