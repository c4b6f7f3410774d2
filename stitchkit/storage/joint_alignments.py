"""Alignments of many spaces on disk: an artefact folder with every map, exact to the last bit."""

from __future__ import annotations

from pathlib import Path

from stitchkit.core.errors import InputError
from stitchkit.core.joint_alignments import JointAlignment
from stitchkit.storage.artefact_schemas import check_finite
from stitchkit.storage.artefacts import pack_joint, unpack_joint
from stitchkit.storage.cards import model_card
from stitchkit.storage.folders import read_folder, write_folder


def save_joint(joint: JointAlignment, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write an alignment of many spaces to a folder: ``config.json``, ``model.safetensors`` and the card ``README.md``.

    Parameters
    ----------
    joint
        Joint alignment of :func:`stitchkit.align_many`.
    overwrite
        Replace an earlier artefact at ``folder``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        If ``folder`` is a file or holds something else, ``joint`` is no joint alignment, or its arrays are not finite.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from stitchkit import align_many
    >>> z = np.random.default_rng(0).normal(size=(50, 3))
    >>> joint = align_many({"xray": z, "text": z[:, ::-1]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     back = load_joint(save_joint(joint, f"{folder}/joint"))
    >>> back.names, bool((back.map_of("text")(z) == joint.map_of("text")(z)).all())
    (('xray', 'text'), True)
    """
    if not isinstance(joint, JointAlignment):
        raise InputError(
            f"save_joint takes an alignment of many spaces, from sk.align_many; got {type(joint).__name__}. An "
            f"alignment of two is saved by sk.save_alignment."
        )
    config, arrays = pack_joint(joint)
    check_finite(arrays, "this joint alignment")
    return write_folder(folder, config, arrays, _card(joint), overwrite=overwrite)


def load_joint(folder: str | Path) -> JointAlignment:
    """An alignment of many spaces from a folder of :func:`save_joint`, as numpy arrays.

    Raises
    ------
    ModelUnavailableError
        If the folder or a file in it is missing, cut off, of another version, or does not hold together.
    """
    config, arrays = read_folder(folder)
    return unpack_joint(config, arrays)


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
        code=['joint = sk.load_joint("this folder")', f"similarity = joint.between({a!r}, {b!r}).similarity(x, y)"],
    )
