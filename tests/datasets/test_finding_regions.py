"""Regions of findings: local for every finding, on the side of the facts, and only where the film changes."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.datasets.phantoms import FINDINGS, draw_phantoms, finding_regions, render

SIZE = 96


@pytest.fixture(scope="module")
def films():
    return draw_phantoms(24, seed=3, prevalence=0.0)


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_region_is_local_and_holds_every_pixel_that_the_finding_changes(films, finding):
    shares = []
    for one in films:
        shown = one.with_severity(**{finding: 0.9})
        ((name, region),) = finding_regions(shown, SIZE).items()
        assert name == finding
        changed = np.abs(render(shown, SIZE).astype(int) - render(one, SIZE).astype(int))
        assert (changed[region] >= 4).all()
        assert (changed[~region] <= 5).all()  # rounding of both films
        shares.append(region.mean())
    assert 0.005 < np.median(shares) < 0.2


def test_a_region_is_of_one_finding_among_others_and_absent_ones_have_none(films):
    both = films[0].with_severity(effusion=0.9, nodule=0.9)
    regions = finding_regions(both, SIZE)
    assert set(regions) == {name for name, grade in zip(FINDINGS, both.severities, strict=True) if grade}
    alone = finding_regions(films[0].with_severity(effusion=0.9), SIZE)["effusion"]
    overlap = (regions["effusion"] & alone).sum() / (regions["effusion"] | alone).sum()
    assert overlap > 0.8
    assert finding_regions(films[0], SIZE) == {}


def test_a_finer_film_has_the_same_region(films):
    one = films[1].with_severity(**{FINDINGS[0]: 0.9})
    coarse, fine = (finding_regions(one, size)[FINDINGS[0]].mean() for size in (112, 224))
    assert coarse == pytest.approx(fine, rel=0.25)
