"""Types of the values in a line of a study's log: what a cell may hold, checked before it is used."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from stitchkit.storage.artefact_schemas import Count

Key = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z_-]{1,64}\Z")]  # it names a file
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Chances = Annotated[list[float], msgspec.Meta(min_length=2, max_length=2)]  # of both directions
Kind = Literal["cosine", "margin", "logit", "llr", "probability", "rank", "ranking"]  # of scores, ranks, training runs


class SpectrumFields(msgspec.Struct, forbid_unknown_fields=True):
    """Singular values of a map."""

    of: Literal["directed map", "similarity"]
    values: Annotated[list[NotNegative], msgspec.Meta(min_length=1)]
    rank: Count
    effective: NotNegative

    def __post_init__(self) -> None:
        if self.rank > len(self.values):
            raise ValueError(f"a spectrum of {len(self.values)} values cannot have rank {self.rank}")


class PointingFields(msgspec.Struct, forbid_unknown_fields=True):
    """Mean hits of sentences by both rules, and chance."""

    words: NotNegative
    sentence: NotNegative
    chance: NotNegative
    sentences: Count


class CellRecordFields(msgspec.Struct, forbid_unknown_fields=True):
    """The record of a fit, a retrieval or a training run, as far as a study keeps it."""

    solver: str | msgspec.UnsetType = msgspec.UNSET
    settings: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    rank: Count | msgspec.UnsetType = msgspec.UNSET
    r2: float | msgspec.UnsetType | None = msgspec.UNSET
    notes: list[str] | msgspec.UnsetType = msgspec.UNSET
    spectrum: SpectrumFields | msgspec.UnsetType = msgspec.UNSET
    gallery: Count | msgspec.UnsetType = msgspec.UNSET
    chance: Chances | msgspec.UnsetType = msgspec.UNSET  # of a random ranking, in logs of earlier versions
    shuffled_chance: Chances | msgspec.UnsetType = msgspec.UNSET
    recall_chance: Chances | msgspec.UnsetType = msgspec.UNSET
    steps: Count | msgspec.UnsetType = msgspec.UNSET
    kept: Count | msgspec.UnsetType = msgspec.UNSET
    validation: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    seed: int | msgspec.UnsetType = msgspec.UNSET
    fraction: float | msgspec.UnsetType = msgspec.UNSET
    train_seconds: NotNegative | msgspec.UnsetType = msgspec.UNSET
    pointing: PointingFields | msgspec.UnsetType | None = msgspec.UNSET

    def __post_init__(self) -> None:
        if (self.gallery is msgspec.UNSET) != (self.chance is self.shuffled_chance is msgspec.UNSET):
            raise ValueError("a gallery comes with its chance")


class CellFields(msgspec.Struct, forbid_unknown_fields=True):
    """A cell; its two digests are not in logs of earlier versions."""

    key: Key
    source: str
    target: str
    method: str
    anchors: Count | None
    draw: int
    kind: Kind
    record: CellRecordFields
    seconds: NotNegative
    parts: Count | msgspec.UnsetType = msgspec.UNSET
    sha256: Digest | msgspec.UnsetType = msgspec.UNSET
    scores_sha256: Digest | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if (self.sha256 is msgspec.UNSET) != (self.scores_sha256 is msgspec.UNSET):
            raise ValueError("the digest of a line comes with that of its scores")
