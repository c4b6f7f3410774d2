"""A table of anchor pairs as the command line names it: path and columns."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError

if TYPE_CHECKING:
    from stitchkit.core.anchors import AnchorSet

_DEFAULT = {"image": "path", "text": "text"}


@dataclass(frozen=True, slots=True)
class AnchorTable:
    """Path of the table, and its columns where they are not the usual ones."""

    path: Path
    source: str | None = None
    target: str | None = None
    id: str | None = None
    groups: str | None = None
    root: Path | None = None

    @classmethod
    def of(
        cls, path: Path | None, source: str | None, target: str | None, id: str | None, groups: str | None,
        root: Path | None,
    ) -> AnchorTable | None:  # fmt: skip
        """The table, or None if none was given."""
        if path is not None:
            return cls(path, source, target, id, groups, root)
        named = {"--source-column": source, "--target-column": target, "--id-column": id, "--groups": groups}
        lost = [flag for flag, column in named.items() if column is not None]
        if lost:
            raise InputError(f"{lost[0]} names a column of the anchors' table, and none is given. Pass --anchors CSV.")
        return None

    def check(self) -> AnchorSet:
        """The pairs, with all that can be checked before it is known what the encoders read."""
        source = self.source or self._usual()
        return self._read(self.id, source=source, target=self.target or source)

    def ids_only(self) -> AnchorSet:
        """Ids and groups; image files need not be there."""
        from stitchkit.datasets.rows import read_rows

        source = self.source or self._usual()
        id = self.id or (None if "id" in read_rows(self.path).columns else source)
        return self._read(id, source=source, target=source, source_modality="text", target_modality="text")

    def has_texts(self) -> bool:
        """The table has the column of the target side's texts."""
        from stitchkit.datasets.rows import read_rows

        return (self.target or _DEFAULT["text"]) in read_rows(self.path).columns

    def texts(self) -> AnchorSet:
        """Ids, groups and the target side's texts; image files need not be there."""
        from stitchkit.datasets.rows import read_rows

        column = self.target or _DEFAULT["text"]
        id = self.id or (None if "id" in read_rows(self.path).columns else self.source or self._usual())
        return self._read(id, source=column, target=column, source_modality="text", target_modality="text")

    def read(self, source: str, target: str) -> AnchorSet:
        """The pairs for encoders of modality ``source`` and ``target``."""
        left = self.source or _DEFAULT[source]
        right = self.target or (left if source == target else _DEFAULT[target])
        return self._read(self.id, source=left, target=right, source_modality=source, target_modality=target)

    def _usual(self) -> str:
        from stitchkit.datasets.rows import read_rows

        columns = read_rows(self.path).columns
        return "text" if "text" in columns and "path" not in columns else "path"

    def _read(self, id: str | None, **sides: Any) -> AnchorSet:
        from stitchkit.datasets.tables import read_anchors

        return read_anchors(self.path, id=id, groups=self.groups, root=self.root, **sides)


def about(anchors: AnchorSet) -> dict[str, Any]:
    """Description of anchors for an artefact: never an id, a text or a path with somebody's name in it."""
    import numpy as np

    return {
        "table": Path(anchors.card["table"]).name,
        "sha256": anchors.card["sha256"],
        "n": len(anchors),
        "groups": None if anchors.groups is None else len(np.unique(anchors.groups)),
    }


def check_test(anchors: AnchorSet, test: Path, id: str | None, groups: str | None, allow: bool) -> list[str]:
    """The leakage audit of the anchors against a table of test items, before any model is loaded."""
    from stitchkit.core.items import Items
    from stitchkit.datasets.rows import groups_of, ids_of, read_rows
    from stitchkit.evaluation.leakage import audit, same_files

    table = read_rows(test)
    named = id if id in table.columns else None
    patients = groups if groups in table.columns else None
    ids = ids_of(table, named, table.first_of("path"))
    notes = audit(anchors.ids, ids, anchors.groups, groups_of(table, patients), allow=allow)
    if "path" not in table.columns:
        return notes
    files = [test.parent / cell for cell in table.column("path")]
    if not all(os.path.isfile(file) for file in files):
        return [*notes, f"images of {test} are not all here: anchors' images under other names were not looked for"]
    return [*notes, *same_files(anchors.source_items, Items(ids, files, "image"), allow=allow)]
