"""YOLO v3: Darknet-53 and three scales of predictions."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from infoscope.models.detection import ANCHORS, Anchors, DetectionLoss
from infoscope.models.initial import he_normal
from infoscope.models.shape import image_shape


@dataclass(frozen=True)
class YOLOv3:
    """YOLO v3 (Redmon and Farhadi, "YOLOv3: an incremental improvement", 2018).

    Darknet-53 (table 1: a 3×3 convolution and five stages that halve the side, of 1, 2, 8, 8 and 4 residual blocks)
    without its last layer, then predictions on three grids, of cells of 32, 16 and 8 pixels: five convolutions each,
    the second and third grid seeing the upsampled maps of the one before beside the backbone's own. Every convolution
    is batch-normalised, without bias, and leaky (0.1), but for the last of each grid.

    The network gives no logits of classes but three tensors (n, 3, rows, columns, 5 + classes), coarse grid first, that
    `loss` and `infoscope.models.detection.decode` read. Images of any size will do; multiples of 32 are the paper's.

    With 80 classes it has 61,949,149 parameters; with the 2 × 26,304 running statistics that is the 62,001,757 floats
    of the authors' weights file. `width` (maps of the first convolution) and `blocks` make smaller ones:

    >>> small = YOLOv3(width=4, blocks=(1, 1, 1, 1, 1))
    >>> sum(p.numel() for p in small((3, 96, 96), 2).parameters())
    541963
    """

    anchors: Anchors = field(default=ANCHORS, repr=False)
    width: int = 32
    blocks: tuple[int, int, int, int, int] = (1, 2, 8, 8, 4)

    def __post_init__(self):
        if self.width < 2 or len(self.blocks) != 5 or min(self.blocks) < 0:
            raise ValueError(f"{self} cannot be built; width is 2 or more, blocks are five numbers, 0 or more")

    @property
    def loss(self) -> DetectionLoss:
        """The loss that these networks are trained with."""
        return DetectionLoss(self.anchors)

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network for images of this shape."""
        channels, _, _ = image_shape(shape, classes, self)
        return _Network(channels, classes, self.width, self.blocks, tuple(map(len, self.anchors)))


class _Network(nn.Module):
    def __init__(self, channels: int, classes: int, width: int, blocks: tuple[int, ...], anchors: tuple[int, ...]):
        super().__init__()
        self.stem = _convolution(channels, width, 3)
        self.stages = nn.ModuleList(_stage(width * 2**i, count) for i, count in enumerate(blocks))
        self.laterals, self.necks, self.heads = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        outputs, inputs, maps = 5 + classes, 32 * width, 16 * width
        for i, count in enumerate(anchors):
            if i:
                self.laterals.append(_convolution(maps, maps // 2, 1))
                maps //= 2
                inputs = maps + 2 * maps
            self.necks.append(_neck(inputs, maps))
            self.heads.append(nn.Sequential(_convolution(maps, 2 * maps, 3), nn.Conv2d(2 * maps, count * outputs, 1)))
        self.anchors = anchors
        he_normal(self, {f"heads.{i}.1": 0.01 for i in range(len(self.heads))}, slope=0.1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        x, grids = maps.pop(), []
        for i, (neck, head) in enumerate(zip(self.necks, self.heads, strict=True)):
            if i:
                wider = maps.pop()
                x = torch.cat([F.interpolate(self.laterals[i - 1](x), wider.shape[2:]), wider], dim=1)
            x = neck(x)
            grids.append(head(x).unflatten(1, (self.anchors[i], -1)).permute(0, 1, 3, 4, 2))
        return tuple(grids)


class _Residual(nn.Module):
    def __init__(self, maps: int):
        super().__init__()
        self.conv1 = _convolution(maps, maps // 2, 1)
        self.conv2 = _convolution(maps // 2, maps, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x))


def _stage(inputs: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, 2 * inputs, 3, stride=2), *(_Residual(2 * inputs) for _ in range(blocks)))


def _neck(inputs: int, maps: int) -> nn.Sequential:
    return nn.Sequential(
        _convolution(inputs, maps, 1),
        _convolution(maps, 2 * maps, 3),
        _convolution(2 * maps, maps, 1),
        _convolution(maps, 2 * maps, 3),
        _convolution(2 * maps, maps, 1),
    )


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1))
