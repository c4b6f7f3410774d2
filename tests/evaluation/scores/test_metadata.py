"""The metadata-only baseline: columns of files and of tables as numbers, without looking at a picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from stitchkit import Items, Labels
from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.evaluation.scores.metadata import file_columns, metadata_scores
from stitchkit.metrics.auroc import auroc

N = 80
NO_FILES = ({}, {})


def tables(truth, columns):
    """Anchors (first half) and test (second half) of one labelled table."""
    ids = [f"i{i}" for i in range(len(truth))]
    values = {name: np.asarray(column) for name, column in columns.items()}
    whole = Labels(np.asarray(truth, float)[:, None], ids, ("edema",), None, values)
    half = len(truth) // 2
    return whole.take(np.arange(half)), whole.take(np.arange(half, len(truth)))


def judged(truth, columns, names=None):
    """AUROC of the baseline on the test half."""
    anchors, test = tables(truth, columns)
    scores, used = metadata_scores(anchors, test, list(columns) if names is None else names, NO_FILES)
    return auroc(scores.values[:, 0], test.values[:, 0]), used


@pytest.fixture
def truth():
    return np.random.default_rng(0).random(N) < 0.4


def test_file_columns_are_size_width_height_and_bit_depth(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (20, 30), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "grey.png")
    Image.fromarray(noise.astype(np.uint16) * 200).save(tmp_path / "deep.png")
    Image.fromarray(np.stack([noise] * 3, axis=2)).save(tmp_path / "colour.jpg", quality=80)
    paths = [tmp_path / name for name in ("grey.png", "deep.png", "colour.jpg")]
    found = file_columns(Items(["a", "b", "c"], [paths[0], str(paths[1]), paths[2]], "image"))
    assert found["file_bytes"].tolist() == [path.stat().st_size for path in paths]
    assert found["width"].tolist() == [30, 30, 30]
    assert found["height"].tolist() == [20, 20, 20]
    assert found["bit_depth"].tolist() == [8, 16, 8]
    assert {column.dtype for column in found.values()} == {np.dtype(np.float64)}


def test_items_that_are_not_files_have_no_file_columns():
    assert file_columns(Items(["a"], [np.zeros((4, 4), np.uint8)], "image")) == {}
    assert file_columns(Items(["a"], ["A report."], "text")) == {}


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "page.png").write_text("<!doctype html>")
    with pytest.raises(DataError, match=r"page\.png is not a readable image: it is a web page"):
        file_columns(Items(["a"], [tmp_path / "page.png"], "image"))


def test_a_numeric_column_counts_as_a_number(truth):
    rng = np.random.default_rng(1)
    ages = [f"{50 + 20 * t + 3 * rng.normal():.1f}" for t in truth]
    assert judged(truth, {"age": ages}) == (pytest.approx(1.0), ("age",))


def test_a_missing_number_is_the_median_and_a_flag(truth):
    rng = np.random.default_rng(1)
    ages = np.array([f"{50 + 3 * rng.normal():.1f}" for _ in truth], dtype=object)
    ages[truth] = ""  # only the sick have no age
    assert judged(truth, {"age": ages.astype(str)})[0] == 1.0


def test_numbers_may_come_as_floats_with_nan(truth):
    rng = np.random.default_rng(1)
    ages = np.where(truth, np.nan, 50 + 3 * rng.normal(size=N))
    assert judged(truth, {"age": ages})[0] == 1.0


def test_words_become_one_column_a_level(truth):
    views = np.where(truth, "AP", np.random.default_rng(1).choice(["PA", "LL"], N))
    assert judged(truth, {"view": views})[0] == 1.0


def test_levels_and_words_that_no_anchor_has_change_nothing_for_the_others(truth):
    views = np.where(truth, "AP", "PA")
    views[-1] = "LL"
    anchors, test = tables(truth, {"view": views})
    scores, _ = metadata_scores(anchors, test, ["view"], NO_FILES)
    assert auroc(scores.values[:-1, 0], test.values[:-1, 0]) == 1.0
    ages = np.array([str(50 + 20 * t) for t in truth], dtype="<U8")
    ages[-1] = "unknown"  # a word among the numbers of the test side only
    anchors, test = tables(truth, {"age": ages})
    scores, _ = metadata_scores(anchors, test, ["age"], NO_FILES)
    assert auroc(scores.values[:-1, 0], test.values[:-1, 0]) == 1.0


@pytest.mark.parametrize("row", [0, -1], ids=["among the anchors", "in the test"])
def test_one_cell_that_is_no_number_does_not_hide_what_the_numbers_say(truth, row):
    rng = np.random.default_rng(1)
    ages = np.array([f"{50 + 20 * t + 3 * rng.normal():.2f}" for t in truth], dtype="<U8")  # all different
    ages[row] = "unknown"
    assert judged(truth, {"age": ages})[0] > 0.9


def test_columns_that_say_nothing_give_an_auroc_near_one_half():
    rng = np.random.default_rng(0)
    found = judged(rng.random(2000) < 0.5, {"view": rng.choice(["AP", "PA"], 2000), "age": rng.normal(size=2000)})
    assert found[0] == pytest.approx(0.5, abs=0.05)


def test_only_the_columns_that_are_named_are_used(truth):
    columns = {"view": np.where(truth, "AP", "PA"), "noise": np.random.default_rng(1).normal(size=N)}
    auc, used = judged(truth, columns, ["noise"])
    assert used == ("noise",)
    assert auc < 0.8


def test_constant_columns_are_not_used(truth):
    columns = {"site": np.full(N, "one"), "scanner": np.ones(N), "view": np.where(truth, "AP", "PA")}
    assert judged(truth, columns)[1] == ("view",)
    anchors, test = tables(truth, {"site": np.full(N, "one")})
    assert metadata_scores(anchors, test, ["site"], NO_FILES) is None


def test_a_column_that_is_missing_throughout_is_not_used(truth):
    anchors, test = tables(truth, {"age": np.full(N, np.nan), "blank": np.full(N, "")})
    assert metadata_scores(anchors, test, ["age", "blank"], NO_FILES) is None


def test_without_columns_and_files_there_is_no_baseline(truth):
    anchors, test = tables(truth, {"view": np.where(truth, "AP", "PA")})
    assert metadata_scores(anchors, test, [], NO_FILES) is None


def test_an_unknown_column_lists_the_nearest(truth):
    anchors, test = tables(truth, {"view": np.where(truth, "AP", "PA"), "sex": np.full(N, "f")})
    with pytest.raises(UnknownNameError, match="no metadata column is called 'veiw'; nearest: view"):
        metadata_scores(anchors, test, ["veiw"], NO_FILES)


def test_file_columns_join_those_of_the_table_and_need_both_sides(truth):
    anchors, test = tables(truth, {"view": np.random.default_rng(1).choice(["AP", "PA"], N)})
    sizes = np.where(truth, 1000.0, 400.0)
    files = {"file_bytes": sizes[: N // 2]}, {"file_bytes": sizes[N // 2 :]}
    scores, used = metadata_scores(anchors, test, ["view"], files)
    assert used == ("file_bytes", "view")
    assert auroc(scores.values[:, 0], test.values[:, 0]) == 1.0
    assert metadata_scores(anchors, test, ["view"], (files[0], {}))[1] == ("view",)


def test_the_scores_are_logits_of_the_test_items(truth):
    anchors, test = tables(truth, {"view": np.where(truth, "AP", "PA")})
    scores, _ = metadata_scores(anchors, test, ["view"], NO_FILES)
    assert (scores.kind, scores.classes) == ("logit", ("edema",))
    assert scores.ids.tolist() == test.ids.tolist()


@pytest.mark.parametrize("codes", ["words", "numbers"])
def test_sites_that_decide_the_label_are_seen_however_many_or_however_coded(codes):
    rng = np.random.default_rng(0)
    site = rng.integers(0, 40 if codes == "words" else 10, 800)
    truth = (site % 2).astype(float)[:, None]
    column = np.asarray([f"site {s}" for s in site]) if codes == "words" else site
    labels = Labels(truth, np.arange(800).astype(str), ("p",), None, {"site": column})
    some = np.arange(400)
    found, used = metadata_scores(labels.take(some), labels.take(some + 400), ("site",), ({}, {}))
    assert used == ("site",)
    assert auroc(found.values[:, 0], truth[400:, 0]) > 0.95


MISSING = ("", "NA", "unknown", "nan", "N/A", "?", "None", "<NA>", " ", "missing")


def mixed(n, seed):
    return np.random.default_rng(seed).choice(MISSING, n)


def test_words_for_a_missing_value_are_one_category(truth):
    """The sick have no view, whichever way the table says so; every way of the test is new to the anchors."""
    half = N // 2
    words = np.concatenate([mixed(half, 1), np.full(half, "not known")])
    views = np.where(truth, words, np.random.default_rng(2).choice(["AP", "PA"], N))
    assert judged(truth, {"view": views})[0] == 1.0


def test_which_word_for_a_missing_value_stands_there_says_nothing(truth):
    """A word that goes with the label is an accident of the table, not a finding."""
    views = np.where(np.random.default_rng(2).random(N) < 0.5, "AP", np.where(truth, "NA", "unknown"))
    anchors, test = tables(truth, {"view": views})
    same, _ = tables(truth, {"view": np.where(views == "AP", "AP", "")})
    found, expected = (metadata_scores(one, test, ["view"], NO_FILES)[0] for one in (anchors, same))
    np.testing.assert_array_equal(found.values, expected.values)
    assert len(np.unique(found.values)) == 2


def test_a_column_of_words_for_a_missing_value_alone_is_not_used(truth):
    anchors, test = tables(truth, {"view": mixed(N, 3)})
    assert metadata_scores(anchors, test, ["view"], NO_FILES) is None


def test_words_for_a_missing_value_among_numbers_are_missing_numbers(truth):
    rng = np.random.default_rng(1)
    ages = np.array([f"{50 + 3 * rng.normal():.1f}" for _ in truth], dtype="<U9")
    some = truth & (np.arange(N) % 4 > 0)  # of the sick most have no age, said in ten ways
    ages[some] = mixed(N, 4)[some]
    plain = np.where(some, "", ages)
    assert judged(truth, {"age": ages}) == judged(truth, {"age": plain})


def test_many_missing_numbers_do_not_hide_that_few_values_are_codes():
    rng = np.random.default_rng(0)
    site = rng.integers(0, 10, 800)
    truth = (site % 2).astype(float)[:, None]
    column = np.where(rng.random(800) < 0.3, np.nan, site)  # 240 values that are no number, and no value each
    labels = Labels(truth, np.arange(800).astype(str), ("p",), None, {"site": column})
    some = np.arange(400)
    found, _ = metadata_scores(labels.take(some), labels.take(some + 400), ("site",), NO_FILES)
    known = ~np.isnan(column[400:])
    assert auroc(found.values[known, 0], truth[400:, 0][known]) > 0.95


def test_a_word_among_the_numbers_of_one_table_leaves_the_codes_of_both_alike():
    """Columns of numbers in the anchors' table are texts in a table with one other cell."""
    rng = np.random.default_rng(0)
    code = rng.integers(1, 5, N)
    truth = np.isin(code, [2, 3])  # which no line through the numbers tells
    texts = np.asarray([str(one) for one in code])
    anchors, _ = tables(truth, {"scanner": code.astype(float)})
    test = tables(truth, {"scanner": np.where(np.arange(N) == N - 1, "none of these", texts)})[1]
    scores, _ = metadata_scores(anchors, test, ["scanner"], NO_FILES)
    assert auroc(scores.values[:-1, 0], test.values[:-1, 0]) > 0.95
