"""A search as one self-contained HTML page: the hits as cards, and the distribution that they stand out of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.errors import InputError
from stitchkit.core.items import Items
from stitchkit.core.wording import counted
from stitchkit.reports.figures import COLOURS, FAINT, GRID, SMALL, as_svg, canvas, thumbnail, wrapped_name
from stitchkit.reports.pages import package_versions, template, wrapped_command
from stitchkit.storage.atomic_writes import write_text
from stitchkit.storage.path_checks import checked_file, resolved_path
from stitchkit.text_search.results import BINS, CENTRED, NO_PROBABILITY, Hit, QueryResult, SearchResult

SIDE = 260  # pixels of a thumbnail, the width of a card on a phone of two device pixels
EXCERPT = 160  # characters of a text that a card shows
SIGN = '<meta name="generator" content="stitchkit search">'


@dataclass(frozen=True, slots=True)
class Card:
    """One hit as the page shows it: with the address of its picture, or the beginning of its text, if shown."""

    hit: Hit
    picture: str = ""
    excerpt: str = ""

    @property
    def width(self) -> float:
        """Length of the bar in percent of a similarity of 1."""
        return 100 * min(max(self.hit.similarity, 0.0), 1.0)


def check_page_path(path: str | Path) -> Path:
    """``path`` if :func:`write_search` may write there, to be checked before the work.

    Raises
    ------
    InputError
        For another ending, a folder, or a file there that is no page of a search.
    """
    path = resolved_path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"the page is written to a .html file; got {path}. Change the ending.")
    if path.is_dir():
        raise InputError(f"{path} is a folder; the page of a search is one file. Name a file.")
    if path.exists():
        with checked_file(path, "a page").open("rb") as file:
            start = file.read(1024)
        if SIGN.encode() not in start:
            raise InputError(f"{path} exists and is no page of a search; it was left alone. Choose another name.")
    return path


def write_search(
    result: SearchResult,
    path: str | Path,
    *,
    folder: str = "",
    origins: Mapping[str, str] | None = None,
    each: bool = False,
    items: Mapping[str, Items] | None = None,
    notes: Sequence[str] = (),
    command: str = "",
) -> Path:
    """Write the page of a search to one file, in one step; its path comes back.

    Parameters
    ----------
    result
        Result of :func:`stitchkit.search`.
    path
        Ends in ``.html``.
    folder
        Folder or file that was searched, for the page.
    origins
        File or folder of each modality's items, for the page.
    each
        A list for each modality instead of one over all. Default False.
    items
        Items by modality whose images, or beginnings of texts, are shown; they are the patients' own. Default none.
    notes
        Remarks on the gallery.
    command
        Command line that searched.

    Raises
    ------
    InputError
        As of :func:`check_page_path`.
    DataError
        For an image that cannot be read.
    """
    path = check_page_path(path)
    first = result.queries[0]
    title = first.query if len(result.queries) == 1 else f"{counted(len(result.queries), 'text')} searched"
    shown = {name: _rows(one) for name, one in (items or {}).items()}
    searches = [_search(one, each, items or {}, shown) for one in result.queries]
    text = template("search.html.j2").render(
        title=title,
        sign=SIGN,
        subject=f"{counted(first.spread.n, 'item')} of {_gallery_name(first)}",
        several=len(result.queries) > 1,
        searches=searches,
        caution=NO_PROBABILITY,
        facts=list(_facts(result, folder, origins or {})),
        notes=[*(() if each else result.notes), *notes],
        private=any(
            card.picture or card.excerpt for one in searches for cards in one["lists"].values() for card in cards
        ),
        command=wrapped_command(command),
        versions=package_versions(),
    )
    return write_text(path, text, errors="xmlcharrefreplace")


def _gallery_name(one: QueryResult) -> str:
    names = list(one.modalities)
    return names[0] if len(names) == 1 else f"{len(names)} modalities: {', '.join(names)}"


def _rows(items: Items) -> dict[str, int]:
    return {one: row for row, one in enumerate(items.ids.tolist())}


def _search(
    one: QueryResult, each: bool, items: Mapping[str, Items], rows: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    """All that the page shows of one text."""
    spread = one.spread
    return {
        "query": one.query,
        "best": spread.best,
        "z": spread.z(spread.best),
        "expected": spread.expected_z,
        "n": spread.n,
        "mean": spread.mean,
        "sd": spread.sd,
        "spreads": {name: part.spread for name, part in one.modalities.items()},
        "figure": similarities_figure(one, each=each),
        "lists": {
            name: [_card(hit, items, rows) for hit in hits] for name, hits in one.lists(each=each).items()
        },
    }  # fmt: skip


def _card(hit: Hit, items: Mapping[str, Items], rows: Mapping[str, Mapping[str, int]]) -> Card:
    if hit.modality not in items or hit.id not in rows[hit.modality]:
        return Card(hit)
    value = items[hit.modality].values[rows[hit.modality][hit.id]]
    if items[hit.modality].modality == "image":
        return Card(hit, picture=thumbnail(value, SIDE))
    text = str(value)
    return Card(hit, excerpt=text if len(text) <= EXCERPT else text[:EXCERPT].rstrip() + " …")


def _facts(result: SearchResult, folder: str, origins: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if folder:
        yield "Searched in", folder
    for name, part in result.queries[0].modalities.items():
        origin = f", from {origins[name]}" if name in origins else ""
        yield f"Gallery {name!r}", f"{counted(part.spread.n, 'item')}{origin}"
    yield "Text encoder", result.text
    yield "Centring", CENTRED[result.center]
    yield "Searched on", f"{datetime.now(UTC):%Y-%m-%d}"


def similarities_figure(one: QueryResult, *, each: bool = False) -> str:
    """Distribution of one text's similarities with every modality, and the hits below it."""
    names = list(one.modalities)
    figure, axes = canvas(0.75 + 0.72 * len(names))
    edges = np.linspace(-1, 1, BINS + 1)
    used = np.flatnonzero(sum(part.spread.counts for part in one.modalities.values()))
    hits = [hit for listed in one.lists(each=each).values() for hit in listed]
    for height, name in enumerate(reversed(names)):
        counts = one.modalities[name].spread.counts
        axes.bar(edges[:-1], counts / counts.max() * 0.62, 2 / BINS, height, align="edge", color="#c3ccd4")
        axes.axhline(height, color=GRID, lw=0.8)
        places = [hit.similarity for hit in hits if hit.modality == name]
        axes.vlines(places, height - 0.22, height - 0.05, color=COLOURS[0], lw=1.6)
    labels = [f"{wrapped_name(name)}\n{counted(one.modalities[name].spread.n, 'item')}" for name in reversed(names)]
    axes.set_yticks(np.arange(len(names)) + 0.2, labels, fontsize=SMALL)
    axes.set_ylim(-0.3, len(names) - 0.25)
    axes.set_xlim(edges[max(used[0] - 1, 0)], edges[min(used[-1] + 2, BINS)])
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel("similarity with the text")
    axes.xaxis.label.set_color(FAINT)
    return as_svg(figure)
