"""Effective information in activations during training, against the price of the weights, and against SGD's noise."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from scipy.stats import spearmanr

from infoscope.bottleneck.effective import EffectiveInformation, epochs_of
from infoscope.bottleneck.effective_answer import TaskLayers, curve
from infoscope.data.task import Task
from infoscope.figure import Figure
from infoscope.measurement import Measurement, Status, mean_and_stderr
from infoscope.models import MLP
from infoscope.options import AtLeast, check_fields
from infoscope.record import Row
from infoscope.run.question import Stages
from infoscope.run.study import Claim, StudyAnswer, Table, Verdict, judged
from infoscope.training.learner import Learner
from infoscope.training.recipe import SGD, Recipe

Way = Literal["closed", "rounds"]
PRICES = (1.0, 0.1, 10.0, 100.0, 1000.0)
"""The first is the one at which the prior's λ is chosen."""

ORDER = sorted(range(len(PRICES)), key=lambda i: PRICES[i])
NAMES = {"closed": "F at the weights", "rounds": "F under the noise"}
NOTES = (
    "The slides show two curves without numbers: Fisher information and effective information of a network's "
    "activations both fall late in training. Their noise is that of the Fisher information at the weights (closed). "
    "Both kinds of noise have one prior, the median of those that the rounds choose at the end.",
    "A fall is from the epoch at which the mean of the other networks is highest to the end, network by network, so "
    "that no network's own noise chooses the peak against which it is held.",
    "NOT_LINEAR: the noise of a layer as drawn is over twice, or under half, of its linear form.",
)


@dataclass(frozen=True)
class EffectiveInformationStudy:
    """Effective information in activations during training: the slides' picture, and what it rests on.

    Networks are trained by SGD. At a schedule of epochs: tr F, tr F over the curvature of the outputs, information in
    the weights, and I_eff of every layer, with the noise of the weights from the Fisher information at the weights, as
    in the slides, and from the one averaged under the noise itself. Then I_eff against the price β of the weights; and,
    by plain SGD without momentum, for batch sizes and learning rates that go equally far along the gradient flow
    (epochs in proportion to batch/rate).

    What to expect: tr F rises and falls, and with the noise of F at the weights so does I_eff. Under the noise itself
    the weights hold more to the end, the first layer tells more, and only the logits tell less.

    Attributes
    ----------
    data
        A data set of numbers.
    widths
        Hidden layers, with tanh.
    epochs
        Of the training that is followed.
    batches
        Batch sizes of plain SGD.
    rates
        Learning rates of plain SGD.
    flow
        Epochs of plain SGD at the first batch size and the largest rate.
    replicates
        Networks.
    seed
        The first of their seeds.
    """

    data: str = "digits"
    widths: tuple[int, ...] = (32, 16)
    epochs: Annotated[int, AtLeast(10)] = 300
    batches: tuple[int, ...] = (8, 32, 128)
    rates: tuple[float, ...] = (0.03, 0.1, 0.3)
    flow: Annotated[int, AtLeast(1)] = 6
    replicates: Annotated[int, AtLeast(3)] = 4
    seed: Annotated[int, AtLeast(0)] = 0

    paper: ClassVar[Mapping[str, Any]] = {"data": "mnist", "widths": (256, 64), "replicates": 10}

    def __post_init__(self) -> None:
        check_fields(self)
        if len(self.batches) < 2 or len(self.rates) < 2:
            raise ValueError("a comparison needs two batch sizes and two learning rates at least")

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """Both kinds of noise over training, then prices, then SGD's settings."""
        task = Task.from_dataset(self.data)
        rounds = (yield from self._asked(task, self._learner(), "rounds").stages(device)).found[0]
        scales = sorted(channels.scale for channels in rounds.at(self.epochs).values())
        same_prior = replace(self._asked(task, self._learner(), "closed"), scale=scales[len(scales) // 2])
        closed = (yield from same_prior.stages(device)).found[0]
        followed: dict[Way, TaskLayers] = {"closed": closed, "rounds": rounds}
        end = replace(self._asked(task, self._learner(), "rounds"), at=(self.epochs,), beta=PRICES)
        priced = (yield from end.stages(device)).found[0]
        settings: dict[tuple[int, float], TaskLayers] = {}
        for batch, rate in itertools.product(self.batches, self.rates):
            learner = self._plain(batch, rate)
            asked = replace(self._asked(task, learner, "rounds"), at=(learner.recipe.epochs,))
            settings[batch, rate] = (yield from asked.stages(device)).found[0]
        tables = [
            *(_over_training(way, one) for way, one in followed.items()),
            _over_prices(priced),
            _settings(settings),
        ]
        claims = [*_falls(followed), *_along(followed["rounds"]), *_priced(priced), *self._of_sgd(settings)]
        drawn = [figure for way, one in followed.items() for figure in _drawn(way, one)]
        return StudyAnswer(
            "Effective information in activations during training", _rows(followed, priced, settings), tables, claims,
            NOTES, [*drawn, _curve_of_prices(priced)],
        )  # fmt: skip

    def _learner(self) -> Learner:
        return Learner(MLP(self.widths, "tanh"), Recipe(SGD(0.05, 0.9), epochs=self.epochs, patience=None))

    def _plain(self, batch: int, rate: float) -> Learner:
        epochs = max(1, round(self.flow * batch / self.batches[0] * max(self.rates) / rate))
        return Learner(MLP(self.widths, "tanh"), Recipe(SGD(rate, 0.0), batch=batch, epochs=epochs, patience=None))

    def _asked(self, task: Task, learner: Learner, way: Way) -> EffectiveInformation:
        return EffectiveInformation(
            task, learner, at=epochs_of(self.epochs), posterior=way, replicates=self.replicates, seed=self.seed
        )

    def _of_sgd(self, settings: Mapping[tuple[int, float], TaskLayers]) -> list[Claim]:
        """The noisiest setting against the calmest one, along each axis, at the middle of the other."""
        rate, batch = self.rates[len(self.rates) // 2], self.batches[len(self.batches) // 2]
        pairs = (
            (f"batch {min(self.batches)} against {max(self.batches)}, at rate {rate:g}",
             settings[max(self.batches), rate], settings[min(self.batches), rate]),
            (f"rate {max(self.rates):g} against {min(self.rates):g}, at batch {batch}",
             settings[batch, min(self.rates)], settings[batch, max(self.rates)]),
        )  # fmt: skip
        found = []
        for name, calm, noisy in pairs:
            last, other = noisy.epochs[-1], calm.epochs[-1]
            less = calm.trace(other) - noisy.trace(last)
            found.append(_claim(f"More of SGD's noise leaves less Fisher information ({name})", [less]))
            less = calm.trace_of_outputs(other) - noisy.trace_of_outputs(last)
            found.append(_claim(f"and less of it over the curvature of the outputs ({name})", [less]))
            lesser = [calm.information(other, layer) - noisy.information(last, layer) for layer in calm.layers]
            found.append(_claim(f"and less effective information in every layer ({name})", lesser))
        return found


def _claim(text: str, effects: Sequence[Measurement]) -> Claim:
    """That all of these are above nothing."""
    return Claim(text, _jointly(effects), "less by " + ", ".join(map(_shown, effects)))


def _jointly(effects: Sequence[Measurement]) -> Verdict:
    """Refuted by one that is below nothing, undecided by one within its errors."""
    verdicts = {judged(one.value, one.stderr) for one in effects}
    worst = (Verdict.NOT_REPRODUCED, Verdict.UNDECIDED, Verdict.REPRODUCED)
    return next(verdict for verdict in worst if verdict in verdicts)


def _shown(m: Measurement) -> str:
    unit = " bits" if m.unit == "nat" else ""
    error = m.stderr_bits if m.unit == "nat" else m.stderr
    return f"{m.printed:.3g} ± {error:.2g}{unit}"


def _falls(followed: Mapping[Way, TaskLayers]) -> list[Claim]:
    """What the slides show: each quantity falls late in training."""
    one = followed["closed"]
    found = [
        _fall("Fisher information falls late in training", [one.trace(e) for e in one.epochs], one),
        _fall("Fisher information over the curvature of the outputs falls late in training",
              [one.trace_of_outputs(e) for e in one.epochs], one),
    ]  # fmt: skip
    for way, layers in followed.items():
        kl = [layers.of_weights(e) for e in layers.epochs]
        found.append(_fall(f"Information in the weights falls late in training, {NAMES[way]}", kl, layers))
        for layer in layers.layers:
            values = [layers.information(e, layer) for e in layers.epochs]
            text = f"Effective information in {layer} falls late in training, {NAMES[way]}"
            found.append(_fall(text, values, layers))
    return found


def _fall(text: str, values: Sequence[Measurement], of: TaskLayers) -> Claim:
    if any(set(m.replicates) != set(values[-1].replicates) for m in values):
        return Claim(text, Verdict.UNDECIDED, "infinite at some epochs")
    fell, peaks = fall_from_peak(values)
    if peaks == {len(values) - 1}:
        return Claim(text, Verdict.NOT_REPRODUCED, f"highest at the end, {_shown(values[-1])}")
    when = " or ".join(str(of.epochs[peak]) for peak in sorted(peaks))
    top = max(values, key=lambda m: m.value)
    return Claim(text, judged(fell.value, fell.stderr), f"by {_shown(fell)} from {_shown(top)} at epoch {when}")


def fall_from_peak(values: Sequence[Measurement]) -> tuple[Measurement, set[int]]:
    """From where the mean of the other networks is highest to the end, network by network; and where that is."""
    fell, peaks, last = {}, set[int](), values[-1]
    for seed in last.replicates:
        others = [sum(v for s, v in m.replicates.items() if s != seed) for m in values]
        peak = others.index(max(others))
        peaks.add(peak)
        fell[seed] = values[peak].replicates[seed] - last.replicates[seed]
    return Measurement.from_replicates(last.quantity, fell, unit=last.unit), peaks


def _along(one: TaskLayers) -> list[Claim]:
    """Along training, the weights' information and the layers'."""
    found = []
    for layer in one.layers:
        ranks = []
        for seed in one.at(one.epochs[-1]):
            x = [one.of_weights(e).replicates[seed] for e in one.epochs]
            y = [one.information(e, layer).replicates.get(seed, float("nan")) for e in one.epochs]
            ranks.append(float(spearmanr(x, y).statistic))
        mean, error = mean_and_stderr(ranks)
        text = f"While the network trains, {layer} tells more when the weights hold more"
        found.append(Claim(text, judged(mean, error), f"rank correlation over epochs {mean:.2f} ± {error:.2g}"))
    return found


def _priced(one: TaskLayers) -> list[Claim]:
    """The emergence bound: less information in the weights, less in each layer, step by step of β."""
    last, found = one.epochs[-1], []
    for layer in one.layers:
        values = [one.information(last, layer, i) for i in ORDER]
        why = f"over {len(PRICES) - 1} steps of β, from {_shown(values[0])} to {_shown(values[-1])}"
        verdict = _jointly([a - b for a, b in itertools.pairwise(values)])
        found.append(Claim(f"Less information in the weights, less in {layer}", verdict, why))
    return found


def _over_training(way: Way, one: TaskLayers) -> Table:
    rows = [
        (str(e), one.loss(e), one.trace(e), one.trace_of_outputs(e), one.of_weights(e),
         *(one.information(e, layer) for layer in one.layers), _flags(one, e))
        for e in one.epochs
    ]  # fmt: skip
    columns = (
        "epoch",
        "loss",
        "tr F",
        "tr F/tr H",
        "KL(q‖p)",
        *(f"I_eff {layer}" for layer in one.layers),
        "NOT_LINEAR",
    )
    return Table(f"During training, noise by {NAMES[way]} ({way}), β = 1", columns, rows)


def _flags(one: TaskLayers, epoch: int | None, price: int = 0) -> str:
    flagged = [layer for layer in one.layers if Status.NOT_LINEAR in one.information(epoch, layer, price).status]
    return ", ".join(flagged)


def _over_prices(one: TaskLayers) -> Table:
    last = one.epochs[-1]
    rows = [
        (f"{PRICES[i]:g}", one.of_weights(last, i), *(one.information(last, layer, i) for layer in one.layers),
         _flags(one, last, i))
        for i in ORDER
    ]  # fmt: skip
    columns = ("β", "KL(q‖p)", *(f"I_eff {layer}" for layer in one.layers), "NOT_LINEAR")
    return Table("Against the price of the weights, after training (rounds)", columns, rows)


def _settings(settings: Mapping[tuple[int, float], TaskLayers]) -> Table:
    rows, layers = [], next(iter(settings.values())).layers
    for (batch, rate), one in settings.items():
        e = one.epochs[-1]
        told = (one.loss(e), one.trace(e), one.trace_of_outputs(e), one.of_weights(e))
        rows.append((str(batch), f"{rate:g}", str(e), *told, *(one.information(e, layer) for layer in layers)))
    columns = (
        "batch", "rate", "epochs", "loss", "tr F", "tr F/tr H", "KL(q‖p)", *(f"I_eff {layer}" for layer in layers)
    )  # fmt: skip
    return Table("Plain SGD, equally far along the gradient flow (rounds, β = 1)", columns, rows)


def _drawn(way: Way, one: TaskLayers) -> list[Figure]:
    epochs = [e for e in one.epochs if e is not None]
    lines = [curve(layer, epochs, [one.information(e, layer) for e in epochs]) for layer in one.layers]
    figures = [Figure(f"Effective information during training, {NAMES[way]}", "epoch", "I_eff(x; z) (bits)", lines)]
    if way == "closed":
        trace = curve("tr F", epochs, [one.trace(e) for e in epochs])
        figures.append(Figure("Fisher information during training", "epoch", "tr F (bits)", [trace]))
    return figures


def _curve_of_prices(one: TaskLayers) -> Figure:
    last = one.epochs[-1]
    lines = [
        curve(layer, [PRICES[i] for i in ORDER], [one.information(last, layer, i) for i in ORDER])
        for layer in one.layers
    ]
    return Figure(
        "Effective information against the price of the weights", "β", "I_eff(x; z) (bits)", lines, log_x=True
    )


def _rows(
    followed: Mapping[Way, TaskLayers], priced: TaskLayers, settings: Mapping[tuple[int, float], TaskLayers]
) -> list[Row]:
    found = [
        Row({"part": "training", "posterior": way, **row.coordinates}, row.measurement)
        for way, one in followed.items()
        for row in one.rows()
    ]
    found += [Row({"part": "price", **row.coordinates}, row.measurement) for row in priced.rows()]
    for (batch, rate), one in settings.items():
        place = {"part": "sgd", "batch": batch, "rate": rate}
        found += [Row({**place, **row.coordinates}, row.measurement) for row in one.rows()]
    return found
