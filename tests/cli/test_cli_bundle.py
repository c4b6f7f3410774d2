"""``stitchkit bundle``: one folder for a machine without a network, from two checkpoints to scores."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError, ModelUnavailableError, SpaceMismatchError
from stitchkit.persistence import bundling
from stitchkit.storage import bundles

REPOSITORY = Path(__file__).parents[2]
BLOCKED = """
import socket

def closed(*args, **settings):
    raise OSError("the test allows no network")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = closed
"""
COMMANDS = """
import json, sys
from stitchkit.cli.main import app

for command in json.loads(sys.argv[1]):
    try:
        app(command)
    except SystemExit as end:
        assert not end.code, (command, end.code)
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Folders over the demo's encoders: one with a zero-shot head, one with a linear head, one without a head."""
    root, drawn = tmp_path_factory.mktemp("demo"), sk.make_phantoms(40, seed=1)
    general, medical, text = (sk.load_encoder(f"demo:{one}", device="cpu") for one in ("general", "medical", "text"))
    x, y = (sk.embed(one, list(drawn.images), store=None) for one in (general, medical))
    z = sk.Embeddings(sk.embed(text, drawn.reports, store=None).vectors, x.ids, text.space)
    named = sk.align(x, z, solver="procrustes")
    head = sk.zeroshot(named, text, sk.read_prompts("phantom"), store=None)
    sk.stitch(general, named, head, target_name="demo:text").save(root / "zeroshot")
    sk.stitch(general, named, target_name="demo:text").save(root / "no-head")
    driven = sk.align(x, y, solver="ridge", purpose="head")
    sk.stitch(general, driven, medical.classifier(), target_name="demo:medical").save(root / "linear")
    return root


@pytest.fixture(scope="module")
def pair(world, tmp_path_factory):
    """A stitched folder over two checkpoints that may be deleted, and a function to make it."""
    root = tmp_path_factory.mktemp("pair")
    vision = shutil.copytree(world.checkpoint("timm_vit"), root / "vision")
    text = shutil.copytree(world.checkpoint("hf_bert"), root / "text")
    return root, f"timm:local-dir:{vision}", f"hf:local-dir:{text}#pool=cls"


@pytest.fixture
def bundle(pair, world, cli, tmp_path):
    """A bundle of the pair."""
    root, vision, text = pair
    folder = root / "stitched"
    if not folder.exists():
        done = cli("stitch", vision, text, "--anchors", world.anchors, "--solver", "ridge",
                   "--head", f"prompts:{world.prompts}", "--out", folder)  # fmt: skip
        assert done.code == 0, done.err
    done = cli("bundle", folder, "--out", tmp_path / "bundle")
    assert done.code == 0, done.err
    return tmp_path / "bundle"


def elsewhere(tmp_path, *commands):
    """Commands in a fresh process that knows neither network nor the caches of this user."""
    home, guard = tmp_path / "home", tmp_path / "guard"
    home.mkdir(), guard.mkdir()
    (guard / "sitecustomize.py").write_text(BLOCKED)
    kept = {key: one for key, one in os.environ.items() if not key.startswith(("HF_", "STITCHKIT", "XDG"))}
    env = {**kept, "HOME": str(home), "PYTHONPATH": os.pathsep.join([str(guard), str(REPOSITORY)])}
    lines = json.dumps([list(map(str, one)) for one in commands])
    run = [sys.executable, "-c", COMMANDS, lines]
    return subprocess.run(run, capture_output=True, text=True, timeout=240, cwd=home, env=env)


def test_a_fresh_process_without_network_scores_with_a_moved_bundle_as_the_folder_did(
    pair, bundle, world, cli, tmp_path
):
    root = pair[0]
    score = ("--items", world.test, "--out")
    assert cli("zeroshot", root / "stitched", *score, tmp_path / "before.csv").code == 0
    read = ("--prompts", world.prompts, *score)  # by the target encoder
    assert cli("zeroshot", root / "stitched", *read, tmp_path / "read-before.csv").code == 0
    hidden = root.with_name("hidden")
    root.rename(hidden)
    try:
        moved = tmp_path / "moved"
        bundle.rename(moved)
        both = ((score, "before.csv"), (read, "read-before.csv"))
        done = elsewhere(
            tmp_path, *[("zeroshot", moved, *settings, tmp_path / f"after-{name}") for settings, name in both]
        )
        assert done.returncode == 0, done.stderr
        for _, name in both:
            assert (tmp_path / f"after-{name}").read_text() == (tmp_path / name).read_text()
    finally:
        hidden.rename(root)
    assert not any(one.is_symlink() for one in moved.rglob("*"))


def test_the_card_keeps_that_of_the_folder_and_names_both_encoders_and_their_licences(pair, bundle):
    card = (bundle / "README.md").read_text()
    assert card.startswith((pair[0] / "stitched" / "README.md").read_text().rstrip())
    assert "`timm:local-dir:vision`" in card
    assert "`hf:local-dir:text#pool=cls`" in card
    assert "travel under their own licences" in card


def test_a_dry_run_lists_files_and_their_total_and_loads_nothing(pair, bundle, cli, tmp_path, no_models):
    done = cli("bundle", pair[0] / "stitched", "--out", tmp_path / "other", "--dry-run", "--json")
    assert done.code == 0, done.err
    assert not (tmp_path / "other").exists()
    listed = {key for key in done.json if key.startswith("encoders/")}
    assert {"encoders/source/model.safetensors", "encoders/target/tokenizer.json"} <= listed
    copied = {place: size for place, size in bundles.read_manifest(bundle)["files"].items() if place in done.json}
    assert all(done.json[place] == f"{facts['bytes']:,} bytes" for place, facts in copied.items())
    total = sum(facts["bytes"] for facts in copied.values())
    assert done.json["total"] == f"{total:,} bytes"


def test_info_says_what_is_inside(bundle, cli):
    done = cli("info", bundle, "--json")
    assert done.code == 0, done.err
    assert done.json["bundle"]["encoders"] == ["timm:local-dir:vision", "hf:local-dir:text#pool=cls"]
    assert done.json["bundle"]["bytes"] > 1000


# damage


def test_a_missing_file_is_named(bundle, cli, world, tmp_path):
    (bundle / "encoders/source/config.json").unlink()
    done = cli("zeroshot", bundle, "--items", world.test, "--out", tmp_path / "s.csv")
    assert done.code == 5
    assert "lacks encoders/source/config.json. Copy the whole bundle again." in done.err


def test_a_damaged_small_file_is_found_when_it_loads(bundle):
    file = bundle / "encoders/source/model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelUnavailableError, match=r"source/model\.safetensors is damaged or was edited: its SHA-256"):
        sk.load(bundle)


def test_a_damaged_file_of_the_target_is_found_when_prompts_are_read(bundle, cli, world, tmp_path):
    file = bundle / "encoders/target/tokenizer.json"
    file.write_text(file.read_text().replace("lung", "lunk", 1))
    done = cli("zeroshot", bundle, "--prompts", world.prompts, "--items", world.test, "--out", tmp_path / "s.csv")
    assert done.code == 5
    assert "target/tokenizer.json is damaged" in done.err


def test_a_large_file_is_checked_by_its_size_and_named_once_its_encoder_is_not_the_same(bundle, cli, monkeypatch):
    monkeypatch.setattr(bundles, "SMALL", 10)
    file = bundle / "encoders/source/model.safetensors"
    content = bytearray(file.read_bytes())
    content[-2] ^= 64  # in the exponent of a weight
    file.write_bytes(content)
    assert bundles.check_bundle(bundle) == 0  # nothing is small enough to be hashed
    with pytest.raises(ModelUnavailableError, match=r"source/model\.safetensors is damaged or was edited: its SHA-256"):
        sk.load(bundle)
    done = cli("bundle", bundle, "--check")
    assert done.code == 5
    assert "model.safetensors is damaged" in done.err
    file.write_bytes(content[:-1])
    with pytest.raises(ModelUnavailableError, match=rf"it has {len(content) - 1} bytes and {len(content)} are on"):
        sk.load(bundle)


def test_a_check_hashes_every_file_and_finds_strange_ones(bundle, cli):
    done = cli("bundle", bundle, "--check", "--json")
    assert done.code == 0, done.err
    assert done.json["files"] == len(bundles.read_manifest(bundle)["files"])
    (bundle / "encoders/source/__pycache__").mkdir()
    (bundle / "encoders/source/__pycache__/mine.pyc").write_text("x")
    assert cli("bundle", bundle, "--check").code == 0
    (bundle / "encoders/source/modules.json").write_text("[]")
    done = cli("bundle", bundle, "--check")
    assert done.code == 5
    assert "encoders/source/modules.json, which is not on its list" in done.err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace('"bytes": ', '"bytes": 1', 1), "damaged or was edited"),
        (lambda text: text[:-20], "cannot be parsed"),
        (lambda text: text.replace('"stitchkit_bundle": 1', '"stitchkit_bundle": 9'), "bundle format 9"),
    ],
)
def test_a_damaged_list_is_refused(bundle, change, says):
    text = (bundle / "bundle.json").read_text()
    assert change(text) != text
    (bundle / "bundle.json").write_text(change(text))
    with pytest.raises(ModelUnavailableError, match=says):
        sk.load(bundle)


def test_a_crafted_list_leads_to_no_file_outside(bundle):
    whole = bundles.manifest_text({"../outside": (1, "0" * 64)}, {})
    (bundle / "bundle.json").write_bytes(whole)
    with pytest.raises(ModelUnavailableError, match=r"'\.\./outside', which is no file of a bundle"):
        sk.load(bundle)


# what goes in


def test_two_halves_of_one_checkpoint_are_copied_once(demo, tmp_path):
    from stitchkit.encoders.encoder_files import EncoderFiles

    (tmp_path / "w").write_text("weights")
    copies = {key: EncoderFiles("local-dir:{folder}", {"w": tmp_path / "w"}) for key in ("encoder", "target_encoder")}
    names = {"encoder": "open_clip:hf-hub:a/b#modality=image", "target_encoder": "open_clip:hf-hub:a/b#modality=text"}
    plan = bundling.BundlePlan(demo / "no-head", names, copies)
    assert set(plan.sizes) == {"model.safetensors", "encoders/source/w"}
    assert plan.bundled_names["target_encoder"] == "open_clip:local-dir:{folder}/encoders/source#modality=text"


def test_a_linear_head_needs_no_target_unless_it_is_asked_for(demo, cli, tmp_path):
    done = cli("bundle", demo / "linear", "--out", tmp_path / "a", "--json")
    assert done.json["encoders"] == {"encoder": "demo:general"}
    assert "demo:medical is not in it" in done.json["notes"][0]
    assert sk.load(tmp_path / "a").target_name == ""
    done = cli("bundle", demo / "linear", "--with-target", "--out", tmp_path / "b", "--json")
    assert done.json["encoders"] == {"encoder": "demo:general", "target_encoder": "demo:medical"}


def test_a_bundle_without_its_target_reads_no_prompts(demo, cli, tmp_path):
    assert cli("bundle", demo / "zeroshot", "--without-target", "--out", tmp_path / "a").code == 0
    films = list(sk.make_phantoms(3, seed=2).images)
    np.testing.assert_array_equal(
        sk.load(tmp_path / "a").scores(films).values, sk.load(demo / "zeroshot").scores(films).values
    )
    done = cli("bundle", demo / "no-head", "--without-target", "--out", tmp_path / "b", "--json")
    assert "no head: it embeds, and scores nothing" in done.json["notes"][0]


def test_pages_and_other_files_of_the_folder_are_not_copied(demo, tmp_path):
    folder = shutil.copytree(demo / "zeroshot", tmp_path / "folder")
    (folder / "report.html").write_text("a patient's film")
    done = sk.bundle(folder, tmp_path / "out", device="cpu")
    assert {one.name for one in done.folder.iterdir()} == {
        "README.md", "bundle.json", "config.json", "model.safetensors",
    }  # fmt: skip


def test_an_encoder_by_another_name_is_copied_in_place_of_the_recorded_one(pair, bundle, cli, tmp_path):
    root, vision, _ = pair
    there = shutil.copytree(vision.removeprefix("timm:local-dir:"), tmp_path / "moved-vision")
    done = cli("bundle", root / "stitched", "--encoder", f"timm:{there}", "--out", tmp_path / "b", "--json")
    assert done.code == 0, done.err
    assert done.json["encoders"]["encoder"] == "timm:moved-vision"


# refusals: nothing half-written, nothing lost


def test_nothing_is_written_where_the_copy_is_not_the_same(demo, tmp_path, monkeypatch):
    vectors = iter([np.zeros((2, 3)), np.zeros((2, 3)), np.ones((2, 3))])
    monkeypatch.setattr(bundling, "_vectors", lambda encoder: next(vectors))
    with pytest.raises(ModelUnavailableError, match="the copy of 'demo:general' is not the same encoder"):
        sk.bundle(demo / "zeroshot", tmp_path / "out" / "bundle", device="cpu")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_encoder_that_changed_since_is_refused(pair, bundle, world, tmp_path):
    folder = shutil.copytree(pair[0] / "stitched", tmp_path / "folder")
    other = world.builders.timm_vit(tmp_path / "other", seed=5)
    with pytest.raises(SpaceMismatchError, match="was stitched with"):
        sk.bundle(folder, tmp_path / "b", encoder=f"timm:{other}", device="cpu")
    assert not (tmp_path / "b").exists()


def test_only_a_bundle_is_replaced(demo, cli, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    for extra in ((), ("--overwrite",)):
        done = cli("bundle", demo / "zeroshot", "--out", tmp_path / "mine", *extra)
        assert done.code == 2
        assert "holds something else than a bundle and was left alone" in done.err
    stitched = shutil.copytree(demo / "zeroshot", tmp_path / "stitched")
    assert cli("bundle", demo / "linear", "--out", stitched, "--overwrite").code == 2
    assert cli("bundle", demo / "zeroshot", "--out", tmp_path / "b").code == 0
    assert "pass --overwrite" in cli("bundle", demo / "zeroshot", "--out", tmp_path / "b").err
    assert cli("bundle", demo / "linear", "--out", tmp_path / "b", "--overwrite").code == 0
    assert sk.load(tmp_path / "b").head.classes == sk.load(demo / "linear").head.classes


def test_a_bundle_lies_neither_in_the_folder_nor_around_it(demo, tmp_path):
    folder = shutil.copytree(demo / "zeroshot", tmp_path / "a" / "folder")
    for out in (folder / "bundle", folder):
        with pytest.raises(InputError, match=r"lie in each other|holds something else"):
            sk.bundle(folder, out, device="cpu")
    assert {one.name for one in folder.iterdir()} == {"README.md", "config.json", "model.safetensors"}


def test_too_little_room_is_said_before_anything_is_copied(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(bundling.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 90, 10))
    with pytest.raises(InputError, match="GB free"):
        sk.bundle(demo / "zeroshot", tmp_path / "b", device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_mistakes_on_the_command_line_are_named(demo, cli, tmp_path):
    done = cli("bundle", demo / "zeroshot")
    assert done.code == 2
    assert "pass --out FOLDER, or --check" in done.err
    assert "no bundle: it holds no bundle.json" in cli("bundle", demo / "zeroshot", "--check").err
    assert "Leave out --out" in cli("bundle", demo / "zeroshot", "--check", "--out", tmp_path / "x").err
    assert "there is no stitched folder" in cli("bundle", tmp_path / "absent", "--out", tmp_path / "x").err
    sk.bundle(demo / "zeroshot", tmp_path / "b", device="cpu")
    assert "is a bundle already. Copy the folder" in cli("bundle", tmp_path / "b", "--out", tmp_path / "c").err


def test_a_bundle_keeps_everything_of_the_folder_but_the_places_of_its_encoders(pair, bundle):
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (pair[0] / "stitched", bundle))
    assert {key for key in before if before[key] != after[key]} == {"encoder", "target_encoder"}
    assert (bundle / "model.safetensors").read_bytes() == (pair[0] / "stitched" / "model.safetensors").read_bytes()


def test_the_config_of_a_bundle_is_under_its_digest_but_for_the_names(bundle):
    config = json.loads((bundle / "config.json").read_text())
    assert config["encoder"] == "timm:local-dir:{folder}/encoders/source"
    config["encoder"] = f"timm:local-dir:{bundle}/encoders/source"  # may be edited, as long as it is the same encoder
    (bundle / "config.json").write_text(json.dumps(config))
    assert sk.load(bundle).encoder.name == config["encoder"]
    (bundle / "config.json").write_text(json.dumps({**config, "encoder": "demo:general"}))
    with pytest.raises(ModelUnavailableError, match=r"config\.json is damaged or was edited"):
        sk.load(bundle)
    config["record"]["rank"] = 1
    (bundle / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailableError, match=r"config\.json is damaged"):
        sk.load(bundle)


@pytest.fixture
def labelled(tmp_path):
    """Forty films with labels, as images in a folder and a table."""
    from PIL import Image

    drawn = sk.make_phantoms(60, seed=9)
    (tmp_path / "films").mkdir()
    lines = [",".join(["id", "patient", *sk.read_prompts("phantom").classes])]
    for i, film in enumerate(drawn.images):
        Image.fromarray(film).save(tmp_path / "films" / f"f{i}.png")
        lines.append(",".join([f"f{i}.png", drawn.patients[i], *map(str, drawn.labels[i].astype(int))]))
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return ("--items", tmp_path / "films", "--labels", tmp_path / "labels.csv", "--threshold", "none")


def test_a_bundle_is_calibrated_as_a_bundle(cli, demo, labelled, tmp_path):
    """On a machine that has the bundle alone: to another folder, and in its own place."""
    assert cli("bundle", demo / "linear", "--with-target", "--out", tmp_path / "bundle").code == 0
    done = cli("calibrate", tmp_path / "bundle", *labelled, "--out", tmp_path / "other")
    assert done.code == 0, done.err
    shutil.rmtree(tmp_path / "bundle")
    (tmp_path / "other").rename(tmp_path / "moved")
    model = sk.load(tmp_path / "moved")
    assert bundles.is_bundle(tmp_path / "moved")
    assert bundles.check_bundle(tmp_path / "moved", every=True) > 0
    films = labelled[1]
    scores = model.probabilities(str(films))
    refused = cli("calibrate", tmp_path / "moved", *labelled, "--out", tmp_path / "moved")
    assert refused.code == 2
    again = cli("calibrate", tmp_path / "moved", *labelled, "--out", tmp_path / "moved", "--overwrite")
    assert again.code == 0, again.err
    np.testing.assert_allclose(sk.load(tmp_path / "moved").probabilities(str(films)).values, scores.values)
    assert bundles.check_bundle(tmp_path / "moved", every=True) > 0


def test_a_bundle_is_never_replaced_by_another_artefact(demo, tmp_path):
    sk.bundle(demo / "linear", tmp_path / "bundle", device="cpu")
    before = sorted(one.name for one in (tmp_path / "bundle").iterdir())
    with pytest.raises(InputError, match="is a bundle"):
        sk.save(sk.load(demo / "linear", part="head"), tmp_path / "bundle", overwrite=True)
    assert sorted(one.name for one in (tmp_path / "bundle").iterdir()) == before


def test_scores_of_a_bundle_name_the_encoders_that_were_copied(pair, bundle):
    ours, theirs = (sk.load(one).provenance for one in (pair[0] / "stitched", bundle))
    assert ours == theirs
    assert ours.source.endswith(":vision")


def test_a_folder_that_names_no_encoder_is_bundled_with_the_one_that_is_given(demo, tmp_path):
    alignment, head = (sk.load(demo / "linear", part=part) for part in ("alignment", "head"))
    folder = sk.stitch(None, alignment, head).save(tmp_path / "vectors")
    sk.bundle(folder, tmp_path / "bundle", encoder="demo:general", device="cpu")
    assert sk.load(tmp_path / "bundle").encoder.name == "demo:general"


@pytest.mark.parametrize("command", ["bundle", "calibrate"])
def test_a_pipe_is_left_alone(cli, demo, labelled, tmp_path, command):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    more = labelled if command == "calibrate" else ()
    done = cli(command, demo / "linear", *more, "--out", pipe, "--overwrite")
    assert done.code == 2
    assert "is a pipe or a device" in done.err
    assert pipe.is_fifo()
