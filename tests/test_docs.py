"""What README, docs and docstrings say is true: code runs, commands and flags exist, links lead somewhere."""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import typer

import stitchkit

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMPILE_ONLY = "<!-- compile only"
WALKTHROUGH = "from-scans-to-scores.md"  # its code and commands run together in test_walkthrough.py


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its code, the line it starts on, and whether it needs what tests do not have."""

    language: str
    code: str
    line: int
    compile_only: bool


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path, language: str) -> list[Block]:
    text = page.read_text("utf-8")
    found = []
    for match in FENCE.finditer(text):
        before = text[: match.start()].rstrip("\n").rsplit("\n", 1)[-1]
        line = text.count("\n", 0, match.start()) + 2
        found.append(Block(match[1], match[2], line, before.startswith(COMPILE_ONLY)))
    return [block for block in found if block.language == language]


def prose_of(page: Path) -> str:
    return FENCE.sub("", page.read_text("utf-8"))


def every(language: str) -> list:
    return [
        pytest.param(page, block, id=f"{page_name(page)}:{block.line}")
        for page in PAGES
        for block in blocks_of(page, language)
    ]


# code


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks_of(page, "python") and page.name != WALKTHROUGH], ids=page_name
)
def test_the_code_on_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "docs"}
    for block in blocks_of(page, "python"):
        code = compile("\n" * (block.line - 1) + block.code, str(page), "exec")  # tracebacks show the page's own line
        if not block.compile_only:
            exec(code, names)


def test_pages_have_code_that_is_run():
    assert sum(not block.compile_only for page in PAGES for block in blocks_of(page, "python")) >= 5


@pytest.mark.parametrize(("page", "block"), every("toml"))
def test_toml_on_a_page_is_toml(page, block, tmp_path):
    found = tomllib.loads(block.code)
    if "classes" in found:
        (tmp_path / "mine.toml").write_text(block.code, "utf-8")
        assert stitchkit.read_prompts(tmp_path / "mine.toml").classes == tuple(found["classes"])


def test_every_block_says_its_language():
    bare = [f"{page_name(page)}:{block.line}" for page in PAGES for block in blocks_of(page, "")]
    assert bare == []


def modules_with_examples() -> Iterator[str]:
    package = Path(stitchkit.__file__).parent
    for path in sorted(package.rglob("*.py")):
        if ">>> " in path.read_text("utf-8"):
            parts = path.relative_to(package.parent).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("module", list(modules_with_examples()))
def test_the_examples_in_docstrings_are_true(module, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert tried > 0
    assert failed == 0, capsys.readouterr().out


# names


def test_public_names_on_the_pages_exist():
    for page in PAGES:
        for name in set(re.findall(r"\bsk\.([A-Za-z_]\w*)", page.read_text("utf-8"))):
            assert hasattr(stitchkit, name), f"{page_name(page)} names sk.{name}"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_to_files(page):
    for target in LINK.findall(page.read_text("utf-8")):
        if "://" not in target and not target.startswith("#"):
            assert (page.parent / target.split("#")[0]).exists(), f"{page_name(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_files_of_the_repository_that_a_page_names_exist(page):
    for span in SPAN.findall(prose_of(page)):
        if re.fullmatch(r"(anchors|docs|examples|stitchkit|tests)/[\w./*-]+", span):
            assert list(ROOT.glob(span.rstrip("/"))), f"{page_name(page)} names {span}"


def test_rooms_of_the_architecture_page_exist():
    rooms = {span for span in SPAN.findall(prose_of(ROOT / "docs" / "architecture.md"))
             if re.fullmatch(r"(?!tests/)\w+/(\w+\.py)?|\w+\.py", span)}  # fmt: skip
    absent = [room for room in sorted(rooms) if not list((ROOT / "stitchkit").rglob(room.rstrip("/")))]
    assert absent == []
    assert len(rooms) > 10


# the command line


@cache
def commands():
    """Every command of the console script by name."""
    from stitchkit.cli.main import app

    found = {"": typer.main.get_command(app)}
    for name, command in list(found[""].commands.items()):
        below = getattr(command, "commands", {})
        found |= {name: command, **{f"{name} {one}": inner for one, inner in below.items()}}
    return found


def shell_lines(text: str) -> Iterator[list[str]]:
    """The words of each command line, continuation lines joined, pipes and comments left out."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words:
            yield words


def stitchkit_lines() -> list:
    found = []
    for page in PAGES:
        text = [block.code for block in blocks_of(page, "console")]
        text += [span for span in SPAN.findall(prose_of(page)) if re.match(r"stitchkit [a-z-]", span)]
        lines = [words for part in text for words in shell_lines(part)]
        found += [pytest.param(words, id=f"{page_name(page)}: {' '.join(words)[:60]}")
                  for words in lines if Path(words[0]).name == "stitchkit"]  # fmt: skip
    return found


@pytest.mark.parametrize("words", stitchkit_lines())
def test_a_command_line_on_a_page_is_one_the_program_takes(words):
    """Parsed, with its flags and arguments, by the command itself; files need not be there."""
    known = commands()
    name = "" if words[1].startswith("-") else words[1]
    name = " ".join(words[1:3]) if " ".join(words[1:3]) in commands() else name
    assert name in known
    command = known[name]
    options = {flag: one for one in command.params for flag in (*one.opts, *one.secondary_opts)}
    rest = words[1 + len(name.split()) :]
    unknown = [word for word in rest if word.startswith("-") and word.split("=")[0] not in options]
    assert unknown == []
    if rest and name:
        _, _, order = command.make_parser(command.context_class(command)).parse_args(list(rest))
        given = {one.name for one in order}
        needed = {one.name for one in command.params if one.required}
        assert needed <= given


def test_flags_in_the_prose_exist_on_some_command():
    parameters = [one for command in commands().values() for one in command.params]
    flags = {flag for one in parameters for flag in (*one.opts, *one.secondary_opts)}
    for page in PAGES:
        for span in SPAN.findall(prose_of(page)):
            if not span.startswith(("make ", "pip ", "pytest ", "python -m benchmarks.")):
                for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", span):
                    assert flag in flags, f"{page_name(page)} names {flag}"


def test_targets_of_make_on_the_pages_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for page in PAGES:
        text = [block.code for block in blocks_of(page, "console")] + SPAN.findall(prose_of(page))
        named = {words[1] for part in text for words in shell_lines(part) if words[0] == "make" and len(words) > 1}
        assert named <= targets, page_name(page)


def test_prompt_sets_named_on_the_pages_are_shipped():
    from stitchkit.datasets.prompt_sets import prompt_set_names

    (line,) = re.findall(r"^Shipped sets: (.*?)\. ", (ROOT / "docs" / "zero-shot.md").read_text("utf-8"), re.M)
    assert sorted(SPAN.findall(line)) == sorted(prompt_set_names())


def test_encoder_families_of_the_encoders_page_are_those_there_are():
    from stitchkit.encoders import ENCODERS

    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "encoders.md").read_text("utf-8"), re.M)
    assert sorted(rows) == sorted(ENCODERS)
