"""Checks at load that a checkpoint's tokenizer or image processor fits its model, before hours of work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from stitchkit.core.errors import ModelUnavailableError
from stitchkit.core.roles import Encoder
from stitchkit.encoders.library_calls import fits
from stitchkit.encoders.names import EncoderName
from stitchkit.encoders.probing import width, width_of

if TYPE_CHECKING:
    import torch

SIZES = ("do_resize", "size", "do_center_crop", "crop_size", "do_pad", "pad_size")
WORD_TABLES = ("token_embedding", "word_embeddings", "embed_tokens", "tok_embeddings", "shared", "wte")
FAR = 50.0  # mean and deviation this far below the range of the values were made for another range


def check_token_ids(name: EncoderName, tokenizer: Any, model: torch.nn.Module) -> None:
    """Raise if the tokenizer can make a token that has no row in the model's embedding.

    Raises
    ------
    ModelUnavailableError
        Naming the largest token and both numbers.
    """
    rows = _embedding_rows(model)
    vocabulary = tokenizer.get_vocab()
    if rows is None or not vocabulary:
        return
    token = max(vocabulary, key=lambda one: vocabulary[one])
    if vocabulary[token] >= rows:
        beyond = sum(number >= rows for number in vocabulary.values())
        raise ModelUnavailableError(
            f"the tokenizer of {str(name)!r} does not fit its model: the largest token id is {vocabulary[token]} "
            f"({token!r}), and the embedding has {rows} rows, 0 to {rows - 1}, so that {beyond} of its tokens have "
            f"none. Take tokenizer and weights from one source, or call resize_token_embeddings and train the new rows."
        )


def _embedding_rows(model: Any) -> int | None:
    """Rows of the table of token embeddings, or None for a model without one (characters by hash, say)."""
    try:
        table = model.get_input_embeddings()
    except (NotImplementedError, AttributeError):
        table = None
    if not isinstance(getattr(table, "num_embeddings", None), int):
        named = (module for key, module in model.named_modules() if key.rpartition(".")[2] in WORD_TABLES)
        table = next((one for one in named if hasattr(one, "num_embeddings")), None)
    return None if table is None else int(table.num_embeddings)


def probe_images() -> list[Image.Image]:
    """A grey image of 60 x 80 pixels and a colour image of 80 x 60, with a picture in them."""
    ramp = np.linspace(0, 255, 60 * 80).astype(np.uint8)
    colours = np.stack([ramp, ramp[::-1], np.roll(ramp, 999)], axis=1)
    return [Image.fromarray(ramp.reshape(80, 60)), Image.fromarray(colours.reshape(60, 80, 3))]


def image_width(encoder: Encoder, processor: str, settings: Mapping[str, Any], takes: str) -> int:
    """The width d of an image encoder's vectors, found by encoding two images of different shapes in one batch.

    Parameters
    ----------
    encoder
        An image encoder.
    processor
        The name of what makes its inputs, for messages.
    settings
        Value of that setting.
    takes
        The shape of input that the model takes, in words.

    Raises
    ------
    ModelUnavailableError
        If preprocessing and model do not fit, with what both say.
    InputError
        If what comes back is not one finite vector an image.
    """
    shown = ", ".join(f"{key} = {settings[key]}" for key in SIZES if settings.get(key) is not None)
    images = probe_images()
    fault = f"{processor} of {encoder.name!r}"
    batches = []
    for count, of, remedy in (
        (1, "an image of 60 x 80 pixels", "Take preprocessing and weights from one source"),
        (2, "two images of different shapes (60 x 80 and 80 x 60)", "Set it to resize or crop images to one shape"),
    ):
        makes_none = f"the {fault} makes no input of {of}; it is set to {shown or 'no size'}"
        with fits(makes_none, f"{remedy}, in the checkpoint's preprocessing settings"):
            batches.append(encoder.prepare(images[:count]))
    alone, both = batches
    shapes = _shape(both), _shape(alone)
    if shapes[0] != shapes[1] and not (isinstance(both, Mapping) and "pixel_mask" in both):
        raise ModelUnavailableError(
            f"the {fault} makes an image {shapes[1]} alone and {shapes[0]} beside another, so that its vector would "
            f"follow its batch; it is set to {shown or 'no size'}. Set it to resize or crop to one shape."
        )
    does_not_fit = (
        f"the {fault} does not fit its model: it makes images of shape {shapes[0]} ({shown or 'no size set'}), and the "
        f"model takes {takes}"
    )
    with fits(does_not_fit, "Take preprocessing and weights from one source, or correct the size"):
        pooled = encoder.encode(both).pooled
    return width_of(encoder, pooled, len(images))


def text_width(encoder: Encoder, tokenizer: str) -> int:
    """The width d of a text encoder's vectors, found by encoding a text of one letter.

    Raises
    ------
    ModelUnavailableError
        If tokenizer and model do not fit.
    InputError
        If what comes back is not one finite vector.
    """
    fault = f"the {tokenizer} of {encoder.name!r} does not fit its model: a text of one letter cannot be encoded"
    with fits(fault, "Take tokenizer, config.json and weights from one source"):
        return width(encoder)


def check_levels(name: object, white: float, mean: Any, std: Any, scaling: str) -> None:
    """Raise if mean and standard deviation of the normalisation were made for another range of grey levels.

    Parameters
    ----------
    name
        The encoder, for messages.
    white
        The value of a white pixel before the normalisation.
    mean, std
        One number, or one a channel.
    scaling
        Setting that decides ``white``, in the checkpoint's own words.

    Examples
    --------
    >>> check_levels("mine", 1.0, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], "do_rescale = True")
    >>> check_levels("mine", 255.0, 0.5, 0.5, "do_rescale = False")
    Traceback (most recent call last):
    ...
    stitchkit.core.errors.ModelUnavailableError: the preprocessing of 'mine' contradicts itself: with do_rescale = \
False its pixels go from 0 to 255, and mean 0.5 and standard deviation 0.5 are not of that range. Correct one of them.
    """
    means, stds = (_numbers(name, key, one) for key, one in (("mean", mean), ("standard deviation", std)))
    identity = not means.any() and bool((stds == 1).all())
    below = max(np.abs(means).max(), stds.max()) < white / FAR and not identity
    beyond = means.max() > white * 1.01 or stds.max() > white * FAR / 10
    broken = not (np.isfinite(means).all() and np.isfinite(stds).all() and (stds > 0).all())
    if below or broken or (beyond and not identity):
        raise ModelUnavailableError(
            f"the preprocessing of {str(name)!r} contradicts itself: with {scaling} its pixels go from 0 to "
            f"{white:g}, and mean {_short(means)} and standard deviation {_short(stds)} are not of that range. "
            f"Correct one of them."
        )


def _numbers(name: object, key: str, value: Any) -> np.ndarray:
    """A setting of the normalisation as float64, (1,) or one a channel (c,)."""
    listed = list(value) if isinstance(value, list | tuple) else [value]
    if not listed or not all(isinstance(one, int | float) for one in listed):
        raise ModelUnavailableError(
            f"the preprocessing of {str(name)!r} has the {key} {str(value)[:80]}, which is no number a channel. Copy "
            f"its settings again from their source."
        )
    return np.asarray(listed, dtype=np.float64)


def check_processor_levels(name: EncoderName, processor: Any) -> None:
    """The same for an image processor of transformers, where it normalises."""
    mean, std = (getattr(processor, key, None) for key in ("image_mean", "image_std"))
    if not getattr(processor, "do_normalize", False) or mean is None or std is None:
        return
    rescales = bool(getattr(processor, "do_rescale", False))
    factor = float(_numbers(name, "rescale_factor", getattr(processor, "rescale_factor", None) or 1 / 255)[0])
    scaling = f"do_rescale = {rescales}" + (f" and rescale_factor = {factor:.4g}" if rescales else "")
    check_levels(name, 255 * factor if rescales else 255.0, mean, std, scaling)


def sizes_of(config: Any) -> str:
    """The input that a transformers model takes, by its config, in words."""
    parts = [f"{key} = {value}" for key in ("image_size", "patch_size", "num_channels")
             if (value := getattr(config, key, None)) is not None]  # fmt: skip
    return ", ".join(parts) or "images of another shape"


def settings_of(processor: Any) -> dict[str, Any]:
    """The settings of an image processor, in plain values."""
    settings = processor.to_dict()
    return {key: dict(value) if isinstance(value, Mapping) else value for key, value in settings.items()}


def _shape(batch: Any) -> tuple[int, ...]:
    """The shape of one image of a batch of inputs."""
    first = batch.get("pixel_values", next(iter(batch.values()))) if isinstance(batch, Mapping) else batch
    return tuple(int(side) for side in first.shape[1:])


def _short(values: Sequence[float] | np.ndarray) -> str:
    listed = [f"{float(value):g}" for value in values]
    return listed[0] if len(set(listed)) == 1 else f"({', '.join(listed)})"
