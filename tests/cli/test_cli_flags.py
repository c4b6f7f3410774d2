"""Messages on the command line: settings as options of the command that runs; held-out numbers as sentences."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer

import stitchkit
from stitchkit.alignment.request import check_purpose
from stitchkit.cli.flags import OF_READER, OPTIONS, Command, Flags, in_flags
from stitchkit.cli.main import app
from stitchkit.core.errors import LeakageError, NoDirectedMapError
from stitchkit.core.wording import Message, advice, setting
from stitchkit.evaluation.fitted_pairs import STEP
from stitchkit.evaluation.leakage import audit
from stitchkit.reports.descriptions import description_lines
from stitchkit.solvers.relative import Relative

HELD = {
    "mrr": 0.168, "se": 0.015, "chance_mrr": 0.158, "recall@1": 0.033, "gallery": 24, "estimate": "outer folds",
    "above_chance": False,
}  # fmt: skip
PACKAGE = Path(stitchkit.__file__).parent
VALUES = (None, True, False, 3, "word", "two words")


def commands() -> dict[str, typer.core.TyperCommand]:
    """Every command of the command line, by the words that call it."""
    found, groups = {}, {"": typer.main.get_command(app)}
    while groups:
        above, group = groups.popitem()
        for name, one in group.commands.items():
            if hasattr(one, "commands"):
                groups[f"{above}{name} "] = one
            else:
                found[above + name] = one
    return found


def named_settings() -> Iterator[tuple[str, ast.Call]]:
    """Settings that messages of the package name, and the call that names each."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
    for path in [path for path, text in texts.items() if "setting(" in text]:
        for node in ast.walk(ast.parse(texts[path])):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setting":
                assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno} names no setting in plain words"
                yield node.args[0].value, node


COMMANDS = commands()
SETTINGS = sorted({name for name, _ in named_settings()})


def flags_of(command: str) -> Flags:
    return Flags.of(COMMANDS[command].params)


def rendered(message: str, command: str) -> str:
    assert isinstance(message, Message)
    return message.render(flags_of(command).form)


def test_the_walk_finds_commands_and_settings():
    assert {"align", "evaluate", "anchors select", "anchors collect"} <= set(COMMANDS)
    assert {"purpose", "overwrite", "store", "min_mrr", "at", "classes", "allow_leakage"} <= set(SETTINGS)
    assert all(isinstance(one, Command) for one in COMMANDS.values())


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_no_message_names_an_option_that_the_command_has_not(command):
    known = {option for one in COMMANDS[command].params for option in one.opts}
    for name in SETTINGS:
        for message in (setting(name), *(setting(name, value) for value in VALUES)):
            text = rendered("pass " + message + advice(", or ", message) + ".", command)
            assert set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", text)) <= known, (name, text)


def test_every_renamed_setting_is_named_by_a_message_and_every_option_is_that_of_a_command():
    options = {option for one in COMMANDS.values() for each in one.params for option in each.opts}
    assert set(OPTIONS) | OF_READER <= set(SETTINGS)
    assert {option for names in OPTIONS.values() for option in names} <= options


@pytest.mark.parametrize(
    ("message", "command", "text"),
    [
        (setting("purpose", "head"), "align", "--purpose head"),
        (setting("purpose", "head"), "stitch", "purpose='head'"),
        (setting("overwrite", True), "align", "--overwrite"),
        (setting("overwrite", True), "study", "overwrite=True"),
        (setting("store", None), "embed", "--store none"),
        (setting("classes"), "evaluate", "--class"),
        (setting("label", "what is it"), "evaluate", "--label-column 'what is it'"),
        (setting("groups"), "align", "--groups"),
        (setting("embeddings"), "evaluate", "--encoder and --items for the vectors"),
        (setting("pool"), "align", "--pool-source and --pool-target"),
        (setting("at", otherwise="a share"), "evaluate", "a share"),
        (setting("uncertain", "ignore"), "evaluate", "--uncertain ignore"),
        (setting("uncertain", "ignore"), "anchors collect", "--set uncertain=ignore"),
        (setting("images"), "stitch", "images="),
    ],
)
def test_a_setting_is_the_option_of_the_command_that_runs(message, command, text):
    assert rendered(message, command) == text


def test_stitch_advises_no_option_that_it_has_not():
    with pytest.raises(NoDirectedMapError, match=r"which purpose='head' needs\. .* purpose='match'\.$") as refused:
        check_purpose(Relative(), "head")
    message = refused.value.message
    assert rendered(message, "stitch").endswith("units, which a head needs. Take another solver.")
    assert rendered(message, "align").endswith("which --purpose head needs. Take another solver, or --purpose match.")


def test_advice_for_python_is_left_out_of_an_unknown_solver(cli, world, tmp_path):
    done = cli("align", world.quick, world.quick_text, "--anchors", world.anchors, "--solver", "nothing", "--out",
               tmp_path / "map")  # fmt: skip
    assert done.code == 2
    assert done.err.startswith("error: no solver is called 'nothing'; ")
    assert "Or pass a solver value" not in done.err
    assert not done.err.rstrip("\n").endswith(" ")


@pytest.mark.filterwarnings("default")  # the tests' own rule would turn them into errors
def test_warnings_name_options(cli, world, tmp_path):
    header, *rows = world.labels.read_text().splitlines()
    counts = [row.rsplit(",", 1)[0] + f",{(0, 0, 1, 1, 2)[i % 5]}" for i, row in enumerate(rows)]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join([header, *counts]) + "\n")
    done = cli("anchors", "check", world.anchors, "--labels", table, "--min-positives", 1)
    assert "'age'" in done.err
    assert "Name the columns with --class to be sure." in done.err


def test_notes_of_an_evaluation_name_options(cli, world, tmp_path):
    scores = tmp_path / "scores.csv"
    made = cli("zeroshot", world.quick, world.quick_text, "--anchors", world.anchors, "--prompts", world.prompts,
               "--items", world.test, "--out", scores)  # fmt: skip
    assert made.code == 0, made.err
    given = (scores, "--labels", world.labels, "--anchors", world.anchors, "--min-positives", 1, "--replicates", 20)
    for done in (cli("evaluate", *given), cli("evaluate", *given, "--json")):
        assert done.code == 0, done.err
        assert "no probe: give --encoder and --items for the vectors of anchors and test items" in done.out
        assert "no metadata-only baseline: give --items (image files) or --metadata (columns of the labels)" in done.out


def test_notes_of_a_record_name_options(cli, world, tmp_path):
    line = ("align", world.quick, world.own("small"), "--anchors", world.anchors, "--target-column", "path")
    for more in ((), ("--json",)):
        done = cli(*line, "--purpose", "head", "--out", tmp_path / f"map{len(more)}", *more)
        assert done.code == 0, done.err
        assert "chosen by R2, since no head was given" in done.out
        assert "head=" not in done.out  # align reads no head, so there is nothing to pass


def test_results_and_documents_are_rendered_outside_of_a_command_in_the_words_of_python():
    note = "give " + setting("store", None)
    assert in_flags({"notes": [note], "n": (1, note)}) == {"notes": ["give store=None"], "n": (1, "give store=None")}


def test_allowing_leakage_names_the_option():
    with pytest.raises(LeakageError) as refused:
        audit(np.array(["a"]), np.array(["a"]), None, None)
    for message in (refused.value.message, STEP):
        assert "(--allow-leakage)" in rendered(message, "evaluate")
        assert "leakage" not in rendered(message, "embed").partition(". ")[2]
        assert "(allow_leakage=True)" in message


def test_held_out_numbers_of_a_folder_are_a_sentence():
    (line,) = [
        one for one in description_lines({"is": "a stitched folder", "held_out": HELD}) if one.startswith("held out")
    ]
    assert "mean reciprocal rank 0.168 (se 0.015; chance 0.158)" in line
    assert line.endswith("not clearly above chance")
    assert "above_chance" not in line


@pytest.mark.parametrize("held", [{"mrr": 0.2}, {"r2": 0.3}, {"r2": "high", "se": 0.1, "estimate": "x"}])
def test_numbers_that_a_folder_lacks_are_no_error(held):
    assert any(one.startswith("held out") for one in description_lines({"is": "a stitched folder", "held_out": held}))


def test_the_help_lists_commands_as_they_are_typed(cli):
    from stitchkit.cli.main import COMMANDS

    shown = cli("--help").out
    for name in COMMANDS:
        assert f" {name} " in shown
    for function in ("import-vectors", "list-names"):
        assert function not in shown
    assert "[data.reader]" in " ".join(cli("anchors", "collect", "--help").out.split())
