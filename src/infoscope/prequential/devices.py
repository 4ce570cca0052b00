"""Arithmetic on a device that a decoder repeats: the same bits from the same numbers, run after run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from infoscope.data.inputs import Inputs


def place_of(x: Inputs) -> torch.device:
    """Where inputs lie, or go when they are read."""
    first = next(iter(x.values())) if isinstance(x, Mapping) else x
    return torch.device(first.device)


@contextmanager
def repeatable(device: torch.device | str) -> Iterator[None]:
    """On a GPU products in full single precision and by deterministic algorithms alone; elsewhere nothing is changed.

    What was set is set again outside. cuBLAS reads how it shall share its workspace when it first makes a product; to
    be decoded, a code must not come after products that were made without `CUBLAS_WORKSPACE_CONFIG`.
    """
    if torch.device(device).type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    filling: Any = torch.utils.deterministic
    precision, fills = torch.get_float32_matmul_precision(), filling.fill_uninitialized_memory
    strict, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        torch.set_float32_matmul_precision("highest")
        torch.use_deterministic_algorithms(True)
        filling.fill_uninitialized_memory = False
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(strict, warn_only=warns)
        filling.fill_uninitialized_memory = fills


def versions_of(device: str) -> dict[str, str]:
    """What the last bit of a prediction depends on beside the processor: a GPU's kind and its libraries."""
    if torch.device(device).type != "cuda":
        return {}
    kind, (major, minor) = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
    return {"gpu": f"{kind}, compute capability {major}.{minor}, CUDA {torch.version.cuda}"}
