"""A fit on the command line: the solver's name, the seed, and the line that reports the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stitchkit.core.wording import counted

if TYPE_CHECKING:
    from stitchkit.cli.console import Console
    from stitchkit.cli.loading import Loading
    from stitchkit.core.alignments import Alignment
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.roles import Solver
    from stitchkit.datasets.anchor_tables import AnchorTable
    from stitchkit.fitting.fit_stitch import FittedStitch
    from stitchkit.head_names import HeadChoice


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
    ) -> Alignment:
        """The alignment of paired embeddings."""
        import stitchkit as sk
        from stitchkit.alignment.request import fit_in_words

        pools = "" if pool is None else " and the pools"
        step = fit_in_words(self.solver, purpose, pools=pool is not None)
        self.console.say(f"{step} on {counted(len(x), 'pair')}{pools}")
        return sk.align(
            x, y, groups=groups, purpose=purpose, pool=pool, solver=self.solver, seed=self.seed,
            progress=self.console.progress,
        )  # fmt: skip

    def stitch(
        self,
        source: str | Embeddings,
        target: str | Embeddings,
        table: AnchorTable,
        choice: HeadChoice,
        loading: Loading,
    ) -> FittedStitch:
        """The stitched model of two encoders, or of vectors on either side, with its head if one is to be had."""
        from stitchkit.cli.pairs import load_side, modality_of
        from stitchkit.fitting.fit_stitch import fit_stitch

        left, right = load_side(source, loading), load_side(target, loading)
        return fit_stitch(
            left, right, table.read_for(modality_of(left), modality_of(right)), head=choice,
            solver=self.solver, seed=self.seed, say=self.console.say, **loading.embedding,
        )  # fmt: skip
