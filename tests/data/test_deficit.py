import pickle

import numpy as np
import pytest
import torch

from infoscope.data.deficit import DEFICITS, Blur, NoiseImages, PermutedClasses, VerticalFlip
from infoscope.data.task import Task

DIGITS = Task.from_dataset("digits")[:50]


@pytest.mark.parametrize("name", DEFICITS)
def test_a_deficit_is_a_new_task_that_repeats_itself(name):
    once = DIGITS.corrupted(DEFICITS[name], 3)
    assert once.fingerprint == DIGITS.corrupted(DEFICITS[name], 3).fingerprint != DIGITS.fingerprint
    assert np.array_equal(once.ids, DIGITS.ids)
    assert once.name == f"{DIGITS.name}~{DEFICITS[name].kind}" + ("=4" if name == "blur" else "")
    assert pickle.loads(pickle.dumps(once)).fingerprint == once.fingerprint
    assert (once.shape, once.target) == (DIGITS.shape, DIGITS.target)


def test_blur_keeps_means_and_what_is_flat_and_takes_what_is_finer():
    """A flat image is itself; a checkerboard is flat; the least factor is none; a mean of blocks stays where it was."""
    flat, board = torch.full((2, 3, 8, 8), 0.3), (torch.arange(64).view(8, 8) // 8 + torch.arange(8)) % 2
    x = torch.cat([flat, board.expand(2, 3, 8, 8).float()])
    task = Task.from_arrays(x, [0, 1, 0, 1])
    seen = task.corrupted(Blur(4)).array
    torch.testing.assert_close(seen[:2], flat)
    torch.testing.assert_close(seen[2:], torch.full((2, 3, 8, 8), 0.5))
    assert torch.equal(task.corrupted(Blur(1)).array, x)
    torch.testing.assert_close(task.corrupted(Blur(8)).array, x.mean((2, 3), keepdim=True).expand_as(x))
    assert DIGITS.corrupted(Blur(2)).array.var() < DIGITS.array.var()


def test_a_flip_is_its_own_inverse():
    again = DIGITS.corrupted(VerticalFlip()).corrupted(VerticalFlip())
    assert again.fingerprint == DIGITS.fingerprint
    assert torch.equal(DIGITS.corrupted(VerticalFlip()).array[:, :, 0], DIGITS.array[:, :, -1])


def test_noise_has_the_mean_and_spread_of_the_images_and_none_of_their_content():
    task = Task.from_dataset("digits")
    x, noise = task.array, task.corrupted(NoiseImages(), 1)
    assert torch.equal(noise.y, task.y)
    n = x.numel()
    assert abs(noise.array.mean() - x.mean()) < 4 * x.std() / n**0.5
    assert noise.array.std() == pytest.approx(float(x.std()), rel=4 / (2 * n) ** 0.5)
    together = torch.corrcoef(torch.stack([noise.array.flatten(), x.flatten()]))[0, 1]
    assert abs(together) < 4 / n**0.5


@pytest.mark.parametrize("seed", range(5))
def test_permuted_classes_are_one_to_one_and_none_is_its_own(seed):
    renamed = DIGITS.corrupted(PermutedClasses(), seed)
    pairs = set(zip(DIGITS.y.tolist(), renamed.y.tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == 10
    assert all(a != b for a, b in pairs)
    assert renamed.label_entropy == pytest.approx(DIGITS.label_entropy)


def test_what_is_no_image_is_refused():
    iris = Task.from_dataset("iris")
    for deficit in (Blur(), VerticalFlip(), NoiseImages()):
        with pytest.raises(ValueError, match=r"needs images; 'iris' has examples of shape \(4,\)"):
            iris.corrupted(deficit)
    with pytest.raises(ValueError, match="images of 8 × 8 cannot be made 3 times smaller"):
        DIGITS.corrupted(Blur(3))
    one = Task.from_arrays(np.zeros((3, 2)), [0, 0, 0], alphabet="a")
    with pytest.raises(ValueError, match="has 1 class"):
        one.corrupted(PermutedClasses())
