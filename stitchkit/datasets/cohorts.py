"""A data set ready for a study: images, labels, patients, reports and splits, read from its published layout."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.anchors import AnchorSet
from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.core.items import Items
from stitchkit.core.scores import Labels
from stitchkit.storage.path_checks import checked_path

_IN_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "str": "a text",
    "Sequence[str]": "a list of texts",
    "Classes": "a list of texts",
    "Folders": "a table from a name to a list of folders",
}
LAYOUTS = {  # name -> "module:reader", imported on use; a further layout is one file and one line here
    "table": "stitchkit.datasets.layouts.table:read",
    "dicom": "stitchkit.datasets.layouts.dicom:read",
    "nih": "stitchkit.datasets.layouts.nih:read",
    "chexpert": "stitchkit.datasets.layouts.chexpert:read",
    "mimic-cxr": "stitchkit.datasets.layouts.mimic_cxr:read",
    "padchest": "stitchkit.datasets.layouts.padchest:read",
    "vindr-cxr": "stitchkit.datasets.layouts.vindr_cxr:read",
    "rsna": "stitchkit.datasets.layouts.rsna:read",
    "open-i": "stitchkit.datasets.layouts.open_i:read",
    "roco": "stitchkit.datasets.layouts.roco:read",
    "pmc-oa": "stitchkit.datasets.layouts.pmc_oa:read",
    "quilt": "stitchkit.datasets.layouts.quilt:read",
    "folders": "stitchkit.datasets.layouts.folders:read",
    "medmnist": "stitchkit.datasets.layouts.medmnist:read",
    "ham10000": "stitchkit.datasets.layouts.ham10000:read",
    "pad-ufes-20": "stitchkit.datasets.layouts.pad_ufes_20:read",
    "vindr-mammo": "stitchkit.datasets.layouts.vindr_mammo:read",
    "sicap": "stitchkit.datasets.layouts.sicap:read",
    "pcam": "stitchkit.datasets.layouts.pcam:read",
    "deepeyenet": "stitchkit.datasets.layouts.deepeyenet:read",
    "vqa-rad": "stitchkit.datasets.layouts.vqa_rad:read",
    "path-vqa": "stitchkit.datasets.layouts.path_vqa:read",
}


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Items of one data set with their labels, patients and, where there are reports, texts.

    Parameters
    ----------
    images : Items
        n images as paths, not decoded. (Of a table of texts: the texts to be encoded; of an archive of images: arrays.)
    labels : Labels
        The same ids in the same order; ``groups`` are the patients, or None where none are published; ``columns``
        hold the metadata (age, sex, view, ...).
    texts : Items or None
        The reports under the same ids; None where the set has none.
    split : (n,) str or None
        ``"train"``, ``"val"`` or ``"test"`` as published; None where no split is.
    card
        Provenance and counts of rows read: ``name``, ``source``, ``licence``, ``header`` (the quoted header line of
        each table), ``labels`` (the policies), ``counts`` and ``left_out`` (rows by reason) as they were when the set
        was read. ``take`` and ``part`` keep it as it is.

    Examples
    --------
    >>> ids = np.asarray(["a", "b", "c"])
    >>> cohort = Cohort(
    ...     Items(ids, ["a.png", "b.png", "c.png"], "image"),
    ...     Labels([[1], [0], [1]], ids, ("Edema",), groups=["p", "p", "q"]),
    ...     split=np.asarray(["train", "train", "test"]),
    ... )
    >>> len(cohort.part("train")), cohort.part("test").labels.groups.tolist()
    (2, ['q'])
    """

    images: Items
    labels: Labels
    texts: Items | None = None
    split: np.ndarray | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sides = {"labels": self.labels.ids} | ({} if self.texts is None else {"texts": self.texts.ids})
        for what, ids in sides.items():
            if not np.array_equal(ids, self.images.ids):
                raise DataError(
                    f"the {what} of a cohort ({len(ids)}) do not have the ids of its images ({len(self)}) in the same "
                    f"order. Bring both into one order."
                )
        if self.split is not None:
            object.__setattr__(self, "split", np.asarray(self.split, dtype=np.str_))
            if self.split.shape != (len(self),):
                raise InputError(
                    f"a split of shape {self.split.shape} came with {len(self)} images. Give one name for each image."
                )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def name(self) -> str:
        """Name of the set on its card."""
        return str(self.card.get("name", "the cohort"))

    def take(self, rows: Any) -> Cohort:
        """The items at positions ``rows`` (k,), or where a mask (n,) is true."""
        places = np.asarray(rows)
        places = np.flatnonzero(places) if places.dtype == bool else places.astype(np.int64)
        return Cohort(
            self.images.take(places),
            self.labels.take(places),
            None if self.texts is None else self.texts.take(places),
            None if self.split is None else self.split[places],
            self.card,
        )

    def part(self, name: str) -> Cohort:
        """The items of one published split.

        Raises
        ------
        DataError
            If the set has no split.
        UnknownNameError
            If it has, but none of this name; those it has are listed.
        """
        if self.split is None:
            raise DataError(f"{self.name} has no published split. Divide it by patient, for example in folds.")
        there = sorted(set(self.split.tolist()))
        if name not in there:
            raise UnknownNameError.of(f"split of {self.name}", name, there)
        return self.take(self.split == name)

    def anchors(self) -> AnchorSet:
        """Images to texts, with the patients as groups.

        Raises
        ------
        DataError
            If the set has no texts.
        """
        if self.texts is None:
            raise DataError(
                f"{self.name} was read without reports, so its images have no texts to pair with. Take anchors from "
                f"a set with reports, or name the column of texts."
            )
        return AnchorSet(self.images.ids, self.images, self.texts, self.labels.groups, self.card)


def read_cohort(layout: str, root: str | Path, /, **settings: Any) -> Cohort:
    """A data set from the folder it was downloaded or described in.

    Parameters
    ----------
    layout
        ``"table"`` for a CSV of your own, or a published layout: one of ``LAYOUTS``.
    root
        The folder that holds the tables as they are published.
    **settings
        Settings of the layout's reader, among them ``uncertain`` (the meaning of an uncertain label; see
        :func:`stitchkit.read_labels`) and ``missing``: ``"error"``, or ``"skip"`` to leave out and count rows whose
        image file is not there.

    Returns
    -------
    Cohort
        Every row that was left out is counted by reason in ``card["left_out"]``.

    Raises
    ------
    UnknownNameError
        For a layout, setting or policy that does not exist, listing the nearest.
    DataError
        For a missing file, a header that differs from the published one, a cell that cannot be read or an image
        that is not there: file, row and column, never the cell.
    """
    if layout not in LAYOUTS:
        raise UnknownNameError.of("data layout", layout, LAYOUTS, "For a CSV of your own, take the layout 'table'.")
    module, attribute = LAYOUTS[layout].split(":")
    read = getattr(import_module(module), attribute)
    parameters = inspect.signature(read).parameters.values()
    known = {one.name: one.annotation for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY}
    for name, value in settings.items():
        if name not in known:
            raise UnknownNameError.of(f"setting of the layout {layout!r}", name, known)
        _check_type(layout, name, value, known[name])
    folder = checked_path(root)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}. Give the folder that holds the tables of {layout!r}.")
    cohort: Cohort = read(folder, **settings)
    return cohort


def _check_type(layout: str, name: str, value: Any, annotation: str) -> None:
    """Raise for a setting of another type than its reader's ``annotation``, such as ``"Sequence[str] | None"``."""
    kinds = annotation.split(" | ")
    texts = _is_text_or_texts(value)
    fits = {
        "None": value is None,
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "str": isinstance(value, str),
        "Sequence[str]": texts and not isinstance(value, str),
        "Classes": (texts and not isinstance(value, str)) or isinstance(value, Mapping),
        "Folders": isinstance(value, Mapping) and all(_is_text_or_texts(one) for one in value.values()),
    }
    if not any(fits[kind] for kind in kinds):
        wanted = " or ".join(_IN_WORDS[kind] for kind in kinds if kind in _IN_WORDS)
        raise InputError(f"the setting {name!r} of the layout {layout!r} is {wanted}; got {value!r}.")


def _is_text_or_texts(value: Any) -> bool:
    """True for a text or a list of texts."""
    return isinstance(value, Sequence) and all(isinstance(one, str) for one in value)
