"""Errors of writing: every writer names its file, and the command line tells a full disk from a fault of its own."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from stitchkit.cli.errors import INTERNAL, MISTAKE, describe_error
from stitchkit.cli.paths import write_text
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError
from stitchkit.core.scores import Scores
from stitchkit.core.space import Space
from stitchkit.storage.atomic_writes import replace_file
from stitchkit.storage.embedding_cache import EmbeddingStore
from stitchkit.storage.embeddings import write_embeddings
from stitchkit.storage.file_errors import code_in, free_bytes, naming, write_error_in
from stitchkit.storage.folders import refresh_folder, write_folder
from stitchkit.storage.scores import write_scores

SPACE = Space("demo", 2, "f1")


def write_shelf(folder: Path) -> None:
    EmbeddingStore(folder).open(SPACE).append(np.array([b"a" * 16]), np.ones((1, 2), np.float32))


def write_pack(folder: Path) -> None:
    from stitchkit.core.items import Items
    from stitchkit.encoders.shared.encoder import ImageBatch
    from stitchkit.runtime.progress import Progress
    from stitchkit.training.packing import pack_images

    image = Image.new("L", (8, 8), 9)
    pack_images(Items(["a"], [image], "image"), ImageBatch(8, 8, (0.5,), (0.5,)), folder, Progress(False))


def write_run_log(folder: Path) -> None:
    from stitchkit.training.run_log import RunLog

    log = object.__new__(RunLog)
    log.path, log.curves = folder / "log.jsonl", None
    log.add({"step": 1})
    log.sync()


def write_cell(folder: Path) -> None:
    from stitchkit.studies.cells import CellLog

    CellLog(folder).keep("a", {"a": np.ones(3)})


WRITERS = {
    "file": lambda folder: replace_file(folder / "a.bin", b"abc"),
    "artefact": lambda folder: write_folder(folder / "model", {"a": 1}, {"w": np.ones(3)}, "card"),
    "refreshed artefact": lambda folder: refresh_folder(folder / "model", {"a": 1}, {"w": np.ones(3)}, "card"),
    "embeddings": lambda folder: write_embeddings(folder / "e.safetensors", Embeddings(np.ones((1, 2)), ["a"], SPACE)),
    "scores": lambda folder: write_scores(folder / "s.csv", Scores(np.ones((1, 1)), "logit", ["a"], ("A",))),
    "text": lambda folder: write_text(folder / "a.json", "{}"),
    "shelf": write_shelf,
    "packed images": write_pack,
    "run log": write_run_log,
    "study": write_cell,
}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_writer_names_its_file_when_the_disk_refuses(tmp_path, monkeypatch, writer, code):
    def refuse(handle):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=12345))
    with pytest.raises(OSError) as caught:
        WRITERS[writer](tmp_path)
    assert caught.value.errno == code
    assert Path(caught.value.filename).is_relative_to(tmp_path)
    assert not Path(caught.value.filename).name.endswith(".tmp")
    exit_code, message = describe_error(caught.value)
    assert exit_code == MISTAKE
    assert caught.value.filename in message
    assert os.strerror(code) in message
    if code in (errno.ENOSPC, errno.EDQUOT):
        assert f"12345 bytes are free where {caught.value.filename} is written" in caught.value.__notes__[0]
        assert "12345 bytes free there" in message
    assert "internal" not in message


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
import numpy as np
from pathlib import Path
from stitchkit.cli.errors import run
sys.path.insert(0, sys.argv[1])
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.space import Space
from stitchkit.storage.embedding_cache import EmbeddingStore
from stitchkit.storage.embeddings import write_embeddings
from stitchkit.storage.folders import write_folder
folder, large = Path(sys.argv[2]), np.ones((400, 2), np.float32)
keys, space = np.arange(400).astype("S16"), Space("d", 2, "f")
writers = {
    "embeddings": lambda: write_embeddings(folder / "e.safetensors", Embeddings(large, keys.astype(str), space)),
    "artefact": lambda: write_folder(folder / "model", {"a": 1}, {"w": large}, "card"),
    "shelf": lambda: EmbeddingStore(folder).open(space).append(keys, large),
}
sys.exit(run(writers[sys.argv[3]], []))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes")
@pytest.mark.parametrize("writer", ["embeddings", "artefact", "shelf"])
def test_a_file_that_may_not_grow_is_told_with_path_and_free_bytes(tmp_path, writer):
    words = [sys.executable, "-c", LIMITED, str(Path(__file__).parent), str(tmp_path), writer]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == MISTAKE, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {tmp_path}")
    assert os.strerror(errno.EFBIG) in last
    assert "bytes free there" in last
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_that_cannot_be_printed_ends_with_one_line(tmp_path):
    words = "import sys; from stitchkit.cli.errors import run; sys.exit(run(lambda: print('x' * 10), []))"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", words], stdout=full, stderr=subprocess.PIPE, text=True,
                              cwd=tmp_path, check=False, timeout=120)  # fmt: skip
    assert done.returncode == MISTAKE
    assert len(done.stderr.splitlines()) == 1
    assert "No space left on device" in done.stderr
    assert f"bytes free in {tmp_path}" in done.stderr


def wrapped(cause: BaseException, text: str = "while writing") -> RuntimeError:
    try:
        raise RuntimeError(text) from cause
    except RuntimeError as error:
        return error


def safetensors_error() -> Exception:
    from safetensors import SafetensorError

    return SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64: No space left on device"),
        safetensors_error(),
        wrapped(OSError(errno.ENOSPC, "No space left on device")),
        wrapped(wrapped(OSError(errno.EDQUOT, "Disk quota exceeded"))),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("Disk quota exceeded"),
    ],
    ids=repr,
)
def test_a_full_disk_in_other_words_is_no_internal_error(error):
    code, message = describe_error(error)
    assert code == MISTAKE
    assert "bytes free" in message
    assert "The fault is in stitchkit" not in message


def test_other_errors_stay_what_they_are():
    assert describe_error(RuntimeError("mat1 and mat2"))[0] == INTERNAL
    assert describe_error(wrapped(PermissionError(errno.EACCES, "Permission denied")))[0] == INTERNAL
    assert write_error_in(wrapped(io.UnsupportedOperation("read"))) is None
    assert describe_error(DataError("No space left on device"))[1] == "error: No space left on device"
    assert describe_error(FileNotFoundError(2, "No such file or directory", "x.csv"))[1] == (
        "error: x.csv: No such file or directory."
    )


def test_naming_keeps_names_and_turns_a_librarys_words_into_an_os_error(tmp_path):
    with pytest.raises(OSError, match=r"other\.bin") as caught, naming(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "full", "other.bin")
    assert caught.value.filename == "other.bin"
    with pytest.raises(OSError, match=r"'.*a'") as caught, naming(tmp_path / "a"):
        raise RuntimeError("PytorchStreamWriter failed: No space left on device")
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(RuntimeError, match="shapes"), naming(tmp_path / "a"):
        raise RuntimeError("shapes differ")
    with pytest.raises(DataError), naming(tmp_path / "a"):
        raise DataError("bad")
    with pytest.raises(OSError, match="timed out") as caught, naming(tmp_path / "a"):
        raise OSError("timed out")
    assert caught.value.filename is None


def test_free_bytes_are_those_of_the_nearest_folder(tmp_path):
    assert free_bytes(tmp_path / "not" / "there.bin") > 0
    assert code_in(ValueError("Read-only file system (os error 30)")) == errno.EROFS
