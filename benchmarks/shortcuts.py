"""``python -m benchmarks.shortcuts [--draws 1000]``: how often SHORTCUT is printed, in simulations with fixed seeds.

300 patients with 1 to 3 images, half of the variance of scores shared by a patient's images, labels of patients, 14
classes. "one by one" is the rule that looks at the 95 % interval of each class as though it were the only one.
Where ``evaluate`` prints it the metadata's scores come from other patients, so that they are drawn; where
``check_anchors`` does they are fitted on four fifths of the patients to judge the rest, in turn. Each case is kept when
it is done: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

OUT = Path(__file__).parent / "results" / "shortcuts"
PATIENTS, CLASSES = 300, 14
RARE = (8, 21)  # positive patients of a rare class, drawn anew for each sample: 8 to 20
AUDITED = 0.2  # share of the samples asked for where metadata are fitted, which takes .3 s each
SEED = 20261130


@dataclass(frozen=True)
class Case:
    """A population; metadata tell the first class alone, or none.

    Parameters
    ----------
    name
        Title of the row of the table.
    score
        AUROC of the scores, of the first class or, where metadata tell none, of all; None for an anchor set.
    positives
        Positive patients of the first class; None for as many as the rare ones have.
    metadata
        AUROC of the metadata for the first class; .5 for the others.
    """

    name: str
    score: float | None
    positives: int | None = None
    metadata: float = 0.5


CASES = (
    Case("metadata unrelated, scores at .50", 0.5),
    Case("metadata unrelated, scores at .60", 0.6),
    Case("metadata unrelated, scores at .80", 0.8),
    Case("a class of 60 at .75 by metadata, scores at .65", 0.65, 60, 0.75),
    Case("a class of 60 at .75 by metadata, scores at .70", 0.7, 60, 0.75),
    Case("a class of 60 at .75 by metadata, scores at .75", 0.75, 60, 0.75),
    Case("check_anchors, metadata unrelated", None),
    Case("check_anchors, a class of 60 at .75 by metadata", None, 60, 0.75),
)
ANY, ANY_ONE, FIRST, FIRST_ONE = "any SHORTCUT", "any, one by one", "that class", "that class, one by one"
TITLES = (ANY, ANY_ONE, FIRST, FIRST_ONE)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shortcuts", description=__doc__)
    parser.add_argument("--draws", type=int, default=1000, help="samples of each case (1000)")
    parser.add_argument("--cases", default="", help="only cases whose name holds this text")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the kept results and the table")
    parser.add_argument("--page", action="store_true", help="print the kept results as the table of docs/zero-shot.md")
    options = parser.parse_args()
    for name in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{name}_NUM_THREADS"] = "1"  # before numpy multiplies
    if not options.page:
        _run([case for case in CASES if options.cases in case.name], options.draws, options.out)
    print(table(json.loads((options.out / "shortcuts.json").read_text())["cells"]))
    return 0


def _run(cases: Sequence[Case], draws: int, out: Path) -> None:
    from benchmarks.coverage.cells import Results, digest_of

    results = Results(out / "shortcuts.json", digest_of(sources()))
    for case in cases:
        times = draws if case.score is not None else max(round(AUDITED * draws), 1)
        if not results.has(case, times):
            print(case.name, file=sys.stderr, flush=True)
            results.keep(case.name, run_case(case, times))
    (out / "shortcuts.md").write_text(table(results.cells) + "\n")


def sources() -> tuple[Path, ...]:
    """Files with the two rules and the intervals that these are applied to."""
    from stitchkit.evaluation.anchors import shortcuts as anchor_shortcuts
    from stitchkit.evaluation.scores import metadata_shortcuts
    from stitchkit.metrics import auroc_intervals, degrees_of_freedom

    modules = (anchor_shortcuts, metadata_shortcuts, auroc_intervals, degrees_of_freedom)
    return (Path(__file__), *(Path(str(module.__file__)) for module in modules))


def run_case(case: Case, draws: int) -> dict[str, Any]:
    """Shares of the samples of ``case``, in percent, in which SHORTCUT is printed."""
    start = time.process_time()
    seed = zlib.crc32(case.name.encode())
    each: dict[str, list[bool]] = {}
    for draw in range(draws):
        trial = audited if case.score is None else evaluated
        for name, one in trial(np.random.default_rng([SEED, seed, draw]), case).items():
            each.setdefault(name, []).append(one)
    shares = {name: round(100 * float(np.mean(said)), 2) for name, said in each.items()}
    return {"draws": draws, "seconds": round(time.process_time() - start, 1), "shares": shares}


def evaluated(rng: np.random.Generator, case: Case) -> dict[str, bool]:
    """SHORTCUT as ``evaluate`` prints it of any class (or the mean) and of the first, by its rule and one by one."""
    from stitchkit.evaluation.scores.metadata_shortcuts import CLOSE, MetadataAlone
    from stitchkit.evaluation.scores.results import is_above_chance
    from stitchkit.metrics.auroc_intervals import AurocPulls, auroc_intervals, macro_auroc_interval

    groups, labels, drawn = population(rng, case.positives)
    names = [str(c) for c in range(CLASSES)]
    others = 0.8 if case.positives else case.score  # scores of the classes that metadata do not tell
    by_metadata, by_scores = (
        AurocPulls.of(drawn(np.asarray([first, *[rest] * (CLASSES - 1)])), labels, groups)
        for first, rest in ((case.metadata, 0.5), (case.score, others))
    )
    alone, of_scores = (dict(zip(names, auroc_intervals(one), strict=True)) for one in (by_metadata, by_scores))
    macro, score = macro_auroc_interval(by_metadata), macro_auroc_interval(by_scores)
    rule = MetadataAlone.of(by_metadata, alone, macro)
    single = [name for name in names if alone[name].low > max(of_scores[name].value - CLOSE, 0.5)]
    rules = {
        (ANY, FIRST): (rule.explain_macro(score), rule.explained(of_scores)),
        (ANY_ONE, FIRST_ONE): (macro.low > max(score.value - CLOSE, 0.5), single),
    }
    said = {}
    for (any_class, first), (whole, classes) in rules.items():
        printed = [name for name in classes if is_above_chance(of_scores[name])]  # else it is said to be at chance
        said[any_class] = is_above_chance(score) if whole else bool(printed)
        said[first] = not whole and "0" in printed
    return said


def audited(rng: np.random.Generator, case: Case) -> dict[str, bool]:
    """SHORTCUT as ``check_anchors`` prints it of any class and of the first, of scores held out in five folds."""
    from stitchkit.core.scores import Labels
    from stitchkit.evaluation.anchors.shortcuts import find_shortcuts

    groups, labels, drawn = population(rng, case.positives)
    n = len(groups)
    columns = {
        "exposure": drawn(np.full(CLASSES, case.metadata))[:, 0],
        "view": rng.choice(["PA", "AP"], size=n),
        "sex": rng.choice(["F", "M"], size=PATIENTS)[groups],
        "age": rng.integers(20, 90, size=PATIENTS)[groups],
    }
    anchors = Labels(labels, [f"film {i}" for i in range(n)], tuple(map(str, range(CLASSES))), groups, columns)
    found, _ = find_shortcuts(anchors, tuple(columns), {}, min_positives=RARE[0], folds=5, seed=0)
    return {ANY: any(one.found for one in found), FIRST: found[0].found}


def population(
    rng: np.random.Generator, positives: int | None
) -> tuple[np.ndarray, np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Patients (n,), labels (n, classes), and scores drawn for AUROCs (classes,)."""
    from scipy.stats import norm

    groups = np.repeat(np.arange(PATIENTS), rng.integers(1, 4, size=PATIENTS))
    sizes = rng.integers(*RARE, size=CLASSES)
    sizes[0] = positives or sizes[0]
    labels = np.stack([rng.permutation(PATIENTS) < size for size in sizes], axis=1)[groups].astype(float)

    def drawn(aurocs: np.ndarray) -> np.ndarray:
        noise = rng.normal(size=(PATIENTS, CLASSES))[groups] + rng.normal(size=labels.shape)
        return np.asarray(noise / np.sqrt(2) + np.sqrt(2) * norm.ppf(aurocs) * labels)

    return groups, labels, drawn


def table(results: Mapping[str, Any]) -> str:
    """A Markdown table of the cases that have results; nothing of "that class" where metadata tell none."""
    lines = [f"| case | {' | '.join(TITLES)} |", "|" + " --- |" * (len(TITLES) + 1)]
    for case in CASES:
        shares = results.get(case.name, {}).get("shares")
        if shares is not None:
            shown = [one for one in TITLES if one in shares and (case.positives or not one.startswith("that class"))]
            cells = [f"{shares[one]:.1f}%" if one in shown else "" for one in TITLES]
            lines.append(f"| {case.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
