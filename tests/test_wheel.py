"""The wheel: what is in it, and that it works where there is no checkout and no network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "stitchkit"

# run by every interpreter below before anything else: the checkout (an editable install puts it on the path) and
# the network are out of reach
GUARD = f"""
import os, socket, sys

def closed(*args, **settings):
    raise OSError("the test allows no network")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = closed
checkout = os.path.realpath({str(ROOT)!r})
sys.path[:] = [one for one in sys.path if os.path.realpath(one or ".") != checkout]
"""

SMALL_DEMO = """
import sys
from stitchkit.studies.demo.run_demo import run_demo
from stitchkit.studies.demo.demo_data import DemoSettings
from stitchkit.evaluation.scores.probe import fit_probe
fit_probe.__kwdefaults__["strengths"] = (1e-2,)  # none is chosen by folds
settings = DemoSettings(anchors=60, tested=80, curve=(30,), draws=1, replicates=50)
done = run_demo(sys.argv[1], settings=settings)
assert "chance" in done.summary()
assert not {"timm", "transformers"} & set(sys.modules), "a hub's library was imported"
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built by hatchling itself: nothing is fetched to build it."""
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    out = tmp_path_factory.mktemp("dist")
    run = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def target(wheel, tmp_path_factory) -> Path:
    """The wheel, installed beside everything else."""
    folder = tmp_path_factory.mktemp("installed") / "target"
    run = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-compile", "--quiet"]
    run += ["--disable-pip-version-check", "--target", str(folder), str(wheel)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture
def python(target, tmp_path):
    """``python(*args)``: what a fresh interpreter prints that knows the wheel alone, run from an empty folder."""
    guard, empty = tmp_path / "guard", tmp_path / "empty"
    guard.mkdir()
    empty.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "STITCHKIT", "HF_"))}
    env = {**kept, "PYTHONPATH": os.pathsep.join([str(guard), str(target)]), "MPLBACKEND": "Agg"}
    env |= {"HOME": str(tmp_path), "STITCHKIT_CACHE": str(tmp_path / "cache")}

    def run(*args: str, timeout: float = 240) -> str:
        done = subprocess.run(
            [sys.executable, *args], cwd=empty, env=env, capture_output=True, text=True, timeout=timeout
        )
        assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]
        return done.stdout

    return run


def test_all_of_the_package_is_in_it_and_nothing_else(names):
    tracked = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    data = [path for kind in ("toml", "csv", "json") for path in (ROOT / "anchors").rglob(f"*.{kind}")]
    anchors = {f"stitchkit/{path.relative_to(ROOT).as_posix()}" for path in data}
    inside = {name for name in names if ".dist-info/" not in name}
    assert tracked | anchors <= inside
    assert not {name for name in inside if not name.startswith("stitchkit/")}
    assert inside - tracked - anchors <= {"stitchkit/anchors/README.md"}


@pytest.mark.parametrize(
    "name",
    [
        "stitchkit/__init__.pyi",
        "stitchkit/py.typed",
        *(f"stitchkit/anchors/prompts/{path.name}" for path in sorted((ROOT / "anchors" / "prompts").glob("*.toml"))),
        "stitchkit/anchors/sets/phantoms-500.csv",
        "stitchkit/anchors/sets/phantoms-500.card.json",
        *(f"stitchkit/encoders/demo_weights/{name}.safetensors" for name in ("general", "medical", "text")),
        *(f"stitchkit/reports/templates/{path.name}" for path in sorted(PACKAGE.glob("reports/templates/*"))),
    ],
)
def test_it_holds(names, name):
    assert name in names


def test_it_holds_no_tests_no_caches_and_nothing_large(wheel, names):
    odd = [name for name in names if "test" in Path(name).name.split("_") or name.endswith((".pyc", ".ipynb"))]
    assert odd == []
    assert not any(part in ("tests", "docs", "examples", "__pycache__") for name in names for part in Path(name).parts)
    assert wheel.stat().st_size < 10e6


def test_its_metadata_tell_licence_version_and_the_console_script(wheel, names):
    import stitchkit

    (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    assert f"Version: {stitchkit.__version__}\n" in text
    assert "License-Expression: Apache-2.0\n" in text
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    entries = zipfile.ZipFile(wheel).read(metadata.replace("METADATA", "entry_points.txt")).decode()
    assert "stitchkit = stitchkit.cli.main:main" in entries


def test_the_installed_package_is_the_one_that_is_imported(python, target):
    found = python("-c", "import stitchkit, sys; print(stitchkit.__file__); print(sys.path)")
    file, path = found.splitlines()
    assert Path(file).resolve() == (target / "stitchkit" / "__init__.py").resolve()
    assert repr(str(ROOT)) not in path


def test_the_guard_closes_the_network(python):
    code = "import urllib.request as u\ntry:\n    u.urlopen('http://127.0.0.1:9')\nexcept OSError as e:\n    print(e)"
    assert "the test allows no network" in python("-c", code)


def test_its_prompt_sets_are_read(python):
    code = "import stitchkit as sk; p = sk.read_prompts('chexpert5'); print(len(p.classes), p.card['path'])"
    assert python("-c", code).split() == ["5", "anchors/prompts/chexpert5.toml"]


def test_its_anchor_set_is_read_and_drawn(python):
    code = "import stitchkit as sk; a = sk.read_anchors('phantoms-500'); print(len(a), a.card['licence'])"
    assert python("-c", code).split() == ["500", "Apache-2.0"]


def test_its_command_line_answers(python):
    import stitchkit

    assert python("-m", "stitchkit", "--version").strip() == f"stitchkit {stitchkit.__version__}"


def test_a_small_demo_runs_from_it_without_network_and_hub_libraries(python, tmp_path):
    python("-c", SMALL_DEMO, str(tmp_path / "out"))
    checked(tmp_path / "out")


@pytest.mark.slow
def test_the_whole_demo_runs_from_it_without_network(python, tmp_path):
    told = python("-m", "stitchkit", "demo", "--out", str(tmp_path / "out"), timeout=600)
    assert f"open {tmp_path / 'out' / 'report.html'}" in told
    checked(tmp_path / "out")


def checked(out: Path) -> None:
    """The demo wrote its two files, and nothing in the page is fetched from elsewhere."""
    assert {path.name for path in out.iterdir()} == {"report.html", "results.json"}
    page = (out / "report.html").read_text("utf-8")
    assert not any(word in page for word in ('src="http', "src='http", "@import", "url(http", '<link rel="stylesheet"'))
    assert "<script src" not in page
    numbers = json.loads((out / "results.json").read_text("utf-8"))
    assert {"stitching", "naming"} <= set(numbers)
