"""A bound space: every modality's map into one hub, both centrings, and what may be added later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from stitchkit.alignment.binding.hubs import TextHub, joined_hub
from stitchkit.alignment.binding.images import fit_to_hub
from stitchkit.alignment.binding.modalities import (
    TEXT,
    BoundModality,
    check_modality_name,
    check_name,
    fitted_modality,
    in_joint_space,
    modality_pairs,
    pairs_in_hub,
)
from stitchkit.alignment.request import resolve_solver
from stitchkit.core.alignments import Alignment
from stitchkit.core.arrays import Array, eye_like, like, namespace, zeros_like_width
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.escaping import escape
from stitchkit.core.maps import AffineMap, unit
from stitchkit.core.roles import Solver
from stitchkit.core.seeds import check_seed
from stitchkit.core.space import Space, common_fingerprint
from stitchkit.runtime.threads import is_small, one_blas_thread

CENTERS = ("modality", "global")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BoundSpace:
    """Modalities in one hub, where one text encoder names and finds the items of all.

    Two centrings belong to it. About the mean of a modality's own anchors (``"modality"``) its classes are told apart,
    and one class is found across modalities. About the mean over modalities (``"global"``) the modalities themselves
    are told apart. Both are of the anchors, never of the items that are scored.

    Parameters
    ----------
    text
        Name, among ``text_maps``, of the text space whose encoder reads queries.
    text_maps
        Name of each text space -> its map into the hub.
    modalities
        Name of each modality -> its map, means and record.
    text_encoders
        Name of a text space -> name by which its encoder is loaded, where it is known.
    record
        Solver of the hub, the comparison of maps, and what was added and removed.
    text_root : (k, k), optional
        Square root of the covariance of the anchors' texts in the hub, mean over the modalities that were bound
        together; later ones do not change it.

    Examples
    --------
    >>> import numpy as np
    >>> import stitchkit as sk
    >>> rng = np.random.default_rng(0)
    >>> meaning = rng.normal(size=(120, 4))
    >>> texts = meaning @ rng.normal(size=(4, 8))
    >>> xray, ct = (meaning @ rng.normal(size=(4, 10)) for _ in range(2))
    >>> bound = sk.bind({"xray": (xray[:60], texts[:60]), "ct": (ct[60:], texts[60:])})
    >>> alignment = bound.alignment("ct")
    >>> similarity = alignment.similarity(ct[:60], bound.into_hub("text", texts[:60]))
    >>> bool((similarity.argmax(axis=1) == np.arange(60)).all())
    True
    """

    text: str
    text_maps: Mapping[str, AffineMap]
    modalities: Mapping[str, BoundModality]
    text_encoders: Mapping[str, str] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    text_root: Array = None

    def __post_init__(self) -> None:
        if self.text not in self.text_maps:
            raise UnknownNameError.of("text space", self.text, self.text_maps)
        if not self.modalities:
            raise InputError("a bound space needs at least one modality.")
        maps = {**self.text_maps, **{name: one.to_hub for name, one in self.modalities.items()}}
        if odd := [name for name, one in maps.items() if one.target != self.hub]:
            raise InputError(f"the maps of a bound space end in one hub; that of {odd[0]!r} ends in another space.")

    def __repr__(self) -> str:
        """Modalities and hub in one line."""
        names = ", ".join(f"{name!r} ({one.to_hub.source.dim})" for name, one in self.modalities.items())
        return f"BoundSpace({escape(names)}, text {escape(repr(self.text))}, hub of {self.hub.dim})"

    @property
    def hub(self) -> Space:
        """The space that every map ends in: that of the query encoder's mapped texts."""
        return self.text_maps[self.text].target

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities."""
        return tuple(self.modalities)

    @property
    def digests(self) -> dict[str, str]:
        """Name of each modality -> SHA-256 of its map's arrays."""
        return {name: one.digest for name, one in self.modalities.items()}

    def modality(self, name: str) -> BoundModality:
        """The modality of this name; an unknown name is an error that lists the nearest."""
        if name not in self.modalities:
            raise UnknownNameError.of("modality of this bound space", str(name), self.modalities)
        return self.modalities[name]

    def to_hub(self, name: str) -> AffineMap:
        """The map into the hub of a modality, or of the query's text space by the name ``"text"``."""
        return self.text_maps[self.text] if name == TEXT else self.modality(name).to_hub

    def into_hub(self, name: str, vectors: Any) -> Any:
        """Vectors (n, d) of a modality, or of texts by the name ``"text"``, in the hub's own units (n, k).

        Raises
        ------
        SpaceMismatchError
            If they are of another encoder.
        """
        return self.to_hub(name)(vectors)

    def centers(self, name: str, center: str = "modality") -> tuple[Array, Array]:
        """The means (k,) and (k,) that are subtracted from a modality's vectors and from texts in the hub."""
        if center not in CENTERS:
            raise UnknownNameError.of("centring", center, CENTERS)
        one = self.modality(name)
        if center == "modality":
            return one.mean, one.text_mean
        return self.global_means

    @property
    def global_means(self) -> tuple[Array, Array]:
        """Means (k,) over modalities of their anchors' means and of their anchors' texts' means, in the hub."""
        every = list(self.modalities.values())
        xp = namespace(every[0].mean)
        means = (xp.stack([like(getattr(one, part), every[0].mean) for one in every]) for part in ("mean", "text_mean"))
        vectors, texts = (xp.mean(one, axis=0) for one in means)
        return vectors, texts

    def alignment(self, name: str, center: str = "modality") -> Alignment:
        """The alignment of a modality with texts in the hub, for zero-shot heads, retrieval and every other verb.

        Its source is the modality's encoder, its target the hub, where :meth:`into_hub` puts texts, and its directed
        map the map into the hub.

        Parameters
        ----------
        center
            ``"modality"``: about the mean of the modality's own anchors, to tell its classes apart; ``"global"``:
            about the mean over modalities, to tell modalities apart.
        """
        mean, text_mean = (like(part, self.modality(name).mean) for part in self.centers(name, center))
        one = self.modality(name)
        m, k = one.to_hub, self.hub.dim
        digest = common_fingerprint([m.source, self.hub], center, weights=[m.weight, mean, text_mean])
        common = Space(f"{self.hub.name} about the {center} mean", k, digest)
        return Alignment(
            source_map=AffineMap(m.source, common, m.center, m.weight, m.bias - mean, m.rank),
            target_map=AffineMap(self.hub, common, text_mean, eye_like(mean, k), zeros_like_width(mean, k), k),
            weights=None,
            directed=m,
            record={**one.record, "center": center},
        )

    def similarity(self, name: str, vectors: Any, texts: Any, center: str = "modality") -> Array:
        """Cosines (n, m) of a modality's vectors (n, d) with texts (m, d_t) of the query's encoder, about a centre."""
        return self.alignment(name, center).similarity(vectors, self.into_hub(TEXT, texts))

    def comparable_rows(self, name: str, vectors: Any) -> Array:
        """Rows (n, k) of unit length of a modality's vectors, to be compared with its own and other modalities'.

        A map into the hub is made for inner products with texts: those of a solver that whitens texts are large along
        directions in which texts hardly vary. Between two modalities each direction is weighed by the texts' spread.
        """
        centred = self.alignment(name).source_map(vectors)
        rows = centred.vectors if isinstance(centred, Embeddings) else centred
        return unit(rows if self.text_root is None else rows @ like(self.text_root, rows))

    def unit_rows(self, name: str, vectors: Any, center: str = "modality") -> Array:
        """Rows (n, k) of unit length of a modality's vectors in the hub, to be compared with texts."""
        centred = self.alignment(name, center).source_map(vectors)
        return unit(centred.vectors if isinstance(centred, Embeddings) else centred)

    def add(
        self,
        name: str,
        pairs: Any,
        *,
        texts: Mapping[str, Any] | None = None,
        solver: str | Solver = "auto",
        text_encoder: str = "",
        seed: int = 0,
    ) -> BoundSpace:
        """The bound space with one modality more; only its maps are fitted, every other stays the same to the bit.

        Parameters
        ----------
        name
            Name of the new modality.
        pairs
            :class:`ModalityPairs`, or a pair ``(vectors, texts)``, as in :func:`stitchkit.bind`.
        texts
            For texts of an encoder that is not bound yet: two text spaces' vectors of one list of texts, the new one
            under its name and a known one under its own.
        solver, seed
            Solver of the new map and seed of its folds, as in :func:`stitchkit.bind`.
        text_encoder
            Name by which the new text encoder is loaded.

        Returns
        -------
        BoundSpace
            ``record["changes"]`` holds the SHA-256 of every map before and after.

        Raises
        ------
        InputError
            For a name that is taken or cannot be a folder, and as in :func:`stitchkit.bind`.
        """
        check_seed(seed)
        check_modality_name(name, [*self.modalities, *(one for one in self.text_maps if one != TEXT)])
        request, one, new = resolve_solver(solver, None, seed), modality_pairs(name, pairs), {}
        if texts is not None:
            new = _new_text_space(self, texts, seed)
        hub = TextHub({**self.text_maps, **new}, self.text, self.record.get("hub", {}))
        if one.texts is None and one.partner is None:
            added = in_joint_space(name, one, hub)
        else:
            linked = pairs_in_hub(name, one, hub, {key: value.to_hub for key, value in self.modalities.items()})
            with one_blas_thread(is_small(len(linked.x), max(linked.x.space.dim, self.hub.dim))):
                added = fitted_modality(one, hub, fit_to_hub(linked, request, seed=seed), linked)
        every = {**self.modalities, name: added}
        return replace(
            self,
            text_maps=hub.maps,
            modalities=every,
            text_encoders={**self.text_encoders, **{key: text_encoder for key in new if text_encoder}},
            record=self._with_change("added", name, every),
        )

    def remove(self, name: str) -> BoundSpace:
        """The bound space without one modality; every other map stays as it is, to the bit.

        Raises
        ------
        UnknownNameError
            If there is no such modality.
        InputError
            If it is the last one.
        """
        self.modality(name)
        left = {key: one for key, one in self.modalities.items() if key != name}
        if not left:
            raise InputError(f"{name!r} is the only modality; a bound space needs one. Delete the folder instead.")
        return replace(self, modalities=left, record=self._with_change("removed", name, left))

    def _with_change(self, what: str, name: str, after: Mapping[str, BoundModality]) -> dict[str, Any]:
        """The record with a change: the digests of all maps before and after it."""
        digests = {key: one.digest for key, one in after.items()}
        change = {what: name, "before": self.digests, "after": digests}
        compared = [  # a modality that goes, or comes anew, was not among those that were compared
            {**one, "modalities": [key for key in one["modalities"] if key != name]}
            for one in self.record.get("compared", [])
        ]
        record = {**self.record, "changes": [*self.record.get("changes", []), change]}
        return {**record, "compared": [one for one in compared if one["modalities"]]} if compared else record


def _new_text_space(bound: BoundSpace, texts: Mapping[str, Any], seed: int) -> dict[str, AffineMap]:
    """The map of a text space that the bound space does not know yet."""
    known = [name for name in texts if name in bound.text_maps]
    new = [name for name in texts if name not in bound.text_maps]
    if len(known) != 1 or len(new) != 1:
        raise InputError(
            f"texts must hold a known text space ({', '.join(map(repr, bound.text_maps))}) and one new one, of one "
            f"list of texts; got {', '.join(map(repr, texts))}."
        )
    check_name(new[0], "a text space", "minilm")
    one, other = (as_embeddings(texts[name[0]], name[0]) for name in (new, known))
    return {new[0]: joined_hub(bound.hub, bound.text_maps[known[0]], one, other, seed=seed)}
