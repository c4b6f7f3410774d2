"""Adapters for the text encoders of four bound modalities: zero-shot before and after, on patients not trained on."""

from __future__ import annotations

import csv
import json
import sys
import time
from pathlib import Path
from typing import Any

import stitchkit as sk
from benchmarks.binding.settings import NORMAL, QUERY, Setting
from benchmarks.binding.vectors import TABLES, RealVectors, image_name, text_name
from stitchkit.storage.toml_files import read_record
from stitchkit.training.binding.recipe import BindingRecipe


def recipe_of(real: RealVectors, setting: Setting, folder: Path, seed: int, training: dict[str, Any]) -> BindingRecipe:
    """Tables of the training images with their captions, and the recipe of a run on them."""
    folder.mkdir(parents=True, exist_ok=True)
    modalities = {}
    for name in TABLES:
        one, kept = setting.modalities[name], real.kept(name, "train")
        rows = real.rows(name)
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["id", "path", "text", "patient"])
            for place, row in enumerate(kept.tolist()):
                path = real.data / TABLES[name] / rows[row]["path"]
                table.writerow([rows[row]["path"], path, one.captions[place], rows[row]["patient_id"]])
        image = image_name(setting.encoder, real.data, real.folder)
        modalities[name] = {"encoder": image, "text_encoder": text_name(QUERY, real.folder),
                            "anchors": f"{name}.csv"}  # fmt: skip
    content = {"name": "four modalities", "kind": "binding", "seed": seed, "modalities": modalities,
               "lora": {"towers": "text"}, "training": training}  # fmt: skip
    return read_record(content, BindingRecipe, folder / "recipe.toml", folder=folder.absolute())


def judge(real: RealVectors, setting: Setting, tuned: sk.TunedBinding | None) -> sk.BindingEvaluation:
    """Zero-shot of the bound test images; each modality has a text space of its own, before the tuning a copy."""
    spaces, captions = {name: f"texts-of-{name}" for name in TABLES}, {}
    texts = list(dict.fromkeys(text for one in setting.modalities.values() for text in one.captions))
    names = [text for one in setting.modalities.values() for text in one.prompts.texts]
    every = list(dict.fromkeys([*texts, *names]))
    plain = dict.fromkeys(TABLES, text_name(QUERY, real.folder))
    encoders = {spaces[name]: one for name, one in (plain if tuned is None else tuned.text_encoders).items()}
    items = sk.Items(list(map(str, range(len(every)))), every, "text")
    for space, name in encoders.items():
        captions[space] = sk.embed(sk.load_encoder(name, device="cpu"), items, progress=False)
    at = {text: i for i, text in enumerate(every)}

    def read(space: str, some: list[str], ids: Any) -> sk.Embeddings:
        return sk.Embeddings(captions[space].vectors[[at[text] for text in some]], ids, captions[space].space)

    pairs = {}
    for name in TABLES:
        one = setting.modalities[name]
        own = read(spaces[name], list(one.captions), one.train.ids)
        patients = one.labels.of_ids(one.train.ids).groups
        pairs[name] = sk.ModalityPairs(one.train, own, groups=patients, text_space=spaces[name])
    shared = {space: read(space, texts, list(map(str, range(len(texts))))) for space in encoders}
    bound = sk.bind(pairs, texts=shared, maps="own")
    tests = {}
    for name in TABLES:
        one = setting.modalities[name]
        named = read(bound.text, list(one.prompts.texts), list(one.prompts.texts))
        head = sk.zeroshot(bound.alignment(name), bound.into_hub("text", named), one.prompts)
        labels = one.labels.of_ids(one.test.ids)
        tests[name] = sk.ModalityTest(one.test, labels, head.scores(one.test), named, common=NORMAL.get(name, {}))
    return sk.evaluate_binding(bound, tests, shots=())


def run(real: RealVectors, encoder: str, seeds: int, training: dict[str, Any], out: Path | None) -> int:
    """Print macro AUROC of every modality before, and after each seed's run, with the held-out losses."""
    setting = Setting(real, encoder)
    kept = []
    before = judge(real, setting, None)
    print(f"before\n{before}", flush=True)
    for seed in range(seeds):
        folder = (out or real.folder) / f"tuned-{encoder}-{seed}"
        start = time.perf_counter()
        tuned = sk.tune_binding(
            recipe_of(real, setting, folder, seed, training), folder / "run", device="cpu",
            say=lambda line: print(line, file=sys.stderr, flush=True), progress=False, trust_python=True,
        )  # fmt: skip
        after = judge(real, setting, tuned) if tuned.best.step else None
        print(f"\nseed {seed}, {time.perf_counter() - start:.0f} s\n{tuned}\n{after}", flush=True)
        kept.append({"seed": seed, "start": tuned.start.to_dict(), "best": tuned.best.to_dict(),
                     "after": None if after is None else after.to_dict()})  # fmt: skip
    if out is not None:
        (out / "tuned.json").write_text(json.dumps({"before": before.to_dict(), "runs": kept}) + "\n", encoding="utf-8")
    return 0
