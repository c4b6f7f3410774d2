"""Miniature copies of downstream evaluation sets, as :mod:`published_copies` has them of the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from published_copies import Copy, picture

FOLDERS = {"Benign": "Photos/Benign", "Normal": ["Photos/Normal", "More/Normal"]}


def folders(root: Path) -> Path:
    """BACH, with a second folder of one class, and a file that is no image."""
    for name in ("Photos/Benign/b001.tif", "Photos/Benign/b002.tif", "Photos/Normal/n001.tif", "More/Normal/n001.tif"):
        picture(root / name)
    (root / "Photos" / "Normal" / "Thumbs.db").write_bytes(b"0")
    (root / "Photos" / "Normal" / ".n002.tif").write_bytes(b"0")
    return root


def medmnist(root: Path, name: str = "dermamnist_224.npz", labels: int = 1, **changed: np.ndarray) -> Path:
    """An archive of 4, 2 and 3 images of 6 x 6 pixels, of which every pixel tells its row."""
    arrays = {}
    for split, n in (("train", 4), ("val", 2), ("test", 3)):
        arrays[f"{split}_images"] = np.tile(np.arange(n, dtype=np.uint8)[:, None, None, None], (1, 6, 6, 3))
        arrays[f"{split}_labels"] = (np.arange(n * labels).reshape(n, labels) % (3 if labels == 1 else 2)).astype("u1")
    np.savez(root / name, **(arrays | changed))
    return root


EVALUATION_COPIES = {
    "folders": Copy(folders, "", "", "", 4, {"no image file": 1}, {"folders": FOLDERS}),
    "medmnist": Copy(medmnist, "", "", "", 9),
}
NEEDS: dict[str, str] = {}  # layout -> the library that reads its files
NOT_HERE: dict[str, str] = {}  # the same of those that cannot be imported
