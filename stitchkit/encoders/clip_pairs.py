"""CLIP-like pairs: two encoders that were trained into one space need no anchors to be compared."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.errors import InputError, SpaceMismatchError
from stitchkit.core.maps import AffineMap
from stitchkit.core.roles import Encoder
from stitchkit.core.scores import Scores
from stitchkit.core.space import Space, common_fingerprint

NOTE = (
    "no anchors: the checkpoint's own image and text encoder share a space; their vectors are compared as they are, "
    "neither centred nor turned"
)


def own_logit(model: Any) -> tuple[float | None, float | None]:
    """Scale and bias by which a pair's own logits are made of cosines; None for what the model does not have.

    Parameters
    ----------
    model
        Model of transformers or open_clip, whose ``logit_scale`` is a logarithm.
    """
    scale, bias = (getattr(model, key, None) for key in ("logit_scale", "logit_bias"))
    values = [
        None if one is None or one.numel() != 1 else float(one.detach().float().reshape(())) for one in (scale, bias)
    ]
    return None if values[0] is None else math.exp(values[0]), values[1]


def own_logits(scores: Scores, image: Encoder) -> Scores:
    """Zero-shot scores of a CLIP-like pair on the scale of its own logits.

    Of a class without negative prompts that is ``scale * cosine + bias``, as the pair was trained; with negative
    prompts the difference of two such logits. The order of items is that of the cosines.

    Parameters
    ----------
    scores
        Cosines or margins, from ``stitchkit.zeroshot`` over ``clip_alignment``.
    image
        The image encoder of the pair; one that states no scale leaves the scores as they are.

    Returns
    -------
    Scores
        Logits, or the scores as they are.
    """
    scale, bias = (getattr(image, key, None) for key in ("logit_scale", "logit_bias"))
    if scale is None or scores.kind not in ("cosine", "margin"):
        return scores
    shift = bias if scores.kind == "cosine" and bias is not None else 0.0
    return Scores(scores.values * scale + shift, "logit", scores.ids, scores.classes)


def clip_alignment(image: Encoder, text: Encoder) -> Alignment:
    """The alignment that a CLIP-like pair brings: both maps leave the vectors as they are.

    So a pair is scored by the code that scores a fitted alignment: ``stitchkit.zeroshot`` gives cosines of the
    checkpoint's own features, or margins of them.

    Parameters
    ----------
    image, text
        The two encoders of one checkpoint, such as ``hf:org/name#modality=image`` and ``hf:org/name#modality=text``.

    Returns
    -------
    Alignment
        From the image space to the text space, without a directed map: image and text vectors of a pair are near by
        angle, but do not have the same mean, so neither drives a head made for the other. Its record names no
        anchors, no R2 and no held-out numbers.

    Raises
    ------
    InputError
        If they are not an image and a text encoder, in this order, or one is not half of a pair.
    SpaceMismatchError
        If they come from different checkpoints.
    """
    if (image.modality, text.modality) != ("image", "text"):
        raise InputError(
            f"clip_alignment takes the image encoder, then the text encoder; {image.name!r} takes {image.modality}s "
            f"and {text.name!r} takes {text.modality}s."
        )
    pair, other = (_pair_of(encoder) for encoder in (image, text))
    if pair != other or image.space.dim != text.space.dim:
        raise SpaceMismatchError(
            f"{image.name!r} and {text.name!r} do not come from one checkpoint: their pairs are {pair} and {other}, "
            f"their vectors {image.space.dim} and {text.space.dim} wide. Load both from the same, or fit a map with "
            f"sk.align."
        )
    dim, fingerprint = image.space.dim, common_fingerprint((image.space, text.space), "pair", weights=[])
    common = Space(f"{image.space.name} | {text.space.name}", dim, fingerprint)
    record = {
        "solver": "none: a CLIP-like pair",
        "settings": {},
        "rank": dim,
        "anchors": 0,
        "groups": 0,
        "r2": None,
        "held_out": None,
        "pair": pair,
        "notes": [NOTE],
    }
    return Alignment(_same(image.space, common), _same(text.space, common), record=record)


def _pair_of(encoder: Any) -> str:
    """The mark of the pair that an encoder is half of."""
    pair = getattr(encoder, "pair", None)
    if not pair:
        raise InputError(
            f"encoder {encoder.name!r} is not half of a CLIP-like pair. Load a checkpoint that holds both, with "
            f"#modality=image and #modality=text, or fit a map with sk.align."
        )
    return str(pair)


def _same(space: Space, common: Space) -> AffineMap:
    """The map that changes nothing but the space's name."""
    zero = np.zeros(space.dim)
    return AffineMap(space, common, zero, np.eye(space.dim), zero, space.dim)
