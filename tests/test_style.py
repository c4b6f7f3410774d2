"""The code reads as the linters want it to, and speaks one language: the words of identifiers and docstrings."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "stitchkit"
DATA = {"anchors"}  # folders of data, not rooms

INSTEAD = {  # as a whole name of a function, class, parameter, field or variable -> the word to use
    "told": "summary, describe",
    "account": "summary, record",
    "accounts": "summaries, records",
    "voice": "console",
    "asked": "request, options",
    "found": "result, or the noun of it",
    "seen": "result, or the noun of it",
    "made": "result, or the noun of it",
    "desk": "cache",
    "shelf": "cache",
    "mark": "hash, digest",
    "marks": "hashes, digests",
    "bench": "data, inputs",
    "met": "aligned pairs",
    "turn": "rotation, fold, round",
    "turns": "rotations, folds, rounds",
    "blind": "rotation-equivariant",
    "blind_to_turns": "rotation_equivariant",
    "took": "rounding",
    "left_out": "held_out, excluded",
    "worked": "computed, or the noun of it",
    "ran": "result, run",
    "given": "value, or the noun of it",
    "said": "description, text, or the noun of it",
    "backbone": "encoder",
    "embedder": "encoder",
    "latent": "space",
    "latents": "embeddings",
    "src": "source",
    "tgt": "target",
    "correspondence": "anchor",
    "correspondences": "anchors",
    "aligner": "solver",
    "stitcher": "stitch",
    "decoder": "head",
    "hparams": "recipe",
    "pred": "scores",
    "preds": "scores",
}  # ``part`` stays: it is the English noun for a piece of a text or an array, and no name of a fold here
WORDS = """
accompanied added agreed applied arrived asked assembled assigned balanced binned bounded built calibrated called
captioned centred changed checked chosen collapsed collected compared completed composed converted corrected counted
damaged debiased decided decoded denied derived described divided drawn driven embedded encoded escaped evaluated
exchanged explained fetched filled fitted fixed folded formatted found frozen given grouped halved hashed held
identified jittered joined judged kept keyed known launched left licensed linked listed loaded locked lowered made
mapped marked masked matched measured mentioned merged met mirrored missed moved named narrowed needed normalised
numbered opened ordered packed padded paired parsed passed permuted picked placed pooled predicted prepared printed
projected prompted raised ran ranked reached recorded reduced refitted refused registered renamed repeated reported
resampled resolved rewritten rooted said sampled scaled scored searched seen separated settled shared shipped shown
signed sorted spelled squared standardised stated stitched stopped stored swept taken tempered told tried turned typed
unchecked uncovered undefined unescaped unlinked unpacked unseen unstated unused used validated weighed whitened
worded worked written
"""
PARTICIPLES = frozenset(WORDS.split())  # of a function (a property apart) or class: say the verb, or the noun
OPENINGS = {"What", "How", "Whether", "Where", "Which"}  # of docstrings
MOST_OPENINGS = 20  # in the whole package
CLAUSES = "|".join(sorted(OPENINGS | {"Of", "By", "That"}))  # of parameters: a noun phrase says more
NOT_RENAMED = {  # rooms and files digested by kept simulations, which a renamed variable would make stale
    "metrics",
    "evaluation/anchors/shortcuts.py",
    "evaluation/retrieval/curve_intervals.py",
    "evaluation/retrieval/learning_curve.py",
    "evaluation/retrieval/measured_curves.py",
    "evaluation/retrieval/power_law.py",
    "evaluation/scores/metadata_shortcuts.py",
}
WORD_OF_ITS_OWN = {  # (file, name) -> why it stays
    ("core/embeddings.py", "left_out"): "a public field: items that were left out, not held out",
    ("core/roles.py", "Encoded"): "the name of a role",
    ("datasets/layouts/assembling.py", "left_out"): "a key of the card: items that were left out, not held out",
    ("datasets/layouts/published.py", "left_out"): "the same",
    ("datasets/embeddable_items.py", "left_out"): "the same",
    ("datasets/embeddable_items.py", "_LEFT_OUT"): "the same",
    ("core/embeddings.py", "joined"): "the same rows and those of another, as str.join",
    ("core/wording.py", "counted"): "called in files that kept simulations digest",
}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)


def test_ruff_finds_nothing():
    done = run("ruff", "check", ".")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_code_is_formatted():
    done = run("ruff", "format", "--check", ".")
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_finds_nothing():
    done = run("mypy")
    assert done.returncode == 0, done.stdout + done.stderr


def files_of(package: Path) -> dict[str, Path]:
    """The files of a package by their place in it."""
    places = {path.relative_to(package): path for path in sorted(package.rglob("*.py"))}
    return {place.as_posix(): path for place, path in places.items() if place.parts[0] not in DATA}


@cache
def trees(package: Path) -> dict[str, ast.Module]:
    """What stands in the files of a package, by their place in it."""
    return {place: ast.parse(path.read_text("utf-8")) for place, path in files_of(package).items()}


def room_of(place: str) -> str:
    return place.split("/")[0]


def is_property(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and any("property" in ast.unparse(one) for one in node.decorator_list)


def odd_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of every definition, parameter and variable that is a word of another dialect."""
    for node in ast.walk(tree):
        name, words = "", set(INSTEAD)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = node.name
            words |= set() if is_property(node) else PARTICIPLES
        elif isinstance(node, ast.arg):
            name = node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        if name.strip("_").lower() in words:
            yield node.lineno, name


def odd_openings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and first line of every docstring that begins with a question's word."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = (ast.get_docstring(node) or "").strip()
            if text and text.split()[0].strip(",.:") in OPENINGS:
                yield getattr(node, "lineno", 1), text.splitlines()[0]


@cache
def odd_names_of(package: Path) -> dict[str, list[str]]:
    """``file:line name`` of every odd name, by room."""
    rooms: dict[str, list[str]] = {}
    for place, tree in trees(package).items():
        if room_of(place) in NOT_RENAMED or place in NOT_RENAMED:
            continue
        names = [(line, name) for line, name in odd_names(tree) if (place, name) not in WORD_OF_ITS_OWN]
        rooms.setdefault(room_of(place), []).extend(f"{place}:{line} {name}" for line, name in names)
    return rooms


def odd_openings_of(package: Path) -> dict[str, list[str]]:
    rooms: dict[str, list[str]] = {}
    for place, tree in trees(package).items():
        rooms.setdefault(room_of(place), []).extend(f"{place}:{line} {text}" for line, text in odd_openings(tree))
    return rooms


def test_parameter_docs_are_noun_phrases():
    clause = re.compile(rf"^([\w, *]+(?: : [^\n]+)?)\n    ({CLAUSES})\b", re.MULTILINE)
    odd = [
        f"{place}:{node.lineno} {match[1]}"
        for place, tree in trees(PACKAGE).items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        for match in clause.finditer(ast.get_docstring(node) or "")
    ]
    assert odd == []


@pytest.mark.parametrize("room", sorted({room_of(place) for place in files_of(PACKAGE)}))
def test_names_are_words_of_the_glossary(room):
    odd = odd_names_of(PACKAGE).get(room, [])
    assert odd == [], "\n".join(odd)


def test_few_docstrings_begin_with_a_question():
    odd = [line for lines in odd_openings_of(PACKAGE).values() for line in lines]
    assert len(odd) <= MOST_OPENINGS, "\n".join(odd)


def test_the_glossary_sees_what_it_forbids(tmp_path):
    (tmp_path / "room").mkdir()
    text = (
        '"""Whether it is seen."""\n'
        "class Told:\n    bench: int\n"
        "def _asked(found, kept):\n    mark = kept\n    for seen in mark:\n        pass\n"
        "def squared(x):\n    return [one.left_out for one in x]\n"
        "class Result:\n    @property\n    def squared(self):\n        return 1\n"
    )
    (tmp_path / "room" / "file.py").write_text(text)
    names = [line.split()[1] for line in odd_names_of(tmp_path)["room"]]
    assert sorted(names) == ["Told", "_asked", "bench", "found", "mark", "seen", "squared"]
    assert odd_openings_of(tmp_path)["room"] == ["room/file.py:1 Whether it is seen."]
