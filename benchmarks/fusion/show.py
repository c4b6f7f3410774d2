"""``python -m benchmarks.fusion.show FOLDER [--without OTHER] [--svg FILE]``: tables of a run's arms, with intervals.

Every row was scored once a seed, by folds of other patients. Balanced accuracy is the mean recall of the classes, of
the likeliest class where one applies and at the training share elsewhere; AUROC the mean over classes, each against the
rest. Differences are paired: balanced accuracy by 2,000 resamples of patients, the same for both arms and all seeds,
averaged over seeds in each; AUROC by the ends of each seed's own interval, averaged, which is no narrower than the
interval of the mean.
"""

from __future__ import annotations

import argparse
import json
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
        values, truth = self.values[name], np.nan_to_num(self.truth)
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

    def auroc(self, first: str, second: str | None = None) -> tuple[float, float, float]:
        """Macro AUROC, mean over seeds, with the averaged ends; of a difference where a second arm is named."""
        ends = []
        for seed in range(self.seeds):
            ids = [f"r{i}" for i in range(len(self.truth))]
            labels = Labels(self.truth, ids, self.classes, self.groups)
            of = {one: Scores(np.log(np.clip(self.values[one][seed], 1e-9, 1)), "logit", ids, self.classes)
                  for one in (first, second) if one}  # fmt: skip
            result = evaluate(of[first], labels, others={"second": of[second]} if second else None, min_positives=5)
            kept = result.method("second").difference if second else result.main.macro
            ends.append([kept.value, kept.low, kept.high])
        value, low, high = np.mean(ends, axis=0)
        return float(value), float(low), float(high)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fusion.show", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--without", type=Path, help="run with holes in training, for the plot")
    parser.add_argument("--svg", type=Path)
    options = parser.parse_args()
    run = Run(options.folder)
    counts = np.concatenate(list(patient_counts(run.groups, 2000, 0)))
    print(f"{len(run.truth)} rows of {len(np.unique(run.groups))} patients, {run.seeds} seeds, holes {run.holes:g}\n")
    print(table(run, counts), "", comparisons(run, counts), sep="\n")
    if options.svg:
        runs = [run, *([Run(options.without)] if options.without else [])]
        draw(runs).savefig(options.svg, metadata={"Date": None})
    return 0


def table(run: Run, counts: np.ndarray) -> str:
    """Balanced accuracy and AUROC of every arm with everything and with one input alone."""
    lines = ["| arm | " + " | ".join(f"{one}: balanced accuracy | AUROC" for one in SHOWN) + " |"]
    lines.append("|---" * (1 + 2 * len(SHOWN)) + "|")
    one = np.ones((1, len(run.truth)))
    for arm in run.arms:
        cells = []
        for what in SHOWN:
            name = f"{arm}|{what}"
            cells += [f"{run.accuracy(name, one)[0]:.3f}", f"{run.auroc(name)[0]:.3f}"]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def comparisons(run: Run, counts: np.ndarray) -> str:
    """Paired differences of the fused head from its rivals."""
    pairs = [(f"{FUSED}|both", "image alone|both"), (f"{FUSED}|both", f"{PLAIN}|both")]
    pairs += [(f"{FUSED}|{what}", f"{arm}|{what}") for what in ("image", "table") for arm in run.arms if arm != FUSED]
    lines = ["| with | fused minus | balanced accuracy | AUROC |", "|---|---|---|---|"]
    for first, second in pairs:
        gap = run.of_pair(first, second, counts)
        area = run.auroc(first, second)
        lines.append(
            f"| {first.split('|')[1]} | {second.split('|')[0]} | {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}] "
            f"| {area[0]:+.3f} [{area[1]:+.3f}, {area[2]:+.3f}] |"
        )
    return "\n".join(lines)


def curve(run: Run, arm: str, rates: np.ndarray) -> np.ndarray:
    """Balanced accuracy expected where each input of each row is missing with the same chance."""
    one, c = np.ones((1, len(run.truth))), run.truth.shape[1]
    both, image, alone = (run.accuracy(f"{arm}|{what}", one)[0] for what in SHOWN)
    nothing = 1 / c if run.multiclass else 0.5
    return (1 - rates) ** 2 * both + rates * (1 - rates) * (image + alone) + rates**2 * nothing


def draw(runs: list[Run]) -> Any:
    """Curves over missing rates, a panel a run."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "stitchkit", "font.size": 9})
    from matplotlib import pyplot

    rates = np.linspace(0, 1, 21)
    figure, panels = pyplot.subplots(1, len(runs), figsize=(4.4 * len(runs), 3.4), sharey=True, squeeze=False)
    for panel, run in zip(panels[0], runs, strict=True):
        for arm in run.arms:
            strong = arm in (FUSED, PLAIN)
            panel.plot(rates, curve(run, arm, rates), lw=2.2 if strong else 1.0, label=arm, alpha=1 if strong else 0.75)
        if run.holes:
            panel.axvline(run.holes, color="0.6", ls=":", lw=1)
        panel.set_xlabel("share of each input that is missing")
        panel.set_title(f"holes in training: {run.holes:.0%}", fontsize=9)
        panel.grid(alpha=0.25)
    panels[0][0].set_ylabel("balanced accuracy")
    panels[0][-1].legend(fontsize=7, frameon=False)
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    raise SystemExit(main())
