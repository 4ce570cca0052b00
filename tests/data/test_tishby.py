from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
import torch

from infoscope.data.tishby import _POINTS, _THRESHOLD, from_file, labels_of, tishby


def test_patterns_and_labels_are_those_of_the_authors_file(shared_data):
    theirs, ours = from_file(shared_data("tishby") / "var_u.mat"), tishby()
    assert torch.equal(ours.x, theirs.x)
    assert torch.equal(ours.y, theirs.y)


def test_the_split_file_holds_the_same_patterns(shared_data):
    split = from_file(shared_data("tishby") / "IB_data_2017_12_21_16_51_3_275766.npz")
    assert (len(split["train"]), len(split["test"])) == (3277, 819)
    assert labels_of(split.x.numpy()).tolist() == split.y.tolist()
    assert len(np.unique(split.content_hashes)) == 4096


def test_the_label_is_invariant_under_every_symmetry_of_the_icosahedron():
    cosines = np.round(_POINTS @ _POINTS.T, 9)
    assert set(cosines[0]) == {1.0, round(5**-0.5, 9), -round(5**-0.5, 9), -1.0}
    moves = []

    def extend(images):
        i = len(images)
        if i == 12:
            moves.append(images)
            return
        for v in range(12):
            if v not in images and all(cosines[v, images[j]] == cosines[i, j] for j in range(i)):
                extend([*images, v])

    extend([])
    assert len(moves) == 120  # rotations and reflections
    task = tishby()
    bits, y = task.x.numpy(), task.y.numpy()
    assert all((labels_of(bits[:, move]) == y).all() for move in moves)


def test_no_pattern_is_near_the_threshold():
    bits = np.array(list(itertools.product((0, 1), repeat=12)))
    signature = bits.sum(1) + np.linalg.norm(bits @ _POINTS, axis=1)
    assert np.abs(signature - _THRESHOLD).min() > 0.03


def test_the_task_travels_by_its_origin():
    there = pickle.loads(pickle.dumps(tishby()[:100]))
    assert there.fingerprint == tishby()[:100].fingerprint


def test_files_of_another_kind_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", X_train=np.zeros((2, 12)), other=np.zeros(2))
    with pytest.raises(ValueError, match="lacks the array 'y_train'; it holds 'X_train', 'other'"):
        from_file(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="no such file"):
        from_file(tmp_path / "b.mat")
