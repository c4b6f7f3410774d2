"""Bound modalities as one self-contained HTML page: what was bound and how, and what held-out items show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stitchkit.alignment.binding.bound_space import BoundSpace
from stitchkit.core.alignments import map_in_words
from stitchkit.core.strict_json import parse_json
from stitchkit.core.text_tables import text_table
from stitchkit.core.wording import counted
from stitchkit.evaluation.binding.results import BindingEvaluation
from stitchkit.reports.figures import forest
from stitchkit.reports.pages import LOUD, package_versions, page_folder, strict_json, template, wrapped_command
from stitchkit.storage.atomic_writes import write_text

PAGE, NUMBERS = "report.html", "binding.json"


def write_binding(
    bound: BoundSpace,
    folder: str | Path,
    *,
    evaluation: BindingEvaluation | None = None,
    notes: list[str] | None = None,
    command: str = "",
) -> Path:
    """Write ``report.html`` and ``binding.json`` into ``folder``, each in one step; the page's path comes back.

    Parameters
    ----------
    bound
        The bound space.
    folder
        Made if need be; only the two files are written.
    evaluation
        Result of :func:`stitchkit.evaluate_binding`; without one the page tells how the modalities were bound.
    notes
        Further caveats.
    command
        Command line that bound them.

    Raises
    ------
    InputError
        If ``folder`` is a file.
    """
    folder = page_folder(folder, "binding")
    every = [*(notes or []), *_notes(bound), *(() if evaluation is None else evaluation.notes)]
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    names = ", ".join(bound.names)
    text = template("binding.html.j2").render(
        bound=bound,
        title=f"{names} in one space" if evaluation is None else _capital(evaluation.verdict),
        subtitle=f"{names} · hub of {bound.hub.dim} dimensions",
        found=evaluation,
        facts=list(_facts(bound, date)),
        rows=list(_rows(bound)),
        compared=list(_comparisons(bound)),
        counted=counted,
        command=wrapped_command(command),
        loud=[note for note in dict.fromkeys(every) if note.startswith(LOUD)],
        quiet=[note for note in dict.fromkeys(every) if not note.startswith(LOUD)],
        figures={} if evaluation is None else _figures(evaluation),
        versions=package_versions(),
        numbers_file=NUMBERS,
    )
    whole = {} if evaluation is None else {"evaluation": evaluation.to_dict()}
    plain = strict_json({**whole, "digests": bound.digests, "compared": bound.record.get("compared", []), "date": date})
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / NUMBERS, plain + "\n")
    write_text(folder / PAGE, text)
    return folder / PAGE


def has_evaluation(folder: Path) -> bool:
    """True if the page in a folder judges its modalities on held-out items."""
    file = folder / NUMBERS
    return file.is_file() and "evaluation" in parse_json(file.read_bytes())


def binding_lines(bound: BoundSpace) -> list[str]:
    """The modalities and their maps as a table for a terminal."""
    rows = [["modality", "encoder", "anchors", "map", "held out"]]
    rows += [[row["name"], row["encoder"], str(row["anchors"]), row["kind"], row["held_out"]] for row in _rows(bound)]
    lines = text_table(rows)
    for one in _comparisons(bound):
        scores = ", ".join(f"{key} {value:.3f}" for key, value in one["mean"].items())
        lines.append(f"{', '.join(one['modalities'])}: {one['chosen']} (held-out mean reciprocal rank: {scores})")
    return [*lines, *(f"note      {note}" for note in _notes(bound))]


def _rows(bound: BoundSpace) -> Iterator[dict[str, Any]]:
    """One row a modality."""
    chosen = {name: one["chosen"] for one in bound.record.get("compared", []) for name in one["modalities"]}
    for name, one in bound.modalities.items():
        held = one.record.get("held_out")
        yield {
            "name": name,
            "encoder": one.encoder or one.to_hub.source.name,
            "texts": bound.text_encoders.get(one.text_space) or one.text_space or "partner",
            "anchors": one.record.get("anchors", "?"),
            "kind": chosen.get(name, "own"),
            "map": map_in_words(one.record),
            "held_out": _held_out(held),
        }


def _held_out(held: Mapping[str, Any] | None) -> str:
    """The number on held-out anchors beside chance; empty where a joint map was compared instead."""
    if not held or "mrr" not in held:
        return ""
    return f"mean reciprocal rank {held['mrr']:.3f}, chance {held.get('chance_mrr', float('nan')):.3f}"


def _comparisons(bound: BoundSpace) -> Iterator[Mapping[str, Any]]:
    yield from bound.record.get("compared", [])


def _notes(bound: BoundSpace) -> Iterator[str]:
    for name, one in bound.modalities.items():
        for note in one.record.get("notes", []):
            yield f"{name}: {note}"


def _facts(bound: BoundSpace, date: str) -> Iterator[tuple[str, str]]:
    hub = bound.record.get("hub", {})
    query = bound.text_encoders.get(bound.text) or bound.text_maps[bound.text].source.name
    yield "Queries are read by", query
    solver = str(hub.get("solver", "fitted maps"))
    spaces = counted(len(bound.text_maps), "text space")
    if solver == "none":
        yield "Hub", f"the space of the one text encoder, {bound.hub.dim} wide"
    else:
        yield "Hub", f"{spaces} by {solver}, from {hub.get('texts', '?')} texts, {bound.hub.dim} wide"
    yield "Centres", "each modality's own anchors (its classes), and the mean over modalities (which modality)"
    if (changes := bound.record.get("changes")) is not None:
        words = [f"{what} {one[what]}" for one in changes for what in ("added", "removed") if what in one]
        yield "Changed since", ", ".join(words)
    yield "Bound on", date


def _figures(evaluation: BindingEvaluation) -> dict[str, str]:
    """Zero-shot of every modality, bound and alone."""
    rows = []
    for name, one in evaluation.modalities.items():
        rows.append((name, one.zero_shot.main.macro))
        rows += [(f"{name}, {other.name}", other.macro) for other in one.zero_shot.methods if other.name == "alone"]
    marked = [i for i, (name, _) in enumerate(rows) if not name.endswith(", alone")]
    return {"zero_shot": forest(rows, label="macro AUROC", marked=marked)}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
