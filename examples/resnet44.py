r"""A general-purpose vision network as a ``python:`` encoder: ResNet-44 trained on CIFAR-10, read at 96 pixels.

Use it by file name, with the weights named as an option::

    stitchkit embed "python:examples/resnet44.py:ResNet44#weights=cifar_resnet44.safetensors" scans/ \
        --out vectors.safetensors

The network is fully convolutional, so it is fed 96 x 96 pixels instead of 32 x 32. Its 800 features are the mean and
standard deviation of each stage's channels, 2 x (16 + 32 + 64), and the last stage pooled to 3 x 3, 9 x 64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

SIZE = 96
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut that drops every second pixel and pads channels with zeros."""

    def __init__(self, wide_in: int, wide_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(wide_in, wide_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide_out)
        self.conv2 = nn.Conv2d(wide_out, wide_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(wide_out)
        self.stride, self.extra = stride, wide_out - wide_in

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        short = x[:, :, :: self.stride, :: self.stride]
        short = functional.pad(short, (0, 0, 0, 0, self.extra // 2, self.extra // 2))
        return functional.relu(inner + short)


def stage(wide_in: int, wide_out: int, stride: int) -> nn.Sequential:
    """Seven blocks; the first one changes width and size."""
    rest = [Block(wide_out, wide_out, 1) for _ in range(6)]
    return nn.Sequential(Block(wide_in, wide_out, stride), *rest)


class ResNet44(nn.Module):
    """Images to 800 features; ``weights`` is a safetensors file with the network's usual names."""

    modality = "image"
    dim = 800

    def __init__(self, weights: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1, self.layer2, self.layer3 = stage(16, 16, 1), stage(16, 32, 2), stage(32, 64, 2)
        self.linear = nn.Linear(64, 10)
        self.load_state_dict(load_file(weights))
        self.eval().requires_grad_(False)

    def prepare(self, items: Sequence[Image.Image | np.ndarray]) -> Tensor:
        """Decoded images to a (b, 3, 96, 96) tensor, bilinear, normalised as in training."""
        pictures = [item if isinstance(item, Image.Image) else Image.fromarray(item) for item in items]
        small = [one.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR) for one in pictures]
        pixels = np.stack([np.asarray(one, dtype=np.float32) for one in small]) / 255
        normal = (pixels - np.float32(MEAN)) / np.float32(DEVIATION)
        return torch.from_numpy(normal.transpose(0, 3, 1, 2).copy())

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, 96, 96) to (b, 800)."""
        first = self.layer1(functional.relu(self.bn1(self.conv1(x))))
        second = self.layer2(first)
        third = self.layer3(second)
        moments = [m for s in (first, second, third) for m in (s.mean((2, 3)), s.std((2, 3)))]
        grid = functional.adaptive_avg_pool2d(third, 3).flatten(1)
        return torch.cat([*moments, grid], 1)
