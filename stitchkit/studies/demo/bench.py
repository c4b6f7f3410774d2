"""The demo's bench: phantoms, three small encoders, and every vector the demo needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stitchkit.core.embeddings import Embeddings
from stitchkit.core.heads import LinearHead
from stitchkit.core.items import Items
from stitchkit.core.least_patients import REPLICATES
from stitchkit.core.roles import Encoder
from stitchkit.core.scores import Labels
from stitchkit.datasets.phantoms import FINDINGS, PhantomSet, make_phantoms, write_report
from stitchkit.embedding import embed
from stitchkit.encoders import load_encoder

NOISE = 0.05  # chance that a report, of an anchor or a test film, is wrong about a finding


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the demo runs on.

    Parameters
    ----------
    seed
        Of the phantoms: anchors are drawn with ``10000 + 2 * seed``, test films with one more; the encoders'
        recipe uses another seed.
    anchors, tested
        Numbers of films.
    curve
        Anchor counts of the learning curve, below the full one.
    draws
        Random subsets at each count below the full one.
    replicates
        Bootstrap resamples.
    nested
        Estimate on held-out folds how well the choice of maps does; the page tells it.
    """

    seed: int = 0
    anchors: int = 500
    tested: int = 700
    curve: tuple[int, ...] = (50, 100, 200)
    draws: int = 2
    replicates: int = REPLICATES
    nested: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """Anchors and test films with their vectors in every space."""

    anchors: PhantomSet
    tested: PhantomSet
    labels: Labels  # of both: what the reports say of the anchors, what is true of the test films
    general: tuple[Embeddings, Embeddings]  # anchors, test
    medical: tuple[Embeddings, Embeddings]
    text: Embeddings  # the anchors' reports
    text_encoder: Encoder
    own_head: LinearHead


def make_bench(settings: DemoSettings) -> Bench:
    """Draw the phantoms and embed films and reports."""
    anchors = make_phantoms(settings.anchors, seed=10_000 + 2 * settings.seed, noise=NOISE)
    tested = make_phantoms(settings.tested, seed=10_001 + 2 * settings.seed, noise=NOISE)
    general, medical, text = (load_encoder(f"demo:{name}", device="cpu") for name in ("general", "medical", "text"))
    labels = Labels(
        np.concatenate([anchors.reported, tested.labels]),
        np.concatenate([anchors.ids, tested.ids]),
        FINDINGS,
        np.concatenate([anchors.patients, tested.patients]),
        {
            "view": np.concatenate([anchors.views, tested.views]),
            "sex": np.concatenate([anchors.sexes, tested.sexes]),
        },
    )
    return Bench(
        anchors,
        tested,
        labels,
        (_films(general, anchors), _films(general, tested)),
        (_films(medical, anchors), _films(medical, tested)),
        _texts(text, anchors.ids, anchors.reports),
        text,
        medical.classifier(),  # type: ignore[attr-defined]
    )


def silent_reports(bench: Bench, finding: str) -> Embeddings:
    """The anchors' reports written again without a word on ``finding``, embedded."""
    seed = int(str(bench.anchors.ids[0]).split("-")[1])
    texts = [write_report(one, seed=seed, noise=NOISE, silent=(finding,)) for one in bench.anchors.phantoms]
    return _texts(bench.text_encoder, bench.anchors.ids, texts)


def joined(pair: tuple[Embeddings, Embeddings]) -> Embeddings:
    """Anchors and test films as one."""
    ids = np.concatenate([part.ids for part in pair])
    return Embeddings(np.concatenate([part.vectors for part in pair]), ids, pair[0].space)


def _films(encoder: Encoder, films: PhantomSet) -> Embeddings:
    return embed(encoder, Items(films.ids, list(films.images), "image"), store=None, progress=False)


def _texts(encoder: Encoder, ids: np.ndarray, texts: list[str]) -> Embeddings:
    return embed(encoder, Items(ids, texts, "text"), store=None, progress=False)
