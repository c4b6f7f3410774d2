"""The shipped study files fit the layouts they name; the command line reads, refuses and runs study files."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from phantom_studies import JUDGED, PLAN
from typer.testing import CliRunner

from stitchkit.cli.main import app
from stitchkit.datasets.cohorts import read_cohort
from stitchkit.datasets.prompt_sets import read_prompts
from stitchkit.studies.plans import KINDS, read_plan

ROOT = Path(__file__).parents[2]
STITCHING = ROOT / "examples" / "studies" / "stitching.toml"
SHIPPED = sorted((ROOT / "examples" / "studies").glob("*.toml"))


def copies():
    """The builders of miniature copies of the public layouts."""
    path = ROOT / "tests" / "datasets" / "published_copies.py"
    spec = importlib.util.spec_from_file_location("copies_for_studies", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", SHIPPED, ids=lambda one: one.stem)
def test_a_shipped_study_needs_only_its_paths_edited(path, tmp_path):
    plan = read_plan(path)
    copy = getattr(copies(), plan.data.layout.replace("-", "_"))(tmp_path)
    cohort = read_cohort(plan.data.layout, copy, **plan.data.reader)
    if plan.data.folds:
        assert cohort.split is None
    else:
        assert plan.data.anchors in cohort.split
        assert (
            plan.data.test in {"chexpert": ("val",), "mimic-cxr": ("val", "test"), "nih": ("test",)}[plan.data.layout]
        )
    assert set(plan.data.metadata) <= set(cohort.labels.columns)
    if plan.kind in ("stitching", "zeroshot"):
        classes = plan.judge.classes or read_prompts(plan.prompts).classes
        assert set(classes) <= set(cohort.labels.classes)
        assert set(plan.rename.values()) <= set(cohort.labels.classes)
    assert (cohort.texts is not None) == (plan.kind not in ("stitching", "fusion"))
    if plan.kind == "fusion":
        assert set(plan.grid.columns) <= set(cohort.labels.columns)


def test_there_is_a_shipped_study_of_each_kind():
    assert {read_plan(path).kind for path in SHIPPED} == set(KINDS)


def test_files_named_in_a_study_lie_beside_it(tmp_path):
    path = tmp_path / "plan.toml"
    text = (
        (ROOT / "examples" / "studies" / "zeroshot.toml")
        .read_text()
        .replace('prompts = "chexpert5"', 'prompts = "mine.toml"')
    )
    path.write_text(
        text.replace('"timm:resnet50.a1_in1k"', '"vectors.safetensors"').replace("/data/mimic", "data/mimic")
    )
    plan = read_plan(path)
    assert plan.prompts == str(tmp_path / "mine.toml")
    assert str(tmp_path / "vectors.safetensors") in plan.grid.sources
    assert plan.data.root.parent.parent == tmp_path
    assert "timm:vit_base_patch14_dinov2.lvd142m" in plan.grid.sources


def cli(*args):
    return CliRunner().invoke(app, [str(one) for one in args])


def test_a_dry_run_says_what_would_be_done(tmp_path):
    done = cli("study", STITCHING, "--out", tmp_path / "out", "--dry-run")
    assert done.exit_code == 0
    assert "nothing was done" in done.output
    assert "chexpert" in done.output
    assert not (tmp_path / "out").exists()


def test_a_typo_ends_with_exit_code_4_and_the_nearest_key(tmp_path):
    (tmp_path / "plan.toml").write_text(STITCHING.read_text().replace("solvers =", "solver ="))
    done = cli("study", tmp_path / "plan.toml", "--out", tmp_path / "out")
    assert done.exit_code == 4
    assert "'solver'; nearest: solvers" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_study_is_printed_in_the_form_asked_for(films, tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.format(kind="stitching", top="", data="", grid='solvers = ["ridge"]', judge="", root=films,
                                classes=json.dumps(JUDGED), target="demo:medical"))  # fmt: skip
    line = ("study", path, "--out", tmp_path / "out", "--store", "none", "--device", "cpu", "--quiet")
    table = cli(*line, "--format", "md")
    assert table.stdout == (tmp_path / "out" / "table.md").read_text() + "\n"
    assert json.loads(cli(*line, "--format", "json").stdout) == json.loads(cli(*line, "--json").stdout)
    assert cli(*line).stdout.startswith("phantoms: macro AUROC")
    assert cli(*line, "--format", "latex").exit_code == 2


def test_data_that_are_not_there_leave_nothing_behind(tmp_path):
    done = cli("study", STITCHING, "--out", tmp_path / "out")
    assert done.exit_code == 4
    assert "error:" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", ["classes", "weight", "bias"])
def test_a_head_of_ones_own_is_read_and_its_lacks_are_named(tmp_path, missing):
    from stitchkit.core.errors import InputError
    from stitchkit.core.space import Space
    from stitchkit.encoders.python_head import load_python_head

    file = tmp_path / "head.py"
    file.write_text(
        "import numpy as np\n"
        "class Head:\n    classes = ['a', 'b']\n    weight = np.arange(6.0).reshape(3, 2)\n    bias = np.ones(2)\n"
        f"class Part(Head):\n    def __getattribute__(self, name):\n        if name == {missing!r}:\n"
        "            raise AttributeError(name)\n        return super().__getattribute__(name)\n"
    )
    head = load_python_head(f"python:{file}:Head", Space("s", 3))
    np.testing.assert_allclose(head.scores(np.ones((1, 3))).values, [[7, 10]])
    with pytest.raises(InputError, match=f"lacks '{missing}'"):
        load_python_head(f"python:{file}:Part", Space("s", 3))
    with pytest.raises(InputError, match="needs weight"):
        load_python_head(f"python:{file}:Head", Space("s", 4))
