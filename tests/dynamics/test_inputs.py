"""The plane of networks that take something else than one row of floats: as by hand."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from infoscope.data.tishby import tishby
from infoscope.dynamics.examples import Examples
from infoscope.dynamics.plane.information_plane import InformationPlane
from infoscope.dynamics.plane.network import plane_of_network
from infoscope.measurement import Status
from infoscope.mi.estimate import layer_information
from infoscope.mi.estimators.binning import Uniform
from infoscope.mi.estimators.noisy import Noisy
from infoscope.run import key

N, BINS = 64, Uniform(30, "layer")
Y = torch.arange(N) % 2
IDS = torch.arange(4 * N).reshape(N, 4) % 11
SEQUENCE = torch.randn(N, 5, 3, generator=torch.Generator().manual_seed(0))


class Encoder(nn.Module):
    """Takes ids and their mask by name, or ids alone."""

    def __init__(self):
        super().__init__()
        self.tokens, self.head = nn.Embedding(11, 3), nn.Linear(3, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> dict[str, Tensor]:
        h = self.tokens(input_ids)
        h = h if attention_mask is None else h * attention_mask[..., None]
        return {"logits": self.head(h.mean(1)).tanh()}


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class FromBytes(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        assert x.dtype == torch.uint8
        return self.head(x.float())


MASK = (IDS > 1).long()
CASES = {
    "sequences": (Recurrent, SEQUENCE, "head", lambda net: net(SEQUENCE)),
    "arrays of numpy": (Recurrent, SEQUENCE.double().numpy(), "head", lambda net: net(SEQUENCE)),
    "ids": (Encoder, IDS, "tokens", lambda net: net.tokens(IDS)),
    "ids and mask": (
        Encoder, {"input_ids": IDS, "attention_mask": MASK}, "head",
        lambda net: net.head((net.tokens(IDS) * MASK[..., None]).mean(1)),
    ),
    "bytes": (FromBytes, IDS.to(torch.uint8), "head", lambda net: net.head(IDS.float())),
    "double": (lambda: Recurrent().double(), SEQUENCE.double(), "head", lambda net: net(SEQUENCE.double())),
    "bfloat16": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(15, 2)).bfloat16(), SEQUENCE.bfloat16(), "1",
        lambda net: net(SEQUENCE.bfloat16()),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_plane_is_that_of_the_layers_as_they_answer_by_hand(name):
    make, x, layer, by_hand = CASES[name]
    torch.manual_seed(0)
    net = make()
    with torch.no_grad():
        both = layer_information(by_hand(net).reshape(N, -1), Y, BINS)
    record = plane_of_network(net, (x, Y), layers=layer, method=BINS)
    assert [m.value for m in record.where()] == [both.x_t.value, both.t_y.value]
    plane = InformationPlane((x, Y), layers=layer, method=BINS)
    plane.step(net, 1)
    assert [m.value for m in plane.record().where()] == [both.x_t.value, both.t_y.value]


def test_examples_travel_and_have_a_key():
    for given in ((IDS, Y), ({"a": IDS, "b": SEQUENCE.bfloat16()}, Y), tishby()[:N]):
        examples = Examples.of(given)
        again = pickle.loads(pickle.dumps(examples))
        assert key(again) == key(examples)
        assert len(again) == N
        assert np.array_equal(again.patterns, examples.patterns)
    assert key(Examples.of((IDS, Y))) != key(Examples.of((IDS.int(), Y)))


def test_patterns_count_whatever_the_inputs_are():
    assert len(set(Examples.of((IDS % 2, Y)).patterns)) == len((IDS % 2).unique(dim=0))
    both = {"ids": IDS % 2, "mask": Y[:, None]}
    expected = len(torch.cat([IDS % 2, Y[:, None]], 1).unique(dim=0))
    assert len(set(Examples.of((both, Y)).patterns)) == expected
    task = tishby()[::16]
    assert np.array_equal(Examples.of((task.x, task.y)).patterns, Examples.of(task).patterns)


@pytest.mark.parametrize(
    ("x", "message"),
    [({"a": IDS, "b": IDS[:9]}, r"unlike numbers of rows \(a 64, b 9\)"), (IDS[:0], "give numbers, one row an example"),
     (IDS[:9], "x has 9 rows and y.* 64")],
)  # fmt: skip
def test_inputs_that_do_not_fit_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        Examples.of((x, Y))


class AlwaysOn(nn.Module):
    """Dropout that eval mode does not switch off, between two layers."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(nn.functional.dropout(self.first(x), 0.5, training=True))


def test_a_layer_that_gives_two_answers_for_one_input_says_so():
    record = plane_of_network(AlwaysOn(), (SEQUENCE[:, 0], Y))
    carries = {row.coordinates["layer"]: Status.NOT_DETERMINISTIC in row.measurement.status for row in record}
    assert carries == {"first": False, "last": True}
    still = plane_of_network(nn.Sequential(nn.Linear(3, 8), nn.Dropout(), nn.Linear(8, 2)), (SEQUENCE[:, 0], Y))
    assert not any(Status.NOT_DETERMINISTIC in row.measurement.status for row in still)


def test_noise_that_the_method_knows_of_is_no_fault():
    from infoscope.observation.noise import with_noise

    net = with_noise(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), 0.1, ["1", "2"])
    known = plane_of_network(net, (SEQUENCE[:, 0], Y), layers="*", method=Noisy(0.1, 256))
    assert not any(Status.NOT_DETERMINISTIC in row.measurement.status for row in known)
    drawn = plane_of_network(net, (SEQUENCE[:, 0], Y), layers="*", method=BINS)
    carries = {row.coordinates["layer"]: Status.NOT_DETERMINISTIC in row.measurement.status for row in drawn}
    assert carries == {"0": False, "1": True, "2": True}
