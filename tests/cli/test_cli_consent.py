"""Every command that takes a folder: code that the folder names runs only with --trust-python and its exact name."""

from __future__ import annotations

import json

import pytest

from stitchkit.cli.main import COMMANDS

TRUST = "--trust-python"
IN_NO_FOLDER = {"import", "demo", "encoders", "list", "train"}  # nothing in their files names an encoder


@pytest.fixture
def hostile(cli, world, tmp_path):
    """A folder of 'align' whose two encoders are a file that leaves a mark when it is run; and that mark."""
    folder, marker, file = tmp_path / "map", tmp_path / "ran", tmp_path / "evil.py"
    args = ("--anchors", world.anchors, "--solver", "procrustes", "--out", folder, "--head", f"prompts:{world.prompts}")
    assert cli("stitch", world.quick, world.quick_text, *args).code == 0
    file.write_text(
        f"import pathlib\npathlib.Path({str(marker)!r}).write_text('ran')\n" + (world.folder / "mine.py").read_text()
    )
    config = json.loads((folder / "config.json").read_text())
    names = {"encoder": f"python:{file}:thumbnails", "target_encoder": f"python:{file}:letters"}
    (folder / "config.json").write_text(json.dumps({**config, **names}))
    return folder, marker, names


def lines(world, folder, out):
    name, anchors = f"stitchkit:{folder}", ("--anchors", world.anchors)
    items = ("--items", world.test)
    return {
        "embed": ("embed", name, world.test, "--out", out / "x.safetensors"),
        "align": ("align", name, world.quick_text, *anchors, "--out", out / "a"),
        "stitch": ("stitch", name, world.quick_text, *anchors, "--out", out / "s"),
        "zeroshot": ("zeroshot", folder, *items, "--out", out / "z.csv"),
        "zeroshot by prompts": ("zeroshot", folder, "--prompts", world.prompts, *items, "--out", out / "z.csv"),
        "zeroshot of a pair": ("zeroshot", name, world.quick_text, *anchors, "--prompts", world.prompts, *items,
                               "--out", out / "z.csv"),
        "evaluate": ("evaluate", folder, "--labels", world.labels, *items, "--min-positives", 5, "--replicates", 20),
        "gate": ("gate", folder, "--test", world.anchors, "--min-mrr", 0, "--allow-leakage"),
        "diagnose": ("diagnose", folder, name, world.quick_text, *anchors, "--out", out / "d"),
        "compare": ("compare", name, world.quick_text, *anchors),
        "info": ("info", name),
        "anchors select": ("anchors", "select", world.anchors, "-n", 9, "--encoder", name, "--out", out / "c.csv"),
    }  # fmt: skip


def test_no_command_runs_what_a_folder_names(cli, world, hostile, tmp_path):
    folder, marker, names = hostile
    for what, line in lines(world, folder, tmp_path).items():
        done = cli(*line)
        assert not marker.exists(), what
        assert done.code == 5, (what, done.err)
        assert names["encoder"] in done.err, what
        assert TRUST in done.err
        other = cli(*line, TRUST, names["encoder"] + "x", TRUST, world.quick)
        assert (marker.exists(), other.code) == (False, 5), what


def test_info_of_the_folder_itself_loads_nothing(cli, hostile):
    folder, marker, names = hostile
    assert names["encoder"] in cli("info", folder).out
    assert not marker.exists()


@pytest.mark.parametrize("verb", ["zeroshot by prompts", "gate"])
def test_the_target_encoder_needs_consent_of_its_own(cli, world, hostile, tmp_path, verb):
    folder, marker, names = hostile
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "encoder": world.quick}))
    line = lines(world, folder, tmp_path)[verb]
    done = cli(*line, TRUST, world.quick)
    assert (marker.exists(), done.code) == (False, 5)
    assert names["target_encoder"] in done.err
    done = cli(*line, TRUST, world.quick, TRUST, names["target_encoder"])  # it runs, and is another encoder
    assert marker.exists()
    assert "Embed with" in done.err


def test_every_command_that_loads_has_the_option_among_the_dangerous_ones(cli):
    for name in set(COMMANDS) - {"anchors"} - IN_NO_FOLDER:
        assert TRUST in cli(name, "--help").out, name
    assert TRUST in cli("anchors", "select", "--help").out
