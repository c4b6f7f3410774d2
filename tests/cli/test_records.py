"""Records of options: a command's parameters become options, each declared in one place."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

import stitchkit.cli
from stitchkit.cli.options import flat, only, without

CLI = Path(stitchkit.cli.__file__).parent


@dataclass(frozen=True, kw_only=True)
class Fruit:
    ctx: typer.Context
    colour: Annotated[str, typer.Option("--colour")]
    weight: Annotated[int, typer.Option("--weight", min=1, rich_help_panel="Scales")] = 3
    ripe: Annotated[bool, typer.Option("--ripe")] = False


RESULTS = []


def run(command, *args):
    app = typer.Typer()
    app.command()(flat(command))
    RESULTS.clear()
    return CliRunner().invoke(app, list(args))


def whole(name: Annotated[str, typer.Argument()], *, fruit: Fruit, loud: bool = False) -> None:
    """Take a fruit."""
    RESULTS.append((name, fruit.colour, fruit.weight, fruit.ripe, loud, fruit.ctx.info_name))


def part(*, fruit: Annotated[Fruit, without("ctx", "colour", "ripe")]) -> None:
    RESULTS.append(fruit)


@dataclass(frozen=True)
class Size:
    height: Annotated[int, typer.Option("--height")] = 1
    width: Annotated[int, typer.Option("--width")] = 2


def narrow(*, size: Annotated[Size, only("width")]) -> None:
    RESULTS.append(size)


def test_the_fields_of_a_record_are_options_and_come_back_as_the_record():
    done = run(whole, "apple", "--colour", "red", "--ripe")
    assert done.exit_code == 0, done.output
    assert RESULTS[0][:5] == ("apple", "red", 3, True, False)
    assert RESULTS[0][5] == "whole"  # typer's context is a field like another


def test_a_field_without_a_default_must_be_given():
    assert run(whole, "apple").exit_code == 2
    assert run(whole, "apple", "--colour", "red", "--weight", "0").exit_code == 2


def test_a_command_has_the_fields_of_its_subset_and_the_others_their_defaults():
    assert run(narrow, "--width", "5").exit_code == 0
    assert [Size(height=1, width=5)] == RESULTS
    assert run(narrow, "--height", "5").exit_code == 2


def test_help_keeps_the_docstring_and_the_panels():
    shown = run(whole, "--help").output
    assert "Take a fruit." in shown
    assert "Scales" in shown


def test_a_field_without_a_default_cannot_be_left_out():
    with pytest.raises(TypeError, match="ctx"):
        raise run(part).exception


def test_no_option_is_declared_twice():
    calls = Counter()
    for path in CLI.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("Option", "Argument"):
                calls[ast.unparse(node).replace("typer.", "")] += 1
    assert len(calls) > 50
    assert [call for call, count in calls.items() if count > 1] == []


def test_a_command_has_at_most_fifteen_parameters():
    for path in (CLI / "commands").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and any(ast.unparse(one) == "flat" for one in node.decorator_list):
                assert len([*node.args.args, *node.args.kwonlyargs]) <= 15, path.name
