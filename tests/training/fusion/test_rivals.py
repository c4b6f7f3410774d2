"""The rivals of a fused head: each reads what it can, and nothing of a row that it may not."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import UnknownNameError
from stitchkit.training.fusion.rivals import ARMS, BOOSTING, IMPUTED, fit_arms, with_holes

N, TRAIN = 360, 260


@pytest.fixture(scope="module")
def arms(cohort, quick):
    ids = cohort.ids[:TRAIN]
    image = cohort.image.take(np.flatnonzero(np.isin(cohort.image.ids, ids)))
    recipe = quick.with_settings(weight_decay=(0.1,), epochs=6, balanced=True)
    first = np.arange(TRAIN)
    train = {"image": image, "table": cohort.table.take(first)}
    return fit_arms(train, cohort.labels.take(first), recipe, progress=False)


@pytest.fixture(scope="module")
def rows(cohort, arms):
    return arms.head.rows(cohort.inputs(), cohort.ids[TRAIN:])


def test_there_is_an_arm_for_every_rival_and_input(arms):
    assert set(arms.scorers) == {*ARMS, "image alone", "table alone"}


def test_every_arm_gives_probabilities_whatever_a_row_lacks(arms, rows):
    for score in arms.scorers.values():
        for some in (rows, rows.only(["image"]), rows.only(["table"]), rows.only([])):
            values = score(some)
            assert values.shape == (len(rows), 3)
            np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-9)


def test_every_arm_is_above_chance_on_new_patients(cohort, arms, rows):
    truth = cohort.labels.of_ids(rows.ids).values.argmax(axis=1)
    there = rows.present.all(axis=1)
    for name, score in arms.scorers.items():
        assert (score(rows)[there].argmax(axis=1) == truth[there]).mean() > 0.4, name


def test_an_input_that_a_row_lacks_changes_nothing(cohort, arms, rows):
    other = sk.FusionRows(rows.ids, {**rows.vectors, "image": rows.vectors["image"] + 1}, rows.present)
    for name, score in arms.scorers.items():
        assert (score(rows.only(["table"])) == score(other.only(["table"]))).all(), name
    assert (arms.scorers[BOOSTING](rows) == arms.scorers[BOOSTING](other)).all()  # it reads the table alone


def test_the_average_of_one_single_head_is_that_head(arms, rows):
    some = rows.take(np.flatnonzero(rows.present.all(axis=1)))
    averaged = arms.scorers["average of single heads"]
    assert (averaged(some.only(["image"])) == arms.scorers["image alone"](some)).all()
    both = (arms.scorers["image alone"](some) + arms.scorers["table alone"](some)) / 2
    np.testing.assert_allclose(averaged(some), both)


def test_imputed_vectors_are_used_where_there_is_something_to_predict_from(cohort, quick):
    whole = np.flatnonzero(cohort.has_image & cohort.table.has_values(["age", "site"]))[:TRAIN]
    recipe = quick.with_settings(weight_decay=(0.1,), epochs=2)
    train = {"image": cohort.image.of_ids(cohort.ids[whole]), "table": cohort.table.take(whole)}
    fitted = fit_arms(train, cohort.labels.take(whole), recipe, arms=(IMPUTED,), progress=False)
    rows = fitted.head.rows(train)
    plain, imputed = fitted.scorers["zero filling"], fitted.scorers[IMPUTED]
    assert (plain(rows) == imputed(rows)).all()  # training rows had no gap, so that both are one head
    assert (plain(rows.only(["table"])) != imputed(rows.only(["table"]))).any()


def test_imputation_is_trained_on_the_vectors_that_it_fills_in(arms, rows):
    whole = rows.take(np.flatnonzero(rows.present.all(axis=1)))
    assert (arms.scorers["zero filling"](whole) != arms.scorers[IMPUTED](whole)).any()
    assert IMPUTED in arms.strengths


def test_boosting_reads_a_label_that_is_not_known_as_none(cohort, quick):
    recipe = quick.with_settings(weight_decay=(0.1,), epochs=1, contrastive="none")
    values = np.stack([cohort.kind == 0, cohort.kind < 2], axis=1).astype(float)
    hidden = np.arange(N) % 3 == 0
    values[hidden, 1] = np.nan
    shares = {}
    for name, kept in (("with gaps", np.arange(N)), ("without", np.flatnonzero(~hidden))):
        labels = sk.Labels(values[kept], cohort.ids[kept], ("a", "b"), cohort.groups[kept])
        fitted = fit_arms({"table": cohort.table.take(kept)}, labels, recipe, arms=(BOOSTING,), progress=False)
        shares[name] = fitted.scorers[BOOSTING](fitted.head.rows({"table": cohort.table}))[:, 1].mean()
    assert shares["with gaps"] == pytest.approx(
        shares["without"], abs=0.05
    )  # as negatives they would take a third away


def test_rows_without_a_label_change_no_arm(cohort, quick):
    recipe = quick.with_settings(weight_decay=(0.1,), epochs=1, contrastive="none")
    blank = np.arange(N) % 4 == 0
    values = np.where(blank[:, None], np.nan, cohort.labels.values)
    labels = sk.Labels(values, cohort.ids, cohort.labels.classes, cohort.groups)
    known = labels.take(np.flatnonzero(~blank))
    both = [
        fit_arms(cohort.inputs(), some, recipe, arms=(IMPUTED, BOOSTING), progress=False) for some in (labels, known)
    ]
    rows = both[0].head.rows(cohort.inputs(), cohort.ids[:40])
    for name, score in both[0].scorers.items():
        assert (score(rows) == both[1].scorers[name](rows)).all(), name


def test_several_classes_at_once_have_the_same_arms(cohort, quick):
    labels = sk.Labels(np.maximum(cohort.labels.values, np.roll(cohort.labels.values, 1, axis=1)), cohort.ids,
                       cohort.labels.classes, cohort.groups)  # fmt: skip
    recipe = quick.with_settings(weight_decay=(0.1,), epochs=2, contrastive="none")
    fitted = fit_arms(cohort.inputs(), labels, recipe, arms=("fused", BOOSTING), progress=False)
    rows = fitted.head.rows(cohort.inputs())
    for score in fitted.scorers.values():
        assert ((score(rows) >= 0) & (score(rows) <= 1)).all()


def test_unknown_arms_are_refused_and_holes_are_a_share(cohort, quick):
    with pytest.raises(UnknownNameError, match="no rival of a fused head is called 'xgboost'"):
        fit_arms(cohort.inputs(), cohort.labels, quick, arms=("xgboost",))
    kept = with_holes(cohort.inputs(), {"table": 0.5}, seed=1)
    assert len(kept["image"]) == len(cohort.image)
    assert 0.4 < len(kept["table"]) / len(cohort.table) < 0.6
