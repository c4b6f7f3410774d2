"""Alignments of two spaces on disk: an artefact folder with both maps, exact to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stitchkit.core.alignments import Alignment
from stitchkit.core.errors import InputError
from stitchkit.storage.artefact_schemas import check_finite
from stitchkit.storage.artefacts import pack_alignment
from stitchkit.storage.cards import extra_facts, fit_facts, model_card
from stitchkit.storage.folders import write_folder


def save_alignment(
    alignment: Alignment,
    folder: str | Path,
    *,
    extra: Mapping[str, Any] | None = None,
    command: str = "",
    overwrite: bool = False,
) -> Path:
    """Write an alignment of two spaces to a folder; the parameters are those of :func:`stitchkit.save`."""
    config, arrays = pack_alignment(alignment)
    check_finite(arrays, "this alignment")
    if taken := sorted({"maps", *config} & set(extra or {})):
        raise InputError(f"extra may not hold {taken[0]!r}, which the folder says itself. Rename it.")
    config |= extra or {}
    return write_folder(folder, config, arrays, _card(config, command), overwrite=overwrite)


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
        code=['alignment = sk.load("this folder")', "similarity = alignment.similarity(x, y)"],
    )
