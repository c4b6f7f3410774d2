"""``stitchkit info``: what a name, a folder or a file is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat, without
from stitchkit.core.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from stitchkit.cli.loading import Loading


@flat
def info(
    what: Annotated[
        str, typer.Argument(metavar="NAME|FOLDER|FILE", help="An encoder, a prompt set, a stitched folder, or a file.")
    ],
    *,
    compute: Annotated[o.Compute, without("batch_size", "store")],
    output: Annotated[o.Output, without("dry_run", "overwrite")],
) -> None:
    """Tell what an encoder, a stitched folder, a file of embeddings or scores, a prompt set or a table holds."""
    from stitchkit.cli.console import Console
    from stitchkit.cli.loading import Loading
    from stitchkit.reports.descriptions import description_lines

    console = Console.of(output)
    facts = facts_of(what, Loading(compute, console))
    console.result(description_lines(facts), facts)


def facts_of(what: str, loading: Loading) -> dict[str, Any]:
    """The facts of ``what``: a path that exists, a shipped prompt set, or an encoder."""
    from stitchkit.cli.loading import check_name
    from stitchkit.datasets.prompt_sets import prompt_set_names
    from stitchkit.reports.descriptions import describe, describe_encoder, describe_prompts
    from stitchkit.storage.folders import is_foreign

    path = Path(what)
    if path.is_dir() and is_foreign(path):
        _check_checkpoint(what)
    elif path.exists():
        return describe(path)
    elif what in prompt_set_names():
        return describe_prompts(what)
    return describe_encoder(what, loading.encoder(check_name(what)))


def _check_checkpoint(folder: str) -> None:
    """Raise unless a folder that stitchkit did not write is a checkpoint of an encoder."""
    from stitchkit.cli.loading import check_name
    from stitchkit.storage.folders import NO_ARTEFACT

    try:
        check_name(folder)
    except (InputError, UnknownNameError) as error:
        raise InputError(
            f"{folder} {NO_ARTEFACT}. Nor is it an encoder that can be loaded: " + error.message
        ) from error
