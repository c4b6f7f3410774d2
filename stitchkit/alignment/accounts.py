"""What a record says besides the fit: notes, doubts, and the numbers of held-out pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stitchkit.alignment.choice import Finalist, Search
from stitchkit.alignment.folds import Folds
from stitchkit.core.alignments import Alignment, is_above_chance


def with_account(fitted: Alignment, account: Mapping[str, Any], notes: Sequence[str] = ()) -> Alignment:
    """``fitted`` with the account in its record; ``notes``, ``r2`` and ``held_out`` are always there."""
    told = [*fitted.record.get("notes", []), *notes]
    record = {"r2": None, "held_out": None, **fitted.record, **account, "notes": told}
    return Alignment(fitted.source_map, fitted.target_map, fitted.weights, fitted.directed, record)


def held_out_numbers(search: Search, repeats: Sequence[Folds], purpose: str) -> dict[str, Any]:
    """What the whole procedure, choice included, reaches on outer folds."""
    outer = search.outer(len(repeats))
    judged, error = outer.judged, search.error(outer.judged, outer.clusters)
    kind = "outer folds; the choice was made again without each"
    if purpose == "head":
        above = bool(judged.mean() > 2 * error)
        return {"r2": float(judged.mean()), "se": error, "above_chance": above, "estimate": kind}
    gallery = float(np.mean([part.gallery.shape[0] for folds in repeats for part in folds.parts]))
    return {
        "mrr": float(judged.mean()),
        "se": error,
        "recall@1": float(np.mean(judged == 1)),
        "gallery": round(gallery),
        "chance_mrr": outer.chance,
        "above_chance": outer.is_above_chance(search.error),
        "estimate": kind,
    }


def notes_of(winner: Finalist, fitted: Alignment, n: int, purpose: str) -> list[str]:
    """What somebody who uses the chosen map should know."""
    notes = []
    if winner.track.strength == "alpha" and winner.at in (0, len(winner.track.strengths) - 1):
        notes.append(f"alpha {winner.value:g} is at the end of the grid; a map beyond it may do a little better")
    if fitted.directed is not None and fitted.record["r2"] < 0.01:
        notes.append(
            "to_target is nearly constant: these anchors predict almost nothing of the target"
            if purpose == "head"
            else "to_target is nearly constant: this map is for matching; for a head fit with purpose='head'"
        )
    if n - 1 < max(fitted.source.dim, fitted.target.dim):
        narrow = [
            f"the {name}'s {dim}"
            for name, dim in (("source", fitted.source.dim), ("target", fitted.target.dim))
            if n - 1 < dim
        ]
        notes.append(f"{n} anchors show at most {n - 1} directions: the rest of {' and of '.join(narrow)} is dropped")
    return notes


def doubts_of(held_out: Mapping[str, Any]) -> list[str]:
    """A note where held-out pairs do no better than chance: pairs shuffled, or for R2 the mean of the targets."""
    name = "r2" if "r2" in held_out else "mrr"
    chance = held_out.get("chance_mrr", 0.0)
    if is_above_chance(held_out):
        return []
    return [
        f"held out, {name} {held_out[name]:.3f} is not clearly above chance ({chance:.3f}): "
        f"these anchors hardly link the two spaces"
    ]
