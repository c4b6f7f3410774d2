"""Probes and zero-shot of the transfer run as tables: ``python -m benchmarks.objectives.show_tasks TRANSFER.json``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

WAYS = {"probe": "linear probe", "zero-shot": "zero-shot"}


def tables(tasks: dict[str, dict[str, dict[str, list[float]]]]) -> str:
    """Mean macro AUROC over seeds of each arm and task, with the lowest and the highest seed, as Markdown."""
    arms: dict[str, list[dict[str, dict[str, list[float]]]]] = {}
    for name, found in tasks.items():
        arms.setdefault(name if "untrained" in name else name.split("-")[0], []).append(found)
    lines: list[str] = []
    for way, title in WAYS.items():
        columns = list(next(iter(tasks.values())))
        lines += [f"| {title} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        for arm, seeds in sorted(arms.items(), key=lambda one: ("untrained" not in one[0], one[0])):
            values = [[seed[task][way][0] for seed in seeds if way in seed[task]] for task in columns]
            if all(values):
                lines.append(f"| {arm} | {' | '.join(map(_cell, values))} |")
        lines.append("")
    return "\n".join(lines)


def _cell(values: list[float]) -> str:
    mean = f"{np.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    print(tables(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["tasks"]))
