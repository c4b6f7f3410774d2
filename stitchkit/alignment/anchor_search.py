"""The search for a map on anchors alone: the default of ``align``, and the rival of what pools give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np

from stitchkit.alignment.clusters import Clusters
from stitchkit.alignment.criteria import (
    FEW_TARGETS,
    BalancedReciprocalRank,
    Criterion,
    ExplainedVariance,
    Margin,
    ReciprocalRank,
)
from stitchkit.alignment.folds import JUDGED, Folds, assign, assign_by_target, evidence_of
from stitchkit.alignment.head_agreement import HeadAgreement
from stitchkit.alignment.prompt_margins import PromptCriterion, PromptMargin, criterion_of
from stitchkit.alignment.record import (
    candidate,
    doubts_of,
    held_out_numbers,
    notes_of,
    notes_on_head,
    notes_on_prompts,
    settings_of,
    with_facts,
    with_record,
)
from stitchkit.alignment.request import solver_class
from stitchkit.alignment.search import FEW_CLUSTERS, Search
from stitchkit.alignment.training_axes import TrainingSets
from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import like, to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.evidence import Evidence
from stitchkit.core.prompts import PromptVectors
from stitchkit.core.roles import Head, Solver
from stitchkit.core.wording import counted
from stitchkit.metrics.ranks import distinct_rows
from stitchkit.runtime.progress import Progress
from stitchkit.runtime.threads import is_small, one_blas_thread
from stitchkit.solvers import SEARCHED, TRACKS
from stitchkit.solvers.axes import Extent
from stitchkit.solvers.frames import Frame
from stitchkit.solvers.paths import Track

REPEATED = 400  # below this many anchors one assignment of folds is too noisy to choose by, so REPEATS are drawn
REPEATS = 5
SPREAD = 5  # distinct targets whose standard deviations say something of other wordings: two differ nowhere by chance
COMMON = 0.2  # share of the anchors with one target, from which all targets are judged alike


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorSearch:
    """Settings of a fit on anchors alone.

    Parameters
    ----------
    solver
        ``"auto"``, the family to search, or a solver value, which is fitted as it is. Default: ``"auto"``
    purpose
        ``"match"`` or ``"head"``. Default: ``"match"``
    reader
        Head or prompts that maps are chosen by. Default: None, for ranks or R2
    nested
        Also estimate how well the procedure, choice included, does on unseen pairs. Default: True
    seed
        Seed of the folds. Default: 0
    progress
        A bar on a terminal or in a notebook: None after two seconds, True at once, False never.
    """

    solver: str | Solver = "auto"
    purpose: str = "match"
    reader: Head | PromptVectors | None = None
    nested: bool = True
    seed: int = 0
    progress: bool | None = None

    def fit(self, x: Embeddings, y: Embeddings, groups: np.ndarray | None) -> Alignment:
        """The map of paired ``x`` (n, d_s) and ``y`` (n, d_t); ``groups`` (n,) are patients, or None."""
        clusters = Clusters.of(x, groups)
        with one_blas_thread(is_small(len(x), max(x.space.dim, y.space.dim))):
            return with_facts(self._fit(x, y, clusters), y, groups)

    def _fit(self, x: Embeddings, y: Embeddings, clusters: Clusters) -> Alignment:
        if not isinstance(self.solver, str):
            return _fit_solver(self.solver, x, y, clusters, self.seed)
        families = list(SEARCHED[self.purpose]) if self.solver == "auto" else [self.solver]
        few = _too_few(len(x), clusters)
        if few:
            return _fit_default(families[0], x, y, few)
        with Progress(self.progress) as bar:
            return _search(self, families, x, y, clusters, bar)


def _too_few(n: int, clusters: Clusters) -> str:
    if n < 5:
        return f"{counted(n, 'anchor is', 'anchors are')} too few to hold any out"
    groups = clusters.count(n)
    return f"{counted(groups, 'group is', 'groups are')} too few to hold any out" if groups < 3 else ""


def _fit_solver(solver: Solver, x: Embeddings, y: Embeddings, clusters: Clusters, seed: int) -> Alignment:
    n, parted = len(x), "folds" in solver.needs
    whole = evidence_of(x, y, assign(n, clusters.labels, seed=seed) if parted else [np.arange(n)])
    fitted = solver.fit(Evidence(whole.moments, whole.folds, (x.vectors, y.vectors)))
    return with_record(fitted, {"chosen_by": "the caller"}, clusters.notes(n))


def _fit_default(family: str, x: Embeddings, y: Embeddings, why: str) -> Alignment:
    """The family at its default settings; its directions weigh alike, since nothing can be held out."""
    whole = evidence_of(x, y, [np.arange(len(x))])
    extent = Extent(len(x), (x.space.dim, y.space.dim))
    track, at = _default(_tracks([family], extent, "match"), solver_class(family)())
    fitted = track.open(Frame.of(whole, track.scale, track.pca)).alignment(at)
    note = f"{why}: no choice was made and no number is reported"
    return with_record(fitted, {"chosen_by": "default"}, [note])


def _default(tracks: list[Track], solver: Any) -> tuple[Track, int]:
    """The track and the place on its path that stand for the solver's own default settings."""
    for track in tracks:
        fixed = {"scale": track.scale, "pca": track.pca, **track.settings}
        if all(getattr(solver, name, value) == value for name, value in fixed.items()):
            value = getattr(solver, track.strength)
            return track, track.strengths.index(value) if value in track.strengths else 0
    return tracks[0], 0


def _search(
    settings: AnchorSearch, families: list[str], x: Embeddings, y: Embeddings, clusters: Clusters, bar: Progress
) -> Alignment:
    """The winner of the search over tracks, fitted on all anchors, with the record of the choice."""
    n, purpose, reader = len(x), settings.purpose, settings.reader
    repeats, balanced = _assignments(x, y, clusters, purpose, settings.seed)
    if max(len(part.gallery) for part in repeats[0].parts) < 2:
        raise InputError(
            f"the {n} target vectors cannot be told apart at their precision ({y.vectors.dtype}). "
            f"Embed in a wider precision, or centre the vectors before they are narrowed."
        )
    smallest = n - max(len(part.rows) for folds in repeats for part in folds.parts)
    tracks = _tracks(families, Extent(smallest, (x.space.dim, y.space.dim)), purpose)
    whole, criterion = repeats[0].evidence(), _criterion(purpose, reader, y, balanced, repeats)
    if balanced:
        tracks = _of_few(tracks, criterion, len(np.unique(repeats[0].targets)), clusters.count(n))
    targets = y.vectors
    if isinstance(criterion, PromptCriterion):
        repeats, targets = [criterion.galleries(folds) for folds in repeats], criterion.table(y)
    search = Search(TrainingSets(x.vectors, targets, whole.moments), tracks, repeats, criterion, bar)
    winner, finalists = search.run()
    frame = Frame.of(whole, winner.track.scale, winner.track.pca)
    weights = search.weights(winner)
    weights = None if weights is None else like(weights, frame.st, dtype=frame.st.dtype)
    fitted = winner.track.open(frame).alignment(winner.at, weights)
    summary: dict[str, Any] = {
        "chosen_by": criterion.words,
        "purpose": purpose,
        "candidates": [candidate(one, search) for one in finalists],
        "given_up": [{**settings_of(track), "folds": folds} for track, folds in search.given_up],
        "folds": len(repeats[0].parts),
        "repeats": len({r for r, _ in search.splits}),
        "groups": clusters.count(n),
        "seed": settings.seed,
    }
    notes = [*notes_of(winner, fitted, n, purpose), *clusters.notes(n)]
    notes += notes_on_head(criterion)
    if isinstance(reader, PromptVectors):
        notes += notes_on_prompts(criterion, reader)
    if settings.nested and len(repeats[0].parts) > 2:
        summary["held_out"] = held_out_numbers(search)
        notes += doubts_of(summary["held_out"], summary["groups"])
    return with_record(fitted, summary, notes)


def _assignments(x: Embeddings, y: Embeddings, clusters: Clusters, purpose: str, seed: int) -> tuple[list[Folds], bool]:
    """The assignments of folds, and True where they are balanced over few distinct targets."""
    n = len(x)
    seeds = range(seed * REPEATS, (seed + 1) * REPEATS) if n < REPEATED else [seed]
    distinct = distinct_rows(to_numpy(y.vectors)) if purpose == "match" and n <= JUDGED else None
    few = distinct is not None and _are_few(distinct)
    members = [
        assign_by_target(distinct, clusters.labels, seed=one)
        if distinct is not None and few
        else assign(n, clusters.labels, seed=one)
        for one in seeds
    ]
    repeats = [Folds.of(x, y, rows, clusters.labels, distinct=distinct, few=few) for rows in members]
    if purpose == "match" and distinct is None:  # of so many anchors only the judged ones are compared
        few = _are_few(repeats[0].targets)
    return repeats, few


def _of_few(tracks: list[Track], criterion: Criterion, distinct: int, clusters: int) -> list[Track]:
    """The tracks for few distinct targets, and the references that hold there where clusters can tell them apart."""
    if distinct < SPREAD:
        tracks = [one for one in tracks if one.scale != "both"]
    if isinstance(criterion, (Margin, PromptMargin)) and clusters >= FEW_CLUSTERS:
        tracks = [replace(one, reference=one.reference_of_few) for one in tracks]
    return tracks


def _are_few(distinct: np.ndarray) -> bool:
    """True where few targets are distinct, or one is very common: plain ranks then hardly tell maps apart."""
    many = np.unique(distinct, return_counts=True)[1]
    return 1 < len(many) < len(distinct) and (len(many) < FEW_TARGETS or bool(many.max() > COMMON * len(distinct)))


def _criterion(
    purpose: str, reader: Head | PromptVectors | None, y: Embeddings, balanced: bool, repeats: list[Folds]
) -> Criterion:
    if isinstance(reader, PromptVectors):
        prompted = criterion_of(reader, y, repeats)
        if prompted.judges:
            return prompted
    elif purpose == "head":
        return ExplainedVariance(y.vectors) if reader is None else HeadAgreement(reader, y)
    if not balanced:
        return ReciprocalRank()
    targets = repeats[0].targets
    return Margin(targets) if len(np.unique(targets)) < FEW_TARGETS else BalancedReciprocalRank()


def _tracks(families: list[str], smallest: Extent, purpose: str) -> list[Track]:
    """All tracks of the families; ``smallest`` is the size of the smallest training set that it will meet."""
    tracks: list[Track] = []
    for family in families:
        module, name = TRACKS[family].split(":")
        tracks += getattr(import_module(module), name)(smallest, purpose)
    if not tracks:
        raise InputError(f"solver {families[0]!r} offers nothing for purpose {purpose!r}. Use 'auto' or 'ridge'.")
    return tracks
