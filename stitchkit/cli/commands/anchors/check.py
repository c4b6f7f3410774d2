"""``stitchkit anchors check``: leakage, repeats, coverage and shortcuts of anchors; exit code 4 on leakage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.core.errors import InputError
from stitchkit.core.least_patients import MIN_POSITIVES
from stitchkit.core.wording import counted

if TYPE_CHECKING:
    from stitchkit.cli.anchor_tables import AnchorTable
    from stitchkit.core.scores import Labels


def check(
    ctx: typer.Context,
    table: Annotated[Path, typer.Argument(metavar="ANCHORS", help="Table of anchor pairs, one a row.", exists=True)],
    test: Annotated[
        Path | None,
        typer.Option("--test", metavar="CSV", exists=True,
                     help="Table of test items: no id, patient or image may be on both sides."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="CSV", exists=True, rich_help_panel=o.JUDGE,
                     help="Table of labels, of the anchors and perhaps the test: coverage and shortcuts."),
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option("--prompts", metavar="NAME|FILE", help="A prompt set: which of its classes do the texts say?"),
    ] = None,
    likeness: Annotated[
        float | None,
        typer.Option("--likeness", metavar="NUMBER", help="From where on two images are near duplicates; default .97."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the JSON document to this file.")] = None,
    source_column: o.SourceColumn = None,
    target_column: o.TargetColumn = None,
    id_column: o.IdColumn = None,
    groups: o.Groups = None,
    root: o.Root = None,
    label_column: o.LabelColumn = None,
    classes: o.Classes = None,
    metadata: o.Metadata = "",
    min_positives: o.MinPositives = MIN_POSITIVES,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Folds of patients.", rich_help_panel=o.JUDGE)] = 5,
    uncertain: o.Uncertain = "error",
    seed: o.Seed = 0,
    dry_run: o.DryRun = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    allow_leakage: o.AllowLeakage = False,
) -> None:  # fmt: skip
    """Tell what is wrong with anchors: leakage into a test, repeated images, uncovered classes, shortcuts.

    Nothing is embedded. Exit code 4 if anchors and test share an id, a patient or an image; the rest are warnings.
    """
    from stitchkit.cli.anchor_reading import read_pairs, read_test
    from stitchkit.cli.anchor_tables import AnchorTable
    from stitchkit.cli.console import Talk, as_json
    from stitchkit.cli.heads import prompts_called
    from stitchkit.cli.places import new_file, write_text
    from stitchkit.core.errors import LeakageError
    from stitchkit.datasets.near_duplicates import LIKENESS

    talk = Talk.of(ctx, json=json, quiet=quiet)
    if out is not None:
        new_file(out, overwrite)
    named = AnchorTable(table, source_column, target_column, id_column, groups, root)
    pairs = read_pairs(named)
    tested, patients = (None, None) if test is None else read_test(test, named)
    wanted = None if prompts is None else prompts_called(prompts)
    columns = tuple(one.strip() for one in metadata.split(",") if one.strip())
    known = _labels(labels, named, label_column, classes, columns, uncertain)
    if dry_run:
        talk.plan({"anchors": len(pairs), "test": "none" if tested is None else len(tested), "labels": labels or "none",
                   "prompts": prompts or "none", "writes": out or "stdout"})  # fmt: skip
        return
    from stitchkit.evaluation.anchors.check import check_anchors

    talk.say(f"checking {counted(len(pairs), 'anchor')}")
    found = check_anchors(
        pairs, test=tested, test_groups=patients, labels=known, prompts=wanted, metadata=columns,
        likeness=LIKENESS if likeness is None else likeness, min_positives=min_positives, folds=folds,
        seed=seed, progress=talk.progress,
    )  # fmt: skip
    document = found.to_dict()
    if out is not None:
        write_text(out, as_json(document) + "\n")
    talk.result(str(found), document)
    if not found.passed and not allow_leakage:
        raise LeakageError(
            f"{'; '.join(found.leakage)}. Take them out of the anchors ('stitchkit anchors select --test' does), or "
            f"pass --allow-leakage and say so."
        )


def _labels(
    path: Path | None,
    table: AnchorTable,
    label: str | None,
    classes: list[str] | None,
    columns: tuple[str, ...],
    uncertain: str,
) -> Labels | None:
    """The labels, read as the anchors' ids are."""
    from stitchkit.datasets.labels import read_labels
    from stitchkit.datasets.rows import read_rows

    if path is None:
        lost = {"--metadata": columns, "--label-column": label, "--class": classes}
        if flags := [flag for flag, value in lost.items() if value]:
            raise InputError(f"{flags[0]} names a column of the labels, and none are given. Pass --labels CSV.")
        return None
    there = read_rows(path).columns
    id, groups = (name if name in there else None for name in (table.id, table.groups))
    return read_labels(path, classes=classes, label=label, id=id, groups=groups, columns=columns, uncertain=uncertain)
