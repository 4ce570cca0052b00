"""Text: documents cut into blocks of tokens to be said one after the other, or hashed words as a classifier's input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from infoscope.data.raw import Raw, Reading
from infoscope.data.targets import MASKED, Tokens
from infoscope.hugging_face import tokenizer_of

SUFFIXES = (".txt", ".md", ".text")


def read(path: Path, reading: Reading) -> Raw:
    """A text file, in blocks or in lines; see `from_documents`."""
    return from_documents([_content(path)], str(path), reading)


def read_folder(path: Path, reading: Reading) -> Raw:
    """A folder of text files; those called `train`, `valid` or `validation` and `test` are its splits."""
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    return from_documents([_content(file) for file in files], str(path), reading, [_split(file) for file in files])


def is_folder_of_text(path: Path) -> bool:
    """Whether a folder holds text files and nothing else but hidden files."""
    found = [file for file in path.iterdir() if not file.name.startswith(".")] if path.is_dir() else []
    return bool(found) and all(file.suffix in SUFFIXES for file in found)


def from_documents(documents: Sequence[str], source: str, reading: Reading, splits: Sequence[str] | None = None) -> Raw:
    """Blocks of at most `length` tokens, each a part of a document or, with `lines`, of a line.

    A token is a byte of UTF-8 (a vocabulary of 256, the line's end among them), or what `tokenizer` makes of the text,
    a document followed by its mark of an end if it has one; a tokenizer that does not give the text back is refused.
    `y` are the tokens, padded with −100; `x` are the same one place behind, as `infoscope.data.targets.Tokens` has it:
    x[:, t + 1] is y[:, t], and x[:, 0] marks a beginning (the tokenizer's own token for it, else for an end, else 0).
    `splits` names the split of each document, those of one split together.
    """
    words = _Words.of(reading.tokenizer, source)
    blocks = [[*_blocks(document, words, reading)] for document in documents]
    together = [block for several in blocks for block in several]
    if not together:
        raise ValueError(f"{source}: holds no text")
    y = np.full((len(together), max(map(len, together))), MASKED, dtype=np.int64)
    for row, block in zip(y, together, strict=True):
        row[: len(block)] = block
    x = np.concatenate([np.full((len(y), 1), words.start), np.where(y[:, :-1] == MASKED, 0, y[:, :-1])], axis=1)
    return Raw(x, y, Tokens(words.vocabulary), _places(splits or (), [*map(len, blocks)]), as_is=True)


def _places(names: Sequence[str], sizes: Sequence[int]) -> dict[str, tuple[int, int]]:
    places: dict[str, tuple[int, int]] = {}
    stops = np.cumsum(sizes).tolist()
    for name, start, stop in zip(names, [0, *stops], stops, strict=False):
        places[name] = (places.get(name, (start, 0))[0], stop)
    return places


def _blocks(document: str, words: _Words, reading: Reading) -> Iterable[np.ndarray]:
    for part in document.splitlines(keepends=True) if reading.lines else [document]:
        tokens = words.encode(part)
        yield from (tokens[start : start + reading.length] for start in range(0, len(tokens), reading.length))


@dataclass(frozen=True)
class _Words:
    """What makes tokens of text, how many there are, and the one that marks a beginning."""

    encode: Callable[[str], np.ndarray]
    vocabulary: int
    start: int

    @classmethod
    def of(cls, tokenizer: Any, source: str) -> _Words:
        tokenizer = tokenizer_of(tokenizer)
        if tokenizer is None:
            return cls(lambda text: np.frombuffer(text.encode(), np.uint8), 256, 0)
        if not hasattr(tokenizer, "encode") or not hasattr(tokenizer, "decode"):
            raise TypeError(
                f"{type(tokenizer).__name__} is no tokenizer: it has no encode and decode, as Hugging Face's"
            )
        start, end = (getattr(tokenizer, f"{which}_token_id", None) for which in ("bos", "eos"))
        marks = [] if end is None else [end]
        first = start if start is not None else end if end is not None else 0
        return cls(lambda text: np.array(_lossless(tokenizer, text, source) + marks), _size(tokenizer), first)


def _lossless(tokenizer: Any, text: str, source: str) -> list[int]:
    try:
        found = tokenizer.encode(text, add_special_tokens=False)
    except TypeError:  # not Hugging Face's
        found = tokenizer.encode(text)
    tokens = list(getattr(found, "ids", found))
    if tokenizer.decode(tokens) != text:
        raise ValueError(
            f"{source}: {type(tokenizer).__name__} does not give back the text that it encodes, so its tokens are not "
            "the text; take one that is lossless, or bytes"
        )
    return tokens


def _size(tokenizer: Any) -> int:
    """The most that a tokenizer says of its vocabulary: some leave the added tokens out of one of these."""
    names = ("get_vocab_size", "n_vocab", "vocab_size", "__len__")
    found = [getattr(tokenizer, name) for name in names if hasattr(tokenizer, name)]
    sizes: list[Any] = [size() if callable(size) else size for size in found]
    return max(sizes)


def _content(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text (byte {error.start}); convert it, iconv -t utf-8") from error


def _split(path: Path) -> str:
    return {"valid": "validation", "val": "validation", "dev": "validation"}.get(path.stem, path.stem)


def hashed_words(texts: Iterable[str]) -> Float[np.ndarray, "n 1024"]:
    """Word uni- and bigrams hashed into 1,024 signed counts of unit length: a fixed map that needs no training."""
    from sklearn.feature_extraction.text import HashingVectorizer

    matrix: Any = HashingVectorizer(n_features=1024, ngram_range=(1, 2), norm="l2").transform(texts)
    return matrix.toarray().astype(np.float32)
