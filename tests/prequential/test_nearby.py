from __future__ import annotations

import pytest
import torch
from torch import nn

from infoscope.data.targets import Classes
from infoscope.prequential.nearby import Nearby, moved
from infoscope.prequential.replay import Replay, _Student


def image():
    return torch.rand(3, 2, 20, 14, generator=torch.Generator().manual_seed(0))


def test_a_move_takes_pixels_with_it_and_copies_the_edge():
    x = image()
    down = moved(x, 1, -2)
    torch.testing.assert_close(down[:, :, 1:, :-2], x[:, :, :-1, 2:])
    torch.testing.assert_close(down[:, :, 0, :-2], x[:, :, 0, 2:])


def test_what_is_drawn_lies_as_near_as_it_is_said_and_differs_from_image_to_image():
    """A ramp tells where each pixel came from: b at the middle, (1 + A) its slopes."""
    side, draws = 28, torch.Generator().manual_seed(0)
    ramp = torch.arange(float(side)).expand(400, 1, side, side)
    for nearby, shift, slope in ((Nearby(), 2.0, 0.12), (Nearby(0.1, 0.0), 2.8, 0.0), (Nearby(0.0, 0.2), 0.0, 0.2)):
        x = nearby.drawn(ramp, draws)[:, 0]
        middle = x[:, 13:15, 13:15].mean((1, 2)) - 13.5
        across, along = x[:, 14, 15] - x[:, 14, 14], x[:, 15, 14] - x[:, 14, 14]
        for found, most in ((middle, shift), (across - 1, slope), (along, slope)):
            assert found.abs().max() <= most + 1e-3
            assert found.abs().max() >= 0.95 * most
            assert abs(float(found.mean())) <= 0.1 * most + 1e-4


def test_the_mean_is_over_an_image_and_its_four_neighbours():
    x = image()
    one = torch.zeros(1, 1, 15, 15)
    one[0, 0, 7, 7] = 5.0
    cross = torch.zeros(15, 15)
    cross[7, 6:9] = cross[6:9, 7] = 1.0
    torch.testing.assert_close(Nearby().mean(lambda z: z, one)[0, 0], cross)
    torch.testing.assert_close(Nearby(shift=0).mean(lambda z: z, x), x)


@pytest.mark.parametrize(
    "x",
    [
        torch.rand(4, 28),
        torch.rand(4, 1, 8, 8),
        torch.ones(4, 1, 28, 28, dtype=torch.long),
        {"a": torch.rand(4, 1, 28, 28)},
    ],
)
def test_what_is_no_image_of_a_size_stays_as_it_is(x):
    assert Nearby().drawn(x, torch.Generator()) is x
    assert Nearby().mean(lambda z: z, x) is x


def test_both_terms_learn_from_the_same_images():
    """What is drawn depends on the seed and the order alone, not on the weights that learn."""
    seen = []

    class Looks(nn.Linear):
        def forward(self, x):
            if self.training:
                seen[-1].append(x.detach().clone())
            return super().forward(x.flatten(1))

    x, y = torch.rand(12, 1, 14, 14), torch.arange(12) % 3
    for weights in (0, 1):
        torch.manual_seed(weights)
        seen.append([])
        code = Replay(start=64, replays=1).experts(x, Classes(("a", "b", "c")), 0, Looks(196, 3))
        next(code)
        for label in y[:-1]:
            code.send(int(label))
    assert len(seen[0]) == len(seen[1]) > 0
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))
    assert not any(any(torch.equal(image, one) for one in x) for image in seen[0][0])


def test_there_is_no_change_where_none_is_asked_for():
    x = torch.rand(6, 1, 14, 14)
    student = _Student(Replay(nearby=None), nn.Sequential(nn.Flatten(), nn.Linear(196, 2)), x, Classes(("a", "b")), 0)
    heard = []
    student.network.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    student._say(x, torch.arange(6))
    torch.testing.assert_close(heard[0], x)


def test_what_makes_no_sense_is_refused():
    for options in ({"shift": -0.1}, {"warp": 0.5}):
        with pytest.raises(ValueError, match="shares from 0 to below a half"):
            Nearby(**options)
