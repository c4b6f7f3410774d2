"""Miniature copies of downstream evaluation sets, as :mod:`published_copies` has them of the others."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from published_copies import Copy, picture, row, write

HAM10000 = "lesion_id,image_id,dx,dx_type,age,sex,localization"
PAD_UFES = (
    "patient_id,lesion_id,smoke,drink,background_father,background_mother,age,pesticide,gender,skin_cancer_history,"
    "cancer_history,has_piped_water,has_sewage_system,fitspatrick,region,diameter_1,diameter_2,diagnostic,itch,grew,"
    "hurt,changed,bleed,elevation,img_id,biopsed"
)
MAMMO_BREASTS = "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,split"
MAMMO_FINDINGS = (
    "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,"
    "finding_categories,finding_birads,xmin,ymin,xmax,ymax,split"
)
FOLDERS = {"Benign": "Photos/Benign", "Normal": ["Photos/Normal", "More/Normal"]}


def folders(root: Path) -> Path:
    """BACH, with a second folder of one class, and a file that is no image."""
    for name in ("Photos/Benign/b001.tif", "Photos/Benign/b002.tif", "Photos/Normal/n001.tif", "More/Normal/n001.tif"):
        picture(root / name)
    (root / "Photos" / "Normal" / "Thumbs.db").write_bytes(b"0")
    (root / "Photos" / "Normal" / ".n002.tif").write_bytes(b"0")
    return root


def medmnist(root: Path, name: str = "dermamnist_224.npz", labels: int = 1, **changed: np.ndarray) -> Path:
    """An archive of 4, 2 and 3 images of 6 x 6 pixels, of which every pixel tells its row."""
    arrays = {}
    for split, n in (("train", 4), ("val", 2), ("test", 3)):
        arrays[f"{split}_images"] = np.tile(np.arange(n, dtype=np.uint8)[:, None, None, None], (1, 6, 6, 3))
        arrays[f"{split}_labels"] = (np.arange(n * labels).reshape(n, labels) % (3 if labels == 1 else 2)).astype("u1")
    np.savez(root / name, **(arrays | changed))
    return root


def ham10000(root: Path) -> Path:
    write(root / "HAM10000_metadata.csv", HAM10000,
          "HAM_0000118,ISIC_0027419,bkl,histo,80.0,male,scalp", "HAM_0000118,ISIC_0025030,bkl,histo,80.0,male,scalp",
          "HAM_0002730,ISIC_0026769,nv,follow_up,,female,unknown")  # fmt: skip
    picture(root / "HAM10000_images_part_1" / "ISIC_0027419.jpg")
    picture(root / "HAM10000_images_part_1" / "ISIC_0025030.jpg")
    picture(root / "HAM10000_images_part_2" / "ISIC_0026769.jpg")
    return root


def pad_ufes_20(root: Path) -> Path:
    about = {"age": "8", "region": "ARM", "diagnostic": "NEV", "biopsed": "False"}
    biopsied = {"age": "55", "gender": "FEMALE", "fitspatrick": "3.0", "region": "NECK", "biopsed": "True"}
    write(root / "metadata.csv", PAD_UFES,
          row(PAD_UFES, patient_id="PAT_1516", lesion_id="1765", img_id="PAT_1516_1765_530.png", **about),
          row(PAD_UFES, patient_id="PAT_46", lesion_id="881", img_id="PAT_46_881_939.png", diagnostic="BCC",
              **biopsied),
          row(PAD_UFES, patient_id="PAT_46", lesion_id="882", img_id="PAT_46_882_10.png", diagnostic="ACK",
              **biopsied))  # fmt: skip
    picture(root / "imgs_part_1" / "PAT_1516_1765_530.png")
    picture(root / "imgs_part_2" / "PAT_46_881_939.png")
    picture(root / "imgs_part_3" / "imgs_part_3" / "PAT_46_882_10.png")  # as a further folder of the packed file
    return root


def vindr_mammo(root: Path) -> Path:
    breasts, findings = [], []
    for study, image, side, split, categories in (
        ("s1", "a1", "L", "training", ["No Finding"]),
        ("s1", "a2", "R", "training", ["Mass", "Skin Retraction"]),
        ("s2", "b1", "L", "test", ["Suspicious Calcification"]),
        ("s3", "c1", "L", "test", []),
    ):
        about = {"study_id": study, "image_id": image, "laterality": side, "view_position": "CC",
                 "breast_birads": "BI-RADS 2", "breast_density": "DENSITY C", "split": split}  # fmt: skip
        breasts.append(row(MAMMO_BREASTS, **about))
        if categories:
            findings.append(row(MAMMO_FINDINGS, **about, finding_categories=str(categories)))
        picture(root / "images" / study / f"{image}.png")
    findings.append(findings[1].replace("['Mass', 'Skin Retraction']", "['Mass']"))  # a second box
    (root / "images" / "s2" / "b1.png").rename(root / "images" / "s2" / "b1.dicom")
    write(root / "breast-level_annotations.csv", MAMMO_BREASTS, *breasts)
    write(root / "finding_annotations.csv", MAMMO_FINDINGS, *findings)
    return root


SICAP = ("image_name", "NC", "G3", "G4", "G5", "G4C")


def spreadsheet(path: Path, *rows: tuple) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    for cells in rows:
        book.active.append(cells)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


def sicap(root: Path) -> Path:
    patches = [f"{slide}_Block_Region_{n}_5_26_xini_35472_yini_8051.jpg" for slide in ("16B1", "16B2") for n in (1, 2)]
    spreadsheet(root / "partition/Test/Train.xlsx", SICAP, (patches[0], 1, 0, 0, 0, 0), (patches[1], 0, 0, 1, 0, 1))
    spreadsheet(root / "partition/Test/Test.xlsx", SICAP, (patches[2], 0, 1, 0, 0, 0), (patches[3], 0, 0, 0, 1, 0))
    spreadsheet(root / "wsi_labels.xlsx", ("slide_id", "patient_id", "Gleason_primary", "Gleason_secondary"),
                ("16B1", 7, 4, 4), ("16B2", 8, 3, 5))  # fmt: skip
    for name in patches:
        picture(root / "images" / name)
    return root


def pcam(root: Path, chunks: bool = False) -> Path:
    """Splits of 3 and 2 patches of 8 x 8 pixels, of which every pixel tells its row."""
    import h5py

    for split, n in (("train", 3), ("test", 2)):
        stem = f"camelyonpatch_level_2_split_{split}"
        images = np.tile(np.arange(n, dtype=np.uint8)[:, None, None, None], (1, 8, 8, 3))
        with h5py.File(root / f"{stem}_x.h5", "w") as file:
            file.create_dataset("x", data=images, chunks=(1, 8, 8, 3) if chunks else None)
        with h5py.File(root / f"{stem}_y.h5", "w") as file:
            file.create_dataset("y", data=(np.arange(n) % 2).astype(np.uint8).reshape(n, 1, 1, 1))
        lines = [f"{row},9,9,{row % 2 == 1},{row % 2 == 1},camelyon16_{split}_{row // 2}" for row in range(n)]
        write(root / f"{stem}_meta.csv", ",coord_y,coord_x,tumor_patch,center_tumor_patch,wsi", *lines)
    return root


VQA_RAD = (
    "qid,phrase_type,qid_linked_id,image_case_url,image_name,image_organ,evaluation,question,question_rephrase,"
    "question_relation,question_frame,question_type,answer,answer_type"
)


def deepeyenet(root: Path) -> Path:
    def entry(name: str, keywords: str, text: str) -> dict:
        picture(root / "eyenet0420" / name)
        return {f"eyenet0420/{name}": {"keywords": keywords, "clinical-description": text}}

    lists = {
        "train": [
            entry("train_set/fundus1.jpg", "macular hole, oct", "48-year-old woman with a hole."),
            entry("train_set/fundus2.jpg", "Drusen", ""),
        ],
        "valid": [entry("val_set/fundus3.jpg", "drusen", "Drusen of both eyes.")],
        "test": [entry("test_set/fundus4.jpg", "Macular  Hole", "A hole, closed.")],
    }
    for split, entries in lists.items():
        write(root / f"DeepEyeNet_{split}.json", json.dumps(entries))
    return root


def vqa_rad(root: Path) -> Path:
    def entry(qid: int, image: str, phrase: str, question: str, answer: object, kind: str) -> dict:
        picture(root / "VQA_RAD Image Folder" / image)
        cells = {"qid": str(qid), "phrase_type": phrase, "image_name": image, "question": question, "answer": answer,
                 "answer_type": kind, "question_type": "PRES", "image_organ": "CHEST"}  # fmt: skip
        return dict.fromkeys(VQA_RAD.split(","), "") | cells

    write(root / "VQA_RAD Dataset Public.json", json.dumps([
        entry(0, "synpic1.jpg", "freeform", "Is there an effusion?", "Yes", "CLOSED"),
        entry(1, "synpic1.jpg", "test_para", "Do you see fluid?", "yes ", "CLOSED"),
        entry(2, "synpic2.jpg", "test_freeform", "How many ribs are broken?", 3, "OPEN"),
        entry(3, "synpic2.jpg", "para", "", "none", "OPEN"),
    ]))  # fmt: skip
    return root


def path_vqa(root: Path) -> Path:
    rows = [
        ("train", "train_0001", "What is shown?", "necrosis"),
        ("train", "train_0001", "Is it liver?", "No"),
        ("test", "test_0007", "Where are they?", "in the canals of Hering"),
    ]
    for split in ("train", "test"):
        entries = [
            {"image": image, "question": text, "answer": answer} for one, image, text, answer in rows if one == split
        ]
        write(root / "qas" / split / f"{split}_qa.json", json.dumps(entries))
        picture(root / "images" / split / f"{entries[0]['image']}.jpg")
    return root


EVALUATION_COPIES = {
    "folders": Copy(folders, "", "", "", 4, {"no image file": 1}, {"folders": FOLDERS}),
    "medmnist": Copy(medmnist, "", "", "", 9),
    "ham10000": Copy(ham10000, "HAM10000_metadata.csv", "localization", "HAM10000_images_part_2/ISIC_0026769.jpg", 3),
    "pad-ufes-20": Copy(pad_ufes_20, "metadata.csv", "diagnostic", "imgs_part_2/PAT_46_881_939.png", 3),
    "vindr-mammo": Copy(
        vindr_mammo, "breast-level_annotations.csv", "view_position", "images/s1/a2.png", 3, {"no row of findings": 1}
    ),
    "sicap": Copy(sicap, "", "", "images/16B2_Block_Region_1_5_26_xini_35472_yini_8051.jpg", 4),
    "pcam": Copy(pcam, "", "", "", 5),
    "deepeyenet": Copy(
        deepeyenet, "DeepEyeNet_train.json", "keywords", "eyenet0420/test_set/fundus4.jpg", 3, {"empty text": 1}
    ),
    "vqa-rad": Copy(
        vqa_rad,
        "VQA_RAD Dataset Public.json",
        "answer_type",
        "VQA_RAD Image Folder/synpic2.jpg",
        3,
        {"empty question": 1},
    ),
    "path-vqa": Copy(path_vqa, "qas/test/test_qa.json", "answer", "images/test/test_0007.jpg", 3),
}
NEEDS = {"sicap": "openpyxl", "pcam": "h5py"}  # the library that reads a layout's files
NOT_HERE = {layout: library for layout, library in NEEDS.items() if find_spec(library) is None}
