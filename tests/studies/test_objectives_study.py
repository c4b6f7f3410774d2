"""Studies of objectives: one setup, each objective against the first by Holm, and where sentences point."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from phantom_studies import run
from PIL import Image
from test_training_study import RECIPE, cells

import stitchkit as sk
from stitchkit.core.errors import DataError
from stitchkit.reports.study_page import PAGE
from stitchkit.studies.jobs.objectives import ObjectivesJobs
from stitchkit.studies.named_encoders import NamedEncoders
from stitchkit.studies.plans import read_plan

pytest.importorskip("lightning", reason="training needs Lightning: pip install 'stitchkit[train]'")
pytestmark = pytest.mark.usefixtures("undrawn")
PLAN = """
kind = "objectives"
name = "which objective"
recipe = "recipe.toml"
[arms.clip.objective]
name = "clip"
[arms.siglip.objective]
name = "siglip"
{arms}
[grid]
seeds = 2
[judge]
replicates = 60
{judge}
"""


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_plan(folder, films, *, arms="", judge=""):
    (folder / "recipe.toml").write_text(RECIPE.format(root=films, text="text"))
    path = folder / "plan.toml"
    path.write_text(PLAN.format(arms=arms, judge=judge))
    return path


def write_regions(folder, films):
    """A sentence about each of five judged films, whose region is the left half, and one about a sixth without any."""
    with (films / "manifest.csv").open() as file:
        names = [row["path"] for row in csv.DictReader(file) if row["split"] == "test"][:6]
    lines = ["id,text,mask"]
    for at, name in enumerate(names):
        with Image.open(films / name) as film:
            size = film.size
        mask = np.zeros(size[::-1], dtype=bool)
        mask[:, : size[0] // 2 if at < 5 else 0] = True
        Image.fromarray(mask).save(folder / f"mask{at}.png")
        lines.append(f"{name},There is a large left pleural effusion.,mask{at}.png")
    (folder / "regions.csv").write_text("\n".join(lines) + "\n")
    return names


@pytest.fixture(scope="module")
def studied(films, tmp_path_factory):
    """A study of three objectives with regions: its summary, its folder, and the films with sentences."""
    folder = tmp_path_factory.mktemp("objectives")
    names = write_regions(folder, films)
    plan = write_plan(folder, films, arms='[arms.sparc.objective]\nname = "sparc"', judge='regions = "regions.csv"')
    plan.write_text(plan.read_text().replace("seeds = 2", "seeds = 2\nkeep = true"))
    return run(plan, folder / "out"), folder / "out", names


def test_each_objective_is_compared_with_the_first_by_holm(studied):
    found, out, _ = studied
    assert found.measure == "recall@1"
    assert [one.label for one in found.findings] == ["siglip", "sparc"]
    rows = {row.method: row for row in found.rows}
    raw = {name: rows[name].gaps["clip"].p for name in ("siglip", "sparc")}
    low = min(raw, key=lambda name: raw[name])
    adjusted = {one.label: one.p for one in found.findings}
    assert adjusted[low] == pytest.approx(min(1, 2 * raw[low]))
    for one in found.findings:
        assert one.baseline == "clip"
        assert one.gap == rows[one.label].gaps["clip"].value
        assert one.value == rows[one.label].macro
        assert one.detectable > (one.gap.high - one.gap.low) / 2
    plain = json.loads((out / "results.json").read_text())
    assert [one["detectable"] for one in plain["findings"]] == [one.detectable for one in found.findings]
    assert "minus clip [95 %]" in str(found)
    table = (out / "table.md").read_text("utf-8")
    for one in found.findings:
        assert f"| {one.label} | {one.detectable:.3f} | {one.value} | {one.gap.signed} | {one.p:.3f} |" in table
    page = (out / PAGE).read_text("utf-8")
    assert "<th>objective</th>" in page
    assert "adjusted over the objectives" in " ".join(page.split())


def test_differences_are_paired_by_seed_and_their_error_is_of_seeds_and_patients(studied):
    """By hand, from the values of the cells: two seeds, resamples of the judged rows' patients from the log."""
    found, out, _ = studied
    by_run = {(one["method"], one["draw"]): np.load(out / "scores" / f"{one['key']}.npy") for one in cells(out)}

    def recall(values):
        above, equal = values[..., 0], values[..., 1]
        first = np.where(above == 0, 1 / (1 + equal), 0.0)
        first[np.isnan(above)] = np.nan
        return np.nanmean(first, axis=0).mean()

    for one in found.findings:
        each = [recall(by_run[one.label, seed]) - recall(by_run["clip", seed]) for seed in (0, 1)]
        assert one.gap.value == pytest.approx(np.mean(each))
        least = np.std(each, ddof=1) / np.sqrt(2)
        assert one.gap.high - one.gap.low >= min(2 * 1.96 * least, 1.9)


def test_the_chance_beside_the_table_is_that_of_its_measure(studied):
    found, out, _ = studied
    chance = [one["record"]["recall_chance"] for one in cells(out)]
    (gallery,) = {one["record"]["gallery"] for one in cells(out)}
    np.testing.assert_allclose(chance, 1 / gallery, rtol=0.2)
    (told,) = [note for note in found.notes if note.startswith("gallery of")]
    assert f"by chance R@1 is {max(one[0] for one in chance):.3f} there" in told


def test_an_arm_that_lacks_a_seed_is_named_and_not_compared(studied, tmp_path):
    """The run of one seed is taken out and its recipe made to fail: the others stand."""
    _, out, _ = studied
    folder = shutil.copytree(out.parent, tmp_path / "copy")
    lines = (folder / "out" / "cells.jsonl").read_text().splitlines()
    kept = [line for line in lines if not (json.loads(line)["method"] == "sparc" and json.loads(line)["draw"] == 1)]
    (folder / "out" / "cells.jsonl").write_text("\n".join(kept) + "\n")

    def fails(self, outcome, left, right):
        raise DataError("the loss is nan")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ObjectivesJobs, "further", fails)
        found = run(folder / "plan.toml", folder / "out")
    assert [one.label for one in found.findings] == ["siglip"]
    assert any(note.startswith("sparc lacks 1 seed (1), and is not compared") for note in found.notes)
    row = next(one for one in found.rows if one.method == "sparc")
    assert np.isnan(row.gaps["clip"].p)


def test_pointing_is_the_mean_over_sentences_beside_chance(studied):
    found, out, _ = studied
    for row in found.rows:
        records = [one["record"]["pointing"] for one in cells(out) if one["method"] == row.method]
        assert [one["sentences"] for one in records] == [5, 5]  # the sixth has no region
        for measure, rule in (("pointing_by_words", "words"), ("pointing_by_sentence", "sentence")):
            assert row.measures[measure].value == pytest.approx(np.mean([one[rule] for one in records]))
        assert row.measures["pointing_chance"].value == pytest.approx(0.5, abs=0.02)


def test_encoders_are_kept_where_that_is_asked_for(studied):
    _, out, _ = studied
    folders = sorted(one.name for one in (out / "encoders").iterdir())
    (pairs,) = {one["anchors"] for one in cells(out)}
    assert folders == sorted(f"{arm}-{pairs}-{seed}" for arm in ("clip", "siglip", "sparc") for seed in (0, 1))
    encoder = sk.load_encoder(f"stitchkit:{out / 'encoders' / folders[0]}#modality=text", device="cpu")
    assert encoder.space.dim == 8
    assert not (out / "encoders" / folders[0] / "run").exists()


def test_a_study_goes_on_and_regions_are_part_of_its_keys(studied, tmp_path):
    found, out, _ = studied
    folder = shutil.copytree(out.parent, tmp_path / "copy")
    keys = {one["key"] for one in cells(out)}
    again = run(folder / "plan.toml", folder / "out")
    assert [row.macro for row in again.rows] == [row.macro for row in found.rows]
    assert {one["key"] for one in cells(folder / "out")} == keys
    with Image.open(folder / "mask0.png") as mask:
        Image.new("1", mask.size, 1).save(folder / "mask0.png")
    changed = ObjectivesJobs.of(read_plan(folder / "plan.toml"), NamedEncoders(device="cpu"))
    assert keys.isdisjoint(job.cell.key(job.circumstances) for job in changed.jobs())


@pytest.mark.parametrize(
    ("arms", "judge", "message"),
    [
        ("[arms.siglip.training]\nrate = 1e-2", "", r"arm 'siglip' of \[arms\] .* keys of \[training\] of its own"),
        ("[arms.odd.objective]\nname = 'clipp'", "", "clipp"),
        ("[arms.'../../odd'.objective]\nname = 'cyclip'", "", "an arm is called '../../odd'"),
        ("", "measure = 'auroc'", "measure"),
        ("", "regions = 'none.csv'", "none.csv"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(films, tmp_path, arms, judge, message):
    with pytest.raises(DataError, match=message):
        run(write_plan(tmp_path, films, arms=arms, judge=judge), tmp_path / "out")


def test_a_sentence_about_an_image_that_is_not_judged_is_refused(films, tmp_path):
    write_regions(tmp_path, films)
    path = tmp_path / "regions.csv"
    path.write_text(path.read_text().replace("test0.png", "train0.png", 1))
    with pytest.raises(DataError, match="which is none of the judged items"):
        run(write_plan(tmp_path, films, judge='regions = "regions.csv"'), tmp_path / "out")


def test_an_arm_with_another_objective_has_its_own_settings(films, tmp_path):
    """The recipe's settings of one loss are none of another's."""
    plan = write_plan(tmp_path, films)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(recipe.read_text() + '[objective]\nname = "clip"\ntemperature = 0.1\n')
    arms = read_plan(plan).recipes
    assert (arms["clip"].objective.temperature, arms["siglip"].objective.scale) == (0.1, 10)


def test_arms_may_begin_with_pretrained_towers(films, tmp_path):
    plan = write_plan(tmp_path, films, arms='[arms.towers.towers]\nencoders = ["timm:a", "hf:b"]')
    recipes = read_plan(plan).recipes
    assert recipes["towers"].towers.encoders == ("timm:a", "hf:b")
    assert recipes["clip"].towers is None
    assert read_plan(plan).model_names == ("timm:a", "hf:b")
