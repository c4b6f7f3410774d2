"""MedMNIST and MedMNIST+: small images of one set in a NumPy archive, with the published split."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stitchkit.core.errors import DataError
from stitchkit.core.wording import setting
from stitchkit.datasets.cohorts import Cohort
from stitchkit.datasets.layouts.assembling import Part, assemble
from stitchkit.datasets.layouts.image_files import checked_missing
from stitchkit.datasets.layouts.label_cells import checked_uncertain
from stitchkit.datasets.layouts.published import PublishedTable
from stitchkit.storage.path_checks import checked_file

SPLITS = ("train", "val", "test")
CARD = {
    "layout": "medmnist",
    "source": "Yang et al., MedMNIST v2, Scientific Data 10, 41 (2023), https://zenodo.org/records/10519652",
    "licence": "CC BY 4.0, of DermaMNIST CC BY-NC 4.0",
    "labels": "the class whose number stands there is present, all others are absent; of several labels an image (as "
    "in ChestMNIST) each is 1 or 0",
    "patients": "none are published; whether two images are of one patient is not known",
    "split": "train, val and test of the archive",
}


def read(
    root: Path,
    *,
    file: str | None = None,
    classes: Sequence[str] | None = None,
    uncertain: str = "error",
    missing: str = "error",
) -> Cohort:
    """One set of MedMNIST or MedMNIST+, of any size of pictures; volumes are not read.

    Parameters
    ----------
    root
        Holds the archive.
    file
        Name of the archive: ``"dermamnist_224.npz"``. Default: the only ``.npz`` file there.
    classes
        Names of the classes in the order of their numbers. Default: the numbers.
    uncertain
        Accepted as for the other sets; no label is uncertain.
    missing
        Accepted as for the other sets; the images lie in the archive.

    Returns
    -------
    Cohort
        Images as arrays (s, s) or (s, s, 3) of uint8, called ``"train 0"``, ...; a split that the archive lacks is
        passed over. They stand in no table of files.

    Raises
    ------
    DataError
        For a damaged archive, Python objects in it, arrays of other shapes, and a label that is no class, with its row.
    """
    checked_uncertain(uncertain)
    checked_missing(missing)
    path = _archive(root, file)
    arrays = _arrays(path)
    labels = {split: _labels(path, split, arrays) for split in SPLITS if f"{split}_images" in arrays}
    several = {len(one.shape) > 1 for one in labels.values()}
    if not labels or len(several) > 1:
        raise DataError(
            f"{path} holds {', '.join(arrays) or 'nothing'}; needed are train_images and train_labels, or those of val "
            f"or test, with labels of one shape. Take the archive as it is published."
        )
    names = _names(path, labels, classes)
    parts = [_part(path, split, arrays[f"{split}_images"], numbers, names) for split, numbers in labels.items()]
    header = PublishedTable((path.name,), _shapes(arrays), "the arrays of the archive itself")
    return assemble({"name": path.stem, **CARD}, [header], names, parts)


def _archive(root: Path, file: str | None) -> Path:
    if file is not None:
        return Path(checked_file(root / file, "an archive"))
    there = sorted(root.glob("*.npz"))
    if len(there) != 1:
        held = f"{len(there)} files .npz ({', '.join(one.name for one in there[:4])})" if there else "no file .npz"
        raise DataError(f"{root} holds {held}. Name the archive with " + setting("file", text="dermamnist.npz") + ".")
    return there[0]


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the splits; nothing in the archive is run."""
    if not path.is_file():
        raise DataError(f"there is no archive {path}. Check the path.")
    wanted = [f"{split}_{what}" for split in SPLITS for what in ("images", "labels")]
    try:
        # of a file that it did not open itself, NumPy leaves none open when it is damaged
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in wanted if name in archive}
    except (ValueError, OSError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read as an archive of plain arrays: {str(error).splitlines()[0].rstrip('.')}. Was it "
            f"downloaded completely?"
        ) from error


def _labels(path: Path, split: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Class numbers (n,), or labels (n, c) where an image has several."""
    images, labels = arrays[f"{split}_images"], arrays.get(f"{split}_labels")
    if images.dtype != np.uint8 or not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)):
        raise DataError(
            f"{path}: {split}_images is {images.shape} of {images.dtype}; pictures are (n, s, s) or (n, s, s, 3) of "
            f"uint8. Volumes of MedMNIST 3D are not read."
        )
    if labels is None or labels.dtype.kind not in "iub" or labels.ndim not in (1, 2) or len(labels) != len(images):
        shape = "missing" if labels is None else f"{labels.shape} of {labels.dtype}"
        raise DataError(
            f"{path}: {split}_labels is {shape}; for {len(images)} images it is (n, 1) or (n, c) of integers. Take "
            f"the archive as it is published."
        )
    return labels.reshape(-1) if labels.ndim == 1 or labels.shape[1] == 1 else labels


def _names(path: Path, labels: dict[str, np.ndarray], classes: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the classes; as many as the labels need."""
    every = list(labels.values())
    several = every[0].ndim > 1
    needed = every[0].shape[1] if several else 1 + max((int(one.max()) for one in every if one.size), default=0)
    names = tuple(classes) if classes is not None else tuple(str(number) for number in range(needed))
    if len(set(names)) < len(names) or (several and len(names) != needed):
        raise DataError(
            f"{path} has {needed} labels an image and {len(set(names))} different names of classes came. Give each its "
            "own name with " + setting("classes") + "."
        )
    return names


def _part(path: Path, split: str, images: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> Part:
    highest = 1 if labels.ndim > 1 else len(names) - 1
    odd = (labels < 0) | (labels > highest)
    if odd.any():
        row = int(np.argwhere(odd)[0][0])
        raise DataError(
            f"{path}, row {row} of {split}_labels: the label is {int(labels[odd][0])}; labels are 0 to {highest}. Name "
            "every class with " + setting("classes") + ", or take the archive as it is published."
        )
    values = labels.astype(np.float64) if labels.ndim > 1 else np.eye(len(names))[labels.astype(np.int64)]
    ids = [f"{split} {row}" for row in range(len(images))]
    return Part(ids, list(images), values, {}, split=np.full(len(ids), split))


def _shapes(arrays: dict[str, np.ndarray]) -> str:
    return ", ".join(f"{name} {one.shape} {one.dtype}" for name, one in arrays.items())
