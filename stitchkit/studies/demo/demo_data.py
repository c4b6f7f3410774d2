"""The demo's data: phantoms, three small encoders, and every vector the demo needs."""

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
    """Settings of the demo.

    Parameters
    ----------
    seed
        Seed of the phantoms, default 0: anchors are drawn with ``10000 + 2 * seed``, test films with one more; the
        recipe of the encoders uses another seed.
    anchors, tested
        Numbers of films, defaults 500 and 700.
    curve
        Anchor counts of the learning curve, below the full one; default 50, 100 and 200.
    draws
        Random subsets at each count below the full one, default 2.
    replicates
        Number of bootstrap resamples, default 2000.
    nested
        Estimate on held-out folds how well the choice of maps does, for the page; default True.
    """

    seed: int = 0
    anchors: int = 500
    tested: int = 700
    curve: tuple[int, ...] = (50, 100, 200)
    draws: int = 2
    replicates: int = REPLICATES
    nested: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class DemoData:
    """Anchors and test films with their vectors in every space."""

    anchors: PhantomSet
    tested: PhantomSet
    labels: Labels  # of both: what the reports say of the anchors, what is true of the test films
    general: tuple[Embeddings, Embeddings]  # anchors, test
    medical: tuple[Embeddings, Embeddings]
    text: Embeddings  # the anchors' reports
    text_encoder: Encoder
    own_head: LinearHead


def make_demo_data(settings: DemoSettings) -> DemoData:
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
    return DemoData(
        anchors=anchors,
        tested=tested,
        labels=labels,
        general=(_films(general, anchors), _films(general, tested)),
        medical=(_films(medical, anchors), _films(medical, tested)),
        text=_texts(text, anchors.ids, anchors.reports),
        text_encoder=text,
        own_head=medical.classifier(),  # type: ignore[attr-defined]
    )


def silent_reports(data: DemoData, finding: str) -> Embeddings:
    """The anchors' reports written again without a word on ``finding``, embedded."""
    seed = int(str(data.anchors.ids[0]).split("-")[1])
    texts = [write_report(one, seed=seed, noise=NOISE, silent=(finding,)) for one in data.anchors.phantoms]
    return _texts(data.text_encoder, data.anchors.ids, texts)


def concatenate(pair: tuple[Embeddings, Embeddings]) -> Embeddings:
    """Anchors and test films as one."""
    ids = np.concatenate([part.ids for part in pair])
    return Embeddings(np.concatenate([part.vectors for part in pair]), ids, pair[0].space)


def _films(encoder: Encoder, films: PhantomSet) -> Embeddings:
    return embed(encoder, Items(films.ids, list(films.images), "image"), store=None, progress=False)


def _texts(encoder: Encoder, ids: np.ndarray, texts: list[str]) -> Embeddings:
    return embed(encoder, Items(ids, texts, "text"), store=None, progress=False)
