"""Vectors of other tools on the command line: two files to a gated map, and an encoder that drives known outputs."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two files of 120 pairs and two of 40 others, with the tables of their ids and patients."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    z = rng.normal(size=(160, 4))
    x, y = (z @ rng.normal(size=(4, d)) + 0.1 * rng.normal(size=(160, d)) for d in (12, 8))
    for name, rows in (("", slice(0, 120)), ("_test", slice(120, 160))):
        np.save(f"x{name}.npy", x[rows].astype(np.float32))
        np.savez(f"y{name}.npz", vectors=y[rows])
        lines = [f"i{i},p{i // 2}" for i in range(160)][rows]
        (tmp_path / f"ids{name}.csv").write_text("\n".join(["id,patient", *lines]) + "\n")
    return tmp_path


def test_two_files_become_a_gated_map_by_two_commands(cli, files):
    fit = ("align", "x.npy", "y.npz", "--ids", "ids.csv", "--anchors", "ids.csv", "--solver", "ridge", "--out", "map")
    refused = cli(*fit)
    assert refused.code == 2
    assert "x.npy does not say which model made it" in refused.err
    assert "--unstamped" in refused.err
    assert "fingerprint" not in refused.err  # which align has no option for
    done = cli(*fit, "--unstamped", "--json")
    assert done.code == 0, done.err
    assert sk.load(files / "map").record["patients"] == 60
    judged = cli("gate", "map", "--source", "x_test.npy", "--target", "y_test.npz", "--ids", "ids_test.csv",
                 "--test", "ids_test.csv", "--unstamped", "--min-mrr", "0.5")  # fmt: skip
    assert judged.code == 0, judged.err
    assert "gate passed" in judged.out
    leaking = cli("gate", "map", "--source", "x.npy", "--target", "y.npz", "--ids", "ids.csv", "--unstamped",
                  "--min-mrr", "0.5")  # fmt: skip
    assert leaking.code == 4
    for verb, more in (("compare", ("--solvers", "ridge")), ("diagnose", ("--out", "page"))):
        folder = ("map",) if verb == "diagnose" else ()
        other = cli(verb, *folder, "x.npy", "y.npz", "--ids", "ids.csv", "--unstamped", *more)
        assert other.code == 0, other.err


def test_an_imported_file_is_stamped_and_stands_for_an_encoder(cli, files):
    for side in ("x.npy", "y.npz"):
        out = f"{side[0]}.safetensors"
        done = cli(
            "import", side, "--ids", "ids.csv", "--fingerprint", "net 2", "--name", side[0], "--out", out, "--json"
        )
        assert done.code == 0, done.err
        assert done.json["fingerprint"] == "net 2"
    assert sk.read_embeddings(files / "x.safetensors").space == sk.Space("x", 12, "net 2")
    done = cli("align", "x.safetensors", "y.safetensors", "--solver", "ridge", "--out", "map")
    assert done.code == 0, done.err
    again = cli("import", "x.npy", "--ids", "ids.csv", "--fingerprint", "net 3", "--out", "x.safetensors")
    assert again.code == 2
    assert "--overwrite" in again.err
    bare = cli("import", "x.npy", "--ids", "ids.csv", "--out", "z.safetensors")
    assert bare.code == 2
    assert "--fingerprint" in bare.err
    assert not (files / "z.safetensors").exists()


def test_an_encoder_drives_outputs_that_are_known(cli, world, tmp_path):
    rng = np.random.default_rng(0)
    rows = world.anchors.read_text().splitlines()
    scores = rng.normal(size=(len(rows) - 1, 2)).astype(np.float32)
    np.save(tmp_path / "logits.npy", scores)
    line = ("stitch", world.quick, tmp_path / "logits.npy", "--anchors", world.anchors, "--ids", world.anchors,
            "--unstamped", "--solver", "ridge")  # fmt: skip
    done = cli(*line, "--head", "identity:effusion,edema", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    scored = cli("zeroshot", tmp_path / "out", "--items", world.test, "--out", tmp_path / "s.csv", *world.trusted)
    assert scored.code == 0, scored.err
    assert (tmp_path / "s.csv").read_text().startswith("id,kind,effusion,edema\n")
    for head, words in (
        ("own", "needs the target encoder"),
        ("prompts:nih14", "needs the target encoder"),
        ("identity:effusion", "have 2 columns, and 1 classes are named"),
        ("identity:a,a", "names no classes, or one twice"),
    ):
        refused = cli(*line, "--head", head, "--out", tmp_path / "other")
        assert refused.code == 2, refused.err
        assert words in refused.err
    labelled = cli(*line, "--head", "identity:effusion,edema", "--labels", world.labels, "--out", tmp_path / "other")
    assert labelled.code == 2
    assert "TARGET is a file" in labelled.err
    assert not (tmp_path / "other").exists()


def test_a_head_named_for_files_is_the_one_that_solvers_are_judged_by(cli, files):
    line = ("compare", "x.npy", "y.npz", "--ids", "ids.csv", "--unstamped", "--solvers", "ridge", "--purpose", "head")
    done = cli(*line, "--head", "identity:a,b,c,d,e,f,g,h", "--json")
    assert done.code == 0, done.err
    assert "agreement" in done.json["rows"][0]["measures"]
    assert "agreement" not in cli(*line, "--json").json["rows"][0]["measures"]
    refused = cli(*line, "--head", "identity:a,b")
    assert refused.code == 2
    assert "8 columns, and 2 classes" in refused.err


@pytest.fixture
def outputs(world, tmp_path):
    """A file of vectors of the anchors and the options that read it."""
    n = len(world.anchors.read_text().splitlines()) - 1
    np.save(tmp_path / "outputs.npy", np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32))
    options = ("--anchors", world.anchors, "--ids", world.anchors, "--unstamped", "--solver", "ridge")
    return tmp_path / "outputs.npy", options


def test_an_encoder_is_aligned_to_a_file_and_the_folder_reads_its_own_encoder(cli, world, outputs, tmp_path):
    file, options = outputs
    done = cli("align", world.quick, file, *options, "--out", tmp_path / "map")
    assert done.code == 0, done.err
    model = sk.load(tmp_path / "map", trust_python=True)
    assert model.encoder.name == world.quick
    assert (model.alignment.target.dim, model.target_name) == (3, "")
    table, unstamped = ("--anchors", world.anchors), ("--ids", world.anchors, "--unstamped")
    page = cli("diagnose", tmp_path / "map", *table, "--out", tmp_path / "page", *world.trusted)
    assert page.code == 2
    assert "does not name the encoder of its target side ('outputs')" in page.err
    line = ("diagnose", tmp_path / "map", world.quick, file, *table, *unstamped, "--out", tmp_path / "page")
    page = cli(*line)
    assert page.code == 0, page.err


def test_a_file_is_aligned_to_an_encoder(cli, world, outputs, tmp_path):
    file, options = outputs
    done = cli("align", file, world.quick_text, *options, "--out", tmp_path / "map")
    assert done.code == 0, done.err
    assert isinstance(sk.load(tmp_path / "map"), sk.Alignment)
    assert sk.load(tmp_path / "map").record["patients"] == 20
    page = cli("diagnose", tmp_path / "map", file, "--anchors", world.anchors, "--ids", world.anchors, "--unstamped",
               "--out", tmp_path / "page", *world.trusted)  # fmt: skip
    assert page.code == 0, page.err
    few = cli("align", file, world.quick_text, "--ids", world.anchors, "--unstamped", "--out", tmp_path / "x")
    assert few.code == 2
    assert "--anchors CSV" in few.err


def test_diagnose_reads_both_encoders_from_the_folder(cli, world, tmp_path):
    line = ("--anchors", world.anchors, "--solver", "ridge", "--out", tmp_path / "map")
    assert cli("align", world.quick, world.quick_text, *line).code == 0
    pages = []
    for name, sides in (("own", ()), ("source", (world.quick,)), ("named", (world.quick, world.quick_text))):
        done = cli("diagnose", tmp_path / "map", *sides, "--anchors", world.anchors, "--out", tmp_path / name,
                   "--json", *world.trusted)  # fmt: skip
        assert done.code == 0, done.err
        pages.append({key: value for key, value in done.json.items() if key != "out"})
    assert pages[0] == pages[1] == pages[2]
    refused = cli("diagnose", tmp_path / "map", "--anchors", world.anchors, "--out", tmp_path / "other")
    assert refused.code == 5
    assert "--trust-python" in refused.err


def test_patients_of_two_files_are_those_of_the_table_of_ids(cli, files):
    line = ("x.npy", "y.npz", "--ids", "ids.csv", "--unstamped")
    done = cli("align", *line, "--solver", "ridge", "--out", "map")
    assert done.code == 0, done.err
    assert sk.load(files / "map").record["patients"] == 60
    judged = cli("gate", "map", "--source", "x_test.npy", "--target", "y_test.npz", "--ids", "ids_test.csv",
                 "--unstamped", "--min-mrr", "0.1", "--json")  # fmt: skip
    assert judged.json["patients"] == 20
    page = cli("diagnose", "map", *line, "--out", "page", "--json")
    assert page.code == 0, page.err


def test_pools_are_files_without_ids(cli, files):
    rng = np.random.default_rng(1)
    for name, width in (("x_pool", 12), ("y_pool", 8)):
        np.save(f"{name}.npy", rng.normal(size=(300, width)))
    line = ("align", "x.npy", "y.npz", "--ids", "ids.csv", "--pool-source", "x_pool.npy", "--pool-target", "y_pool.npy")
    refused = cli(*line, "--out", "map")
    assert refused.code == 2
    done = cli(*line, "--unstamped", "--out", "map", "--json")
    assert done.code == 0, done.err
    assert "pool" in str(done.json["record"])
    for pool in ("x_pool.npy", "ids.csv"):
        refused = cli("align", "x.npy", "y.npz", "--ids", "ids.csv", "--unstamped", "--pool-source", pool,
                      "--pool-target", "ids.csv", "--out", "other")  # fmt: skip
        assert refused.code == 2
        assert "no encoder reads --pool-" in refused.err


def test_vectors_of_new_films_are_scored_without_their_encoder(cli, world, tmp_path):
    """A folder that names an encoder, and one that names none, score the same vectors the same."""
    options = ("--anchors", world.anchors, "--solver", "ridge")
    line = (world.quick, world.quick_text, *options, "--prompts", world.prompts)
    assert cli("stitch", *line[:-2], "--head", f"prompts:{world.prompts}", "--out", tmp_path / "map").code == 0
    for name, items in (("anchors", world.anchors), ("test", world.test)):
        done = cli("embed", world.quick, items, "--out", tmp_path / f"{name}.safetensors")
        assert done.code == 0, done.err
    vectors = ("--items", tmp_path / "test.safetensors")
    scored = {
        "by the encoder": (tmp_path / "map", "--items", world.test, *world.trusted),
        "by vectors": (tmp_path / "map", *vectors),
        "at once": (tmp_path / "anchors.safetensors", world.quick_text, *options, "--prompts", world.prompts, *vectors),
    }
    tables = {}
    for name, words in scored.items():
        out = tmp_path / f"{name}.csv"
        done = cli("zeroshot", *words, "--out", out)
        assert done.code == 0, done.err
        tables[name] = out.read_text()
    assert tables["by the encoder"] == tables["by vectors"] == tables["at once"]
    judged = [
        cli("evaluate", tmp_path / "map", *words, "--labels", world.labels, "--min-positives", 2, "--json")
        for words in (vectors, ("--items", world.test, *world.trusted))
    ]
    assert [one.code for one in judged] == [0, 0], [one.err for one in judged]
    assert judged[0].json["methods"][0] == judged[1].json["methods"][0]
    refused = cli("zeroshot", *scored["at once"][:-2], "--items", world.test, "--out", tmp_path / "x.csv")
    assert refused.code == 2
    assert "no encoder reads --items" in refused.err


def test_vectors_of_another_encoder_are_refused(cli, world, tmp_path):
    options = ("--anchors", world.anchors, "--solver", "ridge", "--head", f"prompts:{world.prompts}")
    assert cli("stitch", world.quick, world.quick_text, *options, "--out", tmp_path / "map").code == 0
    np.save(tmp_path / "other.npy", np.random.default_rng(0).normal(size=(30, 16)))
    np.save(tmp_path / "wide.npy", np.ones((30, 17)))
    (tmp_path / "ids.csv").write_text("\n".join(["id", *(f"t{i}" for i in range(30))]) + "\n")
    line = ("zeroshot", tmp_path / "map", "--ids", tmp_path / "ids.csv", "--out", tmp_path / "s.csv")
    bare = cli(*line, "--items", tmp_path / "other.npy")
    assert bare.code == 2
    assert "does not say which model made it" in bare.err
    stamped = cli("import", tmp_path / "other.npy", "--ids", tmp_path / "ids.csv", "--fingerprint", "net 1", "--out",
                  tmp_path / "other.safetensors")  # fmt: skip
    assert stamped.code == 0
    assert cli(*line, "--items", tmp_path / "other.safetensors").code == 2
    assert cli(*line, "--items", tmp_path / "wide.npy", "--unstamped").code == 2
    assert not (tmp_path / "s.csv").exists()
    assert cli(*line, "--items", tmp_path / "other.npy", "--unstamped").code == 0


def test_a_parquet_of_items_is_a_table_and_one_of_vectors_is_not(cli, world, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    table = pandas.read_csv(world.anchors)
    table.to_parquet(tmp_path / "anchors.parquet", index=False)
    line = ("--root", world.anchors.parent, "--solver", "ridge", "--head", f"prompts:{world.prompts}")
    both = []
    for name, anchors in (("csv", world.anchors), ("parquet", tmp_path / "anchors.parquet")):
        done = cli("stitch", world.quick, world.quick_text, "--anchors", anchors, *line, "--out", tmp_path / name)
        assert done.code == 0, done.err
        both.append(sk.load(tmp_path / name, part="alignment").directed.weight)
    assert np.array_equal(*both)
    done = cli("zeroshot", tmp_path / "csv", "--items", tmp_path / "anchors.parquet", "--root", world.anchors.parent,
               "--out", tmp_path / "s.csv", *world.trusted)  # fmt: skip
    assert done.code == 0, done.err
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 1 + len(table)


def test_import_says_that_patients_do_not_travel_with_vectors(cli, files):
    line = ("import", "x.npy", "--ids", "ids.csv", "--fingerprint", "net 2")
    assert "no patients; name their table" in cli(*line, "--out", "x.safetensors").out
    (files / "bare.csv").write_text("\n".join(["id", *(f"i{i}" for i in range(120))]) + "\n")
    bare = cli("import", "x.npy", "--ids", "bare.csv", "--fingerprint", "net 2", "--out", "y.safetensors")
    assert "patients" not in bare.out
