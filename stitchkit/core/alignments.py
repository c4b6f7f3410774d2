"""An alignment: two maps into a common space, a directed map where one exists, and how it was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stitchkit.core.arrays import Array, like, namespace
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, NoDirectedMapError
from stitchkit.core.escaping import escape
from stitchkit.core.maps import AffineMap, Map, unit
from stitchkit.core.space import Space
from stitchkit.core.wording import NO_PATIENTS, setting

NO_COMMON_CENTRE = (
    "maps that were fitted separately share no common centre, and do not tell the sources of vectors apart (of four "
    "modalities .22 to .34 were named right, chance .25); a joint alignment of all spaces gives one"
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Alignment:
    """Two maps into one common space, and a directed map into the target's own units where one exists.

    Parameters
    ----------
    source_map, target_map
        Maps of both spaces into the common space of width k. Matching happens there, centred.
    weights : (k,) float64 or None
        Weight of each common direction in :meth:`similarity`.
    directed
        Map from the source space into the target space itself, for driving a head; never an inverse of a map.
    record
        Record of the fit: plain numbers and names that can be written as JSON.
    """

    source_map: Map
    target_map: Map
    weights: Array | None = None
    directed: AffineMap | None = None
    record: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        k, other = self.source_map.target.dim, self.target_map.target.dim
        if k != other or (self.weights is not None and tuple(self.weights.shape) != (k,)):
            shape = "none" if self.weights is None else tuple(self.weights.shape)
            raise InputError(
                f"an alignment's two maps must end in one space and its weights fit it; got widths {k} and {other}, "
                f"weights {shape}."
            )

    def __repr__(self) -> str:
        """Spaces, solver and held-out result in one line."""
        parts = [
            f"{self.source.name!r} ({self.source.dim}) -> {self.target.name!r} ({self.target.dim})",
            str(self.record.get("solver", "a fitted map")),
        ]
        settings = self.record.get("settings", {})
        parts += [
            f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in settings.items()
        ]
        parts += [f"{name} {self.record[name]}" for name in ("rank", "anchors") if name in self.record]
        parts.append(_held_out_in_words(self.record.get("held_out")))
        written = self.record.get("notes", [])
        notes = sum(note != NO_PATIENTS for note in written)  # which is true of every call without groups
        parts += [f"{notes} note{'s' * (notes > 1)} in .record['notes']"] * bool(notes)
        return f"Alignment({escape(', '.join(parts))})"

    def _repr_html_(self) -> str:
        """The text for a terminal, in a notebook."""
        from stitchkit.core.notebook_text import notebook_html

        return notebook_html(str(self))

    def __str__(self) -> str:
        """Summary of the fit, in lines: solver, anchors, held-out numbers, notes, candidates.

        Examples
        --------
        >>> import numpy as np
        >>> import stitchkit as sk
        >>> x = np.random.default_rng(0).normal(size=(60, 4))
        >>> print(sk.align(x, x, solver="procrustes"))  # doctest: +ELLIPSIS
        solver    procrustes (...), rank 4, chosen by ...
        anchors   60 pairs; patients not known...
        held out  mean reciprocal rank 1.000 ...
        """
        if "solver" not in self.record:  # made by hand, or from published maps: nothing was chosen or measured
            return repr(self)
        from stitchkit.core.alignment_summary import summary_lines

        return "\n".join(escape(line) for line in summary_lines(self.record))

    @property
    def source(self) -> Space:
        """The space whose vectors are mapped."""
        return self.source_map.source

    @property
    def target(self) -> Space:
        """The space they are compared with."""
        return self.target_map.source

    @property
    def to_target(self) -> AffineMap:
        """The directed map into the target space.

        Raises
        ------
        NoDirectedMapError
            If the solver only maps into a common space.
        """
        if self.directed is None:
            raise NoDirectedMapError(
                f"the alignment {self.source.name!r} -> {self.target.name!r} meets in a common space and has no map "
                f"into {self.target.name!r} itself. Fit it with "
                + setting("purpose", "head", otherwise="the purpose of a head")
                + ", or with a solver that has one."
            )
        return self.directed

    def similarity(self, a: Any, b: Any) -> Array:
        """Similarity of source vectors ``a`` (n_a, d_s) and target vectors ``b`` (n_b, d_t).

        Returns
        -------
        (n_a, n_b) array
            ``sum_j w_j a_j b_j / (|a| |b|)`` in the common space with unweighted norms; the cosine where there
            are no weights.
        """
        left, right = self.unit_rows(a, b)
        return left @ namespace(right).matrix_transpose(right)

    def unit_rows(self, a: Any, b: Any) -> tuple[Array, Array]:
        """Rows (n_a, k) and (n_b, k) whose inner products are :meth:`similarity`, for working in tiles.

        Both are of unit length in the common space; the weights are multiplied into the first.
        """
        left, right = (x.vectors if isinstance(x, Embeddings) else x for x in (self.source_map(a), self.target_map(b)))
        return weighted_unit_rows(left, right, self.weights)


def _held_out_in_words(held_out: Mapping[str, Any] | None) -> str:
    """Description of the results on held-out pairs, beside chance."""
    if not held_out:
        return "nothing held out"
    name = next(name for name in ("agreement", "r2", "mrr") if name in held_out)
    value, chance = held_out[name], held_out.get("chance_mrr", 0.0)
    beside = "" if name != "mrr" else f"chance {chance:.3f}, gallery {held_out['gallery']}"
    doubt = "" if is_above_chance(held_out) else "NOT clearly above chance"
    inside = ", ".join(part for part in (beside, doubt) if part)
    return f"held-out {name} {value:.3f}" + (f" ({inside})" if inside else "")


def is_above_chance(held_out: Mapping[str, Any]) -> bool:
    """True where held-out numbers are above chance, by their own statement or by two standard errors."""
    if "above_chance" in held_out:
        return bool(held_out["above_chance"])
    value = held_out["r2"] if "r2" in held_out else held_out["mrr"]
    return bool(value > held_out.get("chance_mrr", 0.0) + 2 * held_out.get("se", 0.0))


def weighted_unit_rows(left: Array, right: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """Rows at unit length, (n_a, k) and (n_b, k), in one library and precision; ``weights`` (k,) go into the first."""
    a = unit(left)
    b = like(unit(right), a, dtype=a.dtype)
    return (a if weights is None else a * like(weights, a, dtype=a.dtype)), b


def map_in_words(record: Mapping[str, Any]) -> str:
    """Solver, settings and rank of a fitted map, from its record."""
    settings, rank = record.get("settings"), f"rank {record['rank']}" if "rank" in record else ""
    known = value_in_words(settings) if isinstance(settings, Mapping) else ""
    return ", ".join(words for words in (str(record.get("solver", "not on record")), known, rank) if words)


def anchors_in_words(record: Mapping[str, Any]) -> str:
    """Number of the anchors of a fitted map and of their groups, from its record."""
    return f"{record.get('anchors', '?')} pairs, {_groups(record)}"


def value_in_words(value: Any) -> str:
    """A value of a record: ``name value, name value``, numbers to three digits."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {value_in_words(one)}" for key, one in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _groups(record: Mapping[str, Any]) -> str:
    """The groups of the anchors that folds keep whole, in words, or that their patients are not known."""
    if "patients" in record and record["patients"] is None:
        return "patients not known"
    return f"{record.get('groups', record.get('patients', '?'))} groups"
