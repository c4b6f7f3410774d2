"""Descriptions of artefacts: the facts that a folder, a file, a prompt set or an encoder holds, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stitchkit.core.alignment_summary import held_out_summary
from stitchkit.core.embeddings import VECTOR_FILES, Embeddings
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.roles import Encoder, HasClassifier, HasDetails
from stitchkit.core.wording import counted
from stitchkit.datasets.anchor_sets import anchor_set_card, anchor_set_names
from stitchkit.datasets.prompt_sets import prompt_set_names, read_prompts
from stitchkit.datasets.rows import TABLES, groups_of, read_rows
from stitchkit.datasets.vector_files import holds_vectors, read_pool_vectors
from stitchkit.encoders import check_encoder_name, load_encoder
from stitchkit.storage.artefacts import unpack_joint, unpack_linear_head, unpack_model
from stitchkit.storage.bundles import is_bundle, read_manifest
from stitchkit.storage.calibrations import decision_facts
from stitchkit.storage.embeddings import read_embeddings
from stitchkit.storage.folders import NO_ARTEFACT, check_artefact, is_foreign, read_folder
from stitchkit.storage.path_checks import checked_file
from stitchkit.storage.scores import looks_like_scores, read_scores

SENTENCES, SHOWN = "sentences", 4  # key of a prompt set's texts, and those shown of each side of a class
FILES = (*VECTOR_FILES[:-1], ".toml", ".json", *TABLES)  # tables may be Parquet too


def describe(path: str | Path) -> dict[str, Any]:
    """The facts of a folder or file that stitchkit wrote, or of a table or prompt file; never a cell of a table.

    Parameters
    ----------
    path
        A folder of an alignment, a stitched model, a head, a calibration or a shared encoder; a file of vectors
        (``.safetensors``, ``.npy``, ``.npz``, ``.parquet``); a table of scores or of anything; a ``.toml`` or ``.json``
        of prompts.

    Returns
    -------
    dict
        ``is`` says what it is; the other facts depend on that. Ready for JSON.

    Raises
    ------
    InputError
        For a file of another kind, or a folder that stitchkit did not write.
    ModelUnavailableError, DataError
        If it cannot be read.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "pairs.csv")
    ...     _ = path.write_text("id,text,patient\\n1,clear,ann\\n2,,ann\\n")
    ...     describe(path)
    {'is': 'a table', 'rows': 2, 'columns': ['id', 'text', 'patient'], 'patients': 1, 'blank': {'text': 1}}
    """
    place = Path(checked_file(path, "a file"))
    if not place.is_dir():
        return _file(place)
    return _folder(check_artefact(place))


def describe_named(name: str, load: Callable[[str], Encoder] = load_encoder) -> dict[str, Any]:
    """The facts of what a name means: a path that exists, a shipped prompt set or set of anchors, or an encoder.

    Parameters
    ----------
    load
        Loader of an encoder by its name.

    Raises
    ------
    InputError
        For a folder that is neither stitchkit's nor an encoder's.
    UnknownNameError
        For a name of nothing.

    Examples
    --------
    >>> describe_named("view")["classes"], describe_named("demo:text")["reads"]
    (['AP', 'PA'], 'texts')
    """
    path = Path(name)
    if path.is_dir() and is_foreign(path):
        try:
            check_encoder_name(name)
        except (InputError, UnknownNameError) as error:
            raise InputError(
                f"{name} {NO_ARTEFACT}. Nor is it an encoder that can be loaded: " + error.message
            ) from error
    elif path.exists():
        return describe(path)
    elif name in prompt_set_names():
        return describe_prompts(name)
    elif name in anchor_set_names():
        return _anchor_set(name)
    elif path.suffix.lower() in FILES:
        raise InputError(f"there is no file {name}. Check the path.")
    return describe_encoder(name, load(check_encoder_name(name)))


def describe_prompts(name: str | Path) -> dict[str, Any]:
    """The facts of a prompt set, by the name of a shipped one or by its file."""
    prompts = read_prompts(name)
    return {
        "is": "a prompt set",
        "name": prompts.name,
        "classes": list(prompts.classes),
        "texts": len(prompts.texts),
        "negatives": bool(prompts.negative),
        "multiclass": prompts.multiclass,
        **{key: value for key, value in prompts.card.items() if key in ("modality", "source", "licence", "sha256")},
        SENTENCES: {
            label: {"positive": list(prompts.positive[label]), "negative": list(prompts.negative.get(label, ()))}
            for label in prompts.classes
        },
    }


def _anchor_set(name: str) -> dict[str, Any]:
    """The card of a shipped set of anchors; its images are not drawn for it."""
    card = anchor_set_card(name)
    sides = {side: f"{card['sides'][side]['modality']}s" for side in ("source", "target")}
    return {
        "is": "a set of anchors",
        **{key: card[key] for key in ("name", "description", "pairs", "patients")},
        "sides": sides,
        **{key: card[key] for key in ("source", "licence", "obtain")},
        "columns": list(card["columns"]),
        **{key: card[key] for key in ("sha256", "content")},
    }


def describe_encoder(name: str, encoder: Encoder) -> dict[str, Any]:
    """The facts of a loaded encoder; ``name`` is what a user types to load it."""
    space = encoder.space
    classes, why = None, "none"
    if isinstance(encoder, HasClassifier):
        try:
            classes = list(encoder.classifier().classes)
        except InputError as error:
            why = f"none: {error}"
    return {
        "is": "an encoder",
        "name": name,
        "reads": f"{encoder.modality}s",
        "dim": space.dim,
        "fingerprint": space.fingerprint,
        **(encoder.details if isinstance(encoder, HasDetails) else {}),
        "classifier": classes or why,
    }


def description_lines(facts: Mapping[str, Any]) -> list[str]:
    """The facts of a description for a screen, one a line; what is unknown or empty is left out."""
    rest = {key: value for key, value in facts.items() if key != SENTENCES and value not in (None, "", [], {})}
    shown = {key.replace("_", " "): _text_of(value) for key, value in rest.items()}
    if isinstance(held := facts.get("held_out"), Mapping) and held:
        doubt = "" if held.get("above_chance", True) else "; not clearly above chance"
        shown["held out"] = held_out_summary(held) + doubt
    wide = max(map(len, shown))
    lines = [f"{key:<{wide}}  {value}" for key, value in shown.items()]
    return lines + _sentence_lines(facts.get(SENTENCES, {}))


def _sentence_lines(sentences: Mapping[str, Mapping[str, list[str]]]) -> list[str]:
    """The first texts of each class: a plus for one that states it, a minus for one that states its absence."""
    lines = []
    for label, sides in sentences.items():
        others = {text for name, one in sentences.items() if name != label for text in one["positive"]}
        own = [text for text in sides["negative"] if text not in others]
        shared = len(sides["negative"]) - len(own)
        lines += ["", label]
        for sign, texts in (("+", sides["positive"]), ("-", own)):
            lines += [f"  {sign} {text}" for text in texts[:SHOWN]]
            lines += [f"  {sign} {len(texts) - SHOWN} more: --json lists them"] if len(texts) > SHOWN else []
        lines += [f"  - {counted(shared, 'text')} of the other classes"] if shared else []
    return lines


def _text_of(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text_of(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text_of, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _folder(path: Path) -> dict[str, Any]:
    config, arrays = read_folder(path)
    if config.get("kind") == "joint":
        joint = unpack_joint(config, arrays)
        spaces = {name: one.source.dim for name, one in joint.maps.items()}
        return {"is": "an alignment of many spaces", "spaces": spaces, "directions": joint.common.dim}
    if config.get("kind") == "bound":
        return _bound(path, config)
    if config.get("kind") == "fused":
        return _fused_head(config, arrays)
    if config.get("kind") == "shared encoder":
        return _shared_encoder(path, config, arrays)
    if config.get("kind") == "tuned pair":
        return _tuned_pair(path, config)
    decisions = {name.lower(): value for name, value in decision_facts(config).items()}
    if decisions and "source" not in config:
        return {"is": "a fit on scores", **decisions}
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
        **decisions,
        "notes": record.get("notes", []),
        **({"bundle": _bundle(path)} if is_bundle(path) else {}),
    }


def _bundle(path: Path) -> dict[str, Any]:
    """Encoders whose files a bundle holds, and the size of all of it; nothing is hashed."""
    manifest = read_manifest(path)
    return {
        "encoders": list(manifest["encoders"].values()),
        "files": len(manifest["files"]),
        "bytes": sum(facts["bytes"] for facts in manifest["files"].values()),
    }


def _bound(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Modalities, encoders and hub of a bound folder; its maps are not read."""
    names, record = [str(one["name"]) for one in config["modalities"]], config["record"]
    inside = {name: read_folder(path / name)[0] for name in (*names, "text")}
    chosen = {name: one["chosen"] for one in record.get("compared", []) for name in one["modalities"]}
    changes = [
        f"{what} {one[what]}" for one in record.get("changes", []) for what in ("added", "removed") if what in one
    ]
    hub = record.get("hub", {})
    return {
        "is": "bound modalities",
        "modalities": {name: f"{path}/{name}" for name in names},
        "encoders": {name: inside[name].get("encoder") or "vectors alone" for name in names},
        "anchors": {name: inside[name]["record"].get("anchors") for name in names},
        "maps": {name: chosen.get(name, "own") for name in names},
        "hub": {"wide": config["hub"]["dim"], **_hub(hub)},
        "queries": inside["text"].get("encoder") or "vectors alone",
        "changes": changes,
    }


def _hub(record: Mapping[str, Any]) -> dict[str, Any]:
    """Solver and number of texts of a hub; one text encoder's space is its own hub."""
    if record.get("solver") == "none":
        return {"space of": "the text encoder"}
    return {"solver": record.get("solver"), "texts": record.get("texts")}


def _fused_head(config: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
    from stitchkit.storage.fused_heads import unpack_fused

    head = unpack_fused(config, arrays)
    inputs = {
        one.name: ", ".join(one.table.names) if one.table is not None else one.encoder or one.space.name
        for one in head.modalities
    }
    own = [" and ".join(one.present) for one in head.decisions if one.present and not one.borrowed]
    return {
        "is": "a fused head",
        "classes": list(head.classes),
        "one class applies": head.multiclass,
        "inputs": inputs,
        "rows": head.record.get("rows"),
        "calibrated for": own,
    }


def _shared_encoder(path: Path, config: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
    from stitchkit.encoders.shared.encoder import unpack_shared  # which needs torch

    network, _ = unpack_shared(config, arrays)
    named = {one: f"stitchkit:{path}#modality={one}" for one in network.shape.inputs}
    return {"is": "a shared encoder", "width": network.shape.dim, "modalities": named, **_objective(config)}


def _tuned_pair(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    from stitchkit.encoders.tuned.encoder import pair_fields  # which needs torch

    fields = pair_fields(config)
    named = {one.name: f"stitchkit:{path}#modality={one.name}" for one in fields.towers}
    trained = {one.name: one.encoder for one in fields.towers}
    return {"is": "a pair of trained encoders", "width": fields.dim, "modalities": named, "trained from": trained,
            **_objective(config)}  # fmt: skip


def _objective(config: dict[str, Any]) -> dict[str, Any]:
    """The objective of the recipe that trained the encoders, where it is on record."""
    objective = config.get("record", {}).get("recipe", {}).get("objective", {})
    return {"objective": objective["name"]} if "name" in objective else {}


def _file(path: Path) -> dict[str, Any]:
    kind = path.suffix.lower()
    if kind == VECTOR_FILES[0]:
        return _embeddings(read_embeddings(path))
    if kind in VECTOR_FILES and holds_vectors(path):
        return _embeddings(read_pool_vectors(path, unstamped=True))
    if kind in (".toml", ".json"):
        return describe_prompts(path)
    if kind not in TABLES:
        raise InputError(f"{path} is none of {', '.join(FILES)}. Name one of these.")
    if looks_like_scores(path):
        scores = read_scores(path)
        origin = {} if scores.provenance is None else {"provenance": scores.provenance.to_dict()}
        return {
            "is": "a table of scores",
            "n": len(scores),
            "kind": scores.kind,
            "classes": list(scores.classes),
            **origin,
        }
    return _table(path)


def _embeddings(vectors: Embeddings) -> dict[str, Any]:
    space = vectors.space
    return {
        "is": "a file of embeddings" if space.fingerprint else "a file of vectors without a fingerprint",
        "n": len(vectors),
        "dim": space.dim,
        "dtype": str(vectors.vectors.dtype),
        "space": space.name,
        "fingerprint": space.fingerprint,
    }


def _table(path: Path) -> dict[str, Any]:
    """Counts only: no cell of the table."""
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
