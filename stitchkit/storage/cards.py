"""Cards of artefact folders: Markdown that tells what a folder holds, how it was fitted and how to load it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stitchkit.core.alignment_summary import held_out_summary
from stitchkit.core.alignments import anchors_in_words, map_in_words, value_in_words

EXTRA = {"anchor_set": "Anchor set", "measured": "Measured"}  # keys of the config that a caller gives -> their titles
INTENDED_USE = "Research. Not a medical device; not validated for any clinical decision."


def model_card(
    title: str,
    facts: Iterable[tuple[str, str]],
    *,
    code: Sequence[str],
    notes: Iterable[str] = (),
    summary: str = "",
    command: str = "",
    front: Sequence[str] = (),
) -> str:
    """The Markdown of a card.

    Parameters
    ----------
    title
        Heading of the page.
    facts
        Names and values, one line each.
    code
        Lines of Python that load and use the folder, after the import.
    notes
        Further lines beside the facts, default none.
    summary
        Text between heading and facts, default none.
    command
        Command line that made the folder, default none.
    front
        Lines of Hugging Face front matter, default none.
    """
    lines = [*front, *([""] if front else []), f"# {title}", "", *([summary, ""] if summary else [])]
    lines += [f"- **{name}**: {value}" for name, value in facts]
    lines += [f"- {note}" for note in notes]
    if command:
        lines += ["", "## How it was made", "", "```", command, "```"]
    lines += ["", "## How to use it", "", "```python", "import stitchkit as sk", *code, "```"]
    return "\n".join([*lines, "", "## Intended use", "", INTENDED_USE, ""])


def fit_facts(record: Mapping[str, Any]) -> dict[str, str]:
    """Solver, anchors, held-out numbers and centre of a fitted map, one line each."""
    return {
        "Map": map_in_words(record),
        "Anchors": anchors_in_words(record),
        "Held out": held_out_summary(record.get("held_out")),
        **({"Common centre": str(record["common_centre"])} if "common_centre" in record else {}),
    }


def extra_facts(config: Mapping[str, Any]) -> dict[str, str]:
    """Facts that the caller gave of the anchors and of numbers of its own, one line each."""
    return {title: value_in_words(config[key]) for key, title in EXTRA.items() if key in config}
