"""Folders that a page is written into: nothing is replaced silently, and the next step is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from stitchkit.cli.paths import folder_name, new_folder, new_page
from stitchkit.core.errors import InputError

FILES = ("report.html", "evaluation.json")


@pytest.fixture
def scores(tmp_path):
    """Scores of 40 items, and their labels."""
    labels = ["id,patient,Edema", *(f"f{i},p{i},{i % 2}" for i in range(40))]
    margins = ["id,kind,Edema", *(f"f{i},margin,{(i % 3) / 10}" for i in range(40))]
    (tmp_path / "labels.csv").write_text("\n".join(labels) + "\n")
    (tmp_path / "scores.csv").write_text("\n".join(margins) + "\n")
    return tmp_path / "scores.csv", "--labels", tmp_path / "labels.csv", "--replicates", 20


def test_an_earlier_page_is_replaced_only_when_told(cli, scores, tmp_path):
    page = tmp_path / "page"
    assert cli("evaluate", *scores, "--report", page).code == 0
    (page / "report.html").write_text("the earlier one")
    again = cli("evaluate", *scores, "--report", page)
    assert again.code == 2
    assert "holds report.html and evaluation.json" in again.err
    assert "--overwrite" in again.err
    assert (page / "report.html").read_text() == "the earlier one"
    assert cli("evaluate", *scores, "--report", page, "--overwrite").code == 0
    assert (page / "report.html").read_text() != "the earlier one"


def test_other_files_of_a_folder_are_named_and_kept(cli, scores, tmp_path):
    page = tmp_path / "notes"
    page.mkdir()
    (page / "thesis.txt").write_text("mine")
    refused = cli("evaluate", *scores, "--report", page)
    assert refused.code == 2
    assert "other files" in refused.err
    assert "--overwrite" in refused.err
    assert [one.name for one in page.iterdir()] == ["thesis.txt"]
    assert cli("evaluate", *scores, "--report", page, "--overwrite").code == 0
    assert (page / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["page.html", "page.HTM", "sub/report.html"])
def test_the_name_of_a_page_is_no_folder(cli, scores, tmp_path, name):
    done = cli("evaluate", *scores, "--report", tmp_path / name)
    assert done.code == 2
    assert f"Give a folder, for example {(tmp_path / name).with_suffix('')}" in done.err
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("command", ["demo", "study", "stitch", "align", "diagnose", "train"])
def test_every_command_that_writes_a_folder_refuses_the_name_of_a_page(cli, world, tmp_path, command):
    (tmp_path / "plan.toml").write_text("")
    given = {
        "demo": (),
        "study": (tmp_path / "plan.toml",),
        "train": (tmp_path / "plan.toml",),
        "stitch": (world.quick, world.quick_text, "--anchors", world.anchors),
        "align": (world.quick, world.quick_text, "--anchors", world.anchors),
        "diagnose": (tmp_path, world.quick, world.quick_text, "--anchors", world.anchors),
    }[command]
    done = cli(command, *given, "--out", tmp_path / "page.html")
    assert done.code == 2
    assert "names a page" in done.err
    assert not (tmp_path / "page.html").exists()


def test_empty_and_new_folders_are_taken(tmp_path):
    assert new_page(tmp_path / "new", False, FILES) == tmp_path / "new"
    (tmp_path / "empty").mkdir()
    assert new_page(tmp_path / "empty", False, FILES) == tmp_path / "empty"
    assert folder_name(tmp_path / "v1.2") == tmp_path / "v1.2"


def test_a_file_is_no_folder_for_a_page(tmp_path):
    (tmp_path / "page").write_text("")
    for check in (lambda path: new_page(path, True, FILES), lambda path: new_folder(path, True), folder_name):
        with pytest.raises(InputError, match="is a file"):
            check(Path(tmp_path / "page"))


def test_a_folder_of_other_things_is_refused_with_a_step_that_helps(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="something else, which is never overwritten"):
            new_folder(tmp_path, overwrite)


def test_a_page_names_options_of_the_command_line(cli, scores, tmp_path):
    anchors, labels = tmp_path / "anchors.csv", tmp_path / "labels.csv"
    names = [f"a{i}" for i in range(10)]
    anchors.write_text("\n".join(["id,patient,path,text", *(f"{one},{one},{one}.png,clear" for one in names)]))
    labels.write_text(labels.read_text() + "".join(f"{one},{one},{i % 2}\n" for i, one in enumerate(names)))
    done = cli("evaluate", *scores, "--anchors", anchors, "--report", tmp_path / "page")
    assert done.code == 0, done.err
    for text in (done.out, *((tmp_path / "page" / name).read_text() for name in FILES)):
        assert "--metadata" in text
        assert "metadata=" not in text
