"""Each published layout on a miniature copy: ids, patients, labels, splits and texts."""

import gzip
import importlib
import inspect
import re

import numpy as np
import pytest
from published_copies import (
    CHEXPERT,
    NIH,
    chexpert,
    first_roco,
    mimic_cxr,
    nih,
    open_i,
    padchest,
    picture,
    pmc_oa,
    quilt,
    roco,
    rsna,
    rsna_mapping,
    table,
    vindr_cxr,
    write,
)

from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.datasets.cohorts import LAYOUTS, read_cohort
from stitchkit.datasets.layouts.image_files import files_there
from stitchkit.datasets.layouts.report_sections import sections_of
from stitchkit.datasets.prompt_sets import read_prompts

NAN = np.nan


def of_class(cohort, name):
    return cohort.labels.values[:, cohort.labels.classes.index(name)].tolist()


def same(found, wanted):
    np.testing.assert_array_equal(np.asarray(found, dtype=float), wanted)


# a table of one's own


def settings(**further):
    return {"text": "report", "classes": ["Edema", "Mass"], "split": "fold", "uncertain": "ignore"} | further


def test_a_table_gives_ids_labels_patients_splits_and_texts(tmp_path):
    cohort = read_cohort("table", table(tmp_path), columns=["age", "view"], **settings())
    assert cohort.images.ids.tolist() == ["films/a.png", "films/c.png", "films/d.png"]
    same(cohort.labels.values, [[1, 0], [0, NAN], [0, 1]])
    assert cohort.labels.groups.tolist() == ["p1", "p2", "p3"]
    same(cohort.labels.columns["age"], [61, NAN, 70])
    assert cohort.labels.columns["view"].tolist() == ["AP", "PA", "AP"]
    assert list(cohort.part("test").texts) == ["No edema.", "Mass."]
    assert cohort.card["left_out"] == {"empty report": 1}
    assert cohort.anchors().groups.tolist() == ["p1", "p2", "p3"]


def test_uncertain_labels_of_a_table_need_a_policy(tmp_path):
    with pytest.raises(DataError, match="row 4, column 'Mass': the label is -1"):
        read_cohort("table", table(tmp_path), **settings(uncertain="error"))


def test_paths_of_a_table_are_relative_to_it_and_without_texts_no_row_is_left_out(tmp_path):
    table(tmp_path / "below")
    cohort = read_cohort("table", tmp_path, table="below/manifest.csv", classes=["Edema"])
    assert next(iter(cohort.images)) == tmp_path / "below" / "films" / "a.png"
    assert (cohort.texts, cohort.split) == (None, None)


def test_a_table_without_labels_still_gives_anchors(tmp_path):
    cohort = read_cohort("table", table(tmp_path), text="report", classes=[], columns=["age"])
    assert cohort.labels.values.shape == (3, 0)
    assert len(cohort.anchors()) == 3
    same(cohort.labels.columns["age"], [61, NAN, 70])


def test_a_table_of_texts_joins_two_encoders_of_text(tmp_path):
    write(tmp_path / "manifest.csv", "uid,findings,impression,Normal", "1,Clear.,Normal.,1", "2,,Mass.,0", "3,Mass.,,0")
    cohort = read_cohort("table", tmp_path, id="uid", image="findings", modality="text", text="impression")
    assert cohort.images.modality == "text"
    assert list(cohort.anchors().target_items) == ["Normal."]
    assert cohort.card["left_out"] == {"empty report": 1, "empty item": 1}
    with pytest.raises(UnknownNameError, match="modality"):
        read_cohort("table", tmp_path, modality="sound")


# NIH ChestX-ray14


def test_nih_reads_labels_patients_metadata_and_the_published_split(tmp_path):
    cohort = read_cohort("nih", nih(tmp_path))
    assert cohort.images.ids.tolist() == [
        "00000001_000.png", "00000001_001.png", "00000002_000.png", "00000003_000.png",
    ]  # fmt: skip
    assert cohort.labels.groups.tolist() == ["1", "1", "2", "3"]
    assert of_class(cohort, "Cardiomegaly") == of_class(cohort, "Emphysema") == [1, 0, 0, 0]
    assert of_class(cohort, "No Finding") == [0, 1, 0, 0]
    assert of_class(cohort, "Pleural_Thickening") == [0, 0, 1, 0]
    same(cohort.labels.columns["age"], [58, 58, NAN, 0.5])
    assert cohort.labels.columns["sex"].tolist() == ["M", "M", "F", "F"]
    assert cohort.labels.columns["view"].tolist() == ["PA", "AP", "PA", "PA"]
    assert cohort.split.tolist() == ["train", "train", "test", "train"]
    assert cohort.texts is None
    assert set(read_prompts("nih14").classes) <= set(cohort.labels.classes)


def test_nih_takes_the_other_names_of_the_table_a_comma_at_its_end_and_images_in_one_folder(tmp_path):
    header = NIH.replace("Patient Gender", "Patient Sex") + ","
    write(tmp_path / "Data_Entry_2017.csv", header, "00000001_000.png,Hernia,0,1,58,M,PA,2682,2749,0.143,0.143,",
          "00000002_000.png,Hernia,0,2,61,F,AP,2682,2749,0.143,0.143")  # fmt: skip
    picture(tmp_path / "small" / "00000001_000.jpg")
    picture(tmp_path / "small" / "00000002_000.jpg")
    cohort = read_cohort("nih", tmp_path, images="small")
    assert [path.name for path in cohort.images] == ["00000001_000.jpg", "00000002_000.jpg"]
    assert cohort.labels.columns["sex"].tolist() == ["M", "F"]
    assert cohort.split is None
    with pytest.raises(DataError, match=r"there is no folder .*large"):
        read_cohort("nih", tmp_path, images="large")


def test_nih_with_half_a_split_or_an_unknown_finding_is_refused(tmp_path):
    root = nih(tmp_path)
    write(root / "test_list.txt", "00000009_000.png")
    with pytest.raises(DataError, match=r"row 4, column 'Image Index': .*\(1 of 4 are\)"):
        read_cohort("nih", root)
    (root / "test_list.txt").unlink()
    with pytest.raises(DataError, match="not both"):
        read_cohort("nih", root)
    path = root / "Data_Entry_2017_v2020.csv"
    path.write_text(path.read_text().replace("Hernia", "Hernai"))
    with pytest.raises(DataError, match="row 5, column 'Finding Labels': a finding is none of") as caught:
        read_cohort("nih", root)
    assert "Hernai" not in str(caught.value)


# CheXpert


def test_chexpert_reads_both_tables_with_patients_from_the_paths(tmp_path):
    cohort = read_cohort("chexpert", chexpert(tmp_path), uncertain="positive")
    assert cohort.images.ids.tolist() == [
        "train/patient00001/study1/view1_frontal.jpg", "train/patient00002/study2/view1_frontal.jpg",
        "valid/patient64541/study1/view1_frontal.jpg",
    ]  # fmt: skip
    assert cohort.labels.groups.tolist() == ["patient00001", "patient00002", "patient64541"]
    assert cohort.split.tolist() == ["train", "train", "val"]
    same(of_class(cohort, "No Finding"), [1, NAN, 1])
    same(of_class(cohort, "Edema"), [NAN, 1, 0])
    assert cohort.labels.columns["view"].tolist() == ["AP", "PA", "AP"]
    assert cohort.labels.columns["age"].tolist() == [68, 83, 73]
    assert cohort.card["counts"]["uncertain labels"] == 1
    assert cohort.card["labels"] == "-1 (uncertain): positive; blank (not mentioned): unknown"
    assert set(read_prompts("chexpert5").classes) <= set(cohort.labels.classes)


def test_chexpert_needs_a_policy_for_uncertain_labels_of_the_rows_it_keeps(tmp_path):
    root = chexpert(tmp_path)
    with pytest.raises(DataError, match=r"row 4, column 'Edema': the label is -1 \(uncertain; 1 labels are"):
        read_cohort("chexpert", root)
    same(of_class(read_cohort("chexpert", root, uncertain="ignore"), "Edema"), [NAN, NAN, 0])
    assert len(read_cohort("chexpert", root, splits="val")) == 1
    with pytest.raises(UnknownNameError, match="split of CheXpert"):
        read_cohort("chexpert", root, splits=["valid"])


def test_blanks_of_chexpert_are_unknown_or_negative_as_stated(tmp_path):
    root = chexpert(tmp_path)
    cohort = read_cohort("chexpert", root, uncertain="ignore", blank="negative")
    same(of_class(cohort, "Edema"), [0, NAN, 0])
    with pytest.raises(UnknownNameError, match="policy for blank labels"):
        read_cohort("chexpert", root, uncertain="ignore", blank="positive")


def test_views_of_chexpert_are_those_asked_for(tmp_path):
    root = chexpert(tmp_path)
    lateral = read_cohort("chexpert", root, views="Lateral", uncertain="ignore")
    assert lateral.images.ids.tolist() == ["train/patient00001/study1/view2_lateral.jpg"]
    assert lateral.card["left_out"] == {"other view": 3}
    assert len(read_cohort("chexpert", root, views="all", uncertain="ignore")) == 4
    assert len(read_cohort("chexpert", root, views=["Frontal", "Lateral"], uncertain="ignore")) == 4
    with pytest.raises(UnknownNameError, match="nearest: Frontal"):
        read_cohort("chexpert", root, views="frontal", uncertain="ignore")


def test_the_folder_of_chexpert_itself_will_do_and_two_sets_will_not(tmp_path):
    root = chexpert(tmp_path)
    assert len(read_cohort("chexpert", root / "CheXpert-v1.0-small", uncertain="ignore")) == 3
    write(root / "CheXpert-v1.0" / "train.csv", CHEXPERT)
    with pytest.raises(DataError, match="Give the one you mean"):
        read_cohort("chexpert", root, uncertain="ignore")


def test_odd_cells_and_rows_of_chexpert_are_named_by_row(tmp_path):
    path = chexpert(tmp_path) / "CheXpert-v1.0-small" / "train.csv"
    good = path.read_text()
    for old, new, says in (
        ("small/train/patient00002", "small/patient00002", "row 4, column 'Path': the cell is no path"),
        ("patient00002/study2/view1", "patient00001/study1/view1", "row 4, column 'Path': the same id as in row 2"),
        (",0.0,,,,", ",0.5,,,,", "row 4, column 'Pneumothorax': the cell is no label"),
        (",0.0,,,,", ",0.0,,,,,,", "row 4: 21 cells under a header of 19"),
    ):
        path.write_text(good.replace(old, new))
        with pytest.raises(DataError, match=says):
            read_cohort("chexpert", tmp_path, uncertain="ignore")


# MIMIC-CXR


def test_mimic_reads_labels_by_study_splits_by_film_and_sections_of_reports(tmp_path):
    cohort = read_cohort("mimic-cxr", mimic_cxr(tmp_path), uncertain="negative")
    assert cohort.images.ids.tolist() == ["aa", "cc", "dd"]
    assert cohort.labels.groups.tolist() == ["10000032", "10000032", "11000011"]
    assert cohort.split.tolist() == ["train", "train", "val"]
    same(of_class(cohort, "No Finding"), [1, NAN, NAN])
    same(of_class(cohort, "Edema"), [NAN, 0, NAN])
    same(of_class(cohort, "Pneumonia"), [NAN, NAN, 1])
    assert list(cohort.texts) == ["Lungs are clear. No acute process.", "Mild edema.", "Right lower lobe pneumonia."]
    assert cohort.labels.columns["study"].tolist() == ["50414267", "53189527", "51029426"]
    assert next(iter(cohort.anchors().target_items)) == "Lungs are clear. No acute process."


def test_mimic_needs_a_policy_for_uncertain_labels(tmp_path):
    root = mimic_cxr(tmp_path)
    with pytest.raises(DataError, match="row 2, column 'Edema': the label is -1"):
        read_cohort("mimic-cxr", root)
    same(of_class(read_cohort("mimic-cxr", root, uncertain="ignore", blank="negative"), "Edema"), [0, NAN, 0])


def test_mimic_takes_the_sections_asked_for_or_no_reports(tmp_path):
    root = mimic_cxr(tmp_path)
    impressions = read_cohort("mimic-cxr", root, uncertain="ignore", sections="impression")
    assert list(impressions.texts) == ["No acute process.", "Right lower lobe pneumonia."]
    assert impressions.card["left_out"]["no impression section"] == 2
    without = read_cohort("mimic-cxr", root, uncertain="ignore", reports=False)
    assert without.images.ids.tolist() == ["aa", "cc", "dd", "ee"]
    assert without.texts is None
    assert "texts" not in without.card
    with pytest.raises(UnknownNameError, match="nearest: findings"):
        read_cohort("mimic-cxr", root, sections=["finding"])
    with pytest.raises(InputError, match="reports=False"):
        read_cohort("mimic-cxr", root, sections=[])


def test_reports_of_mimic_may_lie_elsewhere_and_missing_ones_are_refused_or_counted(tmp_path):
    root = mimic_cxr(tmp_path)
    for path in root.rglob("s*.txt"):
        moved = root / "mimic-cxr-reports" / path.relative_to(root)
        moved.parent.mkdir(parents=True, exist_ok=True)
        path.rename(moved)
    with pytest.raises(DataError, match=r"row 2, column 'study_id': there is no report .*4 of 4 films") as caught:
        read_cohort("mimic-cxr", root, uncertain="ignore")
    assert "10000032" not in str(caught.value)
    read = read_cohort("mimic-cxr", root, uncertain="ignore", reports_root="mimic-cxr-reports")
    assert len(read) == 3
    (root / "mimic-cxr-reports" / "files" / "p11" / "p11000011" / "s51029426.txt").unlink()
    read = read_cohort(
        "mimic-cxr", root, uncertain="ignore", reports_root="mimic-cxr-reports", missing="skip", views="all"
    )
    assert read.images.ids.tolist() == ["aa", "bb", "cc"]
    assert read.card["left_out"] == {
        "no row of labels": 1,
        "report file missing": 1,
        "no findings or impression section": 1,
    }


def test_a_film_of_mimic_without_a_split_is_left_out_and_counted(tmp_path):
    root = mimic_cxr(tmp_path)
    path = root / "mimic-cxr-2.0.0-split.csv"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("dd")))
    assert read_cohort("mimic-cxr", root, uncertain="ignore").card["left_out"]["no split"] == 1


def packed(content):
    """A gzip file without the time of writing, so that tests have the same names in every process."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (packed(b"dicom_id,subject_id,study_id,ViewPosition\na,b,c,PA\n")[:-9], "downloaded completely"),
        (b"<html>login</html>", "Not a gzipped file"),
        (packed("é".encode("cp1252")), "not UTF-8"),
        (packed(b"<html>login</html>"), "has no column 'dicom_id'"),
        (packed(b""), "has no column 'dicom_id'"),
        (packed(b"dicom_id,subject_id,study_id,ViewPosition\n"), "a header and no rows"),
        (packed(b"dicom_id,subject_id,study_id,ViewPosition,dicom_id\na,b,c,d,e\n"), "2 columns"),
        (packed(b"dicom_id,subject_id,study_id,ViewPosition\na,b\n"), "row 2: 2 cells"),
    ],
)  # fmt: skip
def test_a_packed_table_that_is_broken_is_refused(tmp_path, content, says):
    root = mimic_cxr(tmp_path)
    (root / "mimic-cxr-2.0.0-metadata.csv.gz").write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_cohort("mimic-cxr", root, uncertain="ignore")


def test_a_table_that_is_not_there_is_named(tmp_path):
    root = mimic_cxr(tmp_path)
    (root / "mimic-cxr-2.0.0-chexpert.csv.gz").unlink()
    with pytest.raises(DataError, match=r"holds no mimic-cxr-2.0.0-chexpert.csv, packed as .gz or not"):
        read_cohort("mimic-cxr", root, uncertain="ignore")


@pytest.mark.parametrize(
    ("report", "text"),
    [
        ("FINDINGS: One.\n\nIMPRESSION: Two.", "One. Two."),
        ("IMPRESSION: Two.\nFINDINGS: One.", "One. Two."),
        ("FINDINGS:\n PA view: clear.\n COMPARISON: None.", "PA view: clear."),
        ("FINDINGS/IMPRESSION: Both.", "Both."),
        ("Findings: in small letters", ""),
        ("", ""),
    ],
)
def test_sections_begin_at_headings_in_capitals(report, text):
    assert sections_of(report) == text


# PadChest


def test_padchest_reads_lists_of_labels_and_spanish_reports(tmp_path):
    cohort = read_cohort("padchest", padchest(tmp_path))
    assert cohort.images.ids.tolist() == ["11_a.png", "12_b.png", "13_c.png", "16_f.png"]
    assert cohort.labels.groups.tolist() == ["p1", "p1", "p2", "p5"]
    assert cohort.labels.classes == ("cardiomegaly", "normal", "pleural effusion")
    same(cohort.labels.values, [[0, 1, 0], [1, 0, 1], [NAN] * 3, [NAN] * 3])
    assert list(cohort.texts) == ["sin hallazg", "cardiomegali", "sin cambi", "neumoni"]
    same(cohort.labels.columns["age"], [84, 84, 84, NAN])
    assert cohort.labels.columns["view"].tolist() == ["PA", "PA", "PA", "AP_horizontal"]
    assert cohort.labels.columns["method"].tolist() == ["Physician", "Physician", "RNN_model", "Physician"]
    assert len(cohort.anchors()) == 4


def test_classes_of_padchest_may_join_several_labels(tmp_path):
    root = padchest(tmp_path)
    wanted = {"Atelectasis": ["atelectasis", "laminar atelectasis"], "Cardiomegaly": "Cardiomegaly"}
    cohort = read_cohort("padchest", root, classes=wanted, reports=False, views="PA")
    assert cohort.images.ids.tolist() == ["11_a.png", "12_b.png", "13_c.png", "15_e.png"]
    assert cohort.labels.classes == ("Atelectasis", "Cardiomegaly")
    same(cohort.labels.values, [[0, 0], [0, 1], [NAN, NAN], [1, 0]])
    assert cohort.texts is None
    with pytest.raises(UnknownNameError, match="nearest: cardiomegaly"):
        read_cohort("padchest", root, classes=["cardiomegali"])


@pytest.mark.parametrize("odd", ["a" * 5000, "~nosuchuser", "../nowhere", "a/b/c"])
def test_a_folder_of_images_that_cannot_be_is_one_without_images(odd, tmp_path):
    table = next(padchest(tmp_path).glob("*.csv"))
    table.write_text(table.read_text().replace("54,", f"{odd},"))
    with pytest.raises(DataError, match="image"):
        read_cohort("padchest", tmp_path)
    assert "15_e.png" not in read_cohort("padchest", tmp_path, missing="skip").images.ids.tolist()


def test_a_cell_of_padchest_that_is_no_list_is_named_by_row(tmp_path):
    path = padchest(tmp_path) / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
    path.write_text(path.read_text().replace("['Unchanged']", "[secret]"))
    with pytest.raises(DataError, match="row 4, column 'Labels': the cell is no list") as caught:
        read_cohort("padchest", tmp_path)
    assert "secret" not in str(caught.value)


# VinDr-CXR


def test_vindr_joins_the_readers_of_a_film_by_a_stated_policy(tmp_path):
    root = vindr_cxr(tmp_path)
    cohort = read_cohort("vindr-cxr", root)
    assert cohort.images.ids.tolist() == ["f1", "f2", "f3"]
    assert cohort.split.tolist() == ["train", "train", "test"]
    assert of_class(cohort, "Edema") == [1, 0, 0]
    assert of_class(cohort, "Pneumonia") == [0, 0, 0]
    assert of_class(cohort, "No finding") == [0, 1, 0]
    assert of_class(cohort, "Other diseases") == [0, 0, 1]
    assert cohort.labels.groups is None
    assert of_class(read_cohort("vindr-cxr", root, readers="any"), "Pneumonia") == [1, 0, 0]
    with pytest.raises(UnknownNameError, match="policy for several readers"):
        read_cohort("vindr-cxr", root, readers="most")
    assert set(cohort.labels.classes) >= {"Aortic enlargement", "Nodule/Mass", "COPD"}


def test_films_of_vindr_as_png_come_before_dicom_and_dicom_is_counted(tmp_path):
    cohort = read_cohort("vindr-cxr", vindr_cxr(tmp_path))
    assert [path.name for path in cohort.images] == ["f1.png", "f2.dicom", "f3.dicom"]
    assert cohort.card["counts"]["DICOM images"] == 2


def test_one_table_of_vindr_may_be_read_alone_and_films_may_lie_elsewhere(tmp_path):
    root = vindr_cxr(tmp_path)
    picture(root / "png" / "test" / "f3.png")
    cohort = read_cohort("vindr-cxr", root, splits="test", images="png")
    assert list(cohort.images) == [root / "png" / "test" / "f3.png"]
    assert list(cohort.card["header"]) == ["annotations/image_labels_test.csv"]
    (root / "annotations" / "image_labels_train.csv").unlink()
    assert len(read_cohort("vindr-cxr", root)) == 1
    with pytest.raises(DataError, match="image_labels_train"):
        read_cohort("vindr-cxr", root, splits="train")
    (root / "annotations" / "image_labels_test.csv").unlink()
    with pytest.raises(DataError, match="Give the folder that holds them"):
        read_cohort("vindr-cxr", root)
    with pytest.raises(UnknownNameError, match="split of VinDr"):
        read_cohort("vindr-cxr", root, splits="val")


# RSNA


def test_rsna_has_one_row_a_film_whatever_its_boxes(tmp_path):
    cohort = read_cohort("rsna", rsna(tmp_path))
    assert cohort.images.ids.tolist() == ["0004cfab", "00436515", "003d8fa0"]
    assert cohort.labels.classes == ("Pneumonia", "Lung Opacity", "No Lung Opacity / Not Normal", "Normal")
    assert cohort.labels.values.tolist() == [[0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]]
    assert (cohort.labels.groups, cohort.split, cohort.texts) == (None, None, None)
    assert "not a patient" in cohort.card["patients"]


def test_rsna_has_the_patients_of_nih_where_the_mapping_lies_beside(tmp_path):
    root = rsna(tmp_path)
    rsna_mapping(root)
    cohort = read_cohort("rsna", root)
    assert cohort.labels.groups.tolist() == ["7", "7", "12345"]
    assert cohort.labels.columns["nih_image"].tolist()[0] == "00000007_000.png"
    path = root / "pneumonia-challenge-dataset-mappings_2018.json"
    path.write_text(path.read_text().replace("003d8fa0", "other"))
    with pytest.raises(DataError, match=r"row 5, column 'patientId': .* \(1 of 3\)"):
        read_cohort("rsna", root)
    path.write_text('{"a": 1}')
    with pytest.raises(DataError, match="is no list of entries"):
        read_cohort("rsna", root)


def test_rsna_films_without_a_class_are_counted_and_odd_cells_refused(tmp_path):
    root = rsna(tmp_path)
    kinds, boxes = root / "stage_2_detailed_class_info.csv", root / "stage_2_train_labels.csv"
    good = kinds.read_text()
    kinds.write_text(good.replace("003d8fa0,Normal\n", ""))
    assert read_cohort("rsna", root).card["left_out"] == {"no class": 1}
    kinds.write_text(good.replace("0,Normal", "0,Norml"))
    with pytest.raises(DataError, match="row 5, column 'class'"):
        read_cohort("rsna", root)
    kinds.write_text(good)
    boxes.write_text(boxes.read_text().replace("003d8fa0,,,,,0", "003d8fa0,,,,,2"))
    with pytest.raises(DataError, match="row 5, column 'Target'"):
        read_cohort("rsna", root)
    boxes.write_text(boxes.read_text().replace("003d8fa0,,,,,2", "0004cfab,,,,,1"))
    with pytest.raises(DataError, match=r"row 5, column 'Target': another value than in row 2"):
        read_cohort("rsna", root)


# Open-i


def test_open_i_joins_films_and_reports_with_weak_labels(tmp_path):
    cohort = read_cohort("open-i", open_i(tmp_path))
    assert cohort.images.ids.tolist() == ["1_IM-0001-4001.dcm.png", "2_IM-0652-1001.dcm.png", "3_IM-1384-1001.dcm.png"]
    assert cohort.labels.groups.tolist() == ["1", "2", "3"]
    same(of_class(cohort, "normal"), [1, 0, NAN])
    same(of_class(cohort, "Cardiomegaly"), [0, 1, NAN])
    same(of_class(cohort, "Pulmonary Emphysema"), [0, 1, NAN])
    same(of_class(cohort, "Pneumothorax"), [0, 0, NAN])
    assert list(cohort.texts) == ["Heart size, shape normal. No acute disease.", "Large heart.", "XXXX."]
    assert len(cohort.anchors()) == 3


def test_open_i_takes_classes_views_and_sections_asked_for(tmp_path):
    root = open_i(tmp_path)
    cohort = read_cohort("open-i", root, classes={"Heart": ["cardiomegaly"]}, views="all", sections="impression")
    assert cohort.labels.groups.tolist() == ["1", "1", "3"]
    assert cohort.labels.columns["projection"].tolist() == ["Frontal", "Lateral", "Frontal"]
    same(cohort.labels.values, [[0], [0], [NAN]])
    without = read_cohort("open-i", root, reports=False)
    assert without.labels.groups.tolist() == ["1", "2", "3", "4"]
    with pytest.raises(UnknownNameError, match="nearest: Cardiomegaly"):
        read_cohort("open-i", root, classes=["Cardiomegalie"])


# files


def test_figures_of_one_article_stay_together(tmp_path):
    read = read_cohort("pmc-oa", pmc_oa(tmp_path))
    assert read.labels.groups.tolist() == ["PMC212319", "PMC212319", "PMC999"]
    assert list(read.texts) == ["Membrane, real time.", "The same, later.", "CT of the chest."]
    assert read.split is None
    (tmp_path / "some.jsonl").write_text((tmp_path / "pmc_oa.jsonl").read_text().splitlines()[0] + "\n")
    assert len(read_cohort("pmc-oa", tmp_path, table="some.jsonl")) == 1
    for content, says in (
        ("{", "line 1, is no JSON"),
        ('{"image": "a.jpg"}', "has no column 'caption'"),
        ("", "is empty"),
        ("\udcff", "is not UTF-8"),
    ):
        (tmp_path / "some.jsonl").write_bytes(content.encode(errors="surrogateescape"))
        with pytest.raises(DataError, match=says):
            read_cohort("pmc-oa", tmp_path, table="some.jsonl")


def test_both_rocos_have_splits_captions_and_articles(tmp_path):
    second = read_cohort("roco", roco(tmp_path / "two"))
    assert second.name == "ROCOv2"
    assert second.split.tolist() == ["train"] * 3 + ["val", "test"]
    assert second.labels.groups.tolist() == ["PMCtrain0", "PMCtrain0", "PMCtrain1", "PMCvalid0", "PMCtest0"]
    licences = tmp_path / "two" / "license_information.csv"
    lines = licences.read_text().splitlines()
    licences.write_text("\n".join([lines[0], *lines[2:]]) + "\n")  # an image of which no article is told
    groups = read_cohort("roco", tmp_path / "two").labels.groups.tolist()
    assert groups[:3] == ["ROCOv2_2023_train_000001", "PMCtrain0", "PMCtrain1"]
    licences.unlink()
    assert read_cohort("roco", tmp_path / "two").labels.groups is None
    first = read_cohort("roco", first_roco(tmp_path / "one"))
    assert first.name == "ROCO"
    assert first.split.tolist() == ["train", "train", "val", "val", "test", "test"]
    assert first.texts.values[0] == "Axial CT showing the left sinus"  # a caption of two lines
    assert first.labels.groups.tolist() == ["PMC2", "PMC2", "PMC9", "PMC9", "PMC20", "PMC20"]
    with pytest.raises(DataError, match=r"neither train_captions\.csv .* nor train/radiology/captions\.txt"):
        read_cohort("roco", tmp_path)


def test_an_image_of_quilt_with_several_captions_is_one_group(tmp_path):
    read = read_cohort("quilt", quilt(tmp_path))
    assert read.images.ids.tolist() == ["v1_001.jpg", "v1_001.jpg#2", "o_7.png"]
    assert read.labels.groups.tolist() == ["v1_001.jpg", "v1_001.jpg", "o_7.png"]
    assert read.split.tolist() == ["train", "train", "val"]
    picture(tmp_path / "quilt_1m" / "o_7.jpg")  # another image of the same stem
    assert read_cohort("quilt", tmp_path).images.values[2].name == "o_7.png"
    some = read_cohort("quilt", tmp_path, subsets="openpath")
    assert some.images.ids.tolist() == ["o_7.png"]
    assert some.card["left_out"] == {"other subset": 3}
    with pytest.raises(UnknownNameError, match="subset of Quilt-1M is called 'pubmet'; nearest: pubmed"):
        read_cohort("quilt", tmp_path, subsets=["quilt", "pubmet"])


def test_many_files_are_asked_for_in_turn(tmp_path):
    (tmp_path / "there").touch()
    paths = [str(tmp_path / ("there" if row % 3 else "absent")) for row in range(5000)]
    assert files_there(paths).tolist() == [row % 3 > 0 for row in range(5000)]


# real data


@pytest.mark.real
def test_real_chest_films_are_a_cohort_by_their_manifest(real_data):
    findings = list(read_prompts("nih14").classes)
    cohort = read_cohort(
        "table", real_data / "cxr_nih", text="text", classes=findings, columns=["age", "sex", "view"], split="split"
    )
    assert len(cohort) == 978
    assert len(set(cohort.labels.groups.tolist())) == cohort.card["counts"]["patients"] == 782
    assert (len(cohort.part("train")), len(cohort.part("test"))) == (730, 248)
    assert cohort.card["left_out"] == {}
    assert not set(cohort.part("train").labels.groups.tolist()) & set(cohort.part("test").labels.groups.tolist())
    assert np.isfinite(cohort.labels.columns["age"]).all()
    anchors = cohort.anchors()
    assert (anchors.source_items.modality, anchors.target_items.modality) == ("image", "text")
    cohort.images.values[0].stat()


@pytest.mark.real
def test_real_reports_are_a_cohort_of_texts_by_their_manifest(real_data):
    cohort = read_cohort(
        "table", real_data / "reports_iu", id="uid", image="findings", modality="text", text="impression",
        classes=["Normal", "Cardiomegaly", "Effusion"], split="split",
    )  # fmt: skip
    left_out = cohort.card["left_out"]
    assert len(cohort) == 2473 - sum(left_out.values())
    assert left_out == {"empty report": 6, "empty item": 320}
    assert set(cohort.split.tolist()) == {"train", "test"}
    assert len(cohort.part("test").anchors()) > 500
    with pytest.raises(DataError, match="2473 of 2473 are missing"):
        read_cohort("table", real_data / "reports_iu", image="uid", classes=["Normal"])


# one image in two rows, of which one would be left out

PADCHEST_FILE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
MIMIC_FILE = "mimic-cxr-2.0.0-metadata.csv.gz"
DIVIDED = {  # builder, table, row that is repeated, cell before and after, column of the error
    "mimic-cxr": (mimic_cxr, MIMIC_FILE, "aa", "PA", "LATERAL", "ViewPosition"),
    "mimic-cxr, lateral first": (mimic_cxr, MIMIC_FILE, "bb", "LATERAL", "PA", "ViewPosition"),
    "mimic-cxr, both frontal": (mimic_cxr, MIMIC_FILE, "cc", "AP", "PA", "ViewPosition"),
    "mimic-cxr, no view": (mimic_cxr, MIMIC_FILE, "cc", "AP", "", "dicom_id"),
    "mimic-cxr, both left out": (mimic_cxr, MIMIC_FILE, "bb", "LATERAL", "LL", "ViewPosition"),
    "chexpert": (chexpert, "CheXpert-v1.0-small/train.csv", "view2_", ",Lateral,", ",Frontal,", "Frontal/Lateral"),
    "chexpert, no view": (chexpert, "CheXpert-v1.0-small/train.csv", "patient00002", ",Frontal,", ",,", "Path"),
    "padchest": (padchest, PADCHEST_FILE, "14_d.png", ",L,", ",PA,", "Projection"),
    "padchest, no report": (padchest, PADCHEST_FILE, "11_a.png", "sin hallazg", "", "ImageID"),
    "open-i": (open_i, "indiana_projections.csv", "1_IM-0001-3001", "Lateral", "Frontal", "projection"),
    "open-i, no report": (open_i, "indiana_projections.csv", "1_IM-0001-4001", "1,1_IM", "5,1_IM", "filename"),
    "open-i, empty report": (open_i, "indiana_projections.csv", "1_IM-0001-4001", "1,1_IM", "4,1_IM", "filename"),
}


def repeated(path, word, before, after):
    """Append the row that holds ``word`` again, with one cell changed; the numbers of both rows."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt") as file:
        lines = file.read().splitlines()
    place = next(number for number, line in enumerate(lines) if word in line)
    assert lines[place].count(before) == 1
    write(path, *lines, lines[place].replace(before, after))
    return place + 1, len(lines) + 1


@pytest.mark.parametrize("missing", ["error", "skip"])
@pytest.mark.parametrize("case", DIVIDED)
def test_contradicting_rows_of_one_image_are_refused_with_both_rows(tmp_path, case, missing):
    build, name, word, before, after, column = DIVIDED[case]
    first, second = repeated(build(tmp_path) / name, word, before, after)
    layout = case.partition(",")[0]
    with pytest.raises(DataError) as raised:
        read_cohort(layout, tmp_path, uncertain="ignore", missing=missing)
    assert f"column '{column}'" in str(raised.value)
    assert set(re.findall(r"row (\d+)", str(raised.value))) == {str(first), str(second)}


def test_rows_that_agree_are_left_out_together(tmp_path):
    path = mimic_cxr(tmp_path) / MIMIC_FILE
    repeated(path, "bb", "LATERAL", "LATERAL")
    assert read_cohort("mimic-cxr", tmp_path, uncertain="ignore").card["left_out"]["other view"] == 2


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_setting_of_a_reader_is_of_a_type_that_is_checked(layout, tmp_path):
    module, name = LAYOUTS[layout].split(":")
    parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters.values()
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY:
            with pytest.raises(InputError, match=f"the setting '{one.name}' of the layout '{layout}' is .*got 0.5"):
                read_cohort(layout, tmp_path, **{one.name: 0.5})
