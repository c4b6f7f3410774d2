"""A table with holes, vectors with holes, and a head fused of both; made once."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk

N = 360
QUICK = sk.FusionRecipe(
    hidden=16, epochs=6, contrastive_epochs=2, batch=48, learning_rate=5e-3, weight_decay=(0.01, 1.0)
)


class Cohort:
    """Three classes that vectors tell, and a table tells in part; patients of two rows each."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.ids = np.asarray([f"case{i}" for i in range(N)])
        kind = rng.integers(0, 3, N)
        self.kind = kind
        self.groups = np.asarray([f"p{i // 2}" for i in range(N)])
        self.labels = sk.Labels(np.eye(3)[kind], self.ids, ("nev", "mel", "bcc"), self.groups)
        vectors = rng.normal(size=(N, 24)) + 1.2 * np.eye(24)[kind]
        self.has_image = rng.random(N) > 0.2
        self.space = sk.Space("net", 24, "f1")
        self.image = sk.Embeddings(vectors[self.has_image], self.ids[self.has_image], self.space)
        age = np.where(rng.random(N) < 0.3, np.nan, np.round(50 + 12 * (kind == 2) + 10 * rng.normal(size=N)))
        site = np.where(rng.random(N) < 0.3, "", np.asarray(["arm", "leg", "ear"])[(kind + (rng.random(N) < 0.5)) % 3])
        self.table = sk.TableRows(self.ids, {"age": age, "site": site, "camera": np.full(N, "x")})

    def inputs(self):
        return {"image": self.image, "table": self.table}


@pytest.fixture(scope="session")
def cohort():
    return Cohort()


@pytest.fixture(scope="session")
def quick():
    return QUICK


@pytest.fixture(scope="session")
def head(cohort, quick):
    return sk.fuse(cohort.inputs(), cohort.labels, recipe=quick, progress=False)
