"""Solvers fitted on the same folds, and their maps on the pairs that each fold holds out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module

import numpy as np

from stitchkit.alignment.align import align
from stitchkit.alignment.clusters import Clusters
from stitchkit.alignment.folds import Folds, assign
from stitchkit.alignment.head_agreement import HeadAgreement
from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import float64, take, to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import EvidenceError, InputError
from stitchkit.core.evidence import Evidence
from stitchkit.core.roles import Solver
from stitchkit.core.wording import setting
from stitchkit.evaluation.retrieval.held_pairs import HeldPairs, Tally, judge
from stitchkit.solvers import SOLVERS, TRACKS

AUTO = "auto"
JUDGED = 2000  # pairs of one fold that are ranked


@dataclass(frozen=True, slots=True, eq=False)
class HeadMeasures:
    """Measures of a head's outputs on all held-out pairs of one solver, each pair by the map of its fold.

    Parameters
    ----------
    head
        The criterion.
    measures : (n, p)
        Pooled over folds.
    """

    head: HeadAgreement
    measures: np.ndarray

    @classmethod
    def of(cls, head: HeadAgreement, folds: Sequence[np.ndarray]) -> HeadMeasures:
        """Measures (q, p) of each fold, pooled."""
        return cls(head, head.pool(folds))

    @property
    def value(self) -> float:
        """Agreement: the mean of the criterion's entries."""
        return float(self.head.entries(self.measures).mean())

    @property
    def chance(self) -> float:
        """Agreement of pairs shuffled within a fold."""
        return float(self.head.by_chance(self.measures).mean())


def measure_head(head: HeadAgreement, fitted: Alignment, x: Embeddings, rows: np.ndarray) -> np.ndarray:
    """Measures (q, p) of the pairs at positions ``rows``, whose sources are ``x`` (q, d_s)."""
    return head.read(to_numpy(float64(fitted.to_target.apply(x.vectors))), rows)


@dataclass(frozen=True, slots=True)
class DefaultSettings:
    """A solver of the table with its default settings, though its family could be searched."""

    name: str


Candidate = str | Solver | DefaultSettings


@dataclass(frozen=True, slots=True, eq=False)
class FoldedPairs:
    """Pairs in the folds that every solver goes through; their moments are made once."""

    pairs: HeldPairs
    moments: Folds  # of the pairs of each fold
    members: list[np.ndarray]  # rows of each fold
    judged: list[np.ndarray]  # those of them that are ranked, at most JUDGED
    purpose: str
    reader: HeadAgreement | None
    ks: tuple[int, ...]
    seed: int
    middle: np.ndarray  # (d_t,) mean of all targets, which R2 is measured against

    @classmethod
    def of(
        cls, pairs: HeldPairs, purpose: str, reader: HeadAgreement | None, ks: tuple[int, ...], folds: int, seed: int
    ) -> FoldedPairs:
        if pairs.patients == 1:
            raise InputError(f"all {len(pairs)} pairs are of one patient; none can be held out. Give more patients.")
        together = Clusters.of(pairs.x, pairs.groups)  # a repeated vector in another fold would be a leak
        members = assign(len(pairs), together.labels, seed=seed, k=folds)
        rng = np.random.default_rng(seed)
        judged = [np.sort(rng.permutation(rows)[:JUDGED]) for rows in members]
        middle = to_numpy(float64(pairs.y.vectors)).mean(axis=0)
        moments = Folds.of(pairs.x, pairs.y, members, pairs.groups)
        if min(len(np.unique(pairs.target[rows])) for rows in judged) < 2:
            raise InputError(
                f"{len(members)} folds of {len(pairs)} pairs leave a fold with one distinct target: every rank is 1. "
                "Lower " + setting("folds", text="folds") + ", or give more pairs."
            )
        return cls(
            pairs=pairs,
            moments=moments,
            members=members,
            judged=judged,
            purpose=purpose,
            reader=reader,
            ks=ks,
            seed=seed,
            middle=middle,
        )

    @property
    def gallery(self) -> int:
        """Distinct targets that a query is ranked among, averaged over folds."""
        return round(float(np.mean([len(np.unique(self.pairs.target[rows])) for rows in self.judged])))

    def measure(self, solver: Candidate) -> tuple[Tally, Tally, tuple[str, ...], HeadMeasures | None]:
        """Measures of held-out pairs and of shuffled ones, the solver chosen in each fold, and the head's measures."""
        if isinstance(solver, str) and (solver == AUTO or solver in TRACKS):
            settings: str | Solver = solver  # searched anew in every fold
        else:
            settings = _with_defaults(solver)
        patient = self.pairs.patient
        results, chosen, head_measures = [], [], []
        for i, rows in enumerate(self.judged):
            fitted = self._fit(settings, i)
            if self.purpose == "head" and fitted.directed is None:
                raise EvidenceError("it meets in a common space only and has no map that could drive a head")
            held = self.pairs.take(rows)
            results.append(judge(fitted, held, patient[rows], int(patient.max()) + 1, ks=self.ks, middle=self.middle))
            chosen.append(str(fitted.record.get("solver", "")))
            if self.reader is not None:
                head_measures.append(measure_head(self.reader, fitted, held.x, rows))
        whole, guessed = results[0]
        for one, by_chance in results[1:]:
            whole, guessed = whole + one, guessed + by_chance
        pooled = None if self.reader is None else HeadMeasures.of(self.reader, head_measures)
        return whole, guessed, tuple(chosen), pooled

    def _fit(self, solver: str | Solver, held: int) -> Alignment:
        rest = np.concatenate([rows for i, rows in enumerate(self.members) if i != held])
        pairs = self.pairs
        if isinstance(solver, str):
            x, y = pairs.x.take(rest), pairs.y.take(rest)
            groups = None if pairs.groups is None else pairs.groups[rest]
            return align(
                x, y, groups=groups, purpose=self.purpose, solver=solver, nested=False, seed=self.seed, progress=False,
                head=None if self.reader is None else self.reader.head,
            )  # fmt: skip
        others = self.moments.evidence(frozenset({held}))
        rows = (take(pairs.x.vectors, rest), take(pairs.y.vectors, rest))
        return solver.fit(Evidence(others.moments, others.folds, rows))


def _with_defaults(solver: Candidate) -> Solver:
    """The solver of a name with its default settings."""
    if not isinstance(solver, str | DefaultSettings):
        return solver
    module, name = SOLVERS[solver if isinstance(solver, str) else solver.name].split(":")
    kind = getattr(import_module(module), name)
    settings = fields(kind) if is_dataclass(kind) else ()
    required = [one.name for one in settings if one.init and one.default is one.default_factory]  # both MISSING
    if required:
        raise EvidenceError(f"it has no default for {', '.join(required)}; give a solver value")
    value: Solver = kind()
    missing = sorted(value.needs - {"moments", "folds", "anchors"})
    if missing:
        raise EvidenceError(f"it needs {', '.join(missing)}, which pairs alone do not give")
    return value
