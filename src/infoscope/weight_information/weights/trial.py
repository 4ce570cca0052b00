"""How long the posteriors of a network take, from a pass or two: what a dry run tells."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

import torch

from infoscope.data.task import Task
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner
from infoscope.weight_information.tempering import CHAINS, MOST_RUNGS
from infoscope.weight_information.weights.look import FittedCurve, Fitting

_TURNS = 6  # of the closed form with the choice of λ
_DESCENT = 300  # gradients on the way to the minimum, where there is one
_SCALES = 1  # of all rounds that go into the choice of λ
_VALUE = 0.4  # of the time of a gradient that a loss alone takes


def curve_seconds(task: Task, learner: Learner, fitting: Fitting, device: str) -> float:
    """How long `weight_curve` takes on a processor, by untrained weights."""
    with isolated(fitting.seed, threads=1):
        weights = learner.network(task.shape, task.target.outputs, fitting.seed).state_dict()
        curve = FittedCurve(task, learner, weights, fitting, device)
        return sum(_seconds(curve, way) for way in curve.ways())


def _seconds(curve: FittedCurve, way: str) -> float:
    f, w, prices = curve.fitting, curve.w[None], len(curve.fitting.betas)
    rounds, chosen, draws = f.rounds.rounds, curve.prior.variance is None, torch.Generator().manual_seed(f.seed)
    if curve.part is not None:
        part = curve.part.drawn(draws)
        basis = curve.fisher.on(part).at(w).basis
        passed = _took(lambda: curve.part.loss(w, draws))  # type: ignore[union-attr]
        seen = _took(lambda: curve.sketched.on(part).at(w, 0, basis))  # type: ignore[arg-type]
        return prices * ((rounds + 8) * seen + (4 * rounds + f.draws + 8) * passed)
    basis = curve.fisher.at(w).basis

    def step() -> None:
        curve.steps(torch.cat([w, w]))
        basis.back(w)
        basis.back(basis.to(w))

    pair, exact = _took(step), _took(lambda: curve.loss(torch.cat([w, w])))
    told = f.draws * exact * _VALUE / 2
    if way == "closed":
        fresh = _took(lambda: curve.fisher.at(w))
        turns = _TURNS if chosen and curve.linear else 1
        return prices * (turns * fresh + told) + (_DESCENT * exact / 2 if curve.linear else 0)
    seen = _took(lambda: curve.sketched.at(w, 0, basis))  # type: ignore[arg-type]
    once = rounds * (f.rounds.steps * pair + 1.25 * seen + 3 * _VALUE * pair)
    walks = (prices - 1) * once  # of the curve, back and forth
    fits = prices * once * (1 + _SCALES * chosen)
    floor = f.floor * CHAINS * MOST_RUNGS / 4 * exact
    return fits + walks + prices * (f.refine * pair + told) + floor


def _took(act: Callable[[], object]) -> float:
    act()
    begin = process_time()
    act()
    return process_time() - begin
