"""Device and precision of an encoder, and the freezing of modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from stitchkit.core.errors import InputError
from stitchkit.core.wording import setting

if TYPE_CHECKING:
    import torch

    Module = TypeVar("Module", bound=torch.nn.Module)

DTYPES = ("float32", "float16", "bfloat16")


def chosen_device(device: str) -> str:
    """``device``, or the best one there is for ``"auto"``.

    Raises
    ------
    InputError
        If torch does not know the device or this machine does not have it.
    """
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(kind for kind, there in present.items() if there)
    try:
        kind, index = torch.device(device).type, torch.device(device).index or 0
    except RuntimeError as error:
        raise InputError(f"torch knows no device {device!r}. Use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'.") from error
    if not present.get(kind, True) or (kind == "cuda" and index >= torch.cuda.device_count()):
        raise InputError(
            f"this machine has no device {device!r}, or torch cannot use it. Use "
            + setting("device", "auto")
            + " or 'cpu'."
        )
    return device


def checked_dtype(dtype: str) -> str:
    """``dtype`` if it is one of :data:`DTYPES`, else an error that lists them."""
    if dtype not in DTYPES:
        raise InputError(f"encoders compute in {', '.join(DTYPES)}; got " + setting("dtype", dtype) + ".")
    return dtype


def freeze(module: Module, device: str, dtype: str) -> Module:
    """``module`` on ``device`` in ``dtype``, in evaluation mode and without gradients."""
    import torch

    return module.eval().requires_grad_(False).to(device=device, dtype=getattr(torch, dtype))


def move(batch: Any, device: str, dtype: str) -> Any:
    """The tensors of ``batch`` (a tensor, or a mapping, list or tuple of them) on ``device``, floats in ``dtype``."""
    import torch

    if isinstance(batch, torch.Tensor):
        return batch.to(device, getattr(torch, dtype)) if batch.is_floating_point() else batch.to(device)
    if isinstance(batch, Mapping):
        return {key: move(value, device, dtype) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)([move(value, device, dtype) for value in batch])
    return batch
