"""The public names: complete, importable, and still themselves after every submodule was imported."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from public_stub import STUB, stub

import stitchkit

ROOT = Path(stitchkit.__file__).parent
TABLES = {  # table -> where it stands
    "_PUBLIC": "stitchkit",
    "SOLVERS": "stitchkit.solvers",
    "TRACKS": "stitchkit.solvers",
    "ENCODERS": "stitchkit.encoders",
    "LAYOUTS": "stitchkit.datasets.cohorts",
    "OBJECTIVES": "stitchkit.training.objectives",
}


def table(name):
    return getattr(importlib.import_module(TABLES[name]), name)


def loaded(address):
    module, attribute = address.split(":")
    return getattr(importlib.import_module(module), attribute)


def every_package():
    found = pkgutil.walk_packages(stitchkit.__path__, "stitchkit.")
    return [one.name for one in found if one.ispkg]


def test_all_is_sorted_and_complete():
    names = list(stitchkit._PUBLIC)
    assert names == sorted(names)
    assert stitchkit.__all__ == [*names, "__version__"]
    assert dir(stitchkit) == sorted(stitchkit.__all__)
    assert set(stitchkit._PUBLIC) >= {
        *("AffineMap", "Alignment", "CSA", "LeastSquares", "Moments", "Procrustes", "Ridge", "StitchError"),
        *("align", "embed", "evaluate", "load", "load_encoder", "read_anchors", "read_prompts", "stitch", "zeroshot"),
    }


@pytest.mark.parametrize("name", stitchkit._PUBLIC)
def test_every_public_name_is_importable_and_documented(name):
    value = getattr(stitchkit, name)
    assert callable(value)
    assert value.__name__ == name
    assert inspect.getdoc(value)


@pytest.mark.parametrize(("name", "row"), [(name, row) for name in TABLES for row in table(name)])
def test_every_row_of_a_table_loads(name, row):
    address = table(name)[row]
    assert callable(loaded(address))


@pytest.mark.parametrize("package", every_package())
def test_the_all_of_every_package_is_sorted_and_importable(package):
    module = importlib.import_module(package)
    names = list(getattr(module, "__all__", []))
    assert names == sorted(names)
    assert all(hasattr(module, name) for name in names)


def test_type_checkers_see_the_same_names_as_the_table():
    assert STUB.read_text(encoding="utf-8") == stub(), "run make stub"
    tree = ast.parse(stub())
    names = [one.asname for node in tree.body if isinstance(node, ast.ImportFrom) for one in node.names]
    assert sorted(names) == sorted(stitchkit._PUBLIC)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'aling'"):
        stitchkit.aling  # noqa: B018


def test_no_module_is_named_like_a_public_name():
    modules = {path.stem for path in ROOT.glob("*.py")} | {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert modules & set(stitchkit.__all__) == set()


PROBE = """
import importlib, json, pkgutil, sys, types
import stitchkit
absent = []
for one in pkgutil.walk_packages(stitchkit.__path__, "stitchkit.", onerror=lambda name: None):
    if one.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(one.name)
    except ImportError as error:  # an extra that is not installed; a module of our own is never excused
        if (error.name or "").split(".")[0] in ("", "stitchkit"):
            raise
        absent.append(one.name)
turned = [
    name
    for _ in range(2)
    for name in stitchkit._PUBLIC
    if isinstance(getattr(stitchkit, name), types.ModuleType) or not callable(getattr(stitchkit, name))
]
print(json.dumps({"turned": turned, "absent": absent}))
"""


def test_no_public_name_turns_into_a_module_once_every_submodule_is_imported():
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["turned"] == []


WITH_SEEDS = sorted(
    name
    for name in stitchkit._PUBLIC
    if not isinstance(value := getattr(stitchkit, name), type)
    and callable(value)
    and "seed" in inspect.signature(value).parameters
    and name not in ("learning_curve", "draw_prompts")  # kept simulations are of its code; has a check of its own
)


@pytest.mark.parametrize("name", WITH_SEEDS)
@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, True, None])
def test_every_public_function_refuses_a_seed_that_no_library_takes(name, seed):
    function = getattr(stitchkit, name)
    needed = [
        one.name
        for one in inspect.signature(function).parameters.values()
        if one.default is one.empty
        and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
        and one.name != "seed"
    ]
    with pytest.raises(stitchkit.StitchError, match="seed"):
        function(*[None] * len(needed), seed=seed)
