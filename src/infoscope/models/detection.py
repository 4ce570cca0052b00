"""Finding objects on grids of anchors, after YOLO v3: what a prediction means, its loss, and the boxes it names.

A network gives one tensor (n, anchors, rows, columns, 5 + classes) for each grid: t_x, t_y, t_w, t_h, the logit of an
object, the logits of its class. Boxes are rows of class, centre x, centre y, width, height, the last four relative to
the image; class −1 is padding, for images with fewer objects than others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

Anchors = tuple[tuple[tuple[float, float], ...], ...]
"""Width and height of every anchor relative to the image, grid by grid."""


def relative(pixels: Sequence[Sequence[tuple[int, int]]], side: int) -> Anchors:
    """Anchors given in pixels of an image with this side."""
    return tuple(tuple((width / side, height / side) for width, height in grid) for grid in pixels)


ANCHORS = relative(
    [[(116, 90), (156, 198), (373, 326)], [(30, 61), (62, 45), (59, 119)], [(10, 13), (16, 30), (33, 23)]], 416
)
"""The nine clusters of boxes on COCO at 416 pixels (Redmon and Farhadi 2018, section 2.3), coarse grid first."""


@dataclass(frozen=True)
class DetectionLoss:
    """YOLO v3's loss, mean over images of the sum over boxes, in nats but for the squared errors of coordinates.

    Redmon and Farhadi (2018), sections 2.1 and 2.2. An object belongs to one prediction: in the cell where its centre
    lies, that of the anchor whose shape overlaps its own most. That one is charged the squared errors of σ(t_x), σ(t_y)
    (place within the cell) and of t_w, t_h (log size over the anchor's), the binary cross-entropy of every class, and
    that of being an object. All others are charged for being one, unless their anchor, set in the middle of its cell,
    overlaps an object by more than `ignore`.

    The published program differs: there the predicted box's overlap decides what is ignored (above 0.7), and small
    boxes' coordinates weigh up to twice as much. The paper squares the error of t_x itself, which has no bound at the
    edge of a cell; here, as in the program, that of σ(t_x).

    An image without objects and a network that has no opinion cost log 2 a prediction:

    >>> outputs = (torch.zeros(1, 3, 2, 2, 7),) * 3
    >>> DetectionLoss()(outputs, torch.tensor([[[-1.0, 0, 0, 0, 0]]])) / (36 * torch.tensor(2.0).log())
    tensor(1.)
    """

    anchors: Anchors = ANCHORS
    ignore: float = 0.5

    def __call__(self, outputs: Sequence[Tensor], boxes: Float[Tensor, "n k 5"]) -> Tensor:
        """The loss of a batch."""
        if boxes.ndim != 3 or boxes.shape[-1] != 5:
            raise ValueError(f"boxes have shape {tuple(boxes.shape)}; give (n, k, 5): class, centre, width and height")
        t, slots = _joined(outputs), _slots(outputs, self.anchors)
        priors = _priors(slots).to(t)
        real = boxes[..., 0] >= 0
        place = _responsible(boxes, slots)
        chosen = t.gather(1, place[..., None].expand(-1, -1, t.shape[-1]))
        found = real * (_coordinates(chosen, boxes, priors[place], real) + _class(chosen, boxes))
        return (found.sum() + self._objectness(t, boxes, priors, torch.where(real, place, len(priors)))) / len(t)

    def _objectness(self, t: Tensor, boxes: Tensor, priors: Tensor, place: Tensor) -> Tensor:
        # Padding is written behind the last prediction and cut off: shapes stay fixed, as vmap needs them.
        n, predictions = t.shape[:2]
        blank = torch.zeros(n, predictions + 1, dtype=t.dtype, device=t.device)
        present = blank.scatter(1, place, torch.ones_like(place, dtype=t.dtype))[:, :-1]
        middle = torch.cat([priors[:, :2] + priors[:, 2:4] / 2, priors[:, 4:]], dim=1)
        overlaps = overlap(middle[:, None], boxes[:, None, :, 1:]).amax(-1)
        charged = (present > 0) | (overlaps <= self.ignore)
        return (charged * F.binary_cross_entropy_with_logits(t[..., 4], present, reduction="none")).sum()


@torch.no_grad()
def decode(
    outputs: Sequence[Tensor], anchors: Anchors = ANCHORS, *, threshold: float = 0.5, most: float = 0.45
) -> list[Float[Tensor, "_found 6"]]:
    """The boxes that a network names in each image: class, centre x, centre y, width, height, score; best first.

    A prediction's score is the probability of an object times that of its likeliest class; those below `threshold` are
    left out, and so is a box that overlaps a better one of its class by more than `most` (non-maximum suppression).
    """
    t = _joined(outputs)
    corner, cell, anchor = _priors(_slots(outputs, anchors)).to(t).split(2, dim=1)
    centre, size = corner + t[..., :2].sigmoid() * cell, anchor * t[..., 2:4].exp()
    certainty, kind = t[..., 5:].sigmoid().max(-1)
    score = t[..., 4].sigmoid() * certainty
    rows = torch.cat([kind[..., None], centre, size, score[..., None]], dim=-1)
    return [_best(image[image[:, 5] >= threshold], most) for image in rows]


def overlap(a: Float[Tensor, "... 4"], b: Float[Tensor, "... 4"]) -> Float[Tensor, " ..."]:
    """Intersection over union of boxes given by centre, width and height; 0 where both are empty.

    >>> overlap(torch.tensor([0.5, 0.5, 1, 1]), torch.tensor([0.5, 0.25, 1, 0.5]))
    tensor(0.5000)
    """
    low = torch.maximum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    high = torch.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    shared = (high - low).clamp(min=0).prod(-1)
    return shared / (a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - shared).clamp(min=torch.finfo(shared.dtype).tiny)


def _joined(outputs: Sequence[Tensor]) -> Float[Tensor, "n predictions numbers"]:
    return torch.cat([output.flatten(1, 3) for output in outputs], dim=1)


def _slots(outputs: Sequence[Tensor], anchors: Anchors) -> list[tuple[int, int, int, float, float]]:
    """For each anchor: where its predictions start among all, rows and columns of its grid, its width and height."""
    return list(_each_slot(outputs, anchors))


def _each_slot(outputs: Sequence[Tensor], anchors: Anchors) -> Iterator[tuple[int, int, int, float, float]]:
    have, wanted = [output.shape[1] for output in outputs], [len(grid) for grid in anchors]
    if have != wanted:
        raise ValueError(f"the network has grids of {have} anchors, the loss of {wanted}; give both the same anchors")
    start = 0
    for output, grid in zip(outputs, anchors, strict=True):
        _, _, rows, columns, _ = output.shape
        for width, height in grid:
            yield start, rows, columns, width, height
            start += rows * columns


def _priors(slots: Sequence[tuple[int, int, int, float, float]]) -> Float[Tensor, "predictions 6"]:
    """For each prediction: its cell's corner, the cell's size, the anchor's size, all relative to the image."""
    parts = []
    for _, rows, columns, width, height in slots:
        x, y = (torch.arange(count, dtype=torch.float64) / count for count in (columns, rows))
        corners = torch.cartesian_prod(y, x).flip(1)
        sizes = torch.tensor([1 / columns, 1 / rows, width, height], dtype=torch.float64)
        parts.append(torch.cat([corners, sizes.expand(len(corners), 4)], dim=1))
    return torch.cat(parts)


def _responsible(boxes: Tensor, slots: Sequence[tuple[int, int, int, float, float]]) -> Int[Tensor, "n k"]:
    """The prediction that each object belongs to."""
    start, rows, columns, *sides = torch.tensor(slots, dtype=torch.float64).to(boxes).T
    size = boxes[..., None, 3:]
    shape = overlap(F.pad(size, (2, 0)), F.pad(torch.stack(sides, dim=1), (2, 0)))
    best = shape.argmax(-1)
    rows, columns = rows[best], columns[best]
    row = torch.minimum((boxes[..., 2] * rows).floor(), rows - 1)
    column = torch.minimum((boxes[..., 1] * columns).floor(), columns - 1)
    return (start[best] + row * columns + column).long()


def _coordinates(chosen: Tensor, boxes: Tensor, prior: Tensor, real: Tensor) -> Float[Tensor, "n k"]:
    within = (boxes[..., 1:3] - prior[..., :2]) / prior[..., 2:4]
    size = torch.where(real[..., None], boxes[..., 3:], prior[..., 4:])  # padding has no size to take a log of
    error = torch.cat([chosen[..., :2].sigmoid() - within, chosen[..., 2:4] - (size / prior[..., 4:]).log()], dim=-1)
    return error.square().sum(-1)


def _class(chosen: Tensor, boxes: Tensor) -> Float[Tensor, "n k"]:
    logits = chosen[..., 5:]
    target = torch.arange(logits.shape[-1], device=boxes.device) == boxes[..., :1]
    return F.binary_cross_entropy_with_logits(logits, target.to(logits), reduction="none").sum(-1)


def _best(rows: Float[Tensor, "m 6"], most: float) -> Float[Tensor, "found 6"]:
    rows = rows[rows[:, 5].argsort(descending=True, stable=True)]
    kept: list[Tensor] = []
    while len(rows):
        first, rows = rows[0], rows[1:]
        kept.append(first)
        rows = rows[(rows[:, 0] != first[0]) | (overlap(rows[:, 1:5], first[1:5]) <= most)]
    return torch.stack(kept) if kept else rows
