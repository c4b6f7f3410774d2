"""Descriptions of artefacts: facts as plain values, and their lines on a screen."""

from __future__ import annotations

import json

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.reports.descriptions import describe, describe_named, describe_prompts, description_lines

HELD = {
    "mrr": 0.168, "se": 0.015, "chance_mrr": 0.158, "recall@1": 0.033, "gallery": 24, "estimate": "outer folds",
    "above_chance": False,
}  # fmt: skip


def test_held_out_numbers_of_a_folder_are_a_sentence():
    lines = description_lines({"is": "a stitched folder", "held_out": HELD})
    (line,) = [one for one in lines if one.startswith("held out")]
    assert "mean reciprocal rank 0.168 (se 0.015; chance 0.158)" in line
    assert line.endswith("not clearly above chance")
    assert "above_chance" not in line


@pytest.mark.parametrize("held", [{"mrr": 0.2}, {"r2": 0.3}, {"r2": "high", "se": 0.1, "estimate": "x"}])
def test_numbers_that_a_folder_lacks_are_no_error(held):
    assert any(one.startswith("held out") for one in description_lines({"is": "a stitched folder", "held_out": held}))


def test_a_folder_of_an_alignment_is_described_by_its_record(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3))
    scans = sk.Embeddings(x, np.array([f"scan-{i}" for i in range(40)]), sk.Space("scans", 3))
    facts = describe(sk.save(sk.align(scans, scans, solver="procrustes"), tmp_path / "map"))
    assert (facts["is"], facts["solver"], facts["head"]) == ("an alignment without encoders", "procrustes", "none")
    assert "scan-3" not in json.dumps(facts)
    lines = description_lines(facts)
    assert lines[0].split()[:2] == ["is", "an"]
    assert not any(line.startswith(("encoder", "target encoder", "anchor set")) for line in lines)  # not known


def test_a_shipped_prompt_set_is_described_by_name():
    facts = describe_prompts("nih14")
    assert facts["is"] == "a prompt set"
    assert len(facts["classes"]) == 14
    assert facts["sentences"]["Hernia"]["positive"] == ["Frontal chest X-ray showing hernia."]
    lines = description_lines(facts)
    at = lines.index("Hernia")
    assert lines[at + 1] == "  + Frontal chest X-ray showing hernia."
    assert lines[at + 2] == "  - Frontal chest X-ray with no acute finding."
    assert "  - 13 texts of the other classes" in lines[at:]


def test_long_lists_of_texts_are_cut_on_a_screen_and_whole_in_json():
    facts = describe_prompts("chexpert14")
    most = max(facts["sentences"].values(), key=lambda sides: len(sides["positive"]))["positive"]
    lines = description_lines(facts)
    assert most[3] in "\n".join(lines)
    assert f"  + {len(most) - 4} more: --json lists them" in lines


def test_a_file_of_another_tools_vectors_says_that_it_has_no_fingerprint(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 2), dtype=np.float32))
    facts = describe(tmp_path / "x.npy")
    assert (facts["n"], facts["dim"], facts["is"]) == (3, 2, "a file of vectors without a fingerprint")


def test_a_file_of_no_known_kind_is_refused(tmp_path):
    (tmp_path / "notes.doc").write_text("x")
    with pytest.raises(InputError, match="is none of"):
        describe(tmp_path / "notes.doc")


def test_a_name_is_a_path_a_prompt_set_or_an_encoder(tmp_path):
    (tmp_path / "pairs.csv").write_text("id,text\n1,clear\n")
    assert describe_named(str(tmp_path / "pairs.csv"))["is"] == "a table"
    assert describe_named("view")["is"] == "a prompt set"
    assert describe_named("demo:text")["is"] == "an encoder"
    with pytest.raises(InputError, match=r"is no alignment or stitched folder.*Nor is it an encoder"):
        describe_named(str(tmp_path))
    with pytest.raises(UnknownNameError, match="encoder family"):
        describe_named("tim:resnet18")


def test_a_file_that_is_not_there_is_no_encoder(tmp_path):
    from stitchkit.reports.descriptions import describe_named

    for name in ("nope.csv", "nope.safetensors", "nope.toml"):
        with pytest.raises(InputError, match=f"there is no file {name}"):
            describe_named(name)
