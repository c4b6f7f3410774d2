"""``stitchkit compare``: several solvers on the same held-out pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat
from stitchkit.core.wording import counted

if TYPE_CHECKING:
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.pairs import Pairs
    from stitchkit.head_names import HeadChoice


@flat
def compare(
    source: o.SourceSide,
    target: o.TargetSide,
    *,
    anchors: o.OptionalAnchors = None,
    solvers: Annotated[
        str,
        typer.Option(
            "--solvers",
            metavar="NAME,NAME",
            help="Which to compare, each searched; default: auto, and every solver with its defaults.",
        ),
    ] = "",
    purpose: Annotated[
        str,
        typer.Option(
            "--purpose", help="match compares by mean reciprocal rank, head by what --head reads, else by R2."
        ),
    ] = "match",
    head: Annotated[
        str | None,
        typer.Option(
            "--head",
            metavar="HEAD",
            help="The head that is to be driven, with --purpose head: the folder of a saved probe, or of a target "
            "encoder own or python:FILE:NAME.",
        ),
    ] = None,
    folds: o.Folds = 5,
    out: o.JsonOut = None,
    columns: o.Columns,
    vectors: o.VectorFiles,
    compute: o.Compute,
    seed: o.Seed = 0,
    output: o.Output,
) -> None:
    """Fit several solvers on the same folds of the anchors and judge them on the same held-out pairs."""
    from stitchkit.alignment.request import check_purpose
    from stitchkit.cli.console import Console
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.pairs import Pairs
    from stitchkit.cli.paths import new_file, write_json
    from stitchkit.evaluation.retrieval.compare import solver_candidates

    console = Console.of(output)
    if out is not None:
        new_file(out, output.overwrite)
    check_purpose("auto", purpose)
    choice = _head_choice(head, purpose, target)
    names = _solver_names(solvers)
    count = counted(len(solver_candidates(names)), "solver")
    pairs = Pairs.of(source, target, columns.of_optional(anchors), vectors)
    if output.dry_run:
        listed = names or "auto, and every one with its defaults"
        console.plan({**pairs.plan(), **({"head": head} if head else {}), "solvers": listed, "writes": out or "stdout"})
        return
    import stitchkit as sk

    x, y, patients, reader = _vectors(pairs, choice, Loading(compute, console))
    console.say(f"fitting {count} on {counted(folds, 'fold')} of {counted(len(x), 'pair')}")
    comparison = sk.compare(
        x, y, solvers=names, groups=patients, purpose=purpose, head=reader, folds=folds,
        seed=seed, progress=console.progress,
    )  # fmt: skip
    write_json(out, comparison.to_dict())
    console.result(comparison, comparison.to_dict())


def _solver_names(solvers: str) -> list[str] | None:
    """The solvers named; None for none."""
    return list(dict.fromkeys(one.strip() for one in solvers.split(",") if one.strip())) or None


def _head_choice(head: str | None, purpose: str, target: str) -> HeadChoice:
    """The head that ``--head`` names, its folder read."""
    from stitchkit.alignment.request import check_head_purpose
    from stitchkit.encoders import is_vectors_file
    from stitchkit.head_names import HeadChoice

    if head is None:
        return HeadChoice()
    check_head_purpose(purpose)
    return HeadChoice.of_linear(head, encoder=not is_vectors_file(target))


def _vectors(pairs: Pairs, choice: HeadChoice, loading: Loading) -> tuple[Any, Any, Any, Any]:
    """Vectors of both sides, the patients, and the head or None."""
    _, target, x, y, anchors = pairs.vectors(loading)
    head = None if choice.name is None else choice.linear(target)[0]
    return x, y, pairs.groups if anchors is None else anchors.groups, head
