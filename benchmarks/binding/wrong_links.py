"""Wrong links in the shared texts: what each solver of the hub loses where rows of one text space are permuted.

Modalities have a text space each; their maps are ridge regression at strength 0.1, so that the hub alone differs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import stitchkit as sk
from benchmarks.binding.settings import MIXED, QUERY, Setting
from benchmarks.binding.vectors import TEXT_ENCODERS, RealVectors
from stitchkit.core.errors import StitchError
from stitchkit.metrics.auroc import auroc
from stitchkit.metrics.ranks import true_ranks

SOLVERS = {"procrustes": None, "gcca": None, "ridge": QUERY, "composition": QUERY}
SHARES = (0.0, 0.3, 0.75)
WRONG = ("l3", "tfidf")  # the text space of chest films, that of brain scans


def permuted(one: sk.Embeddings, share: float, seed: int) -> sk.Embeddings:
    """Embeddings in which a share of the rows, chosen at random, belong to others among them."""
    rng, rows = np.random.default_rng(seed), np.arange(len(one))
    some = rng.permutation(len(one))[: round(share * len(one))]
    rows[some] = rng.permutation(some)
    return sk.Embeddings(np.asarray(one.vectors)[rows], one.ids, one.space)


def numbers(setting: Setting, solver: str, wrong: str, share: float, seed: int) -> dict[str, float]:
    """Recall@1 between text spaces on held-out reports, and macro AUROC of every modality."""
    views = setting.shared(list(TEXT_ENCODERS))
    views[wrong] = permuted(views[wrong], share, seed)
    bound = sk.bind(
        {name: setting.pairs(name, text) for name, text in MIXED.items()},
        texts=views, text=QUERY, hub=SOLVERS[solver], hub_solver=solver, maps="own", solver=sk.Ridge(alpha=0.1),
    )  # fmt: skip
    held = setting.held_out(list(TEXT_ENCODERS))
    rows = {}
    for name, one in held.items():
        mapped = np.asarray(bound.text_maps[name](one).vectors)
        mapped = mapped - np.asarray(bound.text_maps[name].bias)
        rows[name] = mapped / np.linalg.norm(mapped, axis=1, keepdims=True)
    intact = [name for name in TEXT_ENCODERS if name != wrong]
    found = {"intact": _recall(*(rows[name] for name in intact)),
             "wrong": float(np.mean([_recall(rows[wrong], rows[name]) for name in intact]))}  # fmt: skip
    for name, one in setting.modalities.items():
        test = setting.test(bound, name, None, {})
        truth, scores = test.labels.values, test.scores.values  # of the same items
        found[name] = float(np.mean([auroc(scores[:, c], truth[:, c] == 1) for c in range(len(one.prompts.classes))]))
    return found


def _recall(one: np.ndarray, other: np.ndarray) -> float:
    """Recall@1 of both directions."""
    truth = np.arange(len(one))
    return float(np.mean([true_ranks(a @ b.T, truth).recall(1).mean() for a, b in ((one, other), (other, one))]))


def run(real: RealVectors, encoder: str, draws: int, out: Path | None) -> int:
    """Print one row for each solver, wrong text space and share of wrong links: means over draws."""
    setting, kept = Setting(real, encoder), []
    columns = ["intact", "wrong", *setting.modalities]
    print(f"| hub solver | permuted | share | {' | '.join(columns)} |\n|{' --- |' * (3 + len(columns))}", flush=True)
    for solver in SOLVERS:
        for wrong in WRONG:
            for share in SHARES:
                try:
                    each = [numbers(setting, solver, wrong, share, seed) for seed in range(draws if share else 1)]
                except StitchError as error:
                    print(f"{solver}, {wrong}, {share}: {error}", file=sys.stderr)
                    continue
                means = {name: float(np.mean([one[name] for one in each])) for name in columns}
                kept.append({"solver": solver, "permuted": wrong, "share": share, "draws": each, **means})
                cells = (f"{means[name]:.3f}" for name in columns)
                print(f"| {solver} | {wrong} | {share:.0%} | {' | '.join(cells)} |", flush=True)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "wrong-links.json").write_text(json.dumps({"encoder": encoder, "rows": kept}, indent=1) + "\n")
    return 0
