"""The two sides of a CLIP-like checkpoint, and checkpoints that have one of them only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from stitchkit.core.errors import InputError
from stitchkit.encoders.names import EncoderName


def no_text_side(name: EncoderName) -> InputError:
    """The error for a request of the text encoder of a checkpoint that holds a vision encoder alone."""
    image = replace(name, options={key: one for key, one in name.options.items() if key not in ("modality", "prompt")})
    return InputError(
        f"the checkpoint of {str(name)!r} has no text side: stitch one. Load its images as {str(image)!r}, fit a map "
        f"to the text encoder of your choice with sk.align (stitchkit stitch IMAGE-ENCODER TEXT-ENCODER --anchors "
        f"anchors.csv), and name classes by text with sk.zeroshot."
    )


def is_vision_only(weights: Iterable[str], vision: str, text: str) -> bool:
    """True if weights of the vision side are among the names ``weights``, and none of the text side.

    Parameters
    ----------
    vision, text
        Starts of the names of either side; an empty ``text`` stands for every name that is not of the vision side.

    Examples
    --------
    >>> is_vision_only(["vision_model.a.weight", "logit_scale"], "vis", "text")
    True
    >>> is_vision_only(["vision_model.a.weight", "text_model.a.weight"], "vis", "text")
    False
    """
    names = [one for one in weights if "." in one]  # without a dot: parameters of the pair, which scale logits only
    others = [one for one in names if not one.startswith(vision)]
    return len(others) < len(names) and not any(one.startswith(text) for one in others)
