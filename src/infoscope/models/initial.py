"""How weights start: distances between weights depend on it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

_LAYERS = (nn.Conv2d, nn.Linear)


def glorot_uniform(network: nn.Module) -> nn.Module:
    """Weights uniform on ±√(6 / (fan in + fan out)), biases zero (Glorot and Bengio 2010): what Keras does unasked."""
    for layer in network.modules():
        if isinstance(layer, _LAYERS):
            nn.init.xavier_uniform_(layer.weight)
            _no_bias(layer)
    return network


def he_normal(network: nn.Module, deviations: Mapping[str, float], slope: float = 0.0) -> nn.Module:
    """Weights normal with variance 2 / ((1 + slope²) fan in), biases zero (He, Zhang, Ren and Sun 2015).

    `slope` is that of the rectifier below zero. Layers named in `deviations` have that standard deviation instead: with
    0.01 for its output a classifier starts near the uniform prediction.
    """
    for name, layer in network.named_modules():
        if isinstance(layer, _LAYERS):
            if name in deviations:
                nn.init.normal_(layer.weight, std=deviations[name])
            else:
                nn.init.kaiming_normal_(layer.weight, a=slope, nonlinearity="leaky_relu")
            _no_bias(layer)
    return network


def _no_bias(layer: nn.Conv2d | nn.Linear) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
