"""A study is data: of the code it names, only files in its own folder run without consent."""

from __future__ import annotations

import pytest

from stitchkit.core.errors import ModelUnavailableError, StitchError
from stitchkit.studies.plan_consent import check_plan_names
from stitchkit.studies.plans import read_plan


@pytest.fixture
def plan(tmp_path):
    """A function that writes a study with some names and reads it."""
    folder, outside = tmp_path / "study", tmp_path / "outside"
    for one in (folder / "inner", outside):
        one.mkdir(parents=True)
        (one / "mine.py").write_text("raise SystemExit('ran')")
    (folder / "mine.py").write_text("raise SystemExit('ran')")
    (folder / "link.py").symlink_to(outside / "mine.py")
    (folder / "linked").symlink_to(outside)

    def made(source="demo:general", target="demo:medical", head="own"):
        text = f'kind = "stitching"\nhead = "{head}"\n[data]\nlayout = "table"\nroot = "."\n'
        (folder / "plan.toml").write_text(text + f'[grid]\nsources = ["{source}"]\ntargets = ["{target}"]\n')
        return read_plan(folder / "plan.toml")

    return made


@pytest.mark.parametrize("side", ["source", "target", "head"])
@pytest.mark.parametrize("name", ["python:mine.py:x", "python:inner/mine.py:x#a=b", "python:inner/../mine.py:x"])
def test_a_file_in_the_studys_own_folder_needs_no_consent(plan, side, name):
    assert check_plan_names(plan(**{side: name})) is None


@pytest.mark.parametrize("side", ["source", "target", "head"])
@pytest.mark.parametrize(
    "name",
    [
        "python:os:system#command=ls",
        "python:mine:x",
        "python:study.mine:x",
        "python:../outside/mine.py:x",
        "python:inner/../../outside/mine.py:x",
        "python:link.py:x",
        "python:linked/mine.py:x",
        "python:/nowhere/mine.py:x",
        "python:~/mine.py:x",
    ],
)
def test_other_code_needs_consent_by_the_name_as_written(plan, side, name):
    study = plan(**{side: name})
    for given in (False, ["python:mine.py:x"], [name + "#"]):
        with pytest.raises(ModelUnavailableError) as error:
            check_plan_names(study, given)
        assert name in str(error.value)
    for given in (True, name, [name]):
        assert check_plan_names(study, given) is None


@pytest.mark.parametrize("side", ["source", "target", "head"])
@pytest.mark.parametrize("name", ["python:" + "a" * 5000 + ".py:x", "python:a\\u0000.py:x"])
def test_code_in_a_file_that_cannot_be_is_refused(plan, side, name):
    with pytest.raises(StitchError, match=r"is longer than a file system takes|is no path"):
        check_plan_names(plan(**{side: name}))


@pytest.mark.parametrize("side", ["source", "target", "head"])
@pytest.mark.parametrize("name", ["x" * 5000, "~nosuchuser/vectors.csv", "python:~nosuchuser/mine.py:x"])
def test_a_home_that_is_not_there_is_a_folder_beside_the_study(plan, side, name):
    assert check_plan_names(plan(**{side: name})) is None
