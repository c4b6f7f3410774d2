"""The verb ``diagnose``: measurements of an alignment on pairs, with verdict and advice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stitchkit.core.alignments import Alignment
from stitchkit.core.anchor_hashes import given_ids
from stitchkit.core.arrays import Array, float64, like, namespace
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.least_patients import REPLICATES
from stitchkit.core.maps import AffineMap
from stitchkit.core.pairing import anchor_groups, paired_sides
from stitchkit.core.patients import count_patients
from stitchkit.core.seeds import check_seed
from stitchkit.core.wording import setting
from stitchkit.evaluation.associations.associations import Associations
from stitchkit.evaluation.diagnosis.common_space import AlignedPairs, outliers
from stitchkit.evaluation.diagnosis.coverage import prompt_coverage
from stitchkit.evaluation.diagnosis.diagnosis import Diagnosis, Fit, Gap, HeldOut
from stitchkit.evaluation.diagnosis.leverage import Leverage, hat_values
from stitchkit.evaluation.diagnosis.spectra import spectrum_of
from stitchkit.evaluation.fitted_pairs import audit_pairs
from stitchkit.evaluation.leakage import check_apart
from stitchkit.evaluation.retrieval.evaluate_retrieval import measure_retrieval, names_of
from stitchkit.evaluation.spaces.stitchability import check_size, stitchability
from stitchkit.runtime.threads import FEW_PAIRS, one_blas_thread

PAIRS = ("anchors", "held-out")
NEAR = 1500  # items whose neighbourhoods before mapping are compared: the work grows with their square
HELD = "They are not held out: judge them as " + setting("pairs", "anchors") + ", or hold out pairs of other patients."
VECTORS_ALONE = "the anchors' texts were not given, so the coverage of prompts was judged by vectors"
NO_ANCHORS = "coverage of the prompts was not judged: the anchors decide it, and they were not given"
ONE_SIDED = (
    "patients are known for only one of anchors and held-out pairs, so it was not checked that no patient is in both"
)


def diagnose(
    alignment: Alignment,
    source: Any,
    target: Any,
    *,
    pairs: str = "anchors",
    anchors: Sequence[Any] | None = None,
    prompts: Any = None,
    texts: Any = None,
    associations: Associations | None = None,
    groups: Any = None,
    k: int = 10,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Diagnosis:
    """Diagnosis of an alignment: measurements, verdict and advice.

    Parameters
    ----------
    alignment
        Any; parts that it does not have (a directed map, a spectrum) are left out in words.
    source : (n, d_s), target : (n, d_t)
        Embeddings (paired by id) or arrays (paired by row).
    pairs
        ``"anchors"``: the pairs that the alignment was fitted on; residual, retrieval and cosines are in-sample, and
        the verdict is that of the pairs which the fit held out of itself (``alignment.record["held_out"]``), if it did.
        ``"held-out"``: fresh pairs; they are judged.
    anchors
        With held-out pairs: ``(source, target)`` vectors of the anchors, or ``(source, target, groups)``, for their
        leverage and their coverage of the prompts. Without, the pairs stand in for them and a note says so.
    prompts
        Embeddings in the TARGET space, a mapping from class to the vectors (m, d) of its prompts there, or a prompt
        set from :func:`stitchkit.embed_prompts`, whose positives are judged.
    texts
        Texts of the anchors, searched for the words of the prompts: an anchor set, text items, n texts, or ``Labels``
        of a labeller. A class that none of them says is not covered, whatever the vectors
        (:func:`stitchkit.evaluation.diagnosis.coverage.prompt_coverage`).
    associations
        From :func:`stitchkit.fit_associations`: company that uncovered classes keep in a pool of unlinked texts.
    groups : (n,) or mapping id -> group, optional
        Patients of the pairs: intervals resample them, and random pairs are of two.
    k
        Neighbours, for mutual k-NN and hubs.
    replicates, seed
        Number of resamples, default 2000; seed of the resamples and of the random pairs, default 0.

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
        If an item, or a patient where both groups are given, is both an anchor and held out: among the anchors given,
        or among those whose hashes the alignment keeps in its record.

    Examples
    --------
    >>> from stitchkit.alignment.align import align
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(150, 6))
    >>> y = x @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 0.1 * rng.normal(size=(150, 6))
    >>> found = diagnose(align(x[:100], y[:100]), x[100:], y[100:], pairs="held-out", anchors=(x[:100], y[:100]))
    >>> found.fit.r2 > 0.9, found.cosines.above > 0.95
    (True, True)
    """
    check_seed(seed)
    if pairs not in PAIRS:
        raise UnknownNameError.of("kind of pairs", pairs, PAIRS)
    if anchors is not None and pairs == "anchors":
        raise InputError("anchors are given beside pairs that are the anchors. Leave them out, or say held-out pairs.")
    for what, value in (("associations", associations), ("texts", texts)):
        if value is not None and prompts is None:
            raise InputError(
                f"{what} belong to the coverage of prompts, and there are none. Give " + setting("prompts") + "."
            )
    if texts is not None and pairs == "held-out" and anchors is None:
        raise InputError("texts are those of the anchors, and there are none. Give " + setting("anchors") + ".")
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
    doubts = [ONE_SIDED] if unchecked else []
    if prompts is not None and anchors is None and pairs != "anchors":
        doubts.append(NO_ANCHORS)
    elif prompts is not None and texts is None:
        doubts.append(VECTORS_ALONE)
    if pairs != "anchors":
        doubts += audit_pairs(alignment, (x, y), patients, given_ids(source, target), step=HELD)
    with one_blas_thread(len(x) <= FEW_PAIRS):
        named = isinstance(target if anchors is None else anchors[1], Embeddings)
        judged = prompts is not None and (anchors is not None or pairs == "anchors")
        reaching = known[1] if named else known[1].vectors  # rows without ids of their own meet texts by row
        coverage = prompt_coverage(reaching, prompts, texts=texts, associations=associations) if judged else None
        near = max(NEAR, k + 1)
        before = stitchability(x, y, k, groups=patients, rows=near, replicates=replicates, seed=seed)
        aligned = AlignedPairs.of(alignment, x, y, patients)
        leverages, ridge = hat_values(known[0].vectors)
        worst, flagged = outliers(aligned, x, leverages if anchors is None else None)
        from_space, to_space = names_of(alignment)
        return Diagnosis(
            source=from_space,
            target=to_space,
            solver=str(alignment.record.get("solver", type(alignment.source_map).__name__)),
            pairs=pairs,
            n=len(x),
            groups=count_patients(patients),
            duplicates=len(x) - len(np.unique(aligned.kinds)),
            before=before,
            fit=_fit(alignment.directed, x, y),
            cosines=aligned.cosines(seed),
            retrieval=measure_retrieval(alignment, x, y, patients),
            gap=Gap(_gap(x.vectors, y.vectors), _gap(aligned.left, aligned.right) or 0.0),
            hubs=aligned.hubs(k),
            spectrum=spectrum_of(alignment),
            leverage=Leverage.of(leverages, ridge, known[0].ids),
            outliers=worst,
            flagged=flagged,
            coverage=coverage,
            held_out=HeldOut.of(alignment.record) if pairs == "anchors" else None,
            notes=(*_notes(alignment, pairs, anchors is None, prompts is None, aligned, patients), *doubts),
        )


def _anchors(alignment: Alignment, anchors: Sequence[Any]) -> tuple[tuple[Embeddings, Embeddings], np.ndarray | None]:
    """Both sides of the anchors, and their patients."""
    if len(anchors) not in (2, 3):
        raise InputError(
            setting("anchors") + f" takes (source, target) or (source, target, groups); got {len(anchors)} things."
        )
    x, y = paired_sides(anchors[0], anchors[1])
    alignment.source.require(x.space, "the alignment's source side (anchors)")
    alignment.target.require(y.space, "the alignment's target side (anchors)")
    return (x, y), anchor_groups(anchors[2], x) if len(anchors) == 3 else None


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


def _notes(
    alignment: Alignment,
    pairs: str,
    stand_in: bool,
    no_prompts: bool,
    aligned: AlignedPairs,
    patients: np.ndarray | None,
) -> list[str]:
    """Assumptions, said."""
    notes, n = [], len(aligned.kinds)
    if pairs == "anchors":
        notes.append("the pairs are taken to be the anchors the map was fitted on; say held-out pairs if they are not")
        held = alignment.record.get("held_out")
        if isinstance(held, dict) and "recall@1" in held:
            notes.append(f"on held-out folds when it was chosen: R@1 {held['recall@1']:.3f} "
                         f"among {held.get('gallery', '?')}")  # fmt: skip
    elif stand_in:
        notes.append("no anchors were given, so leverage was measured on the held-out pairs instead")
    if no_prompts:
        notes.append("no prompts were given, so their coverage was not judged")
    if patients is None:
        notes.append("patients are not known: intervals take every pair as one of its own")
    same = n - len(np.unique(aligned.kinds))
    if same:
        notes.append(f"{same} of {n} targets equal an earlier one; equal targets count as one in retrieval")
    return notes
