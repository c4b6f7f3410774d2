"""Encoder, then map, then any head: a stitched model, in memory and as a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stitchkit.core.alignments import Alignment
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, ModelUnavailableError
from stitchkit.core.heads import LinearHead, ZeroShotHead
from stitchkit.core.roles import Encoder
from stitchkit.core.scores import Scores
from stitchkit.core.wording import setting
from stitchkit.embedding import embed
from stitchkit.encoders import ENCODERS, load_encoder, source_encoder
from stitchkit.encoders.consent import Consent, TrustPython, runs_python
from stitchkit.encoders.names import EncoderName
from stitchkit.storage.artefacts import (
    pack_alignment,
    pack_head,
    same_map,
    unpack_model,
)
from stitchkit.storage.folders import check_artefact, read_folder, write_folder

StitchedHead = LinearHead | ZeroShotHead


@dataclass(frozen=True, slots=True)
class StitchedModel:
    """A frozen encoder whose vectors are read as another's.

    Parameters
    ----------
    encoder
        The source encoder.
    alignment
        From its space to the target space.
    head
        A head of the target space (the target checkpoint's own classifier, or a probe), a zero-shot head over the
        source space, or None.
    target_name
        Name by which a user loads the target encoder.
    """

    encoder: Encoder
    alignment: Alignment
    head: StitchedHead | None = None
    target_name: str = ""

    def embed(self, items: Any, **settings: Any) -> Embeddings:
        """Vectors of ``items`` in the target space's own units; ``settings`` as in ``stitchkit.embed``."""
        mapped: Embeddings = self.alignment.to_target(embed(self.encoder, items, **settings))
        return mapped

    def scores(self, items: Any, **settings: Any) -> Scores:
        """Scores of ``items``: images, texts, or embeddings of the source encoder."""
        if self.head is None:
            raise InputError("this stitched model has no head. Use embed(), or stitch it with one.")
        vectors = items if isinstance(items, Embeddings) else embed(self.encoder, items, **settings)
        reads_target = isinstance(self.head, LinearHead)
        return self.head.scores(self.alignment.to_target(vectors) if reads_target else vectors)

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
        config |= {
            "encoder": findable(self.encoder.name),
            "target_encoder": findable(self.target_name),
            **(extra or {}),
        }
        if self.head is not None:
            head, more = pack_head(self.head)
            config["head"] = head
            arrays |= more
        return write_folder(folder, config, arrays, card(config, command), overwrite=overwrite)


def stitch(
    encoder: Encoder, alignment: Alignment, head: StitchedHead | None = None, *, target_name: str = ""
) -> StitchedModel:
    """Join an encoder, an alignment that starts in its space, and a head that ends in the target's.

    Parameters
    ----------
    head
        A :class:`~stitchkit.LinearHead` over the target space, a zero-shot head over the source space, or None.
    target_name
        Name by which a user loads the target encoder; for the record.

    Raises
    ------
    SpaceMismatchError
        If encoder, alignment and head do not belong together.
    NoDirectedMapError
        If the head reads the target space and the alignment has no map into it.
    """
    alignment.source.require(encoder.space, "the alignment")
    if isinstance(head, LinearHead):
        head.space.require(alignment.to_target.target, "the head")
    elif head is not None:
        head.space.require(encoder.space, "the zero-shot head")
        if not same_map(head.to_common, alignment.source_map):  # the folder keeps one map for both
            raise InputError(
                "the zero-shot head was made from another alignment. Stitch it with the alignment it was made from."
            )
    return StitchedModel(encoder, alignment, head, target_name)


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
    alignment, head = unpack_model(config, arrays)
    if isinstance(encoder, str):
        encoder = load_encoder(
            encoder, device=device, dtype=dtype, trust_remote_code=trust_remote_code, trust_python=trust_python
        )
    if encoder is None:
        if "encoder" not in config:
            raise ModelUnavailableError(
                f"{folder} names no source encoder. Load its alignment alone, or pass " + setting("encoder") + "."
            )
        consent = Consent.of(trust_python, trust_remote_code)
        encoder = source_encoder(config, alignment.source, folder, device=device, dtype=dtype, consent=consent)
    alignment.source.require(encoder.space, f"the stitched folder {Path(folder).name!r}")
    return stitch(encoder, alignment, head, target_name=config.get("target_encoder", ""))


def read_stitched(folder: Path) -> dict[str, Any]:
    """The configuration of a stitched folder that names its source encoder, all of the folder checked.

    Raises
    ------
    InputError
        If it is no folder of stitchkit, or holds a head alone, or a map without its encoder.
    ModelUnavailableError
        If it cannot be read.
    """
    config, arrays = read_folder(check_artefact(folder))
    if "source" not in config:
        raise InputError(f"{folder} holds a head alone, which has no encoder. Name a stitched folder.")
    if not config.get("encoder"):
        raise InputError(
            f"{folder} holds a map between vectors and names no encoder, so it cannot read items. Make a folder that "
            f"can with 'stitchkit stitch SOURCE TARGET --anchors CSV', or in Python with sk.stitch(encoder, "
            f"alignment).save(folder)."
        )
    unpack_model(config, arrays)
    return config


def findable(name: str) -> str:
    """An encoder's name with its paths made absolute; a name of another kind unchanged."""
    parsed = _encoder_name(name)
    return name if parsed is None else str(parsed.resolve())


def card(config: Mapping[str, Any], command: str = "") -> str:
    """The model card (Markdown with Hugging Face front matter) of a stitched folder."""
    from stitchkit.storage.cards import extra_facts, fit_facts, model_card

    record, head = config["record"], config.get("head")
    names = [_encoder_name(name) for name in (config["encoder"], config.get("target_encoder")) if name]
    bases = [one.repository for one in names if one is not None and one.repository is not None]
    task = "zero-shot-image-classification" if head and head["kind"] == "zero-shot" else "feature-extraction"
    front = ["---", "library_name: stitchkit", *(["base_model:"] if bases else []), *[f"- {name!r}" for name in bases]]
    front += [f"pipeline_tag: {task}", "---"]
    source, target = (_public(str(config[side]["name"])) for side in ("source", "target"))
    facts = {
        "Source encoder": f"`{_public(config['encoder'])}` ({config['source']['dim']} wide)",
        "Target space": f"`{target}` ({config['target']['dim']} wide)",
        **fit_facts(record),
        "Head": "none" if not head else f"{head['kind']}: {', '.join(head['classes'])}",
    }
    code = ["# it names Python code: read that, then pass trust_python=[its name], which the error shows"]
    return model_card(
        f"{source} stitched to {target}",
        (facts | extra_facts(config)).items(),
        notes=record.get("notes", []),
        command=command,
        front=front,
        code=[
            *(code if runs_python(config["encoder"]) else []),
            'model = sk.load("this folder")',
            "print(model.scores(['scan.png']))" if head else "print(model.embed(['scan.png']))",
        ],
    )


def _encoder_name(name: str) -> EncoderName | None:
    """The parts of an encoder's name; None for a name of another kind, as that of a file of vectors."""
    return EncoderName.parse(name) if name.partition(":")[0] in ENCODERS else None


def _public(name: str) -> str:
    """A name without the folders of this machine."""
    parsed = _encoder_name(name)
    return Path(name).name if parsed is None and os.path.isabs(name) else name if parsed is None else parsed.public
