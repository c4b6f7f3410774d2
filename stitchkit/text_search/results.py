"""Results of a search: hits, the distribution that they stand out of, and their tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from stitchkit.core.escaping import escape
from stitchkit.core.plain_values import plain_values
from stitchkit.core.text_tables import text_table
from stitchkit.core.wording import counted

BINS = 80  # of similarities from -1 to 1
UNEVEN = 3.0  # ratio of two modalities' standard deviations, from which one list over both says little
CENTRED = {
    "global": "about the mean over all modalities, where modalities are told apart",
    "modality": "about the mean of each modality, where one class is compared across modalities",
    "": "about the centre of the alignment",
    "none": "as they are, in the one space that both encoders share",
}
NO_PROBABILITY = (
    "A similarity is a cosine with the text, not a probability. The nearest items are listed whether or not the text "
    "applies to any of them"
)


@dataclass(frozen=True, slots=True)
class Hit:
    """One item near a text.

    Parameters
    ----------
    rank
        Place in its list, from 1.
    modality, id
        Modality of the item, and its id.
    similarity
        Cosine with the text, in [-1, 1].
    z
        Distance of the similarity from the mean over the list's gallery in standard deviations; None where all
        similarities are equal.
    """

    rank: int
    modality: str
    id: str
    similarity: float
    z: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Distribution of the similarities of one text with a gallery.

    Parameters
    ----------
    n
        Number of items.
    mean, sd
        Mean and standard deviation.
    best
        Largest similarity.
    counts : (80,) int
        Items in each of the equal steps from -1 to 1.
    """

    n: int
    mean: float
    sd: float
    best: float
    counts: np.ndarray

    def z(self, similarity: float) -> float | None:
        """A similarity as standard deviations from the mean; None where all are equal."""
        return (similarity - self.mean) / self.sd if self.sd > 1e-12 else None

    @property
    def expected_z(self) -> float | None:
        """Mean z of the best of as many draws from a normal distribution (Blom); None below two items."""
        return NormalDist().inv_cdf((self.n - 0.375) / (self.n + 0.25)) if self.n > 1 else None

    def merge(self, other: Spread) -> Spread:
        """The distribution over both galleries."""
        n, apart = self.n + other.n, other.mean - self.mean
        square = self.n * self.sd**2 + other.n * other.sd**2 + apart**2 * self.n * other.n / n
        return Spread(
            n=n,
            mean=self.mean + apart * other.n / n,
            sd=(square / n) ** 0.5,
            best=max(self.best, other.best),
            counts=self.counts + other.counts,
        )

    def in_words(self) -> str:
        """Position of the best hit in the distribution, beside that of the best of normal draws."""
        best, expected = self.z(self.best), self.expected_z
        items = f"{counted(self.n, 'similarity', 'similarities')}, mean {self.mean:.3f}, sd {self.sd:.3f}"
        if best is None or expected is None:
            return f"best {self.best:.3f}; {items}"
        return f"best {self.best:.3f}, z {best:.1f} (best of {self.n} normal draws: {expected:.1f} on average); {items}"


@dataclass(frozen=True, slots=True, eq=False)
class ModalityResult:
    """The nearest items of one modality, and the distribution of all its similarities."""

    hits: tuple[Hit, ...]
    spread: Spread


@dataclass(frozen=True, slots=True, eq=False)
class QueryResult:
    """The items nearest to one text.

    Parameters
    ----------
    query
        The text.
    hits
        Nearest items of all modalities in one list, best first; their z is against the whole gallery.
    spread
        Distribution of the similarities of the whole gallery.
    modalities
        Name of each modality -> its own nearest items, whose z is against that modality.
    """

    query: str
    hits: tuple[Hit, ...]
    spread: Spread
    modalities: Mapping[str, ModalityResult]

    def lists(self, *, each: bool = False) -> dict[str, tuple[Hit, ...]]:
        """The one list under the name ``""``; with ``each`` a list for every modality."""
        return {name: one.hits for name, one in self.modalities.items()} if each else {"": self.hits}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SearchResult:
    """The items nearest to each text.

    Parameters
    ----------
    queries
        Result of each text, in their order.
    center
        ``"global"`` or ``"modality"`` for a bound space, empty for an alignment, ``"none"`` for one shared space.
    top
        Largest number of items in a list.
    text
        Name of the text encoder.
    """

    queries: tuple[QueryResult, ...]
    center: str
    top: int
    text: str

    def __repr__(self) -> str:
        return f"SearchResult({counted(len(self.queries), 'text')}, top {self.top})"

    def __str__(self) -> str:
        return "\n".join(self.lines())

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on modalities that one list does not compare fairly."""
        names = list(self.queries[0].modalities)
        spreads = {name: float(np.median([one.modalities[name].spread.sd for one in self.queries])) for name in names}
        least, most = min(names, key=spreads.__getitem__), max(names, key=spreads.__getitem__)
        if spreads[most] < UNEVEN * spreads[least] or spreads[least] < 1e-12:
            return ()
        return (
            f"similarities of {least!r} vary less than those of {most!r} (sd {spreads[least]:.3f} and "
            f"{spreads[most]:.3f}), so one list over both shows where a modality lies rather than what its items hold: "
            f"compare the lists of each modality instead",
        )

    def rows(self, *, each: bool = False) -> Iterator[tuple[str, Hit]]:
        """Text and hit of every row, list by list; with ``each`` a list for every modality."""
        for one in self.queries:
            for hits in one.lists(each=each).values():
                yield from ((one.query, hit) for hit in hits)

    def lines(self, *, each: bool = False) -> list[str]:
        """Tables for a terminal; with ``each`` a table for every modality."""
        lines = []
        for one in self.queries:
            for name, hits in one.lists(each=each).items():
                table = [("rank", "modality", "id", "similarity", "z"), *(_cells(hit) for hit in hits)]
                lines += [f"{escape(repr(one.query))}{f', {name}' if name else ''}"]
                lines += text_table(table, numbers={0, 3, 4}, indent="  ")
            lines += [f"  all: {one.spread.in_words()}"] if len(one.modalities) > 1 else []
            lines += [f"  {name}: {modality.spread.in_words()}" for name, modality in one.modalities.items()]
            lines += [""]
        notes = [f"note: {note}" for note in self.notes] if not each else []
        return [*lines, f"{NO_PROBABILITY}.", f"Compared {CENTRED[self.center]}.", *notes]

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "text_encoder": self.text,
            "center": self.center,
            "top": self.top,
            "notes": list(self.notes),
            "queries": [
                {
                    "query": one.query,
                    "hits": [_hit_dict(hit) for hit in one.hits],
                    "gallery": _spread_dict(one.spread),
                    "modalities": {
                        name: {"hits": [_hit_dict(hit) for hit in part.hits], "gallery": _spread_dict(part.spread)}
                        for name, part in one.modalities.items()
                    },
                }
                for one in self.queries
            ],
        }


def _cells(hit: Hit) -> tuple[str, ...]:
    z = "-" if hit.z is None else f"{hit.z:.2f}"
    return str(hit.rank), hit.modality, escape(hit.id), f"{hit.similarity:.3f}", z


def _hit_dict(hit: Hit) -> dict[str, Any]:
    return {name: getattr(hit, name) for name in ("rank", "modality", "id", "similarity", "z")}


def _spread_dict(spread: Spread) -> dict[str, Any]:
    return {
        "items": spread.n,
        "mean": spread.mean,
        "sd": spread.sd,
        "best": spread.best,
        "best_z": spread.z(spread.best),
        "expected_best_z": spread.expected_z,
    }
