"""Lists of names: all of every table, each with a line on what it is."""

import subprocess
import sys

import pytest

from stitchkit.cli.commands.list import KINDS as TYPED
from stitchkit.core.errors import UnknownNameError
from stitchkit.datasets.cohorts import LAYOUTS
from stitchkit.datasets.prompt_sets import prompt_set_names
from stitchkit.encoders import ENCODERS
from stitchkit.reports.listings import KINDS, listing
from stitchkit.solvers import SOLVERS

TABLES = {
    "prompts": prompt_set_names(),
    "families": ENCODERS,
    "solvers": SOLVERS,
    "layouts": LAYOUTS,
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


def test_no_library_is_imported_for_a_list():
    code = (
        "import sys; from stitchkit.cli.main import app\n"
        "try: app(['list', 'families'])\n"
        "except SystemExit as end: assert not end.code\n"
        "found = {'torch', 'timm', 'transformers', 'open_clip'} & set(sys.modules)\n"
        "sys.exit(str(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("demo")
