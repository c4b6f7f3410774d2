"""Commands over changed files: a command ends with a message of its own, never with "internal error"."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from mutations import Change, Target, change_arrays, change_bytes, change_config
from PIL import Image
from typer.testing import CliRunner

import stitchkit as sk
from stitchkit.cli.errors import INTERNAL
from stitchkit.cli.main import app
from stitchkit.core.anchor_hashes import hashes_of
from stitchkit.core.space import Space
from stitchkit.storage.scores import write_scores

FEW = 4  # examples of a target that runs whole commands
_ROWS = 24
_RNG = np.random.default_rng(0)
_X = _RNG.normal(size=(_ROWS, 5))
_Y = _X @ _RNG.normal(size=(5, 4)) + 0.1 * _RNG.normal(size=(_ROWS, 4))
_IDS = np.asarray([f"films/{i}.png" for i in range(_ROWS)])
_PATIENTS = [f"{i // 2:03d}" for i in range(_ROWS)]
_SCORES = _RNG.normal(size=(_ROWS, 2))


def run(*commands: str) -> Callable[[Path], object]:
    """Commands with ``{}`` for the folder; one that ends in an internal error fails the test."""

    def read(folder: Path) -> object:
        ends = []
        for command in commands:
            done = CliRunner().invoke(app, command.replace("{}", str(folder)).split())
            assert done.exit_code != INTERNAL, f"{command}: {done.stderr}"
            assert done.exception is None or isinstance(done.exception, SystemExit), f"{command}: {done.exception!r}"
            ends.append(done.exit_code)
        return ends

    return read


def _table(folder: Path) -> None:
    """Pairs, labels and metadata in one table."""
    (folder / "films").mkdir()
    lines = ["id,path,text,patient,Edema,Mass,finding,age"]
    for i, name in enumerate(_IDS):
        picture = np.random.default_rng(i).integers(0, 256, (6, 6)).astype(np.uint8)
        Image.fromarray(picture).save(folder / name)
        words = f'{name},{name},"Edema {i}, no mass.",{_PATIENTS[i]},{i % 2},{i // 6 % 2},'
        lines.append(words + f"{['Edema', 'Mass'][i % 2]},{50 + i}")
    (folder / "t.csv").write_text("\n".join(lines) + "\n", "utf-8")


def _judged(folder: Path) -> None:
    """Labels, and scores of the first and of the other half of the items."""
    _table(folder)
    for name, rows in (("s.csv", slice(0, 12)), ("c.csv", slice(12, None))):
        write_scores(folder / name, sk.Scores(_SCORES[rows], "logit", _IDS[rows], ("Edema", "Mass")))


def _embeddings(folder: Path, rows: slice) -> None:
    for name, vectors, space in (("x", _X, Space("s", 5, "f")), ("y", _Y, Space("t", 4, "g"))):
        sk.write_embeddings(folder / f"{name}.safetensors", sk.Embeddings(vectors[rows], _IDS[rows], space))


def _gated(folder: Path) -> None:
    """An alignment that knows its anchors, and embeddings of other pairs."""
    _embeddings(folder, slice(0, 14))
    pairs = [sk.read_embeddings(folder / f"{name}.safetensors") for name in "xy"]
    alignment = sk.align(*pairs, groups=_PATIENTS[:14], solver=sk.Ridge(), progress=False)
    known = {"anchor_set": {"table": "t.csv", "sha256": "0" * 64, "n": 14, "groups": 7},
             "anchor_marks": dict(hashes_of(_IDS[:14], _PATIENTS[:14]))}  # fmt: skip
    sk.save(alignment, folder / "m", extra=known)
    _embeddings(folder, slice(14, None))


_SETTINGS: tuple[Change, ...] = (change_bytes, change_config, change_config, change_config)
_TABLE: tuple[Change, ...] = (change_bytes,)

COMMANDS = {
    "evaluate": Target(
        _judged,
        run(
            "evaluate {}/s.csv --labels {}/t.csv --calibrate {}/c.csv --metadata age --min-positives 2 --replicates 10"
        ),
        {"*.csv": _TABLE},
        FEW,
    ),
    "gate": Target(
        _gated,
        run("gate {}/m --source {}/x.safetensors --target {}/y.safetensors --min-mrr 0.1"),
        {"config.json": _SETTINGS, "*.safetensors": (change_arrays,)},
        FEW,
    ),
    "info": Target(
        _gated,
        run("info {}/m", "info {}/x.safetensors"),
        {"config.json": _SETTINGS, "*.safetensors": (change_arrays, change_bytes)},
        FEW,
    ),
    "anchors": Target(
        _table,
        run(
            "anchors check {}/t.csv --labels {}/t.csv --metadata age --min-positives 2 --folds 2",
            "anchors card {}/t.csv --out {}/card.json",
            "anchors select {}/t.csv -n 5 --method random --out {}/chosen.csv --overwrite",
        ),
        {"t.csv": _TABLE},
        FEW,
    ),
}
