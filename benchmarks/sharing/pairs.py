"""Writes the tables of pairs that the sharing studies read: ``python -m benchmarks.sharing.pairs DATA OUT``.

``DATA`` is the folder of real data, ``OUT`` gets ``phantoms/``, ``images/`` and ``reports/``, each with a
``manifest.csv``. Real images stay where they are.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from stitchkit.datasets.phantoms import FINDINGS, draw_phantoms, render, write_report

HONEST = ("starter", "both")  # of the chest films: the others are confounded
SEVERITY = 0.9  # of the phantoms' findings
SPLITS = (("train", 2400, 1), ("test", 600, 2))  # of phantoms: how many, seed


def phantoms(out: Path) -> Iterator[list[str]]:
    """Drawn chest films with clear findings, and their reports; they are drawings, not patients."""
    yield ["path", "text", "patient", "split"]
    for split, count, seed in SPLITS:
        for i, one in enumerate(draw_phantoms(count, seed=seed, prevalence=0.4)):
            there = {name: SEVERITY for name, grade in zip(FINDINGS, one.severities, strict=True) if grade}
            shown = one.with_severity(**there)
            Image.fromarray(render(shown, 73)).save(out / f"{split}{i}.png")
            yield [f"{split}{i}.png", write_report(shown, seed=seed), f"{split} {one.patient}", split]


def images(data: Path) -> Iterator[list[str]]:
    """Chest films, breast ultrasound, brain MRI and skin images with a text each."""
    yield ["path", "text", "patient", "split", "source"]
    for folder, column in (("cxr_nih", "text"), ("us_busi", "text"), ("mri_brain", "text"), ("derm_ham", "text_full")):
        for row in _rows(data / folder / "manifest.csv"):
            if row.get("subset", HONEST[0]) in HONEST and row.get("label_conflict", "0") == "0":
                path = (data / folder / row["path"]).resolve()
                yield [str(path), row[column], f"{folder} {row['patient_id']}", row["split"], folder]


def reports(data: Path) -> Iterator[list[str]]:
    """Findings and impression of chest reports: two texts of one patient."""
    yield ["id", "findings", "impression", "patient", "split"]
    for row in _rows(data / "reports_iu" / "manifest.csv"):
        if len(row["findings"]) > 20 and len(row["impression"]) > 5:
            yield [row["uid"], row["findings"], row["impression"], row["patient_id"], row["split"]]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _write(folder: Path, rows: Iterator[list[str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    caption = "impression" if "impression" in found[0] else "text"
    for split in ("train", "test"):
        some = [row[caption] for row in found if row["split"] == split]
        print(f"{folder.name}, {split}: {len(some)} pairs, {len(set(some))} distinct captions")


if __name__ == "__main__":
    given, out = map(Path, sys.argv[1:3])
    _write(out / "images", images(given))
    _write(out / "reports", reports(given))
    _write(out / "phantoms", phantoms(out / "phantoms"))
