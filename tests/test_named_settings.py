"""Texts of the package name settings by ``setting``, so that the command line can name its options instead."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import stitchkit

ROOT = Path(stitchkit.__file__).parent
NAMED = re.compile(r"(?<![\w.#&-])([a-z_]\w*)=(?![=\"{])")  # setting=value, or setting=
BUILDERS = {"setting", "advice", "python_advice"}
NAME_OPTIONS = {"size", "layer", "modality", "pipeline", "pool", "prompt", "key", "resolution"}  # of encoders
EXCEPTIONS = {  # file -> words of its texts that are no settings of a function, or not to be told otherwise
    "alignment/align_many.py": {"kappa"},  # code: GCCA(kappa=0.1)
    "cli/evaluation.py": {"sensitivity"},  # what --threshold takes
    "cli/options.py": {"sensitivity"},
    "cli/commands/anchors/collect.py": {"uncertain"},  # what --set takes
    "core/moments/chunks.py": {"return_inverse"},  # code: np.unique(...)
    "datasets/phantoms/canvas.py": {"size"},  # an error of Python's own
    "datasets/rows.py": {"sep"},  # a line of a table
    "datasets/tables.py": {"frame"},  # behind the path of a DICOM file
    "encoders/folder_kinds.py": {"from_flax", "from_tf"},  # code of transformers 4
    # kept simulations are of this very code, which no command runs
    "evaluation/retrieval/learning_curve.py": {"draws", "groups", "held_out", "replicates"},
    "stitching.py": {"trust_python"},  # code in a model card
    "studies/jobs/zero_shot.py": {"modality"},  # of an encoder's name
}  # fmt: skip

BARE = {  # the same for names without a value
    "evaluation/retrieval/learning_curve.py": {"held_out"},  # digested, as above
    "storage/artefact_schemas.py": {"held_out"},  # a key of records
    "stitching.py": {"trust_python"},
    "studies/judges.py": {"min_positives"},  # a key of a study's file
}


def docstrings(tree: ast.Module) -> set[int]:
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    first = (node.body[0] for node in ast.walk(tree) if isinstance(node, owners) and node.body)
    return {id(one.value) for one in first if isinstance(one, ast.Expr)}


def texts(tree: ast.AST, skip: set[int]) -> Iterator[ast.Constant]:
    """Literal texts outside docstrings and outside what builds messages of settings."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BUILDERS:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skip:
            yield node
        yield from texts(node, skip)


def settings_in_prose(source: str) -> list[tuple[int, str]]:
    tree = ast.parse(source)
    return [(one.lineno, word) for one in texts(tree, docstrings(tree)) for word in NAMED.findall(one.value)]


def sources() -> dict[str, str]:
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sorted(ROOT.rglob("*.py"))}


def test_no_text_names_a_setting_in_plain_words():
    found: dict[str, set[str]] = {}
    for place, source in sources().items():
        for _, word in settings_in_prose(source):
            if not (place.startswith("encoders/") and word in NAME_OPTIONS):
                found.setdefault(place, set()).add(word)
    assert found == EXCEPTIONS


def test_no_text_names_a_setting_of_several_words_without_its_value():
    """``min_mrr`` cannot be an ordinary word; a setting of one word can, and is named by ``setting`` by hand."""
    trees = {place: ast.parse(source) for place, source in sources().items()}
    calls = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = {one.args[0].value for one in calls if isinstance(one.func, ast.Name) and one.func.id == "setting"}
    snakes = re.compile(rf"(?<![\w.:/-])({'|'.join(sorted(one for one in named if '_' in one))})(?![\w.:/])")
    found: dict[str, set[str]] = {}
    for place, tree in trees.items():
        for one in texts(tree, docstrings(tree)):
            if " " in one.value.strip() and (words := snakes.findall(one.value)):
                found.setdefault(place, set()).update(words)
    assert found == BARE


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise InputError(f'{path} exists. Pass overwrite=True.')", ["overwrite"]),
        ("notes.append('give groups=')", ["groups"]),
        ("raise InputError('Pass ' + setting('overwrite', True) + '.')", []),
        ("raise InputError('Pass ' + setting('held_out', text='held_out=(x, y)'))", []),
        ('"""Docstring of x=1."""', []),
        ("raise InputError(f'{a}={b} and #pool=cls')", []),
    ],
)
def test_the_reader_of_texts_sees_settings_in_prose(source, words):
    assert [word for _, word in settings_in_prose(source)] == words


def flattened(node: ast.AST) -> Iterator[ast.AST]:
    """Messages below a node: settings that are named there, and messages of errors; not those that are rendered."""
    name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
    if name in ("in_flags", "_in_flags"):
        return
    if name in BUILDERS or (isinstance(node, ast.Attribute) and node.attr == "message"):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from flattened(child)


def fragile(source: str) -> list[int]:
    """Lines of f-strings in which a message would lose its structure."""
    joined = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.JoinedStr)]
    return [node.lineno for node in joined if any(flattened(node))]


def test_no_f_string_flattens_a_message():
    flat = {path.name: lines for path in sorted(ROOT.rglob("*.py")) if (lines := fragile(path.read_text("utf-8")))}
    assert flat == {}
    assert fragile("f\"pass {setting('store', None)}\"") == [1]
    assert fragile("f'{path}: {error.message}'") == [1]
