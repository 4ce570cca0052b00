"""Names on the Hugging Face Hub, folders in its layout, and what its library `datasets` has loaded or saved."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from infoscope.data import cache, parquet_folder
from infoscope.data.parquet_folder import ParquetSplit
from infoscope.data.raw import Raw, Reading
from infoscope.data.sources import EMBEDDED
from infoscope.data.tables import LABELS, from_frame, label_column
from infoscope.data.targets import Classes
from infoscope.data.text import from_documents, hashed_words
from infoscope.data.texts import Texts

TOKENS = ("input_ids", "attention_mask", "token_type_ids")
"""Columns that a tokenizer wrote, which go to a network by these names."""

Parts = Mapping[str, Any]
"""`datasets.Dataset` or `ParquetSplit` by split."""


def read(source: str, reading: Reading) -> Raw:
    """A name on the Hub, or a folder in its layout: parquet, CSV, JSON, or images in a folder a class."""
    parts = parquet_folder.splits(source) or _load(source)
    return _raw(source, parts, reading, _cache_key(parts, reading.size))


def read_saved(path: Path, reading: Reading) -> Raw:
    """A folder that `save_to_disk` wrote."""
    return from_loaded(_library(str(path)).load_from_disk(path), str(path), reading)


def is_saved(path: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return any((path / name).is_file() for name in ("dataset_dict.json", "state.json"))


def from_loaded(loaded: Any, source: str, reading: Reading) -> Raw:
    """A `datasets.Dataset` or `DatasetDict` in memory: splits, if any, laid end to end."""
    if isinstance(loaded, Mapping):
        return _raw(source, loaded, reading, None)
    return dataclasses.replace(_raw(source, {"all": loaded}, reading, None), splits={})


def _raw(source: str, parts: Parts, reading: Reading, key: str | None) -> Raw:
    """An image column before text, text before tokens, tokens before a table of what there is."""
    first = next(iter(parts.values()))
    kinds = {name: _kind(feature) for name, feature in first.features.items()}
    label = _label(first, source, reading)
    inputs = [name for kind in ("image", "text") for name, own in kinds.items() if own == kind and name != label]
    splits = _splits(parts)
    y, target = _values(parts, label) if reading.labels and label else (None, None)
    if not inputs and (names := [name for name in TOKENS if name in kinds]):
        return Raw({name: _stacked(source, parts, name) for name in names}, y, target, splits)
    if not inputs:
        return _table(source, parts, label, reading, splits)
    if label is None and kinds[inputs[0]] == "text":
        return _language(source, parts, inputs[0], reading)
    x = _kept(source, parts, inputs[0], reading.size, key)
    if kinds[inputs[0]] == "image":
        return Raw(x, y, target, splits)
    texts = [text for part in parts.values() for text in part[inputs[0]][:]]
    return Raw(Texts.of(texts, x), y, target, splits)


def _kind(feature: Any) -> str:
    if type(feature).__name__ == "Image":
        return "image"
    return "text" if getattr(feature, "dtype", None) in ("string", "large_string") else "other"


def _label(part: Any, source: str, reading: Reading) -> str | None:
    if reading.label is not None:
        return label_column(list(part.features), source, reading.label)
    named = [name for name, feature in part.features.items() if type(feature).__name__ == "ClassLabel"]
    return next(iter([*named, *(name for name in LABELS if name in part.features)]), None)


def _splits(parts: Parts) -> dict[str, tuple[int, int]]:
    stops = np.cumsum([len(part) for part in parts.values()]).tolist()
    return dict(zip(parts, zip([0, *stops[:-1]], stops, strict=True), strict=True))


def _values(parts: Parts, label: str) -> tuple[np.ndarray, Classes | None]:
    y = np.concatenate([np.asarray(part[label][:]) for part in parts.values()])
    names = getattr(next(iter(parts.values())).features[label], "names", None)
    if y.dtype.kind in "OUST":
        names, y = np.unique(y.astype(str), return_inverse=True)
    return y, Classes(tuple(map(str, names))) if names is not None else None


def _table(source: str, parts: Parts, label: str | None, reading: Reading, splits: Mapping[str, Any]) -> Raw:
    import pandas

    frame = pandas.concat([part.to_pandas() for part in parts.values()], ignore_index=True)
    raw = from_frame(frame, source, dataclasses.replace(reading, label=label or reading.label), splits)
    if not reading.labels or label is None:
        return raw
    y, target = _values(parts, label)
    return dataclasses.replace(raw, y=y, target=target)


def _language(source: str, parts: Parts, column: str, reading: Reading) -> Raw:
    """Text without a label: every row is a document, which ends its line."""
    rows = [(text.removesuffix("\n") + "\n", name) for name, part in parts.items() for text in part[column][:]]
    return from_documents([text for text, _ in rows], source, reading, [name for _, name in rows])


def _stacked(source: str, parts: Parts, column: str) -> np.ndarray:
    rows = [row for part in parts.values() for row in part[column][:]]
    if len(sizes := {len(row) for row in rows}) > 1:
        raise ValueError(
            f"{source}: {column!r} has rows of {len(sizes)} lengths; pad them: tokenizer(…, padding='max_length')"
        )
    return np.array(rows)


def _kept(source: str, parts: Parts, column: str, size: int | None, key: str | None) -> np.ndarray:
    """The decoded column, from the cache where it has been decoded before."""
    key = None if key is None else hashlib.blake2b(f"{column} {key}".encode(), digest_size=16).hexdigest()
    kept = cache.read(key) if key else None
    if kept is None:
        kept = {"x": np.concatenate([_decoded(source, part, column, size) for part in parts.values()])}
        if key:
            cache.keep(key, **kept)
    return kept["x"]


def _library(source: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ValueError(
            f"{source!r} is no embedded data set ({', '.join(EMBEDDED)}); Hub names and folders need "
            "pip install 'infoscope[data]'"
        ) from error
    datasets.disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # its retries; the outcome is told by `_load`
    return datasets


def _load(source: str) -> Parts:
    library = _library(source)
    try:
        return library.load_dataset(source)
    except Exception as error:  # the Hub client raises dozens of kinds
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{source!r}: neither an embedded data set ({', '.join(EMBEDDED)}), a folder in Hub layout, "
            f"nor reachable on the Hub ({first_line[:160]}); check the name, or download it and give the folder"
        ) from error


def _cache_key(parts: Parts, size: int | None) -> str:
    h = hashlib.blake2b(f"{size}".encode(), digest_size=16)
    for name, part in parts.items():
        files = part.files if isinstance(part, ParquetSplit) else [Path(f["filename"]) for f in part.cache_files]
        h.update(repr((name, len(part), [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files])).encode())
    return h.hexdigest()


def _encoded(part: Any, column: str) -> Any:
    """Pictures as the bytes of their files."""
    if isinstance(part, ParquetSplit):
        return part[column]
    import datasets

    return part.cast_column(column, datasets.Image(decode=False))[column]


def _decoded(source: str, part: Any, column: str, size: int | None) -> np.ndarray:
    if _kind(part.features[column]) == "text":
        return hashed_words(part[column])
    from PIL import Image

    rows = _encoded(part, column)
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
