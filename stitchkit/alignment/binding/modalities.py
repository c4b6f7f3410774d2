"""One modality of a bound space: what is known of it, and its map into the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from stitchkit.alignment.binding.hubs import TextHub
from stitchkit.alignment.binding.images import HubMap, HubPairs
from stitchkit.core.alignments import NO_COMMON_CENTRE
from stitchkit.core.anchor_hashes import KEY, ids_of, of_pairs
from stitchkit.core.arrays import Array, like, namespace, to_numpy
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError, SpaceMismatchError, StitchError, UnknownNameError
from stitchkit.core.escaping import escape
from stitchkit.core.maps import AffineMap
from stitchkit.core.moments.moments import Moments
from stitchkit.core.pairing import anchor_groups, paired_sides
from stitchkit.core.wording import setting

TEXT = "text"  # name of the side that reads queries
COMMON_CENTRE = "the hub: means of each modality's own anchors and the mean over modalities are stored"


@dataclass(frozen=True, slots=True, eq=False)
class ModalityPairs:
    """Vectors of one modality, and the texts or partners that link them with the hub.

    Parameters
    ----------
    vectors
        Embeddings (n, d) of its items, or a plain array.
    texts
        Embeddings (n, d_t) of the items' texts by one of the text encoders (paired by id, plain arrays by row). None
        for an encoder that shares a space with its text encoder (CLIP-like), or where ``partner`` links it.
    groups
        Patient of each item, (n,) or a mapping of ids.
    text_space
        Name of the text space. Needed where ``texts`` is None, and where plain arrays leave it open.
    partner
        ``(name, vectors)``: the name of another modality and its vectors (n, d_p) of the same patients' items, where
        there are image pairs instead of texts.
    encoder
        Name by which the encoder is loaded; empty where only vectors are known.
    """

    vectors: Any
    texts: Any = None
    groups: Any = None
    text_space: str | None = None
    partner: tuple[str, Any] | None = None
    encoder: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class BoundModality:
    """One modality in the hub.

    Parameters
    ----------
    to_hub
        Map of its vectors (n, d) into the hub (n, k), in the hub's own units. Its centre is the mean of the anchors,
        so its bias is their mean in the hub.
    text_mean : (k,)
        Mean of its anchors' texts in the hub.
    encoder
        Name by which a user loads its encoder; empty where only vectors are known.
    text_space
        Name of the text space that its anchors' texts were read in.
    record
        Record of the fit.
    """

    to_hub: AffineMap
    text_mean: Array
    encoder: str = ""
    text_space: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mean(self) -> Array:
        """Mean (k,) of its anchors in the hub."""
        return self.to_hub.bias

    @property
    def digest(self) -> str:
        """SHA-256 of the map's arrays."""
        digest = hashlib.sha256()
        for part in (self.to_hub.center, self.to_hub.weight, self.to_hub.bias, self.text_mean):
            digest.update(to_numpy(part).tobytes())
        return digest.hexdigest()


def check_modality_name(name: Any, taken: Any = ()) -> str:
    """``name`` if it can name a modality, which is also a folder and an option of an encoder's name.

    Raises
    ------
    InputError
        For a name that is taken, reserved, or holds more than letters, digits, ``-`` and ``_``.
    """
    check_name(name, "a modality", "xray")
    if name.lower() in (TEXT, "texts", "index"):
        raise InputError(f"{name!r} names the texts or the index of a bound folder. Call the modality otherwise.")
    if any(name.lower() == str(one).lower() for one in taken):
        raise InputError(f"there is a modality {name!r} already. Remove it first, or choose another name.")
    return str(name)


def check_name(name: Any, what: str, example: str) -> None:
    """Raise for a name that cannot be a folder and an option of an encoder's name."""
    fine = isinstance(name, str) and name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    if not fine or len(name) > 60:
        raise InputError(
            f"{what} is named by letters, digits, '-' and '_', such as {example!r}; got {escape(repr(name))[:80]}."
        )


def modality_pairs(name: str, one: Any) -> ModalityPairs:
    """The pairs of a modality, given as :class:`ModalityPairs` or as ``(vectors, texts)``."""
    if isinstance(one, tuple | list) and len(one) == 2:
        one = ModalityPairs(one[0], one[1])
    if not isinstance(one, ModalityPairs):
        raise InputError(
            f"the modality {name!r} must be a pair (vectors, texts) or ModalityPairs; got {type(one).__name__}."
        )
    if one.partner is None:
        return one
    if not (isinstance(one.partner, tuple | list) and len(one.partner) == 2 and isinstance(one.partner[0], str)):
        raise InputError(
            f"the partner of {name!r} must be (name, vectors) of another modality; got {one.partner!r:.60}."
        )
    if one.texts is not None:
        raise InputError(f"the modality {name!r} has texts and a partner. Keep the one that links it.")
    return one


def pairs_in_hub(name: str, one: ModalityPairs, hub: TextHub, partners: Mapping[str, AffineMap]) -> HubPairs:
    """The anchors of a modality with their texts, or their partners' vectors, in the hub."""
    if one.texts is not None:
        other, to_hub = one.texts, hub.maps[text_space_of(name, one, hub.maps)]
    else:
        partner, other = one.partner  # type: ignore[misc]
        if partner not in partners:
            raise UnknownNameError.of(f"partner of {name!r}", str(partner), partners)
        to_hub = partners[partner]
    try:
        x, t = paired_sides(one.vectors, other)
        groups = anchor_groups(one.groups, x)
    except StitchError as error:
        raise type(error)(f"the modality {name!r}: {error}") from error
    y = to_hub(t)
    return HubPairs(x, Embeddings.without_checks(y.vectors, x.ids, hub.space), groups, ids_of(one.vectors, other))


def fitted_modality(one: ModalityPairs, hub: TextHub, fitted: HubMap, pairs: HubPairs) -> BoundModality:
    """A modality with its map, and hashes of its anchors in the record."""
    kept = {**fitted.record, "notes": [note for note in fitted.record.get("notes", []) if note != NO_COMMON_CENTRE]}
    hashes = of_pairs(pairs.x, pairs.y, pairs.groups, pairs.ids)
    record = {**kept, "common_centre": COMMON_CENTRE, KEY: hashes}
    to_hub = replace(fitted.to_hub, target=hub.space)
    mean = like(Moments.of(pairs.x, pairs.y).mean_t, to_hub.weight)
    return BoundModality(
        to_hub, mean, one.encoder, text_space_of("", one, hub.maps) if one.texts is not None else "", record
    )


def in_joint_space(name: str, one: ModalityPairs, hub: TextHub) -> BoundModality:
    """A modality whose encoder shares a space with its text encoder: it goes into the hub by the text space's map."""
    space = one.text_space
    if space is None:
        raise InputError(
            f"the modality {name!r} has no texts. Give the texts of its items, a partner modality, or name the text "
            f"space that its encoder shares (CLIP-like) with " + setting("text_space") + "."
        )
    if space not in hub.maps:
        raise UnknownNameError.of("text space", space, hub.maps)
    x, by_text = as_embeddings(one.vectors, name), hub.maps[space]
    if x.space.dim != by_text.source.dim:
        raise SpaceMismatchError(
            f"the modality {name!r} is {x.space.dim} wide and the text space {space!r} {by_text.source.dim}: they "
            f"share no space. Give the texts of its items."
        )
    if len(x) < 2:
        raise InputError(f"the modality {name!r} has {len(x)} rows; its centre needs at least two items.")
    mapped = by_text.apply(x.vectors)
    xp = namespace(mapped)
    center = xp.mean(xp.astype(x.vectors, xp.float64), axis=0)
    bias = ((like(center, by_text.weight) - by_text.center)[None, :] @ by_text.weight)[0, :] + by_text.bias
    to_hub = AffineMap(x.space, hub.space, like(center, by_text.weight), by_text.weight, bias, by_text.rank)
    note = "its encoder shares the text space, so nothing was fitted; the texts' centre is that of the shared list"
    record = {
        "solver": "none",
        "anchors": len(x),
        "r2": None,
        "held_out": None,
        "common_centre": COMMON_CENTRE,
        "notes": [note],
    }
    return BoundModality(to_hub, by_text.bias, one.encoder, space, record)  # the mean of the shared texts in the hub


def text_space_of(name: str, one: ModalityPairs, known: Mapping[str, Any]) -> str:
    """The text space of a modality's texts: the one it names, else the one that accepts them."""
    if one.text_space is not None:
        if one.text_space not in known:
            raise UnknownNameError.of("text space", one.text_space, known)
        return one.text_space
    space = as_embeddings(one.texts, "texts").space
    fits = [key for key, to_hub in known.items() if to_hub.source.accepts(space)]
    sure = [key for key in fits if known[key].source.fingerprint is not None and space.fingerprint is not None]
    if len(sure or fits) != 1:
        count = "none" if not fits else "several"
        raise SpaceMismatchError(
            f"the texts of the modality {name!r} ({space.name!r}, {space.dim} wide) fit {count} of the text spaces "
            f"{', '.join(map(repr, known))}. Embed them with one of these encoders, or name it with "
            + setting("text_space")
            + "."
        )
    return (sure or fits)[0]
