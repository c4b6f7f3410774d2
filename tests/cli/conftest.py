"""A small world on disk: images, tables, prompts and tiny checkpoints, and a runner for command lines."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from stitchkit.cli.main import app

CLASSES = ("no finding", "effusion", "edema")
REPOSITORY = Path(__file__).parents[2]


def _tiny() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cli_tiny", REPOSITORY / "tests/encoders/tiny_encoders.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class World:
    """Where everything lies, and encoders by short names."""

    folder: Path
    builders: ModuleType

    @property
    def anchors(self) -> Path:
        return self.folder / "anchors" / "table.csv"

    @property
    def test(self) -> Path:
        """The folder of test images."""
        return self.folder / "test"

    @property
    def labels(self) -> Path:
        return self.folder / "labels.csv"

    @property
    def prompts(self) -> Path:
        return self.folder / "prompts.json"

    @property
    def vision(self) -> str:
        return f"timm:local-dir:{self.checkpoint('timm_vit')}"

    @property
    def medical(self) -> str:
        return f"hf:local-dir:{self.checkpoint('hf_vit')}"

    @property
    def text(self) -> str:
        return f"hf:local-dir:{self.checkpoint('hf_bert')}"

    @property
    def quick(self) -> str:
        """An image encoder that loads at once."""
        return f"python:{self.folder / 'mine.py'}:thumbnails"

    @property
    def quick_text(self) -> str:
        return f"python:{self.folder / 'mine.py'}:letters"

    @property
    def trusted(self) -> tuple[str, ...]:
        """Consent to the two quick encoders, for folders that name them."""
        return ("--trust-python", self.quick, "--trust-python", self.quick_text)

    def own(self, attribute: str) -> str:
        return f"python:{self.folder / 'mine.py'}:{attribute}"

    def checkpoint(self, builder: str) -> Path:
        path = self.folder / "checkpoints" / builder
        return path if path.exists() else self.builders.BUILDERS[builder](path)


ENCODERS = """
import os, signal
import numpy as np
from PIL import Image


def thumbnails(items):
    grey = [Image.fromarray(np.asarray(item)).convert("L").resize((4, 4)) for item in items]
    return np.stack([np.asarray(image).ravel() / 255 for image in grey])


def small(items):
    return thumbnails(items)[:, :5]


def letters(items):
    return [[text.count(letter) + 1 for letter in "aeilnor"] for text in items]


def broken(items):
    raise TypeError("the battery is empty")


def interrupted(items):
    raise KeyboardInterrupt


def signalled(items):
    os.kill(os.getpid(), signal.SIGINT)
    return thumbnails(items)


def chatty(items):
    print("a library that prints")
    return thumbnails(items)


letters.modality = "text"
for one in (thumbnails, small, broken, interrupted, signalled, chatty):
    one.dim = 5 if one is small else 16
"""


def _write_split(folder: Path, name: str, count: int, rng: np.random.Generator) -> list[list[Any]]:
    words = "heart large lung lungs clear no effusion seen left right".split()  # noqa: SIM905
    (folder / name).mkdir()
    rows = []
    for i in range(count):
        present = rng.integers(0, 2, len(CLASSES))
        picture = rng.integers(0, 200, (32, 32)) + 40 * int(present[1])
        Image.fromarray(picture.astype(np.uint8)).save(folder / name / f"{name}{i}.png")
        text = " ".join(rng.choice(words, 4)) + (" effusion" if present[1] else " clear")
        rows.append([f"{name}{i}.png", f"{name}{i}.png", text, f"{name}-{i // 2}", *present.tolist(), 40 + i % 7])
    return rows


def write_table(path: Path, header: list[str], rows: list[list[Any]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Forty anchors of twenty patients, thirty test images of fifteen others, labels of all of them."""
    folder, rng = tmp_path_factory.mktemp("world"), np.random.default_rng(0)
    both = [_write_split(folder, name, count, rng) for name, count in (("anchors", 40), ("test", 30))]
    write_table(folder / "anchors" / "table.csv", ["id", "path", "text", "patient"], [row[:4] for row in both[0]])
    labelled = [[row[0], *row[3:]] for rows in both for row in rows]
    write_table(folder / "labels.csv", ["id", "patient", *CLASSES, "age"], labelled)
    prompts = {
        "effusion": {"positive": ["effusion seen"], "negative": ["no effusion", "lungs clear"]},
        "edema": {"positive": ["heart large"], "negative": ["lungs are clear"]},
    }
    (folder / "prompts.json").write_text(json.dumps(prompts))
    (folder / "mine.py").write_text(ENCODERS)
    return World(folder, _tiny())


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="session")
def cli() -> Callable[..., Done]:
    """Runs a command line in this process."""

    def run(*args: Any) -> Done:
        result = CliRunner().invoke(app, [str(one) for one in args])
        return Done(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(scope="session")
def shell() -> Callable[..., Done]:
    """Runs a command line in a process of its own."""

    def run(*args: Any, **settings: Any) -> Done:
        env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "stitchkit", *map(str, args)]
        if os.name == "posix":  # a suite run in the background ignores Ctrl-C, and its children would inherit that
            settings["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, **settings)
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to load an encoder fails the test."""

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("an encoder was loaded")

    monkeypatch.setattr("stitchkit.encoders.load_encoder", refuse)


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """One torch thread: tiny models on busy cores are slower with more."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
