"""Values are frozen, and a value that exists is valid."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from stitchkit.core.alignments import Alignment
from stitchkit.core.anchors import AnchorSet
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import DataError, InputError, SpaceMismatchError, StitchError, UnknownNameError
from stitchkit.core.heads import LinearHead, ZeroShotHead
from stitchkit.core.items import Items, rows_of
from stitchkit.core.maps import AffineMap
from stitchkit.core.moments.moments import Moments
from stitchkit.core.prompts import PromptSet
from stitchkit.core.scores import Labels, Scores
from stitchkit.core.space import Space

IDS = ["a", "b", "c"]
NAN = float("nan")
ROWS = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
SPACE = Space("toy", 2, "f1")


def affine(source=SPACE, target=None, weight=None):
    weight = np.eye(2) if weight is None else weight
    return AffineMap(source, target or Space("other", 2, "f2"), np.zeros(2), weight, np.zeros(weight.shape[1]), 2)


def items(ids=IDS, values=("x", "y", "z"), modality="text"):
    return Items(ids, values, modality)


def anchors(**changed):
    return AnchorSet(**{"ids": IDS, "source_items": items(), "target_items": items(), **changed})


def zero_shot(**changed):
    given = {"to_common": affine(), "classes": ("p", "q"), "positive": np.eye(2)}
    return ZeroShotHead(**{**given, **changed})


GOOD = {
    "space": lambda: SPACE,
    "embeddings": lambda: Embeddings(ROWS, IDS, SPACE),
    "items": items,
    "anchors": anchors,
    "prompts": lambda: PromptSet("p", {"a": ("one",)}),
    "scores": lambda: Scores(np.zeros((3, 1)), "cosine", IDS, ("p",)),
    "labels": lambda: Labels(np.zeros((3, 1)), IDS, ("p",)),
    "map": affine,
    "moments": lambda: Moments.of(ROWS, ROWS),
    "linear head": lambda: LinearHead(SPACE, ("p",), np.zeros((2, 1)), np.zeros(1)),
    "zero-shot head": zero_shot,
    "alignment": lambda: Alignment(affine(), affine()),
}


@pytest.mark.parametrize("value", GOOD)
def test_values_are_frozen(value):
    one = GOOD[value]()
    for field in dataclasses.fields(one):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(one, field.name, None)


BAD = {  # what is wrong -> (what makes it, the error, what the error names)
    "space without width": (lambda: Space("toy", 0), InputError, "'toy'.*0"),
    "NaN": (lambda: Embeddings([[1, 2], [NAN, 4], [5, 6]], IDS, SPACE), InputError, r"'b' \(row 1\).*NaN.*1 of 3"),
    "infinity": (lambda: Embeddings([[1, 2], [3, 4], [np.inf, 1]], IDS, SPACE), InputError, "'c'"),
    "zero row": (lambda: Embeddings([[0, 0], [3, 4], [5, 6]], IDS, SPACE), InputError, "'a'.*zeros"),
    "wrong width": (lambda: Embeddings(np.ones((3, 3)), IDS, SPACE), InputError, r"'toy' is 2 wide; got \(n, 3\)"),
    "one dimension": (lambda: Embeddings(np.ones(3), IDS, SPACE), InputError, r"\(3,\)"),
    "three dimensions": (lambda: Embeddings(np.ones((3, 2, 1)), IDS, SPACE), InputError, r"\(3, 2, 1\)"),
    "too few ids": (lambda: Embeddings(ROWS, IDS[:2], SPACE), InputError, "3 vectors.*2 ids"),
    "repeated id": (lambda: Embeddings(ROWS, ["a", "b", "a"], SPACE), DataError, "'a' stands 2 times"),
    "empty id": (lambda: Embeddings(ROWS, ["a", "", "c"], SPACE), DataError, "row 1 has no id"),
    "ragged": (lambda: Embeddings([[1, 2], [3]], ["a", "b"], SPACE), InputError, "rectangular"),
    "strings": (lambda: Embeddings([["1", "2"]], ["a"], SPACE), InputError, "not real numbers"),
    "objects": (lambda: Embeddings(np.array([[1, None]]), ["a"], SPACE), InputError, "object"),
    "complex": (lambda: Embeddings(ROWS * 1j, IDS, SPACE), InputError, "complex"),
    "booleans": (lambda: Embeddings(ROWS > 0, IDS, SPACE), InputError, "bool"),
    "plain array of one dimension": (lambda: as_embeddings(np.ones(3), "x"), InputError, r"x must be \(n, d\)"),
    "items without ids": (lambda: items(ids=IDS[:2]), DataError, "2 ids.*3 texts"),
    "items with one id twice": (lambda: items(ids=["a", "a", "b"]), DataError, "'a'"),
    "unknown modality": (lambda: items(modality="sound"), DataError, "'sound'"),
    "anchors without source": (lambda: anchors(source_items=items(["a"], ["x"])), DataError, "3 ids.*1 source"),
    "anchors without target": (lambda: anchors(target_items=items(["a"], ["x"])), DataError, "3 ids.*1 target"),
    "anchors with few groups": (lambda: anchors(groups=np.array(["p"])), InputError, "1 group "),
    "anchors with one id twice": (lambda: anchors(ids=["a", "a", "b"]), DataError, "'a'"),
    "no class": (lambda: PromptSet("p", {}), DataError, "'p' names no class"),
    "class without text": (lambda: PromptSet("p", {"a": ()}), DataError, "'a'"),
    "empty text": (lambda: PromptSet("p", {"a": ("x", " ")}), DataError, "'a'"),
    "empty negative": (lambda: PromptSet("p", {"a": ("x",)}, {"a": ()}), DataError, "'a'.*negative"),
    "negative of nothing": (lambda: PromptSet("p", {"a": ("x",)}, {"b": ("x",)}), DataError, "'b'"),
    "some negatives": (lambda: PromptSet("p", {"a": ("x",), "b": ("y",)}, {"a": ("z",)}), DataError, "'b'"),
    "a bare string for texts": (lambda: PromptSet("p", {"a": "effusion"}), DataError, "'a'"),
    "unknown kind": (lambda: Scores(np.zeros((3, 1)), "cosin", IDS, ("p",)), UnknownNameError, "cosine"),
    "scores of another shape": (lambda: Scores(np.zeros((3, 2)), "cosine", IDS, ("p",)), InputError, r"\(3, 2\)"),
    "one-dimensional scores": (lambda: Scores(np.zeros(3), "cosine", IDS, ("p",)), InputError, r"\(3,\)"),
    "NaN score": (lambda: Scores(np.full((3, 1), NAN), "logit", IDS, ("p",)), InputError, "'a'"),
    "probability above one": (lambda: Scores(np.full((3, 1), 1.5), "probability", IDS, ("p",)), InputError, "1.5"),
    "cosine above one": (lambda: Scores(np.full((3, 1), 2.0), "cosine", IDS, ("p",)), InputError, "2"),
    "scored class twice": (lambda: Scores(np.zeros((3, 2)), "logit", IDS, ("p", "p")), StitchError, "'p'"),
    "label of two": (lambda: Labels([[0], [2], [1]], IDS, ("p",)), DataError, "'b' has label 2 for 'p'"),
    "uncertain label": (lambda: Labels([[0], [-1], [1]], IDS, ("p",)), DataError, "-1.*policy"),
    "labels of another shape": (lambda: Labels(np.zeros((2, 1)), IDS, ("p",)), InputError, r"\(2, 1\)"),
    "labels with few groups": (lambda: Labels(np.zeros((3, 1)), IDS, ("p",), groups=["x"]), InputError, "1 group "),
    "labels with a short column": (
        lambda: Labels(np.zeros((3, 1)), IDS, ("p",), columns={"age": np.ones(2)}),
        InputError,
        "'age'",
    ),
    "labelled class twice": (lambda: Labels(np.zeros((3, 2)), IDS, ("p", "p")), StitchError, "'p'"),
    "map of another shape": (lambda: affine(weight=np.ones((2, 3))), InputError, "'toy' -> 'other'"),
    "map with a long centre": (
        lambda: AffineMap(SPACE, SPACE, np.zeros(3), np.eye(2), np.zeros(2), 2),
        InputError,
        r"\(3,\)",
    ),
    "head of another shape": (
        lambda: LinearHead(SPACE, ("p",), np.zeros((3, 1)), np.zeros(1)),
        InputError,
        r"\(2, 1\).*\(3, 1\)",
    ),
    "head with a short bias": (lambda: LinearHead(SPACE, ("p",), np.zeros((2, 1)), np.zeros(2)), InputError, "bias"),
    "head of unknown kind": (
        lambda: LinearHead(SPACE, ("p",), np.zeros((2, 1)), np.zeros(1), "logits"),
        UnknownNameError,
        "logit",
    ),
    "zero-shot head with a class too few": (lambda: zero_shot(positive=np.ones((1, 2))), InputError, r"\(1, 2\)"),
    "zero-shot head of another width": (lambda: zero_shot(positive=np.ones((2, 3))), InputError, r"\(2, 3\)"),
    "zero-shot head with other negatives": (lambda: zero_shot(negative=np.ones((1, 2))), InputError, r"\(1, 2\)"),
    "alignment that does not meet": (
        lambda: Alignment(affine(), AffineMap(SPACE, Space("c", 1), np.zeros(2), np.ones((2, 1)), np.zeros(1), 1)),
        InputError,
        "2.*1",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_value_is_refused_by_name(fault):
    make, error, says = BAD[fault]
    with pytest.raises(error, match=says) as caught:
        make()
    assert isinstance(caught.value, StitchError)


def test_vectors_of_no_known_library_become_numpy():
    assert isinstance(Embeddings([[1.0, 2.0]], ["a"], SPACE).vectors, np.ndarray)


def test_no_embeddings_are_embeddings():
    none = Embeddings(np.zeros((0, 2)), [], SPACE)
    assert len(none) == len(none.take(np.array([], dtype=int))) == 0


def test_embeddings_are_checked_in_every_library(library):
    assert len(Embeddings(library(ROWS), IDS, SPACE)) == 3
    for bad in (NAN, np.inf):
        with pytest.raises(InputError, match=r"'b' \(row 1\)"):
            Embeddings(library(np.where(ROWS == 3, bad, ROWS)), IDS, SPACE)
    with pytest.raises(InputError, match="zeros"):
        Embeddings(library(ROWS * [[1], [0], [1]]), IDS, SPACE)


def test_embeddings_are_found_by_id(library):
    found = Embeddings(library(ROWS), IDS, SPACE).of_ids(["c", "a"])
    assert found.ids.tolist() == ["c", "a"]
    np.testing.assert_array_equal(np.asarray(found.vectors if library.name != "cupy" else found.vectors.get()),
                                  ROWS[[2, 0]])  # fmt: skip


def test_a_missing_id_is_named():
    said = r"1 of 2 ids are not in the embeddings of 'toy', the first is 'z'; the ids there are such as 'a'\."
    with pytest.raises(DataError, match=said):
        Embeddings(ROWS, IDS, SPACE).of_ids(["a", "z"])
    assert rows_of(np.array(["c", "a"]), np.array(IDS), "x").tolist() == [2, 0]


def test_torch_vectors_leave_the_graph_behind():
    torch = pytest.importorskip("torch")
    rows = torch.ones((1, 2), requires_grad=True)
    assert not Embeddings(rows * 2, ["a"], SPACE).vectors.requires_grad


@pytest.mark.parametrize("groups", [["p", "p", "q"], np.array(["p", "p", "q"])], ids=["list", "array"])
def test_taking_rows_takes_everything_along(groups):
    rows = np.array([2, 0])
    some = anchors(groups=groups).take(rows)
    assert (some.ids.tolist(), list(some.source_items), list(some.groups)) == (["c", "a"], ["z", "x"], ["q", "p"])
    age = [30.0, 40.0, 50.0] if isinstance(groups, list) else np.array([30.0, 40.0, 50.0])
    labels = Labels([[0, NAN], [1, 0], [1, 1]], IDS, ("p", "q"), groups, {"age": age}).of_ids(["c", "a"])
    assert (labels.ids.tolist(), list(labels.groups), list(labels.columns["age"])) == (["c", "a"], ["q", "p"], [50, 30])
    np.testing.assert_array_equal(labels.values, [[1, 1], [0, NAN]])


def test_labels_are_reordered_by_class_and_an_unknown_one_is_named():
    labels = Labels([[0, 1]], ["a"], ("edema", "effusion"))
    assert labels.of_classes(("effusion", "edema")).values.tolist() == [[1, 0]]
    with pytest.raises(UnknownNameError, match="nearest: effusion"):
        labels.of_classes(("effusoin",))
    with pytest.raises(DataError, match="'z'"):
        labels.of_ids(["z"])


def test_a_column_of_scores_is_found_by_class():
    scores = Scores([[0.1, 0.2]], "cosine", ["a"], ("edema", "effusion"))
    assert scores.column("effusion").tolist() == [0.2]
    with pytest.raises(UnknownNameError, match="effusion"):
        scores.column("efusion")


def test_prompts_are_listed_once_and_positives_first():
    prompts = PromptSet("p", {"a": ("x", "y"), "b": ("y",)}, {"a": ("z",), "b": ("x",)})
    assert (prompts.classes, prompts.texts) == (("a", "b"), ("x", "y", "z"))


def test_spaces_accept_what_they_cannot_tell_apart():
    plain = Space.of_array(2)
    assert SPACE.accepts(SPACE)
    assert SPACE.accepts(plain)
    assert plain.accepts(SPACE)
    assert SPACE.accepts(Space("renamed", 2, "f1"))
    assert not SPACE.accepts(Space("toy", 2, "f9"))
    assert not SPACE.accepts(Space("toy", 3, "f1"))
    with pytest.raises(SpaceMismatchError, match=r"the head takes \(n, 2\) vectors of 'toy'; got \(n, 5\) of 'b'"):
        SPACE.require(Space("b", 5), "the head")
    with pytest.raises(SpaceMismatchError, match="same width"):
        SPACE.require(Space("b", 2, "f2"), "the head")


def test_every_error_is_also_a_builtin():
    assert issubclass(SpaceMismatchError, (InputError, ValueError))
    assert issubclass(DataError, ValueError)
    assert issubclass(UnknownNameError, LookupError)
