"""The account of an alignment for a terminal: what was chosen, among what, with which held-out numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stitchkit.cli.flags import in_flags
from stitchkit.core.alignments import NO_PATIENTS
from stitchkit.core.wording import counted

_CRITERIA = ("prompt_margin", "prompt_mrr", "prompt_agreement", "margin", "balanced_mrr", "mrr", "agreement", "r2")
_PROMPTED = {
    "prompt_margin": "correlation of scores with the prompted class {prompt_margin:.3f} (se {prompt_margin_se:.3f}; "
    "chance {chance_prompt_margin:.3f}), ",
    "prompt_mrr": "reciprocal rank of the prompted class {prompt_mrr:.3f} (se {prompt_mrr_se:.3f}; chance "
    "{chance_prompt_mrr:.3f}), ",
    "prompt_agreement": "correlation of the prompts' scores {prompt_agreement:.3f} (se {prompt_agreement_se:.3f}; "
    "chance 0), ",
}
_NUMBERS = (*_CRITERIA, "separation", "se", "freedom")


def account(record: Mapping[str, Any]) -> list[str]:
    """Lines that tell how an alignment was found."""
    chosen = f"{record.get('solver')} ({_told(record.get('settings', {}))}), rank {record.get('rank')}"
    lines = [f"solver    {chosen}, chosen by {record.get('chosen_by')}"]
    folds = f"; {counted(record['folds'], 'fold')}" if "folds" in record else ""
    folds += f", drawn {counted(record['repeats'], 'time')}" if "repeats" in record else ""
    unknown = "patients" in record and record["patients"] is None
    groups = (
        "; patients not known" if unknown else f" of {counted(record['groups'], 'group')}" if "groups" in record else ""
    )
    lines.append(f"anchors   {_pairs(record.get('anchors'))}{groups}{folds}")
    lines.append(f"held out  {held_out(record)}")
    notes = dict.fromkeys((*record.get("notes", []), record.get("transductive"), NO_PATIENTS if unknown else ""))
    lines += [f"note      {in_flags(note)}" for note in notes if note]
    if branches := record.get("branches"):
        lines += ["branches", *_branches(branches)]
    if candidates := record.get("candidates"):
        lines += ["candidates", *_candidates(candidates)]
    return lines


def _pairs(n: Any) -> str:
    return counted(n, "pair") if isinstance(n, int) else f"{n} pairs"


def held_out(record: Mapping[str, Any]) -> str:
    """The held-out numbers of an alignment's record, in words."""
    held = record.get("held_out")
    if not held:
        return "not measured"
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


def _candidates(found: list[Mapping[str, Any]]) -> list[str]:
    """One line a candidate, best first."""
    best = next(name for name in _CRITERIA if name in found[0])
    rows = sorted(found, key=lambda one: -one[best])
    names = [
        f"{one['solver']} ({_told({k: v for k, v in one.items() if k not in (*_NUMBERS, 'solver')})})" for one in rows
    ]
    wide = max(map(len, names))
    return [
        f"  {name:<{wide}}  {best} {one[best]:.3f} (se {one['se']:.3f}), "
        f"{counted(one['freedom'], 'degree', 'degrees')} of freedom"
        for name, one in zip(names, rows, strict=True)
    ]


def _branches(found: list[Mapping[str, Any]]) -> list[str]:
    """One line for each way of using pools, best first."""
    wide = max(len(one["branch"]) for one in found)
    return [
        f"  {one['branch']:<{wide}}  mrr {one['mrr']:.3f} (se {one['se']:.3f}), median rank {one['median_rank']:g}"
        for one in sorted(found, key=lambda one: -one["mrr"])
    ]


def _told(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in settings.items()
    )
