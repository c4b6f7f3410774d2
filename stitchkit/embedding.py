"""An encoder over items: decoded lazily, batched, found again in the store, resumable after a kill."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.core.items import Items
from stitchkit.core.roles import Encoder
from stitchkit.core.space import Space
from stitchkit.core.wording import counted, setting
from stitchkit.datasets.content_keys import as_keys, content_key
from stitchkit.datasets.embeddable_items import (
    Failures,
    as_unchecked_items,
    check_left_out,
    left_out_path,
    write_left_out,
)
from stitchkit.datasets.grey_levels import one_warning
from stitchkit.datasets.images import read_image
from stitchkit.runtime.progress import Progress
from stitchkit.storage.embedding_cache import EmbeddingStore, SpaceCache
from stitchkit.storage.file_errors import free_bytes

_DTYPES = ("float32", "float16")
_ON_ERROR = ("raise", "skip")
_SHARD_BATCHES = 16  # a shard costs two flushes to disk, some 10 ms; a kill costs what is not yet in one
_SHARD_SECONDS = 10.0


def embed(
    encoder: Encoder,
    items: Items | str | Path | Sequence[Any],
    *,
    batch_size: int = 32,
    store: EmbeddingStore | str | Path | None = "auto",
    dtype: str = "float32",
    progress: bool | None = None,
    out: str | Path | None = None,
    on_error: str = "raise",
) -> Embeddings:
    """Vectors of items, in their order.

    Equal items are encoded once. With a store, what was encoded before by an encoder of the same fingerprint is
    read back, and new vectors are put away in shards as the work goes on, so that a killed run resumes. Images are
    decoded while the batch before them is encoded, never all at once.

    Parameters
    ----------
    encoder
        Anything with ``space``, ``modality``, ``prepare`` and ``encode``.
    items
        n items: :class:`Items`; a folder of images, a CSV or a line file; a list of texts for a
        text encoder; a list of paths, PIL images or (h, w[, 3]) arrays for an image encoder. Texts, PIL images
        and arrays in a list get their row numbers as ids, paths themselves.
    batch_size
        Items a batch; halved by itself, with a warning, when memory runs out.
    store
        ``"auto"`` is the cache at ``$STITCHKIT_CACHE`` or ``~/.cache/stitchkit``; a folder; None for no store.
        An encoder without fingerprint is never stored.
    dtype
        ``"float32"`` or ``"float16"``: precision of the vectors, here and in the store.
    progress
        A bar on a terminal or in a notebook: None after two seconds, True at once, False never.
    out
        Also write the embeddings to this ``.safetensors`` file.
    on_error
        ``"raise"`` ends the work at the first damaged item. ``"skip"`` leaves damaged items out: files that cannot be
        read, empty texts, items that the encoder refuses and those whose vectors are unusable. They are in
        ``left_out`` of the result and, with ``out``, in a table beside it (:func:`left_out_path`).

    Returns
    -------
    Embeddings
        Vectors (n, d), numpy; of the sound items only with ``on_error="skip"``.

    Raises
    ------
    InputError
        Before any work: if there are no items, their modality is not the encoder's, one is empty, invisible or of a
        wrong type, the tokenizer knows no word of any text, or ``out`` or ``store`` cannot be written. After it: if a
        vector is NaN, infinite or all zeros, naming the item; sound vectors made before stay in the store.
    DataError
        If a file or an image cannot be read, naming it; with ``on_error="skip"`` if no item can be embedded.

    Warns
    -----
    UserWarning
        If items were left out, or texts are longer than the encoder reads, with their number and the first.
    """
    if on_error not in _ON_ERROR:
        raise UnknownNameError.of("way to treat damaged items", str(on_error), _ON_ERROR)
    if dtype not in _DTYPES:
        raise UnknownNameError.of("precision of embeddings", str(dtype), _DTYPES)
    if batch_size < 1:
        raise InputError("a batch holds at least one item; got " + setting("batch_size", batch_size) + ".")
    target: Path | None = None
    if out is not None:  # not imported where vectors stay in memory
        from stitchkit.storage.embeddings import check_embeddings_path, write_embeddings

        target = check_embeddings_path(out)
    skip = on_error == "skip"
    if skip and target is not None:
        check_left_out(left_out_path(target))
    whole = as_unchecked_items(items, encoder.modality)
    failures = Failures(skip, whole.ids)
    usable = failures.sound(whole)
    cache = _cache_of(store, encoder.space, dtype)
    with one_warning(), Progress(progress) as bar, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        usable, keys = _content_keys(usable, cache is not None, pool, bar, failures)
        first, which = _distinct(keys)
        if encoder.modality == "text":
            from stitchkit.encoders.unknown_texts import check_vocabulary, warn_of_cut_texts

            check_vocabulary(encoder, usable, first, which)
            warn_of_cut_texts(encoder, usable, first, which)
        vectors = np.empty((len(first), encoder.space.dim), dtype)
        work = _Work(usable, first, keys[first], vectors, cache, failures)
        _encode_all(encoder, work, work.recall(), batch_size, pool, bar)
    rows = failures.spread(usable.ids, first, which)
    failures.summarize()
    whole_set = len(first) == len(rows) == len(usable)
    done = Embeddings(
        vectors if whole_set else vectors[which[rows]], usable.ids[rows], encoder.space, failures.excluded()
    )
    if target is not None:
        write_embeddings(target, done)
    if target is not None and (skip or left_out_path(target).exists()):  # one of an earlier run would not be true
        check_left_out(left_out_path(target))
        write_left_out(left_out_path(target), done.left_out)
    return done


class _EncoderError(InputError):
    """A fault of the encoder or its device, which no other item would mend."""


@dataclass
class _Work:
    """The distinct items, their vectors as they come in, and what is not yet stored."""

    items: Items
    first: np.ndarray  # (m,) row of each distinct item
    keys: np.ndarray  # (m,)
    vectors: np.ndarray  # (m, d)
    cache: SpaceCache | None
    failures: Failures

    def __post_init__(self) -> None:
        self._pending: list[int] = []
        self._stored_at = time.monotonic()

    def value(self, place: int) -> Any:
        return self.items.values[int(self.first[place])]

    def name(self, place: int) -> str:
        return str(self.items.ids[int(self.first[place])])

    def recall(self) -> np.ndarray:
        """Read what the cache holds; the places (k,) that are left to encode."""
        if self.cache is None:
            return np.arange(len(self.first))
        rows = self.cache.find(self.keys)
        known = np.flatnonzero(rows >= 0)
        for start in range(0, len(known), 1 << 16):
            piece = known[start : start + (1 << 16)]
            self.vectors[piece] = self.cache.read(rows[piece])
        return np.flatnonzero(rows < 0)

    def keep(self, places: np.ndarray, shard: int) -> None:
        """Put vectors away once there are ``shard`` of them, or some time has passed."""
        self._pending.extend(places.tolist())
        if len(self._pending) >= shard or time.monotonic() - self._stored_at > _SHARD_SECONDS:
            self.flush()

    def flush(self) -> None:
        places, self._pending = np.asarray(self._pending, dtype=np.int64), []
        self._stored_at = time.monotonic()
        if self.cache is None:
            return
        try:
            self.cache.append(self.keys[places], self.vectors[places])
        except OSError as error:  # a full disk must not end a run whose vectors are safe in memory
            free = free_bytes(self.cache.folder)
            warnings.warn(
                f"embeddings are no longer stored in {self.cache.folder}: {error}; {free} bytes are free there.",
                stacklevel=2,
            )
            self.cache = None


def _encode_all(
    encoder: Encoder, work: _Work, todo: np.ndarray, batch_size: int, pool: ThreadPoolExecutor, bar: Progress
) -> None:
    """Fill ``work.vectors`` at the places ``todo`` (k,)."""
    if encoder.modality == "text":  # little padding, and what needs most memory comes first
        todo = todo[np.argsort([-len(work.value(place)) for place in todo], kind="stable")]
    run = _Run(encoder, batch_size)
    bar.begin(f"embedding with {encoder.space.name}", len(work.first), len(work.first) - len(todo))
    try:
        for arrived, batch in _batches(work, todo, batch_size, pool):
            places, vectors = _vectors(run, work, arrived, batch)
            with np.errstate(over="ignore"):  # said below, by name
                work.vectors[places] = vectors
            sound = np.isfinite(work.vectors[places]).all(axis=1) & work.vectors[places].any(axis=1)
            work.keep(places[sound], _SHARD_BATCHES * batch_size)
            for bad in np.flatnonzero(~sound).tolist():
                place = int(places[bad])
                work.failures.add(
                    work.name(place), _unusable(work.name(place), vectors[bad], encoder, work.vectors.dtype)
                )
            bar.step(len(places))
    finally:
        work.flush()


def _vectors(run: _Run, work: _Work, places: np.ndarray, batch: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The places (k,) whose items the encoder takes, and their vectors (k, d)."""
    kept: list[int] = []
    parts = [np.empty((0, run.encoder.space.dim), np.float32)]
    try:
        if batch:
            return places, run.vectors(batch)
    except _EncoderError:
        raise
    except (DataError, InputError):
        if not work.failures.skip:
            raise
    for place, item in zip(places.tolist(), batch, strict=True):  # one of them is refused: each by itself
        try:
            parts.append(run.vectors([item]))
            kept.append(place)
        except _EncoderError:
            raise
        except (DataError, InputError) as error:
            work.failures.add(work.name(place), error)
    return np.asarray(kept, dtype=np.int64), np.concatenate(parts)


def _batches(
    work: _Work, todo: np.ndarray, size: int, pool: ThreadPoolExecutor
) -> Iterator[tuple[np.ndarray, list[Any]]]:
    """Places and decoded items, batch by batch; while one is encoded the next one is being decoded."""
    pieces = [todo[start : start + size] for start in range(0, len(todo), size)]
    if work.items.modality == "text":
        for places in pieces:
            yield places, [work.value(place) for place in places]
        return
    ahead: list[Future[Any]] = []
    for i in range(len(pieces) + 1):
        coming = [pool.submit(_decode, work.value(place)) for place in pieces[i]] if i < len(pieces) else []
        if i > 0:
            yield _wait_for(work, pieces[i - 1], ahead)
        ahead = coming


def _wait_for(work: _Work, places: np.ndarray, tasks: list[Future[Any]]) -> tuple[np.ndarray, list[Any]]:
    """The places (k,) whose items could be decoded, and the decoded items."""
    kept, values = [], []
    for place, task in zip(places.tolist(), tasks, strict=True):
        try:
            values.append(task.result())
            kept.append(place)
        except DataError as error:
            work.failures.add(work.name(place), error)
    return np.asarray(kept, dtype=np.int64), values


def _decode(value: Any) -> Any:
    return read_image(value) if isinstance(value, str | Path) else value


@dataclass
class _Run:
    """An encoder with the largest batch it has shown to bear."""

    encoder: Encoder
    limit: int

    def vectors(self, items: list[Any]) -> np.ndarray:
        """Vectors (b, d) of decoded items; the limit is halved as often as memory runs out."""
        parts: list[np.ndarray] = []
        done = 0
        while done < len(items):
            part = self._attempt(items[done : done + self.limit])
            if part is None:
                self.limit = max(1, min(self.limit, len(items)) // 2)
                warnings.warn(
                    f"{self.encoder.space.name!r} ran out of memory; going on with batches of {self.limit}.",
                    stacklevel=2,
                )
                continue
            parts.append(part)
            done += len(part)
        return np.concatenate(parts)

    def _attempt(self, items: list[Any]) -> np.ndarray | None:
        """Vectors of one batch, or None if it was too large for the memory."""
        space = self.encoder.space
        try:
            vectors = to_numpy(self.encoder.encode(self.encoder.prepare(items)).pooled)
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
            if len(items) == 1:
                raise _EncoderError(
                    f"{space.name!r} ran out of memory on a single item. Free the device, or use another."
                ) from error
        else:
            if vectors.shape != (len(items), space.dim):
                raise _EncoderError(
                    f"{space.name!r} made vectors of shape {vectors.shape} from {counted(len(items), 'item')}; "
                    f"its space says "
                    f"({len(items)}, {space.dim}). Correct the encoder's pooling or its space."
                )
            return vectors
        # here the error is gone, and with it the frames that held the batch on the device
        if torch := sys.modules.get("torch"):
            torch.cuda.empty_cache()
        return None


def _out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def _unusable(name: str, vector: np.ndarray, encoder: Encoder, dtype: np.dtype) -> InputError:
    if np.isfinite(vector).all() and vector.any():
        fault: str = f"does not fit into {dtype}. Pass " + setting("dtype", "float32")
    elif np.isfinite(vector).all():
        fault = "is all zeros, which has no direction. Is the item empty? Leave it out"
    else:
        fault = "holds NaN or infinity. Look at the item, or leave it out"
    return InputError(f"the vector that {encoder.space.name!r} made of item {name!r} " + fault + ".")


def _cache_of(store: EmbeddingStore | str | Path | None, space: Space, dtype: str) -> SpaceCache | None:
    """The cache to use; None without a store, and for an encoder without a fingerprint."""
    if store is None or space.fingerprint is None:
        return None
    named = EmbeddingStore(None if store == "auto" else Path(store)) if isinstance(store, str | Path) else store
    try:
        return named.open(space, dtype)
    except OSError as error:
        if store != "auto":
            raise InputError(
                f"the store {named.root} cannot be written: {error}. Name another, or pass "
                + setting("store", None)
                + "."
            ) from error
        # a read-only home folder is no reason not to embed
        warnings.warn(
            f"embeddings are not stored: {error}. Set STITCHKIT_CACHE, or pass " + setting("store", None) + ".",
            stacklevel=3,
        )
        return None


def _content_keys(
    items: Items, by_content: bool, pool: ThreadPoolExecutor, bar: Progress, failures: Failures
) -> tuple[Items, np.ndarray]:
    """Items that can be read, and their content keys (n,).

    Without a store files count as equal by name, which saves reading them.
    """

    def key(value: Any) -> bytes | DataError:
        named = not by_content and isinstance(value, str | Path)
        try:
            return content_key(value, "text" if named else items.modality)
        except DataError as error:
            return error

    if items.modality == "text":
        return items, as_keys([content_key(value, "text") for value in items.values])
    keys: list[bytes] = []
    bar.begin("looking at files", len(items))
    for start in range(0, len(items), 1024):  # in slices: a million futures at once would take a gigabyte
        some = slice(start, start + 1024)
        for name, result in zip(items.ids[some].tolist(), pool.map(key, items.values[some]), strict=True):
            if isinstance(result, bytes):
                keys.append(result)
            else:
                failures.add(name, result)
        bar.step(min(1024, len(items) - start))
    return failures.without_failed(items), as_keys(keys)


def _distinct(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row (m,) of each distinct key in order of appearance, and the place (n,) of every row's key among them."""
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return first[order], place[which.reshape(-1)]
