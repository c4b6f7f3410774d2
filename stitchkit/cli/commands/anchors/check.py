"""``stitchkit anchors check``: leakage, repeats, coverage and shortcuts of anchors; exit code 4 on leakage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat, without
from stitchkit.core.errors import InputError, LeakageError
from stitchkit.core.wording import counted

if TYPE_CHECKING:
    from stitchkit.core.scores import Labels
    from stitchkit.datasets.anchor_tables import AnchorTable


@flat
def check(
    table: o.AnchorTableArgument,
    *,
    test: o.TestTable = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="CSV", exists=True, rich_help_panel=o.EVALUATION,
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
    out: o.JsonOut = None,
    columns: o.Columns,
    evaluation: Annotated[o.Evaluation, without("replicates")],
    folds: o.Folds = 5,
    seed: o.Seed = 0,
    output: o.Output,
) -> None:  # fmt: skip
    """Tell what is wrong with anchors: leakage into a test, repeated images, uncovered classes, shortcuts.

    Nothing is embedded. Exit code 4 if anchors and test share an id, a patient or an image; the rest are warnings.
    """
    from stitchkit.cli.console import Console
    from stitchkit.cli.paths import new_file, write_json
    from stitchkit.cli.prompts import prompts_called
    from stitchkit.datasets.near_duplicates import LIKENESS
    from stitchkit.evaluation.anchors.check import check_anchors

    console = Console.of(output)
    if out is not None:
        new_file(out, output.overwrite)
    anchors = columns.of(table)
    pairs = anchors.pairs()
    tested, patients = (None, None) if test is None else anchors.read_test(test)
    named = None if prompts is None else prompts_called(prompts)
    known = _labels(labels, anchors, evaluation)
    if output.dry_run:
        console.plan({"anchors": len(pairs), "test": "none" if tested is None else len(tested),
                      "labels": labels or "none", "prompts": prompts or "none", "writes": out or "stdout"})  # fmt: skip
        return
    console.say(f"checking {counted(len(pairs), 'anchor')}")
    result = check_anchors(
        pairs, test=tested, test_groups=patients, labels=known, prompts=named, metadata=evaluation.metadata_columns,
        likeness=LIKENESS if likeness is None else likeness, min_positives=evaluation.min_positives, folds=folds,
        seed=seed, progress=console.progress,
    )  # fmt: skip
    write_json(out, result.to_dict())
    console.result(result, result.to_dict())
    if not result.passed and not evaluation.allow_leakage:
        raise LeakageError(
            f"{'; '.join(result.leakage)}. Take them out of the anchors ('stitchkit anchors select --test' does), or "
            f"pass --allow-leakage and say so."
        )


def _labels(path: Path | None, anchors: AnchorTable, evaluation: o.Evaluation) -> Labels | None:
    """The labels, read as the anchors' ids are; options about labels that are not there are refused."""
    metadata, label, classes = evaluation.metadata_columns, evaluation.label_column, evaluation.classes
    if path is None:
        without_labels = {"--metadata": metadata, "--label-column": label, "--class": classes}
        if flags := [flag for flag, value in without_labels.items() if value]:
            raise InputError(f"{flags[0]} names a column of the labels, and none are given. Pass --labels CSV.")
        return None
    return anchors.labels(path, classes=classes, label=label, columns=metadata, uncertain=evaluation.uncertain)
