"""CLIP-like checkpoints as rows of a zero-shot study: their own text encoder and logit, no anchors, no map."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from phantom_studies import JUDGED

import stitchkit as sk
from stitchkit.core.arrays import to_numpy
from stitchkit.datasets.prompt_sets import read_prompts
from stitchkit.studies.named_encoders import NamedEncoders

pytestmark = pytest.mark.filterwarnings(  # of a tiny tokenizer, whose tokens are letters
    "ignore:the tokenizer of .* knows no word", "ignore:.* texts are longer than"
)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Tiny checkpoints of CLIP in the formats of transformers and open_clip."""
    folder, room = tmp_path_factory.mktemp("pairs"), str(Path(__file__).parents[1] / "encoders")
    sys.path.insert(0, room)
    try:
        from tiny_open_clip import open_clip_own
        from tiny_pairs import hf_clip

        return {"hf": hf_clip(folder / "hf"), "open_clip": open_clip_own(folder / "open_clip")}
    finally:
        sys.path.remove(room)


def lines(out):
    return [json.loads(line) for line in (out / "cells.jsonl").read_text().splitlines()]


def test_native_pairs_stand_beside_the_stitched_rows(planned, pairs, tmp_path):
    names = [f"{family}:{folder}" for family, folder in pairs.items()]
    plan = planned("zeroshot", grid=f'solvers = ["ridge"]\nclip = {json.dumps(names)}\nanchors = [20]\ndraws = 1')
    found = sk.study(plan, tmp_path / "out", loader=NamedEncoders(device="cpu", store=None, progress=False),
                     progress=False)  # fmt: skip
    rows = {row.method: row for row in found.rows}
    natives = [f"CLIP-like, no anchors: {family}:{family}" for family in pairs]  # without the folders of this machine
    assert set(natives) < set(rows)
    (ridge,) = found.of("ridge", 20)
    assert set(natives) < set(ridge.gaps)
    kinds = {line["method"]: line["kind"] for line in lines(tmp_path / "out")}
    assert {kinds[one] for one in natives} == {"logit"}


@pytest.mark.parametrize("family", ["hf", "open_clip"])
def test_a_native_row_holds_the_pairs_own_logits(family, planned, pairs, films, tmp_path):
    name = f"{family}:{pairs[family]}"
    plan = planned("zeroshot", grid=f'solvers = ["ridge"]\nclip = ["{name}"]\nanchors = [20]\ndraws = 1')
    sk.study(plan, tmp_path / "out", loader=NamedEncoders(device="cpu", store=None, progress=False), progress=False)
    line = next(one for one in lines(tmp_path / "out") if "CLIP" in one["method"])
    kept = np.load(tmp_path / "out" / "scores" / f"{line['key']}.npy")
    image, text = (sk.load_encoder(f"{name}#modality={one}", device="cpu") for one in ("image", "text"))
    labels = sk.read_labels(films / "manifest.csv", classes=["effusion"], id="path", columns=("split",))
    test = [one for one, split in zip(labels.ids, labels.columns["split"], strict=True) if split == "test"]
    x = sk.embed(image, sk.Items(test, [films / one for one in test], "image"), store=None, progress=False).vectors
    prompts = read_prompts("phantom")

    def direction(texts):
        rows = to_numpy(text.encode(text.prepare(list(texts))).pooled)
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(axis=0)
        return rows / np.linalg.norm(rows)

    scale = 1 / 0.07  # of both libraries' fresh checkpoints
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    for column, label in enumerate(JUDGED):
        margin = units @ direction(prompts.positive[label])
        if prompts.negative:
            margin = margin - units @ direction(prompts.negative[label])
        np.testing.assert_allclose(kept[:, column], scale * margin, rtol=1e-3, atol=1e-3)
