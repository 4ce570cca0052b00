"""Tasks by name: embedded data, Hub names and folders in Hub layout (through Hugging Face datasets), `.npz`, VOC."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import io
import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.nn import functional as F

from infoscope.data import cache
from infoscope.data.task import Task, as_inputs, derive
from infoscope.data.voc import is_voc, voc

EMBEDDED: dict[str, str] = {
    "digits": "1,797 handwritten digits, 8×8, 10 classes",
    "iris": "150 flowers, 4 measurements, 3 classes",
    "wine": "178 wines, 13 measurements, 3 classes",
    "breast_cancer": "569 tumours, 30 measurements, 2 classes",
}


FILES = (".npy", ".csv", ".json", ".jsonl", ".parquet", ".arrow", ".pt", ".pkl", ".mat", ".xlsx", ".zip", ".txt")
"""Suffixes by which a name is taken for a file's rather than a Hub name's."""


@dataclass(frozen=True)
class Raw:
    """Arrays as a source holds them, its splits laid end to end; `y` is None where the source has no labels."""

    x: np.ndarray
    y: np.ndarray | None
    alphabet: tuple[str, ...] | None
    splits: Mapping[str, tuple[int, int]]


def from_dataset(name: str, *, classes: int | None = None, size: int | None = None) -> Task:
    """The task called `name`, `name:split` for one of its splits.

    `classes` declares the alphabet 0 … classes − 1 where the source names none; `size` scales images to squares. A
    folder in VOC layout gives a task of boxes, see `infoscope.data.voc`.
    """
    source, split = _source_and_split(name)
    task = derive(load, source=source, classes=classes, size=size)
    return task[split] if split else task


def load(*, source: str, classes: int | None = None, size: int | None = None) -> Task:
    """All examples of a source; see `from_dataset`."""
    if is_voc(Path(source)):
        task = voc(source, size=size)
        _declared(source, task.alphabet, classes)
        return task
    raw = _read(source, labels=True, size=size)
    if raw.y is None:
        raise ValueError(f"{source}: has no labels (an array or column named 'y' or 'label'); name them so")
    alphabet = _declared(source, raw.alphabet, classes)
    title = Path(source).stem if Path(source).exists() else source
    return Task.from_arrays(raw.x, raw.y, alphabet=alphabet, name=title, splits=raw.splits)


def _declared(source: str, named: tuple[str, ...] | None, classes: int | None) -> tuple[str, ...] | None:
    if classes is None:
        return named
    if named is not None and len(named) != classes:
        raise ValueError(f"{source}: names {len(named)} classes, and {classes} were asked for; leave it out")
    return named or tuple(map(str, range(classes)))


def inputs(name: str, *, size: int | None = None) -> Any:
    """The inputs of `name` as (n, …) float32, read without touching a label: what a decoder may see."""
    source, split = _source_and_split(name)
    raw = _read(source, labels=False, size=size)
    if split and split not in raw.splits:
        raise ValueError(f"{source!r} has no split {split!r}; it has: {', '.join(raw.splits) or 'none'}")
    start, stop = raw.splits[split] if split else (0, len(raw.x))
    return as_inputs(raw.x[start:stop], name)


def _source_and_split(name: str) -> tuple[str, str | None]:
    if Path(name).exists() or ":" not in name:
        return name, None
    source, split = name.rsplit(":", 1)
    return source, split


def _read(source: str, labels: bool, size: int | None) -> Raw:
    path = Path(source)
    if is_voc(path):
        raise ValueError(f"{source}: holds boxes of objects (VOC layout), not one label an example")
    if source in EMBEDDED or path.suffix == ".npz":
        raw = _embedded(source) if source in EMBEDDED else _npz(path, labels)
        return dataclasses.replace(raw, x=_scaled(raw.x, size, source)) if size else raw
    if path.is_file():
        raise ValueError(
            f"{source}: cannot read {path.suffix} files; give an .npz with x and y, or a folder of parquet"
        )
    if not path.is_dir() and path.suffix in FILES:
        raise ValueError(f"{source}: no such file")
    near = difflib.get_close_matches(source, EMBEDDED, 1) if "/" not in source and not path.is_dir() else []
    if not source or near:
        raise ValueError(f"no data called {source!r}" + (f"; did you mean {near[0]}?" if near else "; give a name"))
    return _hub(source, labels, size)


def _scaled(x: np.ndarray, size: int, source: str) -> np.ndarray:
    images = as_inputs(x, source)
    if images.ndim != 4:
        raise ValueError(f"{source}: only images are scaled, and its examples have shape {tuple(images.shape[1:])}")
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True).numpy()


def _embedded(name: str) -> Raw:
    from sklearn import datasets

    bunch: Any = getattr(datasets, f"load_{name}")()
    x = bunch.data.reshape(-1, 1, 8, 8) / 16 if name == "digits" else _standardised(bunch.data)
    return Raw(x.astype(np.float32), bunch.target, tuple(map(str, bunch.target_names)), {})


def _standardised(x: np.ndarray) -> np.ndarray:
    """Columns in unlike units (centimetres, per cent) brought to mean 0 and deviation 1."""
    return (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)


def _npz(path: Path, labels: bool) -> Raw:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        # Only what is asked for is read: a decoder's inputs come without their labels.
        with np.load(path, allow_pickle=False) as file:
            wanted = [name for name in ("x", "y", "classes") if name in file.files and (labels or name == "x")]
            arrays, have = {name: file[name] for name in wanted}, ", ".join(file.files)
    except (OSError, EOFError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        why = "it holds Python objects" if "pickle" in str(error) else str(error)[:80]
        raise ValueError(
            f"{path}: not a readable .npz file ({why}); write arrays of numbers with numpy.savez"
        ) from error
    if "x" not in arrays:
        raise ValueError(f"{path}: has no array 'x'; it has: {have or 'none'}")
    alphabet = tuple(map(str, arrays["classes"])) if "classes" in arrays else None
    return Raw(arrays["x"], arrays.get("y"), alphabet, {})


def _hub(source: str, labels: bool, size: int | None) -> Raw:
    parts = _load_hub(source)
    first = next(iter(parts.values()))
    x_name, y_name = _columns(source, first)
    stops = np.cumsum([len(part) for part in parts.values()]).tolist()
    splits = dict(zip(parts, zip([0, *stops[:-1]], stops, strict=True), strict=True))
    key = _cache_key(parts, x_name, size)
    kept = cache.read(key)
    if kept is None:
        kept = {"x": np.concatenate([_decoded(source, part, x_name, size) for part in parts.values()])}
        cache.keep(key, **kept)
    feature = first.features[y_name] if y_name else None
    names = getattr(feature, "names", None)
    y = np.concatenate([np.asarray(part[y_name]) for part in parts.values()]) if labels and y_name else None
    if y is not None and y.dtype.kind in "OUST":
        names, y = np.unique(y.astype(str), return_inverse=True)
    return Raw(kept["x"], y, tuple(map(str, names)) if names is not None else None, splits)


def _load_hub(source: str) -> Mapping[str, Any]:
    try:
        import datasets
    except ImportError as error:
        raise ValueError(
            f"{source!r} is no embedded data set ({', '.join(EMBEDDED)}); Hub names and folders need "
            "pip install 'infoscope[data]'"
        ) from error
    datasets.disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # its retries; the outcome is told below
    try:
        loaded: Any = datasets.load_dataset(source)
    except Exception as error:  # the Hub client raises dozens of kinds
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{source!r}: neither an embedded data set ({', '.join(EMBEDDED)}), a folder in Hub layout, "
            f"nor reachable on the Hub ({first_line[:160]}); check the name, or download it and give the folder"
        ) from error
    return loaded


def _columns(source: str, part: Any) -> tuple[str, str | None]:
    import datasets

    kinds = dict(part.features)
    labels = [n for n, f in kinds.items() if isinstance(f, datasets.ClassLabel)]
    labels += [n for n in ("label", "labels", "y", "target") if n in kinds and n not in labels]
    images = [n for n, f in kinds.items() if isinstance(f, datasets.Image)]
    texts = [n for n, f in kinds.items() if getattr(f, "dtype", None) in ("string", "large_string") and n not in labels]
    inputs = images or texts
    if not inputs:
        raise ValueError(
            f"{source}: has no image or text column among {', '.join(kinds)}; save it as .npz with x and y"
        )
    return inputs[0], labels[0] if labels else None


def _cache_key(parts: Mapping[str, Any], column: str, size: int | None) -> str:
    h = hashlib.blake2b(f"{column} {size}".encode(), digest_size=16)
    for name, part in parts.items():
        files = [Path(f["filename"]) for f in part.cache_files]
        h.update(repr((name, len(part), [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files])).encode())
    return h.hexdigest()


def _decoded(source: str, part: Any, column: str, size: int | None) -> np.ndarray:
    import datasets

    if not isinstance(part.features[column], datasets.Image):
        return _hashed_words(part[column])
    from PIL import Image

    rows = part.cast_column(column, datasets.Image(decode=False))[column]
    mode = "L" if part.features[column].mode == "L" else "RGB"
    images = (Image.open(io.BytesIO(row["bytes"]) if row["bytes"] else row["path"]).convert(mode) for row in rows)
    if size:
        images = (image.resize((size, size), Image.Resampling.BILINEAR) for image in images)
    arrays = [np.asarray(image) for image in images]
    if len(sizes := {array.shape for array in arrays}) > 1:
        raise ValueError(f"{source}: images of {len(sizes)} different sizes; say which to scale them to (size=32)")
    stack = np.stack(arrays)
    if mode == "RGB" and (stack == stack[..., :1]).all():
        stack = stack[..., 0]  # grey pictures stored as colour
    return stack[:, None] if stack.ndim == 3 else np.ascontiguousarray(stack.transpose(0, 3, 1, 2))


def _hashed_words(texts: list[str]) -> np.ndarray:
    """Word uni- and bigrams hashed into 1,024 signed counts of unit length: a fixed map that needs no training."""
    from sklearn.feature_extraction.text import HashingVectorizer

    matrix: Any = HashingVectorizer(n_features=1024, ngram_range=(1, 2), norm="l2").transform(texts)
    return matrix.toarray().astype(np.float32)
