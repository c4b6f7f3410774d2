"""Prompt sets: the shipped ones, and files of one's own."""

import json

import pytest

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.datasets import prompt_sets
from stitchkit.datasets.prompt_sets import prompt_set_names, read_prompts, subset


def written(folder, text, name="mine.toml"):
    (folder / name).write_text(text, "utf-8")
    return folder / name


@pytest.mark.parametrize("name", prompt_set_names())
def test_every_shipped_set_reads_and_is_its_own_card(name):
    prompts = read_prompts(name)
    assert prompts.name == name
    for key in ("modality", "source", "licence", "description"):
        assert prompts.card[key]
    for texts in (*prompts.positive.values(), *prompts.negative.values()):
        assert len(set(texts)) == len(texts)
        assert not any("{" in text for text in texts)
    for label in prompts.negative:
        assert not set(prompts.positive[label]) & set(prompts.negative[label])


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
