"""A cache of embeddings that survives being killed: what was embedded once is never embedded again.

One folder (a shelf) per space and precision holds ``vectors.bin`` (raw rows), ``keys.bin`` (16-byte hashes of the
items' content, so that no file name or text is kept) and ``manifest.jsonl``. An append (a shard) writes rows and
keys, flushes them to disk, and only then adds a manifest line with its row range and both CRC-32s. Rows without a
line are a killed run's and are cut off at the next opening; a shard with a wrong CRC-32 is dropped and said.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from stitchkit.core.errors import InputError
from stitchkit.core.space import Space

try:
    import fcntl
except ImportError:  # Windows has no flock: there, two processes must not write one shelf at the same time
    fcntl = None  # type: ignore[assignment]

KEY_BYTES = 16
_LAYOUT = "1"  # part of every shelf's name: raise it when the files or the hashing of items change
_DTYPES = ("float16", "float32")


def default_root() -> Path:
    """``$STITCHKIT_CACHE``, or ``~/.cache/stitchkit``."""
    named = os.environ.get("STITCHKIT_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "stitchkit"


@dataclass(frozen=True)
class EmbeddingStore:
    """Shelves of embeddings under one folder.

    Parameters
    ----------
    root
        Default: ``$STITCHKIT_CACHE`` or ``~/.cache/stitchkit``. Deleting it loses nothing but time.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     shelf = EmbeddingStore(Path(folder)).open(Space("demo", 2, "f1"))
    ...     shelf.append(np.array([b"a" * 16]), np.array([[1.0, 2.0]]))
    ...     rows = shelf.find(np.array([b"b" * 16, b"a" * 16]))
    ...     print(rows, shelf.read(rows[1:]))
    [-1  0] [[1. 2.]]
    """

    root: Path | None = None

    def open(self, space: Space, dtype: str = "float32") -> Shelf:
        """The shelf of one space and precision, made if it is new.

        Raises
        ------
        InputError
            For a space without fingerprint, whose vectors nothing could tell from another encoder's, or a
            precision other than float16 and float32.
        OSError
            If the folder cannot be written.
        """
        if space.fingerprint is None:
            raise InputError(
                f"space {space.name!r} has no fingerprint, so its vectors cannot be kept. Pass store=None."
            )
        if dtype not in _DTYPES:
            raise InputError(f"the store keeps float16 or float32; got {dtype!r}. Choose one of them.")
        # name and fingerprint go through a hash: both are the encoder's own words and may hold any character
        name = hashlib.blake2b(f"{_LAYOUT}\0{space.fingerprint}\0{space.dim}".encode(), digest_size=12).hexdigest()
        folder = (self.root or default_root()) / "embeddings" / f"{name}-{dtype}"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        about = {"space": space.name, "dim": space.dim, "fingerprint": space.fingerprint, "dtype": dtype}
        if not (folder / "space.json").exists():
            (folder / "space.json").write_text(json.dumps(about, indent=2) + "\n", "utf-8")
        return Shelf(folder, space.dim, dtype)


@dataclass(frozen=True, slots=True)
class _Shard:
    """One append: its row range and the CRC-32 of its piece of both files."""

    start: int
    rows: int
    vectors: int
    keys: int

    @property
    def place(self) -> slice:
        return slice(self.start, self.start + self.rows)


class Shelf:
    """The stored vectors of one space in one precision; made by :meth:`EmbeddingStore.open`.

    Several processes may append to one shelf; each finds what the others had finished when it opened it or last
    appended to it. Row numbers never change.
    """

    def __init__(self, folder: Path, dim: int, dtype: str) -> None:
        self.folder, self.dim, self.dtype = folder, dim, np.dtype(dtype)
        self._shards: list[_Shard] = []
        self._end = 0  # first row after the last shard, dropped ones included
        self._size = -1  # bytes of the manifest that was read
        self._index: tuple[np.ndarray, np.ndarray] | None = None  # sorted keys and their rows
        self._sound: set[int] = set()  # starts of the shards whose vectors were checked
        with self._locked():
            self._refresh()
            for name, width in (("vectors.bin", self._row_bytes), ("keys.bin", KEY_BYTES)):
                path = self.folder / name
                if path.exists() and path.stat().st_size > self._end * width:
                    os.truncate(path, self._end * width)  # rows of a run that was killed before its manifest line

    def __len__(self) -> int:
        """Number of stored rows."""
        return sum(shard.rows for shard in self._shards)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Row number (n,) of each key of ``keys`` (n,), -1 where there is none.

        The vectors of every shard that is hit are checked against their CRC-32 the first time.
        """
        rows = self._look_up(keys)
        hit = np.unique(np.searchsorted([shard.start for shard in self._shards], rows[rows >= 0], side="right") - 1)
        broken = [shard for shard in (self._shards[int(i)] for i in hit) if not self._check(shard)]
        if broken:
            self._drop(broken)
            rows = self._look_up(keys)
        return rows

    def read(self, rows: np.ndarray) -> np.ndarray:
        """The vectors (k, d) at row numbers ``rows`` (k,) that :meth:`find` gave."""
        if not len(rows):
            return np.empty((0, self.dim), self.dtype)
        return np.asarray(self._stored()[rows])

    def append(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        """Store ``vectors`` (n, d) under ``keys`` (n,): when this returns, they are on disk.

        Raises
        ------
        InputError
            If the shapes disagree.
        OSError
            If the disk is full or read-only; what was stored before stays.
        """
        if vectors.shape != (len(keys), self.dim):
            raise InputError(f"a shelf of width {self.dim} got vectors {vectors.shape} under {len(keys)} keys.")
        if not len(keys):
            return
        values, names = vectors.astype(self.dtype).tobytes(), keys.astype(f"S{KEY_BYTES}").tobytes()
        with self._locked():
            self._refresh()
            shard = _Shard(self._end, len(keys), zlib.crc32(values), zlib.crc32(names))
            _put(self.folder / "vectors.bin", shard.start * self._row_bytes, values)
            _put(self.folder / "keys.bin", shard.start * KEY_BYTES, names)
            self._note(asdict(shard))
        self._shards.append(shard)
        self._end = shard.place.stop
        self._sound.add(shard.start)
        self._index = None

    @property
    def _row_bytes(self) -> int:
        return self.dim * self.dtype.itemsize

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among the processes that use this shelf."""
        with (self.folder / "lock").open("a") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)  # ends when the file is closed or the process dies
            yield

    def _refresh(self) -> None:
        """Read the manifest again if it has changed; only under the lock."""
        path = self.folder / "manifest.jsonl"
        text = path.read_bytes() if path.exists() and path.stat().st_size != self._size else None
        if text is None:
            return
        whole = text[: text.rfind(b"\n") + 1]
        if whole != text:
            os.truncate(path, len(whole))  # a line that a killed run did not finish
        lines = [_entry(line) for line in whole.splitlines()]
        gone = {line["drop"] for line in lines if "drop" in line}
        shards = [_Shard(**line) for line in lines if "start" in line]
        self._end = max((shard.place.stop for shard in shards), default=0)
        self._shards = sorted((shard for shard in shards if shard.start not in gone), key=lambda shard: shard.start)
        self._size, self._index = len(whole), None

    def _note(self, entry: dict[str, int]) -> None:
        line = json.dumps(entry).encode() + b"\n"
        _put(self.folder / "manifest.jsonl", max(self._size, 0), line)
        self._size = max(self._size, 0) + len(line)

    def _look_up(self, keys: np.ndarray) -> np.ndarray:
        known, places = self._index or self._indexed()
        if not len(known):
            return np.full(len(keys), -1, np.int64)
        found = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[found] == keys, places[found], -1)

    def _indexed(self) -> tuple[np.ndarray, np.ndarray]:
        """Sorted keys and their rows; shards whose keys are damaged are dropped here."""
        path = self.folder / "keys.bin"
        stored = np.fromfile(path, dtype=f"S{KEY_BYTES}") if path.exists() else np.empty(0, f"S{KEY_BYTES}")
        broken = [shard for shard in self._shards if zlib.crc32(stored[shard.place].tobytes()) != shard.keys]
        if broken:
            self._drop(broken)
            return self._indexed()
        rows = np.concatenate([np.arange(0), *(np.arange(shard.start, shard.place.stop) for shard in self._shards)])
        keys = stored[rows]
        order = np.argsort(keys)
        self._index = keys[order], rows[order]
        return self._index

    def _check(self, shard: _Shard) -> bool:
        """Whether the vectors of ``shard`` are what was written."""
        if shard.start not in self._sound and zlib.crc32(self._stored()[shard.place].tobytes()) == shard.vectors:
            self._sound.add(shard.start)
        return shard.start in self._sound

    def _stored(self) -> np.ndarray:
        """All rows on disk (m, d), memory-mapped."""
        path = self.folder / "vectors.bin"
        if not path.exists() or path.stat().st_size < self._row_bytes:
            return np.empty((0, self.dim), self.dtype)
        whole = path.stat().st_size // self._row_bytes
        return np.memmap(path, self.dtype, mode="r", shape=(whole, self.dim))

    def _drop(self, broken: list[_Shard]) -> None:
        """Forget shards for good, and say so."""
        rows = sum(shard.rows for shard in broken)
        warnings.warn(
            f"{rows} stored rows in {self.folder} are damaged (checksum) and were dropped; they are embedded again.",
            stacklevel=4,
        )
        with self._locked():
            self._refresh()
            for shard in broken:
                self._note({"drop": shard.start})
        self._shards = [shard for shard in self._shards if shard not in broken]
        self._index = None


def _entry(line: bytes) -> dict[str, int]:
    """One manifest line; a damaged one is empty, and its rows are not found."""
    with contextlib.suppress(ValueError):
        entry = json.loads(line)
        if isinstance(entry, dict) and set(entry) in ({"drop"}, {"start", "rows", "vectors", "keys"}):
            return entry
    return {}


def _put(path: Path, offset: int, content: bytes) -> None:
    """Write at a place of our own, not at the end: behind it may lie what a killed run left."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.seek(offset)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
