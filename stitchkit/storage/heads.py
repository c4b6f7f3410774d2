"""Linear heads on disk: an artefact folder of their own."""

from __future__ import annotations

from pathlib import Path

from stitchkit.core.errors import InputError
from stitchkit.core.heads import LinearHead
from stitchkit.storage.artefact_schemas import check_finite
from stitchkit.storage.artefacts import pack_head, unpack_linear_head
from stitchkit.storage.cards import model_card
from stitchkit.storage.folders import read_folder, write_folder


def save_head(head: LinearHead, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write a linear head (a probe, say) to a folder of its own; see :func:`stitchkit.save`."""
    config, arrays = pack_head(head)
    check_finite(arrays, "this head")
    card = model_card(
        f"A linear head over {head.space.name}",
        [("Classes", ", ".join(head.classes)), ("Scores", head.kind)],
        code=['head = sk.load("this folder")', "scores = head.scores(vectors)"],
    )
    return write_folder(folder, {"head": config}, arrays, card, overwrite=overwrite)


def load_head(folder: str | Path) -> LinearHead:
    """A linear head from its folder.

    Raises
    ------
    ModelUnavailableError
        If the folder or a file in it is missing or damaged.
    InputError
        If it is the folder of something without a head.
    """
    config, arrays = read_folder(folder)
    if "head" not in config:
        raise InputError(f"{folder} holds no head. Name the folder of a saved head, or of a stitched model with one.")
    return unpack_linear_head(config["head"], arrays)
