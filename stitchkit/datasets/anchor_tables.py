"""A table of anchor pairs and the names of its columns: read as far as a step needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.anchors import AnchorSet
from stitchkit.core.scores import Labels
from stitchkit.datasets.labels import read_labels
from stitchkit.datasets.rows import groups_of, ids_of, read_rows
from stitchkit.datasets.string_tables import Table
from stitchkit.datasets.tables import read_anchors

SIDES = ("path", "text")  # columns that a side is read from where none is named
_DEFAULT = {"image": "path", "text": "text"}


@dataclass(frozen=True, slots=True)
class AnchorTable:
    """A table of anchor pairs, one a row, with its columns where they are not the usual ones.

    Nothing is read before a method is called, and each method reads only what it needs: the ids and patients of a
    table can be compared with a test's on a machine that has none of the images.

    Parameters
    ----------
    path
        The table: CSV, TSV, JSON lines or Parquet.
    source, target
        Columns of the two sides. Default: ``path`` for images and ``text`` for texts.
    id
        Column of unique ids. Default: ``id`` if there is one, else the image paths.
    groups
        Column of the patient of each pair. Default: ``patient`` or ``patient_id`` if there is one.
    root
        Folder the image paths are relative to. Default: the table's.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "pairs.csv")
    ...     _ = path.write_text("id,path,text,site\\n1,a.png,clear lungs,north\\n2,b.png,large heart,south\\n")
    ...     table = AnchorTable(path, groups="site")
    ...     table.sides, table.ids_only().groups.tolist(), table.texts().target_items.values
    (('path', 'text'), ['north', 'south'], ('clear lungs', 'large heart'))
    """

    path: Path
    source: str | None = None
    target: str | None = None
    id: str | None = None
    groups: str | None = None
    root: Path | None = None

    @property
    def sides(self) -> tuple[str, str]:
        """Source and target column: ``path`` against ``text`` if the table has both, else the one against itself."""
        columns = self._rows().columns
        source = self.source or next((name for name in SIDES if name in columns), SIDES[0])
        return source, self.target or ("text" if "text" in columns else source)

    def pairs(self) -> AnchorSet:
        """The pairs of :attr:`sides`, images as paths that exist."""
        source, target = self.sides
        return replace(self, source=source, target=target).check()

    def read(self, source: str, target: str) -> AnchorSet:
        """The pairs for encoders of modality ``source`` and ``target``."""
        left = self.source or _DEFAULT[source]
        right = self.target or (left if source == target else _DEFAULT[target])
        return self._read(self.id, source=left, target=right, source_modality=source, target_modality=target)

    def read_for(self, source: str | None, target: str | None) -> AnchorSet:
        """The pairs for a source and a target encoder of these modalities; None for a side known by its vectors.

        Of such a side no items are read: a table of images need not have texts. Ids are those of :meth:`ids_only`.
        """
        if source is not None and target is not None:
            return self.read(source, target)
        kind = source or target
        if kind is None:
            return self.ids_only()
        column = (self.source if target is None else self.target) or _DEFAULT[kind]
        columns = self._rows().columns
        id = self.id or ("id" if "id" in columns else "path" if "path" in columns else None)
        return self._read(id, source=column, target=column, source_modality=kind, target_modality=kind)

    def check(self) -> AnchorSet:
        """The pairs, with all that can be checked before it is known what the encoders read."""
        source = self.source or self._usual()
        return self._read(self.id, source=source, target=self.target or source)

    def ids_only(self) -> AnchorSet:
        """Ids and groups; image files need not be there."""
        columns = self._rows().columns
        source, named = self.source or self._usual(), self.id or ("id" if "id" in columns else None)
        if self.source is None and source not in columns and named is not None:  # a table of ids alone
            source = named
        id = self.id or (None if "id" in columns else source)
        return self._read(id, source=source, target=source, source_modality="text", target_modality="text")

    def has_texts(self) -> bool:
        """The table has the column of the target side's texts."""
        return (self.target or _DEFAULT["text"]) in self._rows().columns

    def texts(self) -> AnchorSet:
        """Ids, groups and the target side's texts; image files need not be there."""
        column = self.target or _DEFAULT["text"]
        id = self.id or (None if "id" in self._rows().columns else self.source or self._usual())
        return self._read(id, source=column, target=column, source_modality="text", target_modality="text")

    def labels(
        self,
        path: Path,
        *,
        classes: Sequence[str] | None = None,
        label: str | None = None,
        columns: Sequence[str] = (),
        uncertain: str = "error",
    ) -> Labels:
        """Labels in another table, as :func:`stitchkit.read_labels` reads them.

        Its ids and patients stand in the columns of the anchors' table, where it has them.
        """
        there = read_rows(path).columns
        id, groups = (name if name in there else None for name in (self.id, self.groups))
        return read_labels(
            path, classes=classes, label=label, id=id, groups=groups, columns=columns, uncertain=uncertain
        )

    def column_by_id(self, column: str, pairs: AnchorSet) -> dict[str, str]:
        """Id of each row -> its cell of a column; ``pairs`` are those of this table, whose ids are read as theirs."""
        rows = self._rows()
        ids = rows.column(self.id_column(pairs) or "")
        return {str(key): str(cell).strip() for key, cell in zip(ids, rows.column(column), strict=True)}

    def read_test(self, path: Path) -> tuple[Any, Any]:
        """Test items in another table, and their patients.

        Columns that the anchors' table names are those of the test as well, where it has them.

        Returns
        -------
        AnchorSet, None
            Pairs, which know their patients; or
        (n,) str, (n,) str or None
            ids and patients, where the table has neither images nor texts.
        """
        rows = read_rows(path)
        columns = (self.source, self.target, self.id, self.groups)
        source, target, id, groups = (name if name in rows.columns else None for name in columns)
        if any(column in rows.columns for column in (*SIDES, source, target) if column):
            return AnchorTable(path, source, target, id, groups, self.root).pairs(), None
        return ids_of(rows, id, None), groups_of(rows, groups)

    def id_column(self, pairs: AnchorSet) -> str | None:
        """The column that the ids of :meth:`pairs` are read from."""
        sides = zip(self.sides, (pairs.source_items, pairs.target_items), strict=True)
        fallback = next((name for name, items in sides if items.modality == "image"), None)
        return self.id or self._rows().first_of("id") or fallback

    def column_uses(self, pairs: AnchorSet) -> dict[str, str]:
        """The use of each column of the table, in words."""
        rows, (source, target) = self._rows(), self.sides
        uses = (
            (self.id_column(pairs), "unique id of the pair"),
            (source, f"source item, {_kind(pairs.source_items.modality)}"),
            (target, f"target item, {_kind(pairs.target_items.modality)}"),
            (self.groups or rows.first_of("patient", "patient_id"), "patient: folds and intervals keep it whole"),
        )
        return {
            name: "; ".join(use for column, use in uses if column == name) or "not read as an anchor"
            for name in rows.columns
        }

    def _rows(self) -> Table:
        return read_rows(self.path)

    def _usual(self) -> str:
        columns = self._rows().columns
        return "text" if "text" in columns and "path" not in columns else "path"

    def _read(self, id: str | None, **sides: Any) -> AnchorSet:
        return read_anchors(self.path, id=id, groups=self.groups, root=self.root, **sides)


def table_facts(anchors: AnchorSet) -> dict[str, Any]:
    """Description of a table's anchors for an artefact: never an id, a text or a path with somebody's name in it."""
    return {
        "table": Path(anchors.card["table"]).name,
        "sha256": anchors.card["sha256"],
        "n": len(anchors),
        "groups": None if anchors.groups is None else len(np.unique(anchors.groups)),
    }


def _kind(modality: str) -> str:
    return "path of an image" if modality == "image" else "text"
