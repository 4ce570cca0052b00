from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from infoscope.data.tishby import tishby
from infoscope.dynamics.plane.network import plane_of_network
from infoscope.measurement import Bound
from infoscope.mi.estimate import layer_information
from infoscope.mi.estimators.binning import Uniform
from infoscope.mi.estimators.compressed import Compressed
from infoscope.mi.estimators.probe import Probe
from infoscope.models import MLP
from infoscope.observation.activations import activations
from infoscope.observation.sketch import Sketch

TASK = tishby()[::8]


def network():
    torch.manual_seed(0)
    return MLP((300, 20))((12,), 2)


def test_it_says_what_the_estimator_says_of_every_layer():
    net = network()
    record = plane_of_network(net, TASK, test=(TASK.x[:99], TASK.y[:99]), layers="act*", method=Uniform(9))
    assert len(record) == 8
    seen = activations(net, TASK.x, ["act*"])
    for layer, t in seen.layers.items():
        both = layer_information(t, TASK.y, Uniform(9))
        assert [m.value for m in record.where(side="train", layer=layer)] == [both.x_t.value, both.t_y.value]


@pytest.mark.parametrize("batch", [1024, 7])
def test_a_wide_layer_is_sketched_batch_by_batch(batch):
    sketch = Sketch(64, above=20_000)
    seen = activations(network(), TASK.x, ["act*"], batch, sketch=sketch)
    assert seen.sketched == {"act1": 300}
    assert {name: t.shape[1] for name, t in seen.layers.items()} == {"act1": 64, "act2": 20}
    whole = activations(network(), TASK.x, ["act1"])["act1"]
    torch.testing.assert_close(seen["act1"], sketch(whole), rtol=0, atol=1e-4)
    assert type(seen).from_bytes(seen.to_bytes()).sketched == seen.sketched


def test_what_a_projection_shows_is_told_and_stays_a_lower_bound():
    options = {"layers": "act1", "sketch": Sketch(8, above=1000)}
    for method in (Probe(), Compressed()):
        _, t_y = plane_of_network(network(), TASK, method=method, **options).where(layer="act1")
        assert any("300 activations were seen through a random projection to 8" in n for n in t_y.receipt.notes)
    seen = plane_of_network(network(), TASK, method=Probe(), **options).where()[1]
    whole = plane_of_network(network(), TASK, method=Probe(), layers="act1", sketch=None).where()[1]
    assert (seen.bound, whole.bound) == (Bound.LOWER, Bound.LOWER)
    assert seen.value < whole.value
    # Bins of a projection would say nothing of the bins of the layer.
    binned = plane_of_network(network(), TASK, **options).where()
    assert binned[0].value == plane_of_network(network(), TASK, layers="act1").where()[0].value


class Sometimes(nn.Module):
    """Uses a layer for some batches only."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(12, 3), nn.Linear(3, 2)

    def forward(self, x):
        h = self.first(x)
        return self.second(h) if x[0, 0] == 0 else h[:, :2]


def test_a_layer_that_runs_for_some_batches_only_is_an_error():
    with pytest.raises(ValueError, match=r"'second' of Sometimes ran for 256 of 512 examples only"):
        plane_of_network(Sometimes(), TASK, batch=256)


LARGE = """
import json, resource, sys, torch
from torch import nn
from infoscope.dynamics.plane.network import plane_of_network
from infoscope.mi.estimators.compressed import Compressed
from infoscope.mi.estimators.probe import Probe
torch.set_num_threads(1)
torch.manual_seed(0)
y = torch.arange(300) % 2
stripes = (torch.arange(128) // 4 % 2) * 2.0 - 1
upright = torch.where(y[:, None, None, None] == 1, stripes[:, None], stripes[None, :])
x = torch.rand(300, 3, 128, 128) + 0.3 * upright
net = nn.Sequential(
    nn.Conv2d(3, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Conv2d(128, 16, 3), nn.ReLU(),
    nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 2),
)
record = plane_of_network(net, (x, y), method={"probe": Probe(), "compressed": Compressed()}[sys.argv[1]])
first = record.where(layer="1")[1]
gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps({"bits": first.bits, "bound": first.bound.name, "notes": first.receipt.notes, "GiB": gib}))
"""


@pytest.mark.long
@pytest.mark.parametrize("method", ["probe", "compressed"])
def test_two_million_activations_an_example_fit_into_little_memory(method):
    done = subprocess.run([sys.executable, "-c", LARGE, method], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    # The layer alone, of 300 examples in single precision, is 2.3 GiB.
    assert told["GiB"] < 2.0
    assert any("2,097,152 activations" in note for note in told["notes"])
    assert told["bits"] > 0.95  # of the one bit that the stripes tell
    assert told["bound"] == ("LOWER" if method == "probe" else "NONE")
