"""Anchor sets that travel with the package, by name; films of phantoms are drawn when they are asked for."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.core.strict_json import parse_json
from stitchkit.storage.embedding_cache import default_root

DRAWN, EDGES, PIXELS = ("seed", "film"), "edges", "pixels"  # columns of a set whose images are drawn
DIGITS = 16  # hexadecimal, of the SHA-256 of a film's pixels
SIDE = 96  # pixels of a film
CARD = ".card.json"


def anchor_set_names() -> tuple[str, ...]:
    """Names of the shipped anchor sets, sorted.

    Examples
    --------
    >>> anchor_set_names()
    ('phantoms-500',)
    """
    return tuple(sorted(path.stem for path in _shipped_folder().glob("*.csv")))


def anchor_table(name_or_path: str | Path) -> Path:
    """The table at a path, or that of a shipped set, whose images lie beside it; a path that exists wins.

    The images of a set are drawn on first use, into ``anchors`` of the cache (``$STITCHKIT_CACHE``, or
    ``~/.cache/stitchkit``), and held against the hashes in the table then and whenever they are used.

    Raises
    ------
    UnknownNameError
        For a name that is neither a file's nor a shipped set's, listing the nearest.
    DataError
        If this machine draws other images.
    InputError
        If the cache cannot be written.
    """
    path, name = Path(name_or_path), str(name_or_path)
    if _exists(path):
        return path
    if name in anchor_set_names():
        return _with_images(name)
    if path.suffix or path.name != name or not name:
        return path  # whose reader says that it is not there
    raise UnknownNameError.of(
        "anchor set", name, anchor_set_names(), "For a table of your own, give the path of a CSV."
    )


def anchor_set_card(name: str) -> dict[str, Any]:
    """The card of a shipped set: source, licence, counts, columns, hashes.

    Examples
    --------
    >>> card = anchor_set_card("phantoms-500")
    >>> card["pairs"], card["licence"]
    (500, 'Apache-2.0')
    """
    path = _shipped_folder() / f"{name}{CARD}"
    try:
        card: dict[str, Any] = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}. Install stitchkit again.") from error
    return card


def stated_facts(table: Path) -> dict[str, Any]:
    """Name, source, licence and the like of the shipped set that a table in the cache is of; else nothing."""
    if table.stem not in anchor_set_names() or table.parent.parent != default_root() / "anchors":
        return {}
    card = anchor_set_card(table.stem)
    return {key: card[key] for key in ("name", "description", "source", "licence", "obtain")}


def draw_film(seed: int, film: int, edges: str) -> np.ndarray:
    """The image of a row, (96, 96) uint8, the same on every machine.

    Parameters
    ----------
    seed
        Seed of the patient.
    film
        0 for the first film of the patient, 1 for the second.
    edges
        Pixels near the edge of two grey levels, of :func:`stitchkit.datasets.phantoms.edges.edges_of`.
    """
    from stitchkit.datasets.phantoms.edges import rounded
    from stitchkit.datasets.phantoms.facts import draw_phantoms
    from stitchkit.datasets.phantoms.film import film_levels

    return rounded(film_levels(draw_phantoms(film + 1, seed=seed)[film], SIDE), edges)


def pixel_digest(film: np.ndarray) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a film's pixels."""
    return hashlib.sha256(film.tobytes()).hexdigest()[:DIGITS]


def _shipped_folder() -> Path:
    """The folder of shipped sets: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "anchors" / "sets"
    return inside if inside.is_dir() else package.parent / "anchors" / "sets"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is no path
        return False


def _with_images(name: str) -> Path:
    """The table of a shipped set in the cache, once every image beside it is the one that the table says."""
    from PIL import Image

    shipped = _shipped_folder() / f"{name}.csv"
    content = shipped.read_bytes()
    folder = default_root() / "anchors" / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
    table, rows = folder / shipped.name, list(_rows(shipped))
    if _is_whole(table, content, rows):
        return table
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".drawing-", dir=folder.parent) as place:
            draft = Path(place, "set")
            draft.mkdir()
            for row in rows:
                film = draw_film(int(row["seed"]), int(row["film"]), row[EDGES])
                if pixel_digest(film) != row[PIXELS]:
                    raise DataError(
                        f"{shipped.name}: the image of row {row['id']!r} comes out otherwise on this machine (numpy "
                        f"{np.__version__}), so that results could not be compared. Use another version of numpy, or "
                        f"anchors of your own."
                    )
                Image.fromarray(film).save(draft / row["path"])
            (draft / shipped.name).write_bytes(content)
            if _is_whole(table, content, rows):  # another process was faster
                return table
            shutil.rmtree(folder, ignore_errors=True)
            try:
                draft.rename(folder)
            except OSError:
                if not _is_whole(table, content, rows):  # another process was faster
                    raise
    except OSError as error:
        raise InputError(
            f"the images of {name} cannot be drawn into {folder}: {error.strerror or error}. Set STITCHKIT_CACHE to a "
            f"folder that can be written."
        ) from error
    return table


def _rows(table: Path) -> Iterator[dict[str, str]]:
    """The rows of a shipped table, by column."""
    from stitchkit.datasets.rows import read_rows

    read = read_rows(table)
    names = ("id", "path", *DRAWN, EDGES, PIXELS)
    return (dict(zip(names, cells, strict=True)) for cells in zip(*(read.column(one) for one in names), strict=True))


def _is_whole(table: Path, content: bytes, rows: list[dict[str, str]]) -> bool:
    """True if the table and its images are as they were drawn."""
    from PIL import Image

    try:
        if table.read_bytes() != content:
            return False
        for row in rows:
            with Image.open(os.path.join(table.parent, row["path"])) as image:
                if pixel_digest(np.asarray(image)) != row[PIXELS]:
                    return False
    except (OSError, ValueError, SyntaxError):  # missing or damaged
        return False
    return True
