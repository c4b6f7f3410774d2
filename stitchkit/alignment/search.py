"""The search for a solver: all tracks on all training sets, with tracks dropped as held-out pairs separate them.

Within a track (a family with one scaling) the strength is chosen by a criterion that is cheap along the path; a
stronger regularisation wins within one standard error. Between tracks the mean over held-out pairs decides, but the
best must clearly beat a reference: ridge at its default strength, or for a head isometric ridge at its own. For the
reported number each fold is judged by the map that the other folds choose among the paths still in the search.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from stitchkit.alignment.criteria import Criterion, ExplainedVariance
from stitchkit.alignment.deleted_folds import Kept, standard_errors
from stitchkit.alignment.folds import Folds
from stitchkit.alignment.held_out import HeldOut
from stitchkit.alignment.rules import standard_error
from stitchkit.alignment.training_axes import TrainingSets
from stitchkit.core.arrays import take
from stitchkit.metrics.ranks import chance_reciprocal, shuffled_reciprocal
from stitchkit.runtime.progress import Progress
from stitchkit.solvers.csa import mean_reliability
from stitchkit.solvers.drafts import Draft
from stitchkit.solvers.paths import Track

FEW_CLUSTERS, SURE = 40, (2.0, 1.0)  # paired standard errors by which the best must beat the reference: below, above
SETTLED = 100  # anchors from which an assignment that leaves map and strength unchanged ends the search
# paired standard errors behind the best at which a track is given up; with KEPT and SETTLED a search at 300 anchors
# evaluated 68 to 135 tracks instead of 475
BEHIND = 2.5
KEPT = {100: (4, 2, 1), 40: (5, 3, 3, 2, 2)}  # queries of a fold -> tracks of a family kept after 1, 2, ... folds

Split = tuple[int, int]  # the assignment of folds, and the fold that is held out


@dataclass(frozen=True, eq=False)
class Trial:
    """One track on the training sets so far."""

    track: Track
    drafts: dict[Split, Draft] = field(default_factory=dict)
    curves: dict[Split, np.ndarray] = field(default_factory=dict)
    measured: dict[Any, np.ndarray] = field(default_factory=dict)
    reliable: dict[tuple[Split, int], Any] = field(default_factory=dict)

    def weights(self, at: int, splits: Iterable[Split]) -> Any:
        """Mean held-out reliability of the directions over ``splits``; None for families that do not weigh."""
        return mean_reliability([self.reliability(split, at) for split in splits])

    def reliability(self, split: Split, at: int) -> Any:
        """Held-out correlation of each common direction on one split."""
        if (split, at) not in self.reliable:
            self.reliable[split, at] = self.drafts[split].reliability(at)
        return self.reliable[split, at]


@dataclass(frozen=True, eq=False)
class Contender:
    """A trial with its rule for the strength: the one chosen along the path, or a fixed position on it."""

    trial: Trial
    fixed: int | None = None
    reference: bool = False

    @property
    def track(self) -> Track:
        """The trial's track."""
        return self.trial.track


@dataclass(frozen=True, eq=False)
class Finalist:
    """A contender at its chosen strength, with one entry for each held-out query."""

    contender: Contender
    at: int
    judged: np.ndarray
    clusters: np.ndarray

    @property
    def track(self) -> Track:
        """The contender's track."""
        return self.contender.track

    @property
    def mean(self) -> float:
        """The criterion's value."""
        return float(self.judged.mean())

    @property
    def error(self) -> float:
        """Standard error of the mean over clusters."""
        return standard_error(self.judged, self.clusters)

    def is_behind(self, best: Finalist, errors: float) -> bool:
        """True where it is more than ``errors`` paired standard errors behind ``best``."""
        loss = best.judged - self.judged
        return float(loss.mean()) > errors * standard_error(loss, self.clusters) * (1 - 1e-9) + 1e-12


def best_of_families(finalists: Sequence[Finalist]) -> list[Finalist]:
    """The finalist of the highest mean of each family."""
    families = dict.fromkeys(one.track.family for one in finalists)
    return [max((one for one in finalists if one.track.family == name), key=lambda one: one.mean) for name in families]


def between(finalists: Sequence[Finalist]) -> Finalist:
    """The best mean; the best reference where there is one that it does not clearly beat.

    With few anchors the best of many maps is mostly the luckiest; a map that is good everywhere is the better choice.
    """
    best = max(finalists, key=lambda one: one.mean)
    references = [one for one in finalists if one.contender.reference]
    if not references:
        return best
    reference = max(references, key=lambda one: one.mean)
    sure = SURE[0] if len(np.unique(best.clusters)) < FEW_CLUSTERS else SURE[1]
    return best if reference.is_behind(best, sure) else reference


@dataclass(eq=False)
class Search:
    """Tracks over one or several assignments of folds."""

    sets: TrainingSets
    tracks: Sequence[Track]
    repeats: Sequence[Folds]
    criterion: Criterion
    bar: Progress = field(default_factory=lambda: Progress(False))  # counts training sets
    splits: list[Split] = field(default_factory=list)
    given_up: list[tuple[Track, int]] = field(default_factory=list)  # with the number of folds seen until then

    @cached_property
    def live(self) -> list[Contender]:
        """The contenders that are still in the search."""
        trials = [Trial(track) for track in self.tracks]
        uncut = [Contender(one, 0) for one in trials if one.track.uncut]
        references = [Contender(t, t.track.reference, reference=True) for t in trials if t.track.reference is not None]
        return [Contender(one) for one in trials] + uncut + references

    def run(self) -> tuple[Finalist, list[Finalist]]:
        """The winner and the last contenders; with many anchors the search ends once the winner is the same twice."""
        self.bar.begin("choosing a map, training sets", sum(len(folds.parts) for folds in self.repeats))
        last: tuple[Track, int] | None = None
        finalists: list[Finalist] = []
        for r, folds in enumerate(self.repeats):
            if r and len(folds.source) >= SETTLED:
                self._give_up_families(finalists)
            for f in range(len(folds.parts)):
                self._open(r, f)
                # small folds are too noisy one by one, so that tracks are dropped after all of them
                if f == len(folds.parts) - 1 or len(folds.parts[f].queries) >= min(KEPT):
                    self._give_up(len(folds.parts[f].queries))
                self.bar.step(1)
            finalists = self.finalists(self.splits)
            winner = between(finalists)
            if len(folds.source) >= SETTLED and last == (winner.track, winner.at):
                self.bar.step(sum(len(one.parts) for one in self.repeats[r + 1 :]))
                break
            last = winner.track, winner.at
        return winner, finalists

    def finalists(self, splits: Sequence[Split]) -> list[Finalist]:
        """Every contender, chosen from and judged on ``splits``."""
        return [self._finalist(one, splits) for one in self.live]

    def weights(self, winner: Finalist) -> Any:
        """Mean held-out reliability of the winner's directions over all splits."""
        return winner.contender.trial.weights(winner.at, self.splits)

    def freedom(self, one: Finalist) -> float:
        """Degrees of freedom of a finalist, mean over training sets."""
        return float(np.mean([one.contender.trial.drafts[split].freedom(one.at) for split in self.splits]))

    def held_out(self) -> HeldOut:
        """Each fold judged by what the other folds of its assignment choose."""
        return self._held_out_ranks() if self.criterion.ranks else self._held_out_agreement()

    def _chosen_without(self, split: Split) -> tuple[Draft, int, Any, Track]:
        """Draft, strength, weights and track for a split, by the other folds of its assignment."""
        others = [one for one in self.splits if one[0] == split[0] and one[1] != split[1]]
        winner = between(self.finalists(others))
        trial = winner.contender.trial
        return trial.drafts[split], winner.at, trial.weights(winner.at, others), trial.track

    def _held_out_ranks(self) -> HeldOut:
        """A query is ranked among its fold's own targets, since the map was fitted on the others.

        Where a fold has a single target, the rivals are the targets of all anchors, and chance is a random ranking.
        """
        judged, first, expected, variance, sizes, measures = [], [], [], 0.0, [], []
        for r, f in self.splits:
            draft, at, weights, _ = self._chosen_without((r, f))
            queries, gallery = draft.sides(at, weights)
            kept, truth = np.unique(self.repeats[r].parts[f].truth, return_inverse=True)
            alone = len(kept) == 1
            if self.criterion.beside:
                measures.append(self.criterion.measures(draft, at, weights, self.repeats[r].parts[f]))
            if alone:
                truth = self.repeats[r].parts[f].truth
                gallery = gallery[: int(gallery.shape[0]) - self.criterion.beside, :]
            else:
                gallery = take(gallery, kept)
            size = int(gallery.shape[0])
            ranked, by_chance, spread = shuffled_reciprocal(queries, gallery, truth)
            judged.append(ranked.reciprocal)
            first.append(ranked.recall(1))
            expected.append(chance_reciprocal(size, np.ones(len(truth), dtype=int)) if alone else by_chance)
            variance += spread
            sizes.append(size)
        variance *= len({r for r, _ in self.splits})
        return HeldOut(
            judged=np.concatenate(judged),
            clusters=self._clusters(self.splits),
            expected=np.concatenate(expected),
            variance=variance,
            gallery=round(float(np.mean(sizes))),
            first=np.concatenate(first),
            prompted=self._prompt_entries(measures) if measures else None,
        )

    def _prompt_entries(self, measures: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Entries of the prompts' criterion and of shuffled pairs."""
        pooled = self.criterion.pool(measures)
        return self.criterion.entries(pooled), self.criterion.by_chance(pooled)

    def _held_out_agreement(self) -> HeldOut:
        judges = self.criterion, ExplainedVariance(self.sets.y)
        measures: tuple[list[np.ndarray], ...] = ([], [])
        kept: dict[Split, Kept] = {}
        for r, f in self.splits:
            draft, at, weights, track = self._chosen_without((r, f))
            kept[r, f] = track, at
            for judge, rows in zip(judges, measures, strict=True):
                rows.append(judge.measures(draft, at, weights, self.repeats[r].parts[f]))
        (pooled, errors), clusters = (
            (j.pool(m) for j, m in zip(judges, measures, strict=True)),
            self._clusters(self.splits),
        )
        alone = [judge.error(one, clusters) for judge, one in zip(judges, (pooled, errors), strict=True)]
        value, r2 = standard_errors(self.sets, self.repeats, kept, judges, alone, draft.axes.source_values)
        return HeldOut(
            judged=self.criterion.entries(pooled),
            clusters=clusters,
            expected=self.criterion.by_chance(pooled),
            variance=0.0,
            gallery=0,
            r2=judges[1].entries(errors),
            errors=(value, r2),
        )

    def _open(self, r: int, f: int) -> None:
        trials = list(dict.fromkeys(one.trial for one in self.live))
        scales = list(dict.fromkeys(trial.track.scale for trial in trials))
        whole = self.sets.axes(self.repeats[r], f, scales)
        cuts = {}
        for trial in trials:
            key = trial.track.scale, trial.track.pca
            if key not in cuts:
                cuts[key] = whole[key[0]] if key[1] is None else whole[key[0]].cut(key[1])
            draft = trial.track.draft(cuts[key])
            trial.drafts[r, f], trial.curves[r, f] = draft, self.criterion.curve(draft, self.repeats[r].parts[f])
        self.splits.append((r, f))

    def _give_up(self, queries: int) -> None:
        """Drop contenders that are clearly behind; the best of each family stays."""
        before = list(self.live)
        self._drop(queries)
        self._note_given_up(before)

    def _give_up_families(self, finalists: Sequence[Finalist]) -> None:
        """Drop whatever is clearly behind over whole assignments, but for the reference."""
        before, best = list(self.live), max(finalists, key=lambda one: one.mean)
        self.live[:] = [
            one.contender for one in finalists if one.contender.reference or not one.is_behind(best, BEHIND)
        ]
        self._note_given_up(before)

    def _note_given_up(self, before: Sequence[Contender]) -> None:
        left = {one.trial for one in self.live}
        gone = [trial.track for trial in dict.fromkeys(one.trial for one in before) if trial not in left]
        self.given_up += [(track, len(self.splits)) for track in gone]

    def _drop(self, queries: int) -> None:
        if len(self.splits) == 1:
            # after one fold there are no weights from other folds, with its own a CSA looks too good: the path's
            # criterion decides within a family
            self._keep({one: self.score(one, self._strength(one, self.splits)) for one in self.live}, queries)
            return
        finalists = self.finalists(self.splits)
        first = best_of_families(finalists)
        best = max(first, key=lambda one: one.mean)
        self.live[:] = [one.contender for one in finalists if self._stays(one, first, best)]
        self._keep({one.contender: one.mean for one in finalists}, queries)

    def _stays(self, one: Finalist, first: Sequence[Finalist], best: Finalist) -> bool:
        return one.contender.reference or one in first or not one.is_behind(best, BEHIND)

    def _keep(self, scores: dict[Contender, float], queries: int) -> None:
        """Keep the best tracks of each family, fewer with more held-out queries."""
        stages = next((kept for least, kept in KEPT.items() if queries >= least), None)
        if stages is None:
            return
        most = stages[min(len(self.splits), len(stages)) - 1]
        ranked: dict[str, list[Trial]] = {}
        for one in sorted(self.live, key=lambda one: -scores[one]):
            names = ranked.setdefault(one.track.family, [])
            if one.trial not in names:
                names.append(one.trial)
        kept = {trial for names in ranked.values() for trial in names[:most]}
        kept |= {one.trial for one in self.live if one.reference}
        self.live[:] = [one for one in self.live if one.trial in kept]

    def _finalist(self, contender: Contender, splits: Sequence[Split]) -> Finalist:
        trial, at = contender.trial, self._strength(contender, splits)
        measures = [self._measures(trial, at, split, splits) for split in splits]
        return Finalist(contender, at, self.criterion.entries(np.concatenate(measures)), self._clusters(splits))

    def score(self, contender: Contender, at: int) -> float:
        """The path's criterion at strength ``at`` over all splits."""
        return self.criterion.score([contender.trial.curves[split] for split in self.splits], at)

    def _strength(self, contender: Contender, splits: Sequence[Split]) -> int:
        """Position on the path, chosen from these splits."""
        if contender.fixed is not None:
            return contender.fixed
        curves = [contender.trial.curves[split] for split in splits]
        clusters = [self.repeats[r].parts[f].groups for r, f in splits]
        return self.criterion.strength(curves, np.asarray([r for r, _ in splits]), clusters)

    def _measures(self, trial: Trial, at: int, split: Split, splits: Sequence[Split]) -> np.ndarray:
        """Measures of one split, its directions weighted by the other folds of its assignment."""
        weighs = trial.reliability(split, at) is not None
        others = tuple(one for one in splits if one[0] == split[0] and one != split)
        others = others or tuple(one for one in splits if one != split)  # the first fold of a further assignment
        key = (at, split, others if weighs else ())
        if key not in trial.measured:
            weights = trial.weights(at, others) if weighs and others else None
            fold = self.repeats[split[0]].parts[split[1]]
            trial.measured[key] = self.criterion.measures(trial.drafts[split], at, weights, fold)
        return trial.measured[key]

    def _clusters(self, splits: Sequence[Split]) -> np.ndarray:
        return np.concatenate([self.repeats[r].parts[f].groups for r, f in splits])
