"""Small networks of timm and torchvision as files of weights, as training scripts save them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SHUFFLE = "shufflenet_v2_x0_5"


def timm_model(architecture: str = "test_resnet", *, seed: int = 0, **settings: Any) -> Any:
    import timm
    import torch

    torch.manual_seed(seed)
    return timm.create_model(architecture, pretrained=False, **settings).eval()


def torchvision_model(architecture: str = SHUFFLE, *, seed: int = 0, **settings: Any) -> Any:
    import torch
    from torchvision.models import get_model

    torch.manual_seed(seed)
    model = get_model(architecture, weights=None, **settings).eval()
    for module in model.modules():  # its own start leaves next to nothing of an image
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
    return model


def state_timm(folder: Path) -> Path:
    """A state dict of timm's smallest residual network with four classes, and one of its smallest transformer."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    torch.save(timm_model(num_classes=4).state_dict(), folder / "resnet.pth")
    torch.save(timm_model("test_vit", num_classes=0).state_dict(), folder / "vit.pth")
    return folder


def state_torchvision(folder: Path) -> Path:
    """A training state of a network of torchvision with three classes, wrapped by DataParallel."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    state = torchvision_model(num_classes=3).state_dict()
    torch.save({"epoch": 3, "state_dict": {f"module.{key}": one for key, one in state.items()}}, folder / "last.ckpt")
    return folder


FILES = {"state_timm": state_timm, "state_torchvision": state_torchvision}
FILE_TABLE = {
    "local-timm": ("local:{folder}/resnet.pth#arch=timm/test_resnet", "state_timm", 96),
    "local-timm-vit": ("local:{folder}/vit.pth#arch=timm/test_vit", "state_timm", 64),
    "local-torchvision": (
        "local:{folder}/last.ckpt#arch=torchvision/shufflenet_v2_x0_5&key=state_dict&size=64", "state_torchvision", 1024
    ),
}  # fmt: skip
