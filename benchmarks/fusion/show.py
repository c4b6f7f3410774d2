"""``python -m benchmarks.fusion.show FOLDER [--without OTHER] [--svg FILE]``: tables of a run's arms, with intervals.

Every row was scored once a seed, by folds of other patients. Balanced accuracy is the mean recall of the classes, of
the likeliest class where one applies; of several at once the mean recall of members and others, called at one half,
which is the share of every class as it is weighted. AUROC is the mean over classes, each against the rest. Differences
are paired: balanced accuracy by 2,000 resamples of patients, the same for both arms and all seeds, averaged over seeds
in each; AUROC by the ends of each seed's own interval, averaged, which is no narrower than the interval of the mean.
"""

from __future__ import annotations

import argparse
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.scores import Labels, Scores
from stitchkit.evaluation.scores.evaluate import evaluate
from stitchkit.metrics.bootstrap import patient_counts, percentile_interval

FUSED, PLAIN = "fused", "zero filling"
SHOWN = ("both", "image", "table")


class Run:
    """Probabilities of a run's arms: arm and condition -> (seeds, n, c)."""

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / "facts.json").read_text())
        with np.load(folder / "truth.npz", allow_pickle=False) as file:
            self.truth, self.groups = file["truth"], file["groups"]
        self.classes, self.multiclass, self.holes = tuple(facts["classes"]), facts["multiclass"], facts["holes"]
        files = sorted(folder.glob("s*f*.npz"))
        folds = 1 + max(int(one.stem.split("f")[1]) for one in files)
        whole = [s for s in range(99) if all((folder / f"s{s}f{f}.npz").exists() for f in range(folds))]
        self.values: dict[str, np.ndarray] = {}
        for at, seed in enumerate(whole):
            for fold in range(folds):
                with np.load(folder / f"s{seed}f{fold}.npz") as file:
                    for name in file.files:
                        if name != "test":
                            kept = self.values.setdefault(name, np.full((len(whole), *self.truth.shape), np.nan))
                            kept[at, file["test"]] = file[name]
        self.seeds = len(whole)

    @property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(name.split("|")[0] for name in self.values))

    def hits(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Right answers (n, 2c), averaged over seeds, and which of them count: of each class's members, then others."""
        values, truth = self.values[name], self.truth  # NaN where a label is not known: neither member nor other
        if self.multiclass:
            picked = values.argmax(axis=2)
            right = (picked[:, :, None] == np.arange(truth.shape[1])).mean(axis=0)
            return right, truth == 1
        called = (values >= 0.5).mean(axis=0)
        return np.concatenate([called, 1 - called], axis=1), np.concatenate([truth == 1, truth == 0], axis=1)

    def accuracy(self, name: str, counts: np.ndarray) -> np.ndarray:
        """Balanced accuracies (r,) by counts (r, n) of the rows."""
        right, member = self.hits(name)
        recalls = (counts @ (right * member)) / np.maximum(counts @ member, 1e-9)
        return np.asarray(recalls.mean(axis=1))

    def of_pair(self, first: str, second: str, counts: np.ndarray) -> Any:
        one = np.ones((1, len(self.truth)))
        value = float(self.accuracy(first, one)[0] - self.accuracy(second, one)[0])
        return percentile_interval(value, self.accuracy(first, counts) - self.accuracy(second, counts))

    @cached_property
    def areas(self) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
        """What is shown and arm -> macro AUROC with its ends, and the fused head minus it; means over seeds."""
        found: dict[tuple[str, str], list[tuple[list[float], list[float]]]] = {}
        ids = [f"r{i}" for i in range(len(self.truth))]
        labels = Labels(self.truth, ids, self.classes, self.groups)
        for what in SHOWN:
            for seed in range(self.seeds):
                of = {arm: Scores(np.log(np.clip(self.values[f"{arm}|{what}"][seed], 1e-9, 1)), "logit", ids,
                                  self.classes) for arm in self.arms}  # fmt: skip
                result = evaluate(of.pop(FUSED), labels, others=of, name=FUSED, min_positives=5)
                for one in result.methods:
                    gap = one.difference or one.macro
                    ends = [one.macro.value, one.macro.low, one.macro.high], [gap.value, gap.low, gap.high]
                    found.setdefault((what, one.name), []).append(ends)
        means = {key: np.mean(each, axis=0) for key, each in found.items()}
        return {key: (both[0], both[1]) for key, both in means.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fusion.show", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--without", type=Path, help="run with holes in training, for the plot")
    parser.add_argument("--svg", type=Path)
    options = parser.parse_args()
    run = Run(options.folder)
    counts = np.concatenate(list(patient_counts(run.groups, 2000, 0)))
    print(f"{len(run.truth)} rows of {len(np.unique(run.groups))} patients, {run.seeds} seeds, holes {run.holes:g}\n")
    print(table(run), "", comparisons(run, counts), sep="\n")
    if options.svg:
        runs = [run, *([Run(options.without)] if options.without else [])]
        draw(runs).savefig(options.svg, metadata={"Date": None})
    return 0


def table(run: Run) -> str:
    """Balanced accuracy and AUROC of every arm with everything and with one input alone."""
    lines = ["| arm | " + " | ".join(f"{one}: balanced accuracy | AUROC" for one in SHOWN) + " |"]
    lines.append("|---" * (1 + 2 * len(SHOWN)) + "|")
    one = np.ones((1, len(run.truth)))
    for arm in run.arms:
        cells = [f"{run.accuracy(f'{arm}|{what}', one)[0]:.3f} | {run.areas[what, arm][0][0]:.3f}" for what in SHOWN]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def comparisons(run: Run, counts: np.ndarray) -> str:
    """Paired differences of the fused head from its rivals."""
    lines = ["| fused minus | " + " | ".join(f"{one}: balanced accuracy | AUROC" for one in SHOWN) + " |"]
    lines.append("|---" * (1 + 2 * len(SHOWN)) + "|")
    for arm in run.arms:
        cells = []
        for what in SHOWN:
            gap = run.of_pair(f"{FUSED}|{what}", f"{arm}|{what}", counts)
            for value, low, high in ((gap.value, gap.low, gap.high), run.areas[what, arm][1]):
                cells.append(f"{value:+.3f} [{low:+.3f}, {high:+.3f}]")
        if arm != FUSED:
            lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


MISSING = ("the image", "the table", "each of both")


def curve(run: Run, arm: str, missing: str, rates: np.ndarray) -> np.ndarray:
    """Balanced accuracy expected where an input of each row, or each by itself, is missing with the same chance."""
    one, c = np.ones((1, len(run.truth))), run.truth.shape[1]
    both, image, table_alone = (run.accuracy(f"{arm}|{what}", one)[0] for what in SHOWN)
    if missing != MISSING[2]:
        return (1 - rates) * both + rates * (table_alone if missing == MISSING[0] else image)
    nothing = 1 / c if run.multiclass else 0.5
    return (1 - rates) ** 2 * both + rates * (1 - rates) * (image + table_alone) + rates**2 * nothing


def draw(runs: list[Run]) -> Any:
    """Curves over missing rates: a line of panels a run, a panel for what is missing."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "stitchkit", "font.size": 9})
    from matplotlib import pyplot

    rates = np.linspace(0, 1, 11)
    arms = list(dict.fromkeys(arm for run in runs for arm in run.arms))
    looks = {arm: (f"C{at % 10}", "-" if at < 10 else "--") for at, arm in enumerate(arms)}  # ten colours go round
    height = 3.0 * len(runs)
    figure, lines = pyplot.subplots(len(runs), 3, figsize=(10.5, height), sharey=True, squeeze=False)
    for panels, run in zip(lines, runs, strict=True):
        for panel, missing in zip(panels, MISSING, strict=True):
            for arm in run.arms:
                strong = arm in (FUSED, PLAIN)
                values = curve(run, arm, missing, rates)
                color, line = looks[arm]
                panel.plot(rates, values, color=color, ls=line, lw=2.4 if strong else 1.0, label=arm,
                           alpha=1 if strong else 0.8)  # fmt: skip
            if run.holes:
                panel.axvline(run.holes, color="0.6", ls=":", lw=1)
            panel.set_xlabel(f"share of rows without {missing}")
            panel.grid(alpha=0.25)
        panels[0].set_ylabel(f"balanced accuracy{f', holes {run.holes:.0%}' if run.holes else ''}")
    figure.tight_layout(rect=(0, 0, 0.8, 1))
    figure.legend(*lines[0][0].get_legend_handles_labels(), loc="center right", fontsize=8, frameon=False)
    return figure


if __name__ == "__main__":
    raise SystemExit(main())
