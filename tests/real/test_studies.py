"""The yardsticks on real data, made by studies: every number with probe, metadata, native head and paired differences.

Protocols as the data's notes state them; each study's table is printed. Absolute values carry some +-.05.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from nih import FINDINGS, FOURTEEN

import stitchkit as sk
from stitchkit.evaluation.scores.evaluate import METADATA, PROBE
from stitchkit.storage.embeddings import write_embeddings
from stitchkit.studies.methods import OWN
from stitchkit.studies.named_encoders import NamedEncoders
from stitchkit.studies.study import study

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bench(real_data, minilm, chexnet, tmp_path_factory):
    """A folder for studies: tables with absolute paths, CheXNet's logits as a file, names of both encoders."""
    folder = tmp_path_factory.mktemp("studies")
    chest = real_data / "cxr_nih"
    logits = sk.Embeddings(chexnet.vectors, [str(chest / one) for one in chexnet.ids], chexnet.space)
    write_embeddings(folder / "chexnet.safetensors", logits)
    known = set(chexnet.ids.tolist())
    table(folder / "honest.csv", chest, lambda row: row["subset"] in ("starter", "both") and row["path"] in known)
    table(folder / "every.csv", chest, lambda row: True)
    table(
        folder / "talo.csv", chest, lambda row: row["subset"] == "talo" and "1" in (row["No_Finding"], row["Pneumonia"])
    )
    weights = real_data / "weights" / "cifar_resnet44.safetensors"
    return folder, f"python:{ROOT / 'examples' / 'resnet44.py'}:ResNet44#weights={weights}", minilm.name


def table(path, folder, kept):
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, rows[0])
        out.writeheader()
        out.writerows({**row, "path": str(folder / row["path"])} for row in rows if kept(row))


def run(bench, name, text, **words):
    """The study's summary, printed; ``RESNET``, ``TEXT`` and other words of the plan are filled in as TOML."""
    folder, resnet, minilm = bench
    for word, value in {"RESNET": resnet, "TEXT": minilm, **words}.items():
        text = text.replace(word, json.dumps(value if isinstance(value, str | list) else list(value)))
    judge = "" if "[judge]" in text else "[judge]"  # the last table of every plan
    few = "" if 'kind = "retrieval"' in text else "replicates = 500"
    (folder / f"{name}.toml").write_text(f"{text}\n{judge}\n{few}\n")
    loader = NamedEncoders(device="cpu", progress=False)
    found = study(folder / f"{name}.toml", folder / name, loader=loader, progress=False, trust_python=[resnet])
    print(f"\n{found}")
    return found


def row_of(found, method, anchors=None):
    (row,) = found.of(method, anchors)
    return row


def test_findings_named_by_text_from_a_medical_encoder(bench):
    found = run(bench, "named", """
        kind = "zeroshot"
        prompts = "nih14"
        [data]
        layout = "table"
        root = "."
        folds = 5
        metadata = ["view", "age", "sex"]
        [data.reader]
        table = "honest.csv"
        text = "text"
        classes = FOURTEEN
        columns = ["view", "age", "sex"]
        [grid]
        sources = ["chexnet.safetensors"]
        targets = [TEXT]
        solvers = ["auto", "procrustes", "ridge", "csa", "paper:ortho"]
        [judge]
        classes = THIRTEEN
        min_positives = 1
        """, FOURTEEN=FOURTEEN, THIRTEEN=FINDINGS)  # fmt: skip
    assert row_of(found, "auto").macro.value >= 0.70
    assert row_of(found, "auto").macro.low > row_of(found, METADATA).macro.value


def test_abnormal_films_are_named_by_text(bench, real_data):
    folder, _, _ = bench
    with (folder / "honest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "abnormal.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, [*rows[0], "abnormal"])
        out.writeheader()
        out.writerows({**row, "abnormal": int("1" in [row[one] for one in FINDINGS])} for row in rows)
    said = [f"Frontal chest X-ray showing {one.lower().replace('_', ' ')}." for one in FINDINGS]
    (folder / "abnormal.toml").write_text(f"""
        name = "abnormal"
        modality = "chest X-ray"
        source = "the protocol of the data's notes"
        licence = "Apache-2.0"
        description = "any finding against none"
        [classes.abnormal]
        positive = {json.dumps(said)}
        negative = ["Frontal chest X-ray with no acute finding."]
        """)
    found = run(bench, "any", """
        kind = "zeroshot"
        prompts = "abnormal.toml"
        [data]
        layout = "table"
        root = "."
        folds = 5
        metadata = ["view", "age", "sex"]
        [data.reader]
        table = "abnormal.csv"
        text = "text"
        classes = ["abnormal"]
        columns = ["view", "age", "sex"]
        [grid]
        sources = ["chexnet.safetensors"]
        targets = [TEXT]
        solvers = ["auto", "procrustes", "ridge"]
        """)  # fmt: skip
    assert row_of(found, "auto").macro.value >= 0.75


def test_a_general_encoder_drives_a_medical_head(bench):
    found = run(bench, "head", """
        kind = "stitching"
        head = "identity"
        head_classes = FOURTEEN
        [data]
        layout = "table"
        root = "."
        metadata = ["view", "age", "sex"]
        [data.reader]
        table = "honest.csv"
        classes = FOURTEEN
        columns = ["view", "age", "sex"]
        split = "split"
        [grid]
        sources = [RESNET]
        targets = ["chexnet.safetensors"]
        solvers = ["auto", "procrustes", "paper:affine", "paper:linear", "paper:l-ortho", "paper:ortho"]
        anchors = [50, 100, "all"]
        draws = 3
        [judge]
        classes = THIRTEEN
        min_positives = 1
        """, FOURTEEN=FOURTEEN, THIRTEEN=FINDINGS)  # fmt: skip
    best = row_of(found, "auto")
    assert best.macro.value >= 0.65
    assert set(best.gaps) == {OWN, PROBE, METADATA}
    assert any(note.startswith("SHORTCUT") for note in found.notes)  # view, age and sex reach about as much


def test_the_view_is_named_by_text(bench):
    found = run(bench, "view", VIEWS, PROMPTS="view", LABEL="view", METADATA=["age", "sex"])
    assert row_of(found, "auto").macro.value >= 0.97
    assert any(note.startswith("LABEL MAP") for note in found.notes)


def test_the_sex_is_named_by_text(bench):
    found = run(bench, "sex", VIEWS, PROMPTS="sex", LABEL="sex", METADATA=["age", "view"])
    assert row_of(found, "auto").macro.low > 0.5


VIEWS = """
    kind = "zeroshot"
    prompts = PROMPTS
    [data]
    layout = "table"
    root = "."
    texts = "prompts"
    metadata = METADATA
    [data.reader]
    table = "every.csv"
    label = LABEL
    columns = METADATA
    split = "split"
    [grid]
    sources = [RESNET]
    targets = [TEXT]
    solvers = ["auto", "procrustes", "ridge"]
    [judge]
    multiclass = true
"""

SETS = {  # folder, prompts, grouped by, metadata; the texts are templates of the labels
    "us_busi": ("breast-ultrasound", "patient_id", []),
    "mri_brain": ("brain-mri", "patient_id", []),
    "derm_ham": ("dermoscopy", "dup_group", ["age", "sex", "localization"]),
}


@pytest.mark.parametrize("name", SETS)
def test_other_images_are_named_by_text(bench, real_data, name):
    prompts, patient, metadata = SETS[name]
    table(bench[0] / f"{name}.csv", real_data / name, lambda row: True)
    found = run(bench, name, """
        kind = "zeroshot"
        prompts = PROMPTS
        [data]
        layout = "table"
        root = "."
        METADATA
        [data.reader]
        table = FILE
        label = "label"
        text = "text"
        patient = PATIENT
        COLUMNS
        split = "split"
        [grid]
        sources = [RESNET]
        targets = [TEXT]
        solvers = ["auto", "procrustes"]
        [judge]
        multiclass = true
        min_positives = 5
        """.replace("METADATA", f"metadata = {json.dumps(metadata)}" if metadata else "")
            .replace("COLUMNS", f"columns = {json.dumps(metadata)}" if metadata else ""),
        PROMPTS=prompts, PATIENT=patient, FILE=f"{name}.csv")  # fmt: skip
    assert row_of(found, "auto").macro.low > 0.5


def test_a_confounded_set_is_exposed_at_the_top_of_its_page(bench):
    found = run(bench, "talo", """
        kind = "zeroshot"
        prompts = "nih15"
        [data]
        layout = "table"
        root = "."
        metadata = ["orig_png_bytes"]
        [data.reader]
        table = "talo.csv"
        text = "text"
        classes = ["No_Finding", "Pneumonia"]
        columns = ["orig_png_bytes"]
        split = "split"
        [grid]
        sources = [RESNET]
        targets = [TEXT]
        solvers = ["auto", "procrustes"]
        """)  # fmt: skip
    assert row_of(found, METADATA).macro.value > 0.85
    page = (bench[0] / "talo" / "report.html").read_text()
    assert "SHORTCUT" in page.split("All methods")[0]


def test_the_modality_is_named_by_text(bench, real_data):
    kinds = {"cxr_nih": "X-ray", "us_busi": "ultrasound", "mri_brain": "MRI", "derm_ham": "dermoscopy"}
    with (bench[0] / "modalities.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["path", "kind", "patient", "split"])
        for name, kind in kinds.items():
            with (real_data / name / "manifest.csv").open(encoding="utf-8", newline="") as rows:
                for row in csv.DictReader(rows):
                    whose = row["dup_group" if name == "derm_ham" else "patient_id"]
                    out.writerow([real_data / name / row["path"], kind, f"{name} {whose}", row["split"]])
    found = run(bench, "modality", """
        kind = "zeroshot"
        prompts = "modality"
        [data]
        layout = "table"
        root = "."
        texts = "prompts"
        [data.reader]
        table = "modalities.csv"
        label = "kind"
        patient = "patient"
        split = "split"
        [grid]
        sources = [RESNET]
        targets = [TEXT]
        solvers = ["auto", "procrustes", "ridge"]
        [judge]
        multiclass = true
        """)  # fmt: skip
    assert row_of(found, "auto").macro.value >= 0.97
    assert any(note.startswith("LABEL MAP") for note in found.notes)
    assert any(note.startswith("SHORTCUT") for note in found.notes)  # the files' sizes tell modalities apart


def test_reports_are_found_by_their_text(bench, reports, report_texts):
    """The table's row: TF-IDF vectors to MiniLM, R@1 among 509, by the number of reports."""
    folder, _, _ = bench
    x, _, x_test, _ = reports
    ids = [f"{side}{i}" for side, texts in report_texts.items() for i in range(len(texts))]
    space = sk.Space("tf-idf", x.shape[1], "of the train reports")
    write_embeddings(folder / "tfidf.safetensors", sk.Embeddings(np.concatenate([x, x_test]), ids, space))
    with (folder / "reports.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["id", "text", "split"])
        for side, texts in report_texts.items():
            out.writerows([f"{side}{i}", text, side] for i, text in enumerate(texts))
    with pytest.warns(UserWarning, match=r"^3 of 1899 texts are longer"):
        found = run(bench, "reports", """
            kind = "retrieval"
            [data]
            layout = "table"
            root = "."
            [data.reader]
            table = "reports.csv"
            image = "text"
            text = "text"
            modality = "text"
            id = "id"
            split = "split"
            classes = []
            [grid]
            sources = ["tfidf.safetensors"]
            targets = [TEXT]
            solvers = ["auto", "procrustes", "ridge"]
            anchors = [100, 300, 1200]
            draws = 3
            """)  # fmt: skip
    for row in found.rows:
        print(row.method, row.anchors, *(f"{way} {value}" for way, value in row.classes.items()))
    there = {row.anchors: row.classes["source to target"].value for row in found.rows if row.method == "auto"}
    assert there[100] >= 0.42
    assert there[300] >= 0.80
    assert there[1200] >= 0.93
