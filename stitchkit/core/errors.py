"""Everything stitchkit raises on purpose.

::

    StitchError
    ├── InputError            (ValueError)   arrays, ids or settings that cannot be used
    │   ├── SpaceMismatchError               vectors of one space given to another space's map
    │   ├── EvidenceError                    a solver needs anchors, folds or pools that are missing
    │   ├── NoDirectedMapError               the alignment has no map into the target space itself
    │   └── NotIdentifiedError               unpaired vectors that fit onto each other in more ways than one
    ├── DataError             (ValueError)   a table, image or prompt file that cannot be read
    │   └── LeakageError                     the same patient or item on both sides of an evaluation
    ├── UnknownNameError      (LookupError)  a name nobody registered; the nearest ones are listed
    ├── MissingExtraError     (ImportError)  an optional library is absent or broken
    └── ModelUnavailableError (OSError)      weights that cannot be found, read or trusted
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from stitchkit.core.wording import Message

MOST_NAMES = 20  # known names that an error lists
OWN_CODE = "raised by the Python code of encoder"  # begins the note on errors of a user's own encoder


class StitchError(Exception):
    """Base of every error that stitchkit raises on purpose; ``str(error)`` is its message in Python's words."""

    @property
    def message(self) -> str:
        """The message with the settings it names (see :mod:`stitchkit.core.wording`), for a message around it."""
        return self.args[0] if self.args and isinstance(self.args[0], Message) else str(self)


class InputError(StitchError, ValueError):
    """Arrays, ids or settings that cannot be used."""


class SpaceMismatchError(InputError):
    """Vectors of one space were given where another space is expected."""


class EvidenceError(InputError):
    """A solver needs something (rows, folds, pools) that the evidence does not hold."""


class NoDirectedMapError(InputError):
    """The alignment meets in a common space only; it has no map into the target space."""


class NotIdentifiedError(InputError):
    """The input does not decide the answer: unpaired vectors that fit in several ways, or in none."""


class DataError(StitchError, ValueError):
    """A table, image or prompt file that cannot be read."""


class LeakageError(DataError):
    """The same patient or item stands on both sides of an evaluation."""


class UnknownNameError(StitchError, LookupError):
    """A name that is in no table."""

    @classmethod
    def of(cls, what: str, name: str, known: Iterable[str], hint: str = "") -> UnknownNameError:
        """The error for ``name``, listing the nearest of ``known``, or all of them where none is near."""
        names = sorted(known)
        near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4)
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        listed = f"nearest: {', '.join(near)}" if near else f"known: {', '.join(names[:MOST_NAMES])}{more}"
        return cls(f"no {what} is called {name!r}; {listed}." + (" " + hint if hint else ""))


class MissingExtraError(StitchError, ImportError):
    """An optional library is absent, or present and broken."""


class ModelUnavailableError(StitchError, OSError):
    """Weights that cannot be found, read or trusted."""
