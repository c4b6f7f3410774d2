"""Encoder, then map, then any head: a stitched model, in memory and as a folder."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchkit.core.alignments import Alignment, anchors_in_words, map_in_words
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, StitchError
from stitchkit.core.heads import LinearHead, ZeroShotHead
from stitchkit.core.roles import Encoder
from stitchkit.core.scores import Provenance, Scores
from stitchkit.core.wording import counted, setting
from stitchkit.embedding import embed
from stitchkit.encoders import ENCODERS, load_encoder, source_encoder
from stitchkit.encoders.consent import Consent, TrustPython, runs_python
from stitchkit.encoders.names import FAMILY, LOCAL, EncoderName
from stitchkit.storage.artefacts import (
    pack_alignment,
    pack_head,
    same_map,
    unpack_model,
)
from stitchkit.storage.folders import MANIFEST, check_artefact, raw_config, read_folder, refresh_folder, write_folder
from stitchkit.storage.path_checks import resolved_path

if TYPE_CHECKING:  # of which scoring one image needs none
    from stitchkit.core.calibrations import Calibration, Thresholds

StitchedHead = LinearHead | ZeroShotHead
FACTS = ("anchor_set", "prompts")  # keys of a folder's config that tell what the model was fitted on
BUNDLED = "bundled"  # key of the names that a bundle's encoders had before they were copied


@dataclass(frozen=True, slots=True, repr=False)
class StitchedModel:
    """A frozen encoder whose vectors are read as another's.

    Parameters
    ----------
    encoder
        The source encoder; None where it is known by its vectors alone, which are then what is scored.
    alignment
        From its space to the target space.
    head
        A head of the target space (the target checkpoint's own classifier, or a probe), a zero-shot head over the
        source space, or None.
    target_name
        Name by which a user loads the target encoder.
    calibration
        Map of the head's scores to probabilities, from :func:`stitchkit.calibrate`, or None.
    thresholds
        Scores, or probabilities, from which on classes are called present, or None.
    facts
        Table of the anchors and prompts, as the config of the model's folder has them; empty where not known.
    """

    encoder: Encoder | None
    alignment: Alignment
    head: StitchedHead | None = None
    target_name: str = ""
    calibration: Calibration | None = None
    thresholds: Thresholds | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def provenance(self) -> Provenance:
        """Origin of this model's scores: its encoders, map, head and anchors."""
        record, head = self.alignment.record, self.head
        table, prompts = (self.facts.get(key, {}) for key in FACTS)
        named = head is not None and not isinstance(head, LinearHead)
        pairs = [str(table.get("table") or ""), anchors_in_words(record) if "anchors" in record else ""]
        kind, bundled = "classes named by text" if named else "linear", self.facts.get(BUNDLED, {})
        source = self.alignment.source.name if self.encoder is None else self.encoder.name
        return Provenance(
            source=bundled.get("encoder") or _public(findable(source)),
            target=bundled.get("target_encoder") or _public(findable(self.target_name or self.alignment.target.name)),
            map=map_in_words(record) if "solver" in record else "",
            head="" if head is None else f"{kind}, {counted(len(head.classes), 'class', 'classes')}",
            prompts=_last_part(str(prompts.get("name") or "")) if named else "",
            prompts_sha256=str(prompts.get("sha256") or "") if named else "",
            anchors=", ".join(one for one in pairs if one),
            anchors_sha256=str(table.get("sha256") or ""),
        )

    def embed(self, items: Any, **settings: Any) -> Embeddings:
        """Vectors of ``items`` in the target space's own units; ``settings`` as in ``stitchkit.embed``."""
        mapped: Embeddings = self.alignment.to_target(self._vectors(items, settings))
        return mapped

    def scores(self, items: Any, **settings: Any) -> Scores:
        """Scores of ``items``, as the head gives them: images, texts, or embeddings of the source encoder."""
        if self.head is None:
            raise InputError("this stitched model has no head. Use embed(), or stitch it with one.")
        vectors = self._vectors(items, settings)
        reads_target = isinstance(self.head, LinearHead)
        scores = self.head.scores(self.alignment.to_target(vectors) if reads_target else vectors)
        return scores.with_provenance(self.provenance)

    def probabilities(self, items: Any, **settings: Any) -> Scores:
        """Calibrated probabilities of ``items``, for the classes that the calibration has.

        Raises
        ------
        InputError
            If the model has no calibration.
        """
        if self.calibration is None:
            raise InputError(
                "this stitched model has no calibration. Fit one with stitchkit.calibrate on scores of labelled items, "
                "and stitch it with " + setting("calibration") + "."
            )
        return self.calibration(self.scores(items, **settings))

    def decide(self, items: Any, **settings: Any) -> dict[str, np.ndarray]:
        """Class -> True for each item that is called present, (n,), for the classes that have a threshold.

        Raises
        ------
        InputError
            If the model has no thresholds.
        """
        if self.thresholds is None:
            raise InputError(
                "this stitched model has no thresholds. Choose them with stitchkit.choose_thresholds on scores of "
                "labelled items, and stitch it with " + setting("thresholds") + "."
            )
        scores = self.scores(items, **settings)
        if self.calibration is not None and self.thresholds.kind == "probability":
            scores = self.calibration(scores)
        calls = self.thresholds.decide(scores)
        known = zip(self.thresholds.classes, self.thresholds.values, strict=True)
        return {label: calls[:, c] for c, (label, value) in enumerate(known) if not np.isnan(value)}

    def __repr__(self) -> str:
        parts = [f"head of {counted(len(self.head.classes), 'class', 'classes')}" if self.head else "no head"]
        parts += ["calibrated"] if self.calibration is not None else []
        return f"StitchedModel({self.alignment.source.name!r} -> {self.alignment.target.name!r}, {', '.join(parts)})"

    def _vectors(self, items: Any, settings: Mapping[str, Any]) -> Embeddings:
        return items if isinstance(items, Embeddings) else embed(self.require_encoder(), items, **settings)

    def require_encoder(self) -> Encoder:
        """The source encoder.

        Raises
        ------
        InputError
            If the source space is known by its vectors alone.
        """
        if self.encoder is None:
            raise InputError(
                f"the source space {self.alignment.source.name!r} is known by its vectors alone, so no encoder reads "
                f"items. Give embeddings, or load the folder with " + setting("encoder", "NAME") + "."
            )
        return self.encoder

    def save(
        self,
        folder: str | Path,
        *,
        extra: Mapping[str, Any] | None = None,
        command: str = "",
        overwrite: bool = False,
    ) -> Path:
        """Write the artefact folder: ``config.json``, ``model.safetensors`` and the card ``README.md``.

        Parameters
        ----------
        extra
            Facts for the config and the card: the anchors' table, hash and licence, measured numbers.
        command
            Command line that made it, for the card.

        Raises
        ------
        InputError
            If ``folder`` already holds something and ``overwrite`` is not set.
        """
        config, arrays = pack_alignment(self.alignment)
        named = {} if self.encoder is None else {"encoder": findable(self.encoder.name)}
        config |= {**named, "target_encoder": findable(self.target_name), **(extra or {})}
        if self.head is not None:
            head, more = pack_head(self.head)
            config["head"] = head
            arrays |= more
        if self.calibration is not None or self.thresholds is not None:
            from stitchkit.storage.calibrations import pack_calibration, pack_thresholds

            config |= pack_calibration(self.calibration) | pack_thresholds(self.thresholds)
        return write_folder(folder, config, arrays, card(config, command), overwrite=overwrite)


def stitch(
    encoder: Encoder | None,
    alignment: Alignment,
    head: StitchedHead | None = None,
    *,
    target_name: str = "",
    calibration: Calibration | None = None,
    thresholds: Thresholds | None = None,
) -> StitchedModel:
    """Join an encoder, an alignment that starts in its space, and a head that ends in the target's.

    Parameters
    ----------
    encoder
        The source encoder; None where only vectors of its space will be scored.
    head
        A :class:`~stitchkit.LinearHead` over the target space, a zero-shot head over the source space, or None.
    target_name
        Name by which a user loads the target encoder; for the record.
    calibration
        From :func:`stitchkit.calibrate`, fitted on scores of this head through this alignment; default none.
    thresholds
        From :func:`stitchkit.choose_thresholds`, on the head's scores or on their calibrated probabilities; default
        none.

    Raises
    ------
    SpaceMismatchError
        If encoder, alignment and head do not belong together.
    NoDirectedMapError
        If the head reads the target space and the alignment has no map into it.
    InputError
        If calibration or thresholds are of other classes, or of scores of another kind.
    """
    if encoder is not None:
        alignment.source.require(encoder.space, "the alignment")
    if isinstance(head, LinearHead):
        head.space.require(alignment.to_target.target, "the head")
    elif head is not None:
        head.space.require(alignment.source if encoder is None else encoder.space, "the zero-shot head")
        if not same_map(head.to_common, alignment.source_map):  # the folder keeps one map for both
            raise InputError(
                "the zero-shot head was made from another alignment. Stitch it with the alignment it was made from."
            )
    if calibration is not None or thresholds is not None:
        _check_decisions(head, calibration, thresholds)
    return StitchedModel(
        encoder=encoder,
        alignment=alignment,
        head=head,
        target_name=target_name,
        calibration=calibration,
        thresholds=thresholds,
    )


def _check_decisions(head: StitchedHead | None, calibration: Calibration | None, thresholds: Thresholds | None) -> None:
    """Raise unless calibration and thresholds are of the head's classes and kind of scores."""
    if head is None:
        raise InputError("calibration and thresholds are of a head's scores, and there is no head. Give it too.")
    for one, what in ((calibration, "calibration"), (thresholds, "thresholds")):
        if one is None:
            continue
        classes = head.classes
        if one is thresholds and calibration is not None and one.kind == "probability":
            classes = calibration.classes
        kinds = [head.kind, *(["probability"] if calibration is not None and one is thresholds else [])]
        if one.kind not in kinds:
            raise InputError(
                f"the {what} read scores of kind {one.kind!r}; the head gives {' or '.join(map(repr, kinds))}. Fit it "
                f"on scores of this model."
            )
        if unknown := [label for label in one.classes if label not in classes]:
            lacks = "head" if classes is head.classes else "calibration"
            raise InputError(
                f"the {what} has a class {unknown[0]!r}, which the {lacks} lacks. Fit it on scores of this model."
            )


def load_stitched(
    folder: str | Path,
    *,
    encoder: Encoder | str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    trust_remote_code: bool = False,
    trust_python: TrustPython = False,
) -> StitchedModel:
    """A stitched model from its folder; the parameters are those of :func:`stitchkit.load`.

    Raises
    ------
    SpaceMismatchError
        If that encoder's weights or preprocessing are no longer those the map was fitted on.
    ModelUnavailableError
        If the folder or the encoder cannot be read, or it names Python code that ``trust_python`` does not allow.
    """
    config, arrays = read_folder(folder)
    model = _with_bundled_names(unpack_stitched(config, arrays), folder)
    if isinstance(encoder, str):
        encoder = load_encoder(
            encoder, device=device, dtype=dtype, trust_remote_code=trust_remote_code, trust_python=trust_python
        )
    source = model.alignment.source
    if encoder is None and "encoder" in config:
        consent = Consent.of(trust_python, trust_remote_code)
        encoder = source_encoder(config, source, folder, device=device, dtype=dtype, consent=consent)
    if encoder is not None:
        source.require(encoder.space, f"the stitched folder {Path(folder).name!r}")
    return replace(model, encoder=encoder)


def add_decisions(
    folder: Path,
    out: Path,
    calibration: Calibration | None,
    thresholds: Thresholds | None,
    *,
    command: str = "",
    overwrite: bool = False,
) -> Path:
    """A copy of a stitched folder with a calibration, thresholds or both beside its head; no encoder is loaded.

    Parameters
    ----------
    folder, out
        The stitched folder, and the folder to write, which may be the same with ``overwrite``.
    calibration, thresholds
        As :func:`stitch` takes them, in place of those that the folder has.
    command
        Command line that made them, for the card.
    overwrite
        Replace an earlier artefact at ``out``.

    Raises
    ------
    InputError
        If they are of other classes or of scores of another kind than the head's.
    ModelUnavailableError
        If the folder cannot be read.
    """
    from stitchkit.storage.bundles import change_bundle, is_bundle
    from stitchkit.storage.calibrations import CALIBRATION, THRESHOLDS, pack_calibration, pack_thresholds

    config, arrays = read_folder(folder)
    _check_decisions(unpack_stitched(config, arrays).head, calibration, thresholds)
    config = raw_config(folder) if is_bundle(folder) else config
    kept = {key: value for key, value in config.items() if key not in (CALIBRATION, THRESHOLDS)}
    kept |= pack_calibration(calibration) | pack_thresholds(thresholds)
    if is_bundle(folder):
        return change_bundle(folder, out, kept, card(kept, command), overwrite=overwrite)
    if overwrite and resolved_path(folder) == resolved_path(out):  # its pages stay
        return refresh_folder(out, kept, arrays, card(kept, command))
    return write_folder(out, kept, arrays, card(kept, command), overwrite=overwrite)


def unpack_stitched(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> StitchedModel:
    """The stitched model of a folder that was read, without its encoder: it scores vectors.

    Raises
    ------
    ModelUnavailableError
        If something is missing or wrong.
    """
    alignment, head = unpack_model(config, arrays)
    calibration = thresholds = None
    if {"calibration", "thresholds"} & config.keys():
        from stitchkit.storage.calibrations import unpack_calibration, unpack_thresholds

        calibration, thresholds = unpack_calibration(config), unpack_thresholds(config)
    model = stitch(
        None,
        alignment,
        head,
        target_name=config.get("target_encoder", ""),
        calibration=calibration,
        thresholds=thresholds,
    )
    return replace(model, facts={key: config[key] for key in FACTS if isinstance(config.get(key), Mapping)})


def read_stitched(folder: Path, *, vectors: bool = False) -> tuple[dict[str, Any], StitchedModel]:
    """The configuration of a stitched folder and its model without the encoder, all of the folder checked.

    Parameters
    ----------
    vectors
        True where vectors will be scored, so that the folder need not name its source encoder. Default False.

    Raises
    ------
    InputError
        If it is no folder of stitchkit, or holds a head alone, or a map without its encoder.
    ModelUnavailableError
        If it cannot be read.
    """
    config, arrays = read_folder(check_artefact(folder))
    if config.get("kind") == "bound":
        names = ", ".join(f"{folder}/{one['name']}" for one in config.get("modalities", []))
        raise InputError(f"{folder} holds bound modalities. Name one of them: {names}.")
    if config.get("kind") == "fused":
        raise InputError(
            f"{folder} holds a fused head of several inputs, which is no stitched folder. Score items with 'stitchkit "
            f"zeroshot' or 'stitchkit evaluate'; to carry it elsewhere, copy the folder and its encoders' files."
        )
    if config.get("kind") in ("shared encoder", "tuned pair"):
        bases = "" if config["kind"] == "shared encoder" else " and the checkpoints that they were trained from"
        raise InputError(
            f"{folder} holds trained encoders, which is no stitched folder. Name one of them, as in "
            f"stitchkit:{folder}#modality=NAME; to carry them elsewhere, copy the folder{bases}."
        )
    if "source" not in config:
        held = "a head" if "head" in config else "a fit on scores"
        raise InputError(f"{folder} holds {held} alone, which scores nothing by itself. Name a stitched folder.")
    if not vectors and not config.get("encoder"):
        raise InputError(
            f"{folder} holds a map between vectors and names no encoder, so it cannot read items. Make a folder that "
            f"can with 'stitchkit stitch SOURCE TARGET --anchors CSV', or in Python with sk.stitch(encoder, "
            f"alignment).save(folder). It can score a file of vectors."
        )
    return config, _with_bundled_names(unpack_stitched(config, arrays), folder)


def _with_bundled_names(model: StitchedModel, folder: str | Path) -> StitchedModel:
    """The model of a bundle with the names that its encoders had before they were copied; another as it is."""
    if not Path(folder, MANIFEST).is_file():
        return model
    from stitchkit.storage.bundles import read_manifest

    return replace(model, facts={**model.facts, BUNDLED: read_manifest(folder)["encoders"]})


def findable(name: str) -> str:
    """An encoder's name with its paths made absolute; a name of another kind unchanged."""
    parsed = _encoder_name(name)
    return name if parsed is None else str(parsed.resolve())


def public_command(command: str) -> str:
    """A command line with the names of its files and folders without the folders that they are in.

    Examples
    --------
    >>> public_command("stitchkit zeroshot /home/ann/model --items=films/test.csv --prompts nih14")
    'stitchkit zeroshot model --items=test.csv --prompts nih14'
    """
    return shlex.join(_public_argument(one) for one in shlex.split(command))


def _public_argument(argument: str) -> str:
    option, equals, value = argument.partition("=") if argument.startswith("-") else ("", "", argument)
    prefix, colon, rest = value.partition(":")
    if not (colon and FAMILY.fullmatch(prefix)):  # a path, or no name at all
        return option + equals + _last_part(value)
    try:
        known = _encoder_name(value)
    except StitchError:
        known = None
    of_hub = known is not None and known.folder is None and not rest.startswith(LOCAL)
    return option + equals + (_public(findable(value)) if of_hub else f"{prefix}:{_last_part(rest)}")


def _last_part(path: str) -> str:
    """The last part of a path of any system."""
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def card(config: Mapping[str, Any], command: str = "") -> str:
    """The model card (Markdown with Hugging Face front matter) of a stitched folder."""
    from stitchkit.storage.cards import extra_facts, fit_facts, model_card

    record, head, decisions = config["record"], config.get("head"), {}
    if {"calibration", "thresholds"} & config.keys():
        from stitchkit.storage.calibrations import decision_facts

        decisions = decision_facts(config)
    encoder = config.get("encoder")
    names = [_encoder_name(name) for name in (encoder, config.get("target_encoder")) if name]
    bases = [one.repository for one in names if one is not None and one.repository is not None]
    task = "zero-shot-image-classification" if head and head["kind"] == "zero-shot" else "feature-extraction"
    front = ["---", "library_name: stitchkit", *(["base_model:"] if bases else []), *[f"- {name!r}" for name in bases]]
    front += [f"pipeline_tag: {task}", "---"]
    source, target = (_public(str(config[side]["name"])) for side in ("source", "target"))
    facts = {
        "Source encoder" if encoder else "Source space": f"`{_public(encoder or source)}` "
        f"({config['source']['dim']} wide)",
        "Target space": f"`{target}` ({config['target']['dim']} wide)",
        **fit_facts(record),
        "Head": "none" if not head else f"{head['kind']}: {', '.join(head['classes'])}",
        **decisions,
    }
    items = "['scan.png']" if encoder else "vectors"
    code = ["# it names Python code: read that, then pass trust_python=[its name], which the error shows"]
    return model_card(
        f"{source} stitched to {target}",
        (facts | extra_facts(config)).items(),
        notes=record.get("notes", []),
        command=command,
        front=front,
        code=[
            *(code if encoder and runs_python(encoder) else []),
            'model = sk.load("this folder")',
            f"print(model.{'scores' if head else 'embed'}({items}))",
            *([f"print(model.probabilities({items}))"] if "calibration" in config else []),
        ],
    )


def _encoder_name(name: str) -> EncoderName | None:
    """The parts of an encoder's name; None for a name of another kind, as that of a file of vectors."""
    return EncoderName.parse(name) if name.partition(":")[0] in ENCODERS else None


def _public(name: str) -> str:
    """A name without the folders of this machine."""
    parsed = _encoder_name(name)
    if parsed is not None:
        return parsed.public
    if os.path.isabs(name):
        return Path(name).name
    from stitchkit.storage.cards import without_folders

    return without_folders(name)  # that of a hub holds the names of several encoders
