"""Heads of your own: ``python:FILE:NAME`` with ``classes``, ``weight`` (d, c) and ``bias`` (c,)."""

from __future__ import annotations

import numpy as np

from stitchkit.core.errors import InputError
from stitchkit.core.heads import LinearHead
from stitchkit.core.space import Space
from stitchkit.encoders.names import EncoderName
from stitchkit.encoders.python_object import thing_at


def load_python_head(name: str, space: Space) -> LinearHead:
    """The linear head that an import path means, over ``space``.

    Parameters
    ----------
    name
        ``python:package.module:attribute`` or ``python:path/to/file.py:attribute``, with ``#key=value`` options.
        The attribute, or what it makes when it is a class or a function whose name starts with ``load``, has
        ``classes`` (c names), ``weight`` (d, c) and ``bias`` (c,); a torch layer stores the weight the other way round.
        An attribute ``multiclass`` says whether exactly one class applies; without it several may.

    Raises
    ------
    InputError
        If one of the three is missing, or their shapes are not those of a head over ``space``.
    """
    _, thing = thing_at(EncoderName.parse(name))
    missing = [part for part in ("classes", "weight", "bias") if not hasattr(thing, part)]
    if missing:
        raise InputError(f"head {name!r} lacks {missing[0]!r}. A head has classes, weight (d, c) and bias (c,).")
    weight, bias = (np.asarray(part, dtype=np.float64) for part in (thing.weight, thing.bias))
    multiclass = bool(getattr(thing, "multiclass", False))
    return LinearHead(space, tuple(str(label) for label in thing.classes), weight, bias, multiclass=multiclass)
