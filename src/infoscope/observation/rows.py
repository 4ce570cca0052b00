"""Per-example derivatives of a network's outputs: where the Fisher information and the tangent kernel take theirs."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.inputs import Batch, Inputs, count, each, take
from infoscope.observation.architecture import Architecture
from infoscope.observation.by_example import Columns, Rows, looped, outputs_of, vmapped
from infoscope.observation.forms import Dense, Forms, Slot, written_out
from infoscope.observation.layers import unwrapped
from infoscope.observation.plan import Hear, Plan, plan
from infoscope.observation.uses import Listening, Use

PROBE = 3
"""Examples on which every way of differentiating is compared with autograd's before it is trusted."""

MEMORY = 2**29
"""Bytes of rows that are held at once where they are written out by vmap."""


class Differentiated:
    """A copy of a network in eval mode that gives the rows r_ic = ∂⟨v_ic, f(x_i)⟩/∂θ of its trainable parameters.

    Each parameter takes the first of three ways that agrees with autograd's own derivatives of single examples, on
    `PROBE` examples of `x`: the closed forms of its uses, vmap of a reverse pass, one example after another. The
    network that was given is never touched. Examples may not depend on each other, which is checked on the same ones.

    Attributes
    ----------
    parameters
        The copy's, by name; each once however often it is used.
    ways
        How each is differentiated: "closed", "vmap" or "loop".

    >>> Differentiated(nn.Linear(2, 1), torch.ones(4, 2)).ways
    {'weight': 'closed', 'bias': 'closed'}
    """

    def __init__(
        self,
        network: nn.Module,
        x: Inputs,
        names: Sequence[str] | None = None,
        *,
        dtype: torch.dtype | None = None,
        memory: int = MEMORY,
    ) -> None:
        inner = unwrapped(network)
        _check(inner, names)
        chosen = [name for name, p in inner.named_parameters() if p.requires_grad] if names is None else names
        device = next(inner.parameters()).device
        # Apple's graphics cards have no double precision.
        self.device = torch.device("cpu") if device.type == "mps" and dtype == torch.float64 else device
        self.network = Architecture.of(inner, self.device).module.to(dtype).eval()
        found = dict(self.network.named_parameters())
        self.parameters = {name: found[name] for name in chosen}
        self.dtype = next(iter(self.parameters.values())).dtype
        self.memory = memory
        self.plan = Plan((), frozenset(), frozenset())
        self.ways: dict[str, str] = {}
        with torch.inference_mode(False):
            self._choose(self.cast(take(x, [i % count(x) for i in range(PROBE)])))

    def cast(self, x: Batch) -> Batch:
        """A copy of the inputs on the network's device, numbers with fractions in its precision."""
        kind = self.dtype
        return each(x, lambda t: t.to(self.device, kind if t.is_floating_point() else t.dtype, copy=True))

    def at(self, x: Batch) -> Pass:
        """One forward pass over these examples."""
        with torch.inference_mode(False):
            x = self.cast(x)
            outputs, heard = self.hear(x, self.plan.spread)
            return Pass(self, x, outputs, heard.uses)

    def hear(self, x: Batch, spread: frozenset[int] = frozenset()) -> tuple[Tensor, Listening]:
        """What the network gives, and the uses of its parameters."""
        heard = Listening(self.parameters, count(x), spread)
        with torch.enable_grad(), heard:
            outputs = outputs_of(self.network, x, count(x), self.network)
        return outputs, heard

    def _choose(self, few: Batch) -> None:
        """Hold every way against autograd's derivatives of single examples; each parameter keeps the first."""
        hear = functools.cache(lambda k, spread: self.hear(take(few, slice(0, k)), spread))
        outputs = hear(PROBE, frozenset())[0]
        self._check_apart(hear, outputs.detach())
        draws = torch.Generator().manual_seed(0)
        column = torch.randn(outputs.shape, generator=draws, dtype=outputs.dtype).to(outputs)
        truth = looped(self.network, self.parameters, few, [column])
        self.plan = plan(hear, PROBE)
        closed = _agreeing(self._closed(*hear(PROBE, self.plan.spread), column), truth)
        self.plan = Plan(self.plan.uses, self.plan.spread, frozenset(closed))
        rest = {name: p for name, p in self.parameters.items() if name not in closed}
        mapped = _agreeing(self._vmapped(rest, few, column), truth)
        self.ways = {k: "closed" if k in closed else "vmap" if k in mapped else "loop" for k in self.parameters}

    def _closed(self, outputs: Tensor, heard: Listening, column: Tensor) -> Rows:
        rows = {name: column.new_zeros(PROBE, 1, *self.parameters[name].shape) for name in self.plan.names}
        for slot, forms in self.plan.forms(heard.uses, PROBE, outputs, [column]).items():
            rows[slot.name][:, :, *slot.index] = torch.cat(list(written_out(forms)))
        return rows

    def _vmapped(self, parameters: dict[str, nn.Parameter], few: Batch, column: Tensor) -> Rows:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of functions that vmap does one by one
                return vmapped(self.network, parameters, few, [column]) if parameters else {}
        except (RuntimeError, ValueError, TypeError, NotImplementedError):  # whatever functions say that know no vmap
            return {}

    def _check_apart(self, hear: Hear, outputs: Tensor) -> None:
        """ValueError if what an example gives depends on the examples beside it, or is drawn."""
        scale = float(outputs.abs().nan_to_num().max()) if outputs.numel() else 0.0
        if not outputs.isfinite().all():
            raise ValueError(
                f"{type(self.network).__name__} gives outputs that are not finite; check its weights and inputs"
            )
        alone = self._alone(hear)
        if (
            alone is None
            or alone.shape[1:] != outputs.shape[1:]
            or not torch.allclose(alone[0], outputs[0], rtol=0, atol=scale * self.tolerance)
        ):
            raise ValueError(
                f"{type(self.network).__name__} answers an example in one way alone and in another beside others: "
                "batch normalisation without running statistics (track_running_stats=False), or noise; make its "
                "examples independent in eval mode"
            )

    def _alone(self, hear: Hear) -> Tensor | None:
        """What the first example gives by itself, where the network takes a single one."""
        try:
            return hear(1, frozenset())[0].detach()
        except (ValueError, RuntimeError):  # as batch normalisation does that has but one value a channel
            return None

    @property
    def tolerance(self) -> float:
        """By which two ways of rounding may differ, in units of what is rounded."""
        return 1e4 * torch.finfo(self.dtype).eps


@dataclass(frozen=True)
class Pass:
    """A forward pass over n examples, and the way back."""

    of: Differentiated
    x: Batch
    outputs: Float[Tensor, "n ..."]
    uses: Sequence[Use]

    @property
    def n(self) -> int:
        """How many examples."""
        return count(self.x)

    @property
    def together(self) -> int:
        """How many columns are best propagated back before their rows are made: as many as memory takes."""
        each_one = sum(math.prod(use.left) for use in self.uses) * self.outputs.element_size()
        return max(1, self.of.memory // max(1, 2 * each_one))

    def rows(self, columns: Columns) -> Forms:
        """The rows of all parameters for these columns, each of the shape of the outputs."""
        of = self.of
        with torch.inference_mode(False):
            fits = of.plan.fits(self.uses)
            found = of.plan.forms(self.uses, self.n, self.outputs, columns) if fits else {}
            used = {slot.name for slot in found}
            for name in of.plan.names - used if fits else ():  # parameters that are not used have rows of 0
                zero = self.outputs.new_zeros(()).expand(self.n, len(columns), *of.parameters[name].shape)
                found[Slot(name)] = [Dense(zero)]
            rest = {k: p for k, p in of.parameters.items() if not fits or of.ways[k] != "closed"}
            mapped = {k: p for k, p in rest.items() if of.ways[k] == "vmap"}
            others = {k: p for k, p in rest.items() if of.ways[k] != "vmap"}
            rows = self._by_vmap(mapped, columns) if mapped else {}
            rows |= looped(of.network, others, self.x, columns) if others else {}
        others_found: Forms = {Slot(name): [Dense(r)] for name, r in rows.items()}
        return found | others_found

    def _by_vmap(self, parameters: dict[str, nn.Parameter], columns: Columns) -> Rows:
        each_one = len(columns) * sum(p.numel() * p.element_size() for p in parameters.values())
        step = max(1, self.of.memory // each_one)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of functions that vmap does one by one
            parts = [
                vmapped(self.of.network, parameters, take(self.x, rows), [c[rows] for c in columns])
                for rows in (slice(start, start + step) for start in range(0, self.n, step))
            ]
        return {name: torch.cat([part[name] for part in parts]) for name in parameters}


def _check(network: nn.Module, names: Sequence[str] | None) -> None:
    """ValueError for a network that can't be differentiated."""
    kind = type(network).__name__
    if any(isinstance(m, torch.jit.ScriptModule) for m in network.modules()):
        raise ValueError(f"{kind} is scripted or traced, and nothing in it can be heard; give it as it was before")
    found = dict(network.named_parameters())
    if missing := [name for name in names or () if name not in found]:
        raise ValueError(f"{kind} has no parameter {missing[0]!r}; it has {', '.join(list(found)[:8])} …")
    if not any(p.requires_grad for p in found.values()) if names is None else not names:
        raise ValueError(f"{kind} has no trainable parameters, so nothing to differentiate")


def _agreeing(found: Rows, truth: Rows) -> set[str]:
    """Parameters whose rows are autograd's, up to rounding."""
    most = max(float(t.norm()) for t in truth.values())

    def near(name: str) -> bool:
        t = truth[name]
        # What cancels (the shift of keys in attention) is as small as the rounding of what it is made of.
        allowed = 1e4 * torch.finfo(t.dtype).eps * (float(t.norm()) + 1e-3 * most)
        return found[name].shape == t.shape and float((found[name] - t).norm()) <= allowed

    return {name for name in found if near(name)}
