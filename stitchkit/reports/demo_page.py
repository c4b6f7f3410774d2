"""The demo's numbers as one self-contained HTML page."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stitchkit.core.alignment_summary import chosen_candidate
from stitchkit.datasets.phantoms import FINDINGS, render
from stitchkit.evaluation.scores.evaluate import CHANCE, METADATA, PROBE
from stitchkit.evaluation.scores.naive import NAIVE
from stitchkit.evaluation.scores.results import Evaluation
from stitchkit.reports.figures import curves, forest, picture
from stitchkit.reports.pages import template
from stitchkit.storage.atomic_writes import write_text

SHOWN = 192  # pixels; the encoders saw the same films at 96
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")
ROWS = {  # of the tables -> its description
    "automatic stitch": "general encoder, map chosen on the anchors, medical head",
    "own head (medical encoder)": "the medical encoder itself: the ceiling of a stitch",
    "orthogonal map": "general encoder, orthogonal map, medical head",
    NAIVE: "general encoder fed to the medical head without a map",
    PROBE: "logistic regression on the general encoder, tuned by cross-validation on the same anchors' reports",
    METADATA: "view and sex of the film, without looking at it",
    CHANCE: "the same score for every film",
    "general encoder, by text": "general encoder, map to the text encoder, findings named by prompts",
    "medical encoder, by text": "medical encoder, map to the text encoder, the same prompts",
    "unseen prompt wordings": "general encoder again, prompts worded as no report is",
}


def write_demo_page(
    folder: Path,
    numbers: Mapping[str, Any],
    stitching: Evaluation,
    naming: Evaluation,
    films: Sequence[Mapping[str, Any]],
) -> Path:
    """Write ``report.html`` and ``results.json`` into ``folder``, each in one step; the page's path comes back."""
    text = template("demo.html.j2").render(
        numbers=numbers,
        chosen={name: chosen_candidate(record) for name, record in numbers["maps"].items()},
        stitching=stitching,
        naming=naming,
        naive=stitching.method(NAIVE).macro.value,
        descriptions=ROWS,
        findings=FINDINGS,
        films=[{**film, "picture": picture(render(film["phantom"], SHOWN))} for film in films],
        methods_figure=forest([(one.name, one.macro) for one in by_score(stitching)], label="macro AUROC"),
        findings_figure=forest(list(naming.main.classes.items()), label="AUROC, named by text", marked=None),
        curve_figure=curves(
            numbers["curve"],
            "anchors",
            {"stitch": "stitched to the medical head", "text": "named by text", "probe": "probe, same anchors"},
            {"own head of the medical encoder": stitching.method("own head (medical encoder)").macro.value},
        ),
        stitching_rows=by_score(stitching),
        naming_rows=by_score(naming),
        versions={"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "results.json", json.dumps(numbers, indent=1))
    write_text(folder / "report.html", text)
    return folder / "report.html"


def by_score(evaluation: Evaluation) -> list[Any]:
    """The main row first, the others by macro AUROC."""
    rest = sorted(evaluation.methods[1:], key=lambda one: -one.macro.value)
    return [evaluation.main, *rest]
