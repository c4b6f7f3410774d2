"""ROCO and ROCOv2: radiology figures of open-access articles with captions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from stitchkit.core.errors import DataError
from stitchkit.core.keys import is_missing
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import Part, assemble
from stitchkit.datasets.layouts.captioned import first_folder, read_captioned
from stitchkit.datasets.layouts.image_files import checked_missing
from stitchkit.datasets.layouts.label_cells import checked_uncertain
from stitchkit.datasets.layouts.published import PublishedTable, Rows, agreeing, read_published, there_is
from stitchkit.datasets.rows import lines_of, read_text
from stitchkit.datasets.string_tables import Table

SPLITS = {"train": "train", "valid": "val", "test": "test"}  # of ROCOv2's files; what the cohort calls it
TABLES = {
    name: PublishedTable((f"{name}_captions.csv",), "ID,Caption", "public code that reads the files, in several places")
    for name in SPLITS
}
LICENCES = PublishedTable(
    ("license_information.csv",),
    "ID,PMCID,Attribution,Link",
    "public code that reads the file; spaces may follow names",
)
FIRST = {"train": "train", "validation": "val", "test": "test"}  # folders of the first ROCO
CAPTIONS = PublishedTable(
    ("train/radiology/captions.txt",), "lines of ROCO_00002, a tab, the caption; no header",
    "public code that reads the file, in several places",
)  # fmt: skip
BASES = ("", "data", "all_data", "all_data_final")
ARTICLE = re.compile(r"PMC\d+")
CARD = {
    "layout": "roco",
    "licence": "of each article",
    "labels": "concepts are not read",
    "patients": "none is published; the article stands for one, and an image of which none is told for itself",
}
SOURCES = {
    "ROCO": "Pelka et al., Radiology Objects in COntext, LABELS at MICCAI 2018, "
    "https://github.com/razorx89/roco-dataset",
    "ROCOv2": "Rückert et al., ROCOv2, Scientific Data 11 (2024), 688, https://zenodo.org/records/10821435",
}


def read(root: Path, *, uncertain: str = "error", missing: str = "error") -> Cohort:
    """ROCO, or ROCOv2, whichever lies in the folder.

    Parameters
    ----------
    root
        Folder of ROCOv2: holds ``train_captions.csv``, ``valid_captions.csv``, ``test_captions.csv`` (or some of them),
        images in ``train``, ``valid`` and ``test`` (or ``train_images``, ...), and ``license_information.csv``. Of
        ROCO: holds ``train/radiology/captions.txt`` and ``train/radiology/images``, ..., or ``data`` with these.
    uncertain
        Accepted as for the other sets; this one has no labels.
    missing
        ``"error"``, or ``"skip"`` to leave out and count rows without an image file.

    Returns
    -------
    Cohort
        Articles are the groups, from ``license_information.csv`` (of ROCO: ``dlinks.txt``); without it there are none.

    Raises
    ------
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    names = [name for name in SPLITS if there_is(root, TABLES[name])]
    if names:
        articles = _articles_by_license(root)
        parts = [
            _part(read_published(root, TABLES[name], ("ID", "Caption")), "ID", "Caption",
                  first_folder(root, (name, f"{name}_images"), None), missing, articles, SPLITS[name])
            for name in names
        ]  # fmt: skip
        return assemble(_card("ROCOv2"), [TABLES[name] for name in names], (), parts)
    base = next((root / name for name in BASES if (root / name / CAPTIONS.names[0]).is_file()), None)
    if base is None:
        raise DataError(
            f"{root} holds neither {TABLES['train'].names[0]} (ROCOv2) nor {CAPTIONS.names[0]} (ROCO). Give the folder "
            f"that holds it."
        )
    folders = {name: base / name / "radiology" for name in FIRST if (base / name / "radiology").is_dir()}
    parts = [
        _part(Rows(_first_captions(folder / "captions.txt")), "image", "caption", folder / "images", missing,
              _articles_by_link(folder / "dlinks.txt"), FIRST[name])
        for name, folder in folders.items()
    ]  # fmt: skip
    return assemble(_card("ROCO"), [CAPTIONS], (), parts)


def _part(
    rows: Rows, image: str, caption: str, folder: Path, missing: str, articles: Mapping[str, str], split: str
) -> Part:
    group = (lambda name: articles.get(name, name)) if articles else None
    return read_captioned(rows, image, caption, folder, missing, group=group, split=split)


def _card(name: str) -> dict[str, object]:
    return {"name": name, "source": SOURCES[name], **CARD}


def _articles_by_license(root: Path) -> dict[str, str]:
    """Image -> article; empty where the table is not there."""
    if not there_is(root, LICENCES):
        return {}
    table, _ = agreeing(read_published(root, LICENCES, ("ID", "PMCID")).table, "ID", ("PMCID",))
    pairs = zip(table.column("ID"), table.column("PMCID"), strict=True)
    return {name: article for name, article in pairs if not is_missing(article)}


def _articles_by_link(path: Path) -> dict[str, str]:
    """Image -> article, from the lines that say where it was downloaded."""
    if not path.is_file():
        return {}
    articles: dict[str, str] = {}
    for number, line in enumerate(lines_of(read_text(path)), start=1):
        name, _, rest = line.partition("\t")
        article = ARTICLE.search(rest)
        if article and articles.setdefault(name.strip(), article[0]) != article[0]:
            raise DataError(
                f"{path}, line {number}: another article than in an earlier line of the image. Take the file as "
                f"published, or remove the line that is wrong."
            )
    return articles


def _first_captions(path: Path) -> Table:
    if not path.is_file():
        raise DataError(f"there is no {path}. Take the set as it is published.")
    captions = list(_caption_lines(path))
    cells = tuple((name, caption) for _, name, caption in captions)
    return Table(path, ("image", "caption"), cells, tuple(number for number, _, _ in captions))


def _caption_lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, image and caption; a line without an image goes on with the caption before."""
    name, text, at = "", "", 0
    for number, line in enumerate(lines_of(read_text(path)), start=1):
        first, tab, rest = line.partition("\t")
        if tab and first.strip().startswith("ROCO_"):
            if name:
                yield at, name, text.strip()
            name, text, at = first.strip(), rest, number
        elif name:
            text = f"{text} {line.strip()}"
        elif line.strip():
            raise DataError(f"{path}, line {number}: no image, a tab and a caption. Take the file as it is published.")
    if name:
        yield at, name, text.strip()
