"""Seeds of random draws: the range that numpy, scikit-learn and torch all take."""

from __future__ import annotations

from numbers import Integral

from stitchkit.core.errors import InputError

LARGEST_SEED = 2**32 - 1


def check_seed(seed: object) -> None:
    """Raise for a seed that is no whole number from 0 to 2**32 - 1.

    Raises
    ------
    InputError
        Naming the value.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= int(seed) <= LARGEST_SEED:
        raise InputError(f"seed must be a whole number from 0 to {LARGEST_SEED}; got {seed!r}.")
