"""One map across sites: anchors of one hospital, judged there and on another's films, with the gate's verdict.

Sites: NIH ChestX-ray14 (adults, 256 px, the 379 honest films by their own split of patients, text = the manifest's
template) and PneumoniaMNIST (paediatric, 28 px, text = one sentence for pneumonia and one for none, so that its own map
is a label map in disguise; its patients are not published). Age, pixels, and what is called abnormal differ: a shift of
population and image at once. NIH anchors at 28 px tell the pixels apart from the rest.

ResNet-44 -> MiniLM by ridge of one strength, for sites are compared here, not choices. Score: cosine to the mean of the
13 findings' prompts minus cosine to that of no finding; positive are NIH films with any finding and PneumoniaMNIST's
pneumonia. AUROC with 95 % intervals over patients, films of PneumoniaMNIST counting as patients.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from nih import FINDINGS, films, texts_of

import stitchkit as sk
from stitchkit.metrics.auroc import auroc, resampled_auroc
from stitchkit.metrics.bootstrap import patient_counts, percentile_interval

pytestmark = pytest.mark.real

PNEUMONIA, NORMAL = "Frontal chest X-ray showing pneumonia.", "Frontal chest X-ray with no acute finding."
SMALL = 28
SOLVER = sk.Ridge(alpha=10.0, scale="source")


class Side(NamedTuple):
    """Anchors or test films of a site."""

    x: sk.Embeddings
    y: sk.Embeddings
    positive: np.ndarray
    patients: np.ndarray


@pytest.fixture(scope="module")
def sites(real_data, honest, chest_vectors, resnet, minilm):
    """Name of a site -> its anchors and its test films."""
    labels, _ = honest
    known = labels.columns["text"]
    texts, split = texts_of(minilm, labels.ids, [str(text) for text in known]), labels.columns["split"]
    abnormal = np.asarray([str(text) != NORMAL for text in known])
    vectors, small = chest_vectors.of_ids(labels.ids), sk.embed(resnet, reduced(real_data, labels.ids), progress=False)
    found = {}
    for name, rows in (("NIH", vectors), ("NIH at 28 px", small)):
        sides = [np.flatnonzero(split == side) for side in ("train", "test")]
        found[name] = [Side(rows.take(i), texts.take(i), abnormal[i], labels.groups[i]) for i in sides]
    found["PneumoniaMNIST"] = list(paediatric(real_data, resnet, minilm))
    return found


def reduced(real_data, ids):
    """NIH films as 28 x 28 pixels."""
    from PIL import Image

    small = []
    for path in films(real_data, ids).values:
        with Image.open(path) as picture:
            small.append(np.asarray(picture.convert("L").resize((SMALL, SMALL), Image.Resampling.BOX)))
    return sk.Items(ids, small, "image")


def paediatric(real_data, resnet, minilm, anchors=400):
    """Anchors drawn from PneumoniaMNIST's training films, and all of its validation films."""
    path = real_data / "pneumoniamnist" / "pneumoniamnist.npz"
    if not path.is_file():
        pytest.skip("the folder of real data has no pneumoniamnist/pneumoniamnist.npz")
    with np.load(path) as data:
        every = {side: (data[f"{side}_images"], data[f"{side}_labels"].ravel()) for side in ("train", "val")}
    drawn = np.random.default_rng(0).permutation(len(every["train"][1]))[:anchors]
    for side, rows in (("train", drawn), ("val", np.arange(len(every["val"][1])))):
        pictures, positive = (one[rows] for one in every[side])
        ids = [f"{side}{i}" for i in rows]
        two = texts_of(minilm, ["0", "1"], [NORMAL, PNEUMONIA])
        texts = sk.Embeddings(two.vectors[positive.astype(int)], ids, two.space)
        images = sk.embed(resnet, sk.Items(ids, list(pictures), "image"), progress=False)
        yield Side(images, texts, positive == 1, np.asarray(ids))


@pytest.fixture(scope="module")
def maps(sites):
    return {
        name: sk.align(anchors.x, anchors.y, groups=anchors.patients, solver=SOLVER, nested=False)
        for name, (anchors, _) in sites.items()
    }


def area(alignment, test, minilm):
    said = [f"Frontal chest X-ray showing {one.lower().replace('_', ' ')}." for one in FINDINGS]
    prompts = texts_of(minilm, range(len(said) + 1), [*said, NORMAL])
    found = prompts.vectors[:-1].mean(axis=0)
    two = sk.Embeddings(np.stack([found / np.linalg.norm(found), prompts.vectors[-1]]), ["1", "0"], prompts.space)
    scores = np.asarray(alignment.similarity(test.x, two)) @ np.array([1.0, -1.0])
    drawn = [resampled_auroc(scores, test.positive, counts) for counts in patient_counts(test.patients, 1000, 0)]
    return percentile_interval(auroc(scores, test.positive), np.concatenate(drawn))


def test_a_map_of_one_site_fails_the_gate_of_another(sites, maps, minilm):
    areas, verdicts = {}, {}
    for at, (_, test) in sites.items():
        for by in maps:
            areas[by, at] = area(maps[by], test, minilm)
            print(f"\nanchors {by}, test {at}: AUROC of abnormal {areas[by, at]}")
        groups = None if at == "PneumoniaMNIST" else test.patients
        for by in maps:
            if by != at:
                verdicts[by, at] = sk.gate(maps[by], test.x, test.y, groups=groups, against=maps[at], margin=0.03)
                print(f"\ngate at {at}, map of {by} against the site's own: {verdicts[by, at]}")
    _, test = sites["PneumoniaMNIST"]
    for by in ("NIH", "NIH at 28 px"):
        assert not verdicts[by, "PneumoniaMNIST"].passed
        assert sk.gate(maps["PneumoniaMNIST"], test.x, test.y, against=maps[by], margin=0.03).passed
        assert areas[by, "PneumoniaMNIST"].high < areas["PneumoniaMNIST", "PneumoniaMNIST"].low
        assert areas["PneumoniaMNIST", by].low < 0.5  # nor is the other way above chance
    assert areas["PneumoniaMNIST", "PneumoniaMNIST"].low > 0.8
