"""Notes, doubts and held-out numbers of a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from stitchkit.alignment.criteria import Criterion
from stitchkit.alignment.head_agreement import HeadAgreement
from stitchkit.alignment.held_out import HeldOut
from stitchkit.alignment.rules import standard_error
from stitchkit.alignment.search import Finalist, Search
from stitchkit.core.alignments import NO_COMMON_CENTRE, Alignment, is_above_chance
from stitchkit.core.arrays import take, to_numpy
from stitchkit.core.embeddings import BLOCK, Embeddings
from stitchkit.core.prompts import PromptVectors
from stitchkit.core.wording import NO_PATIENTS, advice, counted, setting
from stitchkit.solvers.paths import Track

TOO_FEW = 10  # anchors or patients: so few cannot distinguish a link from chance
FAR, RARE = 6, 0.1  # outliers: rows this many median distances away, as long as they are at most this share
SAMPLED = 5000  # targets of which the median is taken, so that a long table is read in blocks only


def with_record(fitted: Alignment, summary: Mapping[str, Any], notes: Sequence[str] = ()) -> Alignment:
    """``fitted`` with the summary in its record; ``notes``, ``r2`` and ``held_out`` are always there."""
    every = [*fitted.record.get("notes", []), *notes]
    record = {"r2": None, "held_out": None, **fitted.record, **summary, "notes": every}
    return Alignment(fitted.source_map, fitted.target_map, fitted.weights, fitted.directed, record)


def with_facts(fitted: Alignment, y: Embeddings, groups: np.ndarray | None) -> Alignment:
    """``fitted`` with what every record holds of its anchors: number of patients, notes on targets and on patients."""
    notes = [*fitted.record.get("notes", []), *notes_on_targets(y), *([NO_PATIENTS] if groups is None else [])]
    facts = {
        "patients": None if groups is None else len(np.unique(groups)),
        "common_centre": NO_COMMON_CENTRE,
        "notes": list(dict.fromkeys(notes)),  # a search beside pools has written some already
    }
    return replace(fitted, record={**fitted.record, **facts})


def candidate(one: Finalist, search: Search) -> dict[str, Any]:
    """Entry of the record for a contender."""
    track, criterion = one.track, search.criterion
    score = search.score(one.contender, one.at)
    return {
        **settings_of(track),
        track.strength: track.strengths[one.at],
        **({} if criterion.curve_name == criterion.name else {criterion.curve_name: score}),
        criterion.name: one.mean,
        "se": one.error,
        "freedom": round(search.freedom(one)),
    }


def settings_of(track: Track) -> dict[str, Any]:
    """Settings that a track fixes, without its strength."""
    part = {} if track.pca is None else {"pca": track.pca}
    return {"solver": track.family, "scale": track.scale, **part, **track.settings}


def held_out_numbers(search: Search) -> dict[str, Any]:
    """Held-out numbers of the search, choice included."""
    numbers = search.held_out()
    kind = "held-out folds, each judged by the map that the other folds choose and that was fitted without it"
    value = float(numbers.judged.mean())
    if not search.criterion.ranks:
        above = numbers.is_above_chance
        if search.criterion.name == "r2":
            return {"r2": value, "se": numbers.error, "above_chance": above, "estimate": kind}
        r2, error = numbers.explained
        agreement = {"agreement": value, "agreement_se": numbers.error, "chance_agreement": numbers.chance}
        return {**agreement, "r2": r2, "se": error, "above_chance": above, "estimate": kind}
    return {
        "mrr": value,
        "se": numbers.error,
        "recall@1": numbers.recall_at_1,
        "gallery": numbers.gallery,
        "chance_mrr": numbers.chance,
        "above_chance": numbers.is_above_chance,
        **_prompted_numbers(search.criterion.name, numbers),
        "estimate": kind,
    }


def _prompted_numbers(name: str, numbers: HeldOut) -> dict[str, float]:
    """Held-out numbers of the prompts' criterion, where it chose."""
    if numbers.prompted is None:
        return {}
    entries, chance = numbers.prompted
    return {
        name: float(entries.mean()),
        f"{name}_se": standard_error(entries, numbers.clusters),
        f"chance_{name}": float(chance.mean()),
    }


def notes_of(winner: Finalist, fitted: Alignment, n: int, purpose: str) -> list[str]:
    """Notes for users of the chosen map."""
    notes = []
    strengths = winner.track.strengths
    if winner.track.strength == "alpha" and winner.at in (0, len(strengths) - 1):
        value = f"{strengths[winner.at]:g}"
        notes.append(f"alpha {value} is at the end of the grid; a map beyond it may do a little better")
    if fitted.directed is not None and fitted.record["r2"] < 0.01:
        notes.append(
            "to_target is nearly constant: these anchors predict almost nothing of the target"
            if purpose == "head"
            else "to_target is nearly constant: this map is for matching"
            + advice("; for a head fit with ", setting("purpose", "head"))
        )
    if n - 1 < max(fitted.source.dim, fitted.target.dim):
        narrow = [
            f"the {name}'s {dim}"
            for name, dim in (("source", fitted.source.dim), ("target", fitted.target.dim))
            if n - 1 < dim
        ]
        notes.append(f"{n} anchors show at most {n - 1} directions: the rest of {' and of '.join(narrow)} is dropped")
    return notes


def notes_on_head(criterion: Criterion) -> list[str]:
    """Notes on a missing head, and on a head of which only some classes are compared."""
    notes: list[str] = []
    if criterion.name == "r2":
        notes.append(
            "chosen by R2, since no head was given: a head may rank maps in another order. On three pairs of image "
            "networks the choice by R2 lost .03 to .07 of accuracy at 25 anchors and .008 to .017 at 100"
            + advice(". Pass ", setting("head"), " to choose by its own outputs")
        )
    if isinstance(criterion, HeadAgreement) and criterion.part is not None:
        many = len(criterion.head.classes)
        notes.append(f"agreement is that of {len(criterion.part)} of the head's {many} classes, drawn at random")
    return notes


def notes_on_targets(y: Embeddings) -> list[str]:
    """A note on targets that are far from all others."""
    lengths = _distances(y)
    far = int(np.sum(lengths > FAR * np.median(lengths)))
    if not 0 < far <= RARE * len(y):
        return []
    return [
        f"{far} of {len(y)} targets lie more than {FAR} times as far from their mean as is usual: squared error "
        f"follows them. Look at them with sk.diagnose, or leave them out"
    ]


def notes_on_prompts(criterion: Criterion, prompts: PromptVectors) -> list[str]:
    """Notes on prompts that cannot compare maps, since no anchor's own target is nearest to them."""
    classes, read_as = prompts.prompts.classes, getattr(criterion, "read_as", None)
    if not criterion.beside:
        return [
            "by these prompts the anchors' own targets all score alike, or are all nearest to one class, so that they "
            "tell no maps apart: the map was chosen without them. Do the anchors' texts mention the classes?"
        ]
    if read_as is None or len(read_as) == len(classes):
        return []
    left = [name for i, name in enumerate(classes) if i not in read_as]
    return [
        f"no anchor's own target is nearest to the prompts of {len(left)} of {len(classes)} classes, "
        f"{', '.join(left[:5])}{', ...' if len(left) > 5 else ''}: nothing judges how the map names them"
    ]


def _distances(y: Embeddings) -> np.ndarray:
    """Distance (n,) of each target from the median of evenly spread ones, read in blocks."""
    n = len(y)
    some = np.unique(np.linspace(0, n - 1, min(n, SAMPLED)).astype(np.int64))
    middle = np.median(to_numpy(take(y.vectors, some)).astype(np.float64), axis=0)
    blocks = (to_numpy(y.vectors[at : min(at + BLOCK, n), :]).astype(np.float64) for at in range(0, n, BLOCK))
    return np.concatenate([np.sqrt(np.sum((rows - middle) ** 2, axis=1)) for rows in blocks])


def doubts_of(held_out: Mapping[str, Any], clusters: int) -> list[str]:
    """A note where held-out pairs do no better than chance: shuffled pairs, or for R2 the mean of the targets."""
    name = next(one for one in ("agreement", "r2", "mrr") if one in held_out)
    chance = held_out.get(f"chance_{name}", 0.0)
    if is_above_chance(held_out):
        return []
    if clusters <= TOO_FEW:
        return [
            f"held out, {name} {held_out[name]:.3f} (chance {chance:.3f}): "
            f"{counted(clusters, 'anchor or patient', 'anchors or patients')} cannot tell"
        ]
    return [
        f"held out, {name} {held_out[name]:.3f} is not clearly above chance ({chance:.3f}): "
        f"these anchors hardly link the two spaces"
    ]
