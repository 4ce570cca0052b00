"""What every network asks of one example's shape and of the number of outputs."""

from __future__ import annotations


def image_shape(shape: tuple[int, ...], classes: int, network: object, smallest: int = 1) -> tuple[int, int, int]:
    """Channels, height and width of one example, checked."""
    check_outputs(classes, network)
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(
            f"{network} takes images of shape (channels, height, width), not {shape}; reshape the examples"
        )
    channels, height, width = shape
    if min(height, width) < smallest:
        raise ValueError(
            f"{network} takes images of {smallest}×{smallest} pixels or more, not {height}×{width}; scale them up"
        )
    return channels, height, width


def check_outputs(classes: int, network: object) -> None:
    """A network has one output or more."""
    if classes < 1:
        raise ValueError(f"{network} was asked for {classes} outputs; it needs 1 or more")
