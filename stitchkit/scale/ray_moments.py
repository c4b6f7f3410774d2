"""Moments over Ray: one task a part, each reads its own rows, and only d x d sums come back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any

from stitchkit.core.errors import DataError, InputError, MissingExtraError, StitchError
from stitchkit.core.moments.chunks import CHUNK
from stitchkit.core.moments.moments import Moments, total


def moments_over_ray(
    parts: Iterable[Any], read: Callable[[Any], Any], *, precision: str = "exact", chunk: int = CHUNK
) -> Moments:
    """The moments of all parts' pairs together; parts are read by Ray's workers and merged in their order.

    A Ray that is running (``ray.init(address=...)``) is used; otherwise Ray starts one on this machine. Twice as many
    tasks as the cluster has CPUs are under way at a time.

    Parameters
    ----------
    parts
        Parts of the rows, one a call of ``read``: paths, row ranges, object references, shards of a Ray dataset.
    read
        Runs on the worker: ``read(part)`` gives ``(x, y)``, ``(x, y, weights)``, an iterator of such tuples, or None
        (or an iterator that ends at once) for a part without rows. For the shards of ``dataset.split(k)`` it is
        ``lambda shard: ((b["x"], b["y"]) for b in shard.iter_batches(batch_format="numpy", batch_size=8192))``.
    precision, chunk
        As for :meth:`~stitchkit.core.moments.moments.Moments.of`.

    Raises
    ------
    MissingExtraError
        Without Ray.
    InputError
        If no part has rows, or for what a part holds, naming the part (counted from 0).
    DataError
        If ``read`` raises, or a worker dies, naming the part.
    """
    ray = _ray()
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    task = ray.remote(_of_part)
    width = 2 * max(int(ray.cluster_resources().get("CPU", 1)), 1)
    calls = (task.remote(i, part, read, precision, chunk) for i, part in enumerate(parts))
    some = (one for one in _in_order(ray, calls, width) if one is not None)
    first = next(some, None)
    if first is None:
        raise InputError("none of the parts has rows. Check what read() gives.")
    return total(chain([first], some))


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        step = "Install it: pip install 'stitchkit[ray]'."
        raise MissingExtraError(f"Ray cannot be imported: {error}. {step}") from error
    return ray


def _in_order(ray: Any, calls: Iterator[Any], width: int) -> Iterator[Moments | None]:
    """Results in the order of ``calls``, of which ``width`` are under way."""
    waiting, part = deque(islice(calls, width)), 0
    while waiting:
        try:
            moments = ray.get(waiting.popleft())
        except StitchError as error:
            raise getattr(error, "cause", error) from None  # Ray wraps it in the worker's traceback
        except ray.exceptions.RayError as error:  # what read() raised, or a worker that died
            cause = getattr(error, "cause", None) or error
            raise DataError(
                f"part {part} could not be read on its worker: {type(cause).__name__}: {cause}. Try read() on that "
                f"part alone."
            ) from error
        part += 1
        waiting.extend(islice(calls, 1))
        yield moments


def _of_part(i: int, part: Any, read: Callable[[Any], Any], precision: str, chunk: int) -> Moments | None:
    rows = read(part)
    stream = iter(() if rows is None else [rows] if isinstance(rows, tuple) else rows)
    first = next(stream, None)
    if first is None:
        return None
    try:
        return Moments.of_chunks(chain([first], stream), precision=precision, chunk=chunk)
    except StitchError as error:
        raise type(error)(f"part {i}: " + error.message) from error
