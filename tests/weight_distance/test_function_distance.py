from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from infoscope.weight_distance import function_distances


def logits(seed: int) -> torch.Tensor:
    return 3 * torch.randn(4, 20, 5, generator=torch.Generator().manual_seed(seed))


def test_jensen_shannon_is_scipys_squared():
    found = function_distances(logits(0), logits(1), "js")
    p, q = (x.double().softmax(2).numpy() for x in (logits(0), logits(1)))
    known = np.array([np.mean([jensenshannon(a, b) ** 2 for a, b in zip(x, y, strict=True)])
                      for x, y in zip(p, q, strict=True)])  # fmt: skip
    assert found.values.numpy() == pytest.approx(known, rel=1e-10)
    assert found.mean().unit == "nat"


def test_euclidean_is_over_probabilities():
    found = function_distances(logits(0), logits(1), "l2")
    known = (logits(0).double().softmax(2) - logits(1).double().softmax(2)).norm(dim=2).mean(1)
    assert torch.allclose(found.values, known)
    assert found.mean().unit == "1"


@pytest.mark.parametrize("by", ["l2", "js"])
def test_it_is_a_symmetric_divergence_that_sees_the_function_alone(by):
    a, b = logits(0), logits(1)
    there, back = function_distances(a, b, by), function_distances(b, a, by)
    assert torch.equal(there.values, back.values)
    assert function_distances(a, a, by).values.abs().max() < 1e-15
    assert torch.allclose(function_distances(a + 7, b, by).values, there.values)  # logits that are the same function
    assert torch.allclose(function_distances(a.double().softmax(2), b.double().softmax(2), by, logits=False).values,
                          there.values)  # fmt: skip


def test_opposite_certainties_are_log_two_apart_and_zeros_do_no_harm():
    sure = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    assert function_distances(sure, 1 - sure, logits=False).mean().value == pytest.approx(math.log(2))


@pytest.mark.usefixtures("any_shape")
def test_bad_predictions():
    bad = logits(0)
    bad[2, 0, 0] = math.nan
    with pytest.raises(ValueError, match="network '2' predicts NaN or infinity after"):
        function_distances(logits(0), bad)
    with pytest.raises(ValueError, match="are no probabilities"):
        function_distances(logits(0), logits(1), logits=False)
    with pytest.raises(ValueError, match=r"both are \(members, n, classes\)"):
        function_distances(logits(0), logits(1)[:, :5])
    with pytest.raises(ValueError, match="it is 'l2' or 'js'"):
        function_distances(logits(0), logits(1), "kl")  # pyright: ignore[reportArgumentType]
