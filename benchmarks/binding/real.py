"""Four sets of real images bound through text: zero-shot, its cost, identification, few shots, retrieval, loops."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import stitchkit as sk
from benchmarks.binding.settings import MALIGNANT, MIXED, NORMAL, QUERY, Setting
from benchmarks.binding.vectors import RealVectors

ONE = dict.fromkeys(MIXED, QUERY)  # one text space for all modalities


@dataclass(frozen=True)
class Bound:
    """One way of binding.

    Parameters
    ----------
    text_of
        Modality -> the text space of its captions.
    captions
        True where the shared list holds the training captions beside the reports.
    """

    text_of: Mapping[str, str]
    maps: str = "own"
    solver: str = "procrustes"
    hub: str | None = None
    captions: bool = True


WAYS = {
    "one text space, own maps": Bound(ONE),
    "one text space, joint map": Bound(ONE, maps="joint"),
    "a text space each, own maps": Bound(MIXED),
    "a text space each, joint map": Bound(MIXED, maps="joint"),
    "a text space each, gcca": Bound(MIXED, solver="gcca"),
    "a text space each, ridge to MiniLM": Bound(MIXED, solver="ridge", hub=QUERY),
    "a text space each, composition to MiniLM": Bound(MIXED, solver="composition", hub=QUERY),
    "a text space each, reports alone": Bound(MIXED, captions=False),
}


def results(real: RealVectors, encoder: str, ways: Mapping[str, Bound]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Name of each way, its numbers as plain values, and its tables."""
    setting = Setting(real, encoder)
    alone: dict[tuple[str, str], sk.Scores] = {}
    for name, way in ways.items():
        start = time.perf_counter()
        bound = bind(setting, way)
        seconds = time.perf_counter() - start
        for key in way.text_of.items():
            if key not in alone:
                alone[key] = setting.alone(*key)
        spaces = list(dict.fromkeys(way.text_of.values()))
        tests = {key: setting.test(bound, key, alone[key, text], NORMAL) for key, text in way.text_of.items()}
        judged = sk.evaluate_binding(bound, tests, texts=setting.held_out(spaces) if len(spaces) > 1 else None)
        two = {key: setting.test(bound, key, None, MALIGNANT) for key in MALIGNANT}
        coarse = sk.evaluate_binding(bound, two, shots=())
        findings = setting.findings(bound, way.text_of["xray"])
        numbers = {
            "encoder": encoder, "way": name, "seconds": seconds, "compared": bound.record.get("compared", []),
            **judged.to_dict(), "malignant": coarse.to_dict()["cross_modal"], "findings": findings.to_dict(),
        }  # fmt: skip
        lines = [
            str(judged),
            "",
            "benign or malignant, ultrasound and skin",
            *_between(coarse),
            "",
            "findings",
            str(findings),
        ]
        yield name, numbers, "\n".join(lines)


def bind(setting: Setting, way: Bound) -> sk.BoundSpace:
    """The modalities of a setting, bound in one way."""
    spaces = list(dict.fromkeys([QUERY, *way.text_of.values()]))
    return sk.bind(
        {name: setting.pairs(name, text) for name, text in way.text_of.items()},
        texts=setting.shared(spaces, captions=way.captions),
        text=QUERY,
        hub=way.hub,
        hub_solver=way.solver,
        maps=way.maps,
    )


def _between(judged: sk.BindingEvaluation) -> list[str]:
    return [
        f"{one.query} -> {one.gallery}: nearest has the label {one.first} (chance {one.chance_first:.3f}), "
        f"average precision {one.precision:.3f} (chance {one.chance:.3f})"
        for one in judged.cross_modal
    ]


def run(real: RealVectors, encoders: list[str], wanted: str, out: Path | None) -> int:
    """Print the tables of every encoder and way, and write the numbers."""
    ways = {name: way for name, way in WAYS.items() if wanted in name}
    if not ways:
        print(f"no way is called {wanted}; there are {', '.join(WAYS)}", file=sys.stderr)
        return 2
    for encoder in encoders:
        kept = []
        for name, numbers, text in results(real, encoder, ways):
            print(f"\n## {encoder}: {name}\n\n{text}", flush=True)
            kept.append(numbers)
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                (out / f"{encoder}.json").write_text(json.dumps(kept) + "\n", encoding="utf-8")
    return 0
