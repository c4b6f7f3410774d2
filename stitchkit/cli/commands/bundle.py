"""``stitchkit bundle``: a stitched folder and its encoders' files in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat, without
from stitchkit.core.errors import InputError


@flat
def bundle(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A stitched folder; with --check, a bundle.")],
    *,
    out: o.OptionalOutFolder = None,
    target: Annotated[
        bool | None,
        typer.Option(
            "--with-target/--without-target",
            help="Copy the target encoder too, which reads prompts; default: where the folder has no linear head.",
        ),
    ] = None,
    encoder: o.FolderEncoder = None,
    check: Annotated[
        bool, typer.Option("--check", help="Hash every file of the bundle FOLDER, and write nothing.")
    ] = False,
    compute: Annotated[o.Compute, without("batch_size", "store")],
    output: o.Output,
) -> None:
    """Write a stitched folder with its encoders' files into one folder, which loads without a network."""
    from stitchkit.cli.console import Console
    from stitchkit.cli.paths import existing_path, folder_name
    from stitchkit.encoders import hub_access
    from stitchkit.persistence.bundling import bundle as write_bundle
    from stitchkit.persistence.bundling import plan_bundle
    from stitchkit.storage.bundles import check_bundle

    console = Console.of(output)
    existing_path(folder, "stitched folder")
    if check:
        if out is not None:
            raise InputError("--check writes nothing. Leave out --out, or --check.")
        count = check_bundle(folder, every=True)
        console.result(f"{folder} is whole: {count} files have their SHA-256", {"bundle": str(folder), "files": count})
        return
    if out is None:
        raise InputError("a bundle is written to a folder: pass --out FOLDER, or --check for one that is written.")
    folder_name(out)
    if output.dry_run:
        plan = plan_bundle(folder, target=target, encoder=encoder)
        sizes = {place: f"{size:,} bytes" for place, size in plan.sizes.items()}
        left = {"without": plan.without_target} if plan.without_target else {}
        console.plan({**plan.names, **left, **sizes, "total": f"{plan.bytes:,} bytes", "writes": out})
        return
    with hub_access(compute.offline or None):
        done = write_bundle(
            folder,
            out,
            target=target,
            encoder=encoder,
            device=compute.device,
            dtype=compute.dtype,
            trust_remote_code=compute.trust_remote_code,
            trust_python=compute.trust_python or (),
            overwrite=output.overwrite,
            say=console.say,
        )
    lines = [f"wrote {out}: {len(done.files)} files, {done.bytes:,} bytes"]
    lines += ["note      " + note for note in done.notes]
    document = {
        "out": str(out), "bytes": done.bytes, "files": done.files, "encoders": done.encoders, "notes": list(done.notes)
    }  # fmt: skip
    console.result(lines, document)
