"""The verb ``diagnose``: everything that can be said of an alignment from pairs, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, float64, like, namespace, to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.maps import AffineMap, unit
from stitchkit.core.neighbours import nearest
from stitchkit.core.pairing import anchor_groups, paired_sides
from stitchkit.evaluation.coverage import prompt_coverage
from stitchkit.evaluation.diagnosis import Cosines, Diagnosis, Fit, Gap, Outlier, Spectrum
from stitchkit.evaluation.leakage import check_apart
from stitchkit.evaluation.leverage import hat_values, summary
from stitchkit.evaluation.retrieval import evaluate_retrieval
from stitchkit.evaluation.stitchability import check_size, stitchability
from stitchkit.metrics.auroc import auroc
from stitchkit.metrics.neighbourhoods import Hubness, hubness
from stitchkit.metrics.ranks import distinct_rows

PAIRS = ("anchors", "held-out")
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
RANDOM = 20  # random pairs a true one, at most RANDOM_MOST in all
RANDOM_MOST = 20_000
BINS = 40
OUTLYING = 3.5  # robust z, Iglewicz and Hoaglin 1993
LISTED, AT_LEAST = 20, 5  # outliers kept at most, and worst pairs shown anyhow
ONE_SIDED = "patients are known of one side only, so that of anchors and held-out pairs none is shared was not checked"
CUT = 1e-10  # of the largest singular value


def diagnose(
    alignment: Alignment,
    source: Any,
    target: Any,
    *,
    pairs: str = "anchors",
    anchors: Sequence[Any] | None = None,
    prompts: Any = None,
    groups: Any = None,
    k: int = 10,
    replicates: int = 2000,
    seed: int = 0,
) -> Diagnosis:
    """What is right and wrong with an alignment, and what to do about it.

    Parameters
    ----------
    alignment
        Any; parts that it does not have (a directed map, a spectrum) are left out in words.
    source : (n, d_s), target : (n, d_t)
        Embeddings (paired by id) or arrays (paired by row).
    pairs
        ``"anchors"``: the pairs that the alignment was fitted on; residual, retrieval and cosines are in-sample.
        ``"held-out"``: fresh pairs.
    anchors
        With held-out pairs: ``(source, target)`` vectors of the anchors, or ``(source, target, groups)``, for their
        leverage and their coverage of the prompts. Without, the pairs stand in for them and a note says so.
    prompts
        Embeddings in the TARGET space, or a mapping from class to the vectors of its prompts.
    groups : (n,) or mapping id -> group, optional
        Patients of the pairs: intervals resample them, and random pairs are of two.
    k
        Neighbours, for mutual k-NN and hubs.
    replicates, seed
        Of the bootstrap and of the random pairs.

    Returns
    -------
    Diagnosis
        Print it. It names items by id only.

    Raises
    ------
    InputError
        For fewer than 4 pairs, not more than ``k``, rows that do not match, or a side that does not vary.
    SpaceMismatchError
        For vectors or prompts of another encoder.
    LeakageError
        If an item, or a patient where both groups are given, is both an anchor and held out.

    Examples
    --------
    >>> from stitchkit.alignment import align
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(150, 6))
    >>> y = x @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 0.1 * rng.normal(size=(150, 6))
    >>> found = diagnose(align(x[:100], y[:100]), x[100:], y[100:], pairs="held-out", anchors=(x[:100], y[:100]))
    >>> found.fit.r2 > 0.9, found.cosines.above > 0.95
    (True, True)
    """
    if pairs not in PAIRS:
        raise UnknownNameError.of("kind of pairs", pairs, PAIRS)
    if anchors is not None and pairs == "anchors":
        raise InputError("anchors are given beside pairs that are the anchors. Leave them out, or say held-out pairs.")
    x, y = paired_sides(source, target)
    check_size(len(x), k)
    alignment.source.require(x.space, "the alignment's source side")
    alignment.target.require(y.space, "the alignment's target side")
    patients = anchor_groups(groups, x)
    known, unchecked = (x, y), False
    if anchors is not None:
        known, others = _anchors(alignment, anchors)
        by_id = isinstance(source, Embeddings) and isinstance(anchors[0], Embeddings)
        sides = [(one if by_id else one.vectors, two.vectors) for one, two in (known, (x, y))]
        check_apart((*sides[0], others), (*sides[1], patients), "anchors and held out")
        unchecked = (patients is None) != (others is None)
    coverage = None if prompts is None else prompt_coverage(known[1], prompts)  # refuses early
    before = stitchability(x, y, k, groups=patients, replicates=replicates, seed=seed)
    met = Met.of(alignment, x, y, patients)
    leverages, ridge = hat_values(known[0].vectors)
    outliers, flagged = _outliers(met, x, leverages if anchors is None else None)
    return Diagnosis(
        alignment.source.name,
        alignment.target.name,
        str(alignment.record.get("solver", type(alignment.source_map).__name__)),
        pairs,
        len(x),
        None if patients is None else len(np.unique(patients)),
        len(x) - len(np.unique(met.kinds)),
        before,
        _fit(alignment.directed, x, y),
        met.cosines(seed),
        evaluate_retrieval(alignment, x, y, groups=patients, replicates=replicates, seed=seed),
        Gap(_gap(x.vectors, y.vectors), _gap(met.left, met.right) or 0.0),
        met.hubs(k),
        _spectrum(alignment),
        summary(leverages, ridge, known[0].ids),
        outliers,
        flagged,
        coverage,
        (*_notes(alignment, pairs, anchors is None, coverage is None, met, patients), *([ONE_SIDED] * unchecked)),
    )


def _anchors(alignment: Alignment, anchors: Sequence[Any]) -> tuple[tuple[Embeddings, Embeddings], np.ndarray | None]:
    """Both sides of the anchors, and their patients."""
    if len(anchors) not in (2, 3):
        raise InputError(f"anchors= takes (source, target) or (source, target, groups); got {len(anchors)} things.")
    x, y = paired_sides(anchors[0], anchors[1])
    alignment.source.require(x.space, "the alignment's source side (anchors)")
    alignment.target.require(y.space, "the alignment's target side (anchors)")
    return (x, y), anchor_groups(anchors[2], x) if len(anchors) == 3 else None


@dataclass(frozen=True, slots=True, eq=False)
class Met:
    """The pairs where they meet: rows in the common space, (n, k) each, in float64.

    ``kinds`` (n,) labels equal targets; ``patients`` (n,) or None.
    """

    left: Array
    right: Array
    weights: Array | None
    kinds: np.ndarray
    patients: np.ndarray | None

    @classmethod
    def of(cls, alignment: Alignment, x: Embeddings, y: Embeddings, patients: np.ndarray | None) -> Met:
        """Both sides mapped."""
        left, right = float64(alignment.source_map(x).vectors), float64(alignment.target_map(y).vectors)
        weights = None if alignment.weights is None else float64(like(alignment.weights, left))
        return cls(left, like(right, left), weights, distinct_rows(to_numpy(y.vectors)), patients)

    @property
    def asking(self) -> Array:
        """Unit rows of the source side with the weights in, so that similarity is an inner product."""
        rows = unit(self.left)
        return rows if self.weights is None else rows * self.weights

    def similarity(self, order: np.ndarray | None = None) -> np.ndarray:
        """Similarity (n,) of each source row to the target row of its own, or to that at place ``order``."""
        right = to_numpy(unit(self.right))
        found: np.ndarray = (to_numpy(self.asking) * (right if order is None else right[order])).sum(axis=1)
        return found

    def cosines(self, seed: int) -> Cosines:
        """True against random pairs."""
        true, random = self.similarity(), self._random(seed)
        if not random.size:
            raise InputError(
                "no two pairs differ in target and patient, so true pairs cannot be told from random ones. Give more."
            )
        edges = np.linspace(min(true.min(), random.min()), max(true.max(), random.max()) + 1e-12, BINS + 1)
        scores, labels = np.concatenate([true, random]), np.repeat([1, 0], [len(true), len(random)])
        shares = [np.histogram(one, edges)[0] / len(one) for one in (true, random)]
        quantiles = [np.quantile(one, LEVELS).tolist() for one in (true, random)]
        return Cosines(
            tuple(quantiles[0]), tuple(quantiles[1]), auroc(scores, labels), tuple(edges.tolist()),
            tuple(shares[0].tolist()), tuple(shares[1].tolist()), len(random),
        )  # fmt: skip

    def _random(self, seed: int) -> np.ndarray:
        """Similarities of pairs of two items that differ in target and patient."""
        rng, n, found = np.random.default_rng(seed), len(self.kinds), []
        for _ in range(max(min(RANDOM, RANDOM_MOST // n), 1)):
            order = rng.permutation(n)
            other = self.kinds != self.kinds[order]
            if self.patients is not None:
                other &= self.patients != self.patients[order]
            found.append(self.similarity(order)[other])
        return np.concatenate(found)

    def hubs(self, k: int) -> tuple[Hubness, Hubness]:
        """Hubness of the targets when sources ask, and of the sources when targets ask."""
        asking, asked = self.asking, unit(self.right)
        n = len(self.kinds)
        return hubness(nearest(asking, asked, k).rows, n), hubness(nearest(asked, asking, k).rows, n)


def _outliers(met: Met, x: Embeddings, leverages: np.ndarray | None) -> tuple[tuple[Outlier, ...], int]:
    """The worst pairs, and how many are flagged."""
    similarity = met.similarity()
    residual = 1 - similarity
    away = residual - np.median(residual)
    scale = 1.4826 * float(np.median(np.abs(away)))
    # where half of the pairs fit alike the deviation is rounding; then nothing can be told apart by it
    z = away / scale if scale > 1e-9 else np.zeros_like(away)
    order = np.argsort(-z, kind="stable")
    flagged = int(np.sum(z > OUTLYING))
    shown = order[: min(max(flagged, AT_LEAST), LISTED)]
    return tuple(
        Outlier(
            str(x.ids[i]), float(similarity[i]), float(z[i]), None if leverages is None else float(leverages[i]),
            bool(z[i] > OUTLYING),
        )
        for i in shown
    ), flagged  # fmt: skip


def _fit(directed: AffineMap | None, x: Embeddings, y: Embeddings) -> Fit | None:
    if directed is None:
        return None
    xp, wide = namespace(y.vectors), float64(y.vectors)
    rest = wide - like(directed.apply(float64(x.vectors)), wide)
    about = wide - xp.mean(wide, axis=0)
    share = float(xp.sum(rest**2)) / float(xp.sum(about**2))
    return Fit(1 - share, share**0.5)


def _gap(left: Array, right: Array) -> float | None:
    """Distance of the means over the root mean squared spread of both sides."""
    if left.shape[1] != right.shape[1]:
        return None
    a = float64(left)
    b = like(float64(right), a)
    xp = namespace(a)
    means = [xp.mean(one, axis=0) for one in (a, b)]
    spread = sum(float(xp.sum((one - mean) ** 2)) / int(one.shape[0]) for one, mean in zip((a, b), means, strict=True))
    apart = float(xp.linalg.vector_norm(means[0] - means[1]))
    return apart / (spread / 2) ** 0.5 if spread > 0 else None


def _spectrum(alignment: Alignment) -> Spectrum | None:
    if alignment.directed is not None:
        of, matrix = "directed map", alignment.directed.weight
    elif isinstance(alignment.source_map, AffineMap) and isinstance(alignment.target_map, AffineMap):
        left, right = float64(alignment.source_map.weight), alignment.target_map.weight
        left = left if alignment.weights is None else left * like(alignment.weights, left, dtype=left.dtype)
        of, matrix = "similarity", left @ namespace(left).matrix_transpose(like(right, left, dtype=left.dtype))
    else:
        return None
    values = to_numpy(namespace(matrix).linalg.svdvals(float64(matrix)))
    energy = values**2
    total = float(energy.sum())
    effective = total**2 / float(np.sum(energy**2)) if total > 0 else 0.0
    return Spectrum(of, tuple(values.tolist()), int(np.sum(values > CUT * values[0])), effective)


def _notes(
    alignment: Alignment, pairs: str, stand_in: bool, no_prompts: bool, met: Met, patients: np.ndarray | None
) -> list[str]:
    """Assumptions, said."""
    notes, n = [], len(met.kinds)
    if pairs == "anchors":
        notes.append("the pairs are taken to be the anchors the map was fitted on; say held-out pairs if they are not")
        held = alignment.record.get("held_out")
        if isinstance(held, dict) and "recall@1" in held:
            notes.append(f"held out on outer folds when it was chosen: R@1 {held['recall@1']:.3f} "
                         f"among {held.get('gallery', '?')}")  # fmt: skip
    elif stand_in:
        notes.append("no anchors were given: leverage" + ("" if no_prompts else " and coverage")
                     + " are of the held-out pairs, which stand in for them")  # fmt: skip
    if no_prompts:
        notes.append("no prompts were given, so their coverage was not judged")
    if patients is None:
        notes.append("patients are not known: intervals take every pair as one of its own")
    same = n - len(np.unique(met.kinds))
    if same:
        notes.append(f"{same} of {n} targets equal an earlier one; equal targets count as one in retrieval")
    return notes
