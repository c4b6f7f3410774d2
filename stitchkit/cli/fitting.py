"""How the command line asks for a map: the solver's name, the purpose, the seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stitchkit.core.alignments import Alignment
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.roles import Solver


@dataclass(frozen=True, slots=True)
class Fitting:
    """How the map is fitted, and the command line for the record."""

    solver: str | Solver
    seed: int
    command: str

    def fit(self, x: Embeddings, y: Embeddings, groups: Any, purpose: str) -> Alignment:
        """The alignment of paired embeddings."""
        import stitchkit as sk

        return sk.align(x, y, groups=groups, purpose=purpose, solver=self.solver, seed=self.seed)


def solver_of(name: str) -> str | Solver:
    """What ``stitchkit.align`` takes as ``solver``: a family to search, or a solver with its default settings."""
    from stitchkit.alignment.asking import asked_for

    return asked_for(name, None, seed=0)


def check_purpose(purpose: str) -> None:
    """Raise for a purpose that ``stitchkit.align`` does not know."""
    from stitchkit.core.errors import UnknownNameError
    from stitchkit.solvers import SEARCHED

    if purpose not in SEARCHED:
        raise UnknownNameError.of("purpose", purpose, SEARCHED)
