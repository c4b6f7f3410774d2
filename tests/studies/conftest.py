"""Phantom films on disk, study files about them, and their vectors."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from phantom_studies import JUDGED, PLAN, TEST, TRAIN
from PIL import Image

import stitchkit as sk
from stitchkit.datasets.phantoms import FINDINGS, make_phantoms
from stitchkit.studies.demo.demo_data import DemoSettings
from stitchkit.studies.demo.run_demo import run_demo


@pytest.fixture(autouse=True)
def _quick_probes(quick_probes):
    """Most of a small study's time goes into choosing a strength."""


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    """Phantom films on disk: 60 for anchors, 50 to judge."""
    folder = tmp_path_factory.mktemp("films")
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "text", "patient", "split", "view", "sex", *FINDINGS])
        for split, count, seed in (("train", TRAIN, 1), ("test", TEST, 2)):
            drawn = make_phantoms(count, seed=seed)
            for i, image in enumerate(drawn.images):
                Image.fromarray(np.asarray(image)).save(folder / f"{split}{i}.png")
                table.writerow([
                    f"{split}{i}.png", drawn.reports[i], drawn.patients[i], split, drawn.views[i], drawn.sexes[i],
                    *drawn.labels[i].astype(int),
                ])  # fmt: skip
    return folder


@pytest.fixture
def planned(films, tmp_path):
    def make(
        kind="stitching", *, top="", data="", grid='solvers = ["ridge"]', judge="", classes=None, target=None, to=None
    ):
        path = (to or tmp_path) / "plan.toml"
        words = json.dumps(list(classes or JUDGED))
        target = "demo:medical" if kind == "stitching" else "demo:text"
        if kind == "zeroshot" and "prompts" not in top:
            top += '\nprompts = "phantom"'
        path.write_text(PLAN.format(kind=kind, top=top, data=data, grid=grid, judge=judge, classes=words, root=films,
                                    target=target))  # fmt: skip
        return path

    return make


@pytest.fixture(scope="session")
def small_demo(quick_probes_within, tmp_path_factory):
    """A demo of few phantoms, whose numbers and page several files read."""
    settings = DemoSettings(anchors=60, tested=120, curve=(30,), draws=1, replicates=50)
    with quick_probes_within():
        return run_demo(tmp_path_factory.mktemp("demo") / "page", settings=settings)


@pytest.fixture(scope="session")
def vectors(films):
    """Labels and vectors of every film, by hand."""
    labels = sk.read_labels(films / "manifest.csv", classes=JUDGED, id="path", columns=("view", "sex", "split", "text"))
    images = sk.Items(labels.ids, [films / one for one in labels.ids], "image")
    encoders = {name: sk.load_encoder(f"demo:{name}", device="cpu") for name in ("general", "medical", "text")}
    general, medical = (sk.embed(encoders[name], images, store=None, progress=False) for name in ("general", "medical"))
    texts = sk.Items(labels.ids, [str(text) for text in labels.columns["text"]], "text")
    reports = sk.embed(encoders["text"], texts, store=None, progress=False)
    train = np.flatnonzero(labels.columns["split"] == "train")
    test = np.flatnonzero(labels.columns["split"] == "test")
    return labels, general, medical, reports, encoders, train, test
