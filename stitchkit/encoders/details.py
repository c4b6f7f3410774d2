"""Details of a loaded encoder for a screen: what it does to an item before its network, pooling, and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stitchkit.encoders.load_checks import settings_of

RESAMPLE = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # by Pillow's numbers


def image_details(
    *, size: str, model: Any, mean: Any = None, std: Any = None, interpolation: Any = None, crop: str = "",
    pooling: str,
) -> dict[str, Any]:  # fmt: skip
    """Details of an image encoder; what is not known is left out.

    Parameters
    ----------
    size
        Pixels that the network sees, in words.
    model
        Network, for the number of its parameters.
    mean, std
        Mean and standard deviation of each channel, for pixels of 0 to 1.
    interpolation
        Kernel by which images are resized.
    crop
        Resizing and cropping, in words.
    pooling
        Way from the network's output to the vector.
    """
    levels = {"mean": _rounded(mean), "sd": _rounded(std)}
    facts = {"size": size, "crop": crop, "interpolation": _kernel(interpolation), **levels, "pooling": pooling}
    return {key: value for key, value in facts.items() if value not in ("", None)} | _parameters(model)


def text_details(*, length: int | None, prompt: str, model: Any, pooling: str) -> dict[str, Any]:
    """Details of a text encoder: tokens that it reads, the prefix of its texts, pooling, and size."""
    facts = {"longest text": None if length is None else f"{length} tokens", "prompt": prompt, "pooling": pooling}
    return {key: value for key, value in facts.items() if value} | _parameters(model)


def processor_details(processor: Any, *, model: Any, pooling: str) -> dict[str, Any]:
    """Details of an image encoder whose images go through an image processor of transformers."""
    settings = settings_of(processor)
    size, crop = (settings.get(key) or {} for key in ("size", "crop_size"))
    crops, resizes = bool(settings.get("do_center_crop")), bool(settings.get("do_resize", True))
    levels = settings if settings.get("do_normalize", True) else {}
    patches = f"at most {settings['max_num_patches']} patches" if settings.get("max_num_patches") else ""
    return image_details(
        size=_sides(crop if crops else size) or patches,
        crop=f"resize to {_sides(size)}, then the middle" if crops and resizes else "",
        mean=levels.get("image_mean"),
        std=levels.get("image_std"),
        interpolation=settings.get("resample"),
        model=model,
        pooling=pooling,
    )


def _sides(size: Any) -> str:
    """``224 x 224``, or the other sides that a processor may name."""
    if not isinstance(size, Mapping):
        return f"{size} x {size}" if size else ""
    if {"height", "width"} <= size.keys() and size["height"]:
        return f"{size['height']} x {size['width']}"
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in size.items() if value)


def _kernel(interpolation: Any) -> str:
    if isinstance(interpolation, int):
        return RESAMPLE[interpolation] if interpolation < len(RESAMPLE) else str(interpolation)
    return str(getattr(interpolation, "value", interpolation) or "")


def _rounded(levels: Any) -> list[float] | None:
    if levels is None:
        return None
    each = levels if isinstance(levels, Sequence) else [levels]
    return [round(float(one), 4) for one in each]


def _parameters(model: Any) -> dict[str, int]:
    """Number of a network's parameters; empty where it is no network of torch."""
    counts = [one.numel() for one in model.parameters()] if hasattr(model, "parameters") else []
    return {"parameters": sum(counts)} if counts else {}
