"""A call pickled for another process, and what it returns or raises pickled for the way back."""

from __future__ import annotations

import io
import pickle
import sys
import traceback
import types
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any


class NotPortable(Exception):
    """The call can't be sent to another process; the text says why."""


def pickle_call(fn: Callable[..., Any], args: tuple[Any, ...]) -> bytes:
    """The call pickled, with the folders in which a worker finds the modules it names."""
    _check_main_can_be_read()
    body = io.BytesIO()
    pickler = _Pickler(body)
    try:
        pickler.dump((fn, args))
    except NotPortable:
        raise
    except Exception as error:  # pickle raises PicklingError, AttributeError, TypeError, and what a __reduce__ raises
        raise NotPortable(str(error)) from error
    return pickle.dumps((sorted(pickler.folders), body.getvalue()))


def run_pickled(pickled: bytes) -> bytes:
    """Do a pickled call, and pickle what it returns or raises."""
    try:
        fn, args = _unpickle(pickled)
    except Exception as error:
        return pickle.dumps(("not portable", f"a worker can't load it: {error}", ""))
    try:
        return pickle.dumps(("value", fn(*args), ""))
    except BaseException as error:
        return pickle.dumps(("error", _picklable(error), traceback.format_exc()))


def resolve(future: Future[Any], outcome: bytes) -> None:
    """Set the future's result or exception from the pickled outcome of its call."""
    try:
        kind, content, trace = pickle.loads(outcome)
    except Exception as error:
        kind, content, trace = "error", RuntimeError(f"a worker's result can't be unpickled: {error}"), ""
    if kind == "value":
        future.set_result(content)
    elif kind == "not portable":
        future.set_exception(NotPortable(content))
    else:
        if trace:
            content.add_note(f"In a worker process:\n{trace.rstrip()}")
        future.set_exception(content)


class _Pickler(pickle.Pickler):
    """Notes the folders of the modules it meets, and refuses what a worker could not find again."""

    def __init__(self, file: io.BytesIO):
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.folders: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | types.FunctionType):
            if obj.__module__ == "__main__" and not hasattr(sys.modules["__main__"], "__file__"):
                raise NotPortable(
                    f"`{obj.__qualname__}` is defined in a notebook or a prompt, which workers can't import"
                )
            if folder := _import_folder(obj.__module__):
                self.folders.add(folder)
        return NotImplemented


def _import_folder(module: str) -> str | None:
    """The folder from which `module` can be imported by its name, if it has one."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or module == "__main__":
        return None
    path = Path(file).parent if Path(file).name == "__init__.py" else Path(file).with_suffix("")
    steps = tuple(module.split("."))
    return str(path.parents[len(steps) - 1]) if path.parts[-len(steps) :] == steps else None


def _check_main_can_be_read() -> None:
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if file is not None and getattr(main, "__spec__", None) is None and not Path(file).exists():
        raise NotPortable(f"the main program comes from {file}, which workers can't import")


def _unpickle(pickled: bytes) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    folders, body = pickle.loads(pickled)
    sys.path.extend(folder for folder in folders if folder not in sys.path)
    return pickle.loads(body)


def _picklable(error: BaseException) -> Exception:
    """The exception itself where it survives pickling and can't end the parent; its text otherwise."""
    if isinstance(error, Exception):
        try:
            return pickle.loads(pickle.dumps(error))
        except Exception:
            pass
    return RuntimeError(f"{type(error).__name__}: {error}")
