import dataclasses
import math

import pytest
import torch
from torch import nn

from infoscope import SGD, Adam, Learner, Recipe, Store, Task, ensemble, fit
from infoscope.data.corruption import Massart
from infoscope.ensembles.planning import EnsembleSpec, planned
from infoscope.ensembles.population import Member
from infoscope.measurement import Status
from infoscope.models import MLP
from infoscope.run.context import RunContext
from infoscope.run.question import ask, cost
from infoscope.weight_distance import wording
from infoscope.weight_distance.distance_look import DistanceLook
from infoscope.weight_distance.member_distances import MemberDistances, stand_in
from infoscope.weight_distance.members import Training, members_of
from infoscope.weight_distance.pictures import MDS, _distinct
from infoscope.weight_distance.result import common_loss
from infoscope.weight_distance.weight_distance import WeightDistance, distance, measure_distances

LEARNER = Learner(MLP((16,)), Recipe(Adam(0.01), epochs=6, patience=None))


@pytest.fixture(scope="module")
def digits() -> Task:
    return Task.from_dataset("digits")[:300]


def test_the_distances_are_those_of_networks_trained_one_by_one(digits):
    found = measure_distances(members_of(digits, LEARNER, 3, 0), EnsembleSpec((1, 6), 1.5))
    for seed in range(3):
        alone = fit(LEARNER, digits, seed=seed)
        true = sum(float((alone.weights[k].double() - w.double()).square().sum()) for k, w in alone.initial.items())
        assert float(found.whole.values[seed]) == pytest.approx(true**0.5, rel=1e-4)
    squares = sum(v.square() for v in found.whole.layers.values())
    assert torch.allclose(squares.sqrt(), found.whole.values)
    assert list(found.whole.layers) == ["fc1", "fc2"]
    assert list(found.curve) == [0, 1, 6]
    assert found.curve[0].value == pytest.approx(found.whole.mean().value)
    assert found.curve[6].value == 0
    assert found.other_start_nearer == {}
    assert found.matched is not None
    assert found.matched.mean().value < found.whole.mean().value


def test_a_loss_that_nobody_reaches_is_left_out_not_guessed(digits):
    (one,) = distance(digits, model=LEARNER, matched_loss=1e-9, replicates=2).found
    found = one.result
    assert found.matched is None
    assert "d(w0,w) at matched loss" not in [row.measurement.quantity for row in found.record()]


def test_a_diverged_network_is_left_out_by_name(digits):
    wild = Learner(MLP((16,)), Recipe(SGD(1e12), epochs=6, patience=None))
    members = [Member(one, digits, s, name=name) for s, (name, one) in enumerate([("a", LEARNER), ("b", wild)])]
    found = measure_distances([*members, Member(LEARNER, digits, 2, name="c")])
    assert found.whole.names == ("a", "c")
    assert "diverged" in found.failed["b"]
    assert "b left out" in " ".join(found.whole.mean().receipt.notes)


def test_a_shared_start_has_no_nearest_start(digits):
    start = LEARNER.network(digits.shape, digits.classes, 0).state_dict()
    members = [Member(LEARNER.starting_from(start), digits, seed) for seed in range(2)]
    assert measure_distances(members).other_start_nearer is None


def test_nothing_is_trained_twice_and_no_weights_are_kept(digits, tmp_path):
    done: list = []
    context = RunContext(Store(tmp_path), on_done=done.append)
    first = distance(digits, model=LEARNER, way="grouped", replicates=4, context=context).found[0].result
    size = sum(p.stat().st_size for p in (tmp_path / "units").iterdir())
    one_network = sum(t.numel() * 4 for t in LEARNER.network(digits.shape, 10, 0).state_dict().values())
    assert size < one_network
    again = distance(digits, model=LEARNER, way="grouped", replicates=4, context=context).found[0].result
    assert torch.equal(first.whole.values, again.whole.values)
    assert len(done) == 8


def test_a_user_s_own_model_goes_through_unchanged(digits):
    with pytest.warns(UserWarning, match="not kept"):
        (one,) = distance(digits, model=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), replicates=2).found
    assert list(one.result.whole.layers) == ["1"]


def test_member_distances_survives_its_bytes(digits):
    members = tuple(Member(LEARNER, digits, seed) for seed in range(2))
    one = DistanceLook(members, aligned=True)(ensemble(members, EnsembleSpec((0, 3), 1.0)))
    back = MemberDistances.from_bytes(one.to_bytes())
    for field in dataclasses.fields(one):
        assert same(getattr(back, field.name), getattr(one, field.name)), field.name
    assert back.aligned is not None
    assert (back.aligned <= back.whole + 1e-9).all()
    assert list(back.curve) == [0, 3]


def same(a, b) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) if isinstance(a, torch.Tensor) else a == b


def test_canonical_scales_forget_what_the_function_does_not_feel(digits):
    """The same network, its hidden units scaled by 1000 and back: the plain distance changes, the balanced one not."""
    start = LEARNER.network(digits.shape, digits.classes, 0).state_dict()
    scaled = {**start, "fc1.weight": start["fc1.weight"] * 1000, "fc1.bias": start["fc1.bias"] * 1000}
    scaled["fc2.weight"] = start["fc2.weight"] / 1000
    frozen = dataclasses.replace(LEARNER, recipe=Recipe(SGD(0.0), epochs=1, patience=None))
    members = [Member(frozen.starting_from(w), digits, name=n) for n, w in (("plain", start), ("scaled", scaled))]
    population = ensemble(members, EnsembleSpec(way="loop"))
    both = dataclasses.replace(
        population, initial={k: v.flip(0) for k, v in population.initial.items()}
    )  # from the scaled to the plain, and back
    found = DistanceLook(tuple(members), balanced=True)(both)
    assert (found.whole > 100).all()
    assert found.balanced is not None
    assert (found.balanced < 1e-4).all()


def test_outputs_beyond_all_numbers_leave_a_network_out_by_name(digits):
    wild = Learner(MLP((16,)), Recipe(SGD(1e30, 0.0), batch=300, epochs=1, patience=None))
    calm = Learner(MLP((16,)), Recipe(SGD(0.1, 0.0), batch=300, epochs=1, patience=None))
    members = [Member(one, digits, name=name) for name, one in [("a", calm), ("b", wild), ("c", calm)]]
    for way in ("loop", "vmap"):
        found = measure_distances(members, EnsembleSpec(until=1.0, way=way))
        assert found.whole.names == ("a", "c")
        assert "its outputs after training are NaN or infinite" in found.failed["b"]


class Hidden(nn.Module):
    """Random features that its state dict does not hold."""

    def __init__(self):
        super().__init__()
        self.features, self.linear = torch.randn(64, 30), nn.Linear(30, 10)

    def forward(self, x):
        return self.linear(torch.cos(x.flatten(1) @ self.features))


def test_predictions_are_those_of_each_network_itself(digits):
    learner = Learner(Hidden, Recipe(epochs=2, patience=None))
    found = distance(digits, model=learner, replicates=2).found[0].result
    for seed in range(2):
        trained, sides = fit(learner, digits, seed=seed), []
        for weights in (trained.initial, trained.weights):
            network = learner.starting_from(weights).network(digits.shape, 10, seed).eval()
            sides.append(network(digits.x).detach().double().softmax(1))
        apart = float((sides[0] - sides[1]).square().sum(1).sqrt().mean())
        assert float(found.functions[0].values[seed]) == pytest.approx(apart, rel=1e-5)


def test_networks_one_after_another_are_measured_by_the_dozen(digits, tmp_path):
    """Every unit of work draws all starts again: one unit a network would make that the square of their number."""
    distance(digits[:64], model=LEARNER, way="loop", replicates=40, context=RunContext(Store(tmp_path)))
    assert len([p for p in (tmp_path / "units").iterdir() if not p.name.startswith(".")]) == 4


def test_a_learner_keeps_its_own_recipe_unless_an_option_says_otherwise(digits):
    own = Training().learner(digits, LEARNER).recipe
    assert (own.epochs, own.optimizer, own.batch) == (6, Adam(0.01), 64)
    assert Training(epochs=9).learner(digits, LEARNER).recipe == dataclasses.replace(own, epochs=9)
    named = Training(batch=32).learner(digits, "mlp").recipe
    assert (named.epochs, named.optimizer, named.batch, named.patience) == (20, Adam(), 32, None)


def test_a_dry_run_counts_the_plans_of_every_group_and_what_they_fill(digits):
    question = WeightDistance(digits, model=LEARNER, replicates=6, aligned=True, way="vmap")
    found = cost(question)
    assert found.units == {"trainings": 6}
    (group,) = planned(members_of(digits, LEARNER, 6, 0), EnsembleSpec(way="vmap"))
    assert found.remarks[0].startswith(f"6 networks: {group.plan.way.stacked} at a time by vmap, ")
    assert cost(MDS(digits, model=LEARNER, replicates=5)).units == {"trainings": 5}


def test_memory_said_before_the_run_counts_what_is_kept_on_the_way(digits):
    members = members_of(digits, LEARNER, 2, 0)
    (none,), (three,) = (planned(members, EnsembleSpec(stops, way="vmap")) for stops in ((), (1, 2, 3)))
    weights = 4 * sum(t.numel() for t in LEARNER.network(digits.shape, 10, 0).state_dict().values())
    assert three.plan.bytes_each - none.plan.bytes_each == 3 * weights


def test_a_start_whose_first_network_diverged_is_drawn_once():
    left = {"w": torch.tensor([[0.0], [1.0], [1.0]])}  # of starts 0, 1, 1
    assert _distinct(left, torch.tensor([0, 1, 1]))["w"].tolist() == [[0.0], [1.0]]
    assert _distinct({"w": left["w"][1:]}, torch.tensor([0, 0]))["w"].tolist() == [[1.0]]


def test_the_way_that_was_chosen_is_in_the_receipt(digits):
    (one,) = distance(digits, model=LEARNER, way="vmap", replicates=3).found
    assert one.result.whole.mean().receipt.path == str(one.result.ways[0]) == "vmap × 3"


def test_a_picture_needs_one_task_and_more_networks_than_axes(digits):
    with pytest.raises(ValueError, match="a picture needs more networks"):
        MDS(digits, replicates=3)
    with pytest.raises(ValueError, match="a picture shows one task"):
        next(MDS([digits, digits]).stages())
    with pytest.raises(ValueError, match="it is one of loop, vmap"):
        MDS(digits, way="stacked")  # pyright: ignore[reportArgumentType]


def test_the_loss_to_compare_at_is_the_lowest_that_all_networks_came_to(digits):
    noisy = digits.corrupted(Massart(0.5))
    answer = distance(digits, noisy, model=LEARNER, replicates=3)
    results = [one.result for one in answer.found]
    least = [float(row.min()) for one in results for row in one.losses]
    assert {one.level for one in results} == {max(least)}
    for task, one in zip((digits, noisy), results, strict=True):
        assert one.matched is not None
        assert one.matched.names == one.whole.names
        for seed, epoch in enumerate(one.matched_epochs):
            assert float(one.losses[seed, epoch - 1]) <= max(least)
            assert bool((one.losses[seed, : epoch - 1] > max(least)).all())
            short = dataclasses.replace(LEARNER, recipe=dataclasses.replace(LEARNER.recipe, epochs=epoch))
            alone = fit(short, task, seed=seed)
            far = sum(float((alone.weights[k].double() - w.double()).square().sum()) for k, w in alone.initial.items())
            assert float(one.matched.values[seed]) == pytest.approx(far**0.5, rel=1e-4)
    assert answer.sentence().startswith(f"At a training loss of {max(least) / math.log(2):.3g} bits, the lowest that")
    assert "all 6 networks came down to" in answer.sentence()


def test_a_network_that_exploded_is_flagged_and_spoils_no_comparison(digits):
    wild = Learner(MLP((16,)), Recipe(SGD(100.0, 0.0), epochs=6, patience=None))
    ones = [Member(one, digits, s, name=name) for s, (name, one) in enumerate([("a", LEARNER), ("b", wild)])]
    found = measure_distances(ones, EnsembleSpec(until=1.5))
    loss = float(found.losses[1, -1])
    assert loss > math.log(10)
    assert found.worse == {"b": loss}
    flagged = {
        row.measurement.quantity: row.measurement.status for row in found.record() if row.coordinates["layer"] is None
    }
    assert all(flagged[name] == {Status.WORSE_THAN_UNIFORM} for name in ("d(w0,w)", "sd d(w0,w)", "training loss"))
    assert flagged["d(w0,w) at matched loss"] == frozenset()
    assert f"b ended at a training loss of {loss / math.log(2):.4g} bits" in found.whole.mean().receipt.notes
    told = wording.sentence({"digits": found}, chosen=False)
    assert told.endswith(f"1 of them ended worse than one who knows nothing: b at {loss / math.log(2):.4g} bits.")


def test_what_stands_behind_plus_minus_is_a_standard_error(digits):
    answer = distance(digits, model=LEARNER, replicates=4)
    mean = answer.found[0].result.whole.mean()
    assert (
        f"{mean.value:.4g} ± {mean.stderr:.2g} far (standard deviation {2 * mean.stderr:.2g} over 4"
        in answer.sentence()
    )


def test_no_common_loss_is_no_comparison(digits):
    def losses(*rows):
        members = [Member(LEARNER, digits, seed) for seed in range(len(rows))]
        return dataclasses.replace(stand_in(members), losses=torch.tensor(rows), moved=torch.tensor(rows)), math.log(10)

    high, low = losses([2.5, 2.4], [3.0, 2.9]), losses([2.0, 1.0], [1.9, 1.5])
    assert common_loss([high]) is None
    assert common_loss([low, high]) == 1.5


def test_distances_both_aligned_and_balanced_are_no_larger_than_balanced(digits):
    members = tuple(Member(LEARNER, digits, seed) for seed in range(2))
    found = DistanceLook(members, aligned=True, balanced=True)(ensemble(members, EnsembleSpec((0,))))
    assert found.both is not None
    assert found.balanced is not None
    assert (found.both <= found.balanced + 1e-9).all()
    permuted = distance(digits, model=LEARNER, replicates=2, aligned=True, balanced=True).record()
    assert "d(w0,w) aligned, balanced" in {row.measurement.quantity for row in permuted}


def test_every_network_is_in_one_bar(digits):
    answer = distance(digits, digits.corrupted(Massart(0.5)), model=LEARNER, replicates=5)
    by_loss, bars = answer.figures()[:2]
    assert [sum(line.y) for line in bars.lines] == [5, 5]
    assert len({line.x for line in bars.lines}) == 1
    one = answer.found[0].result
    assert by_loss.lines[0].y[-1] == pytest.approx(one.whole.mean().value)
    assert by_loss.lines[0].x[-1] == pytest.approx(float(one.losses[:, -1].mean()) / math.log(2))


@pytest.mark.parametrize("starts", [None, 2])
def test_aligned_networks_lie_no_farther_from_each_other(digits, starts):
    """Aligned one by one to the first network, those of the second start drew spread that is not there."""
    answer = ask(MDS(digits, model=LEARNER, replicates=8, starts=starts, aligned=True))
    rows = {(row.coordinates["networks"], row.measurement.quantity): row.measurement for row in answer.record()}
    where = "end" if starts is None else "start and end"
    plain, aligned = (rows[name, "d(w_i,w_j)"].value for name in (where, f"{where}, aligned"))
    assert aligned < plain
    ends = answer.population.weights
    pairs = [
        sum(float((ends[k][i].double() - ends[k][j].double()).square().sum()) for k in ends) ** 0.5
        for i in range(8)
        for j in range(i)
    ]
    assert plain == pytest.approx(sum(pairs) / 28, rel=1e-6)
    assert answer.choices()["Alignment"] == "every hidden unit is followed"


class Normed(nn.Sequential):
    """A response norm across neighbouring maps, which has no symmetry."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 4, 3), nn.LocalResponseNorm(2), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(64, 10),
        )  # fmt: skip


def test_what_alignment_could_not_follow_stands_behind_the_number(digits):
    learner = Learner(Normed, Recipe(epochs=1, patience=None))
    reason = "local_response_norm is not followed: units that enter it keep their places"
    answer = distance(digits, model=learner, replicates=2, aligned=True)
    rows = {row.measurement.quantity: row.measurement for row in answer.record()}
    assert reason in rows["d(w0,w) aligned"].receipt.notes
    assert reason not in rows["d(w0,w)"].receipt.notes
    assert reason in answer.choices()["digits"]
    pictures = ask(MDS(digits, model=learner, replicates=4, aligned=True))
    assert pictures.choices()["Alignment"] == reason
    behind = {row.coordinates["networks"]: row.measurement.receipt.notes for row in pictures.record()}
    assert reason in behind["end, aligned"]
    assert reason not in behind["end"]


def test_networks_of_a_start_have_a_colour_and_lines_from_it(digits):
    answer = ask(MDS(digits, model=LEARNER, replicates=6, starts=2, aligned=True))
    plain, aligned = answer.figures()
    for where, figure in (("start and end", plain), ("start and end, aligned", aligned)):
        points = answer.pictures[where].points
        assert [line.name for line in figure.lines] == ["ends from start 1", "ends from start 2"]
        for i, line in enumerate(figure.lines):
            assert line.origin == pytest.approx(points[i].tolist())
            assert line.z == pytest.approx(points[2:][i::2, 2].tolist())
        assert figure.z_label == "axis 3"
