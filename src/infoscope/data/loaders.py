"""torch's data sets and loaders, examples one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from infoscope.data.raw import Raw, Reading
from infoscope.data.tables import LABELS


def read(data: Any, source: str, reading: Reading) -> Raw:
    """A map-style `Dataset`, or the one behind a `DataLoader`, in its own order.

    An example is a pair of input and target, or a mapping with a target under `label`, `labels`, `y` or `target` and
    inputs under the other names. Inputs keep type and axes, but float64 becomes float32, and bytes and PIL's images
    become what `infoscope.data.inputs.as_inputs` makes of them. A transform that draws at random is applied once.
    """
    if isinstance(data, DataLoader):
        data = data.dataset
    if isinstance(data, IterableDataset) or not hasattr(data, "__len__"):
        raise ValueError(f"{source}: is a stream without a length; give a map-style data set, one with __len__")
    if isinstance(data, TensorDataset) and len(data.tensors) == 2:
        return _raw(*data.tensors)
    examples: list[Any] = [data[i] for i in range(len(data))]
    if not examples:
        raise ValueError(f"{source}: is empty")
    first = examples[0]
    if isinstance(first, Mapping):
        return _by_name(examples, source, reading)
    if not isinstance(first, Sequence) or len(first) != 2:
        raise ValueError(
            f"{source}: an example is a {type(first).__name__}; give pairs of input and target, or mappings"
        )
    x = _stack([one[0] for one in examples], f"{source}: input")
    return _raw(x, _stack([one[1] for one in examples], f"{source}: target"))


def _by_name(examples: Sequence[Mapping[str, Any]], source: str, reading: Reading) -> Raw:
    names = list(examples[0])
    label = reading.label or next((name for name in LABELS if name in names), None)
    if label not in names:
        raise ValueError(f"{source}: no {label or ' or '.join(LABELS)} among {', '.join(names)}; say label=…")
    arrays = {name: _stack([one[name] for one in examples], f"{source}: {name!r}") for name in names}
    y = arrays.pop(label)
    if len(arrays) > 1:
        return Raw(arrays, y)
    return _raw(next(iter(arrays.values())), y)


def _stack(values: Sequence[Any], where: str) -> Tensor | np.ndarray:
    if isinstance(values[0], str):
        return np.array(values)
    arrays = [_tensor(value) for value in values]
    if len(shapes := {tuple(array.shape) for array in arrays}) > 1:
        raise ValueError(f"{where} has {len(shapes)} different shapes, {sorted(shapes)[:3]}; bring them to one")
    return torch.stack(arrays)


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    array = np.array(value)
    is_colour = hasattr(value, "getbands") and array.ndim == 3  # PIL's, whose channels come last
    return torch.as_tensor(np.ascontiguousarray(array.transpose(2, 0, 1)) if is_colour else array)


def _raw(x: Any, y: Any) -> Raw:
    return Raw(x.float() if x.dtype == torch.float64 else x, y, as_is=x.dtype != torch.uint8)
