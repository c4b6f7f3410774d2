"""Bound folders: maps to the last bit, encoders by name, adding and removing on disk, damage."""

from __future__ import annotations

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import DataError, InputError, ModelUnavailableError, UnknownNameError
from stitchkit.persistence import bound_folders
from stitchkit.persistence.bound_folders import index_of, read_bound, read_index, update_bound, write_index
from stitchkit.storage.digests import sha256_of
from stitchkit.storage.embeddings import write_embeddings

QUIET = {"store": None, "progress": False}


@pytest.fixture(scope="module")
def vectors():
    """Films of phantoms read by two image encoders, their reports, and the films themselves."""
    films = sk.make_phantoms(60, seed=5)
    ids = np.asarray([f"film{i}" for i in range(60)])
    items = sk.Items(ids, list(films.images), "image")
    encoders = {name: sk.load_encoder(f"demo:{name}", device="cpu") for name in ("general", "medical", "text")}
    reports = sk.Items(ids, list(films.reports), "text")
    found = {name: sk.embed(one, reports if name == "text" else items, **QUIET) for name, one in encoders.items()}
    return found, found["text"], items


@pytest.fixture(scope="module")
def bound(vectors):
    found, texts, _ = vectors
    sides = {"xray": found["general"].take(np.arange(30)), "film": found["medical"].take(np.arange(30, 60))}
    names = {"xray": "demo:general", "film": "demo:medical"}
    given = {name: sk.ModalityPairs(one, texts.of_ids(one.ids), encoder=names[name]) for name, one in sides.items()}
    return sk.bind(given, text_encoders={"text": "demo:text"}, solver=sk.Ridge(alpha=0.1))


@pytest.fixture
def folder(bound, tmp_path):
    return sk.save(bound, tmp_path / "bound", command="stitchkit bind")


def weights(folder):
    return {one.parent.name: sha256_of(one.read_bytes()) for one in folder.rglob("model.safetensors")}


def test_a_bound_folder_holds_every_map_to_the_last_bit(bound, folder):
    again = sk.load(folder).space
    assert again.digests == bound.digests
    assert again.hub == bound.hub
    assert again.record == json.loads(json.dumps(bound.record))
    for name in ("xray", "film", "text"):
        one, other = bound.to_hub(name), again.to_hub(name)
        for part in ("center", "weight", "bias"):
            np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
    assert (again.text_root == bound.text_root).all()
    for one, other in zip(bound.global_means, again.global_means, strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_modality_and_the_text_is_an_encoder_into_the_hub(vectors, bound, folder):
    found, _, items = vectors
    model, some = sk.load(folder, device="cpu"), np.arange(5)
    assert list(model) == ["xray", "film", "text"]
    image = sk.embed(model["xray"], items.take(some), **QUIET)
    expected = bound.into_hub("xray", found["general"].take(some)).vectors
    np.testing.assert_allclose(image.vectors, expected, atol=1e-4)
    text = model["text"]
    assert text.modality == "text"
    assert text.space.fingerprint == bound.hub.fingerprint
    by_option = sk.load_encoder(f"stitchkit:{folder}#modality=film", device="cpu")
    assert by_option.space.dim == bound.hub.dim
    assert by_option.name.endswith("#modality=film")


def test_a_modality_is_a_stitched_folder_like_any_other(vectors, bound, folder):
    found, _, items = vectors
    model, some = sk.load(folder / "film", device="cpu"), np.arange(4)
    text = sk.load_encoder(f"stitchkit:{folder / 'text'}", device="cpu")
    head = sk.zeroshot(model.alignment, text, "chexpert5", store=None)
    scores = sk.stitch(model.encoder, model.alignment, head).scores(items.take(some), **QUIET)
    direct = sk.zeroshot(bound.alignment("film"), text, "chexpert5", store=None)
    np.testing.assert_allclose(scores.values, direct.scores(found["medical"].take(some)).values, atol=1e-4)


def test_adding_and_removing_on_disk_leave_other_files_as_they_are(vectors, bound, folder):
    found, texts, _ = vectors
    before = weights(folder)
    more = sk.load(folder).space.add("ct", sk.ModalityPairs(found["general"], texts, encoder="demo:general"))
    (folder / "index").mkdir()
    for name in ("xray", "film"):
        index_of(folder, name).write_bytes(b"kept")
    update_bound(more, folder)
    after = weights(folder)
    assert {name: after[name] for name in ("xray", "film", "text")} == {
        name: before[name] for name in ("xray", "film", "text")
    }
    assert read_bound(folder).digests == more.digests
    assert sk.load(folder, device="cpu")["ct"].space.dim == bound.hub.dim
    update_bound(more.remove("xray"), folder)
    assert not (folder / "xray").exists()
    assert sorted(one.name for one in (folder / "index").iterdir()) == ["film.safetensors"]
    assert read_bound(folder).names == ("film", "ct")
    assert weights(folder)["film"] == before["film"]


def test_saving_over_another_bound_space_leaves_nothing_of_it(vectors, bound, folder):
    found, texts, _ = vectors
    (folder / "report.html").write_text("a page")
    given = {"ct": (found["general"].vectors, 2 * texts.vectors), "ecg": (found["medical"].vectors, 2 * texts.vectors)}
    other = sk.bind(given, solver=sk.Ridge(alpha=1.0))
    sk.save(other, folder, overwrite=True)
    assert not (folder / "report.html").exists()
    assert read_bound(folder).digests == other.digests
    np.testing.assert_array_equal(read_bound(folder).to_hub("text").bias, other.to_hub("text").bias)


def test_a_part_that_a_stopped_writing_left_is_replaced(vectors, folder):
    found, texts, _ = vectors
    more = sk.load(folder).space.add("ct", sk.ModalityPairs(found["general"], texts))
    sk.save(sk.align(found["medical"], texts, solver=sk.Ridge(alpha=1.0)), folder / "ct")
    update_bound(more, folder)
    assert read_bound(folder).digests == more.digests


def test_names_that_lead_out_of_the_folder_are_refused(vectors, bound, folder, monkeypatch):
    from stitchkit.storage import folders

    victim = folder.parent / "victim"
    shutil.copytree(folder / "film", victim)
    config = json.loads((folder / "config.json").read_text())
    config["modalities"][1]["name"] = "../victim"
    config["sha256" if "sha256" in config else folders.OWN] = folders.digest_of(config)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailableError, match="a modality is named by letters"):
        sk.load(folder)
    found, texts, _ = vectors
    lists = {"../evil": texts, "text": texts}
    with pytest.raises(InputError, match="a text space is named by letters"):
        bound.add("ct", sk.ModalityPairs(found["general"], texts, text_space="../evil"), texts=lists)
    assert victim.is_dir()


def test_another_bound_space_does_not_update_a_folder(vectors, folder):
    found, texts, _ = vectors
    given = {"xray": (found["general"], texts), "film": (found["medical"], texts)}
    with pytest.raises(InputError, match="holds another bound space"):
        update_bound(sk.bind(given, solver=sk.Ridge(alpha=1.0)), folder)


def test_an_exchanged_part_is_named(folder):
    config = json.loads((folder / "film" / "config.json").read_text())
    assert config["target_encoder"] == "stitchkit:{folder}/../text"
    for name in ("config.json", "model.safetensors"):
        (folder / "xray" / name).write_bytes((folder / "film" / name).read_bytes())
    with pytest.raises(ModelUnavailableError, match="the map in 'xray' is another"):
        sk.load(folder)


def test_arrays_of_another_hub_are_refused(folder):
    from stitchkit.storage.tensor_files import read_arrays, tensor_bytes

    file = folder / "model.safetensors"
    arrays = read_arrays(file, ModelUnavailableError).arrays
    file.write_bytes(tensor_bytes({**arrays, "text_root": np.eye(3)}))
    with pytest.raises(ModelUnavailableError, match="text_root is of shape"):
        sk.load(folder)


def test_a_lost_part_is_named(folder):
    (folder / "text" / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailableError, match=r"has no model\.safetensors"):
        sk.load(folder)


def test_names_that_are_not_there_are_listed(folder):
    model = sk.load(folder)
    with pytest.raises(UnknownNameError, match="no modality of this bound folder is called 'mri'"):
        model["mri"]
    with pytest.raises(UnknownNameError, match=r"no modality of this bound folder is called 'mri'.*modality=film"):
        sk.load_encoder(f"stitchkit:{folder}#modality=mri", device="cpu")
    with pytest.raises(InputError, match=r"is a bound folder of several encoders: text, xray, film.*#modality=film"):
        sk.load_encoder(f"stitchkit:{folder}", device="cpu")
    with pytest.raises(InputError, match="holds bound modalities"):
        sk.load(folder, part="head")


def test_an_existing_folder_is_left_alone(bound, folder):
    with pytest.raises(InputError, match="exists and is not empty"):
        sk.save(bound, folder)
    sk.save(bound, folder, overwrite=True)
    assert read_bound(folder).digests == bound.digests


def test_vectors_alone_can_be_bound_and_saved(vectors, tmp_path):
    found, texts, _ = vectors
    given = {"ct": (found["general"].vectors, texts.vectors), "ecg": (found["medical"].vectors, texts.vectors)}
    folder = sk.save(sk.bind(given, solver=sk.Ridge(alpha=0.1)), tmp_path / "vectors")
    model = sk.load(folder)
    assert model.space.similarity("ct", found["general"].vectors, texts.vectors).shape == (60, 60)
    with pytest.raises(ModelUnavailableError, match="without an encoder"):
        model["ct"]


def test_an_index_belongs_to_the_map_that_made_it(vectors, bound, folder):
    items = sk.Embeddings(np.ones((2, bound.hub.dim), np.float32), ["a", "b"], bound.hub)
    file = write_index(folder, bound, "xray", items)
    assert read_index(folder, bound, "xray").ids.tolist() == ["a", "b"]
    shutil.copy(file, index_of(folder, "film"))
    with pytest.raises(DataError, match=r"by another map than that of 'film'.*--items film=PATH"):
        read_index(folder, bound, "film")
    write_embeddings(index_of(folder, "film"), items)  # as it was written before maps were named
    with pytest.warns(UserWarning, match="does not say by which map"):
        assert len(read_index(folder, bound, "film")) == 2


def test_the_index_that_a_stopped_run_left_goes_when_its_modality_is_added(vectors, folder):
    found, texts, _ = vectors
    space = read_bound(folder)
    stopped, other = (
        space.add("ct", sk.ModalityPairs(found["general"], texts), solver=sk.Ridge(alpha=alpha)) for alpha in (0.1, 1.0)
    )
    write_index(folder, stopped, "ct", sk.Embeddings(np.ones((1, space.hub.dim)), ["a"], space.hub))
    update_bound(other, folder)
    assert not index_of(folder, "ct").exists()


def test_a_folder_that_another_process_changed_is_not_written_over(vectors, folder):
    found, texts, _ = vectors
    space = read_bound(folder)
    first, second = (space.add(name, sk.ModalityPairs(found["general"], texts)) for name in ("ct", "ecg"))
    update_bound(first, folder)
    before = weights(folder)
    with pytest.raises(InputError, match=r"was changed since it was read: 'ct' was added\. Run the command again"):
        update_bound(second, folder)
    assert weights(folder) == before
    update_bound(read_bound(folder).add("ecg", sk.ModalityPairs(found["general"], texts)), folder)
    assert read_bound(folder).names == ("xray", "film", "ct", "ecg")


def test_two_processes_write_one_after_the_other(vectors, folder):
    """The second waits for the first, and is then refused; nothing of the first is lost."""
    found, texts, _ = vectors
    space = read_bound(folder)
    changed = [space.add(name, sk.ModalityPairs(found["general"], texts)) for name in ("ct", "ecg")]
    waits = threading.Barrier(2)

    def write(one):
        waits.wait()
        try:
            return update_bound(one, folder)
        except InputError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(write, changed))
    assert sorted(isinstance(one, InputError) for one in ended) == [False, True]
    kept = ("ct", "ecg")[isinstance(ended[0], InputError)]
    assert read_bound(folder).names == ("xray", "film", kept)
    assert {one.name for one in folder.iterdir() if one.is_dir()} >= {"xray", "film", kept}


def test_a_removal_that_was_stopped_leaves_the_name_free(vectors, folder, monkeypatch):
    found, texts, _ = vectors
    space = read_bound(folder)

    def stops(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(bound_folders.shutil, "rmtree", stops)
        with pytest.raises(KeyboardInterrupt):
            update_bound(space.remove("xray"), folder)
    assert read_bound(folder).names == ("film",)
    update_bound(read_bound(folder).add("xray", sk.ModalityPairs(found["general"], texts)), folder)
    assert read_bound(folder).names == ("film", "xray")


def test_a_modality_that_was_removed_and_added_anew_is_a_change(vectors, folder):
    found, texts, _ = vectors
    space = read_bound(folder)
    update_bound(space.remove("xray"), folder)
    anew = read_bound(folder).add("xray", sk.ModalityPairs(found["general"], texts), solver=sk.Ridge(alpha=3.0))
    update_bound(anew, folder)
    with pytest.raises(InputError, match=r"was changed since it was read: 'xray' was added"):
        update_bound(space.add("ct", sk.ModalityPairs(found["general"], texts)), folder)


def test_no_card_of_a_bound_folder_names_a_folder_of_this_machine(vectors, tmp_path):
    found, texts, _ = vectors
    name = "{}:/home/ann/models/{}#adapter=/home/ann/tuned/{}"
    image, own, other = (
        replace(one, space=replace(one.space, name=name.format(*at), fingerprint=at[1]))
        for one, at in (
            (found["general"], ("timm", "vit", "vit-a")),
            (texts, ("hf", "bert", "bert-a")),
            (texts, ("hf", "mpnet", "mpnet-a")),
        )
    )
    pairs = {
        name: sk.ModalityPairs(image, one, text_space=key, encoder=image.space.name)
        for name, key, one in (("xray", "own", own), ("ct", "other", other))
    }
    encoders = {"own": own.space.name, "other": other.space.name}
    bound = sk.bind(pairs, texts={"own": own, "other": other}, text="own", text_encoders=encoders)
    command = "stitchkit bind xray=/home/ann/films.csv 'ct=/home/ann/more.csv' --out /home/ann/bound"
    folder = sk.save(bound, tmp_path / "bound", command=command)
    cards = {one.parent.name: one.read_text() for one in folder.rglob("README.md")}
    assert cards.keys() >= {"bound", "xray", "ct", "text", "other"}
    for card in cards.values():
        assert "/home" not in card
        assert str(tmp_path) not in card
        assert "adapter=" in card
    assert "hub of hf:bert#adapter=bert-a, hf:mpnet#adapter=mpnet-a" in cards["xray"]
    assert "stitchkit bind xray=films.csv 'ct=more.csv' --out bound" in cards["bound"]
    assert "**Queries**: hf:bert#adapter=bert-a" in cards["bound"]
    assert read_bound(folder).hub == bound.hub  # names on record stay whole
