"""Alignments of many spaces on disk: an artefact folder with every map, exact to the last bit."""

from __future__ import annotations

from pathlib import Path

from stitchkit.core.joint_alignments import JointAlignment
from stitchkit.storage.artefact_schemas import check_finite
from stitchkit.storage.artefacts import pack_joint
from stitchkit.storage.cards import model_card
from stitchkit.storage.folders import write_folder


def save_joint(joint: JointAlignment, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write an alignment of many spaces to a folder; see :func:`stitchkit.save`."""
    config, arrays = pack_joint(joint)
    check_finite(arrays, "this joint alignment")
    return write_folder(folder, config, arrays, _card(joint), overwrite=overwrite)


def _card(joint: JointAlignment) -> str:
    record, (a, b) = joint.record, joint.names[:2]
    return model_card(
        f"{', '.join(joint.names)} in one space",
        [
            *((name, f"{one.source.name}, {one.source.dim} wide") for name, one in joint.maps.items()),
            ("Common space", f"{joint.common.dim} wide"),
            ("Found by", f"{record.get('solver')}, from {record.get('anchors')} items"),
        ],
        notes=record.get("notes", []),
        code=['joint = sk.load("this folder")', f"similarity = joint.between({a!r}, {b!r}).similarity(x, y)"],
    )
