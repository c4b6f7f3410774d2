"""``stitchkit info``: what a name, a folder or a file is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stitchkit.cli import options as o
from stitchkit.cli.records import flat, without

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

    console = Console.of(output)
    facts = describe(what, Loading(compute, console))
    console.result("\n".join(_lines(facts)), facts)


def describe(what: str, loading: Loading) -> dict[str, Any]:
    """The facts of ``what``: a path that exists, a shipped prompt set, or an encoder."""
    from stitchkit.datasets.prompt_sets import prompt_set_names
    from stitchkit.storage.path_checks import checked_file

    path = Path(what)
    if path.exists():
        checked_file(path, "a file")
    if path.is_dir():
        return _folder_or_encoder(what, path, loading)
    if path.is_file():
        return _file(path)
    return _prompts(what) if what in prompt_set_names() else _encoder(what, loading)


def _folder_or_encoder(what: str, path: Path, loading: Loading) -> dict[str, Any]:
    """The facts of a folder: one of stitchkit, or a checkpoint of an encoder."""
    from stitchkit.cli.loading import check_name
    from stitchkit.cli.paths import NO_ARTEFACT
    from stitchkit.core.errors import InputError, UnknownNameError
    from stitchkit.storage.folders import is_foreign

    if not is_foreign(path):
        return _folder(path)
    try:
        check_name(what)
    except (InputError, UnknownNameError) as error:
        raise InputError(f"{what} {NO_ARTEFACT}. Nor is it an encoder that can be loaded: {error}") from error
    return _encoder(what, loading)


def _folder(path: Path) -> dict[str, Any]:
    from stitchkit.storage.artefacts import unpack_joint, unpack_linear_head, unpack_model
    from stitchkit.storage.folders import read_folder

    config, arrays = read_folder(path)
    if config.get("kind") == "joint":
        joint = unpack_joint(config, arrays)
        spaces = {name: one.source.dim for name, one in joint.maps.items()}
        return {"is": "an alignment of many spaces", "spaces": spaces, "directions": joint.common.dim}
    if config.get("kind") == "shared encoder":
        return _shared(path, config, arrays)
    if "source" not in config:
        alone = unpack_linear_head(config.get("head", {}), arrays)
        return {"is": "a head", "space": alone.space.name, "head": "linear", "classes": list(alone.classes)}
    head = unpack_model(config, arrays)[1]
    classes = {"head": config["head"]["kind"], "classes": list(head.classes)} if head else {"head": "none"}
    record = config["record"]
    return {
        "is": "a stitched folder" if config.get("encoder") else "an alignment without encoders",
        "encoder": config.get("encoder"),
        "source": config["source"],
        "target": config["target"],
        "target_encoder": config.get("target_encoder"),
        "solver": record.get("solver"),
        "settings": record.get("settings"),
        "rank": record.get("rank"),
        "held_out": record.get("held_out"),
        "common_centre": record.get("common_centre"),
        "anchor_set": config.get("anchor_set"),
        **classes,
        "notes": record.get("notes", []),
    }


def _shared(path: Path, config: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
    from stitchkit.encoders.shared.encoder import unpack_shared

    network, _ = unpack_shared(config, arrays)
    named = {one: f"stitchkit:{path}#modality={one}" for one in network.shape.inputs}
    return {"is": "a shared encoder", "width": network.shape.dim, "modalities": named}


def _file(path: Path) -> dict[str, Any]:
    from stitchkit.core.errors import InputError
    from stitchkit.storage.scores import looks_like_scores, read_scores

    kind = path.suffix.lower()
    if kind == ".safetensors":
        return _embeddings(path)
    if kind in (".toml", ".json"):
        return _prompts(str(path))
    if kind not in (".csv", ".tsv", ".tab"):
        raise InputError(f"{path} is none of .safetensors, .csv, .tsv, .toml and .json. Name one of these.")
    if looks_like_scores(path):
        scores = read_scores(path)
        return {"is": "a table of scores", "n": len(scores), "kind": scores.kind, "classes": list(scores.classes)}
    return _table(path)


def _embeddings(path: Path) -> dict[str, Any]:
    from stitchkit.storage.folders import read_embeddings

    vectors = read_embeddings(path)
    space = vectors.space
    return {
        "is": "a file of embeddings",
        "n": len(vectors),
        "dim": space.dim,
        "dtype": str(vectors.vectors.dtype),
        "space": space.name,
        "fingerprint": space.fingerprint,
    }


def _table(path: Path) -> dict[str, Any]:
    """Counts only: no cell of the table."""
    from stitchkit.datasets.rows import groups_of, read_rows

    table = read_rows(path)
    groups = groups_of(table, None)
    blank = {name: sum(not cell for cell in table.column(name)) for name in table.columns}
    return {
        "is": "a table",
        "rows": len(table),
        "columns": list(table.columns),
        "patients": None if groups is None else len(set(groups.tolist())),
        "blank": {name: count for name, count in blank.items() if count},
    }


def _prompts(name: str) -> dict[str, Any]:
    from stitchkit.datasets.prompt_sets import read_prompts

    prompts = read_prompts(name)
    return {
        "is": "a prompt set",
        "name": prompts.name,
        "classes": list(prompts.classes),
        "texts": len(prompts.texts),
        "negatives": bool(prompts.negative),
        "multiclass": prompts.multiclass,
        **{key: value for key, value in prompts.card.items() if key in ("modality", "source", "licence", "sha256")},
    }


def _encoder(name: str, loading: Loading) -> dict[str, Any]:
    from stitchkit.cli.loading import check_name
    from stitchkit.core.errors import InputError
    from stitchkit.core.roles import HasClassifier

    loaded = loading.encoder(check_name(name))
    space = loaded.space
    classes, why = None, "none"
    if isinstance(loaded, HasClassifier):
        try:
            classes = list(loaded.classifier().classes)
        except InputError as error:
            why = f"none: {error}"
    return {
        "is": "an encoder",
        "name": name,
        "reads": f"{loaded.modality}s",
        "dim": space.dim,
        "fingerprint": space.fingerprint,
        "classifier": classes or why,
    }


def _lines(facts: Mapping[str, Any]) -> list[str]:
    from stitchkit.core.alignment_summary import held_out_summary

    shown = {key.replace("_", " "): _listed(value) for key, value in facts.items() if value not in (None, "", [], {})}
    if isinstance(held := facts.get("held_out"), Mapping) and held:
        doubt = "" if held.get("above_chance", True) else "; not clearly above chance"
        shown["held out"] = held_out_summary(held) + doubt
    wide = max(map(len, shown))
    return [f"{key:<{wide}}  {value}" for key, value in shown.items()]


def _listed(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_listed(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_listed, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)
