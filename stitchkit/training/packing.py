"""Decoded images in one file, so that no epoch decodes them again."""

from __future__ import annotations

import contextvars
import hashlib
import os
import platform
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stitchkit.core.items import Items
from stitchkit.datasets.grey_levels import one_warning
from stitchkit.datasets.image_files import file_and_choice
from stitchkit.datasets.images import read_image
from stitchkit.encoders.shared.encoder import ImageBatch
from stitchkit.runtime.progress import Progress
from stitchkit.storage.atomic_writes import write_text
from stitchkit.storage.digests import block_digests_of_file, sha256_of_file
from stitchkit.storage.file_errors import naming

AT_ONCE = 64  # images that are decoded together
_DRAFT = ".draft"
_HOST = re.sub(r"\W", "-", platform.node()) or "host"
_READING = 2  # changes with the way images are read, so that no run trains on pixels as they were read before


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """Decoded images.

    Parameters
    ----------
    pixels
        (n, wide, wide, channels) uint8, mapped from a file.
    digest
        SHA-256 of the digests of all blocks of the file.
    """

    pixels: np.ndarray
    digest: str


def pack_images(images: Items, reading: ImageBatch, folder: Path, bar: Progress) -> Pack:
    """Decode images into one file of ``folder``, or map the file that is there.

    The images of patients lie in that file, so only its owner may read the folder. SHA-256 digests lie beside it; a
    file that does not agree with them, or has none, is made again. Drafts of processes that were stopped are removed.

    Raises
    ------
    DataError
        Naming the image that cannot be read; nothing is kept then.
    """
    shape = (len(images), reading.wide, reading.wide, len(reading.mean))
    path = folder / f"{digest_of_files(images, shape)}.npy"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    _remove_old_drafts(folder)
    if not _is_sound(path):
        draft = path.with_name(f".{path.stem}.{_HOST}.{os.getpid()}{_DRAFT}")
        try:
            with naming(path, draft):
                _pack(images, reading, shape, draft, bar)
                write_text(_digests_of(path), "\n".join(block_digests_of_file(draft)))
                draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return Pack(np.load(path, mmap_mode="r"), sha256_of_file(_digests_of(path)))


def _digests_of(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _is_sound(path: Path) -> bool:
    """True if the file is there and every block of it has the digest on record."""
    recorded = _digests_of(path)
    if not (path.is_file() and recorded.is_file()):
        return False
    return block_digests_of_file(path) == recorded.read_text("latin-1").split()


def _remove_old_drafts(folder: Path) -> None:
    """Remove drafts of processes of this machine that have ended; the folder may be shared with other machines."""
    for draft in folder.glob(f".*.{_HOST}.*{_DRAFT}"):
        owner = draft.name.removesuffix(_DRAFT).rpartition(".")[2]
        if owner.isdigit() and not _is_running(int(owner)):
            draft.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name == "nt":  # where that call would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's, or no number of a process
        return True
    return True


def _pack(images: Items, reading: ImageBatch, shape: tuple[int, ...], path: Path, bar: Progress) -> None:
    def pixels_of(value: object) -> np.ndarray:
        return reading.pixels(_image(value), shape[1])

    bar.begin("decoding images", len(images))
    opener = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(opener, "wb") as file, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool, one_warning():
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for start in range(0, len(images), AT_ONCE):
            values = images.values[start : start + AT_ONCE]
            # threads judge grey levels towards the one warning of the context that they run in
            tasks = [pool.submit(contextvars.copy_context().run, pixels_of, value) for value in values]
            for task in tasks:
                file.write(np.ascontiguousarray(task.result()).tobytes())
            bar.step(len(values))
        file.flush()
        os.fsync(file.fileno())


def _image(value: object) -> object:
    return read_image(value) if isinstance(value, str | Path) else value


def digest_of_files(images: Items, shape: tuple[int, ...] = ()) -> str:
    """Digest of ids, paths, sizes and times of images, or of their pixels, with the shape that they are read in."""
    digest = hashlib.sha256(repr((_READING, *shape)).encode())
    for name, value in zip(images.ids.tolist(), images.values, strict=True):
        if isinstance(value, str | Path):
            facts = file_and_choice(value)[0].stat()
            digest.update(f"{name}\0{value}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
        else:
            digest.update(name.encode() + np.asarray(value).tobytes())
    return digest.hexdigest()[:24]
