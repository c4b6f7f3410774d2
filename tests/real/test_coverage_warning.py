"""The warning that anchors do not cover a finding, on real reports: sentences about a finding taken out, or left."""

from __future__ import annotations

import re

import numpy as np
import pytest
from nih import texts_of

import stitchkit as sk
from stitchkit.evaluation.coverage import prompt_coverage

pytestmark = pytest.mark.real

WORDS = {
    "Cardiomegaly": r"cardiomegal|heart|cardiac silhouette|cardiomediast",
    "Effusion": r"effusion|costophrenic",
    "Pneumothorax": r"pneumothora",
    "Edema": r"edema|vascular congestion|pulmonary vascul",
    "Nodule": r"nodul|granuloma",
    "Atelectasis": r"atelecta",
    "Consolidation": r"consolidat|airspace|infiltrat|opacit",
}
DRAWS, POOL = 8, 500


def without(text, words):
    kept = [one for one in re.split(r"(?<=[.!?])\s+", text) if not re.search(words, one, re.IGNORECASE)]
    return " ".join(kept) or "normal."


@pytest.fixture(scope="module")
def vectors(report_texts, minilm):
    """Vectors of 500 reports as they are and without each finding, and those of the prompts by class."""
    whole = [report_texts["train"][i] for i in np.random.default_rng(0).permutation(len(report_texts["train"]))[:POOL]]
    sides = {"": whole} | {name: [without(one, words) for one in whole] for name, words in WORDS.items()}
    distinct = list(dict.fromkeys(text for side in sides.values() for text in side))
    place = {text: i for i, text in enumerate(distinct)}
    rows = texts_of(minilm, np.arange(len(distinct)), distinct).vectors.astype(np.float64)
    found = {name: rows[[place[text] for text in side]] for name, side in sides.items()}
    prompts = {
        name: texts_of(minilm, np.arange(len(texts)), list(texts)).vectors.astype(np.float64)
        for name, texts in sk.read_prompts("nih15").positive.items()
    }
    return found, prompts


def errors(vectors, n):
    """Shares of silent findings that are missed, and of mentioned ones that are warned of."""
    found, prompts = vectors
    rng, missed, false = np.random.default_rng(2), [], []
    for _ in range(DRAWS):
        rows = rng.choice(POOL, n, replace=False)
        for name in WORDS:
            silent = {one.name: one.covered for one in prompt_coverage(found[name][rows], prompts)}
            missed.append(silent[name])
        told = {one.name: one.covered for one in prompt_coverage(found[""][rows], prompts)}
        false += [not told[name] for name in WORDS]
    return float(np.mean(missed)), float(np.mean(false))


@pytest.mark.parametrize(
    ("n", "most_missed", "most_false"), [(100, 0.25, 0.45), (200, 0.27, 0.2), (300, 0.25, 0.15), (450, 0.25, 0.12)]
)
def test_silent_findings_are_warned_of_however_many_anchors_there_are(vectors, n, most_missed, most_false):
    missed, false = errors(vectors, n)
    print(f"\n{n} anchors: {missed:.2f} of silent findings missed, {false:.2f} of mentioned ones warned of")
    assert missed <= most_missed
    assert false <= most_false
