"""Phantoms in four renderings bound through texts by the demo's encoders: what belongs together is known exactly.

The anchors of a rendering are phantoms of its own, so no phantom is seen in two renderings before the test. One image
encoder reads all of them, and has seen procedural shapes only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import stitchkit as sk
from stitchkit.datasets.phantoms.renderings import NORMAL, RENDERINGS, SENTENCES, RenderingSet
from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.proportions import exact_interval

RIDGE = sk.Ridge(alpha=0.1)
WAYS: dict[str, dict[str, Any]] = {
    "own maps, searched": {},
    "own maps, ridge 0.1": {"solver": RIDGE},
    "own or joint, chosen held out": {"maps": "auto"},
    "joint map, ridge 0.1": {"solver": RIDGE, "maps": "joint"},
}


@dataclass(frozen=True, eq=False)
class Drawn:
    """Anchors of every rendering, test phantoms in all of them, and their vectors."""

    anchors: Mapping[str, RenderingSet]
    tested: RenderingSet
    pairs: Mapping[str, tuple[sk.Embeddings, sk.Embeddings]]  # images and texts of the anchors
    test: Mapping[str, sk.Embeddings]
    text: sk.Encoder


def drawn(anchors: int = 300, tested: int = 200, *, seed: int = 0) -> Drawn:
    """The phantoms, and their vectors by ``demo:general`` and ``demo:text``."""
    image, text = (sk.load_encoder(f"demo:{name}", device="cpu") for name in ("general", "text"))
    sets = {
        kind: sk.make_renderings(anchors, seed=10_000 + 10 * seed + i, kinds=[kind])
        for i, kind in enumerate(RENDERINGS)
    }
    fresh = sk.make_renderings(tested, seed=10_009 + 10 * seed)

    def read(one: RenderingSet, kind: str) -> sk.Embeddings:
        return sk.embed(image, sk.Items(one.ids, list(one.images[kind]), "image"), progress=False)

    pairs = {
        kind: (read(one, kind), sk.embed(text, sk.Items(one.ids, one.texts[kind], "text"), progress=False))
        for kind, one in sets.items()
    }
    return Drawn(sets, fresh, pairs, {kind: read(fresh, kind) for kind in RENDERINGS}, text)


def prompts_of(kind: str) -> sk.PromptSet:
    """Each class's shipped prompts behind the sentence that names the rendering."""
    named = sk.read_prompts("phantom").positive
    texts = {NORMAL: ("No acute cardiopulmonary abnormality.", "No acute disease."), **named}
    said = {label: tuple(f"{SENTENCES[kind]} {one}" for one in some) for label, some in texts.items()}
    return sk.PromptSet(kind, said, multiclass=True)


def bound_and_judged(
    data: Drawn,
    *,
    maps: str = "own",
    solver: str | sk.Ridge = "auto",
    before: Mapping[str, sk.Scores] | None = None,
    shots: Sequence[int] = (1, 5, 20),
) -> tuple[sk.BoundSpace, sk.BindingEvaluation]:
    """The renderings bound with own or joint maps, judged on the test phantoms."""
    bound = sk.bind({kind: sk.ModalityPairs(*one) for kind, one in data.pairs.items()}, maps=maps, solver=solver)
    tests, fresh = {}, data.tested
    for kind, images in data.test.items():
        prompts, texts = prompts_of(kind), _texts(data, kind)
        head = sk.zeroshot(bound.alignment(kind), bound.into_hub("text", texts), prompts)
        one = data.anchors[kind]
        labels = sk.Labels(fresh.labels, fresh.ids, fresh.classes, groups=fresh.patients)
        tests[kind] = sk.ModalityTest(
            images, labels, head.scores(images), texts,
            alone=None if before is None else before[kind],
            training=(data.pairs[kind][0], sk.Labels(one.labels, one.ids, one.classes)),
            common={label: label for label in fresh.classes},
        )  # fmt: skip
    return bound, sk.evaluate_binding(bound, tests, shots=shots)


def alone(data: Drawn) -> dict[str, sk.Scores]:
    """Scores of the test phantoms by an alignment of each rendering alone."""
    scores = {}
    for kind, (x, t) in data.pairs.items():
        head = sk.zeroshot(sk.align(x, t, nested=False, progress=False), _texts(data, kind), prompts_of(kind))
        scores[kind] = head.scores(data.test[kind])
    return scores


def same_phantom(data: Drawn, bound: sk.BoundSpace) -> dict[tuple[str, str], Interval]:
    """Share of test phantoms that find themselves in another rendering, among all test phantoms."""
    rows = {kind: np.asarray(bound.comparable_rows(kind, one)) for kind, one in data.test.items()}
    truth, found = np.arange(len(data.tested)), {}
    for query in rows:
        for gallery in rows:
            if query != gallery:
                right = (rows[query] @ rows[gallery].T).argmax(axis=1) == truth
                found[query, gallery] = exact_interval(right.astype(float), np.ones(len(right)))
    return found


def _texts(data: Drawn, kind: str) -> sk.Embeddings:
    texts = prompts_of(kind).texts
    return sk.embed(data.text, sk.Items(list(texts), list(texts), "text"), progress=False)


def run(out: Path | None) -> int:
    """Print the tables of own and of joint maps, and write the numbers."""
    data, kept = drawn(), {}
    before = alone(data)
    for name, settings in WAYS.items():
        bound, judged = bound_and_judged(data, before=before, **settings)
        print(f"\n## renderings: {name}\n\n{judged}\n")
        itself = same_phantom(data, bound)
        for (query, gallery), one in itself.items():
            print(f"{query} -> {gallery}: the same phantom first {one} (chance {1 / len(data.tested):.3f})")
        for one in bound.record.get("compared", []):
            print(f"mean reciprocal rank, held out: {one['mean']}; chosen: {one['chosen']}", flush=True)
        kept[name] = {
            **judged.to_dict(), "compared": bound.record.get("compared", []),
            "same_phantom": {f"{query} -> {gallery}": one._asdict() for (query, gallery), one in itself.items()},
        }  # fmt: skip
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "renderings.json").write_text(json.dumps(kept) + "\n", encoding="utf-8")
    return 0
