"""The contract of estimators of mutual information: which checks a method is held to follows from what it claims."""

from __future__ import annotations

from infoscope.mi.method import LayerMethod, Method, ShufflingMethod
from infoscope.testing import behaviour, layers, of_examples, of_samples
from infoscope.testing.check import Check

EVERY = (
    behaviour.is_a_frozen_value,
    behaviour.says_what_it_takes,
    behaviour.refuses_options_that_make_no_sense,
    behaviour.same_seed_same_bits,
    behaviour.leaves_the_caller_alone,
    behaviour.order_of_rows_means_nothing,
    behaviour.names_and_types_mean_nothing,
    behaviour.constants_and_ties_stay_finite,
    behaviour.few_examples_are_refused_or_answered,
    behaviour.bad_examples_are_refused,
    behaviour.never_more_than_there_is,
)
"""What any estimator must keep."""

BY_WHAT_IT_ESTIMATES = {
    "information": (
        of_samples.nothing_shared_gives_nothing,
        of_samples.more_shared_gives_more,
        of_samples.meets_closed_forms,
        of_samples.errors_are_honest,
        of_samples.bounds_hold,
    ),
    "cells": (
        of_examples.independent_examples_give_nothing,
        of_examples.equals_a_plain_count,
        of_examples.meets_the_integral_over_its_cells,
    ),
    "noisy": (
        of_examples.independent_examples_give_nothing,
        of_examples.meets_the_integral_with_noise,
        of_examples.wider_apart_gives_more,
    ),
}

NEAR_THE_TRUTH = (of_samples.meets_closed_forms, of_samples.errors_are_honest)
"""What a method that may err anyhow is not held to."""


def checks_of_estimator(method: Method) -> list[Check]:
    """The checks that a method's claims pick."""
    promises = [*EVERY, *BY_WHAT_IT_ESTIMATES[method.claims.estimates]]
    if method.claims.errs == "anyhow":
        promises = [promise for promise in promises if promise not in NEAR_THE_TRUTH]
    promises += [of_samples.mixed_sides_are_right] if method.claims.mixed else []
    promises += [layers.a_layer_holds_what_it_tells] if isinstance(method, LayerMethod) else []
    promises += [layers.shufflings_are_estimates] if isinstance(method, ShufflingMethod) else []
    slow = method.claims.slow
    checks = [Check(method, promise, promise.__name__, slow) for promise in promises]
    return checks + [
        Check(method, behaviour.Invariance(map_), f"invariant_under_{map_}", slow)
        for map_ in sorted(method.claims.invariant)
    ]


def check_estimator(method: Method) -> None:
    """Hold an estimator to everything that it claims; `ContractBroken` names the first promise that it breaks.

    A class of your own is held to the same as those of the table, in three lines:

    >>> from infoscope.mi import Gaussian  # here, yours
    >>> from infoscope.testing import check_estimator
    >>> check_estimator(Gaussian())

    or, each check a case of its own, ``@parametrize_with_checks({"mine": Mine()})`` on a test that calls its `check`.

    What it can see: an estimator that answers without looking, that is off by a fifth where much is shared, that
    reports errors far too small or six times too large, that reads the order of rows or the names of labels, that
    draws from somewhere else than its seed, that touches the caller's arrays or state, or that claims a symmetry
    which it lacks. What it cannot see: a bias that is smaller than the method's own standard error at
    `claims.examples` examples, failure in many dimensions, and a claimed lower bound that finds two thirds of what
    another would.
    """
    for check in checks_of_estimator(method):
        check()
