"""Kernels compute where their inputs lie. There is no GPU here: a device is played, whose tensors meet no others.

Every tensor on it wraps one of the processor, so numbers can be compared bit for bit, and every way off it is seen.
"""

from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from infoscope.data.targets import Classes, Real
from infoscope.prequential import devices
from infoscope.prequential.kernel import Kernel

THERE = torch.device("meta")  # torch lets no other name be played without a library for it
CROSSING = ("aten._to_copy", "aten.copy_", "aten.index", "aten.index_put_")  # and rows chosen by places that lie here


class There(torch.Tensor):
    """A tensor on the played device."""

    @staticmethod
    def __new__(cls, inner):
        own = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), dtype=inner.dtype, device=THERE
        )
        own.inner = inner
        return own

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func}: outside of the play")


class Play(TorchDispatchMode):
    """Does what is asked of the played device, refuses what mixes it with the processor, and counts what leaves it."""

    def __init__(self):
        super().__init__()
        self.left = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        given = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, torch.Tensor)]
        there = any(isinstance(one, There) for one in given)
        wanted = kwargs.get("device")
        if wanted is not None:
            kwargs["device"] = torch.device("cpu")
        name = func.overloadpacket.__str__()
        if there and any(not isinstance(one, There) and one.ndim for one in given) and name not in CROSSING:
            raise AssertionError(f"{name} mixes devices")
        bare = tree_map(lambda one: one.inner if isinstance(one, There) else one, (args, kwargs))
        found = func(*bare[0], **bare[1])
        goes = torch.device(wanted) == THERE if wanted is not None else there
        if there and not goes:
            self.left[name, tuple(found.shape)] += 1
        if func in (torch.ops.aten._local_scalar_dense.default,):
            self.left["a number", ()] += 1
            return found
        if not goes:
            return found
        if args and isinstance(args[0], There) and func._schema.is_mutable and found is args[0].inner:
            return args[0]
        return tree_map(lambda one: There(one) if isinstance(one, torch.Tensor) else one, found)


def sent(coder, x, y, target):
    """What is predicted of every example."""
    code = coder.experts(x, target, 0)
    rows = [next(code)]
    for one in y[:-1]:
        rows.append(code.send(one))
    return np.stack(rows)


@pytest.mark.parametrize("coder", [Kernel(block=40), Kernel(exact=0, landmarks=50, block=40)], ids=["whole", "not"])
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_kernels_stay_on_their_device_but_for_blocks(coder, kind):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((130, 1, 9, 9), dtype=np.float32))
    target = Classes(("a", "b", "c")) if kind == "classes" else Real(0.01, -1.0, 1.0)
    y = rng.integers(3, size=130).tolist() if kind == "classes" else list(rng.random((130, 1)))
    with Play() as play:
        played = sent(coder, There(x), y, target)
    np.testing.assert_array_equal(played, sent(coder, x, y, target))
    size, width = (40 if coder.exact else 80), target.outputs
    block = {(size, size), (130 % size, 130 % size), (size, width), (130 % size, width)}
    edges, dictionary = {(130, 8)}, {(130, 1, 9, 9)}
    assert {shape for _, shape in play.left if len(shape) > 1} <= block | edges | dictionary


def test_mixing_devices_is_seen():
    with Play(), pytest.raises(AssertionError, match="mixes devices"):
        There(torch.ones(3)) + torch.ones(3)


def test_a_gpu_is_asked_for_bits_that_repeat(monkeypatch):
    """What is set while it computes, and what is set before and after; nothing for the processor."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    torch.set_float32_matmul_precision("high")
    try:
        with devices.repeatable("cpu"):
            assert torch.get_float32_matmul_precision() == "high"
        with devices.repeatable("cuda"):
            assert torch.get_float32_matmul_precision() == "highest"
            assert torch.are_deterministic_algorithms_enabled()
            assert not torch.utils.deterministic.fill_uninitialized_memory
        assert torch.get_float32_matmul_precision() == "high"
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.utils.deterministic.fill_uninitialized_memory
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_label_file_names_the_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert devices.versions_of("cuda")["gpu"].startswith("A, compute capability 9.0, CUDA")
    assert devices.versions_of("cpu") == {}
