"""The ResNets for CIFAR-10 of the first ResNet paper."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from infoscope.models.shape import image_shape

_WIDTHS = (16, 32, 64)


@dataclass(frozen=True)
class CifarResNet:
    """ResNet of depth 6n + 2 for small images (He, Zhang, Ren and Sun, "Deep residual learning", 2015, section 4.2).

    A 3×3 convolution, three stages of n blocks with 16, 32 and 64 maps, global average, linear layer. A block is two
    3×3 convolutions with batch normalisation; shortcuts have no parameters (the paper's option A): where the stage
    changes they take every second pixel and pad with zero maps. Parameter names (`conv1`, `bn1`, `layer1.0.conv1`, …,
    `linear`) are those of the common PyTorch checkpoints. The paper counts 0.27 and 0.85 million parameters:

    >>> [sum(p.numel() for p in CifarResNet(depth)((3, 32, 32), 10).parameters()) for depth in (20, 56)]
    [269722, 853018]
    """

    depth: int = 20

    def __post_init__(self):
        if self.depth < 8 or (self.depth - 2) % 6:
            raise ValueError(
                f"depth is {self.depth}; a CIFAR ResNet has depth 6n + 2: 8, 14, 20, 26, 32, …, 56, …, 110"
            )

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network for images of this shape."""
        channels, _, _ = image_shape(shape, classes, self)
        return _Network(channels, classes, (self.depth - 2) // 6)


class _Network(nn.Module):
    def __init__(self, channels: int, classes: int, blocks_per_stage: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, _WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        self.layer1 = _stage(_WIDTHS[0], _WIDTHS[0], 1, blocks_per_stage)
        self.layer2 = _stage(_WIDTHS[0], _WIDTHS[1], 2, blocks_per_stage)
        self.layer3 = _stage(_WIDTHS[1], _WIDTHS[2], 2, blocks_per_stage)
        self.linear = nn.Linear(_WIDTHS[2], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


def _stage(inputs: int, outputs: int, stride: int, blocks: int) -> nn.Sequential:
    first, rest = _Block(inputs, outputs, stride), (_Block(outputs, outputs, 1) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.stride, self.new_maps = stride, outputs - inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.new_maps:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.new_maps // 2, self.new_maps // 2))
        return F.relu(x + y)
