"""The command line as a process of its own: light, separable streams, the same numbers, stoppable."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from stitchkit.storage.scores import read_scores

HEAVY = ("cupy", "jinja2", "matplotlib", "numpy", "scipy", "sklearn", "timm", "torch", "transformers")

HELP = f"""
import json, sys
from stitchkit.cli.main import app
for command in ([], ["demo"], ["embed"], ["align"], ["stitch"], ["zeroshot"], ["evaluate"], ["info"]):
    try:
        app([*command, "--help"])
    except SystemExit as end:
        if end.code:
            raise
sys.stderr.write(json.dumps(sorted(set({HEAVY!r}) & set(sys.modules))))
"""


def test_the_help_of_every_command_loads_nothing_heavy():
    done = subprocess.run([sys.executable, "-W", "error", "-c", HELP], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stderr) == []


def test_the_bare_command_and_the_version_answer_on_stdout(shell):
    assert "stitch" in shell().out
    assert shell("--version").out.startswith("stitchkit ")


def test_an_error_is_on_stderr_alone_and_sets_the_exit_code(shell, tmp_path):
    done = shell("evaluate", tmp_path / "no.csv", "--labels", tmp_path / "no.csv")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1


@pytest.mark.slow  # as a moved bundle does in a fresh process, and a folder read in Python
def test_a_folder_scores_alike_in_a_fresh_process(cli, shell, world, tmp_path):
    folder, here, there = tmp_path / "map", tmp_path / "here.csv", tmp_path / "there.csv"
    done = cli("stitch", world.vision, world.medical, "--anchors", world.anchors, "--head", "own", "--out", folder)
    assert done.code == 0, done.err
    assert cli("zeroshot", folder, "--items", world.test, "--store", "none", "--out", here).code == 0
    fresh = shell("zeroshot", folder, "--items", world.test, "--store", "none", "--out", there, "--json")
    assert fresh.code == 0, fresh.err
    assert fresh.json["n"] == 30
    assert abs(read_scores(here).values - read_scores(there).values).max() < 1e-5


def test_a_signal_ends_a_run_with_130_and_no_traceback(shell, world, tmp_path):
    line = ("embed", world.own("signalled"), world.test, "--store", tmp_path / "store")
    done = shell(*line, "--out", tmp_path / "x.safetensors")
    assert done.code == 130
    assert "Traceback" not in done.err
    assert "interrupted" in done.err
    assert not (tmp_path / "x.safetensors").exists()


@pytest.mark.skipif(os.name == "nt", reason="pipes close differently")
def test_a_reader_that_goes_away_causes_no_traceback(world):
    command = [sys.executable, "-m", "stitchkit", "info", str(world.anchors), "--json"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr == ""
