"""Task cards: what is shipped reads, agrees with its reader and with itself; what is wrong is refused by name."""

import inspect
import re
from importlib import import_module
from itertools import combinations
from pathlib import Path

import pytest

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.datasets.cohorts import LAYOUTS
from stitchkit.datasets.layouts.published import PublishedTable
from stitchkit.datasets.prompt_sets import read_prompts
from stitchkit.tasks.cards import ITSELF, METRICS, PROMPTS, read_task, task_names

PAGE = Path(__file__).parents[2] / "docs" / "exam.md"
CARDS = {name: read_task(name) for name in task_names()}
WITH_CLASSES = [name for name, card in CARDS.items() if card.kind == "classes"]
NUMBERS_OF_CLASSES = {  # of the sets of the authors' code
    "bach": 4, "ham10000": 7, "lc25000-lung": 3, "lc25000-colon": 2, "nct-crc-he": 8, "pad-ufes-20": 6, "pcam": 2,
    "sicap": 4, "pathmnist": 9, "dermamnist": 7, "octmnist": 4, "pneumoniamnist": 2, "retinamnist": 5,
    "breastmnist": 2, "bloodmnist": 8, "tissuemnist": 8, "organamnist": 11, "organcmnist": 11, "organsmnist": 11,
    "vindr-mammo": 10,
}  # fmt: skip
PUBLISHED_SPLITS = {  # images in train, val and test as MedMNIST's own description has them
    "pathmnist": (89996, 10004, 7180), "dermamnist": (7007, 1003, 2005), "octmnist": (97477, 10832, 1000),
    "pneumoniamnist": (4708, 524, 624), "retinamnist": (1080, 120, 400), "breastmnist": (546, 78, 156),
    "bloodmnist": (11959, 1712, 3421), "tissuemnist": (165466, 23640, 47280), "organamnist": (34561, 6491, 17778),
    "organcmnist": (12975, 2392, 8216), "organsmnist": (13932, 2452, 8827), "pcam": (262144, 32768, 32768),
    "nct-crc-he": (100000, 0, 7180),
}  # fmt: skip
HISTOPATHOLOGY = (
    "a histopathology slide showing {}", "histopathology image of {}", "pathology tissue showing {}",
    "presence of {} tissue on image",
)  # fmt: skip


@pytest.mark.parametrize("name", CARDS)
def test_every_shipped_card_is_called_as_its_file_and_says_where_its_data_come_from(name):
    card = CARDS[name]
    assert card.name == name
    for text in (card.title, card.modality, card.source, card.licence, card.obtain, card.header):
        assert text == text.strip()
    assert card.metric in METRICS[card.kind]
    assert all(leak.what and leak.source for leak in card.leaks)


def test_all_sets_of_the_authors_code_are_there():
    assert {name: len(CARDS[name].classes) for name in WITH_CLASSES} == NUMBERS_OF_CLASSES
    kinds = [card.kind for card in CARDS.values()]
    assert (kinds.count("retrieval"), kinds.count("questions")) == (5, 2)


@pytest.mark.parametrize("name", PUBLISHED_SPLITS)
def test_the_number_of_images_is_the_sum_of_the_published_splits(name):
    assert CARDS[name].images == sum(PUBLISHED_SPLITS[name])


@pytest.mark.parametrize("which", PROMPTS)
@pytest.mark.parametrize("name", WITH_CLASSES)
def test_prompts_name_the_classes_in_order_and_differ_between_classes(name, which):
    card = CARDS[name]
    prompts = card.prompt_set(which)
    assert prompts.classes == card.classes
    assert prompts.multiclass == card.multiclass
    for one, other in combinations(card.classes, 2):
        assert not set(prompts.positive[one]) & set(prompts.positive[other]), (one, other)


@pytest.mark.parametrize("name", WITH_CLASSES)
def test_prompts_of_the_paper_are_four_templates_for_every_class(name):
    templates = tuple(template.removesuffix(".") for template in CARDS[name].paper.templates)
    if name == "vindr-mammo":
        assert len(templates) == 4
        assert all("mammogra" in template or "x-ray" in template for template in templates)
    else:
        assert templates == HISTOPATHOLOGY
    texts = CARDS[name].prompt_set("paper").positive
    assert all(len(some) == 4 and not any("{}" in text for text in some) for some in texts.values())


@pytest.mark.parametrize("name", WITH_CLASSES)
def test_our_prompts_do_not_speak_of_histopathology_where_the_images_are_none(name):
    prompts = CARDS[name].prompt_set("ours")
    if not CARDS[name].modality.startswith("histopathology"):
        assert not any(re.search(r"(?i)histopatholog|H&E", text) for text in prompts.texts)


def test_prompts_of_classes_that_the_task_leaves_out_do_not_count_against_the_others():
    background = set(read_prompts("histology-colon").positive["BACK"])
    prompts = CARDS["nct-crc-he"].prompt_set("ours")
    assert background <= set(read_prompts("histology-colon").negative["TUM"])
    assert not background & set(prompts.negative["TUM"])


def module_of(card):
    return import_module(LAYOUTS[card.layout].partition(":")[0])


@pytest.mark.parametrize("name", CARDS)
def test_settings_of_the_reader_are_its_own_and_spell_classes_as_the_card(name):
    card = CARDS[name]
    assert set(card.reader) <= set(inspect.signature(module_of(card).read).parameters)
    if "classes" in card.reader:
        assert tuple(card.reader["classes"]) == card.classes
    if "folders" in card.reader:
        assert tuple(card.reader["folders"]) == card.classes
    if "splits" in card.reader:
        assert set(card.reader["splits"]) == {card.splits.train, card.splits.test}
    if card.layout == "medmnist":
        assert card.reader["file"] in card.obtain


@pytest.mark.parametrize("name", CARDS)
def test_classes_are_among_those_of_the_reader_where_it_has_a_list(name):
    classes = getattr(module_of(CARDS[name]), "CLASSES", None)
    if classes is not None and CARDS[name].classes:
        assert set(CARDS[name].classes) <= set(classes)


@pytest.mark.parametrize("name", CARDS)
def test_headers_are_quoted_as_the_reader_quotes_them(name):
    quoted = {one.header for one in tables_in(vars(module_of(CARDS[name])).values())}
    assert not quoted or any(header in CARDS[name].header for header in quoted)


def tables_in(values):
    for one in values:
        if isinstance(one, PublishedTable):
            yield one
        elif isinstance(one, dict):
            yield from tables_in(one.values())
        elif isinstance(one, tuple):
            yield from tables_in(one)


@pytest.mark.parametrize("name", CARDS)
def test_leaks_name_a_task_a_layout_or_a_set_in_words_and_go_both_ways(name):
    for leak in CARDS[name].leaks:
        assert leak.other in (ITSELF, *CARDS, *LAYOUTS) or re.search(r"[A-Z ]", leak.other)
        assert leak.other != name
        if leak.other in CARDS:
            assert name in [back.other for back in CARDS[leak.other].leaks]


def row_of(card):
    """The line of the page that a card is told by."""
    split = f"{card.splits.train}, {card.splits.test}" if card.splits.train else f"none; {card.splits.held:.0%} held"
    leaks = "; ".join(leak.other if " " in leak.other else f"`{leak.other}`" for leak in card.leaks)
    images = f"{card.images:,}" if card.images else "varies"
    cells = (f"`{card.name}`", card.title, images, len(card.classes) or card.kind, card.group or "none", split,
             leaks or "none known", card.licence)  # fmt: skip
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def test_the_table_on_the_page_is_that_of_the_cards():
    page = PAGE.read_text("utf-8")
    assert re.findall(r"^\| `.*\|$", page, re.M) == [row_of(card) for card in CARDS.values()]


OWN = """
name = "mine"
title = "Mine"
kind = "classes"
modality = "chest X-ray"
source = "our clinic"
licence = "none"
obtain = "ask us"
header = "path,normal,pneumonia"
layout = "table"
classes = ["normal", "pneumonia"]
multiclass = true
metric = "auroc"
prompts = "pneumonia"
[splits]
train = "train"
test = "test"
[paper]
templates = ["X-ray with {}.", "{}"]
[paper.words]
normal = "nothing"
pneumonia = "pneumonia"
[[leaks]]
with = "pneumoniamnist"
what = "some films"
source = "we looked"
"""


def own(folder, *changes):
    text = OWN
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    (folder / "mine.toml").write_text(text, "utf-8")
    return folder / "mine.toml"


def test_a_card_of_ones_own_is_read_by_its_path(tmp_path):
    card = read_task(own(tmp_path))
    assert card.prompt_set("paper").positive["normal"] == ("X-ray with nothing.", "nothing")
    assert card.prompt_set("ours").texts == read_prompts("pneumonia").texts
    assert card.leaks[0].other == "pneumoniamnist"


def test_classes_of_another_name_are_those_of_the_prompt_set(tmp_path):
    names = ("[splits]", '[prompt_classes]\nclear = "normal"\nill = "pneumonia"\n[splits]')
    classes = ('["normal", "pneumonia"]', '["clear", "ill"]')
    words = (('normal = "nothing"', 'clear = "nothing"'), ('pneumonia = "pneumonia"', 'ill = "pneumonia"'))
    mine, theirs = read_task(own(tmp_path, classes, *words, names)).prompt_set("ours"), read_prompts("pneumonia")
    assert mine.classes == ("clear", "ill")
    for side, other in ((mine.positive, theirs.positive), (mine.negative, theirs.negative)):
        assert (side["clear"], side["ill"]) == (other["normal"], other["pneumonia"])


def test_a_card_without_prompts_or_split_has_none(tmp_path):
    path = own(tmp_path)
    text = OWN.partition("prompts =")[0]
    path.write_text(text, "utf-8")
    card = read_task(path)
    assert card.prompt_set("ours") is None
    assert card.prompt_set("paper") is None
    assert (card.splits.train, card.splits.test, card.splits.held) == (None, None, 0.2)


def test_names_that_are_not_there_are_answered_with_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError, match="nearest: pcam"):
        read_task("pcamm")
    with pytest.raises(UnknownNameError, match="paper"):
        read_task(own(tmp_path)).prompt_set("papers")
    with pytest.raises(DataError, match="there is no file"):
        read_task(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("layout =", "laout =", "nearest: layout"),
        ('layout = "table"', 'layout = "tabel"', "'layout' of .*nearest: table"),
        ('kind = "classes"', 'kind = "class"', "nearest: classes"),
        ('kind = "classes"', 'kind = "retrieval"', "'retrieval' with 2 classes"),
        ('metric = "auroc"', 'metric = "recall@10"', "'metric' of .* classes"),
        ('metric = "auroc"', 'metric = "auc"', "nearest: .*auroc"),
        ('["normal", "pneumonia"]', "[]", "with 0 classes"),
        ('["normal", "pneumonia"]', '["normal", "normal"]', "a class stands twice"),
        ('["normal", "pneumonia"]', '["normal", "Pneumonia"]', "prompt set 'pneumonia' does not name .*'Pneumonia'"),
        ('["normal", "pneumonia"]', '["normal"]', "'pneumonia', which is none of its classes"),
        ('prompts = "pneumonia"', 'prompts = "pneumonias"', "'prompts' of .*nearest: pneumonia"),
        ("multiclass = true", "multiclass = false", "that of the prompt set 'pneumonia' is true"),
        ("[splits]", "[prompt_classes]\nnormal = 'normal'\n[splits]", "has normal; the classes are normal, pneumonia"),
        (
            "[splits]",
            "[prompt_classes]\nnormal = 'normal'\npneumonia = 'normal'\n[splits]",
            "two classes .* have one name",
        ),
        ('train = "train"\n', "", "'train' and 'test' are both named, or neither"),
        ('"{}"]', '"film"]', "the template 'film' .* has no {}"),
        ('pneumonia = "pneumonia"\n', "", "does not name the class 'pneumonia'"),
        ('normal = "nothing"', 'normal = "pneumonia"', "two classes have the same 'words'"),
        ("[splits]", "[splits]\nheld = 2", "a share in"),
        ("[splits]", "[splits]\nvalidation = 'val'", "key of"),
        ('with = "pneumoniamnist"', 'with = "pneumonia-mnist"', "'with' of .*nearest: pneumoniamnist"),
        ('what = "some films"\n', "", r"\[leaks, entry 1\] in .* lacks 'what': a text"),
        ("[[leaks]]", "[leaks]", r"'leaks' of .* is tables \[\[leaks\]\]"),
        ('what = "some films"', 'waht = "some films"', r"\[leaks, entry 1\] in .*nearest: what"),
        ('title = "Mine"', 'title = " "', "a text"),
        ('title = "Mine"', 'title = "Mine"\nimages = 0', "1 or more"),
    ],
)
def test_a_wrong_card_is_refused_by_file_and_key(tmp_path, before, after, says):
    path = own(tmp_path, (before, after))
    with pytest.raises(DataError, match=re.escape("mine.toml")) as error:
        read_task(path)
    assert re.search(says, str(error.value)), error.value


def test_prompts_are_refused_where_there_are_no_classes_to_name(tmp_path):
    retrieval = (
        ('kind = "classes"', 'kind = "retrieval"'), ('classes = ["normal", "pneumonia"]\n', ""),
        ('metric = "auroc"', 'metric = "recall@10"'),
    )  # fmt: skip
    with pytest.raises(DataError, match="has prompts, which name classes"):
        read_task(own(tmp_path, *retrieval))


if __name__ == "__main__":
    print("\n".join(row_of(card) for card in CARDS.values()))
