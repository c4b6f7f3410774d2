"""Relative representations and ASIF: both spaces described by their cosines to the paired anchors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, float64, namespace, to_numpy
from stitchkit.core.errors import InputError
from stitchkit.core.evidence import Evidence
from stitchkit.core.maps import unit
from stitchkit.core.moments.chunks import check_paired
from stitchkit.core.relative import RelativeMap
from stitchkit.core.space import Space, common_fingerprint
from stitchkit.core.wording import setting
from stitchkit.solvers.frames import require
from stitchkit.solvers.settings import check_number_kept, check_strength, plain_numbers

NOTHING = 1e-13  # of the mean's own length: a row nearer to the mean than this sits on it


@dataclass(frozen=True)
class Relative:
    """``r(x) = cos(x - mean, anchors - mean)`` on both sides, compared by cosine. Nothing is fitted.

    There is no directed map. A head for both spaces can be fitted on ``target_map`` vectors and be given
    ``source_map`` vectors.

    Parameters
    ----------
    center
        Subtract the anchors' mean from each side first. False is the paper's form; vectors of one encoder often
        share a large common part, which then hides the differences.

    References
    ----------
    Moschella et al., "Relative representations enable zero-shot latent space communication", ICLR 2023.
    """

    center: bool = True
    needs = frozenset({"moments", "anchors"})
    directed = False  # no map into the target's own units

    def fit(self, evidence: Evidence) -> Alignment:
        """The alignment whose common space has one coordinate an anchor.

        Raises
        ------
        InputError
            For fewer than two anchors, or an anchor that sits on the mean and so has no direction.
        """
        return _alignment_by_anchors(self, evidence, "relative", {"center": self.center}, [])


@dataclass(frozen=True)
class ASIF:
    """Relative representations of which only the ``keep`` largest entries stay, raised to ``power``.

    A query is described by the few anchors most like it, so that many anchors help: it is a soft nearest-neighbour
    rule. Negative cosines count as 0.

    Parameters
    ----------
    keep
        Entries kept of each row; with fewer anchors than that all stay, and the record says so.
    power
        Exponent above 0; the larger, the more the nearest anchors count.
    center
        Subtract the anchors' mean from each side first; False is the paper's form.

    References
    ----------
    Norelli et al., "ASIF: coupled data turns unimodal models to multimodal without training", NeurIPS 2023.
    """

    keep: int = 800
    power: float = 8.0
    center: bool = True
    needs = frozenset({"moments", "anchors"})
    directed = False  # no map into the target's own units

    def __post_init__(self) -> None:
        plain_numbers(self)
        if self.keep is None:
            raise InputError("ASIF keeps some of the entries; for all of them use Relative().")
        check_number_kept(self.keep, "keep")
        check_strength(self.power, "power")

    def fit(self, evidence: Evidence) -> Alignment:
        """The alignment whose common space has one coordinate an anchor, sparse.

        Raises
        ------
        InputError
            For fewer than two anchors, or an anchor that sits on the mean and so has no direction.
        """
        have = evidence.moments.count
        settings = {"keep": min(self.keep, have), "power": float(self.power), "center": self.center}
        notes: list[str] = (
            [f"{self.keep} anchors were to be kept and there are {have}: all are kept"] if self.keep > have else []
        )
        return _alignment_by_anchors(self, evidence, "asif", settings, notes)


def _alignment_by_anchors(
    solver: Relative | ASIF, evidence: Evidence, name: str, settings: dict[str, Any], notes: list[str]
) -> Alignment:
    require(solver, evidence)
    m = evidence.moments
    check_paired(m.count, m.count)
    means = (m.mean_s, m.mean_t) if solver.center else (None, None)
    sides = list(zip((m.source, m.target), evidence.anchors or (), means, strict=True))
    units = [_directions(rows, mean, space) for space, rows, mean in sides]
    fingerprint = common_fingerprint((m.source, m.target), "relative", weights=units)
    common = Space(f"{m.source.name} ~ {m.target.name}", int(units[0].shape[0]), fingerprint)
    sparse = settings.get("keep"), settings.get("power", 1.0)
    maps = [
        RelativeMap(space, common, rows, mean, *sparse) for (space, _, mean), rows in zip(sides, units, strict=True)
    ]
    rank = min(one.rank for one in maps)
    record = {"solver": name, "settings": settings, "rank": rank, "anchors": m.count, "notes": notes}
    return Alignment(maps[0], maps[1], None, None, record)


def _directions(rows: Array, mean: Array | None, space: Space) -> Array:
    """Anchor ``rows`` (m, d) about ``mean`` at unit length; a row that has no direction is refused."""
    xp, centred = namespace(rows), float64(rows)
    least = 0.0
    if mean is not None:
        centred = centred - mean
        least = NOTHING * float(xp.linalg.vector_norm(mean))
    lost = to_numpy(xp.linalg.vector_norm(centred, axis=1) <= least)
    if lost.any():
        raise InputError(
            f"anchor {int(lost.argmax())} of {space.name!r} sits exactly on the anchors' mean and has no direction; "
            f"{int(lost.sum())} of {len(lost)} do. Leave it out, or use " + setting("center", False) + "."
        )
    return unit(centred)
