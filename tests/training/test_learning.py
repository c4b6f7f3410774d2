"""Two hundred steps of each objective on phantoms: what is learnt is far above chance, and above reports of others."""

from __future__ import annotations

import csv
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import hypergeom
from small_recipes import write_recipe

from stitchkit import load_encoder
from stitchkit.datasets.phantoms import FINDINGS, Nuisance, draw_phantoms, render, write_report
from stitchkit.encoders.shared.network import SharedNetwork
from stitchkit.training import network_forms
from stitchkit.training.checkpoints import read_state
from stitchkit.training.loop import train
from stitchkit.training.objectives import OBJECTIVES

pytest.importorskip("lightning", reason="training needs Lightning: pip install 'stitchkit[train]'")
FAMILIES = {
    "transfer": ("clip", "siglip", "lit", "partial_freezing"),
    "unimodal": ("cyclip", "slip", "clip_mlm", "declip"),
    "granularity": ("sparc", "filip", "gloria", "coca"),
}
COUNTS = {"train": 1200, "test": 400}
GALLERY = 100  # texts, or films, among which each partner is searched
CHANCE = 1 / GALLERY
TIMES = 5  # of chance: what two hundred steps have to reach at least
PLAIN = Nuisance(
    body=0, habitus=0.3, heart=0.0, inspiration=0.0, rotation=0.0, tilt=0.0, zoom=1.0, shift=(0.0, 0.0), exposure=0.0,
    contrast=1.0, noise=1.5, collimation=(0.0, 0.0, 0.0, 0.0), wires=False, line=False,
)  # fmt: skip
NETWORK = {
    "width": 64, "layers": 1, "heads": 2, "dim": 48, "side": 32, "patch": 16, "context": 64, "vocabulary": 1024,
    "features": 8,
}  # fmt: skip
TRAINING = {"epochs": None, "steps": 200, "validate_every": 200, "batch": 48, "rate": 1e-3, "zoom": 1}
CHANGES = {  # tables of the recipe that an objective needs otherwise
    "lit": {"network": {"shared": "none"}},
    "partial_freezing": {"network": {"shared": "none", "layers": 2}},  # of one layer, half is none
    # its loss first brings all cosines to the chance of a pair, and vectors grow alike meanwhile: a bias of about
    # log(1 / 47) and a small scale leave little to bring, and wide vectors more room
    "siglip": {"network": {"shared": "none", "features": 0, "dim": 256}, "objective": {"bias": -4, "scale": 5}},
    "declip": {"objective": {"queue": 512}},
    "filip, tokens alone": {"objective": {"name": "filip", "whole": 0}},  # as in the paper
}  # fmt: skip


@dataclass(frozen=True)
class Films:
    """Folder of films with a table of their own reports and one of reports of others; those held out, by table."""

    folder: Path
    held: tuple[Path, ...]
    reports: dict[str, tuple[str, ...]]


def drawn_reports(count, seed):
    """Phantoms with clear findings by their reports, which have several sentences each and are all distinct."""
    written = {}
    for one in draw_phantoms(2 * count, seed=seed, prevalence=0.4):
        present = [name for name, grade in zip(FINDINGS, one.severities, strict=True) if grade]
        clear = one.with_severity(**dict.fromkeys(present, 0.9))
        report = write_report(clear, seed=seed)
        if report.count(".") > 1 and len(written) < count:
            written.setdefault(report, clear)
    assert len(written) == count
    return written


def order_of_others(phantoms, seed):
    """A random order in which every phantom has the place of one with other findings."""
    findings = np.array([[grade > 0 for grade in one.severities] for one in phantoms])
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(findings))
    while len(same := np.flatnonzero((findings == findings[order]).all(axis=1))):
        for place in same:
            other = rng.integers(len(order))
            order[[place, other]] = order[[other, place]]
    assert sorted(order) == list(range(len(findings)))
    assert (findings != findings[order]).any(axis=1).all()
    return order


@pytest.fixture(scope="session")
def clear_films(tmp_path_factory):
    """Films whose findings stand out: what they have in common is taken away, and the rest made six times as strong."""
    folder, common = tmp_path_factory.mktemp("clear"), None
    rows, reports, paths = {"own": [], "others": []}, {}, []
    for seed, (split, count) in enumerate(COUNTS.items()):
        written = drawn_reports(count, seed)
        phantoms, own = list(written.values()), tuple(written)
        reports = {"own": own, "others": tuple(own[i] for i in order_of_others(phantoms, seed))}
        levels = np.array([render(replace(one, seed=0, nuisance=PLAIN), NETWORK["side"]) for one in phantoms], float)
        common = levels.mean(axis=0) if common is None else common
        paths = [folder / f"{split}{i}.png" for i in range(count)]
        for path, one in zip(paths, np.clip(128 + 6 * (levels - common), 0, 255), strict=True):
            Image.fromarray(one.astype(np.uint8)).save(path)
        for table, texts in reports.items():
            facts = zip(paths, texts, phantoms, strict=True)
            rows[table] += [[path.name, text, f"{split} {one.patient}", split] for path, text, one in facts]
    for table, lines in rows.items():
        with (folder / f"{table}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["path", "text", "patient", "split"], *lines])
    assert len(set(reports["own"])) >= GALLERY
    return Films(folder, tuple(paths), reports)


def by_pooled(films, texts):
    near = torch.nn.functional.cosine_similarity(films.pooled[:, None], texts.pooled[None], dim=2)
    return near, near.T


def by_tokens(films, texts):
    from stitchkit.training.objectives.filip import late_similarities

    there, back = late_similarities(films.tokens, films.mask, texts.tokens, texts.mask)
    return there, back.T


SIMILARITIES = {"filip, tokens alone": by_tokens}  # pooled vectors are in no part of that loss


def recall_in_galleries(near):
    """Chance (n,) of each row that its partner comes first among itself and others drawn at random; ties are lost."""
    above = (near >= near.diagonal()[:, None]).sum(dim=1).numpy() - 1
    return hypergeom.pmf(0, len(near) - 1, above, GALLERY - 1)


@dataclass(frozen=True)
class Learnt:
    """Recalls at 1 of films asking for reports and of reports asking for films, and the seconds of the run."""

    recall: tuple[np.ndarray, np.ndarray]
    seconds: float

    @property
    def means(self):
        return np.array([one.mean() for one in self.recall])

    @property
    def upper(self):
        """Upper ends of the 95 % intervals of both means."""
        return self.means + 1.96 * np.array([one.std(ddof=1) / np.sqrt(len(one)) for one in self.recall])


@pytest.fixture(scope="session")
def learnt(clear_films, tmp_path_factory):
    """A function of objective, table and seed: what a run has learnt. Each run is made once."""
    reader = {"text": "text", "patient": "patient", "split": "split", "classes": []}

    def run(name, table, seed, folder, start=None, **changes):
        tables = changes or CHANGES.get(name, {})
        path = write_recipe(
            folder / "recipe.toml", clear_films.folder, reader={"table": f"{table}.csv", **reader}, seed=seed,
            network={**NETWORK, **tables.get("network", {})}, objective={"name": name, **tables.get("objective", {})},
            training={**TRAINING, **tables.get("training", {})},
        )  # fmt: skip

        def started(shape):
            network = SharedNetwork(shape)
            network.load_state_dict({**network.state_dict(), **(start or {})})
            return network

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(network_forms, "SharedNetwork", started)
            train(path, folder / "out", device="cpu", progress=False)
        return folder / "out"

    @cache
    def pretrained():
        """The film's tower of a run of CLIP's objective, from which LiT's starts, as it trains no tower of films."""
        out = run("clip", "own", 100, tmp_path_factory.mktemp("start"), network={"shared": "none"})
        network = read_state(out / "run")["network"]
        return {name: value for name, value in network.items() if name.split(".")[1] == "image"}

    @cache
    def learnt(name, table, seed):
        start = pretrained() if name == "lit" else None
        began = time.process_time()
        out = run(name, table, seed, tmp_path_factory.mktemp(f"{name}-{table}"), start)
        films, texts = (
            encoder.encode(encoder.prepare(items))
            for modality, items in (
                ("image", [Image.open(path) for path in clear_films.held]),
                ("text", list(clear_films.reports[table])),
            )
            for encoder in [load_encoder(f"stitchkit:{out}#modality={modality}", device="cpu")]
        )
        near = SIMILARITIES.get(name, by_pooled)(films, texts)
        result = Learnt(tuple(map(recall_in_galleries, near)), time.process_time() - began)
        print(f"\n{name:20}{table:7} seed {seed}  R@1", *(f"{one:.4f}" for one in result.means), "upper",
              *(f"{one:.4f}" for one in result.upper), f" {result.seconds:.1f} s", end="")  # fmt: skip
        return result

    return learnt


def check_learning(learnt, name, seeds, control=None):
    """Each run is above chance many times over, and above every run with reports of others, both ways.

    ``control`` is the objective of the runs with reports of others, by default the same.
    """
    own = [learnt(name, "own", seed) for seed in seeds]
    others = [learnt(control or name, "others", seed) for seed in seeds]
    control = np.max([one.upper for one in others], axis=0)
    for one in own:
        assert (one.means > np.maximum(TIMES * CHANCE, control)).all(), (one.means, control)
    for one in others:
        spread = (one.upper - one.means) / 1.96
        assert (one.means < CHANCE + 4 * spread).all(), one.means


@pytest.mark.parametrize("name", [first for first, *_ in FAMILIES.values()])
def test_an_objective_of_each_family_learns_from_reports_that_belong_to_the_films(learnt, name):
    check_learning(learnt, name, [0], control="clip")  # each one's own control is in the slow part


@pytest.mark.slow
@pytest.mark.parametrize("name", [*OBJECTIVES, *SIMILARITIES])
def test_every_objective_learns_from_reports_that_belong_to_the_films(learnt, name):
    check_learning(learnt, name, [0, 1, 2])


def test_the_recall_is_the_mean_over_galleries_drawn_at_random():
    rng = np.random.default_rng(0)
    near = torch.from_numpy(rng.normal(size=(150, 150)) + 3 * np.eye(150))
    drawn = [
        rng.choice(np.delete(np.arange(150), row), GALLERY - 1, replace=False) for row in range(150) for _ in range(200)
    ]
    first = [bool((near[at // 200, some] < near[at // 200, at // 200]).all()) for at, some in enumerate(drawn)]
    assert abs(np.mean(first) - recall_in_galleries(near).mean()) < 0.01
    assert recall_in_galleries(torch.zeros(150, 150)).max() == 0


def test_every_objective_belongs_to_a_family():
    assert set(OBJECTIVES) <= {name for family in FAMILIES.values() for name in family}
