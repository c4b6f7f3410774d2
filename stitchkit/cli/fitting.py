"""Settings of a fit on the command line: the solver's name, the purpose, the pools, the seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stitchkit.core.wording import counted

if TYPE_CHECKING:
    from stitchkit.cli.console import Talk
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.pools import Pools
    from stitchkit.core.alignments import Alignment
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.prompts import PromptVectors
    from stitchkit.core.roles import Encoder, Solver


@dataclass(frozen=True, slots=True)
class Fitting:
    """Settings of a fit, with the talk that reports its steps."""

    solver: str | Solver
    seed: int
    talk: Talk
    pools: Pools | None = None

    def fit(
        self,
        x: Embeddings,
        y: Embeddings,
        groups: Any,
        purpose: str,
        pool: Any = None,
        head: Any = None,
        prompts: PromptVectors | None = None,
    ) -> Alignment:
        """The alignment of paired embeddings; ``head`` or ``prompts`` are what will read it, where that is known."""
        import stitchkit as sk

        self.talk.say(f"{self._told(purpose)} on {counted(len(x), 'pair')}{'' if pool is None else ' and the pools'}")
        return sk.align(
            x, y, groups=groups, purpose=purpose, pool=pool, head=head, prompts=prompts, solver=self.solver,
            seed=self.seed, progress=self.talk.progress,
        )  # fmt: skip

    def pool(self, loading: Loading, left: Encoder | None = None, right: Encoder | None = None) -> Any:
        """The vectors of both pools, items read by the encoders; None if there are no pools."""
        return None if self.pools is None else self.pools.vectors(loading, left, right)

    def _told(self, purpose: str) -> str:
        from stitchkit.solvers import SEARCHED

        if not isinstance(self.solver, str):
            return f"fitting {type(self.solver).__name__}"
        if self.pools is not None:
            return "fitting a closed form, soft and hard matching"
        return f"searching {', '.join(SEARCHED[purpose] if self.solver == 'auto' else [self.solver])}"


def solver_of(name: str) -> str | Solver:
    """The ``solver`` argument of ``stitchkit.align``: a family to search, or a solver with its default settings."""
    from stitchkit.alignment.request import resolve_solver

    return resolve_solver(name, None, seed=0)


def check_purpose(purpose: str, solver: str | Solver = "auto") -> None:
    """Raise for a purpose that ``stitchkit.align`` does not know, or that the solver cannot serve."""
    from stitchkit.alignment import request

    request.check_purpose(solver, purpose)
