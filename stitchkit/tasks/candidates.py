"""Candidates of an exam: an encoder of images by name, and what reads texts for it, if anything does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stitchkit.core.alignments import Alignment
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, MissingExtraError, ModelUnavailableError, NoDirectedMapError
from stitchkit.core.roles import Encoder
from stitchkit.encoders import load_encoder, source_encoder
from stitchkit.encoders.clip_pairs import clip_alignment
from stitchkit.encoders.consent import Consent, TrustPython
from stitchkit.encoders.names import EncoderName
from stitchkit.stitching import StitchedModel, load_stitched, read_stitched


@dataclass(frozen=True, slots=True)
class Candidate:
    """An encoder that sits the exam.

    Parameters
    ----------
    name
        Its name in print.
    encoder
        Encoder of the images.
    alignment
        Map from its space to that of ``text``, or of a target without texts; None for an encoder by itself.
    text
        Encoder of the prompts and captions, or None: then there is no zero-shot.
    is_stitched
        Probes read the vectors behind the map, in the target space.
    remark
        Reason why there is no zero-shot where ``text`` is None.
    """

    name: str
    encoder: Encoder
    alignment: Alignment | None = None
    text: Encoder | None = None
    is_stitched: bool = False
    remark: str = "it is an encoder of images alone"

    @property
    def fingerprint(self) -> Mapping[str, str | None]:
        """Fingerprints of its encoders and of its map, which decide its scores; None for a part that has none."""
        fingerprints = {"images": self.encoder.space.fingerprint}
        if self.text is not None:
            fingerprints["texts"] = self.text.space.fingerprint
        if self.alignment is not None:
            fingerprints["map"] = self.alignment.source_map.target.fingerprint
        return fingerprints

    def features(self, vectors: Embeddings) -> Embeddings:
        """Vectors that probes read: the encoder's own, or those behind the map of a stitched one."""
        if not self.is_stitched or self.alignment is None:
            return vectors
        try:
            mapped: Embeddings = self.alignment.to_target(vectors)
        except NoDirectedMapError:
            mapped = self.alignment.source_map(vectors)
        return mapped


def candidate(
    subject: str | Path | Encoder | StitchedModel, *, device: str = "auto", trust_python: TrustPython = False
) -> Candidate:
    """A candidate by name, folder or value.

    Parameters
    ----------
    subject
        An encoder of images, or its name; of a pair (``hf:NAME#modality=image``, ``stitchkit:RUN#modality=image``) the
        other half reads the texts. A stitched model, or its folder: its target encoder reads the texts, if it can.
    device, trust_python
        Arguments of :func:`stitchkit.load_encoder`.

    Raises
    ------
    InputError
        For an encoder that reads no images.
    """
    if isinstance(subject, StitchedModel):
        source = "vectors" if subject.encoder is None else subject.encoder.name
        called = f"{source} to {subject.target_name or subject.alignment.target.name}"
        return _model_candidate(subject, called, device, trust_python)
    if isinstance(subject, str | Path) and Path(subject).is_dir():
        read_stitched(Path(subject))  # refuses other folders
        model = load_stitched(subject, device=device, trust_python=trust_python)
        return _model_candidate(model, str(subject), device, trust_python)
    encoder = subject
    if not isinstance(encoder, Encoder):
        encoder = load_encoder(str(subject), device=device, trust_python=trust_python)
    if encoder.modality != "image":
        raise InputError(
            f"{encoder.name!r} reads {encoder.modality}s, and the tasks are about images. Name an encoder of images."
        )
    if not getattr(encoder, "pair", None):
        return Candidate(encoder.name, encoder)
    if not isinstance(subject, str):
        return Candidate(encoder.name, encoder, remark="it is half of a pair that was given without its name")
    name = EncoderName.parse(subject)
    text = load_encoder(
        str(replace(name, options={**name.options, "modality": "text"})), device=device, trust_python=trust_python
    )
    return Candidate(encoder.name, encoder, clip_alignment(encoder, text), text)


def _model_candidate(model: StitchedModel, name: str, device: str, trust_python: TrustPython) -> Candidate:
    """A stitched model; its target's name is data, which must not run code by itself."""
    encoder = model.require_encoder()
    if encoder.modality != "image":
        raise InputError(
            f"{name} reads {encoder.modality}s, and the tasks are about images. Name one that reads images."
        )
    one = Candidate(name, encoder, model.alignment, is_stitched=True)
    if not model.target_name:
        return replace(one, remark="the target encoder is not named, so nothing reads the prompts")
    try:
        target = source_encoder(
            {"encoder": model.target_name}, model.alignment.target, name, device=device, dtype="float32",
            consent=Consent.of(trust_python),
        )  # fmt: skip
    except (InputError, ModelUnavailableError, MissingExtraError) as error:
        return replace(
            one, remark="nothing reads the prompts, as the target encoder cannot be loaded: " + error.message
        )
    if target.modality != "text":
        return replace(one, remark="the target encoder reads no texts")
    return replace(one, text=target)
