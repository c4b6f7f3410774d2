"""Tables of anchors and of test items read for what they hold, before any encoder says what it reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.cli.anchor_tables import AnchorTable

if TYPE_CHECKING:
    from stitchkit.core.anchors import AnchorSet

SIDES = ("path", "text")


def columns_read(table: AnchorTable) -> tuple[str, str]:
    """Source and target column: ``path`` against ``text`` if the table has both, else the one against itself."""
    from stitchkit.datasets.rows import read_rows

    columns = read_rows(table.path).columns
    source = table.source or next((name for name in SIDES if name in columns), SIDES[0])
    return source, table.target or ("text" if "text" in columns else source)


def read_pairs(table: AnchorTable) -> AnchorSet:
    """The pairs of :func:`columns_read`, images as paths that exist."""
    source, target = columns_read(table)
    return replace(table, source=source, target=target).check()


def id_column(table: AnchorTable, pairs: AnchorSet) -> str | None:
    """The column that ids are read from."""
    from stitchkit.datasets.rows import read_rows

    sides = zip(columns_read(table), (pairs.source_items, pairs.target_items), strict=True)
    fallback = next((name for name, items in sides if items.modality == "image"), None)
    return table.id or read_rows(table.path).first_of("id") or fallback


def read_test(path: Path, like: AnchorTable) -> tuple[Any, Any]:
    """Test items and their patients: pairs, or ids alone where the table has neither images nor texts.

    Columns that the anchors' table names are those of the test as well, where it has them.
    """
    from stitchkit.datasets.rows import groups_of, ids_of, read_rows

    rows = read_rows(path)
    named = [column if column in rows.columns else None for column in (like.source, like.target, like.id, like.groups)]
    table = AnchorTable(path, named[0], named[1], named[2], named[3], like.root)
    if any(column in rows.columns for column in (*SIDES, *named[:2]) if column):
        return read_pairs(table), None
    return ids_of(rows, named[2], None), groups_of(rows, named[3])


def column_uses(table: AnchorTable, pairs: AnchorSet) -> dict[str, str]:
    """What each column of the anchors' table is used for."""
    from stitchkit.datasets.rows import read_rows

    rows, (source, target) = read_rows(table.path), columns_read(table)
    jobs = (
        (id_column(table, pairs), "unique id of the pair"),
        (source, f"source item, {_kind(pairs.source_items.modality)}"),
        (target, f"target item, {_kind(pairs.target_items.modality)}"),
        (table.groups or rows.first_of("patient", "patient_id"), "patient: folds and intervals keep it whole"),
    )
    return {
        name: "; ".join(job for column, job in jobs if column == name) or "not read as an anchor"
        for name in rows.columns
    }


def _kind(modality: str) -> str:
    return "path of an image" if modality == "image" else "text"
