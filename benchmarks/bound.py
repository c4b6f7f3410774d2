"""Binding four modalities through 10,000 texts, beside the solution of the text spaces alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.harness import Case, Row

TEXTS, WIDTH, ANCHORS, LATENT = 10_000, 256, 500, 64
MODALITIES = ("xray", "ct", "skin", "retina")


def four() -> Case:
    """Four modalities of 500 anchors, each with a text encoder of its own.

    The peer is given the moments of the texts. Binding reads the texts, solves the same, and fits the modalities' maps.
    """
    import stitchkit as sk
    from stitchkit.solvers.many import JointMoments

    rng = np.random.default_rng(0)
    meaning = rng.standard_normal((TEXTS + len(MODALITIES) * ANCHORS, LATENT)) * np.linspace(2, 0.3, LATENT)

    def seen(width: int) -> np.ndarray:
        noise = rng.standard_normal((len(meaning), width))
        return (meaning @ rng.standard_normal((LATENT, width)) + 4 * noise).astype(np.float32)

    texts, given = {}, {}
    for i, name in enumerate(MODALITIES):
        read, images = seen(WIDTH), seen(WIDTH)
        space = sk.Space(f"texts of {name}", WIDTH, f"texts of {name}")
        rows = slice(TEXTS + i * ANCHORS, TEXTS + (i + 1) * ANCHORS)
        texts[space.name] = sk.Embeddings(read[:TEXTS], list(map(str, range(TEXTS))), space)
        captions = sk.Embeddings(read[rows], list(map(str, range(ANCHORS))), space)
        given[name] = sk.ModalityPairs(sk.Embeddings(images[rows], captions.ids, sk.Space(name, WIDTH, name)), captions)
    names = {key.replace(" ", "-"): one for key, one in texts.items()}
    moments, solver = JointMoments.of(names), sk.GeneralisedProcrustes()

    def check(results: Mapping[str, Any]) -> dict[str, float]:
        alone, bound = results["generalised Procrustes of the moments"], results["bind"]
        worst = max(
            float(np.abs(bound.text_maps[name].weight - alone.maps[name].weight).max() / np.abs(one.weight).max())
            for name, one in alone.maps.items()
        )
        if worst > 1e-6:
            raise AssertionError(f"the maps of the texts differ by {worst}")
        return {"maps of the texts": worst, "sweeps": float(alone.record["sweeps"])}

    ridge = sk.Ridge(alpha=0.1)
    contestants = {
        "generalised Procrustes of the moments": lambda: solver.fit([moments]),
        "bind": lambda: sk.bind(given, texts=names, solver=ridge),
        "bind, solvers of the maps searched": lambda: sk.bind(given, texts=names),
    }
    return Case(contestants, check)


ROWS = [Row("bind-4", f"4 modalities of {ANCHORS} anchors, 4 text spaces {TEXTS:,} x {WIDTH}", four, cpu=True)]
