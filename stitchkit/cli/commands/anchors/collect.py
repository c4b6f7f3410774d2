"""``stitchkit anchors collect``: a public data set as one table that every command reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat
from stitchkit.core.errors import InputError
from stitchkit.core.wording import counted


@flat
def collect(
    layout: Annotated[
        str,
        typer.Argument(
            metavar="LAYOUT",
            help="nih, chexpert, mimic-cxr, padchest, vindr-cxr, rsna, open-i, roco, pmc-oa, quilt; of "
            "your own: table, dicom.",
        ),
    ],
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The folder it was downloaded to.")],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="CSV", help="The table to write; its card lies beside it.")],
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="Only items of this published split.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of the layout's reader, as in a study's \\[data.reader]: --set uncertain=ignore.",
        ),
    ] = None,
    output: o.Output,
) -> None:
    """Write a data set in its published layout as one table: images, texts, patients, split, metadata, labels.

    Nothing is downloaded or copied; images stay where they are. The table serves as --anchors, --labels and --test.
    """
    from stitchkit.cli.console import Console
    from stitchkit.cli.paths import new_file, write_json, write_text
    from stitchkit.core.patients import patients_in_words
    from stitchkit.datasets.cohort_tables import card_path, cohort_facts, cohort_table, csv_text
    from stitchkit.datasets.cohorts import read_cohort

    console = Console.of(output)
    card = card_path(out)
    new_file(out, output.overwrite, _check_suffix), new_file(card, output.overwrite)
    reader = dict(_setting(one) for one in settings or [])
    console.say(f"reading {layout} in {root}")
    cohort = read_cohort(layout, root, **reader)
    if split is not None:
        cohort = cohort.part(split)
    facts = cohort_facts(cohort, split)
    if output.dry_run:
        console.plan({**facts, "classes": facts["classes"] or "none", "writes": [str(out), str(card)]})
        return
    rows = cohort_table(cohort, out.parent)
    write_json(card, {**cohort.card, "table": {**facts, "file": out.name}})
    write_text(out, csv_text(rows))
    lines = [f"{counted(len(cohort), 'item')} ({patients_in_words(facts['patients'])}), columns {', '.join(rows[0])}"]
    lines += [f"left out: {count}, {why}" for why, count in cohort.card.get("left_out", {}).items() if count]
    console.result("\n".join([*lines, f"wrote {out} and {card}"]), {"out": str(out), "card": str(card), **facts})


def _check_suffix(path: Path) -> Path:
    if path.suffix.lower() != ".csv":
        raise InputError(f"{path} does not end in .csv. Name the table that way.")
    return path


def _setting(text: str) -> tuple[str, Any]:
    """``key=value`` with the value read as TOML where it is any, else as a text."""
    import tomllib

    key, equals, value = text.partition("=")
    if not key.strip() or not equals:
        raise InputError(f"--set takes KEY=VALUE; got {text!r}.")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):  # of the grammar, of endless numbers, of nesting without end
        return key.strip(), value.strip()
