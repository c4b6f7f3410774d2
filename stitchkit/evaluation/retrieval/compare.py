"""The verb ``compare``: several solvers on the same folds, judged on the same held-out pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from typing import Any

import numpy as np

from stitchkit.alignment.align import align
from stitchkit.alignment.clusters import Clusters
from stitchkit.alignment.criteria import ExplainedVariance
from stitchkit.alignment.folds import Folds, assign
from stitchkit.alignment.head_agreement import HeadAgreement
from stitchkit.alignment.record import notes_on_head
from stitchkit.alignment.request import check_head
from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import float64, take, to_numpy
from stitchkit.core.errors import EvidenceError, InputError, StitchError, UnknownNameError
from stitchkit.core.evidence import Evidence
from stitchkit.core.least_patients import LEAST_PATIENTS
from stitchkit.core.roles import Head, Solver
from stitchkit.core.wording import counted
from stitchkit.evaluation.retrieval.comparison import Compared, Comparison
from stitchkit.evaluation.retrieval.head_comparison import Readings, read_by
from stitchkit.evaluation.retrieval.held_pairs import HeldPairs, Tally, judge
from stitchkit.evaluation.scores.class_patients import note_on_carriers, where_carried, without_ends
from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.proportions import exact_difference, exact_interval
from stitchkit.metrics.r2_intervals import r2_difference, r2_interval
from stitchkit.runtime.progress import Progress
from stitchkit.runtime.threads import is_small, one_blas_thread
from stitchkit.solvers import SEARCHED, SOLVERS, TRACKS

AUTO, DEFAULTS = "auto", " (defaults)"
JUDGED = 2000  # pairs of one fold that are ranked
NO_ENDS = (
    "agreement orders solvers and has no interval: outputs of each fold's map are taken at one size, so that a perfect "
    "map of few pairs stays below 1. Judge the driven head by its scores of held-out items: sk.evaluate"
)
FEW_PATIENTS = 10
CRITERION, AGREEMENT = {"match": "mrr", "head": "r2"}, "agreement"  # the last where a head is given


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
        Print it. Solvers that could not be fitted stand under ``left_out`` with the reason.

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
    if purpose not in SEARCHED:
        raise UnknownNameError.of("purpose", purpose, SEARCHED)
    if not ks or min(ks) < 1:
        raise InputError(f"recall@k needs k of at least 1; got {list(ks)}.")
    if folds < 2:
        raise InputError(f"compare needs 2 folds at least; got folds={folds}.")
    wanted = _candidates(solvers)
    pairs = HeldPairs.of(source, target, groups)
    check_head(head, purpose, pairs.y.space)
    reader = None if head is None else HeadAgreement(head, pairs.y)
    bench = _Bench.of(pairs, purpose, reader, tuple(dict.fromkeys(ks)), folds, seed)
    tallies: dict[str, tuple[Tally, Tally]] = {}  # of the pairs, and of shuffled ones
    readings: dict[str, Readings] = {}  # of the head
    chosen: dict[str, tuple[str, ...]] = {}
    left_out: dict[str, str] = {}
    small = is_small(len(pairs), max(pairs.x.space.dim, pairs.y.space.dim))
    with Progress(progress) as bar, one_blas_thread(small):
        bar.begin("comparing, solvers", len(wanted))
        for label, solver in wanted.items():
            try:
                found, shuffled, chosen[label], read = bench.run(solver)
                tallies[label] = found, shuffled
                readings |= {} if read is None else {label: read}
            except StitchError as error:  # a solver that this evidence does not suit; the others are still compared
                left_out[label] = str(error)
            bar.step(1)
    if not tallies:
        why = "; ".join(f"{label}: {reason}" for label, reason in left_out.items())
        raise InputError(f"none of {len(wanted)} solvers can be fitted. {why}")
    criterion = CRITERION[purpose] if head is None else AGREEMENT
    rows, reference = _rows(tallies, readings, chosen, criterion, pairs.people)
    above = criterion == AGREEMENT or any(row.measures[criterion].low > row.chance[criterion] for row in rows)
    return Comparison(
        rows,
        reference,
        criterion,
        _highest(row.chance for row in rows),
        left_out,
        len(pairs),
        pairs.patients,
        len(bench.members),
        bench.gallery,
        (
            *_notes(pairs, reference, above, rows),
            *([NO_ENDS] if criterion == AGREEMENT else ()),
            *(notes_on_head(reader or ExplainedVariance(pairs.y.vectors)) if purpose == "head" else ()),
        ),
        {"purpose": purpose, "level": 0.95, "seed": seed},
    )


@dataclass(frozen=True, slots=True)
class _Plain:
    """A solver of the table with its default settings, though its family could be searched."""

    name: str


Candidate = str | Solver | _Plain


@dataclass(frozen=True, slots=True, eq=False)
class _Bench:
    """The folds that every solver goes through; their moments are made once."""

    pairs: HeldPairs
    cut: Folds
    members: list[np.ndarray]
    judged: list[np.ndarray]
    purpose: str
    reader: HeadAgreement | None
    ks: tuple[int, ...]
    seed: int
    middle: np.ndarray  # (d_t,) mean of all targets, which R2 is measured against

    @classmethod
    def of(
        cls, pairs: HeldPairs, purpose: str, reader: HeadAgreement | None, ks: tuple[int, ...], folds: int, seed: int
    ) -> _Bench:
        if pairs.patients == 1:
            raise InputError(f"all {len(pairs)} pairs are of one patient; none can be held out. Give more patients.")
        together = Clusters.of(pairs.x, pairs.groups)  # a repeated vector in another fold would be a leak
        members = assign(len(pairs), together.labels, seed=seed, k=folds)
        rng = np.random.default_rng(seed)
        judged = [np.sort(rng.permutation(rows)[:JUDGED]) for rows in members]
        middle = to_numpy(float64(pairs.y.vectors)).mean(axis=0)
        cut = Folds.of(pairs.x, pairs.y, members, pairs.groups)
        if min(len(np.unique(pairs.target[rows])) for rows in judged) < 2:
            raise InputError(
                f"{len(members)} folds of {len(pairs)} pairs leave a fold with one distinct target: every rank is 1. "
                f"Lower folds, or give more pairs."
            )
        return cls(pairs, cut, members, judged, purpose, reader, ks, seed, middle)

    @property
    def gallery(self) -> int:
        """Distinct targets that a query is ranked among, averaged over folds."""
        return round(float(np.mean([len(np.unique(self.pairs.target[rows])) for rows in self.judged])))

    def run(self, solver: Candidate) -> tuple[Tally, Tally, tuple[str, ...], Readings | None]:
        """Measures of held-out pairs and of shuffled ones, the solver chosen in each fold, and what the head reads."""
        made = solver if isinstance(solver, str) and (solver == AUTO or solver in TRACKS) else _made(solver)
        patient = self.pairs.patient
        results, chosen, read = [], [], []
        for i, rows in enumerate(self.judged):
            fitted = self._fit(made, i)
            if self.purpose == "head" and fitted.directed is None:
                raise EvidenceError("it meets in a common space only and has no map that could drive a head")
            held = self.pairs.take(rows)
            results.append(judge(fitted, held, patient[rows], int(patient.max()) + 1, ks=self.ks, middle=self.middle))
            chosen.append(str(fitted.record.get("solver", "")))
            if self.reader is not None:
                read.append(read_by(self.reader, fitted, held.x, rows))
        whole, guessed = results[0]
        for one, by_chance in results[1:]:
            whole, guessed = whole + one, guessed + by_chance
        readings = None if self.reader is None else Readings.of(self.reader, read)
        return whole, guessed, tuple(chosen), readings

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
        others = self.cut.evidence(frozenset({held}))
        rows = (take(pairs.x.vectors, rest), take(pairs.y.vectors, rest))
        return solver.fit(Evidence(others.moments, others.folds, rows))


def _candidates(solvers: Sequence[str] | Mapping[str, str | Solver] | None) -> dict[str, Candidate]:
    """Label -> name or value, every name known."""
    if isinstance(solvers, str):
        raise InputError(f"solvers takes a list of names or a mapping; got the single text {solvers!r}. Write a list.")
    wanted: dict[str, Candidate] = {}
    if solvers is None:
        wanted[AUTO] = AUTO
        wanted |= {f"{name}{DEFAULTS if name in TRACKS else ''}": _Plain(name) for name in SOLVERS}
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


def _made(solver: Candidate) -> Solver:
    """The solver of a name with its default settings."""
    if not isinstance(solver, str | _Plain):
        return solver
    module, name = SOLVERS[solver if isinstance(solver, str) else solver.name].split(":")
    kind = getattr(import_module(module), name)
    settings = fields(kind) if is_dataclass(kind) else ()
    asked = [one.name for one in settings if one.init and one.default is one.default_factory]  # both MISSING
    if asked:
        raise EvidenceError(f"it has no default for {', '.join(asked)}; give a solver value")
    made: Solver = kind()
    missing = sorted(made.needs - {"moments", "folds", "anchors"})
    if missing:
        raise EvidenceError(f"it needs {', '.join(missing)}, which pairs alone do not give")
    return made


def _rows(
    both: Mapping[str, tuple[Tally, Tally]],
    readings: Mapping[str, Readings],
    chosen: Mapping[str, tuple[str, ...]],
    criterion: str,
    people: int,
) -> tuple[tuple[Compared, ...], str]:
    """The rows, best first, and the label of the one they are compared with; means of few ``people`` have no ends."""
    tallies = {label: found for label, (found, _) in both.items()}
    read = {label: {AGREEMENT: _value(one.value)} for label, one in readings.items()}
    guessed = {label: {AGREEMENT: one.chance} for label, one in readings.items()}
    values = {
        label: found.by_name | {name: one.value for name, one in read.get(label, {}).items()}
        for label, found in tallies.items()
    }
    order = sorted(tallies, key=lambda label: -values[label][criterion])
    reference = AUTO if AUTO in tallies else order[0]

    def _difference(label: str) -> Interval:
        if criterion == AGREEMENT:
            return _value(readings[label].value - readings[reference].value)
        one, other = tallies[label], tallies[reference]
        if _one_map(one, other):
            return Interval(0.0, 0.0, 0.0)
        own, ref = (each.names.index(criterion) for each in (one, other))
        won, theirs, of = one.won[:, own], other.won[:, ref], one.of[:, own]
        return r2_difference(of - won, of - theirs, of) if criterion == "r2" else exact_difference(won, theirs, of)

    rows = []
    for label in order:
        tally, chance = tallies[label], both[label][1].by_name
        found = {name: _alone(_interval(tally, j), chance[name]) for j, name in enumerate(tally.names)}
        measures = {name: where_carried(one, people) for name, one in (found | read.get(label, {})).items()}
        rows.append(
            Compared(
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


def _interval(tally: Tally, j: int) -> Interval:
    """Measure ``j`` with its interval: a share or a mean of reciprocal ranks has that of proportions."""
    if tally.names[j] == "r2":
        return r2_interval(tally.of[:, j] - tally.won[:, j], tally.of[:, j])
    return exact_interval(tally.won[:, j], tally.of[:, j])


def _value(value: float) -> Interval:
    return Interval(value, float("nan"), float("nan"))


def _alone(found: Interval, chance: float) -> Interval:
    """``found`` without an interval where no ranking could miss: of k candidates or fewer recall@k is 1."""
    return found if chance < 1 - 1e-9 else without_ends(found)


def _notes(pairs: HeldPairs, reference: str, above: bool, rows: Sequence[Compared]) -> tuple[str, ...]:
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
