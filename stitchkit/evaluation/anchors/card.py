"""The verb ``anchor_card``: where an anchor set comes from and what is in it, without a text or a patient of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.anchors import AnchorSet
from stitchkit.core.items import Items
from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.patients import count_patients
from stitchkit.core.plain_values import plain_values
from stitchkit.datasets.content_keys import content_key
from stitchkit.evaluation.scores.metadata import file_columns

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
UNSTATED = "not stated"


@dataclass(frozen=True, slots=True)
class SideCounts:
    """Contents of one side of the pairs.

    Parameters
    ----------
    modality
        ``"image"`` or ``"text"``.
    distinct
        Different ones: files byte for byte, texts letter for letter.
    sizes
        Sizes of image files: least and greatest width, height and bit depth; empty otherwise.
    lengths
        Lengths of texts: characters at the quantiles 0, .05, .25, .5, .75, .95 and 1, by quantile; empty otherwise.
    """

    modality: str
    distinct: int
    sizes: dict[str, tuple[int, int]]
    lengths: dict[str, int]

    def __str__(self) -> str:
        """Rows of the card."""
        words = f"{self.modality}s, {self.distinct} different"
        if self.sizes:
            across, down, depth = (_span(self.sizes[name]) for name in ("width", "height", "bit_depth"))
            words += f"; {across} x {down} pixels, {depth} bits a channel"
        if self.lengths:
            shown = ", ".join(f"{100 * float(at):g} % {length}" for at, length in self.lengths.items())
            words += f"; characters by quantile: {shown}"
        return words


@dataclass(frozen=True, slots=True)
class AnchorCard(NotebookText):
    """Origin and contents of an anchor set: counts and hashes, never a text or a patient.

    Parameters
    ----------
    name, description, source, licence, obtain
        As they were stated; empty if not.
    pairs, patients
        Their numbers; patients None where not known.
    sides
        ``"source"`` and ``"target"``.
    columns
        Column of the table -> what it is used for.
    table, sha256
        Name of the table and hash of its bytes; empty if the set is of no table.
    content
        Hash of what the pairs hold, whatever their order, ids and file names: who obtains the set anew can tell
        whether it is the same.
    """

    name: str
    description: str
    source: str
    licence: str
    obtain: str
    pairs: int
    patients: int | None
    sides: dict[str, SideCounts]
    columns: dict[str, str]
    table: str
    sha256: str
    content: str

    @property
    def unstated(self) -> tuple[str, ...]:
        """Facts that the card lacks: those of source, licence and obtain that were not stated."""
        return tuple(name for name in ("source", "licence", "obtain") if not getattr(self, name))

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """The card in Markdown."""
        facts = {
            "source": self.source or UNSTATED,
            "licence": self.licence or UNSTATED,
            "how to obtain": self.obtain or UNSTATED,
            "pairs": str(self.pairs),
            "patients": "not known" if self.patients is None else str(self.patients),
            **{f"{name} side": str(side) for name, side in self.sides.items()},
            "table": f"`{self.table}`, SHA-256 `{self.sha256}`" if self.table else "none",
            "content": f"SHA-256 `{self.content}`",
        }
        lines = [f"# Anchors: {_cell(self.name)}", ""]
        if self.description:
            lines += [self.description.strip(), ""]
        lines += ["| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in facts.items())]
        if self.columns:
            lines += ["", "| column | used for |", "|---|---|"]
            lines += [f"| {_cell(name)} | {_cell(use)} |" for name, use in self.columns.items()]
        lines += ["", "The hash of the content is of images and texts alone: order, ids and file names do not matter."]
        return "\n".join(lines)


def anchor_card(
    anchors: AnchorSet,
    *,
    name: str = "",
    description: str = "",
    source: str = "",
    licence: str = "",
    obtain: str = "",
    columns: Mapping[str, str] | None = None,
) -> AnchorCard:
    """The card of an anchor set: source, licence, counts, hashes, how to obtain it, columns.

    Parameters
    ----------
    anchors
        The pairs. What is not given here is taken from ``anchors.card``, as :func:`stitchkit.read_anchors` keeps it.
    name
        Name of the set; by default that of its table.
    description
        Intended use, and cautions.
    source
        Who made it, with a citation.
    licence
        Its licence, or an SPDX name.
    obtain
        Instructions for others to get it.
    columns
        Column of the table -> what it is used for.

    Returns
    -------
    AnchorCard
        Print it for Markdown.

    Raises
    ------
    DataError
        If an image file is missing or no image.

    Examples
    --------
    >>> texts = Items(["a", "b", "c"], ["Clear lungs.", "Effusion.", "Effusion."], "text")
    >>> card = anchor_card(AnchorSet(texts.ids, texts, texts, ["1", "1", "2"]), name="three", licence="CC0-1.0")
    >>> card.pairs, card.patients, card.sides["target"].distinct, card.unstated
    (3, 2, 2, ('source', 'obtain'))
    """
    stated = {"name": name, "description": description, "source": source, "licence": licence, "obtain": obtain}
    filled = {key: value or str(anchors.card.get(key, "")) for key, value in stated.items()}
    table = Path(str(anchors.card.get("table", ""))).name  # never the folder: it may be somebody's name
    filled["name"] = filled["name"] or Path(table).stem or "unnamed"
    sides = {"source": anchors.source_items, "target": anchors.target_items}
    keys = {side: [content_key(value, items.modality) for value in items.values] for side, items in sides.items()}
    pairs = sorted(b"".join(pair) for pair in zip(*keys.values(), strict=True))
    return AnchorCard(
        **filled,
        pairs=len(anchors),
        patients=count_patients(anchors.groups),
        sides={side: _counts(items, len(set(keys[side]))) for side, items in sides.items()},
        columns=dict(columns or {}),
        table=table,
        sha256=str(anchors.card.get("sha256", "")),
        content=hashlib.sha256(b"".join(pairs)).hexdigest(),
    )


def _counts(items: Items, distinct: int) -> SideCounts:
    if items.modality == "text":
        lengths = np.quantile([len(text) for text in items.values], QUANTILES) if len(items) else ()
        shown = {f"{at:g}": round(length) for at, length in zip(QUANTILES, lengths, strict=False)}
        return SideCounts(items.modality, distinct, {}, shown)
    facts = {name: values for name, values in file_columns(items).items() if name != "file_bytes" and len(values)}
    sizes = {name: (int(values.min()), int(values.max())) for name, values in facts.items()}
    return SideCounts(items.modality, distinct, sizes, {})


def _span(ends: tuple[int, int]) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _cell(text: str) -> str:
    """Text that stays inside one cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").split())
