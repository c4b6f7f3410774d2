"""Class names and ids that a terminal, a spreadsheet or a figure would take for something else."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError
from stitchkit.core.escaping import is_unsafe
from stitchkit.core.heads import LinearHead
from stitchkit.reports.evaluation_page import write_evaluation
from stitchkit.storage.scores import read_scores, write_scores

HOSTILE = ["a\x1b[2Jb", "a\x07", "a\nb", "a\rb", "a\u202eb", "a\u200bb", "a\x9bb", "a\u2028b", "a\x00b"]


@pytest.mark.parametrize("name", HOSTILE)
def test_control_and_invisible_characters_in_class_names_are_refused(name):
    space = sk.Space("a", 2)
    for make in (
        lambda: sk.Scores(np.zeros((1, 1)), "logit", ["1"], (name,)),
        lambda: sk.Labels(np.zeros((1, 1)), ["1"], (name,)),
        lambda: LinearHead(space, (name,), np.zeros((2, 1)), np.zeros(1)),
    ):
        with pytest.raises(InputError, match="holds control or invisible characters") as caught:
            make()
        assert not any(is_unsafe(one) for one in str(caught.value))


@pytest.mark.parametrize(
    "name",
    [
        *("=1+1", "=cmd|' /C calc'!A0", "+edema", "-edema", "@SUM(A1)", "'=1", "''", "'a", "-0.5"),
        *("$5 or more", "1e5", "a,b", 'a"b', "Ödem"),
    ],
)
def test_names_that_look_like_formulas_are_quoted_and_come_back(tmp_path, name):
    before = sk.Scores(np.asarray([[0.5, -1.0]]), "logit", [name], (name, "other"))
    path = write_scores(tmp_path / "s.csv", before)
    after = read_scores(path)
    assert (after.ids.tolist(), after.classes, after.values.tolist()) == ([name], (name, "other"), [[0.5, -1.0]])
    for cell in path.read_text(encoding="utf-8").replace('"', "").splitlines()[0].split(","):
        assert cell[:1] not in "=+@" or not cell


@pytest.mark.parametrize("name", ["$5 or more", "a $b$ c", "$\\frac{", "x_1^2 $", "<script>", "a & b", "{{ 1 }}"])
def test_a_page_with_odd_class_names_is_drawn(tmp_path, name):
    rng = np.random.default_rng(0)
    values = (np.arange(80) % 2).astype(float)
    labels = sk.Labels(np.stack([values, values[::-1]], axis=1), range(80), (name, "other"))
    scores = sk.Scores(labels.values + rng.normal(size=(80, 2)), "logit", range(80), (name, "other"))
    found = sk.evaluate(scores, labels, replicates=20, min_positives=5)
    page = write_evaluation(found, tmp_path / "page").read_text(encoding="utf-8")
    escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert escaped in page
    assert "<script>" not in page.split("<body")[1] or name != "<script>"


def test_an_id_with_a_carriage_return_is_refused_before_it_is_written(tmp_path):
    with pytest.raises(InputError, match="holds a carriage return"):
        write_scores(tmp_path / "s.csv", sk.Scores(np.zeros((1, 1)), "logit", ["a\rb"], ("x",)))
    assert not (tmp_path / "s.csv").exists()
