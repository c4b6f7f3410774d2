"""Phantom films with reports of several sentences, and the region of each sentence about a finding.

::

    python -m benchmarks.objectives.phantoms benchmarks/objectives/pairs
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from PIL import Image

from stitchkit.datasets.phantoms import FINDINGS, draw_phantoms, render, write_report
from stitchkit.datasets.phantoms.facts import Phantom
from stitchkit.datasets.phantoms.regions import finding_regions
from stitchkit.datasets.phantoms.reports import write_caption

COUNTS = {"train": 4000, "test": 600}
SIDE, SEVERITY, PREVALENCE = 64, 0.9, 0.4


def write_phantoms(folder: Path) -> None:
    """Films, reports and masks of the test films' findings, with ``films.csv`` and ``regions.csv`` that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    films: list[list[str]] = []
    regions: list[list[str]] = []
    for seed, (split, count) in enumerate(COUNTS.items()):
        for number, drawn in enumerate(draw_phantoms(count, seed=seed, prevalence=PREVALENCE)):
            clear = {name: SEVERITY for name, grade in zip(FINDINGS, drawn.severities, strict=True) if grade}
            shown = drawn.with_severity(**clear)
            name = f"{split}{number}"
            Image.fromarray(render(shown, SIDE)).save(folder / f"{name}.png")
            films.append([name, f"{name}.png", write_report(shown, seed=seed), f"{split} {drawn.patient}", split])
            if split == "test":
                regions += _regions(folder, name, shown)
    _write(folder / "films.csv", ["id", "path", "text", "patient", "split"], films)
    _write(folder / "regions.csv", ["id", "text", "mask", "finding"], regions)


def _regions(folder: Path, name: str, shown: Phantom) -> list[list[str]]:
    """A sentence about each finding of a film, with the mask of its region."""
    rows = []
    for finding, mask in finding_regions(shown, SIDE).items():
        if not mask.any():
            continue
        others = {other: 0.0 for other in FINDINGS if other != finding}
        sentence = write_caption(shown.with_severity(**others), seed=1)
        file = f"{name}-{finding}.png"
        Image.fromarray(mask).save(folder / file)
        rows.append([name, sentence, file, finding])
    return rows


def _write(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(header)
        table.writerows(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the films, which is made")
    write_phantoms(parser.parse_args().folder)
