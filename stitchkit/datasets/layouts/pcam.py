"""PatchCamelyon (PCam): 327,680 patches of lymph node sections, with tumour in the middle or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import DataError, MissingExtraError, UnknownNameError
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import Part, assemble
from stitchkit.datasets.layouts.image_files import checked_missing
from stitchkit.datasets.layouts.label_cells import checked_uncertain
from stitchkit.datasets.layouts.published import PublishedTable, names_of, read_published, there_is

STEM = "camelyonpatch_level_2_split_{}_{}"
SPLITS = {"train": "train", "val": "valid", "test": "test"}  # what the cohort calls it; in the files' names
CLASSES = ("normal", "tumor")  # by the number of y
META = ",coord_y,coord_x,tumor_patch,center_tumor_patch,wsi"
TABLES = {
    name: PublishedTable((STEM.format(part, "meta") + ".csv",), META, "public code that reads or writes such a file")
    for name, part in SPLITS.items()
}
CARD = {
    "name": "PatchCamelyon",
    "layout": "pcam",
    "source": "Veeling et al., Rotation Equivariant CNNs for Digital Pathology, MICCAI 2018, "
    "https://github.com/basveeling/pcam",
    "licence": "CC0 1.0",
    "labels": "'tumor' is present where y is 1, 'normal' where it is 0; 1 says that a pixel of the 32 x 32 in the "
    "middle is of a tumour",
    "split": "the files named train, valid ('val') and test; by slide",
}
SLIDES = "none are published; the slide (wsi) stands for one"
ALONE = "none are published, and a table of slides (..._meta.csv) was not there for every split that was read"


def read(
    root: Path, *, splits: str | Sequence[str] | None = None, uncertain: str = "error", missing: str = "error"
) -> Cohort:
    """PCam as downloaded and unpacked; needs h5py.

    Images stay on disk where the file stores them in one piece, as NumPy's memory map gives its rows; else those of the
    splits that are read fill the memory (train 7.2 GB, val and test 0.9 GB each).

    Parameters
    ----------
    root
        Holds ``camelyonpatch_level_2_split_train_x.h5``, ``..._train_y.h5`` and, for the slides,
        ``..._train_meta.csv``; the same of ``valid`` and ``test``.
    splits
        ``"train"``, ``"val"`` or ``"test"``, or several. Default: those that are there.
    uncertain
        Accepted as for the other sets; no label is uncertain.
    missing
        Accepted as for the other sets; the images lie in the archive.

    Returns
    -------
    Cohort
        Images as arrays (96, 96, 3) of uint8, called ``"test 0"``, ...; slides as groups. They stand in no table of
        files.

    Raises
    ------
    MissingExtraError
        Without h5py.
    DataError
        As :func:`~stitchkit.datasets.cohorts.read_cohort`.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    wanted = names_of(splits or tuple(name for name in SPLITS if _file(root, name, "x").is_file()))
    for name in wanted:
        if name not in SPLITS:
            raise UnknownNameError.of("split of PatchCamelyon", name, SPLITS)
    if not wanted:
        raise DataError(f"{root} holds no {_file(root, 'test', 'x').name}, nor that of train or valid. Unpack the .gz.")
    names = [name for name in SPLITS if name in wanted]
    parts = [_part(root, name) for name in names]
    slides = all(part.groups is not None for part in parts)
    tables = [TABLES[name] for name in names if there_is(root, TABLES[name])]
    files = PublishedTable((STEM.format("...", "x") + ".h5",), "x (n, 96, 96, 3) uint8; y (n, 1, 1, 1)", "its page")
    return assemble(CARD | {"patients": SLIDES if slides else ALONE}, [*tables, files], CLASSES, parts)


def _part(root: Path, name: str) -> Part:
    path = _file(root, name, "x")
    images, labels = _array(path, "x"), _array(_file(root, name, "y"), "y")
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise DataError(f"{path}: x is {images.shape} of {images.dtype}; pictures are (n, 96, 96, 3) of uint8. Take "
                        f"the file as it is published.")  # fmt: skip
    tumor = np.asarray(labels).reshape(len(labels), -1)
    if tumor.shape != (len(images), 1) or not np.isin(tumor, (0, 1)).all():
        raise DataError(f"{_file(root, name, 'y')}: y is {labels.shape} for {len(images)} images; labels are 0 or 1 "
                        f"an image. Take the file as it is published.")  # fmt: skip
    ids = [f"{name} {row}" for row in range(len(images))]
    return Part(
        ids,
        list(images),
        np.eye(2)[tumor[:, 0].astype(np.int64)],
        {},
        _slides(root, name, len(images)),
        split=np.full(len(ids), name),
    )


def _slides(root: Path, name: str, n: int) -> list[str] | None:
    """The slide (n,) of each patch; None without the table."""
    if not there_is(root, TABLES[name]):
        return None
    table = read_published(root, TABLES[name], ("wsi",)).table
    if len(table) != n:
        raise DataError(f"{table.path} has {len(table)} rows and {_file(root, name, 'x')} {n} images. Take both files "
                        f"as they are published.")  # fmt: skip
    return list(table.filled_column("wsi"))


def _file(root: Path, name: str, what: str) -> Path:
    return root / f"{STEM.format(SPLITS[name], what)}.h5"


def _array(path: Path, key: str) -> np.ndarray:
    """An array of an HDF5 file, mapped from disk where it is stored in one piece, else read."""
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError(
            f"h5py cannot be imported: {error}. Install it: pip install 'stitchkit[exam]'."
        ) from error
    if not path.is_file():
        raise DataError(f"there is no file {path}. Unpack {path.name}.gz there.")
    try:
        with h5py.File(path, "r") as file:
            stored: Any = file[key]
            start = stored.id.get_offset()  # None where it is stored in chunks
            if start is None or stored.dtype.kind not in "iub":
                return np.asarray(stored[()])
            shape, kind = stored.shape, stored.dtype
        return np.asarray(np.memmap(path, kind, "r", start, shape))
    except (OSError, KeyError, ValueError, RuntimeError, AttributeError) as error:
        raise DataError(
            f"{path} holds no array {key!r} that can be read: {error}. Was it downloaded completely?"
        ) from error
