"""Small networks of torchxrayvision as files of weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any


def xrv_densenet(*, seed: int = 0, **settings: Any) -> Any:
    """A DenseNet of the library's own class with two blocks of one layer."""
    import torch

    with warnings.catch_warnings():  # the library silences all warnings of the process
        from torchxrayvision.models import DenseNet
    torch.manual_seed(seed)
    small = {"growth_rate": 4, "block_config": (1, 2), "num_init_features": 8, "bn_size": 2}
    return _scaled(DenseNet(**{**small, **settings}), "features.norm0")


def xrv_resnet(*, seed: int = 0) -> Any:
    """A ResNet as the library builds one, with one block a layer."""
    import torch
    from torchvision.models.resnet import Bottleneck, ResNet

    torch.manual_seed(seed)
    model = ResNet(Bottleneck, [1, 1, 1, 1], num_classes=18)
    model.conv1 = torch.nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    return _scaled(model, "bn1")


def _scaled(model: Any, first: str) -> Any:
    """A network whose first norm has seen grey levels to 1024, as a trained one has."""
    model.get_submodule(first).running_var.fill_(1e6)
    return model.eval()


def state_xrv(folder: Path) -> Path:
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    torch.save(xrv_densenet().state_dict(), folder / "densenet.pt")
    torch.save({f"model.{key}": one for key, one in xrv_resnet().state_dict().items()}, folder / "resnet.pt")
    return folder


XRAYS = {"state_xrv": state_xrv}
XRAY_TABLE = {
    "xrv-densenet": ("xrv:{folder}/densenet.pt", "state_xrv", 14),
    "xrv-resnet": ("xrv:{folder}/resnet.pt#size=64", "state_xrv", 2048),
}
