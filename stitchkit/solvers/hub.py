"""Two spaces joined through a third: pairs A-hub and pairs hub-B, and no pair A-B, composed in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stitchkit.core.alignments import NO_COMMON_CENTRE, Alignment
from stitchkit.core.arrays import Array, float64, like, namespace, svd, zeros_like_width
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import EvidenceError, InputError, UnknownNameError
from stitchkit.core.maps import AffineMap
from stitchkit.core.moments.chunks import check_paired
from stitchkit.core.moments.moments import Moments
from stitchkit.core.space import Space, common_fingerprint
from stitchkit.solvers.settings import check_number_kept, check_strength, plain_numbers
from stitchkit.solvers.sides import numerical_rank

CENTERS = ("own", "hub")
APART = 0.5  # of the hub's total standard deviation: from here on the record remarks on how far its two means differ
COVERED = 0.85  # share of A's link with the hub; below it, naming classes lost .1 to .3 of balanced accuracy


@dataclass(frozen=True)
class HubComposition:
    """SVD of ``(C_A + k_A I)^-1/2 K (C_B + k_B I)^-1/2 = U diag(c) V'`` with ``K = C_AH (C_HH + r I)^-1 C_HB``.

    C are covariances, for the two sets of pairs differ in size; C_HH is pooled over both, each about its own mean.
    K is the covariance of A and B if, for Gaussian vectors, the hub holds all that they share. The columns of U and
    V are carriers of strength c, from 0 to about 1. The directed map is ``(C_A + k_A I)^-1 K``, ridge regression on
    the composed moments.

    The composition carries only what the pairs (hub, B) show. The record's ``hub_coverage``, from 0 to 1, is the share
    of A's link with the hub that lies along directions of the hub in which these pairs vary by more than the ridge.
    Where it is low, as with texts of another kind, the loss is large: add pairs of A's kind.

    Parameters
    ----------
    kappa
        Ridge of the two whitenings: ``k = kappa tr(C) / d``. Where A and B have strong variance of their own that the
        hub does not share, and pairs are many, 0.1 is better.
    hub_kappa
        Ridge of the hub, likewise.
    dims
        Carriers kept; None keeps all that the moments show.
    weighted
        Let carrier j count ``c_j ** power`` in the similarity. Without weights every direction counts alike, noise
        included.
    center
        Centre subtracted from each side: ``"own"``, its mean over its own pairs, or ``"hub"``, the mean it would
        have if both sets had the same, pooled mean in the hub. ``"own"`` forgets that the two sets differ as a
        whole, which is right where they do so in kind (X-ray and CT reports); ``"hub"`` keeps it, which is right
        where the same kind of item was drawn differently and is a guess where the sets lie far apart. For a list of
        classes neither is as good as the mean of the classes' own vectors.
    power
        Exponent of the carriers' strengths in the similarity, from 0 to 1.

    """

    kappa: float = 1.0
    hub_kappa: float = 0.1
    dims: int | None = None
    weighted: bool = True
    center: str = "own"
    power: float = 0.5

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_strength(self.kappa, "kappa")
        check_strength(self.hub_kappa, "hub_kappa")
        check_number_kept(self.dims, "dims")
        if not 0 <= self.power <= 1:
            raise InputError(f"power is an exponent from 0 to 1; got {self.power}.")
        if self.center not in CENTERS:
            raise UnknownNameError.of("center", self.center, CENTERS)

    def fit(self, a_hub: Moments, hub_b: Moments) -> Alignment:
        """The alignment of A and B from moments of pairs (A, hub) and of pairs (hub, B).

        Raises
        ------
        SpaceMismatchError
            If the target of the first moments is not the source of the second.
        InputError
            For fewer than two pairs on one side, or moments of different array libraries.
        """
        a_hub.target.require(hub_b.source, "the hub")
        for moments in (a_hub, hub_b):
            check_paired(moments.count, moments.count)
        xp = namespace(a_hub.scatter_st, hub_b.scatter_st)
        n, m = a_hub.weight, hub_b.weight
        hub = (a_hub.scatter_tt + hub_b.scatter_ss) / (n + m)
        half, _ = _roots(hub, self.hub_kappa)
        left = a_hub.scatter_st / n @ half  # (d_a, h); K = left @ right
        right = xp.matrix_transpose(half) @ hub_b.scatter_st / m
        white_a, _ = _roots(a_hub.scatter_ss / n, self.kappa)
        white_b, colour_b = _roots(hub_b.scatter_tt / m, self.kappa)
        u, c, vh = svd(xp.matrix_transpose(white_a) @ left @ right @ white_b)
        shown = max(numerical_rank(c), 1)
        k = shown if self.dims is None else min(self.dims, shown)
        weight_a, weight_b = white_a @ u[:, :k], white_b @ xp.matrix_transpose(vh[:k, :])
        directed = weight_a @ (c[:k][:, None] * vh[:k, :]) @ colour_b
        center_a, center_b = self._centers(a_hub, hub_b)
        spaces = (a_hub.source, a_hub.target, hub_b.target)
        fingerprint = common_fingerprint(spaces, a_hub.count, hub_b.count, weights=[weight_a])
        common = Space(f"{a_hub.source.name} | {hub_b.target.name}", k, fingerprint)
        zero = zeros_like_width(c, k)
        return Alignment(
            AffineMap(a_hub.source, common, center_a, weight_a, zero, k),
            AffineMap(hub_b.target, common, center_b, weight_b, zero, k),
            xp.clip(c[:k], 0.0, 1.0) ** self.power if self.weighted else None,
            AffineMap(a_hub.source, hub_b.target, center_a, directed, center_b, k),
            self._record(
                a_hub,
                hub_b,
                c[:k],
                _gap(a_hub.mean_t - hub_b.mean_s, hub),
                _coverage(xp.matrix_transpose(white_a) @ a_hub.scatter_st / n, hub_b.scatter_ss / m, self.hub_kappa),
            ),
        )

    def _centers(self, a_hub: Moments, hub_b: Moments) -> tuple[Array, Array]:
        """Centres subtracted from A (d_a,) and from B (d_b,)."""
        if self.center == "own":
            return a_hub.mean_s, hub_b.mean_t
        n, m, xp = a_hub.weight, hub_b.weight, namespace(a_hub.scatter_st)
        pooled = (n * a_hub.mean_t + m * hub_b.mean_s) / (n + m)
        # from the hub back to each side by ridge regression within its own set: the pooled covariance would put the
        # sampling error of that set's covariance into the step
        half_a, _ = _roots(a_hub.scatter_tt / n, self.hub_kappa)
        half_b, _ = _roots(hub_b.scatter_ss / m, self.hub_kappa)
        step_a = (pooled - a_hub.mean_t)[None, :] @ half_a @ xp.matrix_transpose(a_hub.scatter_st / n @ half_a)
        step_b = (pooled - hub_b.mean_s)[None, :] @ half_b @ (xp.matrix_transpose(half_b) @ hub_b.scatter_st / m)
        return a_hub.mean_s + step_a[0, :], hub_b.mean_t + step_b[0, :]

    def _record(self, a_hub: Moments, hub_b: Moments, c: Array, gap: float, coverage: float) -> dict[str, Any]:
        k, names = int(c.shape[0]), ("kappa", "hub_kappa", "weighted", "center", "power")
        return {
            "solver": "hub",
            "settings": {**{name: getattr(self, name) for name in names}, "dims": k},
            "rank": k,
            "anchors": [a_hub.count, hub_b.count],
            "hub": a_hub.target.name,
            "hub_gap": gap,
            "hub_coverage": coverage,
            "carriers": [float(one) for one in c],
            "notes": _notes(a_hub, hub_b, gap if self.center == "own" else 0.0, coverage),
        }


def log_likelihood_ratio(alignment: Alignment, a: Any, b: Any, *, ceiling: float = 0.99) -> Array:
    """Log-likelihood ratio of ``a`` and ``b`` as a pair against independent items, under the fitted Gaussian carriers.

    ``sum_j -log(1 - c_j^2) / 2 + (2 c_j x_j y_j - c_j^2 (x_j^2 + y_j^2)) / (2 (1 - c_j^2))`` with x and y the
    vectors in the common space. Unlike the cosine it depends on the distance of a vector from the mean.

    Parameters
    ----------
    alignment
        From :class:`HubComposition`; its record holds the carriers.
    a : (n_a, d_a), b : (n_b, d_b)
        Embeddings or plain arrays.
    ceiling
        Strengths are clipped to this, below 1: few pairs make them look stronger than they are.

    Returns
    -------
    (n_a, n_b) array
        In nats, any real number; 0 where the evidence is balanced.
    """
    if "carriers" not in alignment.record:
        raise EvidenceError(
            f"the alignment {alignment.source.name!r} -> {alignment.target.name!r} was not composed through a hub and "
            f"holds no carriers. Fit it with sk.align_through, or use its similarity."
        )
    if not 0 < ceiling < 1:
        raise InputError(f"ceiling lies between 0 and 1, both excluded; got {ceiling}.")
    x, y = (m.vectors if isinstance(m, Embeddings) else m for m in (alignment.source_map(a), alignment.target_map(b)))
    x = float64(x)
    xp = namespace(x)
    y = like(y, x, dtype=x.dtype)
    c = xp.clip(like(xp.asarray(alignment.record["carriers"], dtype=xp.float64), x), 0.0, ceiling)
    rest = 1 - c * c
    own = [-0.5 * ((one * one) @ (c * c / rest)) for one in (x, y)]
    constant = -0.5 * float(xp.sum(xp.log(rest)))
    return (x * (c / rest)) @ xp.matrix_transpose(y) + own[0][:, None] + own[1][None, :] + constant


def _roots(covariance: Array, kappa: float) -> tuple[Array, Array]:
    """(C + k I)^-1/2 up to a rotation, (d, d), and its inverse; k relative to the mean eigenvalue."""
    xp = namespace(covariance)
    values, vectors = xp.linalg.eigh(covariance)
    values = xp.where(values > 0, values, xp.zeros_like(values))
    root = xp.sqrt(values + (kappa * float(xp.sum(values)) / int(values.shape[0]) or 1.0))
    return vectors / root, root[:, None] * xp.matrix_transpose(vectors)


def _gap(step: Array, covariance: Array) -> float:
    """Length of ``step`` (d,) relative to the square root of the total variance."""
    xp = namespace(step)
    spread = float(xp.linalg.trace(covariance))
    return float(xp.sum(step * step) / spread) ** 0.5 if spread > 0 else 0.0


def _coverage(link: Array, covariance: Array, kappa: float) -> float:
    """Share of ``link`` (r, h), A's whitened covariance with the hub, in directions in which other pairs vary."""
    xp = namespace(link)
    values, vectors = xp.linalg.eigh(covariance)
    values = xp.where(values > 0, values, xp.zeros_like(values))
    kept = values / (values + (kappa * float(xp.sum(values)) / int(values.shape[0]) or 1.0))
    size = xp.sum((link @ vectors) ** 2, axis=0)
    whole = float(xp.sum(size))
    return float(xp.sum(size * kept)) / whole if whole > 0 else 0.0


def _notes(a_hub: Moments, hub_b: Moments, gap: float, coverage: float) -> list[str]:
    """Notes: no pair was seen, no centre is shared with other maps, and measured signs that the composition loses."""
    a, hub, b = a_hub.source.name, a_hub.target.name, hub_b.target.name
    notes = [f"no pair of {a!r} and {b!r} was seen; nothing was measured on one", NO_COMMON_CENTRE]
    if coverage < COVERED:
        notes.append(
            f"the {hub_b.count} pairs of {hub!r} and {b!r} show {coverage:.2f} of what {a!r} and the hub share; the "
            f"rest is lost. Add pairs like those of {a!r}, and compare with sk.align_many of {hub!r} and {b!r} with "
            f"{a!r} fitted to it"
        )
    if gap > APART:
        notes.append(
            f"the two sets' means in the hub are {gap:.2f} of its standard deviation apart, so scores of classes share "
            f"an offset; take the mean of the classes' own vectors off them before they are scored"
        )
    return notes
