from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from infoscope.weight_distance import classical_mds, landmark_mds, mds_of_distances

STAR = torch.tensor([[0.0, 1, 1, 1], [1, 0, 2, 2], [1, 2, 0, 2], [1, 2, 2, 0]])


def cloud(n: int = 40, seed: int = 0, offset: float = 0.0) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    values = torch.randn(n, 30, generator=draws) * torch.logspace(0, -2, 30) + offset
    return {"a": values[:, :24].reshape(n, 4, 6), "b": values[:, 24:]}


def plainly(points: np.ndarray, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Algorithm 1 of the paper, word for word."""
    n = len(points)
    squares = cdist(points, points) ** 2
    j = np.eye(n) - np.ones((n, n)) / n
    values, vectors = np.linalg.eigh(-0.5 * j @ squares @ j)
    values, vectors = values[::-1], vectors[:, ::-1]
    return values, vectors[:, :dimensions] * np.sqrt(values[:dimensions])


def flat(weights: dict[str, torch.Tensor]) -> np.ndarray:
    return torch.cat([v.flatten(1) for v in weights.values()], 1).double().numpy()


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_the_gram_of_centred_weights_gives_algorithm_1(offset):
    weights = cloud(offset=offset)
    values, points = plainly(flat(weights), 3)
    found = classical_mds(weights, dimensions=3)
    assert found.eigenvalues.numpy()[:3] == pytest.approx(values[:3], rel=1e-4)
    assert np.abs(found.points.numpy()) == pytest.approx(np.abs(points), abs=1e-3)
    assert found.explained == pytest.approx(values[:3].sum() / values.sum(), rel=1e-4)
    assert found.warning == ""
    exact = classical_mds({k: v.double() for k, v in weights.items()}, dimensions=3)
    assert exact.eigenvalues.numpy()[:3] == pytest.approx(values[:3], rel=1e-9)


def test_distances_give_what_weights_give():
    points = flat(cloud())
    of_distances = mds_of_distances(torch.from_numpy(cdist(points, points)), dimensions=2)
    of_weights = classical_mds({"w": torch.from_numpy(points)})
    assert torch.allclose(of_distances.points, of_weights.points, atol=1e-8)
    assert of_distances.warning == ""


def test_a_plane_in_many_dimensions_keeps_its_distances():
    draws = torch.Generator().manual_seed(0)
    plane = torch.randn(25, 2, generator=draws, dtype=torch.float64)
    turned = plane @ torch.linalg.qr(torch.randn(50, 50, generator=draws, dtype=torch.float64))[0][:2]
    found = classical_mds({"w": turned})
    assert found.explained == pytest.approx(1.0)
    assert torch.allclose(torch.cdist(found.points, found.points), torch.cdist(plane, plane), atol=1e-9)


def test_the_rectangle():
    corners = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0], [4.0, 3.0]])
    found = classical_mds({"w": corners})
    assert found.eigenvalues[:2].tolist() == pytest.approx([16.0, 9.0])
    mean, deviation = found.radii()
    assert mean.value == pytest.approx(2.5)
    assert deviation.value == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize(("dimensions", "spread"), [(2, (4 / np.pi - 1) ** 0.5), (3, (3 * np.pi / 8 - 1) ** 0.5)])
def test_independent_networks_are_a_cloud_and_no_sphere(dimensions, spread):
    """Eigenvectors of independent points are normal: radii are Rayleigh in two dimensions, Maxwell in three."""
    weights = {"w": torch.randn(1000, 5000, generator=torch.Generator().manual_seed(0))}
    mean, deviation = classical_mds(weights, dimensions=dimensions).radii()
    assert deviation.value / mean.value == pytest.approx(spread, rel=0.05)


def test_the_star_is_not_euclidean_and_says_so():
    found = mds_of_distances(STAR)
    assert found.eigenvalues.tolist() == pytest.approx([2.0, 2.0, 0.0, -0.25], abs=1e-12)
    assert found.negative.tolist() == pytest.approx([-0.25])
    assert found.explained == pytest.approx(4 / 4.25)
    assert "not Euclidean" in found.warning
    assert found.warning in found.radii()[0].receipt.notes
    weak = mds_of_distances(torch.tensor([[0.0, 1, 2.0001], [1, 0, 1], [2.0001, 1, 0]]))  # no triangle
    assert len(weak.negative) == 1


def test_starts_and_ends_share_a_picture():
    start, end = cloud(10), cloud(10, seed=1)
    together = classical_mds({k: torch.cat([start[k], end[k]]) for k in start})
    assert torch.allclose(classical_mds(start, end).points, together.points, atol=1e-5)


def test_running_statistics_stay_out_of_the_picture():
    weights = cloud()
    noisy = weights | {"bn.running_var": 1e6 * torch.rand(40, 3)}
    assert torch.equal(classical_mds(noisy).points, classical_mds(weights).points)


def test_blocks_change_only_rounding(monkeypatch):
    whole = classical_mds(cloud())
    monkeypatch.setattr("infoscope.weight_distance.mds._COLUMNS", 3)
    assert torch.allclose(classical_mds(cloud()).points, whole.points, atol=1e-4)


def test_landmarks_that_span_everything_are_exact():
    draws = torch.Generator().manual_seed(0)
    weights = {"w": torch.randn(200, 3, generator=draws, dtype=torch.float64) * torch.tensor([3.0, 2.0, 1.0])}
    few, whole = landmark_mds(weights, dimensions=3, landmarks=20), classical_mds(weights, dimensions=3)
    assert torch.allclose(few.points, whole.points, atol=1e-8)
    assert "20 landmarks" in few.receipt.method


def test_landmarks_come_near_where_they_span_less():
    whole = classical_mds(cloud(400)).points
    errors = [
        float((landmark_mds(cloud(400), landmarks=k).points - whole).norm() / whole.norm()) for k in (50, 200, 400)
    ]
    assert 0.2 > errors[0] > 2 * errors[1]
    assert errors[2] < 1e-5


def test_many_networks_take_landmarks_without_being_asked(monkeypatch):
    assert landmark_mds(cloud()).receipt.method == "classical MDS"
    monkeypatch.setattr("infoscope.weight_distance.landmarks.MOST", 30)
    assert landmark_mds(cloud(), cloud(seed=1)).receipt.method == "landmark MDS, 80 landmarks"


@pytest.mark.usefixtures("any_shape")
def test_what_cannot_be_shown():
    with pytest.raises(ValueError, match="needs 2 networks or more"):
        classical_mds({"w": torch.zeros(1, 3)})
    with pytest.raises(ValueError, match="ask for 1 to 39"):
        classical_mds(cloud(), dimensions=40)
    with pytest.raises(ValueError, match="one architecture"):
        classical_mds(cloud(), {"a": torch.zeros(2, 4, 6)})
    bad = cloud()
    bad["b"][3, 1] = torch.nan
    with pytest.raises(ValueError, match="network '3' has NaN or infinity in b"):
        classical_mds(bad)
    with pytest.raises(ValueError, match="not symmetric"):
        mds_of_distances(STAR + torch.eye(4))
    with pytest.raises(ValueError, match="n × n matrix"):
        mds_of_distances(STAR[:2])
    with pytest.raises(ValueError, match="not finite"):
        mds_of_distances(STAR * torch.nan)
    with pytest.raises(ValueError, match="span fewer than 3 dimensions"):
        landmark_mds({"w": torch.randn(50, 2, dtype=torch.float64)}, dimensions=3, landmarks=10)
