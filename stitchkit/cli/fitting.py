"""A fit on the command line: the solver's name, the seed, and the line that reports the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stitchkit.core.wording import counted

if TYPE_CHECKING:
    from stitchkit.cli.console import Console
    from stitchkit.core.alignments import Alignment
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.prompts import PromptVectors
    from stitchkit.core.roles import Solver


@dataclass(frozen=True, slots=True)
class Fitting:
    """Settings of a fit, with the console that reports its steps.

    Parameters
    ----------
    solver
        The ``solver`` argument of ``stitchkit.align``: a family to search, or a solver with its default settings.
    """

    solver: str | Solver
    seed: int
    console: Console

    @classmethod
    def of(cls, name: str, seed: int, console: Console) -> Fitting:
        """The settings, the solver's name checked."""
        if name == "auto":  # the default, also where nothing is fitted: no solver is imported for it
            return cls(name, seed, console)
        from stitchkit.alignment.request import resolve_solver

        return cls(resolve_solver(name, None, seed=0), seed, console)

    def check_purpose(self, purpose: str) -> None:
        """Raise for a purpose that ``stitchkit.align`` does not know, or that the solver cannot serve."""
        from stitchkit.alignment.request import check_purpose

        check_purpose(self.solver, purpose)

    def fit(
        self,
        x: Embeddings,
        y: Embeddings,
        groups: Any,
        purpose: str,
        *,
        pool: tuple[Embeddings, Embeddings] | None = None,
        head: Any = None,
        prompts: PromptVectors | None = None,
    ) -> Alignment:
        """The alignment of paired embeddings; ``head`` or ``prompts`` are what will read it, where that is known."""
        import stitchkit as sk

        pools = "" if pool is None else " and the pools"
        self.console.say(f"{self._step(purpose, pool is not None)} on {counted(len(x), 'pair')}{pools}")
        return sk.align(
            x, y, groups=groups, purpose=purpose, pool=pool, head=head, prompts=prompts, solver=self.solver,
            seed=self.seed, progress=self.console.progress,
        )  # fmt: skip

    def _step(self, purpose: str, with_pools: bool) -> str:
        from stitchkit.solvers import SEARCHED

        if not isinstance(self.solver, str):
            return f"fitting {type(self.solver).__name__}"
        if with_pools:
            return "fitting a closed form, soft and hard matching"
        return f"searching {', '.join(SEARCHED[purpose] if self.solver == 'auto' else [self.solver])}"
