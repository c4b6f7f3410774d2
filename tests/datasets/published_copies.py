"""Miniature copies of published layouts: the published header lines, a few made-up rows, images of four pixels."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

NIH = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
CHEXPERT = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,"
    "Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
MIMIC_METADATA = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
    "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning"
)
MIMIC_CHEXPERT = (
    "subject_id,study_id,Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,"
    "Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)
MIMIC_SPLIT = "dicom_id,study_id,subject_id,split"
PADCHEST = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,"
    "MethodProjection,Pediatric,Modality_DICOM,Manufacturer_DICOM,PhotometricInterpretation_DICOM,"
    "PixelRepresentation_DICOM,PixelAspectRatio_DICOM,SpatialResolution_DICOM,BitsStored_DICOM,WindowCenter_DICOM,"
    "WindowWidth_DICOM,Rows_DICOM,Columns_DICOM,XRayTubeCurrent_DICOM,Exposure_DICOM,ExposureInuAs_DICOM,ExposureTime,"
    "RelativeXRayExposure_DICOM,ReportID,Report,MethodLabel,Labels,Localizations,LabelsLocalizationsBySentence,"
    "labelCUIS,LocalizationsCUIS"
)
VINDR = (
    "Aortic enlargement,Atelectasis,Calcification,Cardiomegaly,Clavicle fracture,Consolidation,Edema,Emphysema,"
    "Enlarged PA,ILD,Infiltration,Lung Opacity,Lung cavity,Lung cyst,Mediastinal shift,Nodule/Mass,Pleural effusion,"
    "Pleural thickening,Pneumothorax,Pulmonary fibrosis,Rib fracture,Other lesion,COPD,Lung tumor,Pneumonia,"
    "Tuberculosis"
)
RSNA_BOXES = "patientId,x,y,width,height,Target"
RSNA_KINDS = "patientId,class"
OPEN_I_REPORTS = "uid,MeSH,Problems,image,indication,comparison,findings,impression"
OPEN_I_PROJECTIONS = "uid,filename,projection"
QUILT = (
    ",caption,image_path,subset,split,pathology,roi_text,noisy_text,corrected_text,med_umls_ids,magnification,"
    "height,width"
)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), 9).save(path)


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def row_names(header: str) -> list[str]:
    return ["".join(letter if letter.isalnum() else "_" for letter in name) for name in header.split(",")]


def row(header: str, **cells: str) -> str:
    """A line under ``header`` with these cells, by name with _ for what is no letter; the others are empty."""
    names = row_names(header)
    assert set(cells) <= set(names), set(cells) - set(names)
    return ",".join(f'"{cells[name]}"' if "," in cells.get(name, "") else cells.get(name, "") for name in names)


def nih(root: Path) -> Path:
    write(
        root / "Data_Entry_2017_v2020.csv",
        NIH,
        "00000001_000.png,Cardiomegaly|Emphysema,0,1,58,M,PA,2682,2749,0.143,0.143",
        "00000001_001.png,No Finding,1,1,058Y,M,AP,2894,2729,0.143,0.143",
        "00000002_000.png,Pleural_Thickening,0,2,414,F,PA,2500,2048,0.168,0.168",
        "00000003_000.png,Hernia,0,3,006M,F,PA,2500,2048,0.168,0.168",
    )
    write(root / "train_val_list.txt", "00000001_000.png", "00000001_001.png", "00000003_000.png")
    write(root / "test_list.txt", "00000002_000.png")
    picture(root / "images_001" / "images" / "00000001_000.png")
    picture(root / "images_001" / "images" / "00000001_001.png")
    picture(root / "images_002" / "images" / "00000002_000.png")
    picture(root / "images_012" / "images" / "00000003_000.png")
    return root


def chexpert(root: Path) -> Path:
    folder = root / "CheXpert-v1.0-small"
    names = [
        "train/patient00001/study1/view1_frontal.jpg",
        "train/patient00001/study1/view2_lateral.jpg",
        "train/patient00002/study2/view1_frontal.jpg",
        "valid/patient64541/study1/view1_frontal.jpg",
    ]
    first, lateral, second, third = (f"CheXpert-v1.0-small/{name}" for name in names)
    write(
        folder / "train.csv",
        CHEXPERT,
        row(CHEXPERT, Path=first, Sex="Female", Age="68", Frontal_Lateral="Frontal", AP_PA="AP", No_Finding="1.0"),
        row(CHEXPERT, Path=lateral, Sex="Female", Age="68", Frontal_Lateral="Lateral", Edema="-1.0"),
        row(CHEXPERT, Path=second, Sex="Male", Age="83", Frontal_Lateral="Frontal", AP_PA="PA", Edema="-1.0",
            Pneumothorax="0.0"),
    )  # fmt: skip
    zeros = "," + ",".join(["0.0"] * 13)
    write(folder / "valid.csv", CHEXPERT, f"{third},Male,73,Frontal,AP,1.0{zeros}")
    for name in names:
        picture(folder / name)
    return root


def mimic_cxr(root: Path) -> Path:
    films = [
        ("aa", "10000032", "50414267", "PA", "train"),
        ("bb", "10000032", "50414267", "LATERAL", "train"),
        ("cc", "10000032", "53189527", "AP", "train"),
        ("dd", "11000011", "51029426", "AP", "validate"),
        ("ee", "11000011", "52000000", "PA", "test"),
        ("ff", "12000012", "53000000", "PA", "test"),
    ]
    write(root / "mimic-cxr-2.0.0-metadata.csv.gz", MIMIC_METADATA, *(
        row(MIMIC_METADATA, dicom_id=film, subject_id=subject, study_id=study, ViewPosition=view, Rows="2320")
        for film, subject, study, view, _ in films
    ))  # fmt: skip
    write(root / "mimic-cxr-2.0.0-split.csv", MIMIC_SPLIT, *(
        f"{film},{study},{subject},{split}" for film, subject, study, _, split in films
    ))  # fmt: skip
    write(
        root / "mimic-cxr-2.0.0-chexpert.csv.gz",
        MIMIC_CHEXPERT,
        row(MIMIC_CHEXPERT, subject_id="10000032", study_id="53189527", Edema="-1.0", Fracture="0.0"),
        row(MIMIC_CHEXPERT, subject_id="10000032", study_id="50414267", No_Finding="1.0"),
        row(MIMIC_CHEXPERT, subject_id="11000011", study_id="51029426", Pneumonia="1.0"),
        row(MIMIC_CHEXPERT, subject_id="11000011", study_id="52000000", Pneumonia="1.0"),
    )
    texts = {
        "50414267": ["                FINAL REPORT", " INDICATION:  Cough.", "", " FINDINGS:", "", " Lungs are",
                     " clear.", "", " IMPRESSION:", "", " No acute process."],
        "53189527": [" FINDINGS AND IMPRESSION:  Mild edema."],
        "51029426": [" IMPRESSION: Right lower lobe pneumonia."],
        "52000000": [" WET READ: nothing to read here"],
        "53000000": [" IMPRESSION: Normal."],
    }  # fmt: skip
    for film, subject, study, *_ in films:
        folder = root / "files" / f"p{subject[:2]}" / f"p{subject}"
        picture(folder / f"s{study}" / f"{film}.jpg")
        write(folder / f"s{study}.txt", *texts[study])
    return root


def padchest(root: Path) -> Path:
    def film(image: str, pack: str, patient: str, **cells: str) -> str:
        picture(root / pack / image)
        both = {"StudyDate_DICOM": "20140915", "StudyID": f"s{patient}", "PatientBirth": "1930.0",
                "PatientSex_DICOM": "F", "Projection": "PA", "MethodLabel": "Physician"} | cells  # fmt: skip
        return row(PADCHEST, ImageID=image, ImageDir=pack, PatientID=patient, **both)

    write(
        root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv",
        PADCHEST,
        film("11_a.png", "0", "p1", Report="sin hallazg", Labels="['normal']"),
        film("12_b.png", "0", "p1", Report="cardiomegali", Labels="['cardiomegaly', ' pleural effusion', '']"),
        film("13_c.png", "14", "p2", Report="sin cambi", Labels="['Unchanged']", MethodLabel="RNN_model"),
        film("14_d.png", "14", "p3", Report="lateral", Labels="['normal']", Projection="L"),
        film("15_e.png", "54", "p4", Report="", Labels="['laminar atelectasis']"),
        film("16_f.png", "54", "p5", Report="neumoni", Labels="", PatientBirth="", Projection="AP_horizontal"),
    )
    return root


def vindr_cxr(root: Path) -> Path:
    train, test = f"image_id,rad_id,{VINDR},Other diseases,No finding", f"image_id,{VINDR},Other disease,No finding"
    says = {("f1", "R1"): "Edema", ("f1", "R2"): "Edema", ("f1", "R3"): "Pneumonia"}
    says |= {("f2", reader): "No_finding" for reader in ("R1", "R2", "R3")}
    zeros = dict.fromkeys(row_names(train)[2:], "0")
    write(root / "annotations" / "image_labels_train.csv", train, *(
        row(train, image_id=film, rad_id=reader, **(zeros | {name: "1"})) for (film, reader), name in says.items()
    ))  # fmt: skip
    zeros = dict.fromkeys(row_names(test)[1:], "0") | {"Other_disease": "1"}
    write(
        root / "annotations" / "image_labels_test.csv",
        test,
        row(test, image_id="f3", **zeros),
    )
    picture(root / "train" / "f1.png")
    (root / "train" / "f1.dicom").write_bytes(b"DICM")
    (root / "train" / "f2.dicom").write_bytes(b"DICM")
    (root / "test").mkdir()
    (root / "test" / "f3.dicom").write_bytes(b"DICM")
    return root


def rsna(root: Path) -> Path:
    write(root / "stage_2_train_labels.csv", RSNA_BOXES,
          "0004cfab,,,,,0", "00436515,264.0,152.0,213.0,379.0,1", "00436515,562.0,152.0,256.0,453.0,1",
          "003d8fa0,,,,,0")  # fmt: skip
    write(root / "stage_2_detailed_class_info.csv", RSNA_KINDS, "0004cfab,No Lung Opacity / Not Normal",
          "00436515,Lung Opacity", "00436515,Lung Opacity", "003d8fa0,Normal")  # fmt: skip
    for name in ("0004cfab", "00436515", "003d8fa0"):
        (root / "stage_2_train_images").mkdir(exist_ok=True)
        (root / "stage_2_train_images" / f"{name}.dcm").write_bytes(b"DICM")
    return root


def rsna_mapping(root: Path) -> None:
    origin = {"0004cfab": "00000007_000.png", "00436515": "00000007_001.png", "003d8fa0": "00012345_006.png"}
    entries = [{"subset_img_id": film, "img_id": name} for film, name in origin.items()]
    write(root / "pneumonia-challenge-dataset-mappings_2018.json", json.dumps(entries))


def open_i(root: Path) -> Path:
    def report(uid: str, mesh: str, problems: str, findings: str, impression: str) -> str:
        return row(OPEN_I_REPORTS, uid=uid, MeSH=mesh, Problems=problems, findings=findings, impression=impression)

    write(
        root / "indiana_reports.csv",
        OPEN_I_REPORTS,
        report("1", "normal", "normal", "Heart size, shape normal.", "No acute disease."),
        report("2", "Cardiomegaly/borderline", "Emphysema", "Large heart.", ""),
        report("3", "No Indexing", "No Indexing", "", "XXXX."),
        report("4", "Pulmonary Atelectasis/base/left", "Pulmonary Atelectasis", "", ""),
        report("6", "normal", "normal", "No film.", ""),
    )
    films = [("1", "1_IM-0001-4001.dcm.png", "Frontal"), ("1", "1_IM-0001-3001.dcm.png", "Lateral"),
             ("2", "2_IM-0652-1001.dcm.png", "Frontal"), ("3", "3_IM-1384-1001.dcm.png", "Frontal"),
             ("4", "4_IM-2050-1001.dcm.png", "Frontal"), ("5", "5_IM-2117-1003.dcm.png", "Frontal")]  # fmt: skip
    write(root / "indiana_projections.csv", OPEN_I_PROJECTIONS, *(",".join(film) for film in films))
    for _, name, _ in films:
        picture(root / "images" / "images_normalized" / name)
    return root


def quilt(root: Path) -> Path:
    write(
        root / "quilt_1M_lookup.csv",
        QUILT,
        row(QUILT, caption="Acinar growth.", image_path="v1_001.jpg", subset="quilt", split="train"),
        row(QUILT, caption="The same field, once more.", image_path="v1_001.jpg", subset="quilt", split="train"),
        row(QUILT, caption="Adipocytes, mature.", image_path="o_7.png", subset="openpath", split="val"),
        row(QUILT, caption="", image_path="l_3.jpg", subset="laion", split="train"),
    )
    for name in ("v1_001.jpg", "o_7.png", "l_3.jpg"):
        picture(root / "quilt_1m" / name)
    return root


def pmc_oa(root: Path) -> Path:
    pairs = {"PMC212319_Fig3_4.jpg": "Membrane, real time.", "PMC212319_Fig3_5.jpg": "The same, later.",
             "PMC999_Fig1_1.jpg": "CT of the chest."}  # fmt: skip
    write(
        root / "pmc_oa.jsonl",
        *(json.dumps({"image": name, "caption": text, "alignment_score": 0.9}) for name, text in pairs.items()),
    )
    for name in pairs:
        picture(root / "caption_T060_filtered_top4_sep_v0_subfigures" / name)
    return root


def roco(root: Path) -> Path:
    """ROCOv2; :func:`first_roco` writes the set before it."""
    licences = []
    for split, count in (("train", 3), ("valid", 1), ("test", 1)):
        names = [f"ROCOv2_2023_{split}_{i:06d}" for i in range(1, count + 1)]
        write(
            root / f"{split}_captions.csv",
            "ID,Caption",
            *(f'{name},"Head CT, axial {i}."' for i, name in enumerate(names)),
        )
        licences += [f"{name},PMC{split}{i // 2},CC BY,https://example.org" for i, name in enumerate(names)]
        for name in names:
            picture(root / split / f"{name}.jpg")
    write(root / "license_information.csv", "ID,PMCID,Attribution,Link", *licences)
    return root


def first_roco(root: Path) -> Path:
    for split, start in (("train", 2), ("validation", 9), ("test", 20)):
        folder = root / "data" / split / "radiology"
        names = [f"ROCO_{start + i:05d}" for i in range(2)]
        write(folder / "captions.txt", f"{names[0]}\t Axial CT showing", "the left sinus", f"{names[1]}\tPlain film")
        write(
            folder / "dlinks.txt", *(f"{name}\twget -r ftp://x/PMC{start}.tar.gz -P /tmp\t{name}.jpg" for name in names)
        )
        for name in names:
            picture(folder / "images" / f"{name}.jpg")
    return root


def table(root: Path) -> Path:
    write(
        root / "manifest.csv",
        "path,report,patient,Edema,Mass,age,view,fold",
        "films/a.png,Edema.,p1,1,0,61,AP,train",
        "films/b.png,,p1,0,,62,PA,train",
        "films/c.png,No edema.,p2,0,-1,,PA,test",
        "films/d.png,Mass.,p3,0,1,70,AP,test",
    )
    for name in "abcd":
        picture(root / "films" / f"{name}.png")
    return root


@dataclass(frozen=True)
class Copy:
    """A layout's miniature copy and what the common tests need to know of it."""

    build: Callable[[Path], Path]
    main: str  # the table of text that lists the images; empty where there is none
    column: str  # a column of it that is needed
    image: str  # an image it lists, frontal and with a report; empty where no table lists files
    items: int  # how many are read with the settings below
    left_out: dict[str, int] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


COPIES = {
    "table": Copy(table, "manifest.csv", "Edema", "films/d.png", 3, {"empty report": 1}, {
        "text": "report", "classes": ["Edema", "Mass"], "columns": ["age", "view"], "split": "fold",
        "uncertain": "ignore"}),
    "nih": Copy(nih, "Data_Entry_2017_v2020.csv", "Finding Labels", "images_002/images/00000002_000.png", 4),
    "chexpert": Copy(chexpert, "CheXpert-v1.0-small/train.csv", "Frontal/Lateral",
                     "CheXpert-v1.0-small/train/patient00002/study2/view1_frontal.jpg", 3, {"other view": 1},
                     {"uncertain": "ignore"}),
    "mimic-cxr": Copy(mimic_cxr, "mimic-cxr-2.0.0-metadata.csv.gz", "ViewPosition",
                      "files/p10/p10000032/s50414267/aa.jpg", 3,
                      {"other view": 1, "no row of labels": 1, "no findings or impression section": 1},
                      {"uncertain": "ignore"}),
    "padchest": Copy(padchest, "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", "Labels", "14/13_c.png", 4,
                     {"other view": 1, "empty report": 1}),
    "vindr-cxr": Copy(vindr_cxr, "annotations/image_labels_train.csv", "Nodule/Mass", "train/f2.dicom", 3),
    "rsna": Copy(rsna, "stage_2_train_labels.csv", "Target", "stage_2_train_images/003d8fa0.dcm", 3),
    "roco": Copy(roco, "train_captions.csv", "Caption", "train/ROCOv2_2023_train_000002.jpg", 5),
    "pmc-oa": Copy(pmc_oa, "pmc_oa.jsonl", "caption",
                   "caption_T060_filtered_top4_sep_v0_subfigures/PMC999_Fig1_1.jpg", 3),
    "quilt": Copy(quilt, "quilt_1M_lookup.csv", "caption", "quilt_1m/o_7.png", 3, {"empty caption": 1}),
    "open-i": Copy(open_i, "indiana_projections.csv", "projection",
                   "images/images_normalized/2_IM-0652-1001.dcm.png", 3,
                   {"other view": 1, "no report": 1, "empty report": 1}),
}  # fmt: skip
