from __future__ import annotations

import pytest
import torch
from torch import nn

from infoscope.ensembles.stacked_weights import Networks, blocks, choose, member, stack
from infoscope.models import MLP, CifarResNet
from infoscope.weight_distance import nearest_ends, weight_distances


def test_state_dicts_stack_and_come_apart_again():
    dicts = [MLP((4,))((3,), 2).state_dict() for _ in range(3)]
    stacked = stack(dicts)
    assert stacked["fc1.weight"].shape == (3, 4, 3)
    assert all(torch.equal(v, dicts[1][k]) for k, v in member(stacked, 1).items())


def test_running_statistics_are_no_parameters_however_that_is_known():
    network = CifarResNet(8)((3, 8, 8), 2)
    stacked = stack([network.state_dict()] * 2)
    wanted = [k for k, _ in network.named_parameters()]
    assert list(choose(stacked, network).names) == wanted
    assert list(choose(stacked).names) == wanted
    assert "21 buffers" in choose(stacked).note
    assert choose(stacked, ["conv1.weight"]).names == ("conv1.weight",)


def test_tied_parameters_count_once_if_the_network_is_known():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(2, 2, bias=False)
            self.b = self.a

    start = stack([Tied().state_dict()] * 2)
    end = {k: v + 1 for k, v in start.items()}
    assert weight_distances(Networks(start, end), parameters=Tied()).mean().value == pytest.approx(2.0)
    assert weight_distances(Networks(start, end)).mean().value == pytest.approx(8**0.5)


def test_blocks_cover_every_column_once_and_stay_small():
    weights = {"a": torch.arange(60.0).reshape(2, 30), "b": torch.ones(2, 1)}
    parts = [part for (part,) in blocks([weights], ["a", "b"], size=8 * 2 * 7)]
    assert max(part.shape[1] for part in parts) == 7
    assert torch.equal(torch.cat(parts, 1), torch.cat([weights["a"], weights["b"]], 1))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_network_that_diverged_is_named_with_its_layer(bad):
    start = {"fc1.weight": torch.zeros(2, 3, 3), "fc1.bias": torch.zeros(2, 3)}
    end = {k: v.clone() for k, v in start.items()}
    end["fc1.bias"][1, 2] = bad
    with pytest.raises(ValueError, match=r"network 'late' has NaN or infinity in fc1.bias of the final weights"):
        weight_distances(Networks(start, end, names=("early", "late")))


def test_errors_name_the_fact_and_the_remedy():
    one = {"w": torch.zeros(1, 3)}
    with pytest.raises(ValueError, match="needs 2 networks or more"):
        nearest_ends(Networks(one, one))
    with pytest.raises(ValueError, match=r"w has shape \(1, 4\) in the final weights and \(1, 3\)"):
        weight_distances(Networks(one, {"w": torch.zeros(1, 4)}))
    with pytest.raises(ValueError, match="differs from network 0 in the shape of w"):
        stack([{"w": torch.zeros(2)}, {"w": torch.zeros(3)}])
    with pytest.raises(ValueError, match="hold no fc9"):
        weight_distances(Networks(one, one), parameters=["fc9"])
    with pytest.raises(ValueError, match="b holds 2 networks and w holds 1"):
        Networks(one, {"w": torch.zeros(1, 3), "b": torch.zeros(2)})
    with pytest.raises(ValueError, match="no networks"):
        stack([])
