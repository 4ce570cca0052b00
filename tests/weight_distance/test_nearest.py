from __future__ import annotations

from functools import partial

import pytest
import torch

from infoscope.ensembles.stacked_weights import Networks, blocks
from infoscope.weight_distance import nearest_ends


def moved(by: float, members: int = 30, offset: float = 0.0, dtype: torch.dtype = torch.float32) -> Networks:
    draws = torch.Generator().manual_seed(0)
    start = {"a": offset + torch.randn(members, 7, 3, generator=draws), "b": torch.randn(members, 5, generator=draws)}
    end = {k: v + by * torch.randn(v.shape, generator=draws) for k, v in start.items()}
    return Networks({k: v.to(dtype) for k, v in start.items()}, {k: v.to(dtype) for k, v in end.items()})


@pytest.mark.parametrize("by", [0.01, 1.0, 3.0])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_it_is_the_nearest_of_all_pairs(by, offset):
    networks = moved(by, offset=offset)
    flat = [torch.cat([w[k].flatten(1).double() for k in w], 1) for w in (networks.initial, networks.weights)]
    known = torch.cdist(*flat, compute_mode="donot_use_mm_for_euclid_dist")
    found = nearest_ends(networks)
    assert torch.equal(found.index, known.argmin(1))
    assert torch.allclose(found.distance, known.amin(1), rtol=1e-9)
    assert torch.allclose(found.own, known.diagonal(), rtol=1e-9)


def test_small_steps_hold_and_large_ones_are_named():
    assert nearest_ends(moved(0.01)).holds
    far = nearest_ends(moved(3.0))
    assert not far.holds
    assert all(name != other for name, other in far.exceptions.items())


def test_ends_that_coincide_are_ties_and_hold():
    start = {"w": torch.randn(5, 40)}
    end = {"w": torch.zeros(5, 40)}
    assert nearest_ends(Networks(start, end)).holds


def test_blocks_change_nothing(monkeypatch):
    whole = nearest_ends(moved(1.0))
    monkeypatch.setattr("infoscope.weight_distance.nearest.blocks", partial(blocks, size=1))
    assert torch.allclose(nearest_ends(moved(1.0)).distance, whole.distance, rtol=1e-12)
