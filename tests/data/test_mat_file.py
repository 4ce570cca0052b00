"""MATLAB 5 files are read as scipy reads them, and damaged ones end in a word, not in a crash."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from infoscope.data.mat_file import arrays

DRAWS = np.random.default_rng(0)
HELD = {
    "doubles": DRAWS.normal(size=(3, 4)),
    "singles": DRAWS.normal(size=(2, 5)).astype(np.float32),
    "bits": DRAWS.integers(0, 2, (6, 2)).astype(np.uint8),
    "whole": np.arange(24, dtype=np.int64).reshape(2, 3, 4),
    "few": np.array([[1.0, 2.0]]),
    "flags": np.array([[True, False]]),
}


@pytest.mark.parametrize("packed", [False, True])
def test_as_scipy_reads_them(packed, tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {**HELD, "words": "hello", "cell": np.array([1, "a"], object)}, do_compression=packed)
    theirs, ours = loadmat(path), arrays(path, tuple(HELD))
    for name in HELD:
        np.testing.assert_array_equal(ours[name], theirs[name])
        assert ours[name].dtype == theirs[name].dtype


def test_the_authors_file(shared_data):
    path = shared_data("tishby") / "var_u.mat"
    theirs, ours = loadmat(path), arrays(path, ("F", "y"))
    assert all(np.array_equal(ours[name], theirs[name]) for name in ("F", "y"))


@pytest.mark.parametrize(
    ("held", "told"),
    [
        ({"F": np.ones((2, 2)) * 1j}, "'F' is no dense array of real numbers"),
        ({"F": "text"}, "'F' is no dense array"),
        ({"F": {"a": 1}}, "'F' is no dense array"),
        ({"G": np.ones((2, 2))}, "lacks the array 'F'; it holds 'G'"),
    ],
)
def test_what_is_no_array_of_numbers(held, told, tmp_path):
    savemat(tmp_path / "a.mat", held)
    with pytest.raises(ValueError, match=told):
        arrays(tmp_path / "a.mat", ("F",))


def test_a_small_file_that_asks_for_much_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"F": np.zeros((2, 2))}, do_compression=True)
    huge = zlib.compress(np.array([14, 2**32 - 8], "<u4").tobytes() + bytes(1 << 20))
    path.write_bytes(path.read_bytes()[:128] + np.array([15, len(huge)], "<u4").tobytes() + huge)
    with pytest.raises(ValueError, match=r"take 4.0 GiB in memory|holds 1048576 of 4294967288 bytes"):
        arrays(path, ("F",))


def test_an_older_form_is_refused_with_a_remedy(tmp_path):
    savemat(tmp_path / "a.mat", {"F": np.ones((2, 2))}, format="4")
    with pytest.raises(ValueError, match="not a MATLAB 5 file; save dense arrays"):
        arrays(tmp_path / "a.mat", ("F",))
