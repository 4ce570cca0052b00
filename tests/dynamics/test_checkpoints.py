from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from infoscope.data.tishby import tishby
from infoscope.dynamics.plane.checkpoints import checkpoints, gaps, plane_of_checkpoints
from infoscope.dynamics.plane.information_plane import InformationPlane
from infoscope.dynamics.plane.study_run import PlaneStopped
from infoscope.dynamics.schedule import DeltaSkipExact, Every
from infoscope.mi.estimators.binning import Uniform
from infoscope.models import MLP
from infoscope.record import Record
from infoscope.training.fit import fit
from infoscope.training.learner import Learner, copy_weights
from infoscope.training.recipe import Adam, Recipe

TASK = tishby()[::16]
LEARNER = Learner(MLP((4, 3), "tanh"), Recipe(Adam(0.01), batch=32, epochs=9, patience=None))
NETWORK = MLP((4, 3), "tanh")((12,), 2)
BINS = Uniform(30)


class Saver:
    """Writes a checkpoint after each epoch."""

    def __init__(self, write):
        self.write = write

    def observe(self, moment):
        if moment.end_of_epoch:
            self.write(moment.epoch + 1, copy_weights(moment.network))


def as_pt(folder):
    return lambda epoch, weights: torch.save({"epoch": epoch, "state_dict": weights}, folder / f"run2_epoch_{epoch}.pt")


def as_pythia(folder):
    def write(epoch, weights):
        place = folder / f"step{1000 * epoch}"
        place.mkdir()
        save_file(weights, place / "model.safetensors")
        torch.save({}, place / "optimizer.bin")

    return write


def as_shards(folder):
    def write(epoch, weights):
        place = folder / f"step{epoch}"
        place.mkdir()
        for i, (name, tensor) in enumerate(weights.items()):
            save_file({f"module._orig_mod.{name}": tensor}, place / f"model-{i}.safetensors")

    return write


def bare(folder):
    return lambda epoch, weights: save_file(weights, folder / f"{epoch}.safetensors")


def values(record):
    return [(row.coordinates["layer"], row.measurement.quantity, row.measurement.value) for row in record]


def epochs(record):
    return list(dict.fromkeys(row.coordinates["epoch"] for row in record))


@pytest.mark.parametrize(("form", "stride"), [(as_pt, 1), (as_pythia, 1000), (as_shards, 1), (bare, 1)])
def test_checkpoints_give_the_plane_that_was_seen_live(tmp_path, form, stride):
    live = InformationPlane(TASK, method=BINS)
    fit(LEARNER, TASK, observers=[live, Saver(form(tmp_path))])
    record = plane_of_checkpoints(tmp_path, NETWORK, TASK, method=BINS)
    assert epochs(record) == [stride * epoch for epoch in range(1, 10)]
    assert values(record) == values(live.record())


@pytest.mark.parametrize("jobs", [1, 2])
def test_sections_are_searched_as_they_are_live(tmp_path, jobs):
    live = InformationPlane(TASK, method=BINS, schedule=DeltaSkipExact(0.03))
    fit(LEARNER, TASK, observers=[live, Saver(bare(tmp_path))])
    record = plane_of_checkpoints(tmp_path, NETWORK, TASK, method=BINS, schedule=DeltaSkipExact(0.03), jobs=jobs)
    assert epochs(record) == epochs(live.record())


def test_a_gap_gets_a_warning_and_the_others_are_measured(tmp_path):
    fit(LEARNER, TASK, observers=[Saver(as_pythia(tmp_path))])
    for file in (tmp_path / "step5000").iterdir():
        file.unlink()
    with pytest.warns(UserWarning, match="no checkpoint between 4000 and 6000, where they come every 1000"):
        record = plane_of_checkpoints(tmp_path, NETWORK, TASK, method=BINS)
    assert epochs(record) == [1000, 2000, 3000, 4000, 6000, 7000, 8000, 9000]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 2000, 3000], []),  # Pythia's
        ([0, 2000, 3000, 5000, 6000], [(0, 2000, 1000), (3000, 5000, 1000)]),
        ([7], []),
    ],
)
def test_strides_that_only_grow_are_no_gaps(numbers, expected):
    assert gaps(numbers) == expected


def test_what_was_measured_before_an_unreadable_checkpoint_is_kept(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    fit(LEARNER, TASK, observers=[Saver(bare(folder))])
    (folder / "4.safetensors").write_bytes(b"cut off")
    record = Record(tmp_path / "record.jsonl")
    with pytest.raises(
        PlaneStopped, match=r"4.safetensors: not a readable file of weights .*; save the tensors alone"
    ) as stopped:
        plane_of_checkpoints(folder, NETWORK, TASK, method=BINS, record=record)
    assert epochs(Record(tmp_path / "record.jsonl")) == epochs(stopped.value.record) == [1, 2, 3]


@pytest.mark.parametrize("schedule", [Every(), DeltaSkipExact(0.001)])
def test_weights_of_another_shape_name_their_file_and_keep_what_was_measured(tmp_path, schedule):
    fit(LEARNER, TASK, observers=[Saver(bare(tmp_path))])
    save_file(copy_weights(MLP((4, 2), "tanh")((12,), 2)), tmp_path / "6.safetensors")
    with pytest.raises(
        PlaneStopped, match=r"6.safetensors: the weights do not fit .* another shape for fc2.weight"
    ) as stopped:
        plane_of_checkpoints(tmp_path, NETWORK, TASK, method=BINS, schedule=schedule)
    assert max(epochs(stopped.value.record)) <= 9
    assert {1, 2, 3, 4, 5} >= set(epochs(stopped.value.record)) - {7, 8, 9} >= {1, 2}


def test_folders_that_hold_nothing_to_measure_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        checkpoints(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("12")
    (tmp_path / "final.pt").write_bytes(b"")
    with pytest.raises(ValueError, match="holds no checkpoints; name them by their epoch"):
        checkpoints(tmp_path)
    for name in ("a1.pt", "b1.pt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"both a1.pt and b1.pt are of epoch 1; keep one"):
        checkpoints(tmp_path)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "1.pt")
    with pytest.raises(ValueError, match="the weights do not fit"):
        plane_of_checkpoints(tmp_path, NETWORK, TASK, schedule=Every())
    torch.save([1, 2], tmp_path / "1.pt")
    with pytest.raises(ValueError, match="holds a list, not tensors by name"):
        plane_of_checkpoints(tmp_path, NETWORK, TASK)
