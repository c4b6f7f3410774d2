"""``python -m benchmarks.shortcuts [--draws 1000]``: how often SHORTCUT is printed, in simulations with fixed seeds.

300 patients with 1 to 3 images, half of the variance of scores shared by a patient's images, labels of patients, 14
classes. "one by one" is the rule that looks at the 95 % interval of each class as though it were the only one.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

import numpy as np

PATIENTS, CLASSES = 300, 14
RARE = (8, 21)  # positive patients of a rare class, drawn anew for each sample: 8 to 20
CASES = {
    "metadata unrelated, scores at .50": (None, 0.5, 0.5),
    "metadata unrelated, scores at .60": (None, 0.5, 0.6),
    "metadata unrelated, scores at .80": (None, 0.5, 0.8),
    "a class of 60 at .75 by metadata, scores at .65": (60, 0.75, 0.65),
    "a class of 60 at .75 by metadata, scores at .70": (60, 0.75, 0.70),
    "a class of 60 at .75 by metadata, scores at .75": (60, 0.75, 0.75),
}
TITLES = ("case", "any SHORTCUT", "any, one by one", "that class", "that class, one by one", "check_anchors, any")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shortcuts", description=__doc__)
    parser.add_argument("--draws", type=int, default=1000, help="samples of each case (1000)")
    options = parser.parse_args()
    for name in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{name}_NUM_THREADS"] = "1"  # before numpy multiplies
    print("| " + " | ".join(TITLES) + " |", "|" + " --- |" * len(TITLES), sep="\n")
    for number, (name, case) in enumerate(CASES.items()):
        shares = np.mean([trial(np.random.default_rng([number, draw]), *case) for draw in range(options.draws)], axis=0)
        cells = [f"{share:.1%}" if case[0] or at not in (2, 3) else "" for at, share in enumerate(shares)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return 0


def trial(rng: np.random.Generator, positives: int | None, metadata: float, score: float) -> list[bool]:
    """Whether SHORTCUT is printed for any class and for the first, by the rule and one by one, and for anchors."""
    from stitchkit.evaluation.anchor_shortcuts import SHORTCUT
    from stitchkit.evaluation.metadata_shortcuts import CLOSE, MetadataAlone
    from stitchkit.metrics.auroc_intervals import AurocPulls, auroc_intervals, macro_auroc_interval

    groups, labels, drawn = population(rng, positives)
    names = [str(c) for c in range(CLASSES)]
    others = 0.8 if positives else score  # scores of the classes that metadata do not tell
    by_metadata, by_scores = (
        AurocPulls.of(drawn(np.asarray([first, *[rest] * (CLASSES - 1)])), labels, groups)
        for first, rest in ((metadata, 0.5), (score, others))
    )
    alone, of_scores = (dict(zip(names, auroc_intervals(one), strict=True)) for one in (by_metadata, by_scores))
    macro, main = macro_auroc_interval(by_metadata), macro_auroc_interval(by_scores)
    rule = MetadataAlone.of(by_metadata, alone)
    whole, explained = rule.explain_macro(main), rule.explained(of_scores)
    single = [name for name in names if alone[name].low > max(of_scores[name].value - CLOSE, 0.5)]
    whole_single = macro.low > max(main.value - CLOSE, 0.5)
    anchors = any(one.low > SHORTCUT for one in alone.values())
    return [whole or bool(explained), whole_single or bool(single), "0" in explained, "0" in single, anchors]


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


if __name__ == "__main__":
    sys.exit(main())
