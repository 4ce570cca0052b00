"""The contract of coders: nobody can use a label before it is sent, and whoever has the inputs can decode."""

from __future__ import annotations

import dataclasses
import math
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.targets import Classes
from infoscope.prequential import loss_curve
from infoscope.prequential.encode import Coder, code
from infoscope.prequential.loss_curve import Code
from infoscope.prequential.mixture import mixture
from infoscope.prequential.range_coder import Compressor, Decompressor
from infoscope.testing.check import Check, ContractBroken, require
from infoscope.testing.state import changes

N, CLASSES, SIDE = 60, 5, 8
"""Examples, classes, and pixels along the side of the images that coders are tried on."""

RECEIVED = 40
"""Labels sent before the rest is replaced by others."""


def checks_of_coder(coder: Coder) -> list[Check]:
    """The checks of a coder: some more for the code of a network; so far of classes alone."""
    if Classes not in coder.takes:
        return [Check(coder, is_a_frozen_value, is_a_frozen_value.__name__)]
    promises = [
        is_a_frozen_value,
        predictions_are_probabilities,
        same_seed_same_bits,
        no_label_reaches_its_own_prediction,
        decodes,
        leaves_the_caller_alone,
        one_example_and_one_class,
        a_class_that_never_comes_is_possible,
        never_much_longer_than_uniform,
        learns_what_is_easy,
    ]
    promises += [leaves_the_network_alone, says_that_it_needs_a_network] if coder.needs_network else []
    return [Check(coder, promise, promise.__name__) for promise in promises]


def check_coder(coder: Coder) -> None:
    """Hold a coder to what every coder must keep; `ContractBroken` names the first promise that it breaks.

    A coder of your own is held to the same as those of the table, in three lines:

    >>> from infoscope.prequential.kernel import Kernel  # here, yours
    >>> from infoscope.testing import check_coder
    >>> check_coder(Kernel())

    What it can see: a coder that looks at a label before it is sent, that gives other bits the second time or to the
    decoder, that yields what are no log-probabilities, that draws from the caller's random state or changes his
    network, that adds over log₂ E bits to random labels, or that learns nothing where a blob tells the class. What it
    cannot see: how short its codes are on your data, and what it does on a device other than the CPU.
    """
    for check in checks_of_coder(coder):
        check()


def examples() -> tuple[Float[Tensor, "n 1 side side"], np.ndarray]:
    """Images with a bright blob whose place tells the class, and the classes."""
    draws = np.random.default_rng(0)
    y = draws.integers(CLASSES, size=N)
    x = 0.3 * draws.normal(size=(N, 1, SIDE, SIDE))
    for i, label in enumerate(y):
        x[i, 0, label : label + 2, 1:6] += 1.5
    return torch.from_numpy(x.astype(np.float32)), y


def network() -> nn.Module:
    """Everything that a careless coder would leave changed: batch statistics, dropout, modes that differ."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        layers = nn.Linear(SIDE * SIDE, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, CLASSES)
        net = nn.Sequential(nn.Flatten(), *layers)
    net[4].eval()
    return net


def of(classes: int = CLASSES) -> Classes:
    """A target of so many classes."""
    return Classes(tuple(map(str, range(classes))))


def started(coder: Coder, x: Tensor | None = None, classes: int = CLASSES, seed: int = 0) -> Code:
    """The coder's code of these inputs, a fresh network given where it needs one."""
    inputs = examples()[0] if x is None else x
    mask = np.ones(len(inputs), dtype=bool)
    return code(inputs, of(classes), mask, coder, seed, network() if coder.needs_network else None)


def drive(code: Code, y: np.ndarray) -> Float[np.ndarray, "n classes"]:
    """What a code predicts for each label before it is sent."""
    return np.stack(list(loss_curve.predictions(code, y)))


def predictions(coder: Coder, y: np.ndarray | None = None) -> Float[np.ndarray, "n classes"]:
    """What the code predicts for each label before it is sent."""
    return drive(started(coder), examples()[1] if y is None else y)


def is_a_frozen_value(coder: Coder) -> None:
    """It can be a key and travels to another process, and its repr tells it whole."""
    require(dataclasses.is_dataclass(coder), "it is no dataclass; its fields are its options")
    hash(coder)
    require(pickle.loads(pickle.dumps(coder)) == coder, "its copy by pickle is not equal to it")
    require(" at 0x" not in repr(coder), f"its repr is {repr(coder)!r}, an address; receipts need its options")


def predictions_are_probabilities(coder: Coder) -> None:
    """Each expert's row sums to one, and so does the code's, in double precision, all above 0."""
    x, y = examples()
    experts = coder.experts(x, of(), 0, network() if coder.needs_network else None)
    rows = next(experts)
    for i, label in enumerate(y.tolist()):
        require(rows.ndim == 2 and rows.shape[1] == CLASSES, f"label {i}: rows of shape {rows.shape}, not (experts, 5)")
        sums = np.exp(rows).sum(1)
        worst = int(np.argmax(abs(sums - 1)))
        require(
            bool((abs(sums - 1) < 1e-5).all()),
            f"label {i}: expert {worst} yields probabilities that sum to {sums[worst]:.6f}, not 1",
        )
        if i + 1 < len(y):
            rows = experts.send(label)
    p = predictions(coder)
    require(p.dtype == np.float64 and bool((p > 0).all()), "the code's probabilities are not all above 0")
    require(bool(np.allclose(p.sum(1), 1, atol=1e-12)), f"the code's rows sum to {p.sum(1).min()} … {p.sum(1).max()}")


def same_seed_same_bits(coder: Coder) -> None:
    """Run twice with one seed, all predictions are equal to the last bit."""
    first, again = predictions(coder), predictions(coder)
    differ = np.flatnonzero((first != again).any(1))
    require(
        not len(differ), f"run twice with the same seed, it predicts label {differ[:1]} otherwise: nobody decodes it"
    )


def no_label_reaches_its_own_prediction(coder: Coder) -> None:
    """Labels from the 41st on replaced by others: nothing changes up to the 41st prediction."""
    y = examples()[1]
    poisoned = y.copy()
    poisoned[RECEIVED:] = (poisoned[RECEIVED:] + 1 + np.arange(N - RECEIVED) % (CLASSES - 1)) % CLASSES
    first, other = predictions(coder)[: RECEIVED + 1], predictions(coder, poisoned)[: RECEIVED + 1]
    differ = np.flatnonzero((first != other).any(1))
    require(
        not len(differ),
        f"other labels from number {RECEIVED} on change the prediction of label {differ[:1]}, which was made before",
    )


def decodes(coder: Coder) -> None:
    """Labels come back from the inputs and a payload that is at most 32 bits longer than their code length."""
    y, p = examples()[1], predictions(coder)
    compressor = Compressor()
    for label, row in zip(y.tolist(), p, strict=True):
        compressor.put(label, row)
    payload = compressor.finish()
    bits = -float(np.log2(p[np.arange(N), y]).sum())
    require(8 * len(payload) <= bits + 32, f"a code length of {bits:.1f} bits takes {8 * len(payload)} bits")
    try:
        # A thread of its own: no frame above the decoder's holds the labels.
        with ThreadPoolExecutor(1) as apart:
            decoded = apart.submit(_decoded, coder, payload).result()
    except Exception as error:
        raise ContractBroken(f"the decoder, which has inputs and payload, fails: {error}") from error
    wrong = np.flatnonzero(decoded != y)
    require(
        not len(wrong), f"the decoder, which has inputs and payload, gets {len(wrong)} labels wrong from {wrong[:1]}"
    )


def _decoded(coder: Coder, payload: bytes) -> np.ndarray:
    decompressor, code = Decompressor(payload), started(coder)
    labels = [decompressor.get(next(code))]
    for _ in range(N - 1):
        labels.append(decompressor.get(code.send(labels[-1])))
    return np.array(labels)


def leaves_the_caller_alone(coder: Coder) -> None:
    """Random states, threads and modes are as before while it waits for a label, and when it is left in the middle."""
    _unchanged(coder, None)


def leaves_the_network_alone(coder: Coder) -> None:
    """The network that it is given keeps its weights, statistics, modes and gradients."""
    net = network()
    held = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    _unchanged(coder, net)
    moved = [name for name, tensor in net.state_dict().items() if not torch.equal(held[name], tensor)]
    require(not moved, f"it changed the network's {', '.join(moved)}")
    require(modes == [module.training for module in net.modules()], "it switched the network's training modes")
    require(all(p.grad is None for p in net.parameters()), "it left gradients in the network")


def says_that_it_needs_a_network(coder: Coder) -> None:
    """Without a network it refuses, and says so."""
    try:
        next(coder.experts(examples()[0], of(), 0, None))
    except ValueError as error:
        require("network" in str(error), f"refused without the word network: {error}")
    else:
        raise ContractBroken("it says that it needs a network, and begins without one")


def one_example_and_one_class(coder: Coder) -> None:
    """One example costs about log C; a single class costs nothing."""
    x = examples()[0]
    p = drive(started(coder, x[:1]), np.array([3]))
    require(0 < -math.log(p[0, 3]) < 2 * math.log(CLASSES), f"the first label costs {-math.log(p[0, 3]):.3f} nat")
    if not coder.needs_network:
        only = drive(started(coder, x[:5], 1), np.zeros(5, dtype=np.int64))
        require(only.tolist() == [[1.0]] * 5, f"a single class is predicted as {only.ravel().tolist()}")


def a_class_that_never_comes_is_possible(coder: Coder) -> None:
    """A class of the alphabet that no label has keeps a probability above 0, and the code stays finite."""
    y = examples()[1]
    some = np.where(y == CLASSES - 1, 0, y)
    p = predictions(coder, some)
    cost = -np.log(p[np.arange(N), some])
    require(bool(np.isfinite(cost).all()), "a class of the alphabet that never comes makes a label's cost infinite")
    require(bool((p[:, CLASSES - 1] > 0).all()), "a class that has not come is taken for impossible")


def never_much_longer_than_uniform(coder: Coder) -> None:
    """Random labels cost at most log₂ E bits more than the uniform code, E the experts, four of the mixture's own."""
    noise = np.random.default_rng(0).integers(CLASSES, size=N)
    experts = coder.experts(examples()[0], of(), 0, network() if coder.needs_network else None)
    counted: list[int] = []
    p = drive(mixture(_counting(experts, counted.append)), noise)
    bits = -float(np.log2(p[np.arange(N), noise]).sum())
    most = N * math.log2(CLASSES) + math.log2(max(counted) + 4) + 1e-9
    require(bits <= most, f"random labels cost {bits:.2f} bits, where {most:.2f} is uniform and log₂ of the experts")


def learns_what_is_easy(coder: Coder) -> None:
    """A blob's place tells the class: the last third of the labels costs less than their frequencies alone do."""
    y, p = examples()[1], predictions(coder)
    last = slice(2 * N // 3, None)
    cost = -float(np.log2(p[np.arange(N), y][last]).mean())
    share = np.bincount(y, minlength=CLASSES) / N
    known = -float(np.log2(share[y][last]).mean())
    require(cost < 0.9 * known, f"the last third costs {cost:.2f} bits a label, and {known:.2f} by frequencies alone")


def _counting(experts, count: Callable[[int], None]):
    """The same experts; how many there are is told at each label."""
    rows = next(experts)
    while True:
        count(len(rows))
        label = yield rows
        try:
            rows = experts.send(label)
        except StopIteration:
            return


def _unchanged(coder: Coder, net: nn.Module | None) -> None:
    x, y = examples()
    given = net if net is not None else network() if coder.needs_network else None
    held = x.clone()
    sent = code(x, of(), np.ones(len(x), dtype=bool), coder, 0, given)
    changed = changes(lambda: next(sent))
    require(not changed, f"before the first label it changed {' and '.join(changed)}")
    for i, label in enumerate(y[: N // 2].tolist()):
        changed = changes(lambda label=label: sent.send(label))
        require(not changed, f"at label {i} it changed {' and '.join(changed)}")
    changed = changes(sent.close)
    require(not changed, f"left in the middle it changed {' and '.join(changed)}")
    require(torch.equal(held, x), "it wrote to the inputs")
