"""The summary of an alignment in lines: chosen solver, anchors, held-out numbers, notes and candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stitchkit.core.wording import NO_PATIENTS, counted

_CRITERIA = ("prompt_margin", "prompt_mrr", "prompt_agreement", "margin", "balanced_mrr", "mrr", "agreement", "r2")
_PROMPTED = {
    "prompt_margin": "correlation of scores with the prompted class {prompt_margin:.3f} (se {prompt_margin_se:.3f}; "
    "chance {chance_prompt_margin:.3f}), ",
    "prompt_mrr": "reciprocal rank of the prompted class {prompt_mrr:.3f} (se {prompt_mrr_se:.3f}; chance "
    "{chance_prompt_mrr:.3f}), ",
    "prompt_agreement": "correlation of the prompts' scores {prompt_agreement:.3f} (se {prompt_agreement_se:.3f}; "
    "chance 0), ",
}
_OF_MATCH = frozenset({"mrr", "se", "chance_mrr", "recall@1", "gallery", "estimate"})
_OF_HEAD = frozenset({"r2", "se", "estimate"})
_NUMBERS = (*_CRITERIA, "separation", "se", "freedom")


def summary_lines(record: Mapping[str, Any], *, candidates: bool = True) -> list[str]:
    """The lines that ``print(alignment)`` shows, from the alignment's record.

    Parameters
    ----------
    candidates
        Lines on every map that was tried, with its degrees of freedom; else their number. Default True.
    """
    chosen = f"{record.get('solver')} ({_join_settings(record.get('settings', {}))}), rank {record.get('rank')}"
    lines = [f"solver    {chosen}, chosen by {record.get('chosen_by')}"]
    folds = f"; {counted(record['folds'], 'fold')}" if "folds" in record else ""
    folds += f", drawn {counted(record['repeats'], 'time')}" if "repeats" in record else ""
    unknown = "patients" in record and record["patients"] is None
    groups = (
        "; patients not known" if unknown else f" of {counted(record['groups'], 'group')}" if "groups" in record else ""
    )
    lines.append(f"anchors   {_pairs(record.get('anchors'))}{groups}{folds}")
    lines.append(f"held out  {held_out_summary(record.get('held_out'))}")
    notes = dict.fromkeys((*record.get("notes", []), record.get("transductive"), NO_PATIENTS if unknown else ""))
    lines += ["note      " + note for note in notes if note]
    branches = _complete(record.get("branches"), ("branch", "mrr", "se", "median_rank"))
    tried = _complete(record.get("candidates"), ("solver", "se", "freedom"))
    if not candidates:
        return [*lines, *([f"tried     {counted(len(tried), 'map')}: -v lists them"] if tried else [])]
    if branches:
        lines += ["branches", *_branches(branches)]
    if tried:
        lines += ["candidates", *_candidates(tried)]
    return lines


def chosen_candidate(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The candidate of a record's search whose solver and settings are those of the map; None if there is none.

    Examples
    --------
    >>> candidates = [{"solver": "csa", "dims": 8, "mrr": 0.2}, {"solver": "csa", "dims": "all", "mrr": 0.3}]
    >>> chosen_candidate({"solver": "csa", "settings": {"dims": 96}, "candidates": candidates})["mrr"]
    0.3
    """
    settings = record.get("settings", {})
    alike = [
        row
        for row in record.get("candidates", ())
        if row.get("solver") == record.get("solver")
        and all(row[key] in (value, "all") for key, value in settings.items() if key in row)
    ]
    # "all" stands for the number that the settings name, unless another candidate has that number
    return min(alike, key=lambda row: sum(row.get(key) == "all" for key in settings), default=None)


def _complete(rows: Any, fields: tuple[str, ...]) -> list[Mapping[str, Any]]:
    """Entries that have what their line shows; a folder that was written by hand may lack it."""
    entries = rows if isinstance(rows, list | tuple) else []
    return [one for one in entries if isinstance(one, Mapping) and all(name in one for name in fields)]


def _pairs(n: Any) -> str:
    return counted(n, "pair") if isinstance(n, int) else f"{n} pairs"


def held_out_summary(held: Mapping[str, Any] | None) -> str:
    """The held-out numbers of an alignment's record in one line; ``not measured`` where there are none."""
    if not held:
        return "not measured"
    needed = _OF_HEAD if "r2" in held else _OF_MATCH
    if not needed <= set(held) or not all(isinstance(held[name], int | float) for name in needed - {"estimate"}):
        return _join_settings(held)  # a folder may have been written by hand
    if "r2" in held:
        agreement = ""
        if "agreement" in held:
            agreement = f"agreement of the head's outputs {held['agreement']:.3f} (se {held['agreement_se']:.3f}), "
        return f"{agreement}R2 {held['r2']:.3f} (se {held['se']:.3f}; 0 is the mean of the target), {held['estimate']}"
    prompts = _PROMPTED.get(next((name for name in _PROMPTED if name in held), ""), "")
    return (
        f"mean reciprocal rank {held['mrr']:.3f} (se {held['se']:.3f}; chance {held['chance_mrr']:.3f}), "
        f"recall@1 {held['recall@1']:.3f} in galleries of {held['gallery']}, {prompts.format_map(held)}"
        f"{held['estimate']}"
    )


def _candidates(candidates: list[Mapping[str, Any]]) -> list[str]:
    """One line a candidate, best first."""
    best = next((name for name in _CRITERIA if name in candidates[0]), "se")
    rows = sorted((one for one in candidates if best in one), key=lambda one: -one[best])
    names = [
        f"{one['solver']} ({_join_settings({k: v for k, v in one.items() if k not in (*_NUMBERS, 'solver')})})"
        for one in rows
    ]
    wide = max(map(len, names))
    return [
        f"  {name:<{wide}}  {best} {one[best]:.3f} (se {one['se']:.3f}), "
        f"{counted(one['freedom'], 'degree', 'degrees')} of freedom"
        for name, one in zip(names, rows, strict=True)
    ]


def _branches(branches: list[Mapping[str, Any]]) -> list[str]:
    """One line for each way of using pools, best first."""
    wide = max(len(one["branch"]) for one in branches)
    return [
        f"  {one['branch']:<{wide}}  mrr {one['mrr']:.3f} (se {one['se']:.3f}), median rank {one['median_rank']:g}"
        for one in sorted(branches, key=lambda one: -one["mrr"])
    ]


def _join_settings(settings: Mapping[str, Any]) -> str:
    """``name value, name value``, numbers to three digits."""
    shown = {key: f"{value:.3g}" if isinstance(value, float) else value for key, value in settings.items()}
    return ", ".join(f"{key} {value}" for key, value in shown.items())
