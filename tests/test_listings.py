"""Lists of names: all of every table, each with a line on what it is."""

import subprocess
import sys

import pytest

from stitchkit.cli.commands.list import KINDS as TYPED
from stitchkit.core.errors import UnknownNameError
from stitchkit.datasets.cohorts import LAYOUTS
from stitchkit.datasets.prompt_sets import prompt_set_names
from stitchkit.encoders import ENCODERS
from stitchkit.listings import KINDS, listing
from stitchkit.solvers import SOLVERS
from stitchkit.tasks.cards import task_names
from stitchkit.training.objectives import OBJECTIVES

TABLES = {
    "prompts": prompt_set_names(),
    "families": ENCODERS,
    "solvers": SOLVERS,
    "layouts": LAYOUTS,
    "objectives": OBJECTIVES,
    "tasks": task_names(),
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_name_of_a_table_is_listed_with_a_line(kind):
    rows = listing(kind)
    assert [row["name"] for row in rows] == list(TABLES[kind])
    assert all(10 < len(row["is"]) <= 120 for row in rows)


def test_the_command_names_the_kinds_there_are():
    assert set(TYPED) == set(KINDS) == set(TABLES)
    with pytest.raises(UnknownNameError, match="solvers"):
        listing("solver")


def test_a_task_is_listed_with_its_title_modality_and_number_of_classes():
    rows = {row["name"]: row["is"] for row in listing("tasks")}
    assert rows["pneumoniamnist"] == "PneumoniaMNIST, chest X-ray of children: 2 classes"
    assert rows["roco"].endswith(": images and texts")
    assert rows["vqa-rad"].endswith(": questions about images")


@pytest.mark.parametrize(("kind", "first"), [("families", "demo"), ("objectives", "clip"), ("tasks", "bach")])
def test_no_library_is_imported_for_a_list(kind, first):
    code = (
        "import sys; from stitchkit.cli.main import app\n"
        f"try: app(['list', {kind!r}])\n"
        "except SystemExit as end: assert not end.code\n"
        "found = {'torch', 'timm', 'transformers', 'open_clip'} & set(sys.modules)\n"
        "sys.exit(str(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith(first)
