"""Fused heads on disk, with encoders that are found wherever the folder is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from stitchkit.core.fused_heads import FusedHead
from stitchkit.stitching import findable
from stitchkit.storage.fused_heads import write_fused


def save_fused(
    head: FusedHead,
    folder: str | Path,
    *,
    command: str = "",
    overwrite: bool = False,
    fill: Callable[[Path], None] | None = None,
) -> Path:
    """Write a fused head to a folder; see :func:`stitchkit.save`.

    Parameters
    ----------
    fill
        Writes further files into the new folder, which it is given, before that takes its name.
    """
    modalities = tuple(replace(one, encoder=findable(one.encoder)) for one in head.modalities)
    return write_fused(replace(head, modalities=modalities), folder, command=command, overwrite=overwrite, fill=fill)
