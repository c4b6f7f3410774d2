"""The verb ``gate``: an alignment on held-out pairs against thresholds, or against another alignment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.anchor_hashes import given_ids
from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.items import rows_of
from stitchkit.core.least_patients import FEW_PATIENTS
from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.patients import patients_in_words
from stitchkit.core.plain_values import plain_values
from stitchkit.core.text_tables import text_table
from stitchkit.core.wording import counted, setting
from stitchkit.evaluation.fitted_pairs import audit_pairs
from stitchkit.evaluation.retrieval.held_pairs import HeldPairs, Tally, judge
from stitchkit.evaluation.scores.class_patients import where_carried
from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.proportions import exact_difference

BY = ("lower", "value", "upper")  # the end of the interval that a threshold is held against
MARGIN = 0.02
COMPARED = ("mrr", "recall@1")  # what is compared with another alignment


@dataclass(frozen=True, slots=True)
class Check:
    """One number against one threshold.

    Parameters
    ----------
    name
        ``"mrr"``, ``"recall@1"`` or ``"r2"``, or the same with ``" minus the other"``.
    interval
        The measured value with its interval.
    reached
        The end of the interval that counts.
    threshold
        Least value that passes.
    chance
        The measure of the same rankings where the pairs are shuffled; None for a difference.
    """

    name: str
    interval: Interval
    reached: float
    threshold: float
    chance: float | None

    @property
    def passed(self) -> bool:
        """True if the threshold is reached; a number that is not known does not."""
        return bool(self.reached >= self.threshold)


@dataclass(frozen=True, slots=True)
class Gate(NotebookText):
    """Every check of a gate.

    Parameters
    ----------
    checks
        In the order asked for.
    by
        ``"lower"``, ``"value"`` or ``"upper"``: which end of an interval counts.
    pairs, patients, gallery
        Numbers of pairs, patients (None where not known), distinct targets.
    notes
        Cautions in words.
    settings
        Margin and level of the intervals.
    """

    checks: tuple[Check, ...]
    by: str
    pairs: int
    patients: int | None
    gallery: int
    notes: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def passed(self) -> bool:
        """True if every check passed."""
        return all(one.passed for one in self.checks)

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        checks = [
            {
                "name": one.name,
                "passed": one.passed,
                "interval": one.interval._asdict(),
                "reached": one.reached,
                "threshold": one.threshold,
                "chance": one.chance,
            }
            for one in self.checks
        ]
        return {
            "passed": self.passed,
            "by": self.by,
            "checks": checks,
            "pairs": self.pairs,
            "patients": self.patients,
            "gallery": self.gallery,
            "notes": list(self.notes),
            "settings": dict(self.settings),
        }

    def __str__(self) -> str:
        """One line a check, then the verdict."""
        end = {"lower": "lower bound", "value": "value", "upper": "upper bound"}[self.by]
        rows = []
        for one in self.checks:
            sign = "at least" if one.passed else "below"
            chance = "" if one.chance is None else f" (chance {one.chance:.3f})"
            verdict = "passed" if one.passed else "FAILED"
            numbers = f"{one.interval}{chance}: {end} {one.reached:.3f} {sign} {one.threshold:.3f}"
            rows.append((verdict, one.name, numbers))
        people = patients_in_words(self.patients)
        good = sum(one.passed for one in self.checks)
        verdict = (
            f"gate {'passed' if self.passed else 'FAILED'}: {good} of {counted(len(self.checks), 'check')} passed on "
            f"{counted(self.pairs, 'pair')} ({people}), gallery of {self.gallery}"
        )
        return "\n".join([*text_table(rows), verdict, *(f"note: {note}" for note in self.notes)])


def gate(
    alignment: Alignment,
    source: Any,
    target: Any,
    *,
    groups: Any = None,
    min_mrr: float | None = None,
    min_recall_at_1: float | None = None,
    min_r2: float | None = None,
    against: Alignment | None = None,
    against_source: Any = None,
    against_target: Any = None,
    margin: float = MARGIN,
    by: str = "lower",
    allow_leakage: bool = False,
) -> Gate:
    """Checks of an alignment on pairs it was not fitted on, against thresholds: for a test that runs at every change.

    A threshold is held against the lower end of the 95 % interval over patients, so that a gate passes only what the
    pairs show, and too few pairs fail it rather than pass it. For mean reciprocal rank and recall@1 it is the interval
    of :func:`stitchkit.metrics.proportions.exact_interval`: its bounds fall with every error, so that no map passes
    where a better one fails, and with one pair a patient a map whose value is the threshold passes in at most 2.5 % of
    samples. Differences have that of :func:`stitchkit.metrics.proportions.exact_difference`, R2 that of
    :func:`stitchkit.metrics.r2_intervals.r2_interval`.
    With ``by="value"`` the measured value counts, with ``by="upper"`` a check fails only where the pairs show that the
    threshold is missed.

    Parameters
    ----------
    alignment
        The candidate.
    source : (n, d_s), target : (n, d_t)
        At least 10 pairs that neither alignment was fitted on: embeddings paired by id, or arrays paired by row.
        Ranks go from source to target among the distinct targets given.
    groups : (n,) or mapping id -> group, optional
        Patients; intervals are over them.
    min_mrr, min_recall_at_1
        Thresholds from 0 to 1.
    min_r2
        Threshold for the directed map's R2, at most 1; 0 is the mean of the targets given.
    against
        An alignment that the candidate must not be worse than: for mean reciprocal rank and recall@1 the paired
        difference, candidate minus this one, must reach ``-margin``. Two maps that rank all pairs alike are shown to be
        within 0.02 of each other by 125 patients or more; the same map differs from itself by 0.
    against_source, against_target
        The same pairs in the spaces of ``against`` where these are others (the encoder was swapped); by default
        ``source`` and ``target``.
    margin
        Largest loss that still counts as equal, from 0 up to 1, default 0.02.
    by
        ``"lower"``, ``"value"`` or ``"upper"``.
    allow_leakage
        Report pairs that an alignment was fitted on in the notes instead of refusing them.

    Returns
    -------
    Gate
        ``passed`` is the verdict; print it for a line a check.

    Raises
    ------
    InputError
        If nothing is to be checked, for a threshold or margin out of range, fewer than 10 pairs, fewer than 10
        patients unless ``by="value"``, or targets that are all the same.
    SpaceMismatchError
        If the vectors are not of the alignment's spaces.
    LeakageError
        If one of the pairs, or a patient, is among the anchors whose hashes an alignment keeps in its record.
    NoDirectedMapError
        If R2 is asked of an alignment that has no directed map.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(120, 5))
    >>> from stitchkit.alignment.align import align
    >>> fitted = align(x[:80], x[:80, ::-1], nested=False)
    >>> gate(fitted, x[80:], x[80:, ::-1], min_mrr=0.9).passed
    True
    """
    check_gate(
        min_mrr=min_mrr, min_recall_at_1=min_recall_at_1, min_r2=min_r2, compared=against is not None, margin=margin,
        by=by,
    )  # fmt: skip
    limits = {"mrr": min_mrr, "recall@1": min_recall_at_1, "r2": min_r2}
    pairs = HeldPairs.of(source, target, groups)
    _check_enough(pairs, by)
    notes = audit_pairs(alignment, (pairs.x, pairs.y), pairs.groups, given_ids(source, target), allow=allow_leakage)
    if min_r2 is not None:
        alignment.to_target  # noqa: B018  says what is missing
    tally, guessed = _tally(alignment, pairs, pairs.patient, "the gated alignment")
    checks = []
    for name, limit in limits.items():
        if limit is not None:
            interval = where_carried(tally.interval(name), pairs.people)
            checks.append(_check(name, interval, by, limit, guessed.by_name[name]))
    if against is not None:
        left = source if against_source is None else against_source
        right = target if against_target is None else against_target
        same = _same_pairs(HeldPairs.of(left, right), pairs)
        notes += audit_pairs(
            against, (same.x, same.y), pairs.groups, given_ids(left, right), allow=allow_leakage, what="the other map"
        )
        theirs, _ = _tally(against, same, pairs.patient, "the alignment gated against")
        one_map = _one_map(alignment, pairs, against, same)
        for name in COMPARED:
            at, there = tally.names.index(name), theirs.names.index(name)
            sums = tally.won[:, at], theirs.won[:, there], tally.of[:, at]
            interval = Interval(0.0, 0.0, 0.0) if one_map else where_carried(exact_difference(*sums), pairs.people)
            checks.append(_check(f"{name} minus the other", interval, by, -margin, None))
    gallery = len(np.unique(pairs.target))
    settings = {"margin": margin, "level": 0.95}
    notes = list(dict.fromkeys([*notes, *_notes(pairs, checks)]))  # what both maps do not know is said once
    return Gate(
        checks=tuple(checks),
        by=by,
        pairs=len(pairs),
        patients=pairs.patients,
        gallery=gallery,
        notes=tuple(notes),
        settings=settings,
    )


def check_gate(
    *,
    min_mrr: float | None,
    min_recall_at_1: float | None,
    min_r2: float | None,
    compared: bool,
    margin: float,
    by: str,
) -> None:
    """Raise for settings of :func:`gate` that cannot be; ``compared`` tells whether there is another alignment."""
    if by not in BY:
        raise UnknownNameError.of("end of an interval", by, BY)
    if not compared and min_mrr is None and min_recall_at_1 is None and min_r2 is None:
        raise InputError(
            "there is nothing to check: give "
            + setting("min_mrr", text="min_mrr")
            + ", "
            + setting("min_recall_at_1", text="min_recall_at_1")
            + ", "
            + setting("min_r2", text="min_r2")
            + " or "
            + setting("against", text="against")
            + "."
        )
    for name, limit in (("mrr", min_mrr), ("recall@1", min_recall_at_1)):
        if limit is not None and not 0 <= limit <= 1:
            raise InputError(f"a threshold for {name} is from 0 to 1; got {limit}.")
    if min_r2 is not None and not -np.inf < min_r2 <= 1:
        raise InputError(f"a threshold for R2 is at most 1; got {min_r2}.")
    if not 0 <= margin < 1:
        raise InputError(f"the margin is from 0 up to 1; got {margin}.")


def _tally(alignment: Alignment, pairs: HeldPairs, patient: np.ndarray, what: str) -> tuple[Tally, Tally]:
    alignment.source.require(pairs.x.space, f"{what} (source side)")
    alignment.target.require(pairs.y.space, f"{what} (target side)")
    return judge(alignment, pairs, patient, int(patient.max()) + 1, ks=(1,))


def _same_pairs(others: HeldPairs, pairs: HeldPairs) -> HeldPairs:
    """``others`` in the order of ``pairs``: a difference is paired only if row i of both is one pair."""
    if len(others) != len(pairs):
        raise InputError(
            f"the other alignment's vectors are of {len(others)} pairs and the candidate's of {len(pairs)}; "
            f"both must be the same pairs. Embed the same items with both encoders."
        )
    if np.array_equal(others.x.ids, pairs.x.ids):
        return others
    return others.take(rows_of(pairs.x.ids, others.x.ids, "the other alignment's vectors"))


def _one_map(one: Alignment, pairs: HeldPairs, other: Alignment, same: HeldPairs) -> bool:
    """Both alignments bring the pairs to the same vectors, bit by bit: there is no difference to estimate."""
    rows = one.unit_rows(pairs.x.vectors, pairs.y.vectors), other.unit_rows(same.x.vectors, same.y.vectors)
    return all(np.array_equal(to_numpy(a), to_numpy(b)) for a, b in zip(*rows, strict=True))


def _check(name: str, interval: Interval, by: str, threshold: float, chance: float | None) -> Check:
    reached = {"lower": interval.low, "value": interval.value, "upper": interval.high}[by]
    return Check(name=name, interval=interval, reached=reached, threshold=threshold, chance=chance)


def _notes(pairs: HeldPairs, checks: list[Check]) -> tuple[str, ...]:
    notes = [
        f"the threshold {one.threshold:.3f} for {one.name} is no better than chance ({one.chance:.3f})"
        for one in checks
        if one.chance is not None and one.threshold <= one.chance and one.name != "r2"
    ]
    if pairs.people < FEW_PATIENTS:
        notes.append(
            f"{counted(pairs.people, 'patient is', 'patients are')} too few for an interval to be held "
            f"against a threshold: the value alone was"
        )
    return tuple(notes)


def _check_enough(pairs: HeldPairs, by: str) -> None:
    """Raise for pairs that no gate can pass or fail on."""
    if len(np.unique(pairs.target)) < 2:
        raise InputError(
            f"the {len(pairs)} target vectors are all the same to their precision: every rank is 1 and tells nothing. "
            f"Has the encoder collapsed?"
        )
    if pairs.people < FEW_PATIENTS and by != "value":
        raise InputError(
            f"{counted(pairs.people, 'patient is', 'patients are')} too few for an interval; at least "
            f"{FEW_PATIENTS} are needed. Give pairs of more "
            f"patients, or hold the value itself against the threshold: " + setting("by", "value") + "."
        )
