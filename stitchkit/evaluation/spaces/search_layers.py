"""Layers of two encoders that agree: mutual k-NN of every pair of layers, on the same items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stitchkit.alignment.clusters import Clusters
from stitchkit.core.arrays import Array
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.pairing import anchor_groups
from stitchkit.core.plain_values import plain_values
from stitchkit.core.seeds import check_seed
from stitchkit.core.text_tables import text_table
from stitchkit.core.wording import counted
from stitchkit.evaluation.patient_draws import PatientDraws
from stitchkit.evaluation.spaces.stitchability import CLEAR, beyond, check_size, repeats_note
from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.neighbourhoods import shuffled_overlaps
from stitchkit.metrics.overlap_intervals import Overlap, overlap_intervals, share_intervals
from stitchkit.runtime.progress import Progress
from stitchkit.runtime.threads import FEW_PAIRS, one_blas_thread


@dataclass(frozen=True, slots=True)
class LayerPair:
    """One pair of layers: the overlap of its neighbourhoods, and how far it is behind the best pair (None for it)."""

    source: str
    target: str
    overlap: Interval
    behind: Interval | None


@dataclass(frozen=True, slots=True)
class LayerSearch(NotebookText):
    """Every pair of layers, best first.

    Parameters
    ----------
    pairs
        With 95 % intervals from the same resamples, so that differences are paired.
    n, k, chance
        Items, neighbours, and the overlap of shuffled items (of shuffled patients, with groups).
    rivals
        Number of other pairs that the best one does not beat clearly: the interval of the difference holds 0.
    p_value
        Share of shuffles of the items whose best pair of layers overlaps at least as much as the best one here, the
        real one counted in: that the best of many was taken is in it, and it is not in the pairs' own intervals.
    shuffles
        Number of shuffles of the p-value.
    patients
        Number of patients; None without groups. Patients that share a vector of the first layer count as one.
    repeats
        Items whose vector of the first layer is exactly an earlier one's. All items of one vector are taken for one
        patient.
    """

    pairs: tuple[LayerPair, ...]
    n: int
    k: int
    chance: float
    rivals: int
    p_value: float
    shuffles: int
    patients: int | None = None
    repeats: int = 0

    @property
    def best(self) -> LayerPair:
        """The pair whose neighbourhoods agree most."""
        return self.pairs[0]

    @property
    def clear(self) -> bool:
        """True if it beats every other pair beyond the intervals, and the best of shuffled ones (p of .05)."""
        return self.rivals == 0 and self.p_value <= CLEAR

    @property
    def sentence(self) -> str:
        """The best pair in words, with a doubt if it is not clear."""
        best = f"{self.best.source} with {self.best.target}"
        if self.p_value > CLEAR:
            as_well = f"the best of {len(self.pairs)} does" if len(self.pairs) > 1 else "the only one does"
            return (
                f"No pair of layers agrees beyond chance: with shuffled items {as_well} as well "
                f"(p = {self.p_value:.3f}). Check that the rows are one item each."
            )
        if len(self.pairs) == 1:
            return f"{best} is the only pair there is; it agrees beyond chance (p = {self.p_value:.3f})."
        if self.clear:
            return (
                f"{best} wins clearly (p = {self.p_value:.3f} for the best of {len(self.pairs)}): every other pair is "
                f"behind it beyond the 95 % interval."
            )
        return (
            f"{best} comes first (p = {self.p_value:.3f} for the best of {len(self.pairs)}), but {self.rivals} of the "
            f"other {len(self.pairs) - 1} pairs are not clearly behind. Take whichever of them is cheaper, or judge "
            f"them on more items."
        )

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rows = [
            {
                **asdict(one),
                "overlap": one.overlap._asdict(),
                "behind": None if one.behind is None else one.behind._asdict(),
            }
            for one in self.pairs
        ]
        return {**asdict(self), "pairs": rows, "clear": self.clear, "sentence": self.sentence}

    def __str__(self) -> str:
        names = [f"{one.source} with {one.target}" for one in self.pairs]
        of = "" if self.patients is None else f" of {counted(self.patients, 'patient')}, one row each"
        lines = [f"Mutual {self.k}-NN of {counted(self.n, 'item')}{of}, chance {self.chance:.3f}"]
        rows = [("layers", "overlap [95 %]", "behind the best")]
        rows += [(name, str(one.overlap), str(one.behind or "")) for name, one in zip(names, self.pairs, strict=True)]
        lines += text_table(rows, indent="  ")
        return "\n".join([*lines, *repeats_note(self.repeats, self.n), self.sentence])


def search_layers(
    x: Mapping[Any, Any],
    y: Mapping[Any, Any],
    *,
    k: int = 10,
    groups: Any = None,
    shuffles: int = 200,
    replicates: int = 1000,
    seed: int = 0,
    progress: bool | None = None,
) -> LayerSearch:
    """The layers of two encoders that agree best, by mutual k-NN on the same items.

    Parameters
    ----------
    x, y
        Layer -> vectors (n, d) of the same n items, paired by row or, for embeddings, by id.
    k
        Neighbours.
    groups : (n,) or mapping id -> patient, optional
        Rows of one patient are then never each other's neighbours: one row of each is drawn, up to 20 times, and
        patients are resampled. A ``k`` above half of a patient's others is lowered to that. Items that repeat a
        vector of the first layer exactly are taken for one patient, with or without groups.
    shuffles, replicates
        Seed of the p-value and of the intervals, default 0.
    progress
        A bar on a terminal or in a notebook: None after two seconds, True at once, False never.

    Returns
    -------
    LayerSearch
        Sorted; print it. The neighbour lists are found once, the items are resampled: the intervals are of the
        mean over items like these. The items are shuffled alike for all pairs of layers, and the best pair is held
        against the best of each shuffle.

    Raises
    ------
    InputError
        If a side is empty, for layers of unequal length, for not more than ``k`` items, or for groups that are all
        one patient.

    References
    ----------
    The layer-pair search by mutual k-NN follows STRUCTURE (Gröger et al., NeurIPS 2025).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> early, late = rng.normal(size=(100, 5)), rng.normal(size=(100, 5))
    >>> found = search_layers({4: early, 8: late}, {12: late @ rng.normal(size=(5, 7))}, k=5)
    >>> found.best.source, found.clear
    ('8', True)
    """
    check_seed(seed)
    for side, layers in (("x", x), ("y", y)):
        if not isinstance(layers, Mapping) or not layers:
            raise InputError(f"{side} must name at least one layer: pass {{layer: vectors}}.")
    first = as_embeddings(next(iter(x.values())), "x")
    check_size(len(first), k)
    if min(shuffles, replicates) < 1:
        raise InputError(f"a search needs 1 shuffle and 1 resample at least; got {shuffles} and {replicates}.")
    n, patients = len(first), anchor_groups(groups, first)
    together = Clusters.of(first, patients)  # a repeat of a row is its neighbour in any space
    draws = PatientDraws.of(n, together.labels, k, most=n, seed=seed)
    with one_blas_thread(n <= FEW_PAIRS):
        lists = [{name: draws.neighbours(_layer(one, name, first)) for name, one in side.items()} for side in (x, y)]
    names = [(a, b) for a in x for b in y]
    shares = [Overlap.of(lists[0][a], lists[1][b]) for a, b in names]
    best = np.zeros(shuffles)
    with Progress(progress) as bar:
        bar.begin("shuffling, pairs of layers", len(names))
        for a, b in names:
            best = np.maximum(best, shuffled_overlaps(lists[0][a], lists[1][b], shuffles, seed))
            bar.step(1)
    order = np.argsort([-one.value for one in shares], kind="stable").tolist()
    shares, names = [shares[row] for row in order], [names[row] for row in order]
    overlaps = share_intervals(shares, replicates, seed)
    behind = [None, *overlap_intervals([shares[0] - one for one in shares[1:]], replicates, seed)]
    rows = zip(names, overlaps, behind, strict=True)
    pairs = [LayerPair(str(a), str(b), overlap, gap) for (a, b), overlap, gap in rows]
    rivals = sum(one.behind is not None and one.behind.low <= 0 for one in pairs)
    known = None if patients is None else draws.items
    return LayerSearch(
        pairs=tuple(pairs),
        n=n,
        k=draws.k,
        chance=draws.chance,
        rivals=rivals,
        p_value=beyond(shares[0].value, best),
        shuffles=shuffles,
        patients=known,
        repeats=together.repeated,
    )


def _layer(vectors: Any, name: Any, first: Embeddings) -> Array:
    """Vectors (n, d) of a layer in the order of the first one's items."""
    layer = as_embeddings(vectors, f"layer {name}")
    if isinstance(vectors, Embeddings) and not np.array_equal(layer.ids, first.ids):
        layer = layer.of_ids(first.ids)
    if len(layer) != len(first):
        raise InputError(f"layer {name} has {len(layer)} rows, the first one {len(first)}. Embed the same items.")
    return layer.vectors
