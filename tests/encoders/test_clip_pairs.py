"""CLIP-like pairs as alignments: scored by the code that scores fitted ones, and only with their own other half."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from tiny_encoders import TEXTS
from tiny_pairs import changed, half, hf_clip, vectors

import stitchkit as sk
from stitchkit.core.errors import InputError, NoDirectedMapError, SpaceMismatchError
from stitchkit.encoders import load_encoder
from stitchkit.encoders.clip_pairs import clip_alignment

PROMPTS = sk.PromptSet(
    "mine",
    {"large": ("the heart is large .", "large heart"), "effusion": ("effusion seen",)},
    {"large": ("no large heart",), "effusion": ("no effusion .", "lungs are clear")},
)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.fixture(params=["hf_clip", "hf_siglip"])
def pair(request, checkpoint):
    return tuple(half(checkpoint(request.param), modality) for modality in ("image", "text"))


def test_zero_shot_margins_are_the_literal_cosines(pair, images):
    image, text = pair
    head = sk.zeroshot(clip_alignment(image, text), text, PROMPTS, store=None)
    scores = head.scores(sk.embed(image, images, store=None))
    pictures = unit(vectors(image, images))

    def cosines(sides):
        return np.stack([pictures @ unit(unit(vectors(text, list(t))).mean(axis=0)) for t in sides.values()], axis=1)

    np.testing.assert_allclose(scores.values, cosines(PROMPTS.positive) - cosines(PROMPTS.negative), atol=1e-6)
    assert scores.kind == "margin"


def test_similarity_is_the_cosine_of_the_models_own_features(pair, images):
    alignment = clip_alignment(*pair)
    a, b = (sk.embed(encoder, items, store=None) for encoder, items in zip(pair, (images, TEXTS), strict=True))
    np.testing.assert_allclose(alignment.similarity(a, b), unit(a.vectors) @ unit(b.vectors).T, atol=1e-6)
    np.testing.assert_array_equal(alignment.source_map(a).vectors, a.vectors)


def test_a_pairs_scores_are_judged_as_any_others(pair, images):
    image, text = pair
    head = sk.zeroshot(clip_alignment(image, text), text, PROMPTS, store=None)
    many = [np.roll(images[0], shift, axis=0) for shift in range(24)]
    scores = head.scores(sk.embed(image, many, store=None))
    truth = np.random.default_rng(0).integers(0, 2, (24, 2))
    labels = sk.Labels(truth, scores.ids, scores.classes)
    judged = sk.evaluate(scores, labels, replicates=20, min_positives=2)
    assert (judged.kind, judged.n, judged.anchors) == ("margin", 24, None)
    assert set(judged.positives) == {"large", "effusion"}


def test_the_record_says_that_no_anchors_were_used(pair, tmp_path):
    alignment = clip_alignment(*pair)
    assert alignment.record["solver"] == "none: a CLIP-like pair"
    assert (alignment.record["anchors"], alignment.record["r2"], alignment.record["held_out"]) == (0, None, None)
    assert "no anchors" in alignment.record["notes"][0]
    assert "nothing held out" in repr(alignment)
    again = sk.load(sk.save(alignment, tmp_path / "pair"))
    assert again.record == alignment.record
    assert again.source_map.target == alignment.source_map.target
    with pytest.raises(NoDirectedMapError):
        _ = alignment.to_target


def test_halves_of_one_checkpoint_belong_together_wherever_it_lies(checkpoint, tmp_path):
    folder = checkpoint("hf_clip")
    copy = shutil.copytree(folder, tmp_path / "copy")
    clip_alignment(half(folder, "image", dtype="bfloat16"), half(copy, "text", "&norm=unit"))


def test_halves_of_two_checkpoints_are_refused(checkpoint, tmp_path):
    other = hf_clip(tmp_path / "other", seed=1)
    with pytest.raises(SpaceMismatchError, match="do not come from one checkpoint"):
        clip_alignment(half(checkpoint("hf_clip"), "image"), half(other, "text"))
    tuned = changed(checkpoint("hf_clip"), tmp_path / "tuned", lambda s: s["visual_projection.weight"].add_(1e-3))
    with pytest.raises(SpaceMismatchError, match="Load both from the same, or fit a map"):
        clip_alignment(half(checkpoint("hf_clip"), "image"), half(tuned, "text"))


def test_what_is_no_pair_of_an_image_and_a_text_encoder_is_refused(checkpoint):
    image, text = (half(checkpoint("hf_clip"), modality) for modality in ("image", "text"))
    with pytest.raises(InputError, match="takes the image encoder, then the text encoder"):
        clip_alignment(text, image)
    with pytest.raises(InputError, match="takes the image encoder, then the text encoder"):
        clip_alignment(image, image)
    with pytest.raises(InputError, match="is not half of a CLIP-like pair"):
        clip_alignment(image, load_encoder(f"hf:{checkpoint('hf_bert')}", device="cpu"))


def test_vectors_of_another_pair_are_refused(checkpoint, tmp_path, images):
    alignment = clip_alignment(*(half(checkpoint("hf_clip"), modality) for modality in ("image", "text")))
    other = hf_clip(tmp_path / "other", seed=1)
    with pytest.raises(SpaceMismatchError):
        alignment.source_map(sk.embed(half(other, "image"), images, store=None))
    with pytest.raises(SpaceMismatchError, match="target side"):
        sk.zeroshot(alignment, half(other, "text"), PROMPTS, store=None)
