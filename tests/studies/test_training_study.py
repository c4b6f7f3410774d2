"""Studies of training: arms of one recipe, judged as anybody would judge the encoders that come out."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from phantom_studies import run
from sklearn.metrics import average_precision_score

import stitchkit as sk
from stitchkit.core.errors import DataError, LeakageError
from stitchkit.reports.study_page import PAGE
from stitchkit.studies.cells import Cell, CellLog
from stitchkit.studies.jobs import training
from stitchkit.studies.judges import MAP, RankingJudge
from stitchkit.training.recipes import read_recipe

pytest.importorskip("lightning", reason="training needs Lightning: pip install 'stitchkit[train]'")
pytestmark = pytest.mark.usefixtures("undrawn")

RECIPE = """
name = "few films"
[network]
width = 16
layers = 2
heads = 2
dim = 8
side = 32
patch = 16
context = 16
features = 2
grey = true
vocabulary = 300
[pairs]
layout = "table"
root = "{root}"
held = 0.3
[pairs.reader]
text = "{text}"
patient = "patient"
split = "split"
classes = []
[training]
steps = 4
validate_every = 2
batch = 12
rate = 2e-3
"""
PLAN = """
kind = "training"
name = "shared or separate"
recipe = "recipe.toml"
[arms.separate.network]
shared = "none"
[arms.shared]
{shared}
[grid]
fractions = {fractions}
seeds = 2
[judge]
replicates = 40
{judge}
"""


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_plan(folder, films, *, text="text", shared="", judge="", fractions=(1.0, 0.5)):
    (folder / "recipe.toml").write_text(RECIPE.format(root=films, text=text))
    path = folder / "plan.toml"
    path.write_text(PLAN.format(shared=shared, judge=judge, fractions=list(fractions)))
    return path


@pytest.fixture
def planned(films, tmp_path):
    def make(**settings):
        return write_plan(tmp_path, films, **settings)

    return make


@pytest.fixture(scope="module")
def studied_once(films, tmp_path_factory):
    """The study as it stands: its summary, and its folder, which no test may change."""
    folder = tmp_path_factory.mktemp("studied")
    return run(write_plan(folder, films), folder / "out"), folder / "out"


@pytest.fixture
def studied(studied_once, tmp_path):
    """That summary, and a copy of the folder that a test may change."""
    found, folder = studied_once
    shutil.copytree(folder, tmp_path / "out")
    return found


def literal(scores, same):
    """mAP of items among distinct captions and back, and R@1 over the orders of ties, one query at a time."""
    first = np.unique(same, return_index=True)[1]
    places = [np.arange(1 + (row > row[c]).sum(), 1 + (row >= row[c]).sum())
              for row, c in zip(scores[:, first], same, strict=True)]  # fmt: skip
    back = [average_precision_score(same == caption, scores[:, row]) for caption, row in enumerate(first)]
    first_place = np.mean([np.mean(one == 1) for one in places])
    return np.mean([np.mean(1 / one) for one in places]), np.mean(back), first_place


@pytest.mark.parametrize("text", ["text", "view"])  # nearly all different; two captions of many films each
def test_an_arm_is_worth_what_its_encoder_is(planned, films, tmp_path, text, request):
    path = planned(text=text)
    found = request.getfixturevalue("studied") if text == "text" else run(path, tmp_path / "out")
    recipe = read_recipe(tmp_path / "recipe.toml", {"network": {"shared": "none"}})
    trained = sk.train(recipe, tmp_path / "one", device="cpu", progress=False)
    image, caption = (sk.load_encoder(name, device="cpu") for name in trained.names)
    table = sk.read_cohort("table", films, text=text, split="split", classes=[]).part("test")
    vectors = [sk.embed(one, items, store=None, progress=False).vectors
               for one, items in ((image, table.images), (caption, table.texts))]  # fmt: skip
    left, right = (np.asarray(v, dtype=np.float64) / np.linalg.norm(v, axis=1, keepdims=True) for v in vectors)
    same = np.unique([str(value) for value in table.texts.values], return_inverse=True)[1].reshape(-1)
    there, back, first_place = literal(left @ right.T, same)
    most = max(row.anchors for row in found.rows)
    row = next(one for one in found.of("separate", most))
    seeds = run_of(tmp_path / "out", "separate", most)
    assert seeds[0] == pytest.approx((there + back) / 2)
    assert row.draws == pytest.approx(seeds)
    assert row.macro.value == pytest.approx(np.mean(seeds))
    assert recall_of(tmp_path / "out", "separate", most) == pytest.approx(first_place)


def cells(out):
    return [json.loads(line) for line in (out / "cells.jsonl").read_text().splitlines()]


def values(out, arm, number, seed):
    (key,) = [one["key"] for one in cells(out) if (one["method"], one["anchors"], one["draw"]) == (arm, number, seed)]
    return np.load(out / "scores" / f"{key}.npy")


def run_of(out, arm, number):
    return [float(np.nanmean(values(out, arm, number, seed)[..., 3], axis=0).mean()) for seed in (0, 1)]


def recall_of(out, arm, number):
    above, equal = values(out, arm, number, 0)[:, 0, :2].T
    return float(np.where(above == 0, 1 / (1 + equal), 0).mean())


def test_arms_are_compared_with_the_first_at_every_number(studied, tmp_path):
    found = studied
    assert [(row.method, row.anchors) for row in found.rows] == [
        (arm, number) for number in (21, 42) for arm in ("separate", "shared")
    ]
    for row in found.rows:
        assert set(row.gaps) == (set() if row.method == "separate" else {"separate"})
    text = (tmp_path / "out" / PAGE).read_text()
    for words in ("How many training pairs", "shared, 42 pairs", "text = &#34;text&#34;", "over patients and runs"):
        assert words in text
    (told,) = [note for note in found.notes if "pairs of runs" in note]
    assert "shared minus separate over 4 pairs of runs" in told
    apart = [run_of(tmp_path / "out", "shared", n)[s] - run_of(tmp_path / "out", "separate", n)[s]
             for n in (21, 42) for s in (0, 1)]  # fmt: skip
    assert f"mean {np.mean(apart):+.3f}, above 0 in {np.sum(np.asarray(apart) > 0)}" in told
    assert not list((tmp_path / "out" / "runs").iterdir())


def test_intervals_are_over_patients_and_runs_and_differences_are_of_one_seed(planned, tmp_path):
    """Rows replaced by runs that differ by a constant: patients alone would leave no interval."""
    path = planned(fractions=[1.0])
    run(path, tmp_path / "out")
    log = CellLog(tmp_path / "out")
    for one in cells(tmp_path / "out"):
        level = {0: 0.2, 1: 0.6}[one["draw"]] + (0.1 if one["method"] == "shared" else 0)
        scores = np.full((50, 2, 2), level)
        cell = Cell(**{name: one[name] for name in ("source", "target", "method", "anchors", "draw")})
        log.add(one["key"], cell, scores, {name: one[name] for name in ("kind", "record", "seconds")})
    shutil.rmtree(tmp_path / "out" / "resampled")
    separate, shared = run(path, tmp_path / "out").rows
    assert separate.macro.value == pytest.approx(0.4)
    assert (separate.macro.low, separate.macro.high) == pytest.approx((0.2, 0.6))
    gap = shared.gaps["separate"].value
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.1, 0.1, 0.1))


def test_a_study_that_is_stopped_goes_on_within_its_run(planned, studied_once, tmp_path, monkeypatch):
    path = planned()
    whole = studied_once[1]
    honest, made = training.train, []

    def stops(recipe, folder, **more):
        made.append(folder)
        if len(made) == 3:
            honest(recipe, folder, **more)
            raise KeyboardInterrupt  # trained, not yet judged
        return honest(recipe, folder, **more)

    monkeypatch.setattr(training, "train", stops)
    with pytest.raises(KeyboardInterrupt):
        run(path, tmp_path / "out")
    assert len(cells(tmp_path / "out")) == 2
    assert (made[2] / "run" / "last.pt").exists()
    run(path, tmp_path / "out")
    assert len(made) == 3 + 6
    assert made[3] == made[2]
    assert [one["key"] for one in cells(tmp_path / "out")] == [one["key"] for one in cells(whole)]
    numbers = [json.loads((out / "results.json").read_text())["rows"] for out in (tmp_path / "out", whole)]
    assert numbers[0] == numbers[1]
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("trained again"))
    run(path, tmp_path / "out")


def test_another_recipe_is_trained_anew(planned, studied, tmp_path):
    planned()
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("rate = 2e-3", "rate = 1e-3"))
    run(tmp_path / "plan.toml", tmp_path / "out")
    assert len(cells(tmp_path / "out")) == 16


def test_a_recipe_that_fails_is_told_and_the_others_go_on(planned, tmp_path):
    found = run(planned(shared="network = { heads = 3 }"), tmp_path / "out")
    assert {row.method for row in found.rows} == {"separate"}
    assert len(found.failed) == 4
    assert "cannot be divided among 3 heads" in next(iter(found.failed.values()))


MISTAKES = {
    "arm": ({"shared": "network = { shard = 1 }"}, "arm 'shared' of .*'shard'.*nearest: shared"),
    "table": ({"shared": "netwrok = { shared = 'all' }"}, "'netwrok'.*nearest: network"),
    "pairs": ({"shared": "pairs = { fraction = 0.5 }"}, r"no key of \[arms.shared\] .* is called 'pairs'"),
    "seed": ({"shared": "seed = 4"}, r"no key of \[arms.shared\] .* is called 'seed'"),
    "split": ({"judge": "split = 'dev'"}, "'dev'"),
    "trained": ({"judge": "split = 'train'"}, "on which the recipe trains or validates"),
    "twice": ({"fractions": [0.5, 0.5]}, "holds one twice"),
    "judge": ({"judge": "classes = ['edema']"}, "'classes'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named_before_anything_is_trained(planned, tmp_path, name):
    change, said = MISTAKES[name]
    with pytest.raises((DataError, sk.StitchError), match=f"(?s){said}"):
        run(planned(**change), tmp_path / "out")
    assert not (tmp_path / "out" / "cells.jsonl").exists() or not cells(tmp_path / "out")


def test_one_arm_is_not_a_study(planned, tmp_path):
    path = planned()
    path.write_text(path.read_text().replace("[arms.shared]\n", ""))
    with pytest.raises(DataError, match="has 1 arms; name two or more"):
        run(path, tmp_path / "out")


@pytest.mark.parametrize("split", ["train", "val"])
def test_patients_who_are_trained_on_or_validated_on_are_not_judged(planned, films, tmp_path, split):
    """One patient of the judged films is given another film, in the train or the validation split."""
    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    rows = list(csv.reader((folder / "manifest.csv").read_text().splitlines()))
    head, place = rows[0], rows[0].index("split")
    trained = sorted({row[head.index("patient")] for row in rows[1:] if row[place] == "train"})
    for row in rows[1:]:
        row[place] = "val" if row[head.index("patient")] in trained[::5] else row[place]
    judged = next(row for row in rows[1:] if row[place] == "test")
    moved = next(row for row in rows[1:] if row[place] == split)
    moved[head.index("patient")] = judged[head.index("patient")]
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    path = planned(fractions=[1.0])
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(str(films), str(folder)).replace("held = 0.3", 'valid = "val"'))
    with pytest.raises(LeakageError, match=r"1 patients? .*pairs of the training and judged pairs"):
        run(path, tmp_path / "out")
    found = run(path, tmp_path / "out", allow_leakage=True)
    assert any(note.startswith("LEAKAGE") for note in found.notes)


def test_chance_is_that_of_the_judged_captions(planned, films, tmp_path):
    """Two captions of many films each: films find theirs as often as shuffled films do, and captions about their share.

    A film that ranks first the caption of most films does better than one that ranks it second.
    """
    run(planned(text="view", fractions=[0.5]), tmp_path / "out")
    cell = cells(tmp_path / "out")[0]
    record, found = cell["record"], np.load(tmp_path / "out" / "scores" / f"{cell['key']}.npy")
    table = sk.read_cohort("table", films, text="view", split="split", classes=[]).part("test")
    views = np.asarray(table.texts.values)
    rng = np.random.default_rng(0)
    ranked = views[rng.random((2000, len(views))).argsort(axis=1)]
    back = []
    for view in set(views):
        hits = ranked == view
        precision = hits.cumsum(axis=1) / np.arange(1, len(views) + 1)
        back.extend((precision * hits).sum(axis=1) / hits.sum(axis=1))
    assert record["gallery"] == 2
    shares = {view: np.mean(views == view) for view in set(views)}
    other = dict(zip(shares, reversed(shares), strict=True))
    first = [shares[other[view] if above else view] for view, above in zip(views, found[:, 0, 0], strict=True)]
    assert record["shuffled_chance"][0] == pytest.approx(np.mean([share + (1 - share) / 2 for share in first]))
    assert record["shuffled_chance"][1] == pytest.approx(np.mean(back), abs=0.01)


def test_shares_are_of_the_recipes_own(planned, tmp_path):
    path = planned(fractions=[0.5])
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("held = 0.3", "held = 0.3\nfraction = 0.5"))
    found = run(path, tmp_path / "out")
    assert {row.anchors for row in found.rows} == {10}
    assert {one["record"]["fraction"] for one in cells(tmp_path / "out")} == {0.25}


def test_an_arm_may_end_another_way_than_the_recipe(planned, tmp_path):
    run(planned(shared="training = { epochs = 1 }", fractions=[1.0]), tmp_path / "out")
    steps = {one["method"]: one["record"]["steps"] for one in cells(tmp_path / "out")}
    assert steps == {"separate": 4, "shared": 3}


def test_recall_is_told_up_to_a_twentieth_of_the_gallery():
    values = np.tile([2.0, 0.0, 1.0, 1 / 3], (30, 2, 1))
    for gallery, places in ((30, {1}), (100, {1, 5}), (200, {1, 5, 10})):
        found = RankingJudge(30, gallery=gallery).measure(values, np.ones((1, 30)))
        assert set(found) == {MAP} | {f"recall@{k}" for k in places}
        assert found[MAP][0].tolist() == pytest.approx([1 / 3, 1 / 3])
        assert found["recall@1"][0].tolist() == [0, 0]
    old = np.stack([np.full((30, 2), 3.0), np.full((30, 2), 1 / 3)], axis=2)  # one rank a query, by earlier versions
    for name, one in RankingJudge(30, gallery=200).shares(old).items():
        np.testing.assert_array_equal(one.won, RankingJudge(30, gallery=200).shares(values)[name].won)


def test_equal_scores_count_over_all_their_orders():
    """A fifth of the chance for each of five equal captions, half for the best of two right ones among four items."""
    values = np.array([[[0.0, 4.0, 1.0, 0.4], [0.0, 2.0, 2.0, 0.5]], [[2.0, 0.0, 1.0, 1 / 3], [np.nan] * 4]])
    found = RankingJudge(2, gallery=100).measure(values, np.ones((1, 2)))
    assert found["recall@1"][0].tolist() == pytest.approx([(1 / 5 + 0) / 2, 1 / 2])
    assert found["recall@5"][0].tolist() == [1, 1]
