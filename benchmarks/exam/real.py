"""A real sitting: encoders, native and stitched, on chest films, ultrasound, MRI, dermoscopy and PneumoniaMNIST.

The sets are subsets of public ones; captions in them are label templates, and the stitched encoders were fitted on the
training items of the same tasks.

::

    python -m benchmarks.exam.real --real-data DIR --cache FOLDER --out OUT
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import stitchkit as sk
from benchmarks.binding.vectors import FINDINGS, RealVectors, image_name, text_name
from stitchkit.reports.exam_page import write_exam

HONEST = ("starter", "both")  # subsets of the chest films that are not confounded
LOGIT_EDGE = 1e-6
CARD = {
    "licence": "see the publication", "obtain": "a subset of the published set", "layout": "table", "kind": "classes",
    "reader": {"image": "path", "patient": "patient", "split": "split"}, "splits": {"train": "train", "test": "test"},
}  # fmt: skip
NIH = "Wang et al., CVPR 2017"
TASKS: dict[str, dict[str, Any]] = {
    "findings": {"title": "13 findings of ChestX-ray14 with CheXNet's scores", "modality": "chest X-ray", "source": NIH,
                 "group": "patient", "classes": list(FINDINGS), "metric": "auroc", "prompts": "nih14"},
    "view": {"title": "AP or PA view of ChestX-ray14", "modality": "chest X-ray", "source": NIH, "group": "patient",
             "classes": ["AP", "PA"], "multiclass": True, "metric": "auroc", "prompts": "view"},
    "sex": {"title": "Sex of ChestX-ray14", "modality": "chest X-ray", "source": NIH, "group": "patient",
            "classes": ["F", "M"], "multiclass": True, "metric": "auroc", "prompts": "sex"},
    "ultrasound": {"title": "BUSI", "modality": "breast ultrasound", "source": "Al-Dhabyani et al., Data in Brief 2020",
                   "group": "similar images", "classes": ["benign", "malignant", "normal"], "multiclass": True,
                   "metric": "auroc", "prompts": "breast-ultrasound"},
    "mri": {"title": "Brain tumour or none", "modality": "brain MRI", "source": "not stated", "group": "similar images",
            "classes": ["tumor", "no_tumor"], "multiclass": True, "metric": "auroc", "prompts": "brain-mri"},
    "skin": {"title": "HAM10000", "modality": "dermoscopy", "source": "Tschandl et al., Scientific Data 2018",
             "group": "lesion", "classes": ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"], "multiclass": True,
             "metric": "auroc", "prompts": "dermoscopy"},
    "pneumonia": {"title": "PneumoniaMNIST, validation split as test", "modality": "chest X-ray of children",
                  "source": "Yang et al., Scientific Data 2023", "classes": ["normal", "pneumonia"],
                  "multiclass": True, "metric": "auroc", "prompts": "pneumonia"},
}  # fmt: skip
COLUMNS = {"skin": ["age", "sex", "localization"], "findings": ["age", "sex", "view"], "view": ["age", "sex"],
           "sex": ["age", "view"]}  # fmt: skip


def write_tasks(data: Path, out: Path) -> list[Path]:
    """Card and table of each task below ``out``."""
    scores = {row["path"]: row for row in _rows(data / "cxr_nih" / "chexnet_preds.csv")}
    films = [row for row in _rows(data / "cxr_nih" / "manifest.csv") if row["subset"] in HONEST]
    sets = {
        "findings": ("cxr_nih", [row for row in films if row["path"] in scores]), "view": ("cxr_nih", films),
        "sex": ("cxr_nih", films), "ultrasound": ("us_busi", _rows(data / "us_busi" / "manifest.csv")),
        "mri": ("mri_brain", _rows(data / "mri_brain" / "manifest.csv")),
        "skin": ("derm_ham", _rows(data / "derm_ham" / "manifest.csv")),
    }  # fmt: skip
    cards = []
    for name, facts in TASKS.items():
        classes, columns = facts["classes"], COLUMNS.get(name, [])
        folder = out / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            patient = [] if name == "pneumonia" else ["patient"]
            table.writerow(["id", "path", *patient, "split", *columns, *classes])
            for row in _pneumonia(data, out) if name == "pneumonia" else _of_set(data, *sets[name]):
                key = {"view": "view", "sex": "sex"}.get(name, "label")
                truth = [row[one] if name == "findings" else int(row[key] == one) for one in classes]
                values = [*(row["patient_id"] for _ in patient), row["split"], *(row[one] for one in columns)]
                table.writerow([row["id"], row["path"], *values, *truth])
        reader = {**CARD["reader"], "classes": classes, "columns": columns}
        if name == "pneumonia":  # whose patients are not published
            reader.pop("patient")
        header = ",".join(["id", "path", *patient, "split", *columns, *classes])
        cards.append(
            _write_card(out / f"{name}.toml", {**CARD, **facts, "name": name, "header": header, "reader": reader})
        )
    return cards


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _of_set(data: Path, place: str, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{**row, "id": row["path"], "path": str((data / place / row["path"]).resolve())} for row in rows]


def _pneumonia(data: Path, out: Path) -> list[dict[str, str]]:
    """The first 1,500 training and all validation images as files."""
    from PIL import Image

    rows, folder = [], out / "data" / "pneumonia" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    (file,) = (data / "pneumoniamnist").glob("*.npz")
    with np.load(file) as arrays:
        for split, side in (("train", "train"), ("val", "test")):
            images, labels = (arrays[f"{split}_{what}"][:1500] for what in ("images", "labels"))
            for i, (image, label) in enumerate(zip(images, labels.ravel().tolist(), strict=True)):
                path = folder / f"{side}{i}.png"
                Image.fromarray(image).save(path)
                rows.append({"id": f"{side}{i}", "path": str(path.resolve()), "split": side,
                             "label": "pneumonia" if label else "normal"})  # fmt: skip
    return rows


def _write_card(path: Path, card: Mapping[str, Any]) -> Path:
    tables = {key: value for key, value in card.items() if isinstance(value, dict)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in card.items() if key not in tables]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def stitched(real: RealVectors, lite: str, out: Path) -> list[Path]:
    """EfficientNet-Lite0 as MiniLM and as CheXNet, by the training items alone."""
    folders = [out / "lite-to-minilm", out / "lite-to-chexnet"]
    if all(one.is_dir() for one in folders):
        return folders
    encoder, text = sk.load_encoder(lite, device="cpu"), sk.load_encoder(text_name("minilm", real.folder), device="cpu")
    rows, films = [], []
    for modality, place in (("xray", "cxr_nih"), ("ultrasound", "us_busi"), ("mri", "mri_brain"), ("skin", "derm_ham")):
        kept = [real.rows(modality)[at] for at in real.kept(modality, "train").tolist()]
        rows += [{**row, "key": f"{modality} {row['path']}", "file": real.data / place / row["path"]} for row in kept]
    items = sk.Items([row["key"] for row in rows], [row["file"] for row in rows], "image")
    captions = sk.Items(items.ids, [row["text"] for row in rows], "text")
    groups = np.asarray([f"{row['key'].split()[0]} {row['patient_id']}" for row in rows])
    x, y = (sk.embed(one, side, progress=False) for one, side in ((encoder, items), (text, captions)))
    sk.save(sk.stitch(encoder, sk.align(x, y, groups=groups, progress=False), target_name=text.name), folders[0])
    scores = {row["path"]: row for row in _rows(real.data / "cxr_nih" / "chexnet_preds.csv")}
    films = [at for at, row in enumerate(rows) if row["key"].startswith("xray") and row["path"] in scores]
    chances = np.asarray([[float(value) for name, value in scores[rows[at]["path"]].items() if name != "path"]
                          for at in films]).clip(LOGIT_EDGE, 1 - LOGIT_EDGE)  # fmt: skip
    of_films = x.take(np.asarray(films))
    target = sk.Embeddings(np.log(chances / (1 - chances)), of_films.ids, sk.Space("CheXNet logits", chances.shape[1]))
    alignment = sk.align(of_films, target, groups=groups[films], purpose="head", progress=False)
    sk.save(sk.stitch(encoder, alignment), folders[1])
    return folders


def main() -> int:
    """Write cards, stitch, sit, print, and write ``leaderboard.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real-data", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--cache", type=Path, required=True, help="folder of checkpoints of the encoders")
    parser.add_argument("--out", type=Path, required=True, help="folder of cards, stitched models and results")
    parser.add_argument("--further", nargs="*", default=[], help="further encoders or stitched folders")
    asked = parser.parse_args()
    real = RealVectors(asked.real_data.resolve(), asked.cache.resolve())
    asked.out.mkdir(parents=True, exist_ok=True)
    cards = write_tasks(real.data, asked.out)
    lite = image_name("lite", real.data, real.folder) + "#resolution=96"
    subjects = [lite, *stitched(real, lite, asked.out), image_name("resnet", real.data, real.folder), *asked.further]
    result = sk.exam(subjects, cards, asked.out / "data", out=asked.out, device="cpu", trust_python=True)
    print(result)
    write_exam(result.to_dict(), asked.out)
    (asked.out / "leaderboard.json").write_text(json.dumps(result.to_dict(), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
