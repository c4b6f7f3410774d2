"""The verb ``compare``: several solvers on the same folds, judged on the same held-out pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.alignment.criteria import ExplainedVariance
from stitchkit.alignment.head_agreement import HeadAgreement
from stitchkit.alignment.record import notes_on_head
from stitchkit.alignment.request import check_head
from stitchkit.core.errors import InputError, StitchError, UnknownNameError
from stitchkit.core.least_patients import FEW_PATIENTS, LEAST_PATIENTS
from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.patients import patients_in_words
from stitchkit.core.plain_values import plain_values
from stitchkit.core.roles import Head, Solver
from stitchkit.core.seeds import check_seed
from stitchkit.core.text_tables import text_table
from stitchkit.core.wording import counted, setting
from stitchkit.evaluation.retrieval.folded_pairs import AUTO, Candidate, DefaultSettings, FoldedPairs, HeadMeasures
from stitchkit.evaluation.retrieval.held_pairs import HeldPairs, Tally
from stitchkit.evaluation.scores.class_patients import note_on_carriers, where_carried, without_ends
from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.proportions import exact_difference
from stitchkit.metrics.r2_intervals import r2_difference
from stitchkit.runtime.progress import Progress
from stitchkit.runtime.threads import is_small, one_blas_thread
from stitchkit.solvers import SEARCHED, SOLVERS, TRACKS

DEFAULTS = " (defaults)"
NO_ENDS = (
    "agreement orders solvers and has no interval: outputs of each fold's map are taken at one size, so that a perfect "
    "map of few pairs stays below 1. Judge the driven head by its scores of items that were held out"
)
CRITERION, AGREEMENT = {"match": "mrr", "head": "r2"}, "agreement"  # the last where a head is given


@dataclass(frozen=True, slots=True)
class SolverRow:
    """One solver's row.

    Parameters
    ----------
    name
        Its label.
    measures
        ``"mrr"`` and ``"recall@k"`` from source to target, the same with ``" back"`` from target to source, and
        ``"r2"`` of the directed map where there is one, ``"agreement"`` where a head was given: each with its interval.
    difference
        This solver minus the reference, by the comparison's criterion, on the same patients; None for the
        reference itself.
    chosen
        Number of folds in which each kind of map was fitted.
    chance
        Each measure of this solver's rankings where the pairs are shuffled; R2 is 0 at the mean of the targets.
    """

    name: str
    measures: dict[str, Interval]
    difference: Interval | None
    chosen: dict[str, int]
    chance: dict[str, float]


@dataclass(frozen=True, slots=True)
class Comparison(NotebookText):
    """Solvers on the same held-out pairs, best first.

    Parameters
    ----------
    rows
        The solvers that could be fitted.
    reference
        Name of the row that the others are compared with: ``"auto"``, or else the best.
    criterion
        ``"mrr"``, ``"r2"`` or ``"agreement"``: what orders the rows.
    chance
        Each measure of shuffled pairs, of the solver where it is highest; R2 is 0 at the mean of the targets.
    not_compared
        Solvers that could not be fitted, with the reason.
    pairs, patients
        Numbers held out, each once; patients None where not known.
    folds, gallery
        Number of folds, and distinct targets in the gallery of one on average.
    notes
        Cautions in words.
    settings
        Purpose, replicates, level, seed.
    """

    rows: tuple[SolverRow, ...]
    reference: str
    criterion: str
    chance: dict[str, float]
    not_compared: dict[str, str]
    pairs: int
    patients: int | None
    folds: int
    gallery: int
    notes: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def best(self) -> SolverRow:
        """The row that came out best; see its difference before believing it."""
        return self.rows[0]

    def row(self, name: str) -> SolverRow:
        """The row called ``name``."""
        row = next((one for one in self.rows if one.name == name), None)
        if row is None:
            raise UnknownNameError.of("row of the comparison", name, [one.name for one in self.rows])
        return row

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "criterion": self.criterion,
            "reference": self.reference,
            "pairs": self.pairs,
            "patients": self.patients,
            "folds": self.folds,
            "gallery": self.gallery,
            "chance": dict(self.chance),
            "rows": [
                {
                    "name": one.name,
                    "measures": {name: value._asdict() for name, value in one.measures.items()},
                    "difference": None if one.difference is None else one.difference._asdict(),
                    "chosen": dict(one.chosen),
                    "chance": dict(one.chance),
                }
                for one in self.rows
            ],
            "not_compared": dict(self.not_compared),
            "notes": list(self.notes),
            "settings": dict(self.settings),
        }

    def __str__(self) -> str:
        """A table for a terminal."""
        people = patients_in_words(self.patients)
        pairs = counted(self.pairs, "held-out pair")
        head = f"{counted(len(self.rows), 'solver')} on {pairs} ({people}), {counted(self.folds, 'fold')}, "
        lines = [head + f"galleries of {self.gallery}, purpose {self.settings['purpose']}", *self._table()]
        lines += [f"not compared: {name}: {why}" for name, why in self.not_compared.items()]
        lines += [
            f"{one.name} chose {_times_chosen(one.chosen)}"
            for one in self.rows
            if len(one.chosen) > 1 or one.name == "auto"
        ]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _table(self) -> list[str]:
        places = [name for name in self.chance if name.startswith("recall@")]
        shown = dict.fromkeys(["mrr", "mrr back", *places[:1], f"{places[0]} back", "r2"])
        others = [name for name in shown if name in self.chance and name != self.criterion]
        cells = [["solver", f"{self.criterion} [95 %]", f"minus {self.reference}", *others]]
        for one in self.rows:
            measures = [one.measures.get(name) for name in others]
            cells.append(
                [one.name, str(one.measures[self.criterion]), _gap(one.difference)]
                + ["-" if value is None else f"{value.value:.3f}" for value in measures]
            )
        cells.append(
            ["chance", f"{self.chance[self.criterion]:.3f}", "", *(f"{self.chance[name]:.3f}" for name in others)]
        )
        return text_table(cells)


def compare(
    source: Any,
    target: Any,
    *,
    solvers: Sequence[str] | Mapping[str, str | Solver] | None = None,
    groups: Any = None,
    purpose: str = "match",
    head: Head | None = None,
    ks: Sequence[int] = (1, 5, 10),
    folds: int = 5,
    seed: int = 0,
    progress: bool | None = None,
) -> Comparison:
    """Solvers side by side: fitted on the same folds, judged on the same held-out pairs.

    Parameters
    ----------
    source : (n, d_s), target : (n, d_t)
        At least 10 pairs: embeddings paired by id, or arrays of one library paired by row.
    solvers
        Names, or label -> name or solver value. A name means what it means to :func:`stitchkit.align`: ``"auto"`` and
        the families that can be searched are searched anew on the training part of every fold, any other solver has
        its default settings. None takes ``"auto"`` and every solver there is with its default settings, which costs
        one search; naming families costs one each.
    groups : (n,) or mapping id -> group, optional
        Patient of each pair; folds never split one.
    purpose
        ``"match"`` compares by mean reciprocal rank, ``"head"`` by what ``head`` reads, without one by R2 in the
        target's units.
    head
        With ``purpose="head"`` the head that is to be driven, over the target space: solvers that search choose by it,
        and all are compared by the agreement of its outputs on mapped and on true held-out vectors
        (:class:`~stitchkit.alignment.head_agreement.HeadAgreement`).
    ks
        Places counted by recall@k.
    folds
        At least 2, at most the number of patients are made.
    seed
        Seed of the folds, default 0.
    progress
        A bar on a terminal or in a notebook: None after two seconds, True at once, False never.

    Returns
    -------
    Comparison
        Print it. Solvers that could not be fitted stand under ``not_compared`` with the reason.

    Raises
    ------
    UnknownNameError
        For a solver or purpose that does not exist.
    InputError
        For fewer than 10 pairs, one patient alone, k below 1, a head for matching or without outputs that vary, or if
        no solver can be fitted.
    SpaceMismatchError
        For a head over another space.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 5))
    >>> turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    >>> found = compare(x, x @ turn, solvers=["procrustes", "ridge"])
    >>> found.row("procrustes").measures["recall@1"].value
    1.0
    """
    check_seed(seed)
    if purpose not in SEARCHED:
        raise UnknownNameError.of("purpose", purpose, SEARCHED)
    if not ks or min(ks) < 1:
        raise InputError(f"recall@k needs k of at least 1; got {list(ks)}.")
    if folds < 2:
        raise InputError("compare needs 2 folds at least; got " + setting("folds", folds) + ".")
    wanted = solver_candidates(solvers)
    pairs = HeldPairs.of(source, target, groups)
    check_head(head, purpose, pairs.y.space)
    reader = None if head is None else HeadAgreement(head, pairs.y)
    folded = FoldedPairs.of(pairs, purpose, reader, tuple(dict.fromkeys(ks)), folds, seed)
    tallies: dict[str, tuple[Tally, Tally]] = {}  # of the pairs, and of shuffled ones
    head_measures: dict[str, HeadMeasures] = {}  # of the head
    chosen: dict[str, tuple[str, ...]] = {}
    not_fitted: dict[str, str] = {}
    small = is_small(len(pairs), max(pairs.x.space.dim, pairs.y.space.dim))
    with Progress(progress) as bar, one_blas_thread(small):
        bar.begin("comparing, solvers", len(wanted))
        for label, solver in wanted.items():
            try:
                measured, shuffled, chosen[label], read = folded.measure(solver)
                tallies[label] = measured, shuffled
                head_measures |= {} if read is None else {label: read}
            except StitchError as error:  # a solver that this evidence does not suit; the others are still compared
                not_fitted[label] = error.message
            bar.step(1)
    if not tallies:
        why = "; ".join(f"{label}: {reason}" for label, reason in not_fitted.items())
        raise InputError(f"none of {len(wanted)} solvers can be fitted. {why}")
    criterion = CRITERION[purpose] if head is None else AGREEMENT
    rows, reference = _rows(tallies, head_measures, chosen, criterion, pairs.people)
    above = criterion == AGREEMENT or any(row.measures[criterion].low > row.chance[criterion] for row in rows)
    return Comparison(
        rows=rows,
        reference=reference,
        criterion=criterion,
        chance=_highest(row.chance for row in rows),
        not_compared=not_fitted,
        pairs=len(pairs),
        patients=pairs.patients,
        folds=len(folded.members),
        gallery=folded.gallery,
        notes=(
            *_notes(pairs, reference, above, rows),
            *([NO_ENDS] if criterion == AGREEMENT else ()),
            *(notes_on_head(reader or ExplainedVariance(pairs.y.vectors)) if purpose == "head" else ()),
        ),
        settings={"purpose": purpose, "level": 0.95, "seed": seed},
    )


def solver_candidates(solvers: Sequence[str] | Mapping[str, str | Solver] | None) -> dict[str, Candidate]:
    """Solvers to compare by their labels in the table, as :func:`stitchkit.compare` takes ``solvers``.

    Raises
    ------
    UnknownNameError
        For a solver that does not exist.
    InputError
        For an empty list, a single text, or what is no solver.

    Examples
    --------
    >>> solver_candidates(["auto", "ridge"])
    {'auto': 'auto', 'ridge': 'ridge'}
    """
    if isinstance(solvers, str):
        raise InputError(f"solvers takes a list of names or a mapping; got the single text {solvers!r}. Write a list.")
    wanted: dict[str, Candidate] = {}
    if solvers is None:
        wanted[AUTO] = AUTO
        wanted |= {f"{name}{DEFAULTS if name in TRACKS else ''}": DefaultSettings(name) for name in SOLVERS}
        return wanted
    wanted.update(solvers if isinstance(solvers, Mapping) else {_label(one): one for one in solvers})
    if not wanted:
        raise InputError("no solver was given. Name at least one, or leave solvers out for all.")
    for label, one in wanted.items():
        if isinstance(one, str):
            if one != AUTO and one not in SOLVERS:
                raise UnknownNameError.of("solver", one, [AUTO, *SOLVERS])
        elif isinstance(one, type) or not hasattr(one, "fit"):
            raise InputError(f"solver {label!r} is neither a name nor a solver value: {one!r}. Write Ridge(), say.")
    return wanted


def _label(one: Any) -> str:
    return one if isinstance(one, str) else repr(one)


def _rows(
    both: Mapping[str, tuple[Tally, Tally]],
    head_measures: Mapping[str, HeadMeasures],
    chosen: Mapping[str, tuple[str, ...]],
    criterion: str,
    people: int,
) -> tuple[tuple[SolverRow, ...], str]:
    """The rows, best first, and the label of the one they are compared with; means of few ``people`` have no ends."""
    tallies = {label: tally for label, (tally, _) in both.items()}
    read = {label: {AGREEMENT: _value(one.value)} for label, one in head_measures.items()}
    guessed = {label: {AGREEMENT: one.chance} for label, one in head_measures.items()}
    values = {
        label: tally.by_name | {name: one.value for name, one in read.get(label, {}).items()}
        for label, tally in tallies.items()
    }
    order = sorted(tallies, key=lambda label: -values[label][criterion])
    reference = AUTO if AUTO in tallies else order[0]

    def _difference(label: str) -> Interval:
        if criterion == AGREEMENT:
            return _value(head_measures[label].value - head_measures[reference].value)
        one, other = tallies[label], tallies[reference]
        if _one_map(one, other):
            return Interval(0.0, 0.0, 0.0)
        own, ref = (each.names.index(criterion) for each in (one, other))
        won, theirs, of = one.won[:, own], other.won[:, ref], one.of[:, own]
        return r2_difference(of - won, of - theirs, of) if criterion == "r2" else exact_difference(won, theirs, of)

    rows = []
    for label in order:
        tally, chance = tallies[label], both[label][1].by_name
        measured = {name: _alone(tally.interval(name), chance[name]) for name in tally.names}
        measures = {name: where_carried(one, people) for name, one in (measured | read.get(label, {})).items()}
        rows.append(
            SolverRow(
                name=label,
                measures=measures,
                difference=None if label == reference else where_carried(_difference(label), people),
                chosen=dict(Counter(chosen[label])),
                chance=chance | guessed.get(label, {}),
            )
        )
    return tuple(rows), reference


def _one_map(one: Tally, other: Tally) -> bool:
    """Squared errors are equal bit by bit, as those of two maps never are: there is no difference to estimate."""
    return "r2" in one.names and one.names == other.names and np.array_equal(one.won, other.won)


def _highest(chances: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The highest chance of each measure; the solver with the most measures gives their order."""
    most = sorted(chances, key=len, reverse=True)
    return {name: max(one[name] for one in most if name in one) for name in most[0]}


def _value(value: float) -> Interval:
    return Interval(value, float("nan"), float("nan"))


def _alone(interval: Interval, chance: float) -> Interval:
    """``found`` without an interval where no ranking could miss: of k candidates or fewer recall@k is 1."""
    return interval if chance < 1 - 1e-9 else without_ends(interval)


def _notes(pairs: HeldPairs, reference: str, above: bool, rows: Sequence[SolverRow]) -> tuple[str, ...]:
    over = "pairs; patients are not known" if pairs.patients is None else "patients"
    known = pairs.people >= LEAST_PATIENTS  # else there is no interval that could be above it
    notes = ["no solver is clearly above chance"] if known and not above else []
    notes.append(f"intervals are over {over}; another draw of anchors would move the numbers further")
    if whole := list(dict.fromkeys(name for row in rows for name, by in row.chance.items() if by >= 1 - 1e-9)):
        notes.append(f"{', '.join(whole)}: 1 by construction in galleries so small, and without an interval")
    if known and pairs.people < FEW_PATIENTS:
        notes.append(f"{counted(pairs.people, 'patient is', 'patients are')} too few for intervals to be trusted")
    notes += note_on_carriers(pairs.people, "the measures and their differences")
    if reference != AUTO:
        notes.append(f"{reference!r} is the reference because it came out best on these pairs, which flatters it")
    return tuple(notes)


def _gap(gap: Interval | None) -> str:
    return "" if gap is None else gap.signed


def _times_chosen(chosen: dict[str, int]) -> str:
    return (
        ", ".join(f"{name} in {times}" for name, times in sorted(chosen.items(), key=lambda pair: -pair[1])) + " folds"
    )
