"""Alignments of two spaces on disk: an artefact folder with both maps, exact to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stitchkit.core.alignments import Alignment
from stitchkit.core.errors import InputError
from stitchkit.storage.artefact_schemas import check_finite
from stitchkit.storage.artefacts import pack_alignment, unpack_alignment
from stitchkit.storage.cards import extra_facts, fit_facts, model_card
from stitchkit.storage.folders import read_folder, write_folder


def save_alignment(
    alignment: Alignment,
    folder: str | Path,
    *,
    extra: Mapping[str, Any] | None = None,
    command: str = "",
    overwrite: bool = False,
) -> Path:
    """Write an alignment to a folder: ``config.json``, ``model.safetensors`` and the card ``README.md``.

    Parameters
    ----------
    alignment
        Alignment of :func:`stitchkit.align`, with maps of any kind, in arrays of any library.
    extra
        Facts for the config, and under ``"anchor_set"`` and ``"measured"`` for the card: where the anchors come from,
        numbers of your own.
    command
        Command that made it, for the card.
    overwrite
        Replace an earlier artefact at ``folder``.

    Returns
    -------
    Path
        The folder; ``stitchkit info``, ``stitchkit gate`` and ``stitchkit diagnose`` read it.

    Raises
    ------
    InputError
        If ``folder`` is a file or holds something else, ``alignment`` is none, its arrays are not finite, or ``extra``
        names what the folder says itself.
    UnknownNameError
        For a map of a kind that cannot be saved.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from stitchkit import align
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> before = align(x, x[:, ::-1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     after = load_alignment(save_alignment(before, f"{folder}/map"))
    >>> bool((after.similarity(x, x[:, ::-1]) == before.similarity(x, x[:, ::-1])).all())
    True
    """
    if not isinstance(alignment, Alignment):
        raise InputError(
            f"save_alignment takes an alignment of two spaces, from sk.align; got {type(alignment).__name__}. One of "
            f"many spaces is saved by sk.save_joint, a stitched model by its own save."
        )
    config, arrays = pack_alignment(alignment)
    check_finite(arrays, "this alignment")
    if taken := sorted({"maps", *config} & set(extra or {})):
        raise InputError(f"extra may not hold {taken[0]!r}, which the folder says itself. Rename it.")
    config |= extra or {}
    return write_folder(folder, config, arrays, _card(config, command), overwrite=overwrite)


def load_alignment(folder: str | Path) -> Alignment:
    """An alignment from a folder of :func:`save_alignment` or ``stitchkit align``, as numpy arrays.

    Whatever library it was fitted in, numpy arrays come back, the same to the last bit. Of a stitched folder it is
    the alignment alone, without loading an encoder.

    Raises
    ------
    ModelUnavailableError
        If the folder or a file in it is missing, cut off, of another version, or does not hold together.
    """
    config, arrays = read_folder(folder)
    return unpack_alignment(config, arrays)


def _card(config: Mapping[str, Any], command: str) -> str:
    source, target, record = config["source"], config["target"], config["record"]
    sides = {"Source space": source, "Target space": target}
    facts = {name: f"`{one['name']}`, {one['dim']} wide" for name, one in sides.items()}
    return model_card(
        f"{source['name']} aligned to {target['name']}",
        (facts | fit_facts(record) | extra_facts(config)).items(),
        notes=record.get("notes", []),
        summary="Fitted on vectors; names no encoder.",
        command=command,
        code=['alignment = sk.load_alignment("this folder")', "similarity = alignment.similarity(x, y)"],
    )
