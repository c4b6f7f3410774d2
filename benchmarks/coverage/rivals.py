"""Other intervals of AUROC, to compare: DeLong's on the logit scale, and four of the bootstrap over patients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri
from scipy.stats import t

from benchmarks.coverage.cells import Ends
from benchmarks.coverage.films import Films, Sample
from stitchkit.metrics.auroc import resampled_auroc
from stitchkit.metrics.auroc_intervals import AurocPulls, macro_auroc_difference, macro_auroc_interval
from stitchkit.metrics.bootstrap import patient_counts

RESAMPLES = 500
TAILS = np.asarray([0.025, 0.975])


def rivals_trial(films: Films) -> Callable[[np.random.Generator], dict[str, Ends]]:
    """Draws one sample, and the ends of all rivals for its AUROC, mean over classes, or for the difference of two."""

    def trial(rng: np.random.Generator) -> dict[str, Ends]:
        sample = films.draw(rng)
        counts = np.concatenate(list(patient_counts(sample.groups, RESAMPLES, int(rng.integers(2**31)))))
        left_out = (sample.groups != np.unique(sample.groups)[:, None]).astype(float)
        each = [_replicates(one, sample.labels, counts, left_out) for one in sample.scores]
        pulls = [AurocPulls.of(one, sample.labels, sample.groups) for one in sample.scores]
        if len(each) == 2:
            ours, truth = macro_auroc_difference(*pulls).interval, films.truths[0] - films.truths[1]
            value, draws, jack = (a - b for a, b in zip(*each, strict=True))
        else:
            ours, truth, (value, draws, jack) = macro_auroc_interval(pulls[0]), films.truths[0], each[0]
        found = {"this package": ours[1:], "percentile": np.nanquantile(draws, TAILS), "BCa": _bca(value, draws, jack)}
        if len(each) == len(films.positives) == 1:
            found |= _on_logits(sample, pulls[0], rng, found["percentile"])
        return {name: Ends(*ends, truth) for name, ends in found.items()}

    return trial


def _replicates(
    scores: np.ndarray, labels: np.ndarray, counts: np.ndarray, left_out: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean AUROC over classes of the sample, of its resamples, and without each patient."""
    weights = np.concatenate([np.ones((1, len(scores))), counts, left_out])
    found = np.mean([resampled_auroc(*one, weights) for one in zip(scores.T, labels.T, strict=True)], axis=0)
    return float(found[0]), found[1 : 1 + len(counts)], found[1 + len(counts) :]


def _on_logits(
    sample: Sample, pulls: AurocPulls, rng: np.random.Generator, percentile: np.ndarray
) -> dict[str, np.ndarray]:
    """Ends of the rivals for one class that need a standard error."""
    freedom = _fewest(sample.labels[:, 0], sample.groups) - 1
    delong = _wald(pulls, t.ppf(TAILS, freedom))
    return {
        "DeLong over patients, logit, t(k - 1)": delong,
        "studentised on the logit scale": _wald(pulls, -_studentised(sample, rng)[::-1]),
        "the wider of percentile and DeLong": np.asarray(
            [min(percentile[0], delong[0]), max(percentile[1], delong[1])]
        ),
    }


def _fewest(labels: np.ndarray, groups: np.ndarray) -> int:
    return min(len(np.unique(groups[labels == side])) for side in (0, 1))


def _wald(pulls: AurocPulls, quantiles: np.ndarray) -> np.ndarray:
    """Ends on the logit scale; no width where positives and negatives are apart."""
    value = float(pulls.value[0])
    return expit(logit(value) + quantiles * _logit_error(pulls)) if 0 < value < 1 else np.asarray([value, value])


def _bca(value: float, draws: np.ndarray, jack: np.ndarray) -> np.ndarray:
    """Bias-corrected and accelerated (Efron 1987), the acceleration from leaving out one patient at a time."""
    good, apart = draws[~np.isnan(draws)], np.nanmean(jack) - jack[~np.isnan(jack)]
    below = np.mean(good < value) + np.mean(good == value) / 2
    bias = ndtri(np.clip(below, 0.5 / len(good), 1 - 0.5 / len(good)))
    squares = np.sum(apart**2)
    acceleration = np.sum(apart**3) / (6 * squares**1.5) if squares > 0 else 0.0
    moved = bias + ndtri(TAILS)
    return np.quantile(good, ndtr(bias + moved / (1 - acceleration * moved)))


def _studentised(sample: Sample, rng: np.random.Generator) -> np.ndarray:
    """Quantiles of the logit's deviation over its own standard error, in half as many resamples of patients."""
    value = float(AurocPulls.of(sample.scores[0], sample.labels, sample.groups).value[0])
    rows = [np.flatnonzero(sample.groups == one) for one in np.unique(sample.groups)]
    found = []
    for _ in range(RESAMPLES // 2):
        drawn = [rows[one] for one in rng.integers(len(rows), size=len(rows))]
        at, again = np.concatenate(drawn), np.repeat(np.arange(len(drawn)), [len(one) for one in drawn])
        found.append(_deviation(AurocPulls.of(sample.scores[0][at], sample.labels[at], again), value))
    return np.nanquantile(found, TAILS) if not np.all(np.isnan(found)) else np.asarray([np.nan, np.nan])


def _deviation(pulls: AurocPulls, value: float) -> float:
    again = float(pulls.value[0])
    return (logit(again) - logit(value)) / _logit_error(pulls) if 0 < again < 1 and value < 1 else float("nan")


def _logit_error(pulls: AurocPulls) -> float:
    value = float(pulls.value[0])
    return float(np.sqrt(np.sum(pulls.pull**2))) / (value * (1 - value))
