"""Likeness of two spaces by pairs alone, before any map is fitted: a forecast of how well they can be stitched."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stitchkit.alignment.clusters import Clusters
from stitchkit.core.arrays import Array, namespace
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.items import rows_of
from stitchkit.core.moments.chunks import check_paired
from stitchkit.core.moments.moments import Moments
from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.pairing import anchor_groups
from stitchkit.core.plain_values import plain_values
from stitchkit.core.seeds import check_seed
from stitchkit.core.wording import counted
from stitchkit.evaluation.patient_draws import ROWS, PatientDraws, patient_means
from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.cka import LEAST, cka, debiased_cka, debiased_cka_error
from stitchkit.metrics.neighbourhoods import shuffled_overlaps
from stitchkit.metrics.overlap_intervals import Overlap, share_intervals
from stitchkit.runtime.threads import FEW_PAIRS, one_blas_thread

CLEAR = 0.05  # p-value below which neighbourhoods agree beyond chance
FEW = 8  # items below which hardly any agreement could be told from chance


@dataclass(frozen=True, slots=True)
class Stitchability(NotebookText):
    """Likeness of two spaces on the same items, before a map is fitted.

    Parameters
    ----------
    n
        Pairs.
    dims, effective
        Widths of both spaces, and the participation ratios of their spectra: about how many directions carry
        the spread, between 1 and the width.
    cka, debiased
        Linear CKA, in [0, 1], and its debiased estimate, which is about 0 for unrelated spaces. With groups of 4
        patients or more the latter is of the patients' mean vectors.
    debiased_se
        Standard error of the debiased CKA, by a jackknife over 20 parts of the items (patients, with groups); None
        for fewer than 6 of them.
    overlap
        Mean share of the ``k`` nearest neighbours that an item has in both spaces, with its 95 % interval. With
        groups an item is one row of a patient among one row of each other patient, mean over ``draws`` of them.
    chance
        The overlap of shuffled items: of shuffled patients, with groups.
    p_value
        Share of shuffles that overlap at least as much, the real one counted in.
    k, judged, shuffles
        Neighbours, items (patients, with groups) among which they were looked for, and shuffles of the p-value.
    patients
        Number of patients; None without groups. Patients that share a source vector count as one.
    draws
        Draws of one row of each patient; 1 without groups.
    repeats
        Pairs whose source vector is exactly an earlier one's. All pairs of one vector are taken for one patient.
    """

    n: int
    dims: tuple[int, int]
    effective: tuple[float, float]
    cka: float
    debiased: float
    debiased_se: float | None
    overlap: Interval
    chance: float
    p_value: float
    k: int
    judged: int
    shuffles: int
    patients: int | None = None
    draws: int = 1
    repeats: int = 0

    @property
    def sentence(self) -> str:
        """The numbers in words."""
        n = self.n - self.repeats
        pairs = f"{n} {'distinct ' if self.repeats else ''}pairs"
        if self.p_value > CLEAR:
            items = "pairs" if self.patients is None else "patients"
            if self.judged < FEW:
                return f"{self.judged} {items} are too few to tell neighbourhoods that agree from chance. Give more."
            whole = pairs if self.patients is None else f"{pairs} of {counted(self.patients, 'patient')}"
            return (
                f"The neighbourhoods agree no more than those of shuffled {items} do (p = {self.p_value:.3f}). Check "
                f"that row i of both sides is one item; if it is, a map has little to find in {whole}."
            )
        times, width = self.overlap.value / self.chance, max(self.effective)
        gain = f"Neighbourhoods agree {times:.1f} times as often as by chance, so a map has something to find"
        if n < 2 * width:
            return (
                f"{gain}. {pairs} are few for about {width:.0f} directions: more will help, and plain least "
                f"squares will not do."
            )
        few = n < 2 * max(self.dims)
        tail = " Least squares needs more pairs than that for these widths; let the map be chosen." if few else ""
        return f"{gain}; {pairs} are enough for the {width:.0f} directions that carry the spread.{tail}"

    @property
    def complete(self) -> bool:
        """True if the neighbourhoods of all items (patients, with groups) were compared, not of a sample."""
        return self.judged == (self.n - self.repeats if self.patients is None else self.patients)

    @property
    def compared(self) -> str:
        """The items whose neighbourhoods were compared, in words."""
        whole, items = (self.n - self.repeats, "items") if self.patients is None else (self.patients, "patients")
        return f"{self.judged} {items}" if self.complete else f"{self.judged} of {whole} {items}, drawn"

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "overlap": self.overlap._asdict(), "sentence": self.sentence}

    def __str__(self) -> str:
        among = self.compared
        if self.patients is not None or self.repeats:
            among += f", one row each{f', {self.draws} draws' if self.draws > 1 else ''}"
        error = "" if self.debiased_se is None else f" +- {self.debiased_se:.3f}"
        return "\n".join(
            [
                f"Stitchability of {self.n} pairs, {self.dims[0]} and {self.dims[1]} wide",
                f"  effective rank     {self.effective[0]:.1f} and {self.effective[1]:.1f}",
                f"  CKA                {self.cka:.3f}  (biased upwards)",
                f"  CKA, debiased      {self.debiased:.3f}{error}  (0 if unrelated)",
                f"  mutual {self.k}-NN{'':<{max(0, 9 - len(str(self.k)))}}  {self.overlap}  (chance {self.chance:.3f}, "
                f"p = {self.p_value:.3f}; {among})",
                *repeats_note(self.repeats, self.n),
                self.sentence,
            ]
        )


def stitchability(
    x: Any,
    y: Any,
    k: int = 10,
    *,
    groups: Any = None,
    rows: int = ROWS,
    shuffles: int = 200,
    replicates: int = 1000,
    seed: int = 0,
) -> Stitchability:
    """Likeness of two spaces on the same items, measured before a map is fitted.

    Parameters
    ----------
    x : (n, d_x), y : (n, d_y)
        Embeddings (paired by id) or arrays of one library (paired by row).
    k
        Neighbours of the mutual k-NN; compare overlaps only at the same n and k.
    groups : (n,) or mapping id -> patient, optional
        Rows of one patient are each other's neighbours in most spaces, related or not. With groups they never are:
        one row of each patient is drawn, up to 20 times, and patients are shuffled and resampled, not rows. A
        ``k`` above half of a patient's others is lowered to that; the result says which was used.
        Pairs that repeat a source vector exactly are taken for one patient, with or without groups.
    rows
        At most so many items (patients), drawn with ``seed``, are compared by neighbourhood; CKA takes all.
    shuffles, replicates
        Seed of the p-value and of the interval. The interval takes into account that items are each other's neighbours
        (:func:`stitchkit.metrics.overlap_intervals.overlap_intervals` says what was measured).

    Returns
    -------
    Stitchability
        Print it.

    Raises
    ------
    InputError
        For fewer than 4 pairs, not more than ``k``, sides of unequal length, a side that does not vary, or groups
        that are all one patient.

    References
    ----------
    Mutual k-NN: Huh et al., "The platonic representation hypothesis", ICML 2024. CKA: Kornblith et al., ICML 2019.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 6))
    >>> found = stitchability(x, x @ rng.normal(size=(6, 9)), k=5)
    >>> found.p_value < 0.01 and found.overlap.low > found.chance
    True
    """
    check_seed(seed)
    left, right = matched_sides(x, y)
    n = len(left)
    check_size(n, k)
    if min(shuffles, replicates) < 1 or rows <= k:
        raise InputError(
            f"shuffles and replicates must be at least 1 and rows above k = {k}; got {shuffles}, {replicates}, {rows}."
        )
    with one_blas_thread(n <= FEW_PAIRS):
        patients = anchor_groups(groups, left)
        together = Clusters.of(left, patients)  # a repeat of a row is its neighbour in any space
        moments = Moments.of(left, right)
        biased = cka(moments)  # refuses a side that does not vary, before the neighbours are sought
        draws = PatientDraws.of(n, together.labels, k, most=rows, seed=seed)
        near, far = (draws.neighbours(side.vectors) for side in (left, right))
        overlap = Overlap.of(near, far)
        shuffled = shuffled_overlaps(near, far, shuffles, seed)
        debiased, error = _debiased_cka(left, right, together.labels, seed)
        return Stitchability(
            n=n,
            dims=moments.shape,
            effective=(effective_rank(moments.scatter_ss), effective_rank(moments.scatter_tt)),
            cka=biased,
            debiased=debiased,
            debiased_se=error,
            overlap=share_intervals([overlap], replicates, seed)[0],
            chance=draws.chance,
            p_value=beyond(overlap.value, shuffled),
            k=draws.k,
            judged=draws.items,
            shuffles=shuffles,
            patients=None if patients is None else together.count(n),
            draws=len(draws.rows),
            repeats=together.repeated,
        )


def beyond(value: float, shuffled: np.ndarray) -> float:
    """The p-value of an overlap: share of ``shuffled`` ones (b,) at least as large, the real one counted in."""
    return float((1 + np.sum(shuffled >= value * (1 - 1e-12))) / (1 + len(shuffled)))


def repeats_note(repeats: int, n: int) -> list[str]:
    """A line where vectors repeat, else none."""
    return [f"{repeats} of {n} items repeat another's vector exactly and count with it as one"] if repeats else []


def _debiased_cka(
    left: Embeddings, right: Embeddings, together: np.ndarray | None, seed: int
) -> tuple[float, float | None]:
    """Debiased CKA of rows, or of patients' means, with its error: the estimate is unbiased for independent rows."""
    if together is None:
        return debiased_cka(left, right), debiased_cka_error(left.vectors, right.vectors, seed=seed)
    if len(np.unique(together)) < LEAST:
        return debiased_cka(left, right), None
    means = [patient_means(side.vectors, together) for side in (left, right)]
    return debiased_cka(*means), debiased_cka_error(means[0], means[1], seed=seed)


def effective_rank(scatter: Array) -> float:
    """The participation ratio ``(sum l)^2 / sum l^2`` of the eigenvalues l of ``scatter`` (d, d): 1 to d."""
    xp = namespace(scatter)
    return float(xp.linalg.trace(scatter)) ** 2 / float(xp.sum(scatter * scatter))


def matched_sides(source: Any, target: Any) -> tuple[Embeddings, Embeddings]:
    """Both sides as embeddings whose row i is one item: by id where both have ids, else by row."""
    x, y = as_embeddings(source, "source"), as_embeddings(target, "target")
    if isinstance(source, Embeddings) and isinstance(target, Embeddings):
        y = y.take(rows_of(x.ids, y.ids, f"the embeddings of {y.space.name!r}"))
    check_paired(len(x), len(y), least=1)
    return x, y


def check_size(n: int, k: int) -> None:
    """Raise unless ``n`` items are enough for the measures and for ``k`` neighbours each."""
    if n < LEAST:
        raise InputError(f"got {n} pairs; at least {LEAST} are needed, and some 50 to say anything. Give more pairs.")
    if not 1 <= k < n:
        raise InputError(
            f"k = {k} neighbours of each item need k of at least 1 and more than k items; got {n}. Lower k, or give "
            f"more pairs."
        )
