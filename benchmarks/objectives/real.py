"""Transfer: real images and label templates, from scratch and from two pretrained pairs of encoders.

Chest films, breast ultrasound, brain MRI and dermoscopy are trained on together; their captions are label templates, so
that what is measured is supervised transfer, in the words of a caption. The stated measure is retrieval of the study,
each arm against the one from scratch by Holm. Zero-shot and probes of each run on each task, and on PneumoniaMNIST,
which no run has trained on, describe it further, beside probes on the pretrained encoders as they were.

::

    python -m benchmarks.objectives.real --real-data DIR --cache FOLDER --out OUT
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import stitchkit as sk
from benchmarks.binding.settings import Setting
from benchmarks.binding.vectors import FINDINGS, NO_FINDING, TABLES, RealVectors, image_name, prompt_of, text_name
from stitchkit.encoders.clip_pairs import clip_alignment

RESOLUTION, PROBED = 96, 1500  # pixels; images of PneumoniaMNIST that a probe is trained on
ENCODERS = (("resnet", ""), ("lite", f"#resolution={RESOLUTION}"))
OBJECTIVES = {"": "clip", "_lit": "lit", "_half": "partial_freezing"}
Task = tuple[str, sk.Items, sk.Items, sk.Labels, sk.PromptSet]  # images of a probe, images to judge
PNEUMONIA = sk.PromptSet(
    "pneumonia",
    {"normal": (NO_FINDING,), "pneumonia": ("Frontal chest X-ray showing pneumonia.",)},
    multiclass=True,
)
COMMAND = "python -m benchmarks.objectives.real --real-data DIR --cache FOLDER --out OUT"
RECIPE = """
name = "real images"
[network]
size = "tiny"
side = 96
shared = "none"
vocabulary = 2048
[pairs]
layout = "table"
root = "."
held = 0.12
[pairs.reader]
table = "pairs.csv"
text = "text"
patient = "patient"
split = "split"
classes = []
[training]
steps = {steps}
validate_every = {every}
batch = 32
rate = 3e-4                  # one setup: too low for a network from scratch, high for a pretrained one
best = "rank"
"""
PLAN = """
kind = "objectives"
name = "Transfer to real images"
recipe = "recipe.toml"
[arms.scratch.objective]
name = "clip"
{arms}
[grid]
seeds = {seeds}
keep = true
[judge]
split = "test"
measure = "recall@1"
"""


def write_study(real: RealVectors, folder: Path, steps: int, seeds: int) -> Path:
    """The table of pairs, the recipe and the study."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "path", "text", "patient", "split"])
        for modality, name in TABLES.items():
            rows = real.rows(modality)
            for split in ("train", "test"):
                for at in real.kept(modality, split).tolist():
                    row = rows[at]
                    path = (real.data / name / row["path"]).resolve()
                    table.writerow([f"{modality} {row['path']}", path, row["text"],
                                    f"{modality} {row['patient_id']}", split])  # fmt: skip
    (folder / "recipe.toml").write_text(RECIPE.format(steps=steps, every=max(steps // 2, 1)), encoding="utf-8")
    text, arms = text_name("minilm", real.folder), []
    for encoder, options in ENCODERS:
        name = image_name(encoder, real.data, real.folder) + options
        for suffix, objective in OBJECTIVES.items():
            arms += [
                f"[arms.{encoder}{suffix}.towers]", f"encoders = [{json.dumps(name)}, {json.dumps(text)}]", "dim = 128",
                f"[arms.{encoder}{suffix}.objective]", f'name = "{objective}"',
            ]  # fmt: skip
    (folder / "plan.toml").write_text(PLAN.format(arms="\n".join(arms), seeds=seeds), encoding="utf-8")
    return folder / "plan.toml"


def tasks(real: RealVectors, folder: Path) -> Iterator[Task]:
    """Each task: images to train a probe on, images to judge, labels of both, and prompts."""
    setting = Setting(real, "lite")
    for name, one in setting.modalities.items():
        place = real.data / TABLES[name]
        train, test = (
            sk.Items(side.ids, [place / path for path in side.ids.tolist()], "image") for side in (one.train, one.test)
        )
        yield name, train, test, one.labels, one.prompts
        if name == "xray":
            yield "findings", train, test, *_findings(real, one.labels)
    yield "pneumonia", *_pneumonia(real.data / "pneumoniamnist"), PNEUMONIA


def _findings(real: RealVectors, labels: sk.Labels) -> tuple[sk.Labels, sk.PromptSet]:
    rows = {row["path"]: row for row in real.rows("xray")}
    values = [[rows[one][finding] == "1" for finding in FINDINGS] for one in labels.ids.tolist()]
    negative = {one: (*(prompt_of(other) for other in FINDINGS if other != one), NO_FINDING) for one in FINDINGS}
    prompts = sk.PromptSet("findings", {one: (prompt_of(one),) for one in FINDINGS}, negative)
    return sk.Labels(np.asarray(values, dtype=float), labels.ids, FINDINGS, groups=labels.groups), prompts


def _pneumonia(folder: Path) -> tuple[sk.Items, sk.Items, sk.Labels]:
    (file,) = folder.glob("*.npz")
    with np.load(file) as arrays:
        images = {split: arrays[f"{split}_images"][:PROBED] for split in ("train", "val")}
        labels = {split: arrays[f"{split}_labels"].ravel()[:PROBED] for split in ("train", "val")}
    items = {split: sk.Items([f"{split}{i}" for i in range(len(one))], list(one), "image")
             for split, one in images.items()}  # fmt: skip
    ids = [*items["train"].ids.tolist(), *items["val"].ids.tolist()]
    values = np.concatenate([labels["train"], labels["val"]])
    both = np.stack([values == 0, values == 1], axis=1).astype(float)
    return items["train"], items["val"], sk.Labels(both, ids, ("normal", "pneumonia"))


def judge(image: sk.Encoder, every: list[Task], text: sk.Encoder | None = None) -> dict[str, dict[str, list[float]]]:
    """Macro AUROC and its interval on each task: by a probe, and by zero-shot where there is a text encoder."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, train, test, labels, prompts in every:
        vectors = [sk.embed(image, items, store=None, progress=False) for items in (train, test)]
        scorers: dict[str, Any] = {"probe": sk.fit_probe(vectors[0], labels)}
        if text is not None:
            scorers["zero-shot"] = sk.zeroshot(clip_alignment(image, text), text, prompts, store=None)
        found[name] = {}
        for way, scorer in scorers.items():
            macro = sk.evaluate(scorer.scores(vectors[1]), labels, progress=False).main.macro
            found[name][way] = [macro.value, macro.low, macro.high]
    return found


def main() -> int:
    """Train, judge, print, and write ``tasks.json`` and, with the study's numbers, ``transfer.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real-data", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--cache", type=Path, required=True, help="folder of checkpoints of the pretrained encoders")
    parser.add_argument("--out", type=Path, required=True, help="folder of the study")
    parser.add_argument("--steps", type=int, default=60, help="steps of every run")
    parser.add_argument("--seeds", type=int, default=3, help="runs of every arm")
    given = parser.parse_args()
    real = RealVectors(given.real_data.resolve(), given.cache.resolve())
    plan = write_study(real, given.out.resolve(), given.steps, given.seeds)
    print(sk.study(plan, given.out / "study", trust_python=True), flush=True)
    file, every = given.out / "tasks.json", list(tasks(real, given.out))
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    encoders: list[tuple[str, ...]] = [
        (f"{encoder}, untrained", image_name(encoder, real.data, real.folder) + options)
        for encoder, options in ENCODERS
    ]
    for folder in sorted((given.out / "study" / "encoders").iterdir()):
        encoders.append((folder.name, *(f"stitchkit:{folder}#modality={one}" for one in ("image", "text"))))
    for name, *sides in encoders:
        if name not in known:
            start = time.perf_counter()
            image, *text = (sk.load_encoder(side, device="cpu", trust_python=True) for side in sides)
            known[name] = judge(image, every, *text)
            file.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
            print(name, known[name], f"{time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    study = json.loads((given.out / "study" / "results.json").read_text(encoding="utf-8"))
    whole = {**study, "command": COMMAND, "tasks": known}
    (given.out / "transfer.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
