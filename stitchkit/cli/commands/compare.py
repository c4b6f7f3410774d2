"""``stitchkit compare``: several solvers on the same held-out pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stitchkit.cli import options as o
from stitchkit.core.wording import counted

if TYPE_CHECKING:
    from stitchkit.cli.heads import HeadChoice
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.pairing import EncoderPairs, FilePairs


def compare(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="An encoder, or a .safetensors file of embeddings.")],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="The same for the target space; files are paired by id.")
    ],
    anchors: o.MaybeAnchors = None,
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
    folds: Annotated[int, typer.Option("--folds", min=2, help="Folds of patients.", rich_help_panel=o.JUDGE)] = 5,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the JSON document to this file.")] = None,
    source_column: o.SourceColumn = None,
    target_column: o.TargetColumn = None,
    id_column: o.IdColumn = None,
    groups: o.Groups = None,
    root: o.Root = None,
    batch_size: o.BatchSize = 32,
    store: o.Store = "auto",
    seed: o.Seed = 0,
    device: o.Device = "auto",
    dtype: o.Dtype = "float32",
    offline: o.Offline = False,
    dry_run: o.DryRun = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    trust_remote_code: o.Trust = False,
    trust_python: o.TrustPython = None,
) -> None:
    """Fit several solvers on the same folds of the anchors and judge them on the same held-out pairs."""
    from stitchkit.cli.anchor_tables import AnchorTable
    from stitchkit.cli.console import Talk, as_json
    from stitchkit.cli.fitting import check_purpose
    from stitchkit.cli.flags import in_flags
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.pairing import EncoderPairs, FilePairs, are_files
    from stitchkit.cli.places import new_file, write_text
    from stitchkit.solvers import SOLVERS

    talk = Talk.of(ctx, json=json, quiet=quiet)
    if out is not None:
        new_file(out, overwrite)
    check_purpose(purpose)
    choice = _head_choice(head, purpose, files=are_files(source, target))
    names = _names(solvers)
    table = AnchorTable.of(anchors, source_column, target_column, id_column, groups, root)
    pairs = (FilePairs if are_files(source, target) else EncoderPairs).of(source, target, table)
    if dry_run:
        talk.plan(
            {
                **pairs.plan(),
                **({"head": head} if head else {}),
                "solvers": names or "auto, and every one with its defaults",
                "writes": out or "stdout",
            }
        )
        return
    import stitchkit as sk

    x, y, patients, reader = _vectors(
        pairs, choice, Loading(device, dtype, offline, trust_remote_code, batch_size, store, talk, trust_python)
    )
    count = len(names or ["auto", *SOLVERS])
    talk.say(f"fitting {counted(count, 'solver')} on {counted(folds, 'fold')} of {counted(len(x), 'pair')}")
    found = sk.compare(
        x, y, solvers=names, groups=patients, purpose=purpose, head=reader, folds=folds,
        seed=seed, progress=talk.progress,
    )  # fmt: skip
    document = found.to_dict()
    if out is not None:
        write_text(out, as_json(document) + "\n")
    talk.result(str(in_flags(found)), document)


def _names(solvers: str) -> list[str] | None:
    """The solvers named, all of them known; None for none."""
    from stitchkit.core.errors import UnknownNameError
    from stitchkit.solvers import SOLVERS

    known = ["auto", *SOLVERS]
    names = list(dict.fromkeys(one.strip() for one in solvers.split(",") if one.strip()))
    for name in names:
        if name not in known:
            raise UnknownNameError.of("solver", name, known)
    return names or None


def _head_choice(head: str | None, purpose: str, *, files: bool) -> HeadChoice:
    """The head that ``--head`` names, its folder read."""
    from stitchkit.cli.heads import PROMPTS, PYTHON, HeadChoice
    from stitchkit.core.errors import InputError

    if head is None:
        return HeadChoice(None)
    if purpose != "head":
        raise InputError(f"--head is for --purpose head; got --purpose {purpose}. Set it, or leave --head out.")
    if head == "none" or head.startswith(PROMPTS):
        raise InputError(f"--head {head} drives no head. Give the folder of a saved probe, own or {PYTHON}FILE:NAME.")
    if files and (head == "own" or head.startswith(PYTHON)):
        raise InputError(
            f"--head {head} belongs to a target encoder; the target is a file of embeddings. Give the folder of a "
            f"saved probe, or name the encoder and --anchors."
        )
    return HeadChoice.of(head)


def _vectors(pairs: FilePairs | EncoderPairs, choice: HeadChoice, loading: Loading) -> tuple[Any, Any, Any, Any]:
    """Vectors of both sides, the patients, and the head or None."""
    from stitchkit.cli.pairing import FilePairs

    if isinstance(pairs, FilePairs):
        return pairs.source, pairs.target, pairs.groups, choice.probe
    left, right = loading.encoder(pairs.source), loading.encoder(pairs.target)
    head = None if choice.asked is None else choice.linear(right)[0]
    table = pairs.table.read(left.modality, right.modality)
    return loading.embed(left, table.source_items), loading.embed(right, table.target_items), table.groups, head
