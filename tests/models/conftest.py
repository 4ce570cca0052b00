from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from infoscope.data.task import Task


@pytest.fixture
def images(shared_data):
    """A few images with classes: real ones, spread over the data set, or where there are none, blobs on noise."""

    def find(name: str, count: int, shape: tuple[int, int, int], classes: int) -> Task:
        try:
            file = sorted(shared_data(name).glob("*.parquet"))[0]
        except pytest.skip.Exception:
            return synthetic(count, shape, classes)
        from PIL import Image
        from pyarrow.parquet import read_table

        table = read_table(file)
        rows = table.take(np.arange(count) * (len(table) // count)).to_pydict()
        mode = "L" if shape[0] == 1 else "RGB"
        pictures = [np.asarray(Image.open(io.BytesIO(row["bytes"])).convert(mode)) for row in rows["image"]]
        task = Task.from_arrays(np.stack(pictures), rows["label"], alphabet=list(map(str, range(classes))))
        assert task.shape == shape
        return task

    return find


def synthetic(count: int, shape: tuple[int, int, int], classes: int) -> Task:
    draws = torch.Generator().manual_seed(0)
    y = torch.arange(count) % classes
    x = torch.rand(count, *shape, generator=draws)
    side = shape[-1] // classes
    for i, kind in enumerate(y.tolist()):
        x[i, :, :, kind * side : (kind + 1) * side] += 1
    return Task.from_arrays(x, y, alphabet=list(map(str, range(classes))))
