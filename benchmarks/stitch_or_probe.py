"""``python -m benchmarks.stitch_or_probe [--draws 10] [--tested 700]``: a stitch against a probe, by number of anchors.

Phantom films, the demo's general encoder and macro AUROC over seven findings on the same test films. The two stitches
need pairs and no labels: films through a map into the medical encoder's space and its own head, and findings named by
text through a map into the text encoder's space. The probe is logistic regression on the general encoder's vectors with
the labels that the anchors' reports state, its strength chosen by grouped cross-validation. Differences are stitch
minus probe, with their standard error over draws of anchors.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

import numpy as np

SIZES = (25, 50, 100, 200, 500, 1000)
TITLES = ("anchors", "own head", "stitched head", "named by text", "probe", "head - probe", "text - probe")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stitch_or_probe", description=__doc__)
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), help="numbers of anchors")
    parser.add_argument("--draws", type=int, default=10, help="draws of anchors (10)")
    parser.add_argument("--tested", type=int, default=700, help="test films (700)")
    options = parser.parse_args()
    for name in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{name}_NUM_THREADS"] = "1"  # before numpy multiplies
    print(f"| {' | '.join(TITLES)} |", "|" + " --- |" * len(TITLES), sep="\n")
    for n, values in results(options.sizes, options.draws, options.tested):
        own, head, text, probe = values.T
        cells = [f"{one.mean():.3f}" for one in (own, head, text, probe)]
        cells += [f"{d.mean():+.3f} ({d.std(ddof=1) / len(d) ** 0.5:.3f})" for d in (head - probe, text - probe)]
        print(f"| {n} | {' | '.join(cells)} |", flush=True)
    return 0


def results(sizes: list[int], draws: int, tested: int) -> Iterator[tuple[int, np.ndarray]]:
    """Each size with macro AUROCs (draws, 4): own head, stitched head, named by text, probe."""
    import stitchkit as sk
    from stitchkit.datasets.phantoms import FINDINGS
    from stitchkit.metrics.auroc import auroc
    from stitchkit.studies.demo.demo_data import DemoSettings, make_demo_data

    data = make_demo_data(DemoSettings(anchors=2 * max(sizes), tested=tested))
    (general, films), (medical, medical_films) = data.general, data.medical
    prompts, groups = sk.embed_prompts(data.text_encoder, sk.read_prompts("phantom")), data.anchors.patients
    truth = data.labels.of_ids(films.ids).of_classes(FINDINGS).values

    def macro(scores: sk.Scores) -> float:
        return float(np.mean([auroc(scores.column(name), truth[:, c] == 1) for c, name in enumerate(FINDINGS)]))

    own = macro(data.own_head.scores(medical_films))
    for n in sizes:
        values = []
        for draw in range(draws):
            order = np.random.default_rng([n, draw]).permutation(np.unique(groups))
            rows = np.concatenate([np.flatnonzero(groups == one) for one in order])[:n]
            settings = {"groups": groups[rows], "nested": False, "progress": False}
            x = general.take(rows)
            head = sk.align(x, medical.take(rows), purpose="head", head=data.own_head, **settings)
            text = sk.align(x, data.text.take(rows), prompts=prompts, **settings)
            probe = sk.fit_probe(x, data.labels.of_ids(x.ids))
            through, named = data.own_head.scores(head.to_target(films)), sk.zeroshot(text, prompts).scores(films)
            values.append([own, macro(through), macro(named), macro(probe.scores(films))])
        yield n, np.asarray(values)


if __name__ == "__main__":
    raise SystemExit(main())
