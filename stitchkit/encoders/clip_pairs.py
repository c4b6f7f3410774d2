"""CLIP-like pairs: two encoders that were trained into one space need no anchors to be compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.errors import InputError, SpaceMismatchError
from stitchkit.core.maps import AffineMap
from stitchkit.core.roles import Encoder
from stitchkit.core.space import Space, common_fingerprint

NOTE = (
    "no anchors: the checkpoint's own image and text encoder share a space; their vectors are compared as they are, "
    "neither centred nor turned"
)


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
