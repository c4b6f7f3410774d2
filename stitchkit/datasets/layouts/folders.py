"""Image files sorted into one folder a class, as BACH, LC25000 and NCT-CRC-HE are published."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.wording import setting
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.images import looks_like_image
from stitchkit.datasets.layouts.assembling import Part, assemble
from stitchkit.datasets.layouts.image_files import checked_missing
from stitchkit.datasets.layouts.label_cells import checked_uncertain
from stitchkit.datasets.layouts.published import PublishedTable, names_of

Folders = Mapping[str, str | Sequence[str]]  # a name -> one folder, or several


def read(
    root: Path,
    *,
    folders: Folders | None = None,
    splits: Folders | None = None,
    uncertain: str = "error",
    missing: str = "error",
) -> Cohort:
    """The image files that lie directly in each class's folders.

    Parameters
    ----------
    root
        Holds the folders of the classes, or with ``splits`` the folders of the splits, which hold those.
    folders
        Class -> its folder or folders: ``{"Benign": "Photos/Benign", "Normal": "Photos/Normal"}``. Default: every
        folder there is a class of its name.
    splits
        Split -> its folder or folders below ``root``: ``{"train": "NCT-CRC-HE-100K", "test": "CRC-VAL-HE-7K"}``. The
        folders of the classes are then below each of these. Default: no split.
    uncertain
        Accepted as for the other sets; a folder says nothing uncertain.
    missing
        Accepted as for the other sets; no table names files that may be missing.

    Returns
    -------
    Cohort
        Without patients, metadata and texts. Ids are the paths below the folder; files that are no images are left out
        and counted, hidden ones are passed over.

    Raises
    ------
    InputError
        If a folder stands for two classes or two splits.
    DataError
        If a folder is not there, or holds no image.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    tops = {"": ("",)} if splits is None else {name: names_of(some) for name, some in splits.items()}
    _check_apart(tops, "splits")
    if folders is not None:
        _check_apart({name: names_of(some) for name, some in folders.items()}, "folders")
    bases = [top for some in tops.values() for top in some]
    of_class = {name: (name,) for name in _folders_in(root, bases)} if folders is None else folders
    parts = []
    for split, some in tops.items():
        for label, (name, below) in enumerate(of_class.items()):
            places = [_relative_path(top, folder) for top in some for folder in names_of(below)]
            parts.append(_part(root, name, places, np.eye(len(of_class))[label], split))
    listed = "; ".join(f"{name}: {', '.join(names_of(below))}" for name, below in of_class.items())
    header = PublishedTable(("folders",), listed, "the folders themselves; there is no table")
    return assemble(_card(root, splits), [header], tuple(of_class), parts)


def _card(root: Path, splits: Folders | None) -> dict[str, str]:
    parts = "" if splits is None else ", ".join(f"{' and '.join(names_of(v))} is {k!r}" for k, v in splits.items())
    return {
        "name": root.as_posix(),
        "layout": "folders",
        "source": f"the folders in {root.as_posix()}",
        "licence": "as whoever made the images says",
        "labels": "the class whose folder holds the image is present, all others are absent",
        "patients": "none are told by folders; whether two images are of one patient is not known",
    } | ({"split": parts} if parts else {})


def _part(root: Path, name: str, places: Sequence[str], label: np.ndarray, split: str) -> Part:
    """The images of one class in one split."""
    ids, others = list[str](), 0
    for place in places:
        files = _files_in(root, place, name)
        images = [file for file in files if looks_like_image(file)]
        if not images:
            raise DataError(
                f"the folder {root / place} of the class {name!r} holds no image among {len(files)} files. Name the "
                "folder that holds them with " + setting("folders") + "."
            )
        others += len(files) - len(images)
        ids += [_relative_path(place, file) for file in images]
    excluded = {"no image file": others} if others else {}
    named = np.full(len(ids), split) if split else None
    return Part(ids, [root / one for one in ids], np.tile(label, (len(ids), 1)), excluded, split=named)


def _files_in(root: Path, place: str, name: str) -> list[str]:
    if not (root / place).is_dir():
        raise DataError(
            f"there is no folder {root / place} of the class {name!r}. Name the folders that are there with "
            + setting("folders") + "."
        )  # fmt: skip
    with os.scandir(root / place) as entries:
        return sorted(entry.name for entry in entries if entry.is_file() and not entry.name.startswith("."))


def _folders_in(root: Path, bases: Sequence[str]) -> list[str]:
    """The names of the folders in any of ``bases``, sorted."""
    names = set[str]()
    for base in (root / one for one in bases):
        if not base.is_dir():
            raise DataError(f"there is no folder {base}. Name the folders of the splits relative to {root}.")
        inside = {one.name for one in base.iterdir() if one.is_dir() and not one.name.startswith(".")}
        if not inside:
            raise DataError(f"{base} holds no folders, so no classes. Give the folder that holds one a class.")
        names |= inside
    return sorted(names)


def _check_apart(named: Mapping[str, Sequence[str]], what: str) -> None:
    """Refuse an empty table, a name without folders, and a folder under two names."""
    if not named or not all(named.values()):
        raise InputError(
            f"the setting {what!r} is a table from each name to its folders; got {dict(named)!r}. Name at least one."
        )
    of: dict[str, str] = {}
    for name, folders in named.items():
        for folder in folders:
            other = of.setdefault(_relative_path(folder), name)
            if other != name or folders.count(folder) > 1:
                raise InputError(
                    f"the folder {folder!r} stands twice in the setting {what!r}, under {other!r} and {name!r}. Name "
                    f"it once."
                )


def _relative_path(*names: str) -> str:
    """A path below the root in one spelling."""
    return Path(*names).as_posix()
