"""Trial runs of an encoder: the width of its vectors, and a test that a linear head explains its logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from stitchkit.core.errors import InputError
from stitchkit.core.heads import LinearHead
from stitchkit.core.roles import Encoder
from stitchkit.core.space import Space
from stitchkit.core.wording import setting

if TYPE_CHECKING:
    import torch


def neutral(modality: str) -> Any:
    """One item that says nothing: a mid-grey 64 x 64 RGB image, or the text ``"a"``."""
    return Image.new("RGB", (64, 64), (128, 128, 128)) if modality == "image" else "a"


def width(encoder: Encoder) -> int:
    """The width d of the encoder's vectors, found by encoding one neutral item.

    Raises
    ------
    InputError
        If what comes back is not one finite vector.
    """
    return width_of(encoder, encoder.encode(encoder.prepare([neutral(encoder.modality)])).pooled, 1)


def width_of(encoder: Encoder, pooled: torch.Tensor, count: int) -> int:
    """The width d of what the encoder made of ``count`` items.

    Raises
    ------
    InputError
        If that is not one finite vector an item.
    """
    import torch

    shape, one = tuple(pooled.shape), encoder.modality
    if len(shape) != 2 or shape[0] != count or shape[1] == 0:
        items = f"one {one}" if count == 1 else f"{count} {one}s"
        raise InputError(
            f"encoder {encoder.name!r} gave an array of shape {shape} for {items}; it must be ({count}, d). "
            f"Choose a pooling that leaves one vector an item."
        )
    if not bool(torch.isfinite(pooled).all()):
        raise InputError(
            f"encoder {encoder.name!r} gives NaN or infinity for a neutral {encoder.modality}. "
            f"Try " + setting("dtype", "float32") + "; if that does not help, its weights are broken."
        )
    return int(shape[1])


def linear_head(
    space: Space,
    linear: torch.nn.Linear,
    classes: Sequence[str],
    pooled: torch.Tensor,
    logits: torch.Tensor,
    *,
    multiclass: bool,
) -> LinearHead | None:
    """``linear`` as a head over ``space``, or None if it does not turn ``pooled`` (b, d) into ``logits`` (b, c).

    ``multiclass`` tells whether the checkpoint was trained with softmax; of a single class it never was.
    """
    import torch

    if pooled.shape[-1] != linear.in_features or logits.shape[-1] != linear.out_features:
        return None
    tolerance = 1e-4 if linear.weight.dtype == torch.float32 else 3e-2  # half precision keeps two to three digits
    with torch.inference_mode():
        own = linear(pooled.to(linear.weight.dtype)).float()
    if not torch.allclose(own, logits.float(), rtol=tolerance, atol=tolerance):
        return None
    weight = linear.weight.detach().float().cpu().numpy().T
    bias = (
        np.zeros(linear.out_features, np.float32) if linear.bias is None else linear.bias.detach().float().cpu().numpy()
    )
    return LinearHead(space, tuple(classes), weight.copy(), bias.copy(), multiclass=multiclass and len(classes) > 1)


def class_names(labels: Any, count: int) -> list[str]:
    """``count`` class names from a config's list or mapping of labels, or ``"class 0"``, ... where it has none."""
    if isinstance(labels, dict):
        listed = [labels.get(i, labels.get(str(i))) for i in range(count)]
    else:
        listed = list(labels) if isinstance(labels, list | tuple) else []
    if len(listed) != count or any(label is None for label in listed):
        return [f"class {i}" for i in range(count)]
    return [str(label) for label in listed]


def random_images(size: Sequence[int]) -> torch.Tensor:
    """Two preprocessed images of noise, (2, *size), the same every time."""
    import torch

    return torch.randn(2, *size, generator=torch.Generator().manual_seed(0))
