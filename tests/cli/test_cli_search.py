"""``stitchkit search``: every kind of gallery, texts in a file, tables and pages, and refusals before any work."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import stitchkit as sk
from stitchkit.persistence.bound_folders import index_of, write_index

REPOSITORY = Path(__file__).parents[2]
QUIET = {"store": None, "progress": False}
IDS = np.asarray([f"film{i}.png" for i in range(44)])
TEST = np.arange(30, 44)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """A bound folder of two modalities, of which the first has an index, with films that no map was fitted on."""
    root, drawn = tmp_path_factory.mktemp("search"), sk.make_phantoms(len(IDS), seed=5)
    (root / "films").mkdir()
    for i in TEST:
        Image.fromarray(drawn.images[i]).save(root / "films" / IDS[i])
    items = {"image": sk.Items(IDS, list(drawn.images), "image"), "text": sk.Items(IDS, list(drawn.reports), "text")}
    encoders = {name: sk.load_encoder(f"demo:{name}", device="cpu") for name in ("general", "medical", "text")}
    found = {name: sk.embed(one, items[one.modality], **QUIET) for name, one in encoders.items()}
    sides = {"xray": ("general", np.arange(15)), "film": ("medical", np.arange(15, 30))}
    given = {
        key: sk.ModalityPairs(found[name].take(rows), found["text"].take(rows), encoder=f"demo:{name}")
        for key, (name, rows) in sides.items()
    }
    bound = sk.bind(given, text_encoders={"text": "demo:text"}, solver=sk.Ridge(alpha=0.1))
    folder = sk.save(bound, root / "bound")
    write_index(folder, bound, "xray", bound.into_hub("xray", found["general"].take(TEST)))
    sk.write_embeddings(root / "medical.safetensors", found["medical"].take(TEST))
    sk.write_embeddings(root / "reports.safetensors", found["text"].take(TEST))
    alignment = sk.align(found["general"].take(np.arange(30)), found["text"].take(np.arange(30)), solver="procrustes")
    sk.stitch(encoders["general"], alignment, target_name="demo:text").save(root / "stitched")
    (root / "queries.txt").write_text("pleural effusion\npacemaker\n")
    return root


def search(cli, *args):
    return cli("search", *args, "--store", "none", "--quiet")


def hits(done, query=0, modality=None):
    one = done.json["queries"][query]
    one = one if modality is None else one["modalities"][modality]
    return [(hit["modality"], hit["id"]) for hit in one["hits"]]


@pytest.fixture(scope="session")
def expected(phantoms):
    """The search in Python, with items embedded and texts read by the folder's encoders."""
    model = sk.load(phantoms / "bound", device="cpu")
    items = sk.read_items(phantoms / "films")
    gallery = {name: sk.embed(model[name], items, **QUIET) for name in ("xray", "film")}
    texts = ["pleural effusion", "pacemaker"]
    return sk.search(model.space, texts, gallery, text=model["text"], top=5, store=None)


@pytest.mark.parametrize("items", ["film=films", "film=medical.safetensors"])
def test_index_items_and_vectors_give_what_python_gives(cli, phantoms, expected, items):
    path = items.replace("=", f"={phantoms}/")
    done = search(cli, phantoms / "bound", phantoms / "queries.txt", "--items", path, "--top", 5, "--json")
    assert done.code == 0, done.err
    for q, one in enumerate(expected.queries):
        assert hits(done, q) == [(hit.modality, hit.id) for hit in one.hits]
        for name, part in one.modalities.items():
            assert hits(done, q, name) == [(name, hit.id) for hit in part.hits]
    assert done.json["notes"] == []
    assert done.json["items"] == {"xray": "index/xray.safetensors", "film": path.partition("=")[2]}


def test_one_modality_is_searched_about_the_centres_of_the_whole(cli, phantoms, expected):
    films = phantoms / "films"
    alone = search(cli, phantoms / "bound" / "film", "pacemaker", "--items", films, "--top", 5, "--json")
    assert alone.code == 0, alone.err
    assert hits(alone) == [("film", hit.id) for hit in expected.queries[1].modalities["film"].hits]
    by_option = search(
        cli, phantoms / "bound", "pacemaker", "--modality", "film", "--items", films, "--top", 5, "--json"
    )
    assert by_option.json["queries"] == alone.json["queries"]
    own = search(cli, phantoms / "bound/film", "pacemaker", "--items", films, "--center", "modality", "--json")
    assert own.json["center"] == "modality"
    assert own.json["queries"] != alone.json["queries"]


def test_modalities_without_items_are_named(cli, phantoms):
    done = search(cli, phantoms / "bound", "pacemaker", "--top", 3)
    assert done.code == 0, done.err
    assert "note: not searched, for want of items or an index: film" in done.out
    assert "not a probability" in done.out
    assert done.out.splitlines()[0] == "'pacemaker'"


def test_anchors_among_the_items_are_noted(cli, phantoms, tmp_path):
    found = sk.embed(sk.load_encoder("demo:general", device="cpu"), sk.read_items(phantoms / "films"), **QUIET)
    ids = [f"film{i}.png" for i in range(8)]  # the ids of anchors
    path = sk.write_embeddings(tmp_path / "anchors.safetensors", sk.Embeddings(found.vectors[:8], ids, found.space))
    done = search(cli, phantoms / "bound/xray", "pacemaker", "--items", path)
    assert "note: xray: the map was fitted on 8" in done.out, done.err
    assert "in-sample" in done.out


def test_a_stitched_folder_and_files_of_vectors_are_searched(cli, phantoms):
    stitched = search(cli, phantoms / "stitched", "pacemaker", "--items", phantoms / "films", "--top", 4, "--json")
    assert stitched.code == 0, stitched.err
    model = sk.load(phantoms / "stitched", device="cpu")
    vectors = sk.embed(model.encoder, sk.read_items(phantoms / "films"), **QUIET)
    text = sk.load_encoder("demo:text", device="cpu")
    similarity = model.alignment.similarity(vectors, sk.embed(text, ["pacemaker"], **QUIET))[:, 0]
    assert hits(stitched) == [("items", vectors.ids[i]) for i in np.argsort(-similarity)[:4]]
    reports = search(cli, phantoms / "reports.safetensors", "pacemaker", "--text", "demo:text", "--top", 4, "--json")
    assert reports.json["center"] == "none"
    in_hub = search(
        cli, index_of(phantoms / "bound", "xray"), "pacemaker", "--text", f"stitchkit:{phantoms}/bound/text"
    )
    assert in_hub.code == 0, in_hub.err


def test_a_clip_like_pair_is_recognised_by_its_other_half(cli, world, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "tests" / "encoders"))
    from tiny_pairs import hf_clip

    checkpoint = hf_clip(tmp_path / "clip")
    name = f"hf:local-dir:{checkpoint}#modality=image"
    vectors = tmp_path / "vectors.safetensors"
    assert cli("embed", name, world.test, "--out", vectors, "--quiet").code == 0
    done = search(cli, vectors, "lungs clear", "--text", f"hf:local-dir:{checkpoint}#modality=text", "--json")
    assert done.code == 0, done.err
    image, text = (sk.load_encoder(name.replace("image", one), device="cpu") for one in ("image", "text"))
    rows = sk.embed(image, sk.read_items(world.test), **QUIET)
    similarity = sk.clip_alignment(image, text).similarity(rows, sk.embed(text, ["lungs clear"], **QUIET))[:, 0]
    np.testing.assert_allclose(
        [hit["similarity"] for hit in done.json["queries"][0]["hits"]], -np.sort(-similarity)[:12], atol=1e-5
    )
    other = search(cli, vectors, "lungs clear", "--text", world.text)
    assert other.code == 2


def test_the_table_and_the_page_hold_the_hits_of_each_modality(cli, phantoms, tmp_path):
    table, page = tmp_path / "hits.csv", tmp_path / "page.html"
    line = (phantoms / "bound", "pacemaker", "--items", f"film={phantoms}/films", "--top", 3, "--each")
    done = search(cli, *line, "--out", table, "--page", page, "--thumbnails")
    assert done.code == 0, done.err
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(row["modality"], row["rank"]) for row in rows] == [
        (name, str(i)) for name in ("xray", "film") for i in (1, 2, 3)
    ]
    text = page.read_text()
    assert "<h1>pacemaker</h1>" in text
    assert text.count('<li class="hit">') == 6
    assert text.count("data:image/jpeg") == 3  # of the index only the vectors are there
    assert "patients&#39; own" in text or "patients' own" in text
    again = search(cli, *line, "--out", table)
    assert again.code == 2
    assert "exists" in again.err
    assert search(cli, *line, "--out", table, "--overwrite").code == 0


def test_no_image_is_shown_without_being_asked_for(cli, phantoms, tmp_path):
    page = tmp_path / "page.html"
    done = search(cli, phantoms / "bound/film", "pacemaker", "--items", phantoms / "films", "--page", page)
    assert done.code == 0, done.err
    assert "data:image" not in page.read_text()


def refused(phantoms, tmp_path):
    """Command lines that are refused before any model is loaded, with the words of the error."""
    bound, films = phantoms / "bound", phantoms / "films"
    (tmp_path / "twice.txt").write_text("pacemaker\nedema\npacemaker\n")
    (tmp_path / "gap.txt").write_text("pacemaker\n\nedema\n")
    (tmp_path / "mine.csv").write_text("id,age\n")
    (tmp_path / "mine.html").write_text("<html>")
    return {
        "repeated line": ((bound, tmp_path / "twice.txt"), "line 3 of"),
        "empty line": ((bound, tmp_path / "gap.txt"), "line 2 of"),
        "no file": ((bound, tmp_path / "none.txt"), "there is no file of texts"),
        "no folder": ((tmp_path / "none", "edema"), "there is no folder or file of vectors"),
        "not ours": ((films, "edema"), "films"),
        "twice": ((bound, "edema", "edema"), "text 2 of the search repeats text 1"),
        "unknown modality": ((bound, "edema", "--modality", "mri"), "no modality of this bound folder is called 'mri'"),
        "no index": ((bound, "edema", "--modality", "film"), "--items film=PATH"),
        "no name": ((bound, "edema", "--items", films), "names none of the modalities xray, film"),
        "items twice": ((bound / "film", "edema", "--items", films, "--items", films), "'film' twice"),
        "no items there": ((bound, "edema", "--items", "film=nowhere"), "there is no file or folder of items nowhere"),
        "centring": ((bound, "edema", "--center", "mean"), "no centring is called 'mean'"),
        "centre of a stitch": ((phantoms / "stitched", "edema", "--items", films, "--center", "global"),
                               "--center global is of a bound space"),
        "stitch without items": ((phantoms / "stitched", "edema"), "one --items PATH; got 0"),
        "vectors without a text encoder": ((phantoms / "reports.safetensors", "edema"), "Name it with --text"),
        "other file": ((phantoms / "queries.txt", "edema"), "neither a folder of stitchkit nor a file of vectors"),
        "thumbnails alone": ((bound, "edema", "--thumbnails"), "--page PAGE.html"),
        "another table": ((bound, "edema", "--out", tmp_path / "mine.csv", "--overwrite"), "no table of hits"),
        "another page": ((bound, "edema", "--page", tmp_path / "mine.html", "--overwrite"), "no page of a search"),
        "ending": ((bound, "edema", "--page", tmp_path / "page.pdf"), "Change the ending"),
    }  # fmt: skip


def test_mistakes_are_named_before_any_model_is_loaded(cli, phantoms, tmp_path, no_models):
    for name, (line, said) in refused(phantoms, tmp_path).items():
        done = search(cli, *line)
        assert done.code == 2, (name, done.err)
        assert said in done.err, (name, done.err)


def test_a_dry_run_loads_nothing(cli, phantoms, no_models):
    done = search(cli, phantoms / "bound", "edema", "--items", f"film={phantoms}/films", "--dry-run")
    assert done.code == 0, done.err
    assert "nothing was done" in done.out
    assert "14" in done.out
