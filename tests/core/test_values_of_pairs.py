"""Values put together by their ids: labels with the anchors' patients, embeddings in one, a side by its modality."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import SpaceMismatchError


def anchors(ids, groups):
    texts = sk.Items(ids, list(ids), "text")
    return sk.AnchorSet(ids, texts, texts, groups)


def test_labels_take_the_patients_of_the_anchors_they_are_of():
    labels = sk.Labels(np.eye(3), ["c", "b", "a"], ("A", "B", "C"), columns={"age": [1, 2, 3]})
    some = labels.with_patients_of(anchors(["a", "b"], ["p1", "p2"]))
    assert some.ids.tolist() == ["b", "a"]
    assert some.groups.tolist() == ["p2", "p1"]
    assert some.columns["age"].tolist() == [2, 3]


def test_labels_keep_their_own_patients_and_go_without_where_nobody_knows_them():
    known = sk.Labels(np.eye(1), ["a"], ("A",), groups=["mine"])
    assert known.with_patients_of(anchors(["a"], ["p1"])) is known
    bare = sk.Labels(np.eye(1), ["a"], ("A",))
    assert bare.with_patients_of(anchors(["a"], None)) is bare


def test_embeddings_of_one_space_are_joined_and_of_two_refused():
    space = sk.Space("ct", 2, "of ct")
    first, second = (sk.Embeddings(np.eye(2) + i, [f"{i}a", f"{i}b"], space) for i in range(2))
    both = first.joined(second)
    assert both.ids.tolist() == ["0a", "0b", "1a", "1b"]
    np.testing.assert_array_equal(both.vectors[2:], second.vectors)
    with pytest.raises(SpaceMismatchError):
        first.joined(sk.Embeddings(np.eye(2), ["x", "y"], sk.Space("mri", 2, "of mri")))


def test_a_side_is_found_by_its_modality():
    scans, texts = sk.Items(["1"], ["a.png"], "image"), sk.Items(["1"], ["clear"], "text")
    pairs = sk.AnchorSet(["1"], scans, texts)
    assert pairs.items_of("image") is scans
    assert pairs.items_of("text") is texts
    assert sk.AnchorSet(["1"], texts, texts).items_of("image") is None


def test_prompts_as_plain_values_are_the_prompts_again():
    prompts = sk.PromptSet("mine", {"A": ("a.",), "B": ("b.", "bb.")}, {"A": ("no a.",), "B": ("no b.",)})
    plain = prompts.to_dict()
    again = sk.PromptSet(plain["name"], plain["positive"], plain["negative"], plain["multiclass"])
    assert (again.texts, again.classes) == (prompts.texts, prompts.classes)
