"""The question of the risk certificate: what share of errors will this network not exceed, as its data alone prove?"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch

from infoscope.data.named import Tasks, sample, tasks, training_part
from infoscope.data.partition import without_overlap
from infoscope.data.task import Task
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.train import Train
from infoscope.measurement import Measurement, Status
from infoscope.models.default import Model, learner_for, model_name
from infoscope.options import AtLeast, check_fields
from infoscope.run.context import RunContext
from infoscope.run.look import Look, Looks
from infoscope.run.question import Request, Rows, Stages, ask
from infoscope.training.learner import Learner
from infoscope.training.weights_file import weights_from
from infoscope.weight_information.certificate.answer import RiskCertificateAnswer, TaskCertificate
from infoscope.weight_information.certificate.bound_training import BoundTraining
from infoscope.weight_information.certificate.bounds_of_posterior import bounds_of
from infoscope.weight_information.certificate.certificate import BOUND, DRAWS
from infoscope.weight_information.certificate.certified_posterior import (
    CertifiedPosterior,
    FileRisk,
    PosteriorSpec,
    certify_posterior,
    check_certifiable,
    nothing,
    posterior_seconds,
    risk_of_file,
)
from infoscope.weight_information.certificate.compression import message_bits
from infoscope.weight_information.certificate.hidden_units import unnamed_units
from infoscope.weight_information.certificate.ledger import Ledger
from infoscope.weight_information.certificate.noisy_weights import SCALES, layers_of
from infoscope.weight_information.certificate.prior_data import unseen_by_prior
from infoscope.weight_information.certificate.prior_risk import (
    PriorRisk,
    prior_risk_of_nothing,
    prior_risk_seconds,
    sample_prior_risk,
    steepest,
)
from infoscope.weight_information.checkpoint import AnyCheckpoint, Checkpoint
from infoscope.weight_information.quantise.quantised_file import is_quantised, read_quantised

Prior = Literal["start", "zero", "learnt"]

SYMMETRY = "symmetry discount"
"""The entry of the ledger that pays for a discount."""

_SHARE_OF_DRAWS, _SHARE_OF_SYMMETRY = 0.3, 0.1


@dataclass(frozen=True)
class RiskCertificate:
    """What share of errors will this network not exceed on new examples? A bound from its training data alone.

    The network's weights are drawn from a Gaussian q, which is trained by the bound itself: kl⁻¹ of its share of errors
    and KL(q‖p)/n (Langford & Seeger 2001, Maurer 2004, Pérez-Ortiz et al. 2021). It fails with probability delta at
    most over the draw of the examples; the receipt says where each part of it went.

    Attributes
    ----------
    data
        One or more data sets of classes; their train splits where they have them.
    model
        Network: a name from `infoscope list models`, or module:factory. Default: mlp, or cnn from 16 pixels on.
    prior
        Where the prior lies: around the untrained weights, around zero, or around weights learnt from a part of the
        data, which the certificate then leaves out.
    weights
        Your network's weights, a file (.safetensors, or .pt with tensors only) or the folder of a transformer: the
        prior lies around them. Say what they were trained on.
    trained_on
        The data that the weights were trained on; examples of the certificate that are among them are refused.
    share
        Of the examples from which a prior is learnt.
    one_scale
        One scale of the prior for all layers, not one each: each is chosen after the data and paid for.
    discount
        Take off KL what hidden units that have no names are worth (prior zero, a fully connected network); a tenth of
        delta pays for its bound.
    floor
        Say too how low any certificate with this prior could be, from chains of its weights (small data sets and
        networks; minutes).
    file
        A file of weights, as `infoscope quantise` writes it: bounded besides, as it is, by its length. All of its bytes
        count; nothing but the model and what reads the file may be known of it beforehand.
    delta
        Probability that the certificate fails.
    draws
        Draws of the weights from which the share of errors is bounded.
    steps
        Of training q.
    seed
        Of the untrained weights, of training and of the draws.
    epochs
        Most epochs of training a prior. Default: the recipe's, 1000.
    examples
        Take only so many examples, drawn by the seed.
    """

    data: Tasks
    model: Model = None
    prior: Prior = "start"
    weights: AnyCheckpoint | None = None
    trained_on: Task | None = None
    share: float = 0.5
    one_scale: bool = False
    discount: bool = False
    floor: bool = False
    file: Path | None = None
    delta: float = 0.035
    draws: Annotated[int, AtLeast(2)] = 2000
    steps: Annotated[int, AtLeast(1)] = 3000
    seed: Annotated[int, AtLeast(0)] = 0
    epochs: Annotated[int | None, AtLeast(1)] = None
    examples: Annotated[int | None, AtLeast(4)] = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.prior not in ("start", "zero", "learnt"):
            raise ValueError(f"prior is {self.prior!r}; it is 'start', 'zero' or 'learnt'")
        if not 0 < self.share < 1:
            raise ValueError(f"share is {self.share}; the examples that a prior is learnt from are a share of all")
        if not 0 < self.delta < 1:
            raise ValueError(f"delta is {self.delta}; a certificate fails with a probability between 0 and 1")
        if self.weights is not None and self.prior != "start":
            raise ValueError(f"a prior around your weights is no prior {self.prior!r}; leave one of them out")
        if self.discount and self.prior != "zero":
            raise ValueError("a prior around weights tells hidden units apart; a discount takes --prior zero")
        if self.trained_on is not None and self.weights is None:
            raise ValueError("trained_on says what your own weights have seen; give these weights too")
        if self.epochs is not None and self.prior != "learnt":
            raise ValueError("epochs are of learning a prior; ask for --prior learnt, or give the steps of q")

    def stages(self, device: str = "cpu") -> Stages[RiskCertificateAnswer]:
        """For one task after another a prior, if it is learnt, then a posterior."""
        found: list[TaskCertificate] = []
        for task in tasks(self.data):
            found.append((yield from self._stages_of(task, device)))
            yield Rows(found[-1].rows())
        return RiskCertificateAnswer(tuple(found))

    def _stages_of(self, task: Task, device: str) -> Generator[Request, Any, TaskCertificate]:
        mine = None if self.weights is None else Checkpoint.of(self.weights)
        model = self.model if self.model is not None or mine is None else mine.model
        learner = learner_for(task, model, self.epochs)
        part = self._part(task)
        check_certifiable(learner.network(task.shape, task.target.outputs, self.seed), part)
        if self.discount:
            unnamed_units(learner.network(task.shape, task.target.outputs, self.seed))
        held = None if self.file is None else self._of_file(self.file, learner, part)
        notes: tuple[str, ...] = (f"prior around {'0' if self.prior == 'zero' else 'the untrained weights'}",)
        status: frozenset[Status] = frozenset()
        if mine is not None:
            learner = mine.learner(part, model)
            notes = ("prior around weights that were given",)
            if self.trained_on is None:
                status = frozenset({Status.UNVERIFIED_SPLIT})
            else:
                unseen = unseen_by_prior(part, self.trained_on)
                part, notes = unseen.task, (*notes, *unseen.notes)
        elif self.prior == "learnt":
            learner, part, notes = yield from self._learnt(learner, part)
        test, dropped = _test_split(task, part)
        asked = self._asked(learner, part)
        look = Look(
            certify_posterior, (learner, part, test, asked, device), CertifiedPosterior, 2,
            f"posterior on {task.name}", kind="posteriors",
            seconds=partial(posterior_seconds, learner, part, asked, device), stand_in=partial(nothing, asked),
        )  # fmt: skip
        found: list[CertifiedPosterior] = yield Looks((look,))
        files = [] if held is None else (yield from self._errors_of_file(held, part, device))
        ledger = self._ledger(found[0].choices)
        floors = ((yield from self._floor_of(learner, part, found[0], ledger, device)),) if self.floor else ()
        notes = (*notes, *((f"{dropped} test examples equal to others were left out",) if dropped else ()))
        name = model_name(task, model)
        return TaskCertificate(
            task.name, name, found[0], ledger, _guessing(part), notes, status, part.fingerprint, tuple(files), floors
        )  # fmt: skip

    def _errors_of_file(self, held: Learner, part: Task, device: str) -> Generator[Request, Any, list[FileRisk]]:
        assert self.file is not None
        bits = float(message_bits(self.file.read_bytes()))
        none = partial(FileRisk, 0.5, bits, len(part))
        args = (held, part, bits, device)
        return (yield Looks((Look(risk_of_file, args, FileRisk, 1, "errors of a file", "files", stand_in=none),)))

    def _floor_of(
        self, learner: Learner, part: Task, q: CertifiedPosterior, ledger: Ledger, device: str
    ) -> Generator[Request, Any, Measurement]:
        """The least certificate with the prior that q has, of its λ."""
        layers = layers_of(learner.network(part.shape, part.target.outputs, self.seed), self.one_scale)
        certified = bounds_of(q, ledger)[0].value
        top = steepest(float(q.tails[:, 1].mean()), min(certified, 1 - 1e-3))
        look = Look(
            sample_prior_risk, (learner, part, layers, q.scales, self.prior == "zero", top, self.seed, device),
            PriorRisk, 1, f"risk under the prior, {part.name}", kind="floors",
            seconds=partial(prior_risk_seconds, learner, part, self.seed, device),
            stand_in=partial(prior_risk_of_nothing, top),
        )  # fmt: skip
        (found,) = yield Looks((look,))
        return found.floor(len(part), ledger.each(BOUND))

    def _learnt(self, learner: Learner, part: Task) -> Generator[Request, Any, tuple[Learner, Task, tuple[str, ...]]]:
        """A prior from one part of the examples; the others are the certificate's."""
        cut = round(self.share * len(part))
        stops = cut // 10
        if stops < 1 or len(part) - cut < 2:
            raise ValueError(
                f"{part.name!r} has {len(part)} examples, too few to learn a prior from {cut} of them and to certify "
                "on the others; give more, or take --prior start"
            )
        mixed = part.shuffled(self.seed)
        seen, unseen = mixed[:cut], unseen_by_prior(mixed[cut:], mixed[:cut])
        member = Member(learner, seen[stops:], self.seed, seen[:stops])
        trained: Population = yield Train((member,))
        notes = (f"prior learnt from {cut} other examples", *unseen.notes)
        return learner.starting_from(trained.member(0)), unseen.task, notes

    def _part(self, task: Task) -> Task:
        part = training_part(task)
        if len(part) < 2:
            raise ValueError(f"{task.name!r} has {len(part)} examples; a certificate needs 2 or more")
        return sample(part, self.examples, self.seed)

    def _asked(self, learner: Learner, part: Task) -> PosteriorSpec:
        layers = layers_of(learner.network(part.shape, part.target.outputs, self.seed), self.one_scale)
        ledger = self._ledger(len(SCALES) ** len(layers))
        learnt = self.prior == "learnt" or self.weights is not None
        training = BoundTraining(self.steps)
        return PosteriorSpec(
            self.one_scale, self.prior == "zero", learnt, ledger.each(BOUND), self._delta_symmetry, self.draws,
            training, self.seed,
        )  # fmt: skip

    def _of_file(self, path: Path, learner: Learner, part: Task) -> Learner:
        """A learner with the weights of a file, which fit its network."""
        held = learner.starting_from(read_quantised(path) if is_quantised(path) else weights_from(path))
        try:
            check_certifiable(held.network(part.shape, part.target.outputs, self.seed), part)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        return held

    @property
    def _delta_symmetry(self) -> float:
        return _of(_SHARE_OF_SYMMETRY, self.delta) if self.discount else 0.0

    def _ledger(self, choices: int) -> Ledger:
        ledger = Ledger(self.delta).spend(DRAWS, _of(_SHARE_OF_DRAWS, self.delta))
        if self.discount:
            ledger = ledger.spend(SYMMETRY, self._delta_symmetry)
        return ledger.spend_rest(BOUND, choices)


def risk_certificate(
    data: Any, model: Model = None, *, context: RunContext = RunContext(), strict: bool = True, **options: Any
) -> Measurement:
    """The kl bound on the risk of a network on new examples. `RiskCertificate` asked at once."""
    (found,) = ask(RiskCertificate(data, model, **options), context).found
    return found.rows()[0].measurement.checked(strict)


def _test_split(task: Task, part: Task) -> tuple[Task | None, int]:
    """The test split without what the certificate's examples hold too."""
    if "train" not in task.splits or "test" not in task.splits:
        return None, 0
    return without_overlap(task["test"], part)


def _guessing(part: Task) -> float:
    counts = np.bincount(torch.as_tensor(part.labels).numpy())
    return 1 - float(counts.max()) / len(part)


def _of(share: float, delta: float) -> float:
    """A share of δ, in few digits."""
    return float(f"{share * delta:.3g}")
