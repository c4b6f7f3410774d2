"""The grammar of prompts: combinations against a literal loop, tidy texts, a limit, and faults that name themselves."""

import itertools

import pytest

from stitchkit.core.errors import DataError
from stitchkit.datasets.prompt_grammar import MOST_TEXTS, slots_in, spell_out
from stitchkit.datasets.prompt_sets import read_prompts


def written(folder, text, name="mine.toml"):
    (folder / name).write_text(text, "utf-8")
    return folder / name


ATELECTASIS = """
severity = ["", "mild", "severe"]
[classes.Atelectasis]
subtype = ["", "linear"]
location = ["", "at the bases", "in the left lung"]
positive = ["{severity} {subtype} atelectasis {location}."]
negative = ["No atelectasis."]
"""


def test_every_combination_is_spelled_out_once_in_the_order_of_the_file(tmp_path):
    found = read_prompts(written(tmp_path, ATELECTASIS)).positive["Atelectasis"]
    literal = []
    for severity in ("", "mild", "severe"):
        for subtype in ("", "linear"):
            for location in ("", "at the bases", "in the left lung"):
                words = [word for word in (severity, subtype, "atelectasis", location) if word]
                sentence = " ".join(words) + "."
                literal.append(sentence[0].upper() + sentence[1:])
    assert found == tuple(literal)
    assert len(set(found)) == 18


def test_texts_do_not_depend_on_the_order_of_the_lists(tmp_path):
    lines = ATELECTASIS.split("\n")
    lines[3], lines[4] = lines[4], lines[3]
    assert read_prompts(written(tmp_path, "\n".join(lines))).positive == read_prompts(
        written(tmp_path, ATELECTASIS, "other.toml")
    ).positive  # fmt: skip


def test_a_list_of_the_class_goes_before_one_of_the_file(tmp_path):
    text = "severity = ['mild']\n[classes.a]\npositive = ['{severity} a']\n[classes.b]\nseverity = ['acute', 'old']\n"
    prompts = read_prompts(written(tmp_path, text + "positive = ['{severity} b']\n"))
    assert prompts.positive == {"a": ("mild a",), "b": ("acute b", "old b")}


def test_named_slots_stand_beside_the_words_of_a_class_and_in_shared_texts(tmp_path):
    prompts = read_prompts(
        written(
            tmp_path,
            """
            templates = ["{size} {} {side}."]
            negative = ["No {} {side}."]
            size = ["", "large"]
            side = ["on the left"]
            [classes.Effusion]
            words = ["effusion", "pleural fluid"]
            [classes.Other]
            positive = ["{size} something."]
            """,
        )
    )
    assert prompts.positive["Effusion"] == (
        "Effusion on the left.", "Pleural fluid on the left.", "Large effusion on the left.",
        "Large pleural fluid on the left.",
    )  # fmt: skip
    assert prompts.negative["Effusion"] == ("No effusion on the left.", "No pleural fluid on the left.")
    assert prompts.positive["Other"] == ("Something.", "Large something.")
    assert prompts.negative["Other"] == ("No Other on the left.",)


def test_slots_are_filled_in_json_too(tmp_path):
    text = '{"a": {"positive": ["{size} mass"], "size": ["small", ""]}}'
    assert read_prompts(written(tmp_path, text, "mine.json")).positive["a"] == ("small mass", "mass")


@pytest.mark.parametrize(
    ("template", "word", "says"),
    [
        ("{x} edema.", "", "Edema."),
        ("{x} edema", "", "edema"),
        ("{x} edema", "mild", "mild edema"),
        ("opacity {x}.", "", "Opacity."),
        ("Opacity, {x}, unchanged.", "", "Opacity, unchanged."),
        ("Opacity, {x}.", "", "Opacity."),
        ("{x}, patchy opacity.", "", "Patchy opacity."),
        ("Cardiomegaly {x}.", ", unchanged", "Cardiomegaly, unchanged."),
        ("Depth of {x} .5 mm.", "about", "Depth of about .5 mm."),
        ("Is there {x}  edema ?", "  any ", "Is there any edema ?"),
        ("pH {x} edema.", "and", "PH and edema."),
        ("{x} or {x}.", "mild", "Mild or mild."),
    ],
)
def test_an_empty_word_leaves_no_trace(template, word, says):
    assert spell_out([template], {"x": [word]}, "it") == (says,)


def test_a_text_without_named_slots_is_left_as_it_stands():
    texts = ["a  mass , left alone.", "{} is seen ."]
    assert spell_out(texts, {"": ["a lump"]}, "it") == ("a  mass , left alone.", "a lump is seen .")


def test_a_word_is_filled_in_and_not_read_as_a_template():
    words = {"": ["{x}"], "x": ["edema"]}
    with pytest.raises(DataError, match="brace that belongs to no slot"):
        spell_out(["{} and {x}"], words, "it")


def test_slots_are_named_once_in_order():
    assert slots_in(["{b} {a} {b}", "{} {c_1}", "no slot"]) == ("b", "a", "", "c_1")


def test_as_many_texts_as_allowed_are_spelled_out_and_one_more_is_refused_before_any():
    side = [str(i) for i in range(10)]
    assert len(spell_out(["{a}{b}{c}"], dict.fromkeys("abc", side), "it")) == MOST_TEXTS == 1000
    with pytest.raises(DataError, match="texts of class 'X' spell out 1,100 texts; at most 1,000"):
        spell_out(["{a}{b}{c}"], {"a": [*side, "more"], "b": side, "c": side}, "texts of class 'X'")
    with pytest.raises(DataError, match="1,000,000,000,000,000,000,000,000,000,000 texts"):
        spell_out(["".join(f"{{s{i}}}" for i in range(30))], {f"s{i}": side for i in range(30)}, "it")


def test_texts_that_somebody_wrote_out_are_not_limited():
    assert len(spell_out([f"text {i}" for i in range(2 * MOST_TEXTS)], {}, "it")) == 2 * MOST_TEXTS


def test_the_limit_names_the_class_and_the_file(tmp_path):
    words = [f"w{i}" for i in range(40)]
    text = f"[classes.Mass]\na = {words}\nb = {words}\npositive = ['{{a}} {{b}}']\n"
    with pytest.raises(DataError, match=r"positive texts of class 'Mass' of .*mine.toml spell out 1,600 texts"):
        read_prompts(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("positive = ['{sevrity} a']\nseverity = ['mild']", r"no slot of class 'a' .*'sevrity'; nearest: severity"),
        ("positive = ['{size} a']", r"'size'; known: \{\}\. Add size = "),
        ("positive = ['b']\nseverity = ['mild']", "no key of class 'a' .*'severity'; .*needs a text with its name"),
        ("positive = ['{severity} b']\nseverity = ['mild']\nsevrity = ['old']", "'sevrity'; nearest: severity"),
        ("positive = ['{severity} b']\nseverity = 'mild'", "'severity' of class 'a' .* must be a list of words"),
        ("positive = ['{severity} b']\nseverity = []", "must be a list of words"),
        ("positive = ['{severity} b']\nseverity = ['mild', 3]", "must be a list of words"),
        ("positive = ['{words} b']", "'words' is a key of the form"),
        ("positive = ['{x}']\nx = ['b', '']", "positive texts of class 'a' .* can come out empty"),
        ("positive = ['{x}.']\nx = ['']", "can come out empty"),
        ("positive = ['{severity b']", "brace that belongs to no slot"),
        ("positive = ['{two words} b']", "brace that belongs to no slot"),
        ("positive = ['b']\nnegative = ['no {b']", "negative texts of class 'a' .* has a brace"),
        ("positive = ['{x} b', 'c']\nx = ['no']\nnegative = ['no b']", "'no b' stands on both sides of class 'a'"),
    ],
)
def test_a_bad_grammar_is_refused(tmp_path, text, says):
    with pytest.raises(DataError, match=says):
        read_prompts(written(tmp_path, f"[classes.a]\n{text}\n"))


def test_a_list_of_the_file_that_no_text_asks_for_is_refused(tmp_path):
    text = "sevrity = ['mild']\n[classes.a]\nseverity = ['mild']\npositive = ['{severity} b']\n"
    with pytest.raises(DataError, match=r"no key of .*'sevrity'; nearest: severity"):
        read_prompts(written(tmp_path, text))


def test_a_shipped_set_uses_the_grammar():
    prompts = read_prompts("chexpert14")
    literal = {
        " ".join(filter(None, (size, side, "pneumothorax", place))).capitalize() + "."
        for size, side, place in itertools.product(
            ("", "small", "moderate", "large"), ("right", "left", "bilateral"), ("", "at the apex", "at the base")
        )
    }
    assert literal < set(prompts.positive["Pneumothorax"])
