"""Importing the package, asking the command line for help and fitting numpy arrays load nothing heavy."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

HEAVY = ("cupy", "cupyx", "jinja2", "matplotlib", "scipy", "sklearn", "timm", "torch", "torchvision", "transformers")

TELL = f"""
import json, sys
sys.stderr.write(json.dumps(sorted(set({HEAVY!r}) & set(sys.modules))))
"""

HELP = """
import sys
from stitchkit.cli.main import main
sys.argv = ["stitchkit", "--help"]
try:
    main()
except SystemExit as end:
    if end.code:
        raise
"""

FIT = """
import numpy as np
import stitchkit as sk
rng = np.random.default_rng(0)
x = rng.normal(size=(60, 4))
sk.align(x, x[:, ::-1]).similarity(x, x[:, ::-1])
"""


def loaded_by(code):
    run = [sys.executable, "-W", "error", "-c", code + TELL]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stderr)


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import stitchkit") == []


def test_asking_for_help_loads_nothing_heavy():
    if importlib.util.find_spec("stitchkit.cli.main") is None:
        pytest.skip("there is no command line yet")
    assert loaded_by(HELP) == []


def test_fitting_numpy_arrays_loads_nothing_heavy():
    assert set(loaded_by(FIT)) <= {"scipy"}


def test_the_probe_sees_a_heavy_import():
    assert loaded_by("import scipy") == ["scipy"]
