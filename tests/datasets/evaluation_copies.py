"""Miniature copies of downstream evaluation sets, as :mod:`published_copies` has them of the others."""

from __future__ import annotations

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


EVALUATION_COPIES = {
    "folders": Copy(folders, "", "", "", 4, {"no image file": 1}, {"folders": FOLDERS}),
    "medmnist": Copy(medmnist, "", "", "", 9),
    "ham10000": Copy(ham10000, "HAM10000_metadata.csv", "localization", "HAM10000_images_part_2/ISIC_0026769.jpg", 3),
    "pad-ufes-20": Copy(pad_ufes_20, "metadata.csv", "diagnostic", "imgs_part_2/PAT_46_881_939.png", 3),
    "vindr-mammo": Copy(
        vindr_mammo, "breast-level_annotations.csv", "view_position", "images/s1/a2.png", 3, {"no row of findings": 1}
    ),
}
NEEDS: dict[str, str] = {}  # layout -> the library that reads its files
NOT_HERE: dict[str, str] = {}  # the same of those that cannot be imported
