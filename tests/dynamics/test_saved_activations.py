from __future__ import annotations

import numpy as np
import pytest

from infoscope.dynamics.plane.saved_activations import plane_of_activations
from infoscope.mi.estimators.binning import Uniform

X = np.arange(16.0)[:, None] / 16
BINS = Uniform(16, (0.0, 1.0))


def test_epochs_and_layers_of_one_file(tmp_path):
    path, coarse = tmp_path / "a.npz", np.floor(4 * X) / 4
    np.savez(path, y=np.arange(16) // 8, **{"10/a": X, "10/b": coarse, "9/a": coarse, "9/b": coarse.reshape(16, 1, 1)})
    record = plane_of_activations(path, method=BINS)
    assert [(r.coordinates["epoch"], r.coordinates["layer"], r.measurement.bits) for r in record] == [
        (9, "a", 2.0), (9, "a", 1.0), (9, "b", 2.0), (9, "b", 1.0),
        (10, "a", 4.0), (10, "a", 1.0), (10, "b", 2.0), (10, "b", 1.0),
    ]  # fmt: skip


def test_labels_may_be_given(tmp_path):
    np.savez(tmp_path / "a.npz", X=X, T1=X)
    with pytest.raises(ValueError, match="has no labels `y`"):
        plane_of_activations(tmp_path / "a.npz", method=BINS)
    record = plane_of_activations(tmp_path / "a.npz", method=BINS, y=np.arange(16) % 2)
    assert [m.bits for m in record.where(layer="T1")] == [4.0, 1.0]


def test_files_that_do_not_fit_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", y=np.zeros(3, int), T1=X)
    with pytest.raises(ValueError, match=r"layer 'T1' has shape \(16, 1\) for 3 labels"):
        plane_of_activations(tmp_path / "a.npz", method=BINS)
    np.savez(tmp_path / "b.npz", y=np.zeros(3, int))
    with pytest.raises(ValueError, match="has no layers"):
        plane_of_activations(tmp_path / "b.npz", method=BINS)
    with pytest.raises(ValueError, match="no such file"):
        plane_of_activations(tmp_path / "c.npz", method=BINS)


def test_a_layer_whose_name_has_several_lines_is_told_on_one(tmp_path):
    y = np.arange(8) % 2
    np.savez(tmp_path / "a.npz", y=y, **{"a\nb": np.where(y, np.inf, 0.0).astype(np.float32)})
    with pytest.raises(ValueError, match=r"`a b` has 4 of 8 rows with NaN or infinity") as told:
        plane_of_activations(tmp_path / "a.npz")
    assert "\n" not in str(told.value)


def test_a_file_of_no_examples_is_refused(tmp_path):
    nothing = np.empty(0, dtype=np.float32)
    np.savez(tmp_path / "a.npz", y=nothing, T1=nothing)
    with pytest.raises(ValueError, match="labels `y` are of no example"):
        plane_of_activations(tmp_path / "a.npz")
