"""GoogLeNet, with its auxiliary heads and their loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from infoscope.models.initial import he_normal
from infoscope.models.shape import image_shape

# Maps of the 1×1 branch; of the 3×3 branch, reduced and whole; of the 5×5 branch, likewise; of the pooling branch.
_INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
_POOLED = ("3b", "4e")
_HEADS = ("4a", "4d")


@dataclass(frozen=True)
class AuxiliaryHeads:
    """Mean cross-entropy of the logits plus `weight` times that of every auxiliary head, in nats an example.

    Section 5 of Szegedy et al. (2015) takes 0.3. The heads' logits come as an attribute `auxiliary` of the logits, in
    training; where there are none it is the cross-entropy of the logits.

    >>> AuxiliaryHeads()(torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64)).round(decimals=4)
    tensor(0.6931)
    """

    weight: float = 0.3

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        """The loss of a batch."""
        heads: tuple[Tensor, ...] = getattr(logits, "auxiliary", ())
        return F.cross_entropy(logits, y) + self.weight * sum(F.cross_entropy(head, y) for head in heads)


@dataclass(frozen=True)
class GoogLeNet:
    """GoogLeNet (Szegedy et al., "Going deeper with convolutions", 2015, table 1), with batch normalisation.

    Three convolutions, nine inception blocks, global average, dropout of 40 %, linear layer. In training two
    `auxiliary` heads read the maps of the blocks 4a and 4d (averages to 4×4, a 1×1 convolution to 128 maps, 1024 units,
    dropout of 70 %, logits). What the network returns are logits always; in training they carry the heads' logits as
    their attribute `auxiliary`, which `loss` adds with weight 0.3. Under any other loss the heads stay as they began.

    As in the common PyTorch checkpoint, every convolution is batch-normalised in place of biases and local response
    normalisation, and the paper's 5×5 convolutions are 3×3; `kernel=5` gives the paper's. With 1000 classes it has that
    checkpoint's 13,004,888 parameters, without heads 6,624,904:

    >>> [sum(p.numel() for p in GoogLeNet(heads)((3, 96, 96), 1000).parameters()) for heads in (True, False)]
    [13004888, 6624904]
    """

    auxiliary: bool = True
    kernel: int = 3

    def __post_init__(self):
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel is {self.kernel}; it is 3, or 5 as in the paper")

    @property
    def loss(self) -> AuxiliaryHeads:
        """The loss that these networks are trained with."""
        return AuxiliaryHeads()

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network for images of this shape."""
        channels, _, _ = image_shape(shape, classes, self, smallest=31)
        return _Network(channels, classes, self.auxiliary, self.kernel)


class _Network(nn.Module):
    def __init__(self, channels: int, classes: int, auxiliary: bool, kernel: int):
        super().__init__()
        pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.stem = nn.Sequential(
            _convolution(channels, 64, 7, stride=2), pool, _convolution(64, 64, 1), _convolution(64, 192, 3), pool
        )
        self.pool = pool
        self.inceptions, self.heads, inputs = nn.ModuleDict(), nn.ModuleDict(), 192
        for name, maps in _INCEPTIONS.items():
            self.inceptions[name] = block = _Inception(inputs, maps, kernel)
            inputs = block.outputs
            if auxiliary and name in _HEADS:
                self.heads[name] = _head(inputs, classes)
        self.dropout = nn.Dropout(0.4)
        self.fc = nn.Linear(inputs, classes)
        he_normal(self, {"fc": 0.01} | {f"heads.{name}.6": 0.01 for name in self.heads})

    def forward(self, x: Tensor) -> Tensor:
        x, heads = self.stem(x), []
        for name, block in self.inceptions.items():
            x = block(x)
            if self.training and name in self.heads:
                heads.append(self.heads[name](x))
            if name in _POOLED:
                x = self.pool(x)
        logits = self.fc(self.dropout(x.mean(dim=(2, 3))))
        return _carrying(logits, *heads) if heads else logits


@fx.wrap  # one step to whoever traces the network: a trace would lose the attribute
def _carrying(logits: Tensor, *heads: Tensor) -> Tensor:
    logits.auxiliary = heads  # pyright: ignore[reportAttributeAccessIssue]
    return logits


class _Inception(nn.Module):
    def __init__(self, inputs: int, maps: tuple[int, ...], kernel: int):
        super().__init__()
        one, reduced3, three, reduced5, five, pooled = maps
        self.outputs = one + three + five + pooled
        self.branch1 = _convolution(inputs, one, 1)
        self.branch3 = nn.Sequential(_convolution(inputs, reduced3, 1), _convolution(reduced3, three, 3))
        self.branch5 = nn.Sequential(_convolution(inputs, reduced5, 1), _convolution(reduced5, five, kernel))
        self.branch_pool = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), _convolution(inputs, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch3(x), self.branch5(x), self.branch_pool(x)], dim=1)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs, eps=0.001), nn.ReLU())


def _head(inputs: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(4),
        _convolution(inputs, 128, 1),
        nn.Flatten(),
        nn.Linear(2048, 1024),
        nn.ReLU(),
        nn.Dropout(0.7),
        nn.Linear(1024, classes),
    )
