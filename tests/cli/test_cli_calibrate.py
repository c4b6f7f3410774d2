"""``stitchkit calibrate``: a fit that is kept, and its use by zeroshot and evaluate."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.storage.scores import read_scores

CLASSES = ("Edema", "Mass")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Labels of 400 items of 200 patients, a stitched folder, vectors of calibration and test items."""
    folder = tmp_path_factory.mktemp("calibrate")
    rng = np.random.default_rng(0)
    truth = (rng.random((400, 2)) < 0.4).astype(int)
    ids = [f"f{i}" for i in range(400)]
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = ([one, f"p{i // 2}", *truth[i]] for i, one in enumerate(ids))
        csv.writer(file).writerows([["id", "patient", *CLASSES], *rows])
    z = np.hstack([2.0 * truth, rng.normal(size=(400, 4))]) + rng.normal(size=(400, 6))
    x = sk.Embeddings(z @ rng.normal(size=(6, 9)), ids, sk.Space("general", 9, "g1"))
    y = sk.Embeddings(z, ids, sk.Space("medical", 6, "m1"))
    head = sk.LinearHead(y.space, CLASSES, np.eye(6)[:, :2], np.full(2, -1.0))
    alignment = sk.align(x.of_ids(ids[:120]), y.of_ids(ids[:120]), solver="ridge", purpose="head")
    sk.stitch(None, alignment, head).save(folder / "stitched")
    for name, rows in (("anchors", range(120)), ("known", range(120, 280)), ("test", range(280, 400))):
        sk.write_embeddings(folder / f"{name}.safetensors", x.of_ids([ids[i] for i in rows]))
    return folder


@pytest.fixture(scope="module")
def calibrated(cli, files):
    done = cli("calibrate", files / "stitched", "--items", files / "known.safetensors", "--labels",
               files / "labels.csv", "--replicates", 50, "--out", files / "calibrated", "--json")  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["classes"] == list(CLASSES)
    assert done.json["thresholds"]["Edema"]["low"] < done.json["thresholds"]["Edema"]["threshold"] < 1
    return files / "calibrated"


def scored(cli, folder, out, *more):
    return cli("zeroshot", folder, "--items", folder.parent / "test.safetensors", "--out", out, *more)


def judge(cli, files, scores, *more):
    return cli("evaluate", scores, "--labels", files / "labels.csv", "--replicates", 50, "--json", *more)


def test_a_calibrated_folder_gives_probabilities_and_raw_scores_on_request(cli, files, calibrated, tmp_path):
    done = scored(cli, calibrated, tmp_path / "p.csv")
    assert done.code == 0, done.err
    assert "probabilities by platt, fitted on 160 items of 80 patients" in done.out
    model = sk.load(calibrated)
    x = sk.read_embeddings(files / "test.safetensors")
    probabilities = read_scores(tmp_path / "p.csv")
    assert probabilities.kind == "probability"
    np.testing.assert_allclose(probabilities.values, model.probabilities(x).values, rtol=1e-6)
    assert scored(cli, calibrated, tmp_path / "raw.csv", "--raw").code == 0
    assert scored(cli, files / "stitched", tmp_path / "before.csv").code == 0
    assert (tmp_path / "raw.csv").read_text() == (tmp_path / "before.csv").read_text()


def test_evaluate_reads_the_fit_from_the_folder_or_beside_the_scores(cli, files, calibrated, tmp_path):
    items = ("--items", files / "test.safetensors")
    own = judge(cli, files, calibrated, *items)
    assert own.code == 0, own.err
    assert own.json["kind"] == "probability"
    assert set(own.json["decisions"]) == set(CLASSES)
    for name, more in (("p", ()), ("raw", ("--raw",))):
        assert scored(cli, calibrated, tmp_path / f"{name}.csv", *more).code == 0
        beside = judge(cli, files, tmp_path / f"{name}.csv", "--calibrate", calibrated)
        assert beside.code == 0, beside.err
        assert beside.json["decisions"] == own.json["decisions"]
        ours, theirs = (one.json["methods"][0]["further"]["brier"]["macro"]["value"] for one in (own, beside))
        assert ours == pytest.approx(theirs, rel=1e-5)
    raw = judge(cli, files, calibrated, *items, "--calibration", "none")
    assert (raw.json["kind"], raw.json["decisions"]) == ("logit", {})
    few = judge(cli, files, calibrated, *items, "--class", "Mass")
    assert few.json["decisions"]["Mass"] == own.json["decisions"]["Mass"]


def test_thresholds_of_probabilities_decide_as_those_of_the_scores(cli, files, calibrated, tmp_path):
    """A calibration by Platt keeps the order, so Youden's choice is the same item."""
    for name in ("known", "test"):
        line = ("zeroshot", files / "stitched", "--items", files / f"{name}.safetensors")
        assert cli(*line, "--out", tmp_path / f"{name}.csv").code == 0
    at_once = judge(cli, files, tmp_path / "test.csv", "--calibrate", tmp_path / "known.csv").json
    kept = judge(cli, files, tmp_path / "test.csv", "--calibrate", calibrated).json
    for label in CLASSES:
        for measure in ("sensitivity", "specificity"):
            one, other = (each["decisions"][label][measure]["value"] for each in (at_once, kept))
            assert one == other


def test_scores_alone_are_calibrated_to_a_folder_of_its_own(cli, files, calibrated, tmp_path):
    for name in ("known", "test"):
        line = ("zeroshot", files / "stitched", "--items", files / f"{name}.safetensors")
        assert cli(*line, "--out", tmp_path / f"{name}.csv").code == 0
    line = ("calibrate", tmp_path / "known.csv", "--labels", files / "labels.csv", "--replicates", 50)
    done = cli(*line, "--out", tmp_path / "fit")
    assert done.code == 0, done.err
    assert "thresholds by youden" in done.out
    for part in ("calibration", "thresholds"):
        one, other = (sk.load(folder, part=part) for folder in (tmp_path / "fit", calibrated))
        assert one.classes == other.classes
        assert repr(one.fitted_on) == "160 items of 80 patients"
    shown = cli("info", tmp_path / "fit")
    assert shown.code == 0, shown.err
    assert "platt" in shown.out
    kept = judge(cli, files, tmp_path / "test.csv", "--calibrate", tmp_path / "fit").json
    assert kept["decisions"] == judge(cli, files, tmp_path / "test.csv", "--calibrate", calibrated).json["decisions"]


def test_what_was_fitted_on_is_refused_afterwards(cli, files, calibrated, tmp_path):
    leaking = judge(cli, files, calibrated, "--items", files / "known.safetensors")
    assert leaking.code == 4
    assert "calibration items" in leaking.err
    anchors = cli("calibrate", files / "stitched", "--items", files / "anchors.safetensors", "--labels",
                  files / "labels.csv", "--out", tmp_path / "x")  # fmt: skip
    assert anchors.code == 4
    assert "the map was fitted on" in anchors.err
    assert not (tmp_path / "x").exists()


REFUSED = {
    "no items": ((), "pass the items to score with --items"),
    "nothing wanted": (("--items", "known.safetensors", "--calibration", "none", "--threshold", "none"), "neither"),
    "an unknown method": (("--items", "known.safetensors", "--calibration", "plat"), "platt"),
}


@pytest.mark.parametrize(("more", "says"), REFUSED.values(), ids=REFUSED)
def test_wrong_requests_say_what_to_do(cli, files, tmp_path, more, says):
    more = [files / one if str(one).endswith("safetensors") else one for one in more]
    done = cli("calibrate", files / "stitched", "--labels", files / "labels.csv", *more, "--out", tmp_path / "x")
    assert done.code == 2, done.err
    assert says in done.err
    assert not (tmp_path / "x").exists()


def test_a_folder_without_a_fit_and_options_of_a_stored_fit_are_refused(cli, files, calibrated, tmp_path):
    assert scored(cli, files / "stitched", tmp_path / "raw.csv").code == 0
    bare = judge(cli, files, tmp_path / "raw.csv", "--calibrate", files / "stitched")
    assert bare.code == 2
    assert "neither a calibration nor thresholds" in bare.err
    both = judge(cli, files, tmp_path / "raw.csv", "--calibrate", calibrated, "--threshold", "youden")
    assert both.code == 2
    assert "Leave --threshold out" in both.err


def test_a_calibrated_folder_replaces_its_own_only_on_request(cli, files, calibrated):
    line = ("calibrate", calibrated, "--items", files / "known.safetensors", "--labels", files / "labels.csv",
            "--replicates", 50, "--out", calibrated)  # fmt: skip
    before = (calibrated / "config.json").read_text()
    assert cli(*line).code == 2
    assert (calibrated / "config.json").read_text() == before
    assert cli(*line, "--overwrite").code == 0
    assert (calibrated / "config.json").read_text() == before
    assert "Calibration" in (calibrated / "README.md").read_text()


def test_dry_run_writes_nothing(cli, files, tmp_path):
    done = cli("calibrate", files / "stitched", "--items", files / "known.safetensors", "--labels",
               files / "labels.csv", "--out", tmp_path / "x", "--dry-run")  # fmt: skip
    assert done.code == 0, done.err
    assert not (tmp_path / "x").exists()


def test_a_table_of_scores_tells_evaluate_of_leakage(cli, files, calibrated, tmp_path):
    """What the folder refuses to judge is refused as a table of its scores too."""
    for name, says in (("anchors", "the map was fitted on"), ("known", "are calibration items too")):
        done = cli("zeroshot", calibrated, "--items", files / f"{name}.safetensors", "--out", tmp_path / f"{name}.csv")
        assert done.code == 0, done.err
        assert says in done.out
        judged = judge(cli, files, tmp_path / f"{name}.csv")
        assert judged.code == 4
        assert says in judged.err
        allowed = judge(cli, files, tmp_path / f"{name}.csv", "--allow-leakage")
        assert allowed.code == 0, allowed.err
        assert any(says in note for note in allowed.json["notes"])
    assert scored(cli, calibrated, tmp_path / "test.csv").code == 0
    assert judge(cli, files, tmp_path / "test.csv").code == 0


def test_probabilities_of_another_tool_are_calibrated_on_request(cli, files, tmp_path):
    rng = np.random.default_rng(3)
    truth = {line.split(",")[0]: line.split(",")[2:] for line in (files / "labels.csv").read_text().splitlines()[1:]}
    lines = ["id,kind,Edema,Mass"]
    for one in list(truth)[:200]:
        shares = [0.2 + 0.1 * float(cell) + 0.05 * rng.random() for cell in truth[one]]  # far too low
        lines.append(f"{one},probability,{shares[0]:.4f},{shares[1]:.4f}")
    (tmp_path / "tool.csv").write_text("\n".join(lines) + "\n")
    line = ("calibrate", tmp_path / "tool.csv", "--labels", files / "labels.csv", "--replicates", 50)
    usual = cli(*line, "--out", tmp_path / "usual", "--json")
    assert usual.json["method"] is None
    named = cli(*line, "--calibration", "platt", "--out", tmp_path / "named", "--json")
    assert named.code == 0, named.err
    assert named.json["method"] == "platt"
    assert sk.load(tmp_path / "named", part="calibration").kind == "probability"


def test_a_second_calibration_leaves_nothing_of_the_first(cli, files, calibrated, tmp_path):
    line = ("calibrate", calibrated, "--items", files / "known.safetensors", "--labels", files / "labels.csv")
    assert cli(*line, "--threshold", "none", "--out", tmp_path / "again").code == 0
    model = sk.load(tmp_path / "again")
    assert model.thresholds is None
    assert model.calibration is not None
    assert cli(*line, "--calibration", "none", "--replicates", 50, "--out", tmp_path / "raw").code == 0
    model = sk.load(tmp_path / "raw")
    assert (model.calibration, model.thresholds.kind) == (None, "logit")


def test_a_class_without_a_fit_is_judged_by_its_scores(cli, files, tmp_path):
    items = ("--items", files / "known.safetensors", "--labels", files / "labels.csv", "--replicates", 50)
    assert cli("calibrate", files / "stitched", *items, "--class", "Mass", "--out", tmp_path / "fit").code == 0
    done = judge(cli, files, tmp_path / "fit", "--items", files / "test.safetensors", "--class", "Edema")
    assert done.code == 0, done.err
    assert done.json["kind"] == "logit"
