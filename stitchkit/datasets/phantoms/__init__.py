"""Chest phantoms: procedural chest films with graded findings and reports. They are drawings, not patients."""

from stitchkit.datasets.phantoms.facts import FINDINGS, Nuisance, Phantom, draw_phantoms
from stitchkit.datasets.phantoms.film import render
from stitchkit.datasets.phantoms.regions import finding_regions
from stitchkit.datasets.phantoms.reports import phantom_prompts, reported_findings, write_report
from stitchkit.datasets.phantoms.sets import PhantomSet, make_phantoms

__all__ = [
    "FINDINGS",
    "Nuisance",
    "Phantom",
    "PhantomSet",
    "draw_phantoms",
    "finding_regions",
    "make_phantoms",
    "phantom_prompts",
    "render",
    "reported_findings",
    "write_report",
]
