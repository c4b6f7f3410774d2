"""A map is not judged on the anchors it was fitted on, whether they are named or not, in memory or from disk."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.anchor_hashes import are_row_numbers, common, hashes_of, pair_digests, split
from stitchkit.core.errors import InputError, LeakageError
from stitchkit.evaluation.fitted_pairs import audit_items, remember_files, without_anchors

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6))
Y = X @ RNG.normal(size=(6, 5)) + 0.1 * RNG.normal(size=(120, 5))
PATIENTS = [f"{i // 2:05d}" for i in range(120)]


def named(rows, ids=None, dtype=np.float64):
    ids = [f"films/{i:03d}.png" for i in range(120)][rows] if ids is None else ids
    return sk.Embeddings(X[rows].astype(dtype), ids, sk.Space("a", 6, "fa")), sk.Embeddings(
        Y[rows].astype(dtype), ids, sk.Space("b", 5, "fb")
    )


def fitted(source, target, **settings):
    return sk.align(source, target, solver=sk.Ridge(), progress=False, **settings)


ANCHORS, FRESH = slice(0, 80), slice(80, 120)


@pytest.fixture(params=["in memory", "from disk"])
def kept(request, tmp_path):
    def through(alignment):
        if request.param == "in memory":
            return alignment
        return sk.load(sk.save(alignment, tmp_path / "map"))

    return through


def test_named_anchors_are_refused_by_their_ids_and_patients(kept):
    one = kept(fitted(*named(ANCHORS), groups=PATIENTS[ANCHORS]))
    with pytest.raises(LeakageError, match="fitted on 80 of these items and 80 of these pairs of vectors"):
        sk.gate(one, *named(ANCHORS), min_mrr=0)
    other = [f"{i}" for i in range(1000, 1040)]
    with pytest.raises(LeakageError, match=r"fitted on 1 of these patients\. .*hold out pairs of other patients"):
        sk.gate(one, *named(FRESH, other), groups=["p0"] * 20 + ["0"] * 20, by="value", min_mrr=0)  # 00000 at the fit
    assert sk.gate(one, *named(FRESH), groups=PATIENTS[FRESH], min_mrr=0).notes == (
        "the threshold 0.000 for mrr is no better than chance (0.107)",
    )


def test_leakage_that_is_allowed_is_a_note(kept):
    one = kept(fitted(*named(ANCHORS)))
    found = sk.gate(one, *named(ANCHORS), min_mrr=0.5, allow_leakage=True)
    assert found.notes == ("LEAKAGE: the map was fitted on 80 of these items and 80 of these pairs of vectors",)


def test_ids_in_another_spelling_are_the_same_items(kept):
    one = kept(fitted(*named(ANCHORS)))
    windows = [rf".\Films\{i}.PNG" for i in range(80, 120)]
    sk.gate(one, *named(FRESH, windows), min_mrr=0)
    for spelled in (r"Films\{}.PNG", "./films/{}.png", "films/{:03d}.png"):
        ids = [spelled.format(i) for i in range(40)]
        with pytest.raises(LeakageError, match="fitted on 40 of these items"):
            sk.gate(one, *named(FRESH, ids), min_mrr=0)


def test_bare_numbers_in_another_spelling_may_be_other_items(kept):
    one = kept(fitted(*named(ANCHORS, [f"{i:03d}" for i in range(80)])))
    sk.gate(one, *named(FRESH, [str(i) for i in range(40)]), min_mrr=0)
    with pytest.raises(LeakageError, match="fitted on 20 of these items"):
        sk.gate(one, *named(FRESH, [f"{i:03d}" for i in range(60, 100)]), min_mrr=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_plain_arrays_are_known_by_their_rows(kept, dtype):
    one = kept(fitted(X[ANCHORS], Y[ANCHORS]))
    with pytest.raises(LeakageError, match="fitted on 10 of these pairs of vectors"):
        sk.gate(one, X[70:110].astype(dtype), Y[70:110].astype(dtype), min_mrr=0)
    sk.gate(one, X[FRESH].astype(dtype), Y[FRESH].astype(dtype), min_mrr=0)


def test_the_same_vectors_under_other_ids_are_the_same_items(kept):
    one = kept(fitted(*named(ANCHORS)))
    with pytest.raises(LeakageError, match="fitted on 80 of these pairs of vectors"):
        sk.gate(one, *named(ANCHORS, [f"{i}.png" for i in range(80)]), min_mrr=0)


def test_one_text_of_many_images_is_no_leakage(kept):
    """Equal vectors on one side alone, of a text that many reports share, are other pairs."""
    x, y = X.copy(), Y.copy()
    y[::4] = y[0]
    one = kept(fitted(x[ANCHORS], y[ANCHORS]))
    sk.gate(one, x[FRESH], y[FRESH], min_mrr=0)


def test_huge_and_tiny_vectors_are_told_apart(kept):
    for size in (1e-60, 1e60):
        one = fitted(X[ANCHORS] * size, Y[ANCHORS] * size)
        sk.gate(one, X[FRESH] * size, Y[FRESH] * size, min_mrr=0)
        with pytest.raises(LeakageError, match="40 of these pairs"):
            sk.gate(one, X[:40] * size, Y[:40] * size, min_mrr=0)


def test_the_map_gated_against_is_asked_too(kept):
    one, other = fitted(X[:40], Y[:40]), kept(fitted(X[40:80], Y[40:80]))
    with pytest.raises(LeakageError, match="the other map was fitted on 20 of these pairs"):
        sk.gate(one, X[60:100], Y[60:100], against=other)


def test_hashes_can_be_left_out_and_then_that_is_said(kept):
    one = kept(fitted(*named(ANCHORS), groups=PATIENTS[ANCHORS], anchor_hashes=False))
    assert "anchor_hashes" not in one.record
    found = sk.gate(one, *named(ANCHORS), min_mrr=0.5)
    assert found.notes == ("the map keeps no hashes of its anchors, so that these pairs are others was not checked",)


def test_hashes_are_plain_values_that_name_nobody():
    record = fitted(*named(ANCHORS), groups=PATIENTS[ANCHORS]).record
    text = json.dumps(record["anchor_hashes"])
    assert "films" not in text
    assert "00007" not in text
    assert repr(record["anchor_hashes"]) == "<hashes of 80 ids, 40 groups, 80 rows>"
    other = fitted(*named(slice(1, 80)), groups=PATIENTS[1:80]).record["anchor_hashes"]
    assert not set(split(record["anchor_hashes"]["groups"])) & set(split(other["groups"]))  # salted


def test_of_many_anchors_evenly_spread_rows_are_kept(monkeypatch):
    from stitchkit.core import anchor_hashes

    monkeypatch.setattr(anchor_hashes, "MOST", 20)
    one = fitted(X[ANCHORS], Y[ANCHORS])
    with pytest.raises(LeakageError, match="fitted on 10 of these pairs"):
        sk.gate(one, X[:40], Y[:40], min_mrr=0)
    assert sk.gate(one, X[FRESH], Y[FRESH], min_mrr=0).notes[0] == (
        "the map keeps 20 of 80 hashes of its pairs of vectors, so that an overlap of a few can be missed"
    )


def test_items_are_not_called_new_where_only_some_hashes_were_kept(monkeypatch):
    from stitchkit.core import anchor_hashes

    monkeypatch.setattr(anchor_hashes, "MOST", 20)
    one = fitted(*named(ANCHORS), groups=[f"p{i}" for i in range(80)])
    assert audit_items(one, items(FRESH), [f"q{i}" for i in range(40)]) == [
        f"the map keeps 20 of 80 hashes of its {kind}, so that an overlap of a few can be missed"
        for kind in ("items", "patients")
    ]


@pytest.mark.parametrize("name", ["O´Brien 7", "Zoë¨ 7", "ﬁ´7", "Å 7", "P‑007"])
def test_a_patient_is_known_by_the_same_letters(name):
    one = fitted(*named(ANCHORS), groups=[f"{name}{i // 2}" for i in range(80)])
    with pytest.raises(LeakageError, match="fitted on 40 of these patients"):
        sk.gate(one, *named(FRESH), groups=[f"{name}{i}" for i in range(40)], min_mrr=0)


def test_bare_numbers_as_ids_are_compared_as_they_are_written():
    kept = hashes_of(["500", "9", "scan 7"], None)
    assert common(kept, ids=["0500", "9.0", "Scan-007"]).counts == {"ids": 1}
    assert common(kept, ids=["500", "9"]).counts == {"ids": 2}


@pytest.mark.parametrize(("ids", "counted"), [(["6"], False), (["4"], True), (["1", "6"], True), ([], False)])
def test_row_numbers_reach_twice_as_far_as_there_are_rows_and_two_more(ids, counted):
    assert are_row_numbers(np.asarray(ids, dtype=str)) == counted


def test_a_negative_zero_is_a_zero():
    rows = np.eye(3)
    assert pair_digests(-0.0 * rows + rows, rows) == pair_digests(rows, rows)
    assert pair_digests(np.where(rows == 0, -0.0, rows), rows) == pair_digests(rows, rows)


def test_a_rule_of_spelling_of_another_version_is_refused():
    kept = {**hashes_of(["a"], ["P7"]), "spelling": "of another version"}
    with pytest.raises(InputError, match="the rule 'of another version', which this version does not know"):
        common(kept, groups=["P7"])


def test_held_out_pairs_of_a_diagnosis_are_checked(kept):
    one = kept(fitted(*named(ANCHORS)))
    with pytest.raises(LeakageError, match="fitted on 80 of these items"):
        sk.diagnose(one, *named(ANCHORS), pairs="held-out", replicates=20)
    sk.diagnose(one, *named(ANCHORS), pairs="anchors", replicates=20)
    sk.diagnose(one, *named(FRESH), pairs="held-out", replicates=20)


def test_a_pool_that_is_given_keeps_the_hashes_of_the_anchors():
    one = sk.align(X[:30], Y[:30], pool=(X[30:70], Y[30:70]), progress=False)
    with pytest.raises(LeakageError, match="fitted on 30 of these pairs"):
        sk.gate(one, X[:60], Y[:60], min_mrr=0)


@pytest.mark.parametrize("start", [0, 1, 2])
def test_row_numbers_are_no_ids(kept, start):
    """Readers number lines from 1 and rows from 2; unrelated files have the same numbers."""
    one = kept(fitted(*named(ANCHORS, [str(i + start) for i in range(80)])))
    assert one.record["anchor_hashes"]["ids"] is None
    sk.gate(one, *named(FRESH, [str(i + start) for i in range(40)]), min_mrr=0)
    with pytest.raises(LeakageError, match="40 of these pairs of vectors"):
        sk.gate(one, *named(slice(0, 40), [str(i + start) for i in range(40)]), min_mrr=0)


def test_copies_in_half_precision_are_known(kept):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 40)) * 7
    y = x[:, :20] + 0.1 * rng.normal(size=(60, 20))
    one = kept(fitted(x[:40], y[:40]))
    for dtype in (np.float16, np.float32):
        with pytest.raises(LeakageError, match="20 of these pairs of vectors"):
            sk.gate(one, x[20:60].astype(dtype), y[20:60].astype(dtype), min_mrr=0)


@pytest.mark.parametrize(("anchors", "held", "same"), [("{:05d}", "P{}", True), ("P{:03d}", "{}", True),
                                                       ("A{}", "B{}", False), ("P{}", "p{:04d}", True)])  # fmt: skip
def test_a_constant_prefix_of_one_side_is_left_out(kept, anchors, held, same):
    one = kept(fitted(*named(ANCHORS), groups=[anchors.format(i) for i in range(80)]))
    fresh = [held.format(i) for i in range(40)]
    if same:
        with pytest.raises(LeakageError, match="fitted on 40 of these patients"):
            sk.gate(one, *named(FRESH), groups=fresh, min_mrr=0)
    else:
        sk.gate(one, *named(FRESH), groups=fresh, min_mrr=0)


@pytest.mark.parametrize("rule", ["folded", "folded without punctuation"])
def test_hashes_of_an_earlier_rule_of_spelling_are_compared_by_it(kept, monkeypatch, rule):
    from stitchkit.core import anchor_hashes

    monkeypatch.setattr(anchor_hashes, "SPELLING", rule)
    one = kept(fitted(*named(ANCHORS, [f"scan-{i:02d}" for i in range(80)]), groups=[f"P-{i:02d}" for i in range(80)]))
    monkeypatch.undo()
    other = [f"other {i}" for i in range(40)]
    for people in ([f"P-{i:02d}" for i in range(40)], [f"p-{i}" for i in range(40)]):
        with pytest.raises(LeakageError, match=r"fitted on 40 of these patients\."):
            sk.gate(one, *named(FRESH, other), groups=people, min_mrr=0)
    for ids in ([f"scan-{i:02d}" for i in range(40)], [f"SCAN-{i}" for i in range(40)]):
        with pytest.raises(LeakageError, match=r"fitted on 40 of these items\."):
            sk.gate(one, *named(FRESH, ids), min_mrr=0)
    sk.gate(one, *named(FRESH, other), groups=[f"P-{i}" for i in range(80, 120)], min_mrr=0)


def test_hashes_of_a_record_that_an_earlier_version_wrote_are_compared():
    kept = {
        "salt": "20d4dd73cb48ad23", "spelling": "folded",
        "ids": "48b225079b68d5d8cfa6ce60da008185", "n_ids": 2,  # films/01.png and 2.PNG
        "groups": "280fe16e04d8a5daba2afa1717b30ba6", "n_groups": 2,  # P-007 and O´Brien 7
        "rows": None, "n_rows": None, "bare": None,
    }  # fmt: skip
    found = common(kept, ids=["Films\\1.png", "02.png", "3.png"], groups=["p-7", "O´Brien 7", "P7"])
    assert found.counts == {"ids": 2, "groups": 2}


@pytest.mark.parametrize("spelled", ["P{}", "P_{}", "p-{:03d}", "(P {})", "#P{}", "P.{}", "P/{}", "{},0", "[{}]"])
def test_punctuation_around_and_before_numbers_of_patients_and_items_is_spelling(kept, spelled):
    one = kept(fitted(*named(ANCHORS, [f"P-{i}" for i in range(80)]), groups=[f"P-{i}" for i in range(80)]))
    people = [spelled.format(i) for i in range(40)]
    with pytest.raises(LeakageError, match=r"fitted on 40 of these patients\."):
        sk.gate(one, *named(FRESH, [f"other {i}" for i in range(40)]), groups=people, min_mrr=0)
    if "P" in spelled.upper() and "/" not in spelled:
        with pytest.raises(LeakageError, match=r"fitted on 40 of these items\."):
            sk.gate(one, *named(FRESH, people), min_mrr=0)


def test_a_repeated_pair_is_no_missing_hash():
    x, y = np.concatenate([X[:40], X[:1]]), np.concatenate([Y[:40], Y[:1]])
    assert sk.gate(fitted(x, y), X[FRESH], Y[FRESH], min_mrr=0.5).notes == ()


def items(rows, ids=None):
    ids = [f"films/{i:03d}.png" for i in range(120)][rows] if ids is None else ids
    return sk.Items(ids, [f"report {i}" for i in range(120)][rows], "text")


def test_items_of_anchors_and_of_their_patients_are_not_judged(kept):
    one = kept(fitted(*named(ANCHORS), groups=PATIENTS[ANCHORS]))
    with pytest.raises(LeakageError, match=r"fitted on 80 of these items\. .*hold out"):
        audit_items(one, items(ANCHORS))
    for people in (PATIENTS[:40], [str(int(one)) for one in PATIENTS[:40]]):
        with pytest.raises(LeakageError, match=r"fitted on 20 of these patients\."):
            audit_items(one, items(FRESH), people)
        found = audit_items(one, items(FRESH), people, allow=True)
        assert found == ["LEAKAGE: the map was fitted on 20 of these patients"]
        assert audit_items(one, items(FRESH), people, judged=False) == found
    assert audit_items(one, items(FRESH), PATIENTS[FRESH]) == []


def test_what_was_not_compared_of_judged_items_is_said(kept):
    one = kept(fitted(*named(ANCHORS, [str(i + 1) for i in range(80)]), groups=PATIENTS[ANCHORS]))
    numbered = items(FRESH, [str(i + 1) for i in range(40)])
    unknown = "the patients of these items are not known, so that patients were not compared"
    said = "the ids of these items are row numbers, which any table has: items were"
    assert audit_items(one, numbered) == [f"{said} not compared", unknown]
    with_files = remember_files(one, items(ANCHORS))
    assert audit_items(with_files, numbered) == [f"{said} compared by what their files hold", unknown]
    with pytest.raises(LeakageError, match=r"fitted on 40 of these files\."):
        audit_items(with_files, items(slice(0, 40), numbered.ids.tolist()))
    sparse = fitted(*named(ANCHORS, [str(9 * i + 500) for i in range(80)]))
    assert audit_items(sparse, numbered) == [f"{said} not compared"]
    sparse = fitted(*named(ANCHORS, [str(9 * i + 5) for i in range(80)]))
    assert audit_items(sparse, numbered) == [f"{said} not compared; 4 of the numbers are ids of anchors"]
    numbered_pairs = named(FRESH, numbered.ids.tolist())
    assert sk.gate(sparse, *numbered_pairs, min_mrr=0.5).notes == (
        "the ids of these pairs are row numbers, which any table has: items were compared by their vectors; 4 of the "
        "numbers are ids of anchors",
    )
    bare = fitted(*named(ANCHORS), anchor_hashes=False)
    assert audit_items(bare, items(FRESH)) == [
        "the map keeps no hashes of its anchors, so that these items are others was not checked"
    ]
    for alignment in (one, bare):
        assert audit_items(alignment, numbered, judged=False) == []


def test_an_alignment_without_anchors_has_none_to_be_compared_with():
    one = fitted(*named(ANCHORS), anchor_hashes=False)
    clip = dataclasses.replace(one, record={**one.record, "anchors": 0})
    assert audit_items(clip, items(FRESH)) == []
    assert sk.gate(clip, *named(FRESH), min_mrr=0.5).notes == ()


def retrieval(alignment, source, target, **settings):
    return sk.evaluate_retrieval(alignment, source, target, ks=(1,), **settings)


def test_retrieval_is_not_measured_on_the_anchors(kept):
    one = kept(fitted(*named(ANCHORS), groups=PATIENTS[ANCHORS]))
    with pytest.raises(LeakageError, match="fitted on 80 of these items and 80 of these pairs of vectors"):
        retrieval(one, *named(ANCHORS))
    with pytest.raises(LeakageError, match=r"fitted on 20 of these patients\."):
        retrieval(one, *named(FRESH), groups=[str(i // 2) for i in range(40)])  # 00000 at the fit
    with pytest.raises(LeakageError, match="fitted on 10 of these pairs of vectors"):
        retrieval(one, X[70:110], Y[70:110])
    found = retrieval(one, *named(FRESH), groups=PATIENTS[FRESH])
    assert found.notes == ()
    assert "note:" not in str(found)


def test_retrieval_on_anchors_that_is_allowed_says_so(kept):
    one = kept(fitted(*named(ANCHORS)))
    found = retrieval(one, *named(ANCHORS), allow_leakage=True)
    said = "LEAKAGE: the map was fitted on 80 of these items and 80 of these pairs of vectors"
    assert found.notes == (said,)
    assert str(found).endswith(f"note: {said}")
    assert found.forward == retrieval(fitted(*named(ANCHORS), anchor_hashes=False), *named(ANCHORS)).forward


def test_retrieval_without_hashes_says_that_nothing_was_checked(kept):
    one = kept(fitted(*named(ANCHORS), anchor_hashes=False))
    assert "keeps no hashes of its anchors" in retrieval(one, *named(ANCHORS)).notes[0]


VERBS = {
    "gate": lambda *sides, **settings: sk.gate(*sides, min_mrr=0.5, by="value", **settings).notes,
    "retrieval": lambda *sides, **settings: retrieval(*sides, **settings).notes,
    "diagnose": lambda *sides, **settings: sk.diagnose(*sides, pairs="held-out", k=3, replicates=5, **settings).notes,
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("start", [0, 1, 2])
@pytest.mark.parametrize("ids", [None, "row numbers"])
def test_ids_that_are_row_numbers_are_said_to_say_nothing(kept, verb, start, ids):
    one = kept(fitted(*named(ANCHORS, ids and [str(i + start) for i in range(80)])))
    notes = VERBS[verb](one, *named(FRESH, [str(i + start) for i in range(40)]))
    said = "the ids of these pairs are row numbers, which any table has: items were compared by their vectors"
    assert notes.count(said) == 1


@pytest.mark.parametrize("verb", VERBS)
def test_what_one_side_alone_knows_is_said_not_to_be_compared(kept, verb):
    bare, full = fitted(X[ANCHORS], Y[ANCHORS]), kept(fitted(*named(ANCHORS), groups=PATIENTS[ANCHORS]))
    notes = VERBS[verb](bare, *named(FRESH), groups=PATIENTS[FRESH])
    assert "the map knows no ids of its anchors, or row numbers alone: items were compared by their vectors" in notes
    assert "the map knows no patients of its anchors, so that patients were not compared" in notes
    notes = VERBS[verb](full, *named(FRESH))
    assert "the patients of these pairs are not known, so that patients were not compared" in notes
    for notes in (VERBS[verb](full, *named(FRESH), groups=PATIENTS[FRESH]), VERBS[verb](bare, X[FRESH], Y[FRESH])):
        assert not [note for note in notes if "compared" in note]


Z = X @ RNG.normal(size=(6, 4)) + 0.1 * RNG.normal(size=(120, 4))
TWO = [("a", "b"), ("b", "a"), ("a", "c"), ("c", "a"), ("b", "c"), ("c", "b")]


def views(rows, ids=None):
    a, b = named(rows, ids)
    return {"a": a, "b": b, "c": sk.Embeddings(Z[rows], a.ids, sk.Space("c", 4, "fc"))}


@pytest.fixture(params=["in memory", "from disk", "joint from disk"])
def between(request, tmp_path):
    def pair(joint, source, target):
        if request.param == "joint from disk":
            joint = sk.load(sk.save(joint, tmp_path / f"joint of {source} and {target}"))
        alignment = joint.between(source, target)
        if request.param != "from disk":
            return alignment
        return sk.load(sk.save(alignment, tmp_path / f"{source} to {target}"))

    return pair


@pytest.mark.parametrize("solver", ["procrustes", "gcca"])
def test_an_alignment_of_two_of_many_spaces_is_not_judged_on_its_own_items(between, solver):
    joint = sk.align_many(views(ANCHORS), solver=solver, groups=PATIENTS[ANCHORS])
    fresh = [f"other/{i}" for i in range(40)]
    for source, target in TWO:
        one = between(joint, source, target)
        seen, new, same = views(ANCHORS), views(FRESH), views(slice(0, 40), fresh)
        with pytest.raises(LeakageError, match="fitted on 80 of these items and 80 of these pairs of vectors"):
            sk.gate(one, seen[source], seen[target], min_mrr=0)
        with pytest.raises(LeakageError, match=r"fitted on 40 of these pairs of vectors\."):
            sk.gate(one, same[source], same[target], min_mrr=0)
        with pytest.raises(LeakageError, match=r"fitted on 20 of these patients\."):
            sk.gate(one, new[source], new[target], groups=[str(i // 2) for i in range(40)], min_mrr=0)
        found = sk.gate(one, new[source], new[target], groups=PATIENTS[FRESH], min_mrr=0)
        assert not [note for note in found.notes if "LEAKAGE" in note or "hashes" in note]


def test_plain_rows_of_many_spaces_are_known_both_ways(between):
    joint = sk.align_many({"a": X[ANCHORS], "b": Y[ANCHORS], "c": Z[ANCHORS]})
    rows = {"a": X, "b": Y, "c": Z}
    for source, target in TWO:
        one = between(joint, source, target)
        with pytest.raises(LeakageError, match="fitted on 10 of these pairs of vectors"):
            sk.gate(one, rows[source][70:110], rows[target][70:110], min_mrr=0)
        sk.gate(one, rows[source][FRESH], rows[target][FRESH], min_mrr=0)


def test_hashes_of_many_spaces_can_be_left_out(between):
    joint = sk.align_many(views(ANCHORS), groups=PATIENTS[ANCHORS], anchor_hashes=False)
    assert "anchor_hashes" not in joint.record
    found = sk.gate(between(joint, "a", "b"), *named(ANCHORS), min_mrr=0.5)
    assert found.notes == ("the map keeps no hashes of its anchors, so that these pairs are others was not checked",)


def test_hashes_of_many_spaces_name_nobody_and_say_how_many(monkeypatch):
    from stitchkit.core import anchor_hashes

    kept = sk.align_many(views(ANCHORS), groups=PATIENTS[ANCHORS]).record["anchor_hashes"]
    assert "films" not in json.dumps(kept)
    assert repr(kept) == "<hashes of 80 ids, 40 groups, 80 rows of 3 spaces>"
    monkeypatch.setattr(anchor_hashes, "MOST_OF_VIEWS", 20)
    one = sk.align_many({"a": X[ANCHORS], "b": Y[ANCHORS], "c": Z[ANCHORS]}).between("c", "a")
    with pytest.raises(LeakageError, match="fitted on 10 of these pairs"):
        sk.gate(one, Z[:40], X[:40], min_mrr=0)
    assert "keeps 20 of 80 hashes of its pairs of vectors" in sk.gate(one, Z[FRESH], X[FRESH], min_mrr=0).notes[0]


def test_held_out_pairs_of_a_diagnosis_of_two_of_many_spaces_are_checked(between):
    one = between(sk.align_many(views(ANCHORS)), "c", "a")
    seen, new = views(ANCHORS), views(FRESH)
    with pytest.raises(LeakageError, match="fitted on 80 of these items"):
        sk.diagnose(one, seen["c"], seen["a"], pairs="held-out", replicates=20)
    sk.diagnose(one, new["c"], new["a"], pairs="held-out", replicates=20)


def test_a_space_with_itself_has_no_pairs_but_has_ids(between):
    one = between(sk.align_many(views(ANCHORS)), "a", "a")
    with pytest.raises(LeakageError, match=r"fitted on 80 of these items\."):
        sk.gate(one, named(ANCHORS)[0], named(ANCHORS)[0], min_mrr=0)


@pytest.mark.parametrize("lost", ["salt", "n_ids", "n_rows"])
def test_hashes_that_are_not_whole_are_refused_by_name(lost):
    one = fitted(*named(ANCHORS))
    hashes = {key: value for key, value in one.record["anchor_hashes"].items() if key != lost}
    broken = dataclasses.replace(one, record={**one.record, "anchor_hashes": hashes})
    with pytest.raises(InputError, match=f"the hashes of anchors in the record lack '{lost}'"):
        sk.gate(broken, *named(FRESH), min_mrr=0)


def test_labels_of_the_maps_own_anchors_are_left_out_where_no_anchors_are_given():
    one = fitted(*named(ANCHORS))
    ids = named(ANCHORS)[0].ids
    labels = sk.Labels(np.ones((len(ids), 1)), ids, ("Edema",))
    left, notes = without_anchors(labels, one, ids[:3])
    assert left.ids.tolist() == ids[:3].tolist()
    assert notes == ["77 labelled items are anchors that the map was fitted on"]
    anchors = sk.AnchorSet(ids, items(ANCHORS), items(ANCHORS))
    assert without_anchors(labels, one, ids[:3], anchors) == (labels, [])
    assert without_anchors(labels, None, ids[:3]) == (labels, [])
