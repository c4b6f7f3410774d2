"""PathVQA: questions about figures of pathology textbooks, with answers."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import Part, assemble
from stitchkit.datasets.layouts.image_files import checked_missing, folder_of_images, with_images
from stitchkit.datasets.layouts.json_entries import json_entries, table_of_entries
from stitchkit.datasets.layouts.label_cells import checked_uncertain
from stitchkit.datasets.layouts.published import PublishedTable, Rows, names_of
from stitchkit.datasets.layouts.questions import LABELS, PATIENTS, question_part, with_question
from stitchkit.datasets.string_tables import Table

COLUMNS = ("image", "question", "answer")
TABLES = {
    split: PublishedTable(
        (f"qas/{split}/{split}_qa.json", f"qas/{split}_qa.json", f"{split}_qa.json"),
        ",".join(COLUMNS),
        "public code that reads the pickled lists of these objects",
    )
    for split in ("train", "val", "test")
}
SHARDS = {"train": "train-*.parquet", "val": "validation-*.parquet", "test": "test-*.parquet"}
CARD = {
    "name": "PathVQA",
    "layout": "path-vqa",
    "source": "He et al., PathVQA, arXiv:2003.10286, https://github.com/UCSD-AI4H/PathVQA",
    "licence": "MIT of the questions; the figures are of textbooks and a digital library",
    "labels": LABELS + "; 'answer_type' is CLOSED where the answer is yes or no, else OPEN",
    "patients": PATIENTS,
    "split": "train, val and test as published",
}


def read(
    root: Path,
    *,
    splits: str | Sequence[str] | None = None,
    uncertain: str = "error",
    images: str | None = None,
    missing: str = "error",
) -> Cohort:
    """PathVQA with its questions as JSON, or as the Parquet files of the Hugging Face hub: an item a question.

    Parameters
    ----------
    root
        Holds ``qas/train/train_qa.json``, ... and ``images/train/train_0001.jpg``, ...; or ``train-*.parquet``,
        ``validation-*.parquet`` and ``test-*.parquet``, also below ``data``, which need pyarrow. The pickled lists
        of the first release are not read, since a pickle runs code: write the same list as JSON.
    splits
        ``"train"``, ``"val"`` or ``"test"``, or several. Default: those that are there.
    uncertain
        Accepted as for the other sets; this one has no labels.
    images
        Folder below ``root`` that holds ``train``, ``val`` and ``test``. Default ``images``.
    missing
        ``"error"``, or ``"skip"`` to leave out and count questions without an image file.

    Returns
    -------
    Cohort
        Images, questions as texts, no classes; the image as group. ``columns``: ``answer``, ``answer_type``. Of
        Parquet the images are PIL images, packed in memory until they are used, and stand in no table of files.

    Raises
    ------
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`.
    MissingExtraError
        For Parquet without pyarrow.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    lists = {split: path for split in TABLES if (path := _list_of(root, split)) is not None}
    shards = {} if lists else {split: paths for split in TABLES if (paths := _shards_of(root, split))}
    wanted = names_of(splits or tuple(lists or shards))
    for name in wanted:
        if name not in TABLES:
            raise UnknownNameError.of("split of PathVQA", name, TABLES)
    lacking = [name for name in wanted if name not in lists and name not in shards]
    if not wanted or lacking:
        name = lacking[0] if lacking else "test"
        pickled = " The pickled lists are not read: write them as JSON." if any(root.rglob("*_qa.pkl")) else ""
        raise DataError(
            f"{root} holds no {TABLES[name].names[0]} and no {SHARDS[name]}. Give the folder that holds them.{pickled}"
        )
    names = [name for name in TABLES if name in wanted]
    if shards:
        parts = [_part_of_shards(name, shards[name]) for name in names]
    else:
        folder = folder_of_images(root, "images" if images is None else images)
        parts = [_part_of_list(name, lists[name], folder / name, missing) for name in names]
    return assemble(CARD, [TABLES[name] for name in names], (), parts)


def _list_of(root: Path, split: str) -> Path | None:
    return next((root / name for name in TABLES[split].names if (root / name).is_file()), None)


def _shards_of(root: Path, split: str) -> list[Path]:
    return [path for base in (root, root / "data") for path in sorted(base.glob(SHARDS[split]))]


def _part_of_list(split: str, path: Path, folder: Path, missing: str) -> Part:
    rows = with_question(Rows(table_of_entries(path, json_entries(path), TABLES[split], COLUMNS)))
    rows.table.filled_column("image")
    rows, paths = with_images(rows, "image", [folder], missing)
    ids = [f"{split} {number}" for number in rows.table.numbers]
    return question_part(rows, ids, paths, rows.column("image"), np.full(len(ids), split))


def _part_of_shards(split: str, paths: Sequence[Path]) -> Part:
    from stitchkit.datasets.frames import cell_of, read_arrow

    cells, packed = list[tuple[str, ...]](), list[bytes]()
    for path in paths:
        table = read_arrow(path)
        if lacking := [name for name in COLUMNS if name not in table.column_names]:
            raise DataError(f"{path} has no column {lacking[0]!r}. Take the file as it is published.")
        images, *texts = (table.column(name).to_pylist() for name in COLUMNS)
        packed += [_bytes(path, row, one) for row, one in enumerate(images, start=1)]
        cells += list(zip(*([cell_of(one) for one in some] for some in texts), strict=True))
    digests = [hashlib.sha256(one).hexdigest()[:16] for one in packed]
    numbers = tuple(range(1, len(cells) + 1))
    content = dict(zip(digests, packed, strict=True))
    table = Table(paths[0], COLUMNS, tuple((digest, *row) for digest, row in zip(digests, cells, strict=True)), numbers)
    rows = with_question(Rows(table))
    opened = {digest: _picture(paths[0], digest, one) for digest, one in content.items()}
    ids = [f"{split} {number}" for number in rows.table.numbers]
    pictures = [opened[digest] for digest in rows.column("image")]
    return question_part(rows, ids, pictures, rows.column("image"), np.full(len(ids), split))


def _bytes(path: Path, row: int, value: Any) -> bytes:
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise DataError(
            f"{path}, row {row}, column 'image': the cell holds no image. Take the file as it is published."
        )
    return content


def _picture(path: Path, digest: str, content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content))  # decoded when its pixels are asked for
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise DataError(f"{path}: the image of SHA-256 {digest}... is damaged. Take the file as published.") from error
