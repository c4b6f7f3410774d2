"""Choice of rows to make anchors of: n picks out of many, before anybody writes their reports or reads their scans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stitchkit.core.arrays import float64, to_numpy
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.pairing import anchor_groups, in_order_of
from stitchkit.core.patients import patient_of_each
from stitchkit.core.seeds import check_seed
from stitchkit.core.wording import setting
from stitchkit.metrics.ranks import distinct_rows

TILE = 8192  # rows whose distances are worked out at once
RIDGE = 1.0  # of the leverage rule, relative to the mean eigenvalue of the rows' second moments
USUAL = 0.75  # quantile of the lengths up to which they count
OF_CLASSES, OF_TEXTS = "balanced", "diverse-text"  # methods that read classes, and vectors of the texts
WITHOUT_VECTORS = ("random", OF_CLASSES)  # methods that compare no vectors
FAR = 3.0  # times that length, beyond which a row is an outlier


def choose_anchors(
    embeddings: Any,
    n: int,
    *,
    method: str = "kmeans",
    other: Any = None,
    classes: Any = None,
    groups: Any = None,
    seed: int = 0,
) -> np.ndarray:
    """Rows to make anchors of, in the order they were picked.

    Every method takes patients that were picked least first (with ``groups``, no patient twice while another has none)
    and, within that, rows equal to a picked one last. Rows are centred on all rows. ``"kmeans"`` compares their
    directions, as matching does. The rules that look for what is far keep a row's length up to the upper quartile of
    all lengths: of directions alone they picked short rows, which are mostly noise where length carries signal, and of
    rows as they come outliers. Rows more than three times that long are shortened again.

    Parameters
    ----------
    embeddings : (m, d)
        Embeddings or an array: the items one could get pairs for.
    n
        Anchors wanted, 1 to m.
    method
        ``"random"``; ``"kmeans"``, the row nearest to each of n centroids; ``"farthest"``, each time the row farthest
        from those picked, from a random first one; ``"leverage"``, each time the row that raises
        ``log det (lam I + sum x x')`` most, lam the mean eigenvalue (greedy D-optimal design);
        ``"balanced"``, as many of each class as can be, at random within a class; ``"diverse-text"``,
        ``"farthest"`` on ``other``.
        The first k picks of every method but ``"kmeans"`` are what it picks for k.
    other : (m, d_o), optional
        Vectors of the items' texts, row by row or by id; only ``"diverse-text"`` reads them.
    classes : (m,), optional
        One class a row; only ``"balanced"`` reads them.
    groups : (m,) or mapping id -> group, optional
        Patient of each row.
    seed
        Seed of the random draws, default 0; the same seed gives the same rows. ``"leverage"`` draws nothing.

    Returns
    -------
    (n,) int64
        Positions, all different.

    Raises
    ------
    InputError
        If n is not between 1 and m, or what the method reads is missing or of another length.
    UnknownNameError
        If there is no such method.

    References
    ----------
    Farthest point: Gonzalez, Theoretical Computer Science 38 (1985), within twice the best covering radius.

    Examples
    --------
    >>> x = np.array([[1.0, 0.0], [1.1, 0.0], [0.0, 1.0], [0.0, 1.1], [-1.0, -1.0], [-1.1, -1.1]])
    >>> sorted((choose_anchors(x, 3) // 2).tolist())
    [0, 1, 2]
    >>> sorted(choose_anchors(x, 2, method="balanced", classes=["ill"] * 5 + ["well"]).tolist())[1]
    5
    """
    check_seed(seed)
    check_method(method, classes=classes is not None)
    x = as_embeddings(embeddings, "embeddings")
    if not 1 <= n <= len(x):
        raise InputError(f"{n} anchors were asked of {len(x)} rows. Ask for 1 to {len(x)}, or give more rows.")
    named = anchor_groups(groups, x)
    if method == OF_TEXTS:
        x = _other_side(embeddings, x, other)
    rows = to_numpy(float64(x.vectors))
    copies = distinct_rows(rows)
    labels = _classes(classes, len(x)) if method == OF_CLASSES else np.zeros(len(x), dtype=int)
    patients = _codes(patient_of_each(named, len(x)))
    scaled = _bound(rows) if method in FAR_SEEKING else _directions(rows)
    choice = _Choice(rows=scaled, patient=patients, copy=copies, rng=np.random.default_rng(seed), labels=labels)
    METHODS[method](choice, n)
    return np.asarray(choice.picked, dtype=np.int64)


def check_method(method: str, *, classes: bool) -> None:
    """Raise for a method that does not exist, or that lacks the classes it reads.

    Parameters
    ----------
    classes
        True if there is a class of each row.
    """
    if method not in METHODS:
        raise UnknownNameError.of("method of choosing anchors", method, METHODS)
    if method == OF_CLASSES and not classes:
        raise InputError(
            setting("method", method)
            + " needs each row's class: pass "
            + setting("label_column", text="classes=, one class a row")
            + "."
        )


@dataclass(slots=True)
class _Choice:
    """Rows picked so far, and what may be picked next."""

    rows: np.ndarray  # (m, d) float64, centred and scaled
    patient: np.ndarray  # (m,) codes
    copy: np.ndarray  # (m,) equal rows share one
    rng: np.random.Generator
    labels: np.ndarray  # (m,) codes
    picked: list[int] = field(default_factory=list)
    burden: np.ndarray = field(init=False)  # (m,) twice the picks of the row's patient, and 1 for a copy of a pick

    def __post_init__(self) -> None:
        self.burden = np.zeros(len(self.rows))

    def pick(self, score: np.ndarray, among: np.ndarray | None = None) -> int:
        """Take the row of the highest ``score`` (m,) of those least burdened, ``among`` (m,) bool if given."""
        free = np.isfinite(self.burden) if among is None else np.isfinite(self.burden) & among
        least = free & (self.burden == self.burden[free].min())
        row = int(np.argmax(np.where(least, score, -np.inf)))
        if not any(self.copy[row] == self.copy[one] for one in self.picked):
            self.burden[self.copy == self.copy[row]] += 1
        self.burden[self.patient == self.patient[row]] += 2
        self.burden[row] = np.inf
        self.picked.append(row)
        return row


def _random(choice: _Choice, n: int) -> None:
    order = choice.rng.random(len(choice.rows))
    for _ in range(n):
        choice.pick(order)


def _balance(choice: _Choice, n: int) -> None:
    """Each time one of the class that has fewest picks and rows left."""
    labels, order = choice.labels, choice.rng.random(len(choice.rows))
    left, have = np.bincount(labels), np.zeros(labels.max() + 1)
    tie_breaks = choice.rng.random(len(have)) / 2  # which class gets the odd one
    for _ in range(n):
        scarcest = int(np.argmin(np.where(left > 0, have + tie_breaks, np.inf)))
        choice.pick(order, labels == scarcest)
        left[scarcest] -= 1
        have[scarcest] += 1


def _farthest(choice: _Choice, n: int) -> None:
    last = choice.pick(choice.rng.random(len(choice.rows)))
    nearest = np.full(len(choice.rows), np.inf)
    for _ in range(n - 1):
        nearest = np.minimum(nearest, _squared_distances(choice.rows, choice.rows[last]))
        last = choice.pick(nearest)


def _leverage(choice: _Choice, n: int) -> None:
    """Rank-one updates of the inverse (d, d) and of every row's gain x' A^-1 x: O(m d) a pick."""
    x = choice.rows
    m, d = x.shape
    floor = RIDGE * float(np.sum(x**2)) / (m * d) or 1.0
    inverse, gain = np.eye(d) / floor, np.sum(x**2, axis=1) / floor
    for _ in range(n):
        row = choice.pick(
            np.round(gain / (gain.max() or 1.0), 9)
        )  # rows of one length start equal: rounding shall not choose among them
        toward = inverse @ x[row]
        length = 1 + float(x[row] @ toward)
        inverse -= np.outer(toward, toward) / length
        gain -= (x @ toward) ** 2 / length


def _kmeans(choice: _Choice, n: int) -> None:
    """The row nearest to each centroid, the largest clusters first."""
    from sklearn.cluster import KMeans

    k = min(n, len(np.unique(choice.copy)))
    fitted = KMeans(k, n_init=1, random_state=int(choice.rng.integers(2**31))).fit(choice.rows)
    centroids = fitted.cluster_centers_[np.argsort(-np.bincount(fitted.labels_, minlength=k), kind="stable")]
    for i in range(n):
        choice.pick(-_squared_distances(choice.rows, centroids[i % k]))


METHODS: dict[str, Callable[[_Choice, int], None]] = {
    "random": _random,
    "kmeans": _kmeans,
    "farthest": _farthest,
    "leverage": _leverage,
    "balanced": _balance,
    "diverse-text": _farthest,
}


FAR_SEEKING = ("farthest", "leverage", "diverse-text")


def _directions(rows: np.ndarray) -> np.ndarray:
    """Rows centred on their mean and at unit length; one that sits on the mean stays zero."""
    centred = rows - rows.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    directions: np.ndarray = centred / np.where(lengths > 0, lengths, 1)
    return directions


def _bound(rows: np.ndarray) -> np.ndarray:
    """Rows centred on their mean, lengths as a share of the usual one: at most 1, and falling again for outliers."""
    directions = _directions(rows)
    lengths = np.linalg.norm(rows - rows.mean(axis=0), axis=1, keepdims=True)
    if not (lengths > 0).any():
        return directions
    share = lengths / np.quantile(lengths[lengths > 0], USUAL)
    bounded: np.ndarray = directions * np.minimum(share, 1) / np.maximum(share / FAR, 1) ** 2
    return bounded


def _squared_distances(rows: np.ndarray, point: np.ndarray) -> np.ndarray:
    """(m,), from differences: a row is at exactly 0 from its copy."""
    tiles = (rows[a : a + TILE] - point for a in range(0, len(rows), TILE))
    return np.concatenate([np.einsum("ij,ij->i", tile, tile) for tile in tiles])


def _other_side(embeddings: Any, x: Embeddings, other: Any) -> Embeddings:
    if other is None:
        raise InputError(
            setting("method", OF_TEXTS) + " needs " + setting("other") + ", the vectors of the items' texts."
        )
    y = as_embeddings(other, "other")
    if isinstance(embeddings, Embeddings) and isinstance(other, Embeddings):
        y = in_order_of(x, y, ("embeddings", "other"), f"the embeddings of {y.space.name!r}")
    if len(y) != len(x):
        raise InputError(f"other has {len(y)} rows and embeddings has {len(x)}; row i of both must be one item.")
    return y


def _classes(classes: Any, m: int) -> np.ndarray:
    names = np.asarray(classes)
    if names.shape != (m,):
        raise InputError(f"classes has shape {names.shape} and there are {m} rows. Give one class a row.")
    return _codes(names.astype(np.str_))


def _codes(names: np.ndarray) -> np.ndarray:
    return np.unique(names, return_inverse=True)[1].reshape(-1)
