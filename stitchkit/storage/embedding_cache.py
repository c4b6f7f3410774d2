"""A cache of embeddings that survives being killed: what was embedded once is never embedded again.

One folder per space and precision holds ``vectors.bin`` (raw rows), ``keys.bin`` (16-byte hashes of the
items' content, so that no file name or text is kept) and ``manifest.jsonl``. An append (a shard) writes rows and
keys, flushes them to disk, and only then adds a manifest line with its row range and both CRC-32s. Rows without a
line are a killed run's and are cut off at the next opening; a shard with a wrong CRC-32 is dropped and said. Writers
that share a folder append one after the other, and a key that is there already is not stored again.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import json
import os
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from stitchkit.core.errors import InputError
from stitchkit.core.space import Space
from stitchkit.core.strict_json import parse_json
from stitchkit.core.wording import counted, setting
from stitchkit.storage.atomic_writes import exclusive_lock, write_text
from stitchkit.storage.file_errors import naming
from stitchkit.storage.path_checks import checked_file

KEY_BYTES = 16
_LAYOUT = "1"  # part of the name of every folder: raise it when the files or the hashing of items change
_DTYPES = ("float16", "float32")


def default_root() -> Path:
    """``$STITCHKIT_CACHE``, or ``~/.cache/stitchkit``."""
    named = os.environ.get("STITCHKIT_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "stitchkit"


@dataclass(frozen=True)
class EmbeddingStore:
    """Caches of embeddings under one folder.

    Parameters
    ----------
    root
        Folder of the caches. Default: ``$STITCHKIT_CACHE`` or ``~/.cache/stitchkit``. Deleting it loses only time.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = EmbeddingStore(Path(folder)).open(Space("demo", 2, "f1"))
    ...     cache.append(np.array([b"a" * 16]), np.array([[1.0, 2.0]]))
    ...     rows = cache.find(np.array([b"b" * 16, b"a" * 16]))
    ...     print(rows, cache.read(rows[1:]))
    [-1  0] [[1. 2.]]
    """

    root: Path | None = None

    def open(self, space: Space, dtype: str = "float32") -> SpaceCache:
        """The cache of one space and precision, made if it is new.

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
                f"space {space.name!r} has no fingerprint, so its vectors cannot be kept. Pass "
                + setting("store", None)
                + "."
            )
        if dtype not in _DTYPES:
            raise InputError(f"the store keeps float16 or float32; got {dtype!r}. Choose one of them.")
        # name and fingerprint go through a hash: both are the encoder's own words and may hold any character
        name = hashlib.blake2b(f"{_LAYOUT}\0{space.fingerprint}\0{space.dim}".encode(), digest_size=12).hexdigest()
        folder = (self.root or default_root()) / "embeddings" / f"{name}-{dtype}"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        about = {"space": space.name, "dim": space.dim, "fingerprint": space.fingerprint, "dtype": dtype}
        if not (folder / "space.json").exists():
            write_text(folder / "space.json", json.dumps(about, indent=2) + "\n")
        return SpaceCache(folder, space.dim, dtype)


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


@dataclass(frozen=True, slots=True)
class _Manifest:
    """The shards that a manifest lists."""

    shards: tuple[_Shard, ...] = ()  # by their start; no two overlap
    lost: tuple[_Shard, ...] = ()  # those that reach beyond the end of a file
    end: int = 0  # first row after the last shard, dropped ones included


class SpaceCache:
    """The stored vectors of one space in one precision; made by :meth:`EmbeddingStore.open`.

    Several processes may append to one cache; each finds what the others had finished when it opened it or last
    appended to it. Row numbers never change.
    """

    def __init__(self, folder: Path, dim: int, dtype: str) -> None:
        self.folder, self.dim, self.dtype = folder, dim, np.dtype(dtype)
        self._lock, self._depth = threading.RLock(), 0
        self._manifest = _Manifest()
        self._size = -1  # bytes of the manifest that was read
        self._keys, self._rows = _no_keys(), np.empty(0, np.int64)  # the index: sorted keys and their rows
        self._indexed: frozenset[_Shard] = frozenset()
        self._sound: set[_Shard] = set()  # those whose vectors were checked
        with self._exclusive():
            self._refresh()
            for path, width in self._files():
                if path.exists() and path.stat().st_size > self._manifest.end * width:
                    os.truncate(path, self._manifest.end * width)  # of a run that was killed before its manifest line

    def __len__(self) -> int:
        """Number of stored rows."""
        return sum(shard.rows for shard in self._manifest.shards)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Row number (n,) of each key of ``keys`` (n,), -1 where there is none.

        The vectors of every shard that is hit are checked against their CRC-32 the first time.

        Warns
        -----
        UserWarning
            If stored rows are damaged; they are dropped.
        """
        self._drop(self._manifest.lost)
        rows = self._look_up(keys)
        shards = self._manifest.shards
        hit = np.unique(np.searchsorted([shard.start for shard in shards], rows[rows >= 0], side="right") - 1)
        broken = [shard for shard in (shards[int(i)] for i in hit) if not self._check(shard)]
        if broken:
            self._drop(broken)
            rows = self._look_up(keys)
        return rows

    def read(self, rows: np.ndarray) -> np.ndarray:
        """The vectors (k, d) at row numbers ``rows`` (k,) that :meth:`find` gave."""
        if not len(rows):
            return np.empty((0, self.dim), self.dtype)
        return np.asarray(self._rows_on_disk()[rows])

    def append(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        """Store ``vectors`` (n, d) under ``keys`` (n,): when this returns, they are on disk.

        A key that is stored already, by this process or by another one, keeps the vector it has.

        Raises
        ------
        InputError
            If the shapes disagree.
        OSError
            If the disk is full or read-only; what was stored before stays.
        """
        if vectors.shape != (len(keys), self.dim):
            raise InputError(f"a cache of width {self.dim} got vectors {vectors.shape} under {len(keys)} keys.")
        if not len(keys):
            return
        with self._exclusive():
            self._refresh()
            new = np.sort(np.unique(keys, return_index=True)[1])
            new = new[self.find(keys[new]) < 0]
            if len(new):
                self._add(keys[new].astype(f"S{KEY_BYTES}").tobytes(), vectors[new].astype(self.dtype).tobytes())

    def _add(self, names: bytes, values: bytes) -> None:
        """Write one shard; only under the lock."""
        end = self._manifest.end
        shard = _Shard(end, len(names) // KEY_BYTES, zlib.crc32(values), zlib.crc32(names))
        _put(self.folder / "vectors.bin", end * self._row_bytes, values)
        _put(self.folder / "keys.bin", end * KEY_BYTES, names)
        self._note(asdict(shard))
        self._manifest = _Manifest((*self._manifest.shards, shard), self._manifest.lost, shard.place.stop)
        self._sound.add(shard)

    @property
    def _row_bytes(self) -> int:
        return self.dim * self.dtype.itemsize

    def _files(self) -> tuple[tuple[Path, int], tuple[Path, int]]:
        """Both files of rows, and the bytes of a row in each."""
        return (self.folder / "vectors.bin", self._row_bytes), (self.folder / "keys.bin", KEY_BYTES)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Alone among the threads and processes that use this cache; may be entered again inside."""
        with self._lock, contextlib.ExitStack() as stack:
            if not self._depth:
                for name in ("lock", "manifest.jsonl", "vectors.bin", "keys.bin"):
                    checked_file(self.folder / name, "a file of the store")
                (self.folder / "lock").open("a").close()
                stack.enter_context(exclusive_lock(self.folder / "lock"))
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1

    def _refresh(self) -> None:
        """Read the manifest again if it has changed; only under the lock."""
        path = self.folder / "manifest.jsonl"
        text = path.read_bytes() if path.exists() and path.stat().st_size != self._size else None
        if text is None:
            return
        whole = text[: text.rfind(b"\n") + 1]
        if whole != text:
            os.truncate(path, len(whole))  # a line that a killed run did not finish
        on_disk = min(path.stat().st_size // width if path.exists() else 0 for path, width in self._files())
        self._manifest, self._size = _read_manifest(whole, on_disk), len(whole)

    def _note(self, entry: dict[str, int]) -> None:
        line = json.dumps(entry).encode() + b"\n"
        _put(self.folder / "manifest.jsonl", max(self._size, 0), line)
        self._size = max(self._size, 0) + len(line)

    def _look_up(self, keys: np.ndarray) -> np.ndarray:
        self._update_index()
        if not len(self._keys):
            return np.full(len(keys), -1, np.int64)
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[places] == keys, self._rows[places], -1)

    def _update_index(self) -> None:
        """Take new shards into the index; those whose keys are damaged are dropped here."""
        if not self._indexed <= frozenset(self._manifest.shards):  # a shard was dropped
            self._keys, self._rows, self._indexed = _no_keys(), np.empty(0, np.int64), frozenset()
        new = [shard for shard in self._manifest.shards if shard not in self._indexed]
        stored = {shard: self._keys_of(shard) for shard in new}
        broken = [shard for shard, keys in stored.items() if zlib.crc32(keys.tobytes()) != shard.keys]
        if broken:
            self._drop(broken)
            self._update_index()
            return
        if not new:
            return
        keys = np.concatenate(list(stored.values()))
        rows = np.concatenate([np.arange(shard.start, shard.place.stop) for shard in new])
        order = np.argsort(keys)
        places = np.searchsorted(self._keys, keys[order])  # merging takes far less than sorting all keys again
        self._keys = np.insert(self._keys, places, keys[order])
        self._rows = np.insert(self._rows, places, rows[order])
        self._indexed = frozenset(self._manifest.shards)

    def _keys_of(self, shard: _Shard) -> np.ndarray:
        """The keys of ``shard`` on disk; fewer than its rows if the file lost its end."""
        path = self.folder / "keys.bin"
        if not path.exists():
            return _no_keys()
        return np.fromfile(path, f"S{KEY_BYTES}", count=shard.rows, offset=shard.start * KEY_BYTES)

    def _check(self, shard: _Shard) -> bool:
        """True if the vectors of ``shard`` are those that were written."""
        if shard not in self._sound and zlib.crc32(self._rows_on_disk()[shard.place].tobytes()) == shard.vectors:
            self._sound.add(shard)
        return shard in self._sound

    def _rows_on_disk(self) -> np.ndarray:
        """All rows on disk (m, d), memory-mapped."""
        path = self.folder / "vectors.bin"
        if not path.exists() or path.stat().st_size < self._row_bytes:
            return np.empty((0, self.dim), self.dtype)
        whole = path.stat().st_size // self._row_bytes
        return np.memmap(path, self.dtype, mode="r", shape=(whole, self.dim))

    def _drop(self, broken: Sequence[_Shard]) -> None:
        """Forget damaged shards, with a warning."""
        if not broken:
            return
        rows = sum(shard.rows for shard in broken)
        with self._exclusive():
            self._refresh()
            for shard in broken:
                if shard in self._manifest.shards or shard in self._manifest.lost:  # else another process was first
                    self._note({"drop": shard.start})
            self._manifest = _Manifest(
                tuple(shard for shard in self._manifest.shards if shard not in broken),
                tuple(shard for shard in self._manifest.lost if shard not in broken),
                self._manifest.end,
            )
        warnings.warn(
            f"{counted(rows, 'stored row')} in {self.folder} {'is' if rows == 1 else 'are'} damaged (checksum) "
            f"and dropped, and embedded again.",
            stacklevel=4,
        )


def _read_manifest(text: bytes, on_disk: int) -> _Manifest:
    """The shards of a manifest's lines, of which ``on_disk`` rows are there; damaged lines are passed over."""
    shards: list[_Shard] = []
    lost: list[_Shard] = []
    end = 0
    for entry in map(_entry, text.splitlines()):
        if "drop" in entry:
            shards, lost = ([one for one in some if one.start != entry["drop"]] for some in (shards, lost))
        elif entry:
            shard = _Shard(**entry)
            if shard.place.stop > on_disk:
                lost.append(shard)
            elif not _overlaps(shards, shard):
                bisect.insort(shards, shard, key=lambda one: one.start)
                end = max(end, shard.place.stop)
    # one that overlaps sound shards was never written by an append: no line may drop it together with them
    return _Manifest(tuple(shards), tuple(one for one in lost if not _overlaps(shards, one)), end)


def _overlaps(shards: list[_Shard], new: _Shard) -> bool:
    """True if ``new`` has a row of one of ``shards``, which are sorted by their start."""
    after = bisect.bisect_right(shards, new.start, key=lambda one: one.start)
    before = after > 0 and shards[after - 1].place.stop > new.start
    return before or (after < len(shards) and shards[after].start < new.place.stop)


def _entry(line: bytes) -> dict[str, int]:
    """One manifest line; a damaged one is empty, and its rows are not found."""
    with contextlib.suppress(ValueError):
        entry = parse_json(line)
        if isinstance(entry, dict) and all(type(value) is int and value >= 0 for value in entry.values()):
            if set(entry) == {"drop"}:
                return entry
            if set(entry) == {"start", "rows", "vectors", "keys"} and entry["rows"] >= 1:
                return entry
    return {}


def _no_keys() -> np.ndarray:
    return np.empty(0, f"S{KEY_BYTES}")


def _put(path: Path, offset: int, content: bytes) -> None:
    """Write at a given place and not at the end, behind which a killed run may have left rows."""
    with naming(path), path.open("r+b" if path.exists() else "w+b") as file:
        file.seek(offset)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
