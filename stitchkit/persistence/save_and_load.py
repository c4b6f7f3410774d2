"""The verbs ``save`` and ``load``: fitted values on disk, the same to the last bit when they are read again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stitchkit.core.alignments import Alignment
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.heads import LinearHead
from stitchkit.core.roles import Encoder
from stitchkit.core.wording import setting
from stitchkit.encoders.consent import TrustPython
from stitchkit.stitching import StitchedModel, load_stitched
from stitchkit.storage.artefacts import unpack_alignment, unpack_linear_head, unpack_model
from stitchkit.storage.folders import read_folder
from stitchkit.storage.path_checks import checked_path

if TYPE_CHECKING:
    from stitchkit.alignment.binding.bound_space import BoundSpace
    from stitchkit.core.calibrations import Calibration, Thresholds
    from stitchkit.core.fused_heads import FusedHead
    from stitchkit.core.joint_alignments import JointAlignment
    from stitchkit.core.moments.moments import Moments

PARTS = ("alignment", "head", "calibration", "thresholds")
DECISIONS = {"calibration", "thresholds"}
IN_ALIGNMENTS = {"source", "target", "record", "encoder"}  # keys that those folders have not


def save(
    value: StitchedModel
    | Alignment
    | JointAlignment
    | BoundSpace
    | LinearHead
    | FusedHead
    | Calibration
    | Thresholds
    | Moments,
    path: str | Path,
    *,
    extra: Mapping[str, Any] | None = None,
    command: str = "",
    overwrite: bool = False,
) -> Path:
    """Write a fitted value, whole or not at all; :func:`load` reads it.

    Moments are one ``.safetensors`` file of sums; everything else is a folder of ``config.json``,
    ``model.safetensors`` and the card ``README.md``, which ``stitchkit info`` describes.

    Parameters
    ----------
    value
        A stitched model of :func:`stitchkit.stitch`, an alignment of :func:`stitchkit.align` (maps of any kind, arrays
        of any library) or of :func:`stitchkit.align_many`, a bound space of :func:`stitchkit.bind`, a linear head (a
        probe, say), a fused head of :func:`stitchkit.fuse`, a calibration or thresholds (the items of their fit are
        kept as hashes), or moments.
    path
        The folder, or the file of moments; what lies above it is made if need be.
    extra
        Facts for the config of a stitched model, a bound space or an alignment of two spaces, under ``"anchor_set"``
        and ``"measured"`` for its card too: provenance of the anchors, numbers of your own.
    command
        Command line that made a stitched model, a bound space, an alignment of two spaces or a fused head, for its
        card.
    overwrite
        Replace an earlier artefact at ``path``.

    Returns
    -------
    Path
        The folder or file.

    Raises
    ------
    InputError
        If ``value`` is of another kind or its arrays are not finite, if ``path`` holds something (with ``overwrite``:
        something that is not of this package), or if ``extra`` names what the folder says itself.
    UnknownNameError
        For a map of a kind that cannot be saved.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import stitchkit as sk
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> before = sk.align(x, x[:, ::-1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     after = sk.load(sk.save(before, f"{folder}/map"))
    >>> bool((after.similarity(x, x[:, ::-1]) == before.similarity(x, x[:, ::-1])).all())
    True
    """
    if isinstance(value, StitchedModel):
        return value.save(path, extra=extra, command=command, overwrite=overwrite)
    if isinstance(value, Alignment):
        from stitchkit.storage.alignments import save_alignment

        return save_alignment(value, path, extra=extra, command=command, overwrite=overwrite)
    from stitchkit.alignment.binding.bound_space import BoundSpace

    if isinstance(value, BoundSpace):
        from stitchkit.persistence.bound_folders import save_bound

        return save_bound(value, path, command=command, extra=extra, overwrite=overwrite)
    name = type(value).__name__
    if extra:
        raise InputError(f"{name} is saved without " + setting("extra") + ". Leave it out.")
    from stitchkit.core.fused_heads import FusedHead

    if isinstance(value, FusedHead):
        from stitchkit.persistence.fused_folders import save_fused

        return save_fused(value, path, command=command, overwrite=overwrite)
    if command:
        raise InputError(f"{name} is saved without " + setting("command") + ". Leave it out.")
    if isinstance(value, LinearHead):
        from stitchkit.storage.heads import save_head

        return save_head(value, path, overwrite=overwrite)
    from stitchkit.core.calibrations import Calibration, Thresholds
    from stitchkit.core.joint_alignments import JointAlignment
    from stitchkit.core.moments.moments import Moments

    if isinstance(value, Calibration):
        from stitchkit.storage.calibrations import save_calibration

        return save_calibration(value, None, path, overwrite=overwrite)
    if isinstance(value, Thresholds):
        from stitchkit.storage.calibrations import save_calibration

        return save_calibration(None, value, path, overwrite=overwrite)
    if isinstance(value, JointAlignment):
        from stitchkit.storage.joint_alignments import save_joint

        return save_joint(value, path, overwrite=overwrite)
    if isinstance(value, Moments):
        from stitchkit.storage.moments import save_moments

        return save_moments(value, path, overwrite=overwrite)
    raise InputError(
        f"stitched models, alignments, bound spaces, heads, calibrations, thresholds and moments are saved; got "
        f"{name}. Vectors are written by sk.write_embeddings; a zero-shot head is saved with its alignment, by "
        f"sk.save(sk.stitch(...), folder)."
    )


def load(
    path: str | Path,
    *,
    part: Literal["alignment", "head", "calibration", "thresholds"] | None = None,
    encoder: Encoder | str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    trust_remote_code: bool = False,
    trust_python: TrustPython = False,
) -> Any:
    """A fitted value that :func:`save` or a command wrote: a stitched model, alignment, head, calibration, moments.

    Arrays come back as numpy's, whatever library they were fitted in. A stitched folder is data: a ``python:`` encoder
    that it names is not loaded without consent.

    Parameters
    ----------
    path
        The folder, or the ``.safetensors`` file of moments.
    part
        ``"alignment"``, ``"head"``, ``"calibration"`` or ``"thresholds"``: this part of a folder alone, without loading
        an encoder. Needed for a folder that holds a calibration and thresholds and no model.
    encoder
        Source encoder of a stitched folder or its name, for a checkpoint that has moved; by default the name on record.
        It must be the one that the map was fitted on, by its fingerprint. With the folder of an alignment it gives a
        stitched model without a head.
    device, dtype, trust_remote_code
        Arguments of :func:`stitchkit.load_encoder` for the encoder of a stitched folder.
    trust_python
        ``python:`` names that the folder, or a folder it names, may lead to: a list of them, exactly as they are
        written there, or True for every name. By default none, and the error shows the name.

    Returns
    -------
    Any
        A StitchedModel, Alignment, JointAlignment, BoundModel, LinearHead, FusedHead, ZeroShotHead, a calibration,
        Thresholds or Moments.

    Raises
    ------
    SpaceMismatchError
        If the weights or preprocessing of a stitched folder's encoder are no longer those the map was fitted on.
    ModelUnavailableError
        If the folder or the encoder cannot be read, does not hold together, or names Python code that
        ``trust_python`` does not allow.
    DataError
        If the file is missing, damaged, or not of moments.
    InputError
        If there is no such ``part``, or the folder lacks it.
    """
    if part is not None and part not in PARTS:
        raise UnknownNameError.of("part of a stitched folder", part, PARTS)
    if Path(checked_path(path)).suffix == ".safetensors" and not Path(path).is_dir():
        from stitchkit.storage.moments import load_moments

        return load_moments(path)
    config, arrays = read_folder(path)
    if config.get("kind") in ("shared encoder", "tuned pair"):
        raise InputError(
            f"{path} holds trained encoders. Load one of its modalities, with "
            f"sk.load_encoder('stitchkit:FOLDER#modality=NAME')."
        )
    if config.get("kind") == "bound":
        from stitchkit.persistence.bound_models import load_bound

        if part is not None or encoder is not None:
            named = setting("part") if part is not None else setting("encoder")
            raise InputError(
                f"{path} holds bound modalities. Load it without " + named + f", or one of them: {path}/NAME."
            )
        return load_bound(
            path, device=device, dtype=dtype, trust_remote_code=trust_remote_code, trust_python=trust_python
        )
    if config.get("kind") == "fused":
        from stitchkit.storage.fused_heads import unpack_fused

        if part not in (None, "head") or encoder is not None:
            named = setting("encoder") if encoder is not None else setting("part")
            raise InputError(f"{path} holds a fused head, which reads vectors. Load it without " + named + ".")
        return unpack_fused(config, arrays)
    if config.get("kind") == "joint":
        from stitchkit.storage.artefacts import unpack_joint

        if part is not None:
            raise InputError(f"{path} holds an alignment of many spaces. Load it without " + setting("part") + ".")
        return unpack_joint(config, arrays)
    alone = not IN_ALIGNMENTS & config.keys()  # a head, or a fit on scores, in a folder of its own
    if part in DECISIONS or (part is None and alone and DECISIONS & config.keys()):
        return _decision(path, config, part)
    if alone and "head" in config and part in (None, "head"):
        return unpack_linear_head(config["head"], arrays)
    if alone and part is not None:
        raise InputError(f"{path} holds no {part}. Name the folder of an alignment or of a stitched model.")
    stitched = bool({"encoder", "head"} & config.keys())
    if part == "alignment" or (part is None and encoder is None and not stitched):
        return unpack_alignment(config, arrays)
    if part == "head":
        head = unpack_model(config, arrays)[1]
        if head is None:
            raise InputError(f"{path} holds an alignment without a head. Load it without " + setting("part") + ".")
        return head
    return load_stitched(
        path,
        encoder=encoder,
        device=device,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
        trust_python=trust_python,
    )


def _decision(path: str | Path, config: Mapping[str, Any], part: str | None) -> Calibration | Thresholds:
    """The calibration or the thresholds of a folder."""
    from stitchkit.storage.calibrations import unpack_calibration, unpack_thresholds

    held = [name for name in PARTS if name in DECISIONS & config.keys()]
    if part is None and len(held) > 1:
        raise InputError(f"{path} holds a calibration and thresholds. Name one with " + setting("part", held[0]) + ".")
    wanted = part or held[0]
    result = unpack_calibration(config) if wanted == "calibration" else unpack_thresholds(config)
    if result is None:
        raise InputError(f"{path} holds no {wanted}. Make a folder that does with 'stitchkit calibrate'.")
    return result
