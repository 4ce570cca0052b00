"""The look behind a risk certificate: a posterior trained by the bound, its draws on the examples, its price."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from time import process_time

import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.inputs import Batch, Inputs, pieces, take, to
from infoscope.data.targets import Classes
from infoscope.data.task import Task
from infoscope.run.look import pack, unpack
from infoscope.training.check_network import check_network
from infoscope.training.forward import forward
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner
from infoscope.weight_information.certificate.bound_training import BoundTraining
from infoscope.weight_information.certificate.compression import message_bits
from infoscope.weight_information.certificate.hidden_units import unnamed_units
from infoscope.weight_information.certificate.noisy_weights import SCALES, NoisyWeights, layers_of
from infoscope.weight_information.certificate.symmetry_discount import HiddenUnits, symmetry_discount
from infoscope.weight_information.example_losses import check_gradients

LEVELS = (3, 7, 15, 31, 255)
"""Values that a weight may take in a message: that of the network in few bits, all of which are tried."""

_WORK = 1 << 21  # examples × draws that risks are sampled from, at most
HELD_OUT = 100
"""Draws whose risk on the test split is taken."""

_BATCH = 4096
_MOST_PERMANENTS = 1 << 23  # numbers
_SCALE = 0.3
_SCALE_LEARNT = 0.01


@dataclass(frozen=True)
class PosteriorSpec:
    """How a posterior is to be made: one λ for all layers or one each, a prior at 0 or at the start, and training.

    `learnt` says that the start has been trained, on other examples: the first λ is then smaller, and nothing warm.
    With a `delta_symmetry` KL is discounted for hidden units that have no names.
    """

    one_scale: bool = False
    centred: bool = False
    learnt: bool = False
    delta: float = 0.0245
    delta_symmetry: float = 0.0
    draws: int = 2000
    training: BoundTraining = BoundTraining()
    seed: int = 0


@dataclass(frozen=True)
class Message:
    """A network in so many bits, weights of so many values each, and its risk on the n examples."""

    levels: int
    bits: float
    risk: float


@dataclass(frozen=True, eq=False)
class CertifiedPosterior:
    """A posterior, and what of it a certificate rests on.

    `tails` (draws, 3) are shares of examples of each draw, whose excess loss over half that of the prior's centre is at
    least 0, ½ and 1; the second is the risk. `held_out` are risks on the test split of the same draws, if there is one.
    """

    tails: Float[Tensor, "draws 3"]
    held_out: Float[Tensor, " held_out"]
    kl: Mapping[str, float]
    scales: Mapping[str, float]
    choices: int
    centre_risk: float
    messages: tuple[Message, ...]
    n: int
    examples: int
    seconds: float
    discount: float = 0.0

    @property
    def total(self) -> float:
        """KL(q‖p), nats, less the discount: that of q averaged over symmetries, which has the same risk."""
        return math.fsum(self.kl.values()) - self.discount

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        facts = {
            k: getattr(self, k)
            for k in ("kl", "scales", "choices", "centre_risk", "n", "examples", "seconds", "discount")
        }
        return pack(
            {"tails": self.tails, "held_out": self.held_out}, **facts, messages=[asdict(one) for one in self.messages]
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> CertifiedPosterior:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        facts["messages"] = tuple(Message(**one) for one in facts["messages"])
        return cls(tails=tensors["tails"], held_out=tensors["held_out"], **facts)


def certify_posterior(
    learner: Learner, task: Task, test: Task | None, asked: PosteriorSpec, device: str
) -> CertifiedPosterior:
    """Train q on the task's examples, draw weights from it, and count their errors.

    A draw meets a part of the examples where all would be too many: drawn anew for each, its share of errors has the
    same mean over draws as that of all, and lies in [0, 1], which is all that its bound asks.
    """
    network = learner.network(task.shape, task.target.outputs, asked.seed)
    check_certifiable(network, task)
    with isolated(asked.seed):
        scale = _SCALE_LEARNT if asked.learnt else _SCALE
        layers = layers_of(network, asked.one_scale)
        units = unnamed_units(network) if asked.delta_symmetry else None
        kept = frozenset[tuple[str, int]]() if units is None else units.kept
        noisy = NoisyWeights(network, layers, scale, asked.centred, kept=kept).to(device)
        begin = process_time()
        asked.training.train(noisy, task, asked.delta, asked.seed, not asked.learnt, device)
        seconds = process_time() - begin
        drawing = torch.Generator().manual_seed(asked.seed)
        tails, held_out, examples = _sampled(noisy, network.to(device).eval(), task, test, asked.draws, drawing, device)
        with torch.no_grad():
            kl = {layer.name: float(k) for layer, k in zip(layers, noisy.kl_by_layer(), strict=True)}
        before = float(_wrong(partial(forward, network), task.x, task.y, device).mean())
        discount = 0.0 if units is None else _discount(units.of(noisy), asked.delta_symmetry, drawing)
        return CertifiedPosterior(
            tails, held_out, kl, noisy.prior_scales(), len(SCALES) ** len(layers), before,
            _messages(noisy, task, device), len(task), examples, seconds, discount,
        )  # fmt: skip


def _discount(units: HiddenUnits, delta: float, drawing: torch.Generator) -> float:
    """At least 0: an average over symmetries never costs more than q."""
    draws = max(2, min(1000, _MOST_PERMANENTS // len(units.means) ** 2))
    return max(0.0, symmetry_discount(units, draws, delta, drawing))


def check_certifiable(network: nn.Module, task: Task) -> None:
    """ValueError unless this is a network of a certificate: classes, and weights that can be trained and are finite."""
    if not isinstance(task.target, Classes):
        raise ValueError(
            f"{task.name!r} has {type(task.target).__name__} as its target; a risk certificate counts wrong classes: "
            "take one class an example"
        )
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    if not trained:
        raise ValueError(f"{type(network).__name__} has no weights to train; set requires_grad on some")
    if half := [name for name, p in trained if p.dtype in (torch.float16, torch.bfloat16)]:
        raise ValueError(f"{half[0]!r} of {type(network).__name__} is in half precision; give network.float()")
    if wild := [name for name, p in trained if not bool(p.isfinite().all())]:
        raise ValueError(f"{wild[0]!r} of {type(network).__name__} has NaN or infinity; give weights that are finite")
    check_network(network, task)
    check_gradients(network, task)


@dataclass(frozen=True)
class FileRisk:
    """The risk on n examples of the network whose weights a file holds, and the bits of a message with all of it."""

    risk: float
    bits: float
    n: int

    def to_bytes(self) -> bytes:
        """As JSON in a safetensors file."""
        return pack({}, **asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes) -> FileRisk:
        """The value that `to_bytes` wrote."""
        return cls(**unpack(data)[1])


def risk_of_file(learner: Learner, task: Task, bits: float, device: str) -> FileRisk:
    """Count the errors of the learner's weights."""
    network = learner.network(task.shape, task.target.outputs, 0)
    check_certifiable(network, task)
    call = partial(forward, network.to(device).eval())
    return FileRisk(float(_wrong(call, task.x, task.y, device).mean()), bits, len(task))


def posterior_seconds(learner: Learner, task: Task, asked: PosteriorSpec, device: str) -> float:
    """How long it takes, from a few steps and draws; the first of each finds things out, and is not counted."""
    network = learner.network(task.shape, task.target.outputs, asked.seed)
    check_certifiable(network, task)
    with isolated(asked.seed):
        noisy = NoisyWeights(network, layers_of(network), _SCALE).to(device)

        few = min(len(task), asked.training.batch)
        some = to(take(task.x, slice(0, few)), device)

        def step() -> None:
            drawn = noisy(some)
            (drawn.outputs.square().mean() + drawn.kl).backward()

        @torch.no_grad()
        def draw() -> None:
            noisy.outputs({name: t[0] for name, t in noisy.draw(1).items()}, some)

        steps = sum(count * size for count, size in asked.training.batches(len(task)))
        met = asked.draws * min(len(task), max(1, _WORK // asked.draws))
        return (steps * _took(step) + met * _took(draw)) / few


def _took(act: Callable[[], object]) -> float:
    act()
    begin = process_time()
    for _ in range(2):
        act()
    return (process_time() - begin) / 2


def nothing(asked: PosteriorSpec, layers: tuple[str, ...] = ("all",)) -> CertifiedPosterior:
    """A value of the form of a look's, made at once."""
    none = dict.fromkeys(layers, 1.0)
    tails = torch.full((asked.draws, 3), 0.5, dtype=torch.float64)
    return CertifiedPosterior(tails, torch.empty(0), none, none, 1, 0.5, (Message(3, 1e6, 0.5),), 1000, 1000, 0.0)


@torch.no_grad()
def _sampled(
    noisy: NoisyWeights, centre: nn.Module, task: Task, test: Task | None, draws: int, drawing: torch.Generator,
    device: str,
) -> tuple[Tensor, Tensor, int]:  # fmt: skip
    examples = min(len(task), max(1, _WORK // draws))
    before = _wrong(partial(forward, centre), task.x, task.y, device)
    tails, held_out = [], []
    for i in range(draws):
        call = partial(noisy.outputs, {name: t[0] for name, t in noisy.draw(1).items()})
        rows = slice(None) if examples == len(task) else torch.randperm(len(task), generator=drawing)[:examples]
        x = task.x if examples == len(task) else take(task.x, rows)
        wrong, other = _wrong(call, x, task.y[rows], device), before[rows]
        tails.append(torch.stack([1 - (other * (1 - wrong)).mean(), wrong.mean(), (wrong * (1 - other)).mean()]))
        if test is not None and i < HELD_OUT:
            held_out.append(_wrong(call, test.x, test.y, device).mean())
    return torch.stack(tails), torch.stack(held_out) if held_out else torch.empty(0), examples


@torch.no_grad()
def _wrong(call: Callable[[Batch], Tensor], x: Inputs, y: Tensor, device: str) -> Float[Tensor, " n"]:
    """1 for every example whose most likely class is not its own, or that gets NaN; in double precision."""
    parts = []
    for some, own in zip(pieces(x, _BATCH), y.split(_BATCH), strict=True):
        outputs = call(to(some, device)).cpu()
        parts.append(1 - ((outputs.argmax(-1) == own) & outputs.isfinite().all(-1)).double())
    return torch.cat(parts)


@torch.no_grad()
def _messages(noisy: NoisyWeights, task: Task, device: str) -> tuple[Message, ...]:
    """The means of q in few bits: what they differ by from the prior's centre, in values of even distance."""
    found = []
    for levels in LEVELS:
        content, weights = bytearray([levels]), {}
        for name, mean, centre, shape in noisy.moved():
            half = levels // 2
            most = (mean - centre).abs().max().half().float() / half
            steps = ((mean - centre) / most).round().clamp(-half, half) if bool(most > 0) else torch.zeros_like(mean)
            content += (most * half).half().cpu().numpy().tobytes() + (steps + half).byte().cpu().numpy().tobytes()
            weights[name] = (centre + steps * most).view(shape)
        risk = float(_wrong(partial(noisy.outputs, weights), task.x, task.y, device).mean())
        found.append(Message(levels, float(message_bits(bytes(content))), risk))
    return tuple(found)
