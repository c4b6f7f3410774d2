"""Small residual nets: features and heads of six, trained from different seeds, on scikit-learn's digits or films."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

WIDTH, EPOCHS, TRAINED = 64, 14, 1000
NETS = ((1, 0), (2, 1), (3, 2), (1, 3), (2, 4), (3, 5))  # residual blocks, seed


@dataclass(frozen=True)
class Features:
    """Pooled features of the images for anchors and of test images, with the net's own head (64, c) and (c,)."""

    train: np.ndarray
    test: np.ndarray
    weight: np.ndarray
    bias: np.ndarray


class Block(nn.Module):
    """Two 3 x 3 convolutions beside the identity."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH)]
        more = [nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH)]
        self.inner = nn.Sequential(*layers, nn.ReLU(), *more)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.inner(x))


class Net(nn.Module):
    """A stem, residual blocks, the mean over places, a linear head."""

    def __init__(self, blocks: int, classes: int, stride: int) -> None:
        super().__init__()
        first = nn.Conv2d(1, WIDTH, 3 if stride == 1 else stride + 1, stride, padding=(stride + 1) // 2, bias=False)
        self.body = nn.Sequential(first, nn.BatchNorm2d(WIDTH), nn.ReLU(), *(Block() for _ in range(blocks)))
        self.head = nn.Linear(WIDTH, classes)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x).mean((2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


def digits() -> tuple[list[Features], np.ndarray]:
    """Features of the six nets, and the digit of each test image."""
    images, digit = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    x = torch.tensor(images.reshape(-1, 1, 8, 8) / 16, dtype=torch.float32)
    train, test = order[:TRAINED], order[TRAINED:]
    return six(x[train], digit[train], x[train], x[test]), digit[test]


def six(
    x: torch.Tensor, label: np.ndarray, anchors: torch.Tensor, test: torch.Tensor, *, stride: int = 1
) -> list[Features]:
    """Features of six nets trained on images ``x`` (n, 1, h, w); ``stride`` is that of the first convolution."""
    nets = (_trained(x, torch.tensor(label), blocks, seed, stride) for blocks, seed in NETS)
    return [_features(net, anchors, test) for net in nets]


def _trained(x: torch.Tensor, label: torch.Tensor, blocks: int, seed: int, stride: int) -> Net:
    torch.manual_seed(seed)
    net, rng = Net(blocks, int(label.max()) + 1, stride), np.random.default_rng(seed)
    steps = EPOCHS * (len(x) // 64)
    optimizer = torch.optim.AdamW(net.parameters(), 4e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in np.array_split(rng.permutation(len(x)), len(x) // 64):
            moved = torch.roll(x[rows], tuple(rng.integers(-1, 2, 2).tolist()), (2, 3))
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(moved), label[rows]).backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def _features(net: Net, train: torch.Tensor, test: torch.Tensor) -> Features:
    with torch.inference_mode():
        found = [net.features(part).numpy().astype(float) for part in (train, test)]
    weight, bias = (part.detach().numpy().astype(float) for part in (net.head.weight, net.head.bias))
    return Features(*found, weight.T, bias)
