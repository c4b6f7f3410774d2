"""The main job on the embedded default: phantoms, three small encoders, a few anchors, one page.

A general vision encoder that never saw a chest is stitched to a medical head, and named by text; every number
stands beside chance, the medical encoder's own head, a probe at the same label budget and a metadata-only baseline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.alignment.align import align
from stitchkit.core.alignments import Alignment
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.heads import ZeroShotHead
from stitchkit.core.prompts import PromptSet
from stitchkit.datasets.phantoms import FINDINGS
from stitchkit.datasets.prompt_sets import read_prompts
from stitchkit.evaluation.scores.evaluate import PROBE, evaluate
from stitchkit.evaluation.scores.naive import NAIVE, naive_scores
from stitchkit.evaluation.scores.probe import fit_probe
from stitchkit.evaluation.scores.results import Evaluation
from stitchkit.metrics.auroc import auroc
from stitchkit.reports.demo_page import write_demo_page
from stitchkit.runtime.threads import one_thread
from stitchkit.studies.demo.demo_data import NOISE, DemoData, DemoSettings, concatenate, make_demo_data, silent_reports
from stitchkit.zero_shot import zeroshot

SILENCED = "effusion"  # the finding that no anchor report mentions in the coverage check
EXAMPLES = 6  # test films that the page shows
SUBTLE = 0.5  # severity that divides subtle from plain findings
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class DemoResult:
    """The demo's numbers and where its page lies."""

    report: Path
    numbers: dict[str, Any]
    stitching: Evaluation
    naming: Evaluation

    def summary(self) -> str:
        """Both tables for a terminal."""
        return "\n".join(
            [
                "Chest phantoms drawn by a program, not patients.",
                "",
                "General encoder driving the medical head:",
                str(self.stitching),
                "",
                "Findings named by text:",
                str(self.naming),
            ]
        )


def run_demo(out: str | Path, *, settings: DemoSettings | None = None, say: Say = lambda _: None) -> DemoResult:
    """Run the main job on phantoms and write ``report.html`` and ``results.json`` into ``out``.

    Parameters
    ----------
    out
        Folder, made if need be. Only the two files are written.
    say
        Function that is called with a line when a step begins; default none.

    Raises
    ------
    InputError
        If ``out`` is a file.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; the demo needs a folder to write its page into.")
    with one_thread():
        return _run(folder, settings or DemoSettings(), say)


def _run(folder: Path, settings: DemoSettings, say: Say) -> DemoResult:
    say(f"drawing {settings.anchors + settings.tested} phantoms and embedding them")
    data = make_demo_data(settings)
    say("stitching the general encoder to the medical head")
    stitching, head_map = stitch_numbers(data, settings)
    say("naming the findings by text")
    naming, zero_shot = naming_numbers(data, settings)
    say("checking what must fail: shuffled anchors, a finding that no anchor mentions")
    controls = control_numbers(data, zero_shot)
    say("learning curve over anchors")
    curve = learning_curve(data, settings, stitching, naming)
    numbers = {
        "settings": {name: getattr(settings, name) for name in settings.__dataclass_fields__},
        "noise": NOISE,
        "stitching": stitching.to_dict(),
        "naming": naming.to_dict(),
        "maps": {"head": dict(head_map.record), "text": dict(zero_shot.record)},
        "severity": severity_split(data, head_map, zero_shot),
        "controls": controls,
        "curve": curve,
    }
    say("writing the page")
    films = example_films(data, head_map, zero_shot)
    report = write_demo_page(folder, numbers, stitching, naming, films)
    return DemoResult(report, numbers, stitching, naming)


def stitch_numbers(data: DemoData, settings: DemoSettings) -> tuple[Evaluation, Alignment]:
    """The general encoder through a map into the medical head, against everything it must be compared with."""
    x, y = data.general[0], data.medical[0]
    chosen = align(x, y, groups=data.anchors.patients, purpose="head", head=data.own_head, nested=settings.nested)
    orthogonal = align(x, y, groups=data.anchors.patients, purpose="head", solver="procrustes", nested=False)
    head, test = data.own_head, data.general[1]
    others = {
        "own head (medical encoder)": head.scores(data.medical[1]),
        "orthogonal map": head.scores(orthogonal.to_target(test)),
        NAIVE: naive_scores(test, head),
    }
    result = evaluate(
        head.scores(chosen.to_target(test)),
        data.labels,
        anchors=data.anchors.ids,
        metadata=("view", "sex"),
        embeddings=concatenate(data.general),
        others=others,
        name="automatic stitch",
        replicates=settings.replicates,
    )
    return result, chosen


def naming_numbers(data: DemoData, settings: DemoSettings) -> tuple[Evaluation, Alignment]:
    """Findings named by text: the general encoder, the medical one, and prompts worded as no report is."""
    usual, unseen = read_prompts("phantom"), read_prompts("phantom-unseen")
    groups = data.anchors.patients
    to_text = align(data.general[0], data.text, groups=groups, nested=settings.nested)
    medical_to_text = align(data.medical[0], data.text, groups=groups, nested=False)
    others = {
        "medical encoder, by text": _head(medical_to_text, data, usual).scores(data.medical[1]),
        "unseen prompt wordings": _head(to_text, data, unseen).scores(data.general[1]),
    }
    result = evaluate(
        _head(to_text, data, usual).scores(data.general[1]),
        data.labels,
        anchors=data.anchors.ids,
        metadata=("view", "sex"),
        embeddings=concatenate(data.general),
        others=others,
        name="general encoder, by text",
        replicates=settings.replicates,
    )
    return result, to_text


def control_numbers(data: DemoData, to_text: Alignment) -> dict[str, Any]:
    """Negative controls: shuffled pairs are at chance, a finding that no anchor mentions falls."""
    prompts, truth = read_prompts("phantom"), data.tested.labels
    order = np.random.default_rng(0).permutation(len(data.anchors))
    shuffled_medical = Embeddings(data.medical[0].vectors[order], data.anchors.ids, data.medical[0].space)
    shuffled_text = Embeddings(data.text.vectors[order], data.anchors.ids, data.text.space)
    to_head = align(data.general[0], shuffled_medical, purpose="head", head=data.own_head, nested=False)
    stitched = to_head.to_target(data.general[1])
    named = _head(align(data.general[0], shuffled_text, nested=False), data, prompts).scores(data.general[1])
    silent = silent_reports(data, SILENCED)
    covered = _head(to_text, data, prompts).scores(data.general[1])
    uncovered = _head(align(data.general[0], silent, nested=False), data, prompts).scores(data.general[1])
    at = FINDINGS.index(SILENCED)
    return {
        "shuffled_stitch": macro(data.own_head.scores(stitched).values, truth),
        "shuffled_text": macro(named.values, truth),
        "silenced": SILENCED,
        "silenced_covered": auroc(covered.values[:, at], truth[:, at]),
        "silenced_uncovered": auroc(uncovered.values[:, at], truth[:, at]),
    }


def learning_curve(
    data: DemoData, settings: DemoSettings, stitching: Evaluation, naming: Evaluation
) -> list[dict[str, Any]]:
    """Macro AUROC on the test films at each number of anchors: the stitched head, named by text, and the probe.

    With all anchors these are the tables' own numbers.
    """
    rng, rows = np.random.default_rng(settings.seed), []
    for n in (n for n in settings.curve if n < len(data.anchors)):
        for draw in range(settings.draws):
            some = np.sort(rng.permutation(len(data.anchors))[:n])
            rows.append({"anchors": n, "draw": draw, **_from_anchors(data, some)})
    whole = {"stitch": stitching.main, "text": naming.main, "probe": stitching.method(PROBE)}
    return [*rows, {"anchors": len(data.anchors), "draw": 0, **{k: one.macro.value for k, one in whole.items()}}]


def _from_anchors(data: DemoData, some: np.ndarray) -> dict[str, float]:
    """Macro AUROCs from the anchors at positions ``some`` (n,) alone."""
    x, test, truth = data.general[0].take(some), data.general[1], data.tested.labels
    groups = data.anchors.patients[some]
    to_head = align(x, data.medical[0].take(some), groups=groups, purpose="head", head=data.own_head, nested=False)
    to_text = align(x, data.text.take(some), groups=groups, nested=False)
    probe = fit_probe(x, data.labels.take(some))  # the labels' first rows are the anchors
    return {
        "stitch": macro(data.own_head.scores(to_head.to_target(test)).values, truth),
        "text": macro(_head(to_text, data, read_prompts("phantom")).scores(test).values, truth),
        "probe": macro(probe.scores(test).values, truth),
    }


def severity_split(data: DemoData, to_head: Alignment, to_text: Alignment) -> list[dict[str, Any]]:
    """AUROC of subtle and of plain findings, each against the films without the finding."""
    test = data.general[1]
    methods = {
        "own head (medical encoder)": data.own_head.scores(data.medical[1]).values,
        "automatic stitch": data.own_head.scores(to_head.to_target(test)).values,
        "general encoder, by text": _head(to_text, data, read_prompts("phantom")).scores(test).values,
    }
    severity = data.tested.severity
    halves = {"subtle": (severity > 0) & (severity < SUBTLE), "plain": severity >= SUBTLE}
    rows = []
    for name, values in methods.items():
        row: dict[str, Any] = {"method": name}
        for half, positive in halves.items():
            kept = positive | (severity == 0)
            aurocs = [auroc(values[k, c], positive[k, c]) for c, k in enumerate(kept.T)]
            row[half] = float(np.mean(aurocs))
        rows.append(row)
    return rows


def example_films(data: DemoData, to_head: Alignment, to_text: Alignment) -> list[dict[str, Any]]:
    """Some test films with what is true, what the report says, and how both routes rank each finding."""
    test = data.general[1]
    scores = {
        "stitch": data.own_head.scores(to_head.to_target(test)).values,
        "text": _head(to_text, data, read_prompts("phantom")).scores(test).values,
    }
    # rank among all test films, so that scores of different kinds can be read side by side
    places = {name: values.argsort(axis=0).argsort(axis=0) / (len(test) - 1) for name, values in scores.items()}
    findings = data.tested.labels.sum(axis=1)
    chosen = np.concatenate([np.flatnonzero(findings == 0)[:1], np.flatnonzero(findings >= 1)[: EXAMPLES - 1]])
    return [
        {
            "phantom": data.tested.phantoms[int(i)],
            "id": str(data.tested.ids[i]),
            "report": data.tested.reports[int(i)],
            "present": [finding for c, finding in enumerate(FINDINGS) if data.tested.labels[i, c]],
            "misreported": [
                finding for c, finding in enumerate(FINDINGS) if data.tested.labels[i, c] != data.tested.reported[i, c]
            ],
            "severity": {finding: float(data.tested.severity[i, c]) for c, finding in enumerate(FINDINGS)},
            "places": {
                finding: {name: float(values[i, c]) for name, values in places.items()}
                for c, finding in enumerate(FINDINGS)
            },
        }
        for i in chosen
    ]


def macro(scores: np.ndarray, truth: np.ndarray) -> float:
    """Mean AUROC over the columns of ``scores`` (n, c)."""
    return float(np.mean([auroc(scores[:, c], truth[:, c]) for c in range(truth.shape[1])]))


def _head(alignment: Alignment, data: DemoData, prompts: PromptSet) -> ZeroShotHead:
    return zeroshot(alignment, data.text_encoder, prompts, store=None)
