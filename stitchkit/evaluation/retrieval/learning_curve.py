"""The verb ``learning_curve``: how a measure grows with the number of anchors, and how many a target value needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from stitchkit.alignment.align import align
from stitchkit.alignment.clusters import Clusters
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.roles import Solver
from stitchkit.core.wording import counted
from stitchkit.evaluation.leakage import check_apart
from stitchkit.evaluation.patient_draws import patient_order
from stitchkit.evaluation.retrieval.curve_intervals import SHARED, DrawnSums
from stitchkit.evaluation.retrieval.held_pairs import LEAST, HeldPairs, Tally, judge
from stitchkit.evaluation.retrieval.measured_curves import SETTLED, LearningCurve
from stitchkit.evaluation.retrieval.power_law import EXPONENTS, fit_power_law
from stitchkit.evaluation.retrieval.power_law import LEAST as LEAST_SIZES
from stitchkit.evaluation.scores.class_patients import note_on_carriers, where_carried
from stitchkit.runtime.progress import Progress
from stitchkit.runtime.threads import is_small, one_blas_thread
from stitchkit.solvers import SEARCHED

METRICS = ("mrr", "recall@1", "recall@5", "recall@10", "r2")
SIZES = 8  # of the default grid


def learning_curve(
    source: Any,
    target: Any,
    *,
    sizes: Sequence[int] | None = None,
    draws: int = 5,
    groups: Any = None,
    solver: str | Solver = "auto",
    purpose: str = "match",
    metric: str | None = None,
    held_out: float | Sequence[Any] = 0.25,
    replicates: int = 500,
    seed: int = 0,
    progress: bool | None = None,
) -> LearningCurve:
    """A measure of maps from more and more anchors on the same held-out pairs.

    Parameters
    ----------
    source : (n, d_s), target : (n, d_t)
        Embeddings paired by id, or arrays of one library paired by row.
    sizes
        Numbers of anchors, at least 2 each; None takes eight from 10 to all that are not held out.
    draws
        Orders of the patients that anchors are taken from; the anchors of one draw are nested, so that a curve does
        not jump because of who was drawn. With one draw there are no intervals.
    groups : (n,) or mapping id -> group, optional
        Patient of each pair. Patients are held out whole; the last one drawn may bring only some of his pairs. Pairs
        that repeat a source vector exactly are taken for one patient, with or without groups.
    solver, purpose
        As in :func:`stitchkit.align`.
    metric
        ``"mrr"``, ``"recall@1"``, ``"recall@5"``, ``"recall@10"`` from source to target, or ``"r2"`` of the directed
        map; None takes ``"mrr"`` for matching and ``"r2"`` for a head.
    held_out
        The share of patients held out, above 0 and below 1, or pairs of other patients as
        ``(source, target)``, with ``groups`` as ``(source, target, groups)``.
    replicates
        Resamples of draws and held-out patients for forecasts, default 500.
    seed
        Seed of the split, the draws and the resamples, default 0.
    progress
        A bar on a terminal or in a notebook: None after two seconds, True at once, False never.

    Returns
    -------
    LearningCurve
        Print it; ``anchors_for(value)`` tells how many anchors a value needs. R2 is forecast only from three or more
        sizes of at least twice the source's dimensions.

    Raises
    ------
    InputError
        For sizes larger than what is left, fewer than 10 held-out pairs, a share outside (0, 1), or patients that are
        known of one side only.
    LeakageError
        If a patient or an item is both held out and drawn from; items without ids are told by their vectors.
    UnknownNameError
        For a metric or purpose that does not exist.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(400, 20))
    >>> y = x @ np.linalg.qr(rng.normal(size=(20, 20)))[0] + rng.normal(size=(400, 20))
    >>> curve = learning_curve(x, y, sizes=[20, 40, 80, 160], draws=2, solver="procrustes", replicates=50)
    >>> bool(curve.mean[0].value < curve.mean[-1].value)
    True
    """
    if purpose not in SEARCHED:
        raise UnknownNameError.of("purpose", purpose, SEARCHED)
    measured = metric or ("r2" if purpose == "head" else "mrr")
    if measured not in METRICS:
        raise UnknownNameError.of("metric", measured, METRICS)
    if draws < 1 or replicates < 1:
        raise InputError(f"a curve needs 1 draw and 1 resample at least; got draws={draws}, replicates={replicates}.")
    pairs = HeldPairs.of(source, target, groups)
    pool, held = _split(source, pairs, held_out, seed)
    at = _sizes(sizes, len(pool))
    people, patient = _together(pool), _together(held)
    won, chances, of = [], [], np.empty(0)
    orders = [patient_order(people, seed, draw) for draw in range(draws)]
    small = is_small(len(pool) + len(held), max(pool.x.space.dim, pool.y.space.dim))
    with Progress(progress) as bar, one_blas_thread(small):
        bar.begin("learning curve, fits", draws * len(at))
        for rows in (order[:n] for order in orders for n in at.tolist()):
            chosen = None if pool.groups is None else pool.groups[rows]
            fitted = align(
                pool.x.take(rows), pool.y.take(rows), groups=chosen, purpose=purpose, solver=solver, nested=False,
                seed=seed, progress=False,
            )  # fmt: skip
            if measured == "r2":
                fitted.to_target  # noqa: B018  says what is missing
            ks = (int(measured.partition("@")[2] or 1),)
            got, guessed = judge(fitted, held, patient, int(patient.max()) + 1, ks=ks)
            won.append(_column(got, measured))
            of = got.of[:, got.names.index(measured)]
            chances.append(float(guessed.values[guessed.names.index(measured)]))
            bar.step(1)
    sums = np.stack(won).reshape(draws, len(at), -1)
    drawn = DrawnSums(sums, of, at / len(pool))
    values, resampled = drawn.values, drawn.resampled(measured, replicates, seed)
    gallery = len(np.unique(held.target))
    settings = {"solver": str(solver), "purpose": purpose, "draws": draws, "replicates": replicates, "seed": seed}
    width = pool.x.space.dim if measured == "r2" else None
    laws = _laws(at, values, resampled, SETTLED * (width or 0))
    chance = float(np.reshape(chances, (draws, len(at))).mean(axis=0).max())
    curve = LearningCurve(
        measured, at, values, resampled, laws, chance, len(held), held.patients, gallery, (), settings, width,
        tuple(where_carried(one, held.people) for one in drawn.intervals(measured)),
    )  # fmt: skip
    repeated = Clusters.of(pairs.x, None).repeated
    few = note_on_carriers(held.people, "the curve")
    notes = (*_findings(curve), *_repeats(repeated, len(pairs)), *(few or _notes(drawn, at, len(pool))))
    return replace(curve, notes=notes)


def _split(source: Any, pairs: HeldPairs, held_out: float | Sequence[Any], seed: int) -> tuple[HeldPairs, HeldPairs]:
    """The pairs that anchors are drawn from, and those held out."""
    if isinstance(held_out, int | float):
        if not 0 < held_out < 1:
            raise InputError(f"held_out is a share above 0 and below 1, or pairs; got {held_out}.")
        patient = _together(pairs)
        people = int(patient.max()) + 1
        away = np.random.default_rng(seed).permutation(people)[: max(round(held_out * people), 1)]
        aside = np.isin(patient, away)
        if not LEAST <= aside.sum() < len(pairs) - 1:
            raise InputError(
                f"holding out {held_out:g} of {people} patients leaves {len(pairs) - aside.sum()} pairs to draw from "
                f"and {aside.sum()} to judge by; at least 2 and {LEAST} are needed. Give more pairs."
            )
        return pairs.take(np.flatnonzero(~aside)), pairs.take(np.flatnonzero(aside))
    if len(held_out) not in (2, 3):
        raise InputError(f"held_out= takes a share, (source, target) or (source, target, groups); got {len(held_out)}.")
    held = HeldPairs.of(*held_out)
    if (pairs.groups is None) != (held.groups is None):
        given, missing = ("held_out", "groups=") if pairs.groups is None else ("groups=", "held_out")
        raise InputError(
            f"{given} names patients and {missing} does not, so that a patient on both sides could not be seen. "
            f"Give groups= and held_out=(source, target, groups), or neither."
        )
    pairs.x.space.require(held.x.space, "the curve's source side")
    pairs.y.space.require(held.y.space, "the curve's target side")
    by_id = isinstance(source, Embeddings) and isinstance(held_out[0], Embeddings)
    drawn, fresh = ((one.x if by_id else one.x.vectors, one.y.vectors, one.groups) for one in (pairs, held))
    check_apart(drawn, fresh, "held out and drawn from")
    return pairs, held


def _sizes(sizes: Sequence[int] | None, most: int) -> np.ndarray:
    if sizes is None:
        return np.unique(np.geomspace(min(10, most), most, SIZES).round().astype(np.int64))
    at = np.unique(np.asarray(sizes, dtype=np.int64))
    if not at.size or at[0] < 2:
        raise InputError(f"sizes are numbers of anchors, at least 2 each; got {list(sizes)}.")
    if at[-1] > most:
        raise InputError(f"size {at[-1]} is larger than the {most} pairs that are not held out. Lower it.")
    return at


def _together(pairs: HeldPairs) -> np.ndarray:
    """A number (n,) for each pair's patient, from 0; pairs that repeat a source vector are of one patient."""
    labels = Clusters.of(pairs.x, pairs.groups).labels
    return np.unique(np.arange(len(pairs)) if labels is None else labels, return_inverse=True)[1].reshape(-1)


def _column(tally: Tally, name: str) -> np.ndarray:
    return tally.won[:, tally.names.index(name)]


def _laws(sizes: np.ndarray, values: np.ndarray, resampled: np.ndarray, least: int = 0) -> np.ndarray | None:
    """Laws (1 + b, 3) of the measured curve and its resamples, from sizes of at least ``least``."""
    used = sizes >= least
    sizes, values, resampled = sizes[used], values[used], resampled[:, used]
    if len(sizes) < LEAST_SIZES:
        return None
    spread = values.std(axis=1, ddof=1) if values.shape[1] > 1 else resampled.std(axis=0)
    error = np.maximum(spread, max(float(np.median(spread)) / 2, 1e-6))  # few draws may agree by chance
    return fit_power_law(sizes.astype(np.float64), np.concatenate([values.mean(axis=1)[None, :], resampled]), error)


def _findings(curve: LearningCurve) -> list[str]:
    """Notes on the numbers and on how far the law may be trusted."""
    notes = []
    if curve.mean[0].has_ends and all(one.low <= curve.chance for one in curve.mean):
        notes.append(f"no size is clearly above chance ({curve.chance:.3f}): more anchors of this kind may not help")
    if curve.width is not None and curve.laws is None and len(curve.sizes) >= LEAST_SIZES:
        notes.append(f"no forecast beyond {curve.sizes[-1]} anchors: {curve.no_law}")
    if curve.laws is not None:
        _, b, c = curve.laws[0].tolist()
        if b > 0 and (np.isclose(c, EXPONENTS[0]) or np.isclose(c, EXPONENTS[-1])):
            notes.append(
                f"the law's exponent {c:.2f} is at the end of what is tried ({EXPONENTS[0]:g} to {EXPONENTS[-1]:g}): "
                f"what it foretells beyond {curve.sizes[-1]} anchors is a guess"
            )
    return notes


def _repeats(repeated: int, n: int) -> list[str]:
    told = f"{repeated} of {n} pairs repeat another's source vector; repeats are drawn or held out together"
    return [told] if repeated else []


def _notes(drawn: DrawnSums, sizes: np.ndarray, pool: int) -> tuple[str, ...]:
    draws, notes = len(drawn.won), []
    if np.isnan(drawn.draw_variances).all():
        reason = "one draw does not show how much draws differ; 2 or more do" if draws < 2 else (
            f"draws of more than three fifths of {pool} anchors are too much alike to tell how much a draw matters; "
            f"measure a size of at most {int(SHARED * pool)}"
        )  # fmt: skip
        notes.append(f"no intervals: {reason}")
    else:
        notes.append("intervals are over draws and held-out patients; that the law itself may be wrong is not in them")
    if draws == 2:
        notes.append(f"{counted(draws, 'draw tells', 'draws tell')} little of how much a draw matters; 5 are better")
    if 2 * sizes[-1] > pool and notes[0].startswith("intervals"):
        notes.append(
            f"draws of more than {pool // 2} of {pool} anchors overlap and agree more than fresh ones; intervals are "
            f"of fresh ones"
            + (
                f", from {int(SHARED * pool)} anchors on by what smaller sizes show"
                if sizes[-1] > SHARED * pool
                else ""
            )
        )
    return tuple(notes)
