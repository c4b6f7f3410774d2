"""The warning that anchors do not cover a finding, on real reports: sentences about a finding taken out, or left.

The limits of the rule were chosen on another part of the reports.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from nih import texts_of

import stitchkit as sk
from stitchkit.evaluation.diagnosis.coverage import prompt_coverage

pytestmark = pytest.mark.real

OPACITY = r"consolidat|airspace|infiltrat|opacit"
WORDS = {
    "Atelectasis": r"atelecta|volume loss|collapse",
    "Cardiomegaly": r"cardiomegal|heart|cardiac silhouette|cardiomediast",
    "Effusion": r"effusion|costophrenic",
    "Infiltration": OPACITY,
    "Mass": r"\bmass|tumou?r|neoplas",
    "Nodule": r"nodul|granuloma",
    "Pneumonia": r"pneumonia|infect|airspace",
    "Pneumothorax": r"pneumothora",
    "Consolidation": OPACITY,
    "Edema": r"edema|vascular congestion|pulmonary vascul",
    "Emphysema": r"emphysem|hyperinfl|hyperexp|obstructive",
    "Fibrosis": r"fibro|scar",
    "Pleural_Thickening": r"pleural thick|pleural cap|thickened pleura",
    "Hernia": r"hernia",
}
DRAWS, POOL, FEW = 6, 500, 5  # FEW: findings that fewer anchors mention are not counted among the mentioned


def without(text, words):
    kept = [one for one in re.split(r"(?<=[.!?])\s+", text) if not re.search(words, one, re.IGNORECASE)]
    return " ".join(kept) or "normal."


@pytest.fixture(scope="module")
def parts(real_data):
    """Reports to fit the counts of words on, and reports that no limit was chosen on: 600 and 500 of 1,904."""
    table = sk.read_labels(real_data / "reports_iu" / "manifest.csv", classes=["Normal"], id="uid", columns=("text",))
    texts = [one for one in dict.fromkeys(map(str, table.columns["text"])) if len(one) > 20]
    assert len(texts) == 1904
    order = np.random.default_rng(0).permutation(len(texts))  # the limits are of order[600:1250]
    return [texts[i] for i in order[:600]], [texts[i] for i in order[1250 : 1250 + POOL]]


@pytest.fixture(scope="module")
def encoders(parts, minilm):
    """Vectors of texts by a sentence encoder, and by weighted counts of words."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    counts = TfidfVectorizer(min_df=2, sublinear_tf=True, ngram_range=(1, 2))
    squeeze = TruncatedSVD(256, random_state=0).fit(counts.fit_transform(parts[0]))
    return {
        "sentences": lambda texts: texts_of(minilm, np.arange(len(texts)), texts).vectors.astype(np.float64),
        "words": lambda texts: squeeze.transform(counts.transform(texts)),
    }


@pytest.fixture(scope="module", params=["sentences", "words"])
def vectors(request, parts, encoders):
    """Vectors of 500 reports as they are and without each finding, those of the prompts by class, and mentions."""
    whole, prompts = parts[1], sk.read_prompts("nih15").positive
    sides = {"": whole} | {name: [without(one, words) for one in whole] for name, words in WORDS.items()}
    distinct = list(dict.fromkeys(text for side in (*sides.values(), *prompts.values()) for text in side))
    place = {text: i for i, text in enumerate(distinct)}
    rows = encoders[request.param](distinct)
    found = {name: rows[[place[text] for text in side]] for name, side in sides.items()}
    mentioned = {
        name: np.asarray([bool(re.search(words, one, re.IGNORECASE)) for one in whole]) for name, words in WORDS.items()
    }
    return found, {name: rows[[place[text] for text in texts]] for name, texts in prompts.items()}, mentioned


def errors(vectors, n):
    """Shares of silent findings that are missed, and of findings with five mentions that are warned of."""
    found, prompts, mentioned = vectors
    rng, missed, false = np.random.default_rng(2), [], []
    for _ in range(DRAWS):
        rows = rng.choice(POOL, n, replace=False)
        known = {one.name: one.covered for one in prompt_coverage(found[""][rows], prompts)}
        for name in WORDS:
            silent = {one.name: one.covered for one in prompt_coverage(found[name][rows], prompts)}
            missed.append(silent[name])
            if mentioned[name][rows].sum() >= FEW:
                false.append(not known[name])
    return float(np.mean(missed)), float(np.mean(false))


@pytest.mark.parametrize(("n", "most_missed", "most_false"), [(100, 0.15, 0.3), (200, 0.15, 0.2), (400, 0.15, 0.2)])
def test_silent_findings_are_warned_of_however_many_anchors_there_are(vectors, n, most_missed, most_false):
    missed, false = errors(vectors, n)
    print(f"\n{n} anchors: {missed:.2f} of silent findings missed, {false:.2f} of mentioned ones warned of")
    assert missed <= most_missed
    assert false <= most_false
