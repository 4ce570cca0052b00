"""Pre-activation bottleneck ResNets for small images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from infoscope.models.shape import image_shape

_EXPANSION = 4  # a bottleneck block of width b has 4b outputs
_STEM = 16


@dataclass(frozen=True)
class PreActResNet:
    """Pre-activation bottleneck ResNet of depth 9n + 2 (11, 20, 56 and 101 have n = 1, 2, 6, 11).

    The blocks are those of He, Zhang, Ren and Sun, "Identity mappings in deep residual networks" (2016), in the variant
    of "Model information as an analysis tool in deep learning" (figure 7a, tables 7 to 9): a 3×3 convolution with 16
    outputs; three stages of n blocks, the second and third at half the resolution; batch normalisation, ReLU, global
    average and a linear layer. A block of width b normalises, rectifies and convolves three times, 1×1 to b maps
    (`before`), 3×3 (`bottleneck`), 1×1 to 4b maps (`after`); a 1×1 convolution on the way around (`residue`) stands in
    each stage's first block only, fed as there with the activated input. No convolution has a bias.

    The parameter counts are those of tables 9 and 7 (the latter for one output, as the printed counts need):

    >>> sum(p.numel() for p in PreActResNet()((3, 32, 32), 10).parameters())
    219482
    >>> large, tiny = PreActResNet(11, (16, 48, 96)), PreActResNet(11, (16, 16, 24))
    >>> [sum(p.numel() for p in factory((3, 64, 64), 1).parameters()) for factory in (large, tiny)]
    [264657, 29457]
    """

    depth: int = 20
    widths: tuple[int, int, int] = (16, 32, 64)

    def __post_init__(self):
        if self.depth < 11 or (self.depth - 2) % 9:
            raise ValueError(f"depth is {self.depth}; a bottleneck ResNet has depth 9n + 2: 11, 20, 29, …, 56, …, 101")
        if len(self.widths) != 3 or any(width < 1 for width in self.widths):
            raise ValueError(f"widths are {self.widths}; give one width for each of the three stages")

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network for images of this shape."""
        channels, _, _ = image_shape(shape, classes, self)
        return _Network(channels, classes, (self.depth - 2) // 9, self.widths)


class _Network(nn.Module):
    def __init__(self, channels: int, classes: int, blocks_per_stage: int, widths: tuple[int, ...]):
        super().__init__()
        self.stem = nn.Conv2d(channels, _STEM, 3, padding=1, bias=False)
        blocks, inputs = [], _STEM
        for stage, width in enumerate(widths):
            for i in range(blocks_per_stage):
                blocks.append(_Block(inputs, width, stride=2 if stage and not i else 1, first=not i))
                inputs = _EXPANSION * width
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(inputs)
        self.fc = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.blocks(self.stem(x))))
        return self.fc(x.mean(dim=(2, 3)))


class _Block(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int, first: bool):
        super().__init__()
        outputs = _EXPANSION * width
        self.bn_before = nn.BatchNorm2d(inputs)
        self.before = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn_bottleneck = nn.BatchNorm2d(width)
        self.bottleneck = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn_after = nn.BatchNorm2d(width)
        self.after = nn.Conv2d(width, outputs, 1, bias=False)
        self.residue = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False) if first else None

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn_before(x))
        around = x if self.residue is None else self.residue(activated)
        y = self.bottleneck(F.relu(self.bn_bottleneck(self.before(activated))))
        return around + self.after(F.relu(self.bn_after(y)))
