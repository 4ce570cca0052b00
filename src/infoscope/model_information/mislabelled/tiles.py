"""Examples as the tiles of a gallery: images as pictures, texts and numbers as words."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from infoscope.data.task import Task
from infoscope.data.texts import Texts
from infoscope.figure import Tile
from infoscope.prequential.features import is_images

SIDE = 64
"""Pixels of a picture's longer side, at most."""

LETTERS, NUMBERS = 160, 12
"""Of a text and of a table's row, at most."""


def tile(task: Task, index: int, words: str) -> Tile:
    """An example of the task, with words below."""
    if isinstance(task.x, Mapping):
        return Tile(words)
    if isinstance(task.x, Texts):
        some = task.x.select([index])
        assert isinstance(some, Texts)
        text = some.words()[0]
        return Tile(words, text=text if len(text) <= LETTERS else f"{text[:LETTERS]}…")
    example = task.x[index : index + 1]
    if is_images(example) and example.shape[1] in (1, 3, 4):
        return Tile(words, png=png(_pixels(example[0].float())))
    numbers = [f"{value:.3g}" for value in example.flatten()[:NUMBERS].tolist()]
    more = ["…"] if example[0].numel() > NUMBERS else []
    return Tile(words, text=", ".join(numbers + more))


def _pixels(x: Tensor) -> UInt8[np.ndarray, "h w channels"]:
    """From the darkest to the brightest of this image, 256 shades; an image of four channels loses the last."""
    step = -(-max(x.shape[1:]) // SIDE)
    x = torch.nn.functional.avg_pool2d(x[:3], step) if step > 1 else x[:3]
    low, high = x.min(), x.max()
    return ((x - low) / (high - low).clamp_min(1e-12) * 255).round().byte().permute(1, 2, 0).numpy()


def png(pixels: UInt8[np.ndarray, "h w channels"]) -> bytes:
    """A PNG of one channel or three (ISO/IEC 15948), filter 0.

    >>> png(np.zeros((2, 3, 1), np.uint8))[1:4]
    b'PNG'
    """
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], 1).tobytes()
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
