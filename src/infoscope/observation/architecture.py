"""A network as a description: all but its weights."""

from __future__ import annotations

import pickle
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from infoscope.observation.layers import unwrapped
from infoscope.training.learner import Weights, load_weights


@dataclass(frozen=True, eq=False)
class Architecture:
    """A network as a description: all but its weights, which are given back to it one set at a time.

    `of` copies the network, so the original is never touched. What a network computes must follow from its parameters
    and persistent buffers (its `state_dict`) and from what it was when it was copied.
    """

    module: nn.Module

    @classmethod
    def of(cls, network: nn.Module, device: str | torch.device | None = None) -> Architecture:
        """The architecture of a network, inside any wrapper; it stays where the network is, or goes to `device`."""
        inner = unwrapped(network)
        try:
            copied = deepcopy(inner).requires_grad_(False)
            return cls(copied if device is None else copied.to(device))
        except Exception as error:  # modules may hold anything
            raise ValueError(
                f"{type(inner).__name__} cannot be copied ({str(error)[:120]}); measure activations that you save"
            ) from error

    def with_weights(self, weights: Weights) -> nn.Module:
        """The network with these weights; the next call gives the same object other ones."""
        load_weights(self.module, weights)
        return self.module

    def __describe__(self) -> tuple[str, bytes]:
        return ("Architecture", self._bare)

    @cached_property
    def _bare(self) -> bytes:
        """The pickled module with empty weights."""
        state = self.module.state_dict(keep_vars=True).values()
        empty = {id(v): torch.empty(v.shape, dtype=v.dtype, device="meta") for v in state}
        try:
            return pickle.dumps(deepcopy(self.module, empty), protocol=5)
        except Exception as error:  # modules may hold anything
            raise TypeError(f"{type(self.module).__name__} has no stable key ({error}); run without a store") from error
