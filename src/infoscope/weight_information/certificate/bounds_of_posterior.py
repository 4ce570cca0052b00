"""The nine bounds of one posterior, each at the δ that it needs."""

from __future__ import annotations

from dataclasses import dataclass

from infoscope.weight_information.certificate.certificate import BOUND, DRAWS, certify
from infoscope.weight_information.certificate.certified_posterior import CertifiedPosterior, FileRisk
from infoscope.weight_information.certificate.compression import compression_bound
from infoscope.weight_information.certificate.confidence import mean_upper
from infoscope.weight_information.certificate.ledger import Ledger
from infoscope.weight_information.certificate.pac_bayes import WITH_PARAMETER
from infoscope.weight_information.certificate.split_kl import Excess, recursive_bound

PARAMETERS = {
    "Catoni": tuple(2.0 ** (j / 2) for j in range(-8, 9)),
    "linear": tuple(2.0 ** (j / 2) for j in range(-1, 16)),
}
"""From which β or λ is chosen after the data were seen, each with its share of δ."""


@dataclass(frozen=True)
class FoundBound:
    """A bound on the risk of new examples, and what it rests on; `name` is the key of its kind."""

    name: str
    value: float
    notes: tuple[str, ...]


def bounds_of(q: CertifiedPosterior, ledger: Ledger) -> tuple[FoundBound, ...]:
    """The kl bound first, which is the one that is certified.

    The first five hold together. Catoni's, the linear, the compression and the recursive bound hold each by itself
    with probability 1 − δ, not all at once; the compression bound is of another network, the mean of q in few bits.
    """
    own = certify(q.tails[:, 1], q.total, q.n, ledger)
    told = (f"KL {q.total:.6g} nats", f"sampled risk {own.risk:.6g}, at most {own.risk_bound:.6g}", *ledger.told())
    if q.discount:
        told = (f"{q.discount:.4g} nats of KL left out, as hidden units have no names", *told)
    found = [FoundBound(name, value, told) for name, value in own.bounds.items()]
    return (*found, *_with_parameter(q, ledger, own.risk_bound), _compression(q, ledger), _recursive(q, ledger))


def _with_parameter(q: CertifiedPosterior, ledger: Ledger, risk: float) -> list[FoundBound]:
    found = []
    for name, bound in WITH_PARAMETER.items():
        grid = PARAMETERS[name]
        delta = ledger.each(BOUND) / len(grid)
        value, at = min((bound(risk, q.total, q.n, delta, one), one) for one in grid)
        found.append(FoundBound(name, value, (f"by itself; parameter {at:.4g}, one of {len(grid)}", *ledger.told())))
    return found


def _compression(q: CertifiedPosterior, ledger: Ledger) -> FoundBound:
    """Messages of all precisions are bounded at once, so that the best may be taken."""
    value, best = min(
        ((compression_bound(m.risk, m.bits, q.n, ledger.delta), m) for m in q.messages), key=lambda p: p[0]
    )
    told = f"by itself; {best.bits:.0f} bits, {best.levels} values a weight, risk {best.risk:.6g}; δ {ledger.delta:g}"
    return FoundBound("compression", value, (told,))


def of_file(found: FileRisk, ledger: Ledger) -> FoundBound:
    """The compression bound of a network as a file holds it."""
    value = compression_bound(found.risk, found.bits, found.n, ledger.delta)
    return FoundBound("file", value, (f"by itself; {found.bits:.0f} bits, risk {found.risk:.6g}; δ {ledger.delta:g}",))


def _recursive(q: CertifiedPosterior, ledger: Ledger) -> FoundBound:
    """The prior's centre first, which has not seen the examples, then what q errs more than half of it."""
    draws = ledger.each(DRAWS) / q.tails.shape[1]
    first, second, third = (mean_upper(q.tails[:, j], draws) for j in range(3))
    excess = Excess((first, second, third), q.total, q.n)
    value = recursive_bound(q.centre_risk, 0.0, q.n, [excess], ledger.each(BOUND))
    return FoundBound(
        "recursive", value, (f"by itself; the prior's centre has risk {q.centre_risk:.6g}", *ledger.told())
    )
