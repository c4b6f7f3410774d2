"""``stitchkit bind``: many modalities in one folder, where one text encoder names and finds the items of all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stitchkit.cli import options as o
from stitchkit.cli.options import flat
from stitchkit.core.errors import InputError

if TYPE_CHECKING:
    from stitchkit.cli.binding import BindingRequest
    from stitchkit.cli.console import Console
    from stitchkit.cli.fitting import Fitting
    from stitchkit.evaluation.binding.results import BindingEvaluation
    from stitchkit.fitting.fit_binding import FittedBinding

HUB = "Hub and maps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Encoders of the modalities, the list of texts, and the way into the hub."""

    encoder: Annotated[
        list[str],
        typer.Option(
            "--encoder",
            metavar="[MODALITY=]NAME",
            help="Encoder of the items, or a file of their vectors: one for all, or one a modality; may be repeated.",
        ),
    ]
    text_encoder: Annotated[
        list[str],
        typer.Option(
            "--text-encoder",
            metavar="[MODALITY=]NAME",
            help="Encoder of the texts: one for all, or one a modality; may be repeated.",
        ),
    ]
    texts: Annotated[
        Path | None,
        typer.Option(
            "--texts",
            metavar="FILE",
            exists=True,
            help="Texts for all text encoders, a line each, or the column text of a table; default: the tables' texts.",
        ),
    ] = None
    query: Annotated[
        str | None,
        typer.Option("--query", metavar="NAME", help="Text encoder of queries; default: the first modality's."),
    ] = None
    hub: Annotated[
        str | None,
        typer.Option(
            "--hub",
            metavar="NAME",
            rich_help_panel=HUB,
            help="Text encoder whose space is the hub; default: the consensus of all.",
        ),
    ] = None
    hub_solver: Annotated[
        str,
        typer.Option(
            "--hub-solver",
            rich_help_panel=HUB,
            help="procrustes or gcca; ridge or composition to a hub of one encoder.",
        ),
    ] = "procrustes"
    maps: Annotated[
        str,
        typer.Option(
            "--maps", rich_help_panel=HUB, help="own (a map a modality), joint (one an encoder), or auto: held out."
        ),
    ] = "auto"


@flat
def bind(
    modalities: Annotated[
        list[str],
        typer.Argument(
            metavar="MODALITY=TABLE...",
            help="Each modality with its table of items and texts; or with a table or folder of items alone, if its "
            "encoder and its text encoder are the two halves of a CLIP-like checkpoint.",
        ),
    ],
    *,
    out: o.OptionalOutFolder = None,
    into: Annotated[
        Path | None,
        typer.Option(
            "--into",
            metavar="FOLDER",
            exists=True,
            help="Add the modalities to this bound folder; no other map in it changes.",
        ),
    ] = None,
    binding: Binding,
    held_out: Annotated[
        list[str] | None,
        typer.Option(
            "--test",
            metavar="MODALITY=TABLE",
            rich_help_panel=o.EVALUATION,
            help="Held-out table of a modality, whose texts are its classes; from two on, report.html judges them.",
        ),
    ] = None,
    common: Annotated[
        str | None,
        typer.Option(
            "--common",
            metavar="COLUMN",
            rich_help_panel=o.EVALUATION,
            help="Column of the held-out tables with labels that modalities share: retrieval between them.",
        ),
    ] = None,
    allow_leakage: o.AllowLeakage = False,
    index: Annotated[
        bool,
        typer.Option(
            "--index", help="Keep ids and hub vectors of the tables' items in the folder, for 'stitchkit search'."
        ),
    ] = False,
    fit: o.Fit,
    columns: o.Columns,
    vectors: o.VectorFiles,
    compute: o.Compute,
    output: o.Output,
) -> None:
    """Bring modalities whose encoders know nothing of each other into one folder, through texts, without training."""
    from stitchkit.cli.binding import BindingRequest
    from stitchkit.cli.console import Console
    from stitchkit.cli.fitting import Fitting
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.paths import new_folder
    from stitchkit.fitting.fit_binding import fit_binding
    from stitchkit.reports.binding_page import PAGE, binding_lines, write_binding

    console = Console.of(output)
    if (out is None) == (into is None):
        raise InputError(
            "a bound folder is written with --out FOLDER, or added to with --into FOLDER. Pass one of them."
        )
    fitting = Fitting.of(fit.solver, fit.seed, console)
    if out is None:
        whole = {"--test": held_out, "--common": common}
        _add(modalities, into, binding, whole, index, fitting, columns, vectors, compute, console, output)
        return
    new_folder(out, output.overwrite)
    request = BindingRequest.of(
        modalities, binding.encoder, binding.text_encoder, binding.texts, binding.query, columns, vectors
    )
    tests, notes = _tests(request, held_out or [], columns, allow_leakage)
    if output.dry_run:
        console.plan({**request.plan(), "writes": out})
        return
    loading = Loading(compute, console)
    read, query = request.load(loading)
    fitted = fit_binding(
        read, texts=request.texts, query=query, hub=binding.hub, hub_solver=binding.hub_solver,
        solver=fitting.solver, maps=binding.maps, seed=fit.seed, say=console.say, **loading.embedding,
    )  # fmt: skip
    result = _judge(fitted, request, tests, common, fit.seed, allow_leakage)

    def pages(draft: Path) -> None:
        write_binding(fitted.bound, draft, evaluation=result, notes=notes, command=console.command)
        if index:
            _write_index(fitted, draft, fitted.bound.names)

    from stitchkit.persistence.bound_folders import save_bound

    save_bound(fitted.bound, out, command=console.command, overwrite=output.overwrite, beside=pages)
    lines: list[Any] = [*binding_lines(fitted.bound), *([] if result is None else ["", result])]
    lines += [f"note      {note}" for note in notes]
    lines += [f"wrote {out}", f"open {out / PAGE}"]
    facts = {"out": str(out), "modalities": list(fitted.bound.names), "record": _plain(fitted.bound.record)}
    console.result(lines, {**facts, **({} if result is None else {"evaluation": result.to_dict()}), "notes": notes})


def _add(
    modalities: list[str], into: Any, binding: Binding, whole: dict[str, Any], index: bool, fitting: Fitting,
    columns: o.Columns, vectors: o.VectorFiles, compute: o.Compute, console: Console, output: o.Output,
) -> None:  # fmt: skip
    """Add modalities to a bound folder."""
    from stitchkit.cli.binding import BindingRequest
    from stitchkit.cli.loading import Loading
    from stitchkit.fitting.fit_binding import add_to_binding
    from stitchkit.persistence.bound_folders import read_bound, update_bound
    from stitchkit.reports.binding_page import PAGE, binding_lines, has_evaluation, write_binding

    whole = {
        **whole, "--query": binding.query, "--hub": binding.hub,
        "--hub-solver": binding.hub_solver != "procrustes", "--maps": binding.maps != "auto",
        "--overwrite": output.overwrite,
    }  # fmt: skip
    if others := [option for option, value in whole.items() if value]:
        raise InputError(f"{others[0]} belongs to a folder that is written as a whole, with --out. Leave it out.")
    bound = read_bound(into)
    request = BindingRequest.of(
        modalities, binding.encoder, binding.text_encoder, binding.texts, None, columns, vectors, into=bound.names
    )
    if output.dry_run:
        console.plan({**request.plan(), "adds to": into})
        return
    loading = Loading(compute, console)
    read, _ = request.load(loading)
    query = bound.text_encoders.get(bound.text, "")
    fitted = add_to_binding(
        bound, read, known=lambda: loading.folder_encoder(query, into / "text"), texts=request.texts,
        solver=fitting.solver, seed=fitting.seed, say=console.say, **loading.embedding,
    )  # fmt: skip

    judged = has_evaluation(into)  # a judgement of the earlier modalities is not lost

    def pages(folder: Path) -> None:
        if not judged:
            write_binding(fitted.bound, folder, command=console.command)
        if index:
            _write_index(fitted, folder, list(read))

    update_bound(fitted.bound, into, command=console.command, beside=pages)
    digests = fitted.bound.record["changes"][-len(read) :]
    earlier = f"note      {into / PAGE} judges the folder as it was before" if judged else f"open {into / PAGE}"
    lines = [*binding_lines(fitted.bound), f"added to {into}", earlier]
    console.result(lines, {"out": str(into), "modalities": list(fitted.bound.names), "changes": digests})


def _plain(record: Any) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "changes"}


def _tests(
    request: BindingRequest, held_out: list[str], columns: o.Columns, allow: bool
) -> tuple[dict[str, Path], list[str]]:
    """The held-out table of each modality that has one, none of whose patients is an anchor's."""
    from stitchkit.cli.binding import existing, split_named
    from stitchkit.core.errors import UnknownNameError
    from stitchkit.evaluation.anchors.overlap import audit_test_table

    tests, notes = {}, []
    for name, path in split_named(held_out, "MODALITY=TABLE").items():
        if name not in request.modalities:
            raise UnknownNameError.of("modality", name, request.modalities)
        tests[name] = existing(name, path)
        one = request.modalities[name]
        # a joint map is fitted on the anchors of all modalities that share its encoder
        for other in request.modalities.values():
            if other.has_texts and (other is one or other.encoder == one.encoder):
                audit = audit_test_table(other.table.read_for(None, None), other.table, tests[name], allow=allow)
                notes += [f"{name} and anchors of {other.name}: {note}" for note in audit]
    if len(tests) == 1:
        raise InputError("--test names one modality; bound modalities are judged beside each other. Name another.")
    return tests, notes


def _judge(
    fitted: FittedBinding, request: BindingRequest, tests: dict[str, Path], common: str | None, seed: int, allow: bool
) -> BindingEvaluation | None:
    """The evaluation on held-out tables; None without them."""
    if not tests:
        if common is not None:
            raise InputError(
                "--common names a column of held-out tables, and there are none. Pass --test MODALITY=TABLE."
            )
        return None
    import numpy as np

    from stitchkit.core.embeddings import Embeddings
    from stitchkit.fitting.judge_binding import judge_binding

    held, labels = {}, {}
    for name, path in tests.items():
        one, encoder = request.modalities[name], fitted.modalities[name].encoder
        table = one.columns.of(path)
        pairs = table.read_for(getattr(encoder, "modality", None), "text")
        held[name] = (pairs, encoder if isinstance(encoder, Embeddings) else None)
        if common is not None:
            shared = table.column_by_id(common, pairs)
            labels[name] = np.asarray([shared.get(key, "") for key in pairs.ids.tolist()])
    return judge_binding(fitted, held, common=labels or None, seed=seed, allow_leakage=allow)


def _write_index(fitted: FittedBinding, draft: Path, names: Iterable[str]) -> None:
    """The items of these modalities in the hub, in files beside the maps."""
    from stitchkit.persistence.bound_folders import write_index

    for name in names:
        write_index(draft, fitted.bound, name, fitted.in_hub(name))
