"""Comparing solvers: one set of folds, one set of held-out pairs, paired differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.alignment.folds import assign
from stitchkit.core.errors import EvidenceError, InputError, StitchError, UnknownNameError
from stitchkit.evaluation.retrieval import folded_pairs
from stitchkit.metrics.r2_intervals import r2_difference

FIXED = {"orthogonal": sk.Procrustes(), "ridge": sk.Ridge(), "least squares": sk.LeastSquares()}


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    meaning = rng.normal(size=(90, 5))
    x = meaning @ rng.normal(size=(5, 8)) + 0.7 * rng.normal(size=(90, 8))
    return x, meaning @ rng.normal(size=(5, 6)) + 0.7 * rng.normal(size=(90, 6))


@pytest.fixture(scope="module")
def found(pairs):
    return sk.compare(*pairs, solvers=FIXED, ks=(1, 4))


@pytest.mark.parametrize("label", FIXED)
def test_the_numbers_are_the_literal_ones(pairs, found, label):
    x, y = pairs
    there, back, missed = [], [], 0.0
    for rows in assign(90, None, seed=0):
        rest = np.setdiff1d(np.arange(90), rows)
        fitted = sk.align(x[rest], y[rest], solver=FIXED[label])
        table = fitted.similarity(x[rows], y[rows])
        true = np.diag(table)
        there += (1 + (table > true[:, None]).sum(axis=1)).tolist()
        back += (1 + (table > true[None, :]).sum(axis=0)).tolist()
        missed += np.sum((y[rows] - fitted.to_target(x[rows])) ** 2)
    expected = {
        "mrr": np.mean(1 / np.asarray(there)),
        "recall@1": np.mean(np.asarray(there) <= 1),
        "recall@4": np.mean(np.asarray(there) <= 4),
        "mrr back": np.mean(1 / np.asarray(back)),
        "recall@1 back": np.mean(np.asarray(back) <= 1),
        "recall@4 back": np.mean(np.asarray(back) <= 4),
        "r2": 1 - missed / np.sum((y - y.mean(axis=0)) ** 2),
    }
    measures = found.row(label).measures
    assert set(measures) == set(expected)
    for name, value in expected.items():
        if label != "least squares":  # it is fitted from moments here and may differ in the last digits
            assert measures[name].value == pytest.approx(value, abs=1e-12)
        assert measures[name].value == pytest.approx(value, abs=1e-9)
        assert measures[name].low <= measures[name].value <= measures[name].high


def test_chance_and_gallery_stand_beside_the_numbers(found):
    assert (found.gallery, found.folds, found.pairs, found.patients) == (18, 5, 90, None)
    assert found.chance["recall@4"] == pytest.approx(4 / 18)
    assert found.chance["mrr"] == pytest.approx(np.mean(1 / np.arange(1, 19)))
    assert found.chance["r2"] == 0
    for words in ("galleries of 18", "chance", "0.194", "patients not known"):
        assert words in str(found)


def test_shuffled_pairs_are_at_chance(pairs):
    x, y = pairs
    order = np.random.default_rng(3).permutation(90)
    row = sk.compare(x, y[order], solvers={"ridge": sk.Ridge()}).best
    assert row.measures["mrr"].low < 0.194 < row.measures["mrr"].high + 0.05
    assert row.measures["r2"].value < 0


def test_differences_are_paired(pairs):
    twice = {"one": sk.Ridge(), "the same": sk.Ridge(), "another": sk.Procrustes()}
    found = sk.compare(*pairs, solvers=twice)
    same = [one for one in found.rows if one.name in ("one", "the same")]
    gaps = [one.difference for one in same if one.difference is not None]
    if found.reference == "another":
        assert gaps[0] == gaps[1]
    else:
        assert gaps[0] == (0, 0, 0)
        other = found.row("another")
        apart = other.difference.high - other.difference.low
        own = other.measures["mrr"].high - other.measures["mrr"].low
        assert apart < 2 * own


def test_the_best_row_is_first_and_the_others_are_compared_with_it(found):
    values = [one.measures["mrr"].value for one in found.rows]
    assert values == sorted(values, reverse=True)
    assert found.reference == found.best.name
    assert found.best.difference is None
    for one in found.rows[1:]:
        assert one.difference.value == pytest.approx(one.measures["mrr"].value - values[0], abs=1e-12)
    assert any("flatters" in note for note in found.notes)


def test_auto_is_the_reference_and_says_what_it_chose(pairs):
    found = sk.compare(*pairs, solvers=["auto", "procrustes", "least_squares"])
    assert found.reference == "auto"
    assert sum(found.row("auto").chosen.values()) == 5
    assert "auto chose" in str(found)
    assert not any("flatters" in note for note in found.notes)


def test_without_names_every_solver_stands_beside_the_search_with_its_defaults(pairs):
    found = sk.compare(*pairs)
    named = [one.name for one in found.rows] + list(found.not_compared)
    assert sorted(named) == sorted(
        ["auto", *(f"{name} (defaults)" if name in folded_pairs.TRACKS else name for name in folded_pairs.SOLVERS)]
    )
    ridge = sk.compare(*pairs, solvers={"ridge": sk.Ridge()}).best
    assert found.row("ridge (defaults)").measures == ridge.measures


def test_a_head_is_compared_by_r2(pairs):
    found = sk.compare(*pairs, solvers=FIXED, purpose="head")
    assert found.criterion == "r2"
    values = [one.measures["r2"].value for one in found.rows]
    assert values == sorted(values, reverse=True)
    assert found.row("orthogonal").difference.high < 0  # it cannot shrink each direction by itself
    assert found.to_dict()["rows"][0]["measures"]["r2"]["value"] == found.best.measures["r2"].value


@pytest.mark.parametrize("patients", [None, np.arange(90) // 6])
def test_differences_of_r2_are_paired_over_patients_and_not_resampled(pairs, patients):
    found = sk.compare(*pairs, solvers=FIXED, groups=patients, purpose="head")
    assert found.rows == sk.compare(*pairs, solvers=FIXED, groups=patients, purpose="head").rows
    x, y = pairs
    people = np.arange(90) if patients is None else patients
    missed = {}
    for label in FIXED:
        each = np.empty(90)
        for rows in assign(90, patients, seed=0):
            rest = np.setdiff1d(np.arange(90), rows)
            fitted = sk.align(x[rest], y[rest], solver=FIXED[label])
            each[rows] = np.sum((y[rows] - fitted.to_target(x[rows])) ** 2, axis=1)
        missed[label] = np.bincount(people, each)
    spread = np.bincount(people, np.sum((y - y.mean(axis=0)) ** 2, axis=1))
    for row in found.rows[1:]:
        expected = r2_difference(missed[row.name], missed[found.reference], spread)
        assert row.difference == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_one_map_under_two_names_has_no_difference_in_r2(pairs):
    found = sk.compare(*pairs, solvers={"one": sk.Ridge(), "the same": sk.Ridge()}, purpose="head")
    assert found.rows[1].difference == (0, 0, 0)


def test_a_solver_that_fails_is_listed_with_its_reason(pairs):
    @dataclass(frozen=True)
    class Hungry:
        needs = frozenset({"pools"})

        def fit(self, evidence):
            raise EvidenceError("Hungry needs pools")

    found = sk.compare(*pairs, solvers={"ridge": sk.Ridge(), "hungry": Hungry()})
    assert found.not_compared == {"hungry": "Hungry needs pools"}
    assert "not compared: hungry: Hungry needs pools" in str(found)
    with pytest.raises(InputError, match=r"none of 1 solvers can be fitted.*Hungry needs pools"):
        sk.compare(*pairs, solvers={"hungry": Hungry()})


@dataclass(frozen=True)
class Asking:
    strength: float
    needs = frozenset({"moments"})


@dataclass(frozen=True)
class Pooling:
    needs = frozenset({"moments", "pools"})


@pytest.mark.parametrize(("name", "why"), [("Asking", "no default for strength"), ("Pooling", "needs pools")])
def test_a_solver_of_the_table_that_pairs_cannot_fit_is_left_out(pairs, monkeypatch, name, why):
    monkeypatch.setitem(folded_pairs.SOLVERS, "new", f"{__name__}:{name}")
    monkeypatch.setattr(folded_pairs, "import_module", lambda _: __import__("sys").modules[__name__])
    found = sk.compare(*pairs, solvers={"ridge": sk.Ridge(), "new": "new"})
    assert why in found.not_compared["new"]


def test_a_patient_is_never_split_and_repeating_rows_narrows_nothing(pairs):
    x, y = (np.repeat(side, 2, axis=0) + 0.0 for side in pairs)
    patients = np.repeat(np.arange(90), 2)
    once = sk.compare(*pairs, solvers={"ridge": sk.Ridge()}, groups=np.arange(90))
    twice = sk.compare(x, y, solvers={"ridge": sk.Ridge()}, groups=patients)
    assert twice.patients == 90
    widths = [one.best.measures["r2"].high - one.best.measures["r2"].low for one in (once, twice)]
    assert widths[1] > 0.8 * widths[0]
    repeats = sk.compare(x, y, solvers={"ridge": sk.Ridge()}).best.measures["r2"].value
    assert twice.best.measures["r2"].value == pytest.approx(repeats)  # exact repeats stay together without being told
    near = x + 1e-9 * np.random.default_rng(0).normal(size=x.shape)
    leaked = sk.compare(near, y, solvers={"ridge": sk.Ridge()}).best.measures["r2"].value
    assert twice.best.measures["r2"].value < leaked - 0.01


def test_folds_of_single_targets_are_refused(pairs):
    with pytest.raises(InputError, match="Lower folds"):
        sk.compare(*pairs, solvers={"ridge": sk.Ridge()}, folds=90)


def test_equal_targets_are_one(pairs):
    x, y = pairs
    same = y.copy()
    same[45:] = y[:45]
    found = sk.compare(x, same, solvers={"ridge": sk.Ridge()}, groups=np.arange(90) % 45)
    assert found.gallery == 9
    assert found.chance["recall@1"] == pytest.approx(1 / 9)


def test_embeddings_are_paired_by_id(pairs, found):
    x, y = pairs
    ids = [f"pair {i}" for i in range(90)]
    order = np.random.default_rng(4).permutation(90)
    source = sk.Embeddings(x, ids, sk.Space("a", 8))
    target = sk.Embeddings(y, ids, sk.Space("b", 6)).take(order)
    again = sk.compare(source, target, solvers=FIXED, ks=(1, 4))
    assert again.to_dict() == found.to_dict()


def test_every_library_gives_the_same_comparison(library, pairs, found):
    again = sk.compare(*library(*pairs), solvers=FIXED, ks=(1, 4))
    for row in found.rows:
        for name, value in row.measures.items():
            assert again.row(row.name).measures[name] == pytest.approx(value, abs=1e-7)


def test_few_patients_are_said_to_be_few(pairs):
    found = sk.compare(*pairs, solvers={"ridge": sk.Ridge()}, groups=np.arange(90) % 4)
    assert found.folds == 4
    assert any("4 patients are too few" in note for note in found.notes)


@pytest.mark.parametrize("purpose", ["match", "head"])
@pytest.mark.parametrize(("patients", "ends"), [(4, False), (5, True)])
def test_means_of_fewer_than_five_patients_have_no_interval(pairs, purpose, patients, ends):
    solvers = {"ridge": sk.Ridge(), "strong ridge": sk.Ridge(10.0)}
    found = sk.compare(*pairs, solvers=solvers, groups=np.arange(90) % patients, purpose=purpose)
    measures = [one for row in found.rows for one in row.measures.values()]
    differences = [row.difference for row in found.rows if row.difference is not None]
    assert {one.has_ends for one in measures + differences} == {ends}
    assert all(np.isfinite(one.value) for one in measures + differences)
    assert "nan" not in str(found)
    assert any(note.startswith("no interval of the measures") for note in found.notes) == (not ends)
    assert not any("above chance" in note for note in found.notes)


WRONG = {
    "unknown solver": ({"solvers": ["rigde"]}, UnknownNameError, "nearest: ridge"),
    "a class": ({"solvers": {"r": sk.Ridge}}, InputError, "neither a name nor a solver value"),
    "a single text": ({"solvers": "ridge"}, InputError, "list"),
    "no solver": ({"solvers": []}, InputError, "no solver"),
    "purpose": ({"purpose": "macht"}, UnknownNameError, "match"),
    "place": ({"ks": (0,)}, InputError, "at least 1"),
    "folds": ({"folds": 1}, InputError, "folds=1"),
    "one patient": ({"groups": np.zeros(90)}, InputError, "one patient"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_compared_is_refused(pairs, case):
    settings, kind, words = WRONG[case]
    with pytest.raises(StitchError, match=words) as error:
        sk.compare(*pairs, **{"solvers": FIXED, **settings})
    assert isinstance(error.value, kind)


def test_few_pairs_are_refused(pairs):
    with pytest.raises(InputError, match="9 pairs are too few"):
        sk.compare(pairs[0][:9], pairs[1][:9])


WIDE = {"auto": "auto", "relative": sk.Relative(), "least squares": sk.LeastSquares(), "pls": "pls"}


def test_noise_in_many_dimensions_is_at_chance_for_solvers_that_search_or_read_rows():
    rng = np.random.default_rng(8)  # 60 pairs in 90 dimensions: a map that saw a pair finds it again
    x, y = rng.normal(size=(60, 90)), rng.normal(size=(60, 80))
    found = sk.compare(x, y, solvers=WIDE)
    assert not found.not_compared
    for row in found.rows:
        assert row.measures["mrr"].value < found.chance["mrr"] + 0.15, row.name
        assert row.measures["mrr back"].value < found.chance["mrr back"] + 0.15, row.name


def test_copies_of_a_patient_do_not_lead_the_search_astray():
    rng = np.random.default_rng(3)  # noise, each pair four times: to a search without patients it looks like knowledge
    x, y = (np.repeat(rng.normal(size=(40, d)), 4, axis=0) + 0.05 * rng.normal(size=(160, d)) for d in (80, 30))
    patients = np.arange(160) // 4
    astray = sk.align(x, y, solver="ridge", purpose="head", nested=False).record["settings"]["alpha"]
    solvers = {"searched": "ridge", "astray": sk.Ridge(alpha=astray)}
    found = sk.compare(x, y, solvers=solvers, groups=patients, purpose="head")
    assert found.row("searched").measures["r2"].value > -0.2
    assert found.row("astray").measures["r2"].value < -0.4


def test_noise_has_no_winner_and_says_so(found):
    rng = np.random.default_rng(9)
    noise = sk.compare(rng.normal(size=(60, 6)), rng.normal(size=(60, 5)), solvers=FIXED)
    assert "no solver is clearly above chance" in noise.notes
    assert not any("above chance" in note for note in found.notes)


def test_what_the_intervals_are_over_is_said_as_it_is(pairs, found):
    assert any(note.startswith("intervals are over pairs; patients are not known") for note in found.notes)
    known = sk.compare(*pairs, solvers={"ridge": sk.Ridge()}, groups=np.arange(90) // 3)
    assert any(note.startswith("intervals are over patients;") for note in known.notes)


def test_chance_back_counts_every_right_source(pairs):
    x, y = pairs
    found = sk.compare(x, np.tile(y[:30], (3, 1)), solvers={"ridge": sk.Ridge()}, groups=np.arange(90) % 30)
    assert found.chance["recall@1"] == pytest.approx(1 / 6)
    assert found.chance["recall@1 back"] == pytest.approx(3 / 18)
    assert found.chance["mrr back"] > np.mean(1 / np.arange(1, 19)) + 0.1


def test_recall_of_all_or_nothing_has_width():
    x = np.random.default_rng(0).normal(size=(60, 5))
    found = sk.compare(x, x[:, ::-1].copy(), solvers={"orthogonal": sk.Procrustes()}).best.measures
    for name in ("mrr", "recall@1", "recall@1 back"):
        assert found[name] == (1.0, pytest.approx(0.025 ** (1 / 60)), 1.0)


# --- a head -------------------------------------------------------------------------------------------------------


def head_of(multiclass, classes=3, width=6):
    rng = np.random.default_rng(4)
    names = tuple(f"c{i}" for i in range(classes))
    return sk.LinearHead(
        sk.Space.of_array(width), names, rng.normal(size=(width, classes)), rng.normal(size=classes),
        multiclass=multiclass,
    )  # fmt: skip


def literal_agreement(x, y, head, solver):
    """Outputs of the head on mapped held-out vectors against those on the true ones, pooled over folds."""
    n, (found, wanted) = len(x), np.zeros((2, len(x), len(head.classes)))
    wanted[:] = y @ head.weight + head.bias
    centred = head.multiclass and len(head.classes) > 2
    if centred:
        wanted -= wanted.mean(axis=1, keepdims=True)
    middle = wanted.mean(axis=0)
    true = wanted - middle
    for rows in assign(n, None, seed=0):
        rest = np.setdiff1d(np.arange(n), rows)
        outputs = sk.align(x[rest], y[rest], solver=solver).to_target(x[rows]) @ head.weight + head.bias
        outputs = outputs - outputs.mean(axis=1, keepdims=True) - middle if centred else outputs
        if not centred:
            outputs = outputs - outputs.mean(axis=0)
            outputs /= np.sqrt(np.mean(outputs**2))
            true[rows] -= true[rows].mean(axis=0)
        found[rows] = outputs
    if not centred:
        return np.mean([np.corrcoef(found[:, c], true[:, c])[0, 1] for c in range(len(head.classes))])
    return np.mean(np.sum(found * true, axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(true, axis=1))


@pytest.mark.parametrize("multiclass", [False, True])
def test_a_head_is_compared_by_what_it_reads(pairs, multiclass):
    head = head_of(multiclass)
    result = sk.compare(*pairs, solvers=FIXED, purpose="head", head=head)
    assert result.criterion == "agreement"
    assert [row.measures["agreement"].value for row in result.rows] == sorted(
        (row.measures["agreement"].value for row in result.rows), reverse=True
    )
    for label, solver in FIXED.items():
        row = result.row(label)
        value = row.measures["agreement"]
        assert value.value == pytest.approx(literal_agreement(*pairs, head, solver), abs=1e-9)
        assert not value.has_ends
        assert value.value > row.chance["agreement"]
        assert "r2" in row.measures
        if row.difference is not None:
            base = result.row(result.reference).measures["agreement"].value
            assert row.difference.value == pytest.approx(value.value - base)
            assert not row.difference.has_ends
    assert not any("no head was given" in note or "above chance" in note for note in result.notes)
    assert any("agreement orders solvers and has no interval" in note for note in result.notes)
    assert "nan" not in str(result)
    assert result.to_dict()["criterion"] == "agreement"


def test_the_search_in_a_comparison_chooses_by_the_head(pairs, monkeypatch):
    seen = []
    real = folded_pairs.align
    monkeypatch.setattr(folded_pairs, "align", lambda *a, **k: seen.append(k["head"]) or real(*a, **k))
    head = head_of(True)
    sk.compare(*pairs, solvers=["auto", "ridge"], purpose="head", head=head)
    assert len(seen) == 10
    assert all(one is head for one in seen)


def test_one_solver_twice_differs_by_nothing_for_a_head(pairs):
    for multiclass in (False, True):
        twice = {"one": sk.Ridge(), "the same": sk.Ridge()}
        result = sk.compare(*pairs, solvers=twice, purpose="head", head=head_of(multiclass))
        assert result.rows[1].difference.value == 0


def test_chance_of_a_head_of_many_is_that_of_shuffled_pairs(pairs):
    row = sk.compare(*pairs, solvers={"ridge": sk.Ridge()}, purpose="head", head=head_of(True)).best
    shuffled = [np.random.default_rng(seed).permutation(90) for seed in range(5)]
    found = [
        sk.compare(pairs[0], pairs[1][order], solvers={"ridge": sk.Ridge()}, purpose="head", head=head_of(True))
        for order in shuffled
    ]
    mean = np.mean([one.best.measures["agreement"].value for one in found])
    assert row.chance["agreement"] == pytest.approx(mean, abs=0.15)


def test_without_a_head_the_note_is_that_of_align(pairs):
    note = next(one for one in sk.align(*pairs, purpose="head").record["notes"] if "no head was given" in one)
    assert note in sk.compare(*pairs, solvers=FIXED, purpose="head").notes
    assert note not in sk.compare(*pairs, solvers=FIXED).notes


@pytest.mark.parametrize("classes", [2, 130])
def test_heads_of_two_and_of_many_classes_are_compared(pairs, classes):
    for multiclass in (False, True):
        asked = {"solvers": {"ridge": sk.Ridge()}, "purpose": "head", "head": head_of(multiclass, classes)}
        result = sk.compare(*pairs, **asked)
        assert result.best.measures["agreement"].value > 0.5
        assert any("drawn at random" in note for note in result.notes) == (classes == 130 and not multiclass)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"head": head_of(True)}, "purpose='head'"),
        ({"purpose": "head", "head": head_of(True, width=5)}, "the head"),
        ({"purpose": "head", "head": "own"}, "must be a head such as"),
        ({"purpose": "head", "head": head_of(True, classes=1)}, "probability 1"),
    ],
)
def test_a_head_that_cannot_judge_is_refused_before_any_fit(pairs, asked, message, monkeypatch):
    monkeypatch.setattr(folded_pairs.FoldedPairs, "measure", lambda *a: pytest.fail("fitted"))
    with pytest.raises(StitchError, match=message):
        sk.compare(*pairs, solvers=FIXED, **asked)
