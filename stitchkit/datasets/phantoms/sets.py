"""Phantoms with films, reports and labels, ready to embed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stitchkit.core.seeds import check_seed
from stitchkit.datasets.phantoms.facts import FINDINGS, Phantom, draw_phantoms
from stitchkit.datasets.phantoms.film import render
from stitchkit.datasets.phantoms.reports import reported_findings, write_report

__all__ = ["PhantomSet", "make_phantoms"]


@dataclass(frozen=True, slots=True, eq=False)
class PhantomSet:
    """``n`` phantoms with everything a study needs.

    Attributes
    ----------
    ids : (n,) str
        ``"phantom-<seed>-00012"``.
    images : (n, size, size) uint8
    reports : n texts
    labels : (n, c) int8
        True findings, 0 or 1; c = ``len(FINDINGS)``.
    reported : (n, c) int8
        Findings that the reports name: ``labels`` with the label noise.
    severity : (n, c) float32
        In [0, 1]; 0 is absent.
    views, sexes : (n,) str
        ``"PA"`` or ``"AP"``; ``"F"`` or ``"M"``.
    patients : (n,) str
        Some patients have two films; keep them on one side of a split.
    phantoms : n facts
    """

    ids: NDArray[np.str_]
    images: NDArray[np.uint8]
    reports: list[str]
    labels: NDArray[np.int8]
    reported: NDArray[np.int8]
    severity: NDArray[np.float32]
    views: NDArray[np.str_]
    sexes: NDArray[np.str_]
    patients: NDArray[np.str_]
    phantoms: tuple[Phantom, ...]

    def __len__(self) -> int:
        return len(self.ids)


def make_phantoms(
    n: int,
    *,
    seed: int,
    size: int = 96,
    noise: float = 0.05,
    silent: tuple[str, ...] = (),
    prevalence: float = 0.2,
) -> PhantomSet:
    """``n`` films with their reports and labels.

    Parameters
    ----------
    n
        Number of films.
    seed
        Decides everything.
    size
        Pixels a side.
    noise
        Chance that a finding is misreported, in [0, 1].
    silent
        Findings that no report mentions.
    prevalence
        Chance of each finding, in [0, 1].

    Examples
    --------
    >>> few = make_phantoms(3, seed=1, size=32)
    >>> few.images.shape, few.ids[2]
    ((3, 32, 32), np.str_('phantom-1-00002'))
    """
    check_seed(seed)
    phantoms = draw_phantoms(n, seed=seed, prevalence=prevalence)
    severity = np.array([one.severities for one in phantoms], np.float32).reshape(n, len(FINDINGS))
    reported = [reported_findings(one, seed=seed, noise=noise) for one in phantoms]
    images = np.empty((n, size, size), np.uint8)
    for row, one in enumerate(phantoms):
        images[row] = render(one, size)
    return PhantomSet(
        ids=np.array([f"phantom-{seed}-{row:05d}" for row in range(n)], np.str_),
        images=images,
        reports=[write_report(one, seed=seed, noise=noise, silent=silent) for one in phantoms],
        labels=(severity > 0).astype(np.int8),
        reported=np.array(reported, np.int8).reshape(n, len(FINDINGS)),
        severity=severity,
        views=np.array([one.view for one in phantoms], np.str_),
        sexes=np.array([one.sex for one in phantoms], np.str_),
        patients=np.array([f"patient-{seed}-{one.patient:05d}" for one in phantoms], np.str_),
        phantoms=phantoms,
    )
