from __future__ import annotations

import pytest
import torch

from infoscope.observation.sketch import Sketch

T = torch.randn(6, 3000, generator=torch.Generator().manual_seed(0))


def test_a_sketch_is_a_linear_map_that_is_the_same_for_every_batch():
    sketch = Sketch(50, seed=3)
    matrix = sketch(torch.eye(3000))
    assert (matrix.abs().sum(1) == 1).all()
    torch.testing.assert_close(sketch(T), T @ matrix, rtol=0, atol=1e-4)
    assert torch.equal(torch.cat([sketch(T[:2]), sketch(T[2:])]), sketch(T))
    assert not torch.equal(Sketch(50, seed=4)(T), sketch(T))


def test_inner_products_are_kept_on_average_with_the_deviation_that_is_told():
    a, b = T[:1], T[1:2] + T[:1]
    columns, draws = 100, 400
    found = torch.tensor([float(Sketch(columns, seed=s)(a) @ Sketch(columns, seed=s)(b).T) for s in range(draws)])
    truth, scale = float(a @ b.T), float(a.norm() * b.norm())
    deviation = (2 / columns) ** 0.5 * scale
    assert abs(float(found.mean()) - truth) < 4 * deviation / draws**0.5
    assert float(found.std()) < 1.1 * deviation


def test_small_layers_are_left_as_they_are():
    sketch = Sketch(10, above=1000)
    assert [sketch.needed(*shape) for shape in ((100, 10), (100, 11), (1000, 10), (1, 1001))] == [
        False, True, False, True,
    ]  # fmt: skip


def test_sizes_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="give 1 column or more"):
        Sketch(0)
