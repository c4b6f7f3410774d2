"""Cards of artefact folders: Markdown that tells what a folder holds, how it was fitted and how to load it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stitchkit.core.alignment_summary import held_out_summary
from stitchkit.core.alignments import anchors_in_words, map_in_words, value_in_words

EXTRA = {"anchor_set": "Anchor set", "measured": "Measured"}  # keys of the config that a caller gives -> their titles
_FOLDERS = re.compile(
    r"""(?<![\w./%~)\]-])~?/(?:[^\s/`'",;=]+/)+(?=[^\s/`'",;])"""  # of two parts at least: "km/h" and "a / b" are none
    r"""|(?<=[:=`'"])~?/(?=[\w.])"""  # a path in the root, in the name of an encoder or quoted
    r"""|(?<!\w)[A-Za-z]:[\\/](?:[^\s/\\`'",;=]+[\\/])*(?=[^\s/\\`'",;])"""
)
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
    """The Markdown of a card, in which no path names the folders of this machine.

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
    return without_folders("\n".join([*lines, "", "## Intended use", "", INTENDED_USE, ""]))


def without_folders(text: str) -> str:
    """A text to be read by others: of every absolute path in it the last part alone.

    Examples
    --------
    >>> without_folders("hub of hf:/home/ann/bert#adapter=/home/ann/tuned, timm:vit")
    'hub of hf:bert#adapter=tuned, timm:vit'
    >>> without_folders("bind xray=/scratch/films.csv --out=~/bound/ --at 1/2 https://example.org/a/b")
    'bind xray=films.csv --out=bound/ --at 1/2 https://example.org/a/b'
    """
    return _FOLDERS.sub("", text)


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
