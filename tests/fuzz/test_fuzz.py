"""Changed files: a reader returns or raises a StitchError, with no warning but the package's own."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz_targets import TARGETS
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from mutations import Target

from stitchkit.core.errors import StitchError

AT_ONCE = 500  # of each seed with a time budget
ROOM = 3 * 2**30  # bytes of address space that a reader may take beyond what the process has


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """A reader that allocates by a damaged number fails instead of filling the machine."""
    if sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def contents_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def restore(folder: Path, sound: dict[Path, bytes]) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path not in sound:
            path.unlink()
    for path, content in sound.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read_without_a_raw_error(target: Target, folder: Path) -> None:
    """Raise where the reader raises anything but a StitchError, or warns in another category than its own."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with contextlib.suppress(StitchError):
            target.read(folder)
    assert {one.category for one in said} <= {UserWarning}, [str(one.message) for one in said]


def change_and_read(name: str, folder: Path, number: int, examples: int) -> None:
    """``examples`` changes of the files of a target, drawn with the seed ``number``."""
    target = TARGETS[name]
    target.make(folder)
    sound = contents_of(folder)
    files = [
        (path.relative_to(folder).as_posix(), change)
        for pattern, changes in target.changes.items()
        for path in sound
        if path.match(pattern)
        for change in changes
    ]
    assert files
    target.read(folder)  # what is sound is read

    @seed(number)
    @settings(max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def changed_files_are_read_or_refused(data: st.DataObject) -> None:
        restore(folder, sound)
        file, change = data.draw(st.sampled_from(files))
        change(data.draw, folder, file)
        read_without_a_raw_error(target, folder)

    changed_files_are_read_or_refused()


@pytest.mark.parametrize("name", TARGETS)
def test_a_changed_file_is_read_or_refused(name, tmp_path):
    change_and_read(name, tmp_path, 0, TARGETS[name].examples)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", TARGETS)
def test_changed_files_for_as_long_as_there_is_time(name, tmp_path, request):
    """``make fuzz``: every target gets an equal share of --fuzz-seconds; a failure names the seed."""
    end = time.monotonic() + request.config.getoption("--fuzz-seconds") / len(TARGETS)
    number = request.config.getoption("--fuzz-seed")
    while time.monotonic() < end:
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            change_and_read(name, folder, number, AT_ONCE)
        except Exception as error:
            error.add_note(f"{name}: --fuzz-seed {number}")
            raise
        number += 1
