"""A study file on phantom films, and the same numbers by hand."""

from __future__ import annotations

from functools import cache

import numpy as np

import stitchkit as sk
from stitchkit.studies.named_encoders import NamedEncoders
from stitchkit.studies.results import StudySummary
from stitchkit.studies.study import study

TRAIN, TEST = 60, 50
JUDGED = ("cardiomegaly", "edema", "nodule")

PLAN = """
kind = "{kind}"
name = "phantoms"
{top}
[data]
layout = "table"
root = "{root}"
metadata = ["view", "sex"]
{data}
[data.reader]
table = "manifest.csv"
text = "text"
patient = "patient"
split = "split"
classes = {classes}
columns = ["view", "sex"]
[grid]
sources = ["demo:general"]
targets = ["{target}"]
{grid}
[judge]
min_positives = 3
replicates = 60
{judge}
"""


def manifest(films):
    return (films / "manifest.csv").read_text().splitlines()


@cache
def demo_encoder(name):
    return sk.load_encoder(name, device="cpu")


class LoadedOnce(NamedEncoders):
    """The demo's encoders, which are frozen, are loaded once; vectors come from the store of these tests."""

    def encoder(self, name):
        return demo_encoder(name) if name.startswith("demo:") else super().encoder(name)


def run(plan, out, **more) -> StudySummary:
    return study(plan, out, loader=LoadedOnce(device="cpu", progress=False), progress=False, **more)


def only(scores):
    """The scores of the judged classes."""
    return sk.Scores(np.stack([scores.column(label) for label in JUDGED], axis=1), scores.kind, scores.ids, JUDGED)


def by_hand(scores, labels, test):
    return sk.evaluate(only(scores), labels.take(test), min_positives=3, replicates=60).main
