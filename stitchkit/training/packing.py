"""Decoded images in one file, so that no epoch decodes them again."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from stitchkit.core.items import Items
from stitchkit.datasets.images import read_image
from stitchkit.encoders.shared import ImageBatch
from stitchkit.progress import Progress

AT_ONCE = 64  # images that are decoded together


def packed(images: Items, reading: ImageBatch, folder: Path, bar: Progress) -> np.ndarray:
    """Decoded images (n, wide, wide, channels) uint8 in one file of ``folder``, made the first time.

    Raises
    ------
    DataError
        Naming the image that cannot be read; nothing is kept then.
    """
    shape = (len(images), reading.wide, reading.wide, len(reading.mean))
    path = folder / f"{_mark(images, shape)}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.stem}.{os.getpid()}.tmp")
        try:
            _pack(images, reading, shape, draft, bar)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    found: np.ndarray = np.load(path, mmap_mode="r")
    return found


def _pack(images: Items, reading: ImageBatch, shape: tuple[int, ...], path: Path, bar: Progress) -> None:
    bar.begin("decoding images", len(images))
    with path.open("wb") as file, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for start in range(0, len(images), AT_ONCE):
            values = images.values[start : start + AT_ONCE]
            for pixels in pool.map(lambda value: reading.pixels(_opened(value), shape[1]), values):
                file.write(np.ascontiguousarray(pixels).tobytes())
            bar.step(len(values))
        file.flush()
        os.fsync(file.fileno())


def _opened(value: object) -> object:
    return read_image(value) if isinstance(value, str | Path) else value


def _mark(images: Items, form: tuple[int, ...]) -> str:
    whole = hashlib.sha256(repr(form).encode())
    for name, value in zip(images.ids.tolist(), images.values, strict=True):
        if isinstance(value, str | Path):
            facts = Path(value).stat()
            whole.update(f"{name}\0{value}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
        else:
            whole.update(name.encode() + np.asarray(value).tobytes())
    return whole.hexdigest()[:24]
