"""The ResNets for large images of the first ResNet paper."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from infoscope.models.shape import image_shape

_WIDTHS = (64, 128, 256, 512)
_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@dataclass(frozen=True)
class ResNet:
    """ResNet of depth 18, 34, 50, 101 or 152 (He, Zhang, Ren and Sun, "Deep residual learning", 2015, table 1).

    A 7×7 convolution and a max pooling, which leave a quarter of the side, four stages of blocks with 64, 128, 256 and
    512 maps, global average, linear layer. A block is two 3×3 convolutions, from depth 50 on a bottleneck 1×1, 3×3, 1×1
    with four times the maps at its end; shortcuts are 1×1 convolutions where the shape changes (the paper's option B).
    As in the common PyTorch checkpoints, whose parameter names these are, a bottleneck halves the resolution in its 3×3
    convolution, not in the first 1×1. Images of any size will do. With 1000 classes:

    >>> sum(p.numel() for p in ResNet(18)((3, 96, 96), 1000).parameters())
    11689512
    """

    depth: int = 18

    def __post_init__(self):
        if self.depth not in _BLOCKS:
            raise ValueError(f"depth is {self.depth}; a ResNet has depth {', '.join(map(str, _BLOCKS))}")

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network for images of this shape."""
        channels, _, _ = image_shape(shape, classes, self)
        return _Network(channels, classes, _BLOCKS[self.depth], bottleneck=self.depth >= 50)


class _Network(nn.Module):
    def __init__(self, channels: int, classes: int, blocks: tuple[int, ...], bottleneck: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        inputs, stages = 64, []
        for stage, (width, count) in enumerate(zip(_WIDTHS, blocks, strict=True)):
            made = []
            for i in range(count):
                block = (_Bottleneck if bottleneck else _Basic)(inputs, width, stride=2 if stage and not i else 1)
                made, inputs = [*made, block], block.outputs
            stages.append(nn.Sequential(*made))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


class _Basic(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.outputs = width
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, self.outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(self.downsample(x) + y)


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.outputs = 4 * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, self.outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(self.outputs)
        self.downsample = _shortcut(inputs, self.outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.downsample(x) + self.bn3(self.conv3(y)))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
