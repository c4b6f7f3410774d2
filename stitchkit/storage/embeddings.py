"""Files of embeddings: vectors, ids and space in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError, InputError
from stitchkit.core.space import Space
from stitchkit.core.strict_json import parse_json
from stitchkit.storage.atomic_writes import replace_file
from stitchkit.storage.folders import FORMAT, FORMAT_KEY, check_format
from stitchkit.storage.path_checks import checked_file
from stitchkit.storage.tensor_files import check_file_path, read_arrays, tensor_bytes

FACT = "fact."  # begins the names of facts in the metadata


def write_embeddings(path: str | Path, embeddings: Embeddings, facts: Mapping[str, str] | None = None) -> Path:
    """Write embeddings to one ``.safetensors`` file; an earlier file of embeddings there is replaced.

    The file holds ``vectors`` (n, d) in float16, float32 or float64 as given, ``ids`` as UTF-8 JSON in a uint8
    tensor, and name, width and fingerprint of the space in its metadata, with further ``facts`` as
    :func:`read_facts` gives them back.

    Raises
    ------
    InputError
        If ``path`` does not end in ``.safetensors`` or is another kind of file.

    Examples
    --------
    >>> import tempfile
    >>> mine = Embeddings(np.ones((1, 2), np.float16), ["scan 1"], Space("demo", 2, "f1"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     back = read_embeddings(write_embeddings(f"{folder}/mine.safetensors", mine))
    >>> back.ids.tolist(), back.vectors.dtype.name, back.space.fingerprint
    (['scan 1'], 'float16', 'f1')
    """
    path = check_embeddings_path(path)
    vectors = to_numpy(embeddings.vectors)
    if vectors.dtype not in (np.float16, np.float32, np.float64):
        vectors = vectors.astype(np.float64)
    space = embeddings.space
    metadata = {f"{FACT}{key}": value for key, value in (facts or {}).items()}
    metadata |= {"kind": "embeddings", FORMAT_KEY: str(FORMAT), "space": space.name, "dim": str(space.dim)}
    if space.fingerprint is not None:
        metadata["fingerprint"] = space.fingerprint
    # escaped, for file names on disk need not be Unicode: halves of surrogate pairs come back as they were
    ids = np.frombuffer(json.dumps(embeddings.ids.tolist()).encode(), dtype=np.uint8)
    return replace_file(path, tensor_bytes({"vectors": vectors, "ids": ids}, metadata))


def read_embeddings(path: str | Path) -> Embeddings:
    """Embeddings from a file of :func:`write_embeddings`; errors and warnings as of :func:`read_facts`."""
    return read_facts(path)[0]


def read_facts(path: str | Path) -> tuple[Embeddings, dict[str, str]]:
    """Embeddings from a file of :func:`write_embeddings`, and the facts that were written with them.

    Raises
    ------
    DataError
        If the file is missing, damaged, not of embeddings, or of another format version.

    Warns
    -----
    UserWarning
        If the file is of the earlier format without digests.
    """
    path = checked_file(path, "a file of embeddings")
    if not path.is_file():
        raise DataError(f"there is no file of embeddings {path}. Check the path.")
    tensors = read_arrays(path, DataError)
    arrays, metadata = tensors.arrays, tensors.metadata
    if metadata.get("kind") != "embeddings" or not {"vectors", "ids"} <= set(arrays):
        raise DataError(f"{path} is a safetensors file but holds no embeddings of stitchkit. Was another file meant?")
    check_format(path, metadata.get(FORMAT_KEY), tensors.digested)
    try:
        ids = parse_json(arrays["ids"].tobytes())
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise ValueError("its ids are no list of texts")
        space = Space(metadata["space"], int(metadata["dim"]), metadata.get("fingerprint"))
        facts = {key.removeprefix(FACT): value for key, value in metadata.items() if key.startswith(FACT)}
        return Embeddings(arrays["vectors"], np.asarray(ids, dtype=np.str_), space), facts
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} does not hold embeddings together: {str(error).rstrip('.')}. Write them again."
        ) from error


def check_embeddings_path(path: str | Path) -> Path:
    """``path`` if :func:`write_embeddings` may write there, to be checked before the work.

    Raises
    ------
    InputError
        As of :func:`check_file_path`.
    """
    return check_file_path(path, "embeddings")
