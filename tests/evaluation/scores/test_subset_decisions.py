"""Decisions of each subset of modalities: fitted where enough patients are held out, borrowed and said elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stitchkit.core.fused_heads import FusedHead
from stitchkit.core.fusion_rows import FusionRows, Modality
from stitchkit.core.scores import Labels
from stitchkit.core.space import Space
from stitchkit.evaluation.scores.calibrate import calibrate
from stitchkit.evaluation.scores.subset_decisions import MASK, evaluate_fused, fit_subset_decisions

CLASSES = ("a", "b", "c")


def head_of(multiclass=True, token="substitute"):
    """A network of one linear layer whose logits are the first three features of the modalities, added up."""
    weights = {"fused.bias": np.zeros(4), "out.norm": np.ones(4), "out.shift": np.zeros(4), "out.bias": np.zeros(3)}
    weights["out.weight"] = np.eye(4)[:, :3] * 2
    for name in ("ct", "table"):
        weights |= {f"{part}.{name}": np.full(4, one) for part, one in
                    (("center", 0.0), ("scale", 1.0), ("norm", 1.0), ("shift", 0.0), ("token", 0.0))}  # fmt: skip
        weights[f"enter.{name}"] = np.eye(4)
    modalities = tuple(Modality(name, Space(name, 4)) for name in ("ct", "table"))
    return FusedHead(
        classes=CLASSES, multiclass=multiclass, modalities=modalities, weights=weights, token=token,
        prior=np.asarray([0.5, 0.3, 0.2]) if multiclass else np.asarray([0.5, 0.4, 0.3]),
        masks=np.asarray([[True, True], [True, False]]), mask_shares=np.asarray([[0.4, 0.3, 0.3], [0.6, 0.3, 0.1]]),
    )  # fmt: skip


def world(n=300, few=20, seed=0):
    """Rows of two modalities; the table says less, and ``few`` patients alone have it."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    ct, table = (spread * rng.normal(size=(n, 4)) + 1.5 * np.eye(4)[kind] for spread in (1.0, 2.0))
    present = np.stack([rng.random(n) > 0.1, np.arange(n) < 2 * few], axis=1)
    ids = [f"r{i}" for i in range(n)]
    return FusionRows(ids, {"ct": ct, "table": table}, present), Labels(
        np.eye(3)[kind], ids, CLASSES, [f"p{i // 2}" for i in range(n)]
    )


def test_a_subset_of_few_patients_borrows_and_says_so():
    head, (rows, labels) = head_of(), world()
    decisions, notes = fit_subset_decisions(head, rows, labels)
    by_subset = {one.present: one for one in decisions}
    assert set(by_subset) == {(), ("ct", "table"), ("ct",), ("table",)}
    assert not by_subset[("ct",)].borrowed
    assert by_subset[("table",)].borrowed
    assert by_subset[("table",)].calibration is by_subset[()].calibration
    assert any(note.startswith("table: calibrated on all items") and "20 patients held out" in note for note in notes)
    decided = replace(head, decisions=decisions)
    told = decided.row_notes(rows.only(["table"]))
    assert any("with table alone: calibrated on all items" in note for note in told)


@pytest.mark.parametrize(("people", "borrowed"), [(29, True), (30, False)])
def test_thirty_patients_are_enough_for_a_calibration_of_their_own(people, borrowed):
    head, (rows, labels) = head_of(), world(few=people)
    pooled, *others = fit_subset_decisions(head, rows, labels)[0]
    table = next(one for one in others if one.present == ("table",))
    assert (table.patients, table.borrowed) == (people, borrowed)
    for part in ("calibration", "thresholds", "conformal"):
        assert (getattr(table, part) is getattr(pooled, part)) == borrowed


def test_each_row_gets_the_calibration_of_its_own_subset():
    head, (rows, labels) = head_of(), world(few=150)
    decisions, _ = fit_subset_decisions(head, rows, labels)
    decided = replace(head, decisions=decisions)
    assert not any(one.borrowed for one in decisions)
    for one in decisions:
        has = [rows.present[:, rows.names.index(name)] for name in one.present] or [rows.present.any(axis=1)]
        assert one.items == np.all(has, axis=0).sum()  # all of them, and no item that lacks one
    alone = rows.take(np.flatnonzero(rows.present[:, 1])).only(["table"])
    own = calibrate(head.scores(alone), labels.of_ids(alone.ids), method="temperature", multiclass=True)
    np.testing.assert_allclose(decided.probabilities(alone).values, own(head.scores(alone)).values, atol=1e-12)
    temperatures = {one.present: one.calibration.temperature for one in decisions}
    assert temperatures[("table",)] > temperatures[("ct",)]  # a subset that says less is less sure


def test_calibrated_subsets_are_calibrated_on_new_patients():
    head = head_of()
    decisions, _ = fit_subset_decisions(head, *world(few=150))
    decided = replace(head, decisions=decisions)
    rows, labels = world(n=4000, few=2000, seed=1)
    for names in (["ct", "table"], ["ct"], ["table"]):
        some = rows.only(names)
        whole = np.flatnonzero(some.present[:, [name in names for name in rows.names]].all(axis=1))
        values, truth = decided.probabilities(some.take(whole)).values, labels.values[whole]
        picked = values.argmax(axis=1)
        sure = values.max(axis=1)
        assert abs(sure.mean() - truth[np.arange(len(whole)), picked].mean()) < 0.06


def test_conformal_sets_of_each_subset_keep_their_promise():
    head = head_of()
    decisions, _ = fit_subset_decisions(head, *world(few=150), alpha=0.2)
    decided = replace(head, decisions=decisions)
    rows, labels = world(n=3000, few=1500, seed=2)
    for names in (["ct"], ["table"]):
        place = rows.names.index(names[0])
        some = rows.take(np.flatnonzero(rows.present[:, place])).only(names)
        truth = labels.of_ids(some.ids).values
        missed = ((truth == 1) & np.isin(decided.sets(some), ["absent", "neither"])).sum() / (truth == 1).sum()
        assert missed < 0.28


def test_rows_without_anything_get_prior_either_and_no_decision():
    head, (rows, labels) = head_of(), world()
    decided = replace(head, decisions=fit_subset_decisions(head, rows, labels)[0])
    empty = rows.only([])
    assert (decided.probabilities(empty).values == head.prior).all()
    assert (decided.sets(empty) == "either").all()
    assert not decided.decide(empty).any()


def test_the_mask_alone_stands_beside_the_scores_and_is_named_where_it_tells():
    head = head_of()
    rng = np.random.default_rng(3)
    n = 600
    kind = rng.integers(0, 3, n)
    present = np.stack([np.ones(n, dtype=bool), (kind == 2) | (rng.random(n) < 0.2)], axis=1)  # who has a table is ill
    vectors = {name: rng.normal(size=(n, 4)) + np.eye(4)[kind] for name in ("ct", "table")}
    ids = [f"r{i}" for i in range(n)]
    labels = Labels(np.eye(3)[kind], ids, CLASSES)
    result = evaluate_fused(head, FusionRows(ids, vectors, present), labels, calibrated=False)
    names = [one.name for one in result.methods]
    assert names[0] == "all that is there"
    assert {"ct alone", "table alone", MASK} <= set(names)
    assert result.method(MASK).classes["c"].low > 0.6
    assert any(note.startswith("SHORTCUT: which modalities are there tells the label already") for note in result.notes)
    even = evaluate_fused(head, FusionRows(ids, vectors, np.ones((n, 2), dtype=bool)), labels, calibrated=False)
    assert even.method(MASK).macro.value == pytest.approx(0.5)
    assert not any("which modalities are there" in note for note in even.notes)


def test_several_classes_at_once_are_calibrated_class_by_class():
    head = head_of(multiclass=False)
    rows, labels = world(few=150)
    several = Labels(np.maximum(labels.values, np.roll(labels.values, 1, axis=0)), labels.ids, CLASSES, labels.groups)
    decisions, _ = fit_subset_decisions(head, rows, several)
    values = replace(head, decisions=decisions).probabilities(rows).values
    there = rows.present.any(axis=1)
    np.testing.assert_allclose(values[there].mean(axis=0), several.values[there].mean(axis=0), atol=0.05)


def test_nothing_held_out_is_said():
    head, (rows, labels) = head_of(), world()
    assert fit_subset_decisions(head, rows.take(np.arange(0)), labels) == (
        (), ["nothing was calibrated: no item was held out"]
    )  # fmt: skip
