"""Moments on disk: one safetensors file, exact to the last bit, with the spaces of both sides."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from stitchkit.core.arrays import to_numpy
from stitchkit.core.errors import DataError, InputError
from stitchkit.core.moments.moments import Moments
from stitchkit.core.space import Space
from stitchkit.core.strict_json import parse_json
from stitchkit.core.wording import setting
from stitchkit.storage.artefact_schemas import MomentsFields, check_fields, not_finite
from stitchkit.storage.atomic_writes import replace_file
from stitchkit.storage.folders import FORMAT, check_format
from stitchkit.storage.path_checks import checked_path
from stitchkit.storage.tensor_files import check_file_path, read_arrays, tensor_bytes

_KIND = "moments"
_ARRAYS = ("mean_s", "mean_t", "tail_s", "tail_t", "scatter_ss", "scatter_st", "scatter_tt")


def save_moments(moments: Moments, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write ``moments`` to one ``.safetensors`` file, whole or not at all.

    The file holds means and scatters in float64, and in its metadata count, weight, and name, width and fingerprint
    of both spaces: no row, id or text. It is what sites can share, a shard can leave behind, or a fit can start from.

    Parameters
    ----------
    path
        Ends in ``.safetensors``; its folder is made if need be.
    overwrite
        Replace earlier moments there.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If ``path`` has another ending, is a folder, is another kind of file, or holds moments and ``overwrite`` is not
        set, or if the moments are not finite.

    Examples
    --------
    >>> import tempfile
    >>> rows = np.random.default_rng(0).normal(size=(10, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     back = load_moments(save_moments(Moments.of(rows, rows), f"{folder}/site.safetensors"))
    >>> back.count, bool((back.scatter_st == Moments.of(rows, rows).scatter_st).all())
    (10, True)
    """
    path = check_file_path(path, _KIND)
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists. Choose another name, or pass " + setting("overwrite", True) + ".")
    arrays = {name: to_numpy(getattr(moments, name)).astype(np.float64) for name in _ARRAYS}
    if wrong := not_finite(arrays):
        raise InputError(f"{wrong} of these moments holds NaN or infinity. Build the moments again.")
    about = {"count": moments.count, "weight": moments.weight.hex()}
    about |= {"source": _plain(moments.source), "target": _plain(moments.target)}
    metadata = {"kind": _KIND, "format": str(FORMAT), "moments": json.dumps(about, ensure_ascii=False)}
    return replace_file(path, tensor_bytes(arrays, metadata))


def load_moments(path: str | Path) -> Moments:
    """Moments from a file of :func:`save_moments`, as numpy arrays.

    Raises
    ------
    DataError
        If the file is missing, cut off, not of moments, of another format, or does not hold together.
    """
    path = checked_path(path)
    if not path.is_file():
        raise DataError(f"there is no file of moments {path}. Check the path.")
    tensors = read_arrays(path, DataError)
    arrays, metadata = tensors.arrays, tensors.metadata
    if metadata.get("kind") != _KIND:
        kind = metadata.get("kind", "something else")
        step = "Read them with sk.read_embeddings." if kind == "embeddings" else "Was another file meant?"
        raise DataError(f"{path} is a safetensors file of {kind}, not of moments. {step}")
    check_format(path, metadata.get("format"), tensors.digested)
    try:
        about = parse_json(metadata["moments"])
        fields = check_fields(about, MomentsFields)
        spaces = fields.source.space(), fields.target.space()
        count, weight = fields.count, float.fromhex(fields.weight)
        sums = {name: arrays[name] for name in _ARRAYS}
        _check(sums, weight)
        return Moments(count=count, weight=weight, source=spaces[0], target=spaces[1], **sums)
    except (InputError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path} does not hold moments together: {str(error).rstrip('.')}. Save them again.") from error


def _plain(space: Space) -> dict[str, str | int | None]:
    return {"name": space.name, "dim": space.dim, "fingerprint": space.fingerprint}


def _check(sums: dict[str, np.ndarray], weight: float) -> None:
    """Raise for what no sum of pairs can be."""
    for name, array in sums.items():
        if array.dtype != np.float64:
            raise InputError(f"{name} is {array.dtype}, not float64")
    if wrong := not_finite(sums):
        raise InputError(f"{wrong} holds NaN or infinity")
    for name in ("scatter_ss", "scatter_tt"):
        scatter = sums[name]
        if scatter.ndim != 2 or not np.array_equal(scatter, scatter.T) or bool((np.diagonal(scatter) < 0).any()):
            raise InputError(f"{name} is no scatter: not symmetric, or negative on its diagonal")
    if not 0 < weight < float("inf"):
        raise InputError(f"the weight is {weight}")
