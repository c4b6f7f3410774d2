"""Tables that people have: words for a missing value, slips among labels, other forms of files, contradictions."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import os
import threading

import numpy as np
import pytest
from PIL import Image
from published_copies import MIMIC_CHEXPERT, mimic_cxr, row, rsna, write

import stitchkit as sk
from stitchkit.core.errors import DataError
from stitchkit.datasets.cohorts import read_cohort
from stitchkit.datasets.layouts.chexpert import HEADER
from stitchkit.datasets.layouts.report_sections import sections_of
from stitchkit.datasets.rows import read_rows
from stitchkit.datasets.tables import read_anchors, read_items
from stitchkit.storage.toml_files import read_toml

WORDS = ("", "nan", "NaN", "NA", "N/A", "<NA>", "None", "null", "unknown", "?", "-", " NULL ", "missing")


@pytest.fixture
def films(tmp_path):
    for name in ("a", "b", "c", "d"):
        Image.new("L", (8, 8)).save(tmp_path / f"{name}.png")
    return tmp_path


def table(folder, text, name="t.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# words for a missing value


@pytest.mark.parametrize("word", WORDS)
def test_a_word_for_a_missing_text_is_no_text(films, word):
    path = table(films, f"path,text\na.png,Clear lungs.\nb.png,{word}\nc.png,Edema.\n")
    with pytest.warns(UserWarning, match=r"1 of 3 rows of .* no text in column 'text', the first is row 3"):
        anchors = read_anchors(path)
    assert list(anchors.target_items) == ["Clear lungs.", "Edema."]
    assert anchors.ids.tolist() == ["a.png", "c.png"]
    assert anchors.card["left_out"] == {"no text": 1}
    with pytest.warns(UserWarning, match="no text in column 'text'"):
        assert read_items(path, column="text").ids.tolist() == ["a.png", "c.png"]
    cohort = read_cohort("table", films, table="t.csv", text="text", classes=[])
    assert (len(cohort), cohort.card["left_out"]) == (2, {"empty report": 1})


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("column", ["id", "path", "patient"])
def test_a_word_for_a_missing_name_is_refused_by_row(films, word, column):
    rows = {"id": ["1", "2"], "path": ["a.png", "b.png"], "patient": ["p", "q"], "text": ["one", "two"]}
    rows[column][1] = word
    lines = [",".join(rows), *(",".join(cells) for cells in zip(*rows.values(), strict=True))]
    with pytest.raises(DataError, match=f"row 3, column '{column}': the cell is empty"):
        read_anchors(table(films, "\n".join(lines) + "\n"))


@pytest.mark.parametrize("word", WORDS)
def test_a_word_for_a_missing_label_is_a_blank(tmp_path, word):
    labels = sk.read_labels(table(tmp_path, f"id,Edema,age\n1,1,50\n2,{word},{word}\n3,0,61\n"), columns=["age"])
    assert labels.classes == ("Edema",)
    np.testing.assert_array_equal(labels.values[:, 0], [1, np.nan, 0])
    np.testing.assert_array_equal(labels.columns["age"], [50, np.nan, 61])
    path = table(tmp_path, f"id,label\n1,Mass\n2,{word}\n3,Edema\n", "u.csv")
    with contextlib.nullcontext() if not word.strip() else pytest.warns(UserWarning, match="1 cell of column 'label'"):
        named = sk.read_labels(path, label="label")
    assert named.classes == ("Edema", "Mass")
    assert np.isnan(named.values[1]).all()


def test_a_class_that_is_named_by_the_caller_may_be_called_none(tmp_path):
    path = table(tmp_path, "id,grade\n1,None\n2,Mild\n3,\n")
    labels = sk.read_labels(path, label="grade", classes=["None", "Mild"])
    np.testing.assert_array_equal(labels.values, [[1, 0], [0, 1], [np.nan, np.nan]])


def test_a_table_without_any_text_is_refused(films):
    with pytest.raises(DataError, match=r"no row of .* has a text in column 'text'"):
        read_anchors(table(films, "path,text\na.png,nan\nb.png,\n"))


# slips among labels


def labels_with(tmp_path, cells, name="Mass"):
    with (tmp_path / "l.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "Edema", name], *([k, k % 2, cell] for k, cell in enumerate(cells))])
    return sk.read_labels(tmp_path / "l.csv").classes


@pytest.mark.parametrize("slip", ["2", "9", "-2", "-9", "99", "O", "l", "yes", "0,5", "10", "1.5", "01.01"])
def test_one_slip_among_labels_is_refused_by_row_and_column(tmp_path, slip):
    cells = [str(k // 2 % 2) for k in range(200)]
    cells[57] = slip
    with pytest.raises(DataError, match="row 59, column 'Mass': the cell is no label but stands among labels"):
        labels_with(tmp_path, cells)


@pytest.mark.parametrize("code", ["9", "-9", "99", "3"])
def test_a_code_for_unknown_among_labels_is_refused(tmp_path, code):
    with pytest.raises(DataError, match="column 'Mass': the cell is no label"):
        labels_with(tmp_path, [code if k % 4 == 0 else str(k % 2) for k in range(200)])


OTHERS = {
    "ages": [str(k % 90) for k in range(200)],
    "an index": [str(k) for k in range(200)],
    "a short index": ["0", "1", "2"],
    "shares": [f"{k / 199:.3f}" for k in range(200)],
    "words": ["M" if k % 2 else "F" for k in range(200)],
}
COUNTS = {
    "grades": [str(k % 3) for k in range(200)],
    "counts": [str([0, 0, 0, 1, 1, 2, 3, 5][k % 8]) for k in range(200)],
}


@pytest.mark.parametrize("what", OTHERS)
def test_columns_of_other_things_are_left_out(tmp_path, what):
    assert labels_with(tmp_path, OTHERS[what]) == ("Edema",)


@pytest.mark.parametrize("what", COUNTS)
def test_columns_of_grades_and_counts_are_left_out_with_a_word(tmp_path, what):
    with pytest.warns(UserWarning, match=r"the columns 'Mass' of .* hold 0 and 1 and other numbers"):
        assert labels_with(tmp_path, COUNTS[what]) == ("Edema",)


@pytest.mark.parametrize("share", [0.06, 0.1])
def test_a_few_slips_are_refused_too(tmp_path, share):
    cells = ["2" if k < 200 * share else str(k % 2) for k in range(200)]
    with pytest.raises(DataError, match="column 'Mass': the cell is no label"):
        labels_with(tmp_path, cells)


# other forms of files


def test_json_lines_are_a_table(films):
    lines = [
        {"path": "a.png", "text": "No effusion.", "patient": 7, "Edema": 1},
        {"path": "b.png", "text": "Line one\nand two", "patient": 8, "Edema": False},
        {"path": "c.png", "text": "Mass \u00e4.", "patient": 8, "Edema": None},
    ]
    path = table(films, "\n".join(json.dumps(one) for one in lines) + "\n\n", "t.jsonl")
    anchors = read_anchors(path)
    assert list(anchors.target_items) == ["No effusion.", "Line one\nand two", "Mass \u00e4."]
    assert anchors.groups.tolist() == ["7", "8", "8"]
    assert list(read_items(path, modality="text")) == list(anchors.target_items)
    np.testing.assert_array_equal(sk.read_labels(path).values[:, 0], [1, 0, np.nan])


@pytest.mark.parametrize(
    ("content", "says"),
    [('{"text": "a"}\n{"text": ', "line 2, is no JSON"), ('["a"]\n', "line 1, is no JSON object"),
     ('{"text": "a", "text": "b"}\n', "stands twice"), ("{}\n", "has no columns"), ("[" * 9999, "is no JSON")],
)  # fmt: skip
def test_broken_json_lines_are_refused_by_line(tmp_path, content, says):
    with pytest.raises(DataError, match=says):
        read_items(table(tmp_path, content, "t.jsonl"), column="text")


@pytest.mark.parametrize("name", ["notes.md", "run.log", "a.json", "reports", "reports.xml", "a.docx"])
def test_files_of_unknown_kinds_are_refused(tmp_path, name):
    with pytest.raises(DataError, match=r"is no table .* no list of lines"):
        read_items(table(tmp_path, "one\ntwo\n", name))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_any_way(tmp_path, end):
    texts = ["No effusion.", "Edema\u2028here.", "Mass."]
    assert list(read_items(table(tmp_path, end.join(texts) + end, "a.txt"))) == texts
    assert list(read_items(table(tmp_path, end.join(["text", *texts]) + end))) == texts


@pytest.mark.parametrize("mark", ["sep=,", "SEP=;", "sep=\t", "sep=|"])
def test_a_first_line_that_says_the_separator_is_obeyed(films, mark):
    separator = mark[-1]
    path = table(films, f"{mark}\r\npath{separator}text\r\na.png{separator}one\r\n")
    assert list(read_anchors(path).target_items) == ["one"]


def test_two_byte_order_marks_are_none(films):
    path = table(films, b"\xef\xbb\xbf\xef\xbb\xbfpath,text\na.png,b\n")
    assert read_rows(path).columns == ("path", "text")


def test_long_reports_are_read_and_the_limit_of_csv_stays_as_it_was(films):
    before = csv.field_size_limit()
    path = table(films, 'path,text\na.png,"' + "word " * 60_000 + '"\n')
    assert len(read_anchors(path).target_items.values[0]) == 299_999
    assert csv.field_size_limit() == before


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    failed = []

    def read():
        with pytest.raises(DataError, match="is a pipe or a device"):
            read_rows(tmp_path / "pipe.csv")
        failed.append(False)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(60)
    assert failed == [False]


def test_a_header_of_a_hundred_thousand_columns_is_read(tmp_path):
    names = [f"c{k}" for k in range(100_000)]
    path = table(tmp_path, ",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
    assert read_rows(path).column("c99999") == ("1",)
    with pytest.raises(DataError, match="has no column 'path'"):
        read_rows(path).require("path")


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = 1e400\nb = " + "9" * 5000, "a = 2020-13-45"])
def test_absurd_toml_is_refused(tmp_path, text):
    with pytest.raises(DataError, match="cannot be parsed"):
        read_toml(table(tmp_path, text, "a.toml"))


# folders


def test_what_is_passed_over_in_a_folder_is_counted(films):
    (films / "x.gif").write_bytes(b"GIF89a")
    (films / "y.webp").write_bytes(b"RIFF....WEBP")
    (films / "z.webp").write_bytes(b"RIFF....WEBP")
    (films / "notes.txt").write_text("mine")
    (films / ".hidden").mkdir()
    with pytest.warns(UserWarning, match=r"1 are \.gif, 2 are \.webp; these are not read"):
        assert len(read_items(films)) == 4


def test_linked_folders_are_counted(films, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    Image.new("L", (8, 8)).save(other / "far.png")
    (films / "link").symlink_to(other)
    with pytest.warns(UserWarning, match="1 linked folder in .* was not entered"):
        assert len(read_items(films)) == 4


def test_a_folder_of_images_of_another_kind_says_so(tmp_path):
    (tmp_path / "a.webp").write_bytes(b"RIFF....WEBP")
    with pytest.raises(DataError, match=r"no images .* 1 are \.webp, which are not read: convert them to PNG"):
        read_items(tmp_path)


@pytest.mark.parametrize("names", [("p.jpg", "p.png"), ("p.png", "p.tif"), ("p.JPG", "p.jpeg")])
def test_a_name_without_suffix_that_fits_two_files_is_refused(tmp_path, names):
    (tmp_path / "images").mkdir()
    for name in (*names, "q.jpg"):
        Image.new("L", (8, 8)).save(tmp_path / "images" / name, format="PNG")
    lines = [{"image": names[0], "caption": "one"}, {"image": names[1], "caption": "two"}]
    write_lines(tmp_path, [*lines, {"image": "q", "caption": "three"}])
    read = read_cohort("pmc-oa", tmp_path)
    assert [(path.name, text) for path, text in zip(read.images.values, read.texts.values, strict=True)] == [
        (names[0], "one"), (names[1], "two"), ("q.jpg", "three"),
    ]  # fmt: skip
    write_lines(tmp_path, [*lines, {"image": "p", "caption": "four"}])
    with pytest.raises(DataError, match=r"line 3|row 3.*'p' may be p\..* or p\..*Write the suffix"):
        read_cohort("pmc-oa", tmp_path)


def write_lines(folder, lines):
    (folder / "pmc_oa.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))


def test_captions_that_are_null_are_left_out_and_counted(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.jpg"):
        Image.new("L", (8, 8)).save(tmp_path / "images" / name)
    write_lines(tmp_path, [{"image": "a.jpg", "caption": None}, {"image": "b.jpg", "caption": "x"}])
    read = read_cohort("pmc-oa", tmp_path)
    assert (list(read.texts), read.card["left_out"]) == (["x"], {"empty caption": 1})


# reports


@pytest.mark.parametrize(
    ("report", "text"),
    [
        ("FINDINGS:\n LUNGS: Opacity.\n HEART: Enlarged.\n IMPRESSION: See above.", "LUNGS: Opacity. HEART: Enlarged."),
        ("FINDINGS: Lines\n ET: 3 cm.\n NG: in place.\n Lungs: clear.\n IMPRESSION: -", "Lines ET: 3 cm. NG: in place. "
         "Lungs: clear."),
        ("FINDINGS: a\n PICC LINE: b\n RECOMMENDATION(S): c\n NOTIFICATION: d", "a PICC LINE: b"),
        ("FINDINGS: a\n NOTE: b\n COMPARISON STUDIES: c", "a NOTE: b"),
        ("EXAMINATION: x\n INDICATION AND HISTORY: y\n FINDINGS, PA AND LATERAL: a\n TECHNIQUE: z", "a"),
        ("FINDINGS\n a\nIMPRESSION\n b", "a"),
        ("FINDINGS: a\n CONTRAST: b\n COMPARISON TO PRIOR: c\n CLINICAL CORRELATION ADVISED: d", "a CONTRAST: b "
         "COMPARISON TO PRIOR: c CLINICAL CORRELATION ADVISED: d"),
        ("FINAL REPORT FINDINGS: a\n HISTORY & INDICATION: b", "a"),
    ],
)  # fmt: skip
def test_capitals_inside_a_section_stay_in_the_text(report, text):
    assert sections_of(report, ["findings"]) == text


def test_every_reason_for_a_film_without_text_is_counted(tmp_path):
    root = mimic_cxr(tmp_path)
    (root / "files/p10/p10000032/s50414267.txt").write_text("FINDINGS:\n IMPRESSION:\n")
    read = read_cohort("mimic-cxr", root, uncertain="ignore")
    assert read.card["left_out"]["empty section"] == 1


# contradictions of published tables


def test_label_rows_of_one_study_that_differ_are_refused_with_both_rows(tmp_path):
    root = mimic_cxr(tmp_path)
    lines = [row(MIMIC_CHEXPERT, subject_id="10000032", study_id="50414267", Edema=value) for value in ("0.0", "1.0")]
    rest = [row(MIMIC_CHEXPERT, study_id=study) for study in ("53189527", "51029426", "52000000")]
    name = root / "mimic-cxr-2.0.0-chexpert.csv.gz"
    write(name, MIMIC_CHEXPERT, *lines, *rest)
    with pytest.raises(DataError, match="row 3, column 'Edema': another value than in row 2, which has the same study"):
        read_cohort("mimic-cxr", root, reports=False)
    write(name, MIMIC_CHEXPERT, lines[0], lines[0], *rest)
    assert read_cohort("mimic-cxr", root, reports=False).card["repeated rows"] == 1


META, SPLITS, FINDINGS = (f"mimic-cxr-2.0.0-{name}" for name in ("metadata.csv.gz", "split.csv", "chexpert.csv.gz"))


def changed(path, line, old, new):
    """One line of a table, the header being line 1, with other text in it."""
    raw = path.read_bytes()
    lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().splitlines()
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new)
    write(path, *lines)


@pytest.mark.parametrize(
    ("table", "line", "old", "new", "says"),
    [
        (META, 3, "10000032", "10000033", rf"{META}, row 3, column 'subject_id': another value than in row 2, "),
        (META, 5, "11000011", "10000032", rf"{FINDINGS}, row 4, column 'subject_id': .* row 5 of .*{META}, .*study_id"),
        (META, 7, "12000012", "99", rf"{SPLITS}, row 7, column 'subject_id': .* row 7 of .*{META}, .*study_id"),
        (FINDINGS, 3, "10000032", "10000033", rf"{FINDINGS}, row 3, column 'subject_id': .* row 2 of .*{META}"),
        (SPLITS, 4, "10000032", "7", rf"{SPLITS}, row 4, column 'subject_id': .* row 4 of .*{META}"),
        (SPLITS, 3, "50414267", "50414268", rf"{SPLITS}, row 3, column 'study_id': .* row 3 of .*{META}, .*dicom_id"),
        (SPLITS, 7, "53000000,12000012", ",12000013", rf"{SPLITS}, row 7, column 'subject_id': .*{META}, .*dicom_id"),
    ],
)  # fmt: skip
def test_tables_of_mimic_that_give_a_study_or_film_to_two_patients_are_refused_with_both_rows(
    tmp_path, table, line, old, new, says
):
    root = mimic_cxr(tmp_path)
    changed(root / table, line, old, new)
    for settings in ({}, {"views": "all"}):  # a lateral film is compared too
        with pytest.raises(DataError, match=says):
            read_cohort("mimic-cxr", root, reports=False, uncertain="ignore", **settings)


@pytest.mark.parametrize(("table", "line"), [(META, 4), (SPLITS, 4), (FINDINGS, 2)])
def test_a_patient_of_mimic_written_as_a_fraction_or_not_at_all_is_no_contradiction(tmp_path, table, line):
    root = mimic_cxr(tmp_path)
    changed(root / table, line, "10000032", "10000032.0")
    whole = read_cohort("mimic-cxr", root, reports=False, uncertain="ignore")
    assert whole.labels.groups.tolist()[:2] == ["10000032", "10000032"]
    if table != META:
        changed(root / table, line, "10000032.0", "")
        blank = read_cohort("mimic-cxr", root, reports=False, uncertain="ignore")
        assert blank.labels.groups.tolist() == whole.labels.groups.tolist()


BOXES, KINDS = "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"


@pytest.mark.parametrize(
    ("table", "lines", "old", "new", "says"),
    [
        (BOXES, [2], ",0", ",1", rf"{BOXES}, row 2, column 'Target': the cell is 1, and row 2 of .*{KINDS} says 'No "),
        (BOXES, [5], ",0", ",1", rf"{BOXES}, row 5, .*'Target': the cell is 1, and row 5 of .*{KINDS} says 'Normal'"),
        (BOXES, [3, 4], ",1", ",0", rf"{BOXES}, row 3, .* the cell is 0, and row 3 of .*{KINDS} says 'Lung Opacity'"),
        (KINDS, [3, 4], "Lung Opacity", "Normal", rf"{BOXES}, row 3, .* the cell is 1, and row 3 of .* says 'Normal'"),
        (KINDS, [5], "Normal", "Lung Opacity", rf"{BOXES}, row 5, .* is 0, and row 5 of .* says 'Lung Opacity'"),
    ],
)  # fmt: skip
def test_a_target_of_rsna_that_contradicts_the_class_is_refused_with_both_rows(tmp_path, table, lines, old, new, says):
    root = rsna(tmp_path)
    for line in lines:
        path = root / table
        text = path.read_text().splitlines()
        text[line - 1] = text[line - 1].removesuffix(old) + new
        write(path, *text)
    with pytest.raises(DataError, match=says):
        read_cohort("rsna", root)


def test_a_film_in_two_splits_and_a_blank_split_are_refused(tmp_path):
    root = mimic_cxr(tmp_path)
    path = root / "mimic-cxr-2.0.0-split.csv"
    good = path.read_text()
    path.write_text(good + "aa,50414267,10000032,test\n")
    with pytest.raises(DataError, match="row 8, column 'split': another value than in row 2"):
        read_cohort("mimic-cxr", root, uncertain="ignore", reports=False)
    path.write_text(good.replace("cc,53189527,10000032,train", "cc,53189527,10000032,"))
    with pytest.raises(DataError, match="row 4, column 'split': the cell is empty"):
        read_cohort("mimic-cxr", root, uncertain="ignore", reports=False)


def test_patients_in_several_splits_are_counted(tmp_path):
    root = mimic_cxr(tmp_path)
    path = root / "mimic-cxr-2.0.0-split.csv"
    assert (
        read_cohort("mimic-cxr", root, uncertain="ignore", reports=False).card["counts"]
        | {"patients in several splits": 1}
        == read_cohort("mimic-cxr", root, uncertain="ignore", reports=False).card["counts"]
    )
    path.write_text(path.read_text().replace("ee,52000000,11000011,test", "ee,52000000,11000011,validate"))
    assert (
        "patients in several splits"
        not in read_cohort("mimic-cxr", root, uncertain="ignore", reports=False).card["counts"]
    )


def test_ids_as_floats_are_the_same_ids(tmp_path):
    root = mimic_cxr(tmp_path)
    before = read_cohort("mimic-cxr", root, uncertain="ignore")
    path = root / "mimic-cxr-2.0.0-split.csv"
    name = root / "mimic-cxr-2.0.0-chexpert.csv.gz"
    rows = read_rows_of(name)
    write(name, MIMIC_CHEXPERT, *(",".join([f"{one[0]}.0", f"{one[1]}.0", *one[2:]]) for one in rows[1:]))
    assert path.exists()
    assert read_cohort("mimic-cxr", root, uncertain="ignore").images.ids.tolist() == before.images.ids.tolist()


def read_rows_of(path):
    import gzip

    return list(csv.reader(gzip.open(path, "rt")))


@pytest.mark.parametrize(("cell", "value"), [("NaN", np.nan), ("1.00", 1), ("True", 1), ("FALSE", 0), ("0", 0),
                                             ("N/A", np.nan), ("1e0", 1)])  # fmt: skip
def test_labels_of_published_sets_are_spelled_as_in_any_table(tmp_path, cell, value):
    film = "train/patient00001/study1/view1_frontal.jpg"
    (tmp_path / film).parent.mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / film)
    (tmp_path / "train.csv").write_text(f"{HEADER}\nCheXpert-v1.0-small/{film},Male,68,Frontal,AP,{cell}{',' * 13}\n")
    np.testing.assert_equal(read_cohort("chexpert", tmp_path).labels.values[0, 0], value)


def test_chexpert_is_read_from_the_folders_it_is_downloaded_in(tmp_path):
    names = {1: "batch 1 (validate & csv)", 2: "batch 2 (train 1)", 3: "batch 3 (train 2)", 4: "batch 4 (train 3)"}
    batches = {k: tmp_path / f"CheXpert-v1.0 {name}" for k, name in names.items()}
    films = {"train/patient00001": 2, "train/patient00002": 3, "train/patient00003": 4, "valid/patient64541": 1}
    lines: dict[str, list[str]] = {"train": [], "valid": []}
    for one, batch in films.items():
        part, patient = one.split("/")
        place = batches[batch] / (one if batch in (1, 4) else patient) / "study1"
        place.mkdir(parents=True)
        Image.new("L", (8, 8)).save(place / "view1_frontal.jpg")
        lines[part].append(f"CheXpert-v1.0/{one}/study1/view1_frontal.jpg,Male,68,Frontal,AP,1{',' * 13}")
    for part, cells in lines.items():
        (batches[1] / f"{part}.csv").write_text("\n".join([HEADER, *cells]) + "\n")
    read = read_cohort("chexpert", tmp_path)
    assert read.labels.groups.tolist() == ["patient00001", "patient00002", "patient00003", "patient64541"]
    assert all(path.is_file() for path in read.images.values)
