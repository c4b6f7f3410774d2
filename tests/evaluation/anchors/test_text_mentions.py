"""What texts say of the classes that prompts name: counted by words."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit import PromptSet
from stitchkit.evaluation.anchors.text_mentions import count_mentions, mentions, words_of

PROMPTS = PromptSet(
    "three",
    {
        "Effusion": ("There is a pleural effusion.", "Fluid in the pleural space."),
        "Cardiomegaly": ("The heart is enlarged.", "Cardiomegaly."),
        "Thickening": ("Pleural thickening is seen.",),
    },
)


def verdicts(*texts):
    return {one.name: (one.mentions, one.denied) for one in count_mentions(texts, PROMPTS)}


SAYS = {
    "Small left effusion.": "said",
    "EFFUSION on the left": "said",
    "Bilateral effusions.": "said",
    "There is fluid in the space behind the lung.": "said",
    "No pneumothorax. Small effusion.": "said",
    "No pneumothorax but a small effusion.": "said",
    "Small effusion with no pneumothorax.": "said",
    "No effusion.": "denied",
    "No pneumothorax, opacity or effusion.": "denied",
    "The lungs are clear of opacity or effusion.": "denied",
    "Effusion is not seen.": "denied",
    "The effusion has resolved.": "denied",
    "Negative for effusion; free of effusion.": "denied",
    "No effusion on the right. Effusion on the left.": "said",
    "The pleural space is normal.": "neither",
    "Fluid. Space.": "neither",  # not in one sentence
    "Effusive praise.": "neither",
}


@pytest.mark.parametrize("text", SAYS)
def test_a_text_says_or_denies_a_class(text):
    expected = {"said": (1, 0), "denied": (0, 1), "neither": (0, 0)}[SAYS[text]]
    assert verdicts(text)["Effusion"] == expected


def test_all_words_of_a_prompt_are_needed():
    assert verdicts("The heart is of normal size.")["Cardiomegaly"] == (0, 0)
    assert verdicts("The heart is not enlarged.")["Cardiomegaly"] == (0, 1)
    assert verdicts("The heart is mildly enlarged.")["Cardiomegaly"] == (1, 0)


def test_words_of_two_classes_belong_to_none():
    assert verdicts("A pleural scar.") == {"Effusion": (0, 0), "Cardiomegaly": (0, 0), "Thickening": (0, 0)}
    assert verdicts("Pleural thickening.")["Thickening"] == (1, 0)


def test_equal_texts_count_each_time():
    assert verdicts(*["Effusion."] * 3, "No effusion.")["Effusion"] == (3, 1)


def test_words_that_no_text_has_are_told():
    found = {one.name: one.unseen for one in count_mentions(["Heart and fluid."], PROMPTS)}
    assert found == {
        "Effusion": ("effusion", "space"), "Cardiomegaly": ("cardiomegaly", "enlarged"), "Thickening": ("thickening",),
    }  # fmt: skip


def test_a_class_without_words_of_its_own_cannot_be_counted():
    alike = PromptSet("alike", {"a": ("A mass.",), "b": ("The mass.",)})
    assert [one.mentions for one in count_mentions(["A mass."], alike)] == [None, None]


def test_other_alphabets_are_words():
    assert words_of("Épanchement pleural, gauche: Плевральный выпот") == [
        "épanchement", "pleural", "gauche", "плевральный", "выпот",
    ]  # fmt: skip


def test_mentions_are_those_that_class_words_count():
    prompts = PromptSet("four", {**PROMPTS.positive, "Blank": ("There is.",)})
    texts = ["No effusion.", "Cardiomegaly.", "No effusion.", "The heart is enlarged, no pleural thickening.", ""]
    found = mentions(texts, prompts)
    np.testing.assert_array_equal(found[:, :3], [[-1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, 1, -1], [0, 0, 0]])
    assert np.isnan(found[:, 3]).all()
    for one, column in zip(count_mentions(texts, prompts)[:3], found.T[:3], strict=True):
        assert (one.mentions, one.denied) == ((column == 1).sum(), (column == -1).sum())
    assert mentions([], prompts).shape == (0, 4)


@pytest.mark.parametrize("word", ["free", "no", "without", "absent", "not"])
def test_a_denying_word_is_no_word_of_a_class(word):
    """Prompts as "free air in the pleural space", all of whose other words belong to other classes as well."""
    prompts = PromptSet("two", {"Gas": (f"There is {word} air.", "Gas."), "Bronchogram": ("Air bronchogram.",)})
    assert mentions(["The lungs are free of infiltrates, not clear, without no absent mass."], prompts).tolist() == [
        [0, 0]
    ]
    assert mentions(["Gas."], prompts).tolist() == [[1, 0]]
