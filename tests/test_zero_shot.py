"""Zero-shot: margins and cosines against a literal computation, and prompts that do not belong refused."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.alignments import Alignment
from stitchkit.core.errors import DataError, InputError, SpaceMismatchError
from stitchkit.core.roles import Encoded

VISION, TEXT = sk.Space("vision", 12, "v1"), sk.Space("text", 9, "t1")
PROMPTS = sk.PromptSet(
    "mine",
    {"edema": ("There is edema.", "Edema."), "mass": ("A mass.",), "nodule": ("A nodule.", "A lump.", "Edema.")},
    {"edema": ("No edema.",), "mass": ("No mass.", "Clear lungs."), "nodule": ("Clear lungs.",)},
)
BARE = sk.PromptSet("bare", PROMPTS.positive, multiclass=True)


def vector_of(text, dim=9):
    return np.random.default_rng(list(text.encode())).normal(size=dim) + 2.0


@dataclass
class Reader:
    """A text encoder whose vectors are drawn from the text's own bytes."""

    space: sk.Space = TEXT
    modality: str = "text"
    name: str = "python:reader"

    def prepare(self, items):
        return list(items)

    def encode(self, batch):
        return Encoded(np.stack([vector_of(text) for text in batch]))


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    meaning = rng.normal(size=(150, 7))
    x = meaning @ rng.normal(size=(7, 12)) + 0.2 * rng.normal(size=(150, 12)) + 3
    y = meaning @ rng.normal(size=(7, 9)) + 0.2 * rng.normal(size=(150, 9)) - 1
    return sk.Embeddings(x, np.arange(150), VISION), sk.Embeddings(y, np.arange(150), TEXT)


@pytest.fixture(scope="module", params=[sk.Procrustes(), sk.Ridge(alpha=0.1), sk.CSA(), sk.CSA(dims=4)], ids=repr)
def alignment(request, pairs):
    return sk.align(*pairs, solver=request.param)


@pytest.fixture(scope="module")
def plain(pairs):
    return sk.align(*pairs, solver=sk.Procrustes())


@pytest.fixture(scope="module")
def images(pairs):
    return pairs[0].take(np.arange(20))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def cosines(alignment, images, sides):
    """Unit mean of unit prompt vectors against unit image vectors, in the common space, literally."""
    into, text = alignment.source_map, alignment.target_map
    weights = 1 if alignment.weights is None else np.asarray(alignment.weights)
    picture = unit((images.vectors - into.center) @ into.weight + into.bias) * weights
    columns = []
    for texts in sides.values():
        prompts = np.stack([vector_of(one) for one in texts])
        columns.append(picture @ unit(unit((prompts - text.center) @ text.weight + text.bias).mean(axis=0)))
    return np.stack(columns, axis=1)


def test_margins_equal_a_literal_computation(alignment, images):
    scores = sk.zeroshot(alignment, Reader(), PROMPTS, store=None).scores(images)
    expected = cosines(alignment, images, PROMPTS.positive) - cosines(alignment, images, PROMPTS.negative)
    assert np.allclose(scores.values, expected, atol=1e-5)
    assert (scores.kind, scores.classes) == ("margin", PROMPTS.classes)
    assert scores.ids.tolist() == images.ids.tolist()


def test_without_negatives_the_scores_are_cosines(alignment, images):
    scores = sk.zeroshot(alignment, Reader(), BARE, store=None).scores(images)
    assert np.allclose(scores.values, cosines(alignment, images, BARE.positive), atol=1e-5)
    assert scores.kind == "cosine"
    assert (np.abs(scores.values) <= 1 + 1e-6).all()


def test_a_multiclass_set_predicts_the_best_class(alignment, images):
    head = sk.zeroshot(alignment, Reader(), BARE, store=None)
    best = cosines(alignment, images, BARE.positive).argmax(axis=1)
    assert head.predict(images) == tuple(BARE.classes[i] for i in best)
    assert len(set(head.predict(images))) > 1


def test_where_several_classes_may_apply_there_is_no_best_one(plain, images):
    with pytest.raises(InputError, match=r"no single best one. Use scores\(\)"):
        sk.zeroshot(plain, Reader(), PROMPTS, store=None).predict(images)


def test_negatives_belong_to_their_class_in_whatever_order_they_stand(plain, images):
    turned = dict(reversed(PROMPTS.negative.items()))
    shuffled = sk.PromptSet("turned", PROMPTS.positive, turned)
    ours, theirs = (sk.zeroshot(plain, Reader(), one, store=None).scores(images) for one in (PROMPTS, shuffled))
    assert np.allclose(ours.values, theirs.values)


def test_repeating_a_prompt_of_a_class_counts_it_twice(alignment, images):
    twice = sk.PromptSet("twice", {"edema": ("Edema.", "Edema.", "A mass.")})
    found = sk.zeroshot(alignment, Reader(), twice, store=None).scores(images)
    assert np.allclose(found.values, cosines(alignment, images, twice.positive), atol=1e-5)


def test_the_alignments_weights_are_respected(plain, images):
    weights = np.zeros(plain.source_map.target.dim)
    weights[0] = 1.0
    one = replace(plain, weights=weights)
    head = sk.zeroshot(one, Reader(), PROMPTS, store=None)
    assert np.array_equal(head.weights, weights)
    expected = cosines(one, images, PROMPTS.positive) - cosines(one, images, PROMPTS.negative)
    assert np.allclose(head.scores(images).values, expected, atol=1e-5)
    assert not np.allclose(sk.zeroshot(plain, Reader(), PROMPTS, store=None).scores(images).values, expected, atol=1e-2)


def test_embeddings_of_the_prompts_do_as_well_as_the_encoder(alignment, images):
    texts = ("Another text.", *PROMPTS.texts[::-1])
    given = sk.Embeddings(np.stack([vector_of(text) for text in texts]), texts, TEXT)
    by_vectors, by_encoder = (sk.zeroshot(alignment, one, PROMPTS, store=None) for one in (given, Reader()))
    assert np.allclose(by_vectors.scores(images).values, by_encoder.scores(images).values, atol=1e-5)


def test_embedded_prompts_are_given_once(alignment, images):
    prompts = sk.embed_prompts(Reader(), PROMPTS, store=None)
    head, by_encoder = sk.zeroshot(alignment, prompts), sk.zeroshot(alignment, Reader(), PROMPTS, store=None)
    assert head.classes == by_encoder.classes
    assert np.allclose(head.scores(images).values, by_encoder.scores(images).values, atol=1e-5)
    with pytest.raises(InputError, match="leave prompts out"):
        sk.zeroshot(alignment, prompts, PROMPTS)
    with pytest.raises(InputError, match="zeroshot needs prompts"):
        sk.zeroshot(alignment, Reader())
    with pytest.raises(InputError, match="stands where the text encoder belongs"):
        sk.zeroshot(alignment, PROMPTS)


def test_a_prompt_set_is_found_by_name_and_anything_else_refused(plain):
    by_name = sk.embed_prompts(Reader(), "phantom", store=None)
    assert by_name.prompts.name == sk.read_prompts("phantom").name
    assert repr(by_name) == f"PromptVectors('phantom', 7 classes, {len(by_name.prompts.texts)} texts, 'text' (9))"
    for call in (lambda: sk.embed_prompts(Reader(), {"mass": ["A mass."]}), lambda: sk.zeroshot(plain, Reader(), 3)):
        with pytest.raises(InputError, match="must be a PromptSet"):
            call()


def test_a_prompt_without_an_embedding_is_named(plain):
    texts = [text for text in PROMPTS.texts if text != "A lump."]
    given = sk.Embeddings(np.stack([vector_of(text) for text in texts]), texts, TEXT)
    with pytest.raises(DataError, match=r"1 of \d+ ids are not in the embeddings of 'text', the first is 'A lump\.'"):
        sk.zeroshot(plain, given, PROMPTS)


@pytest.mark.parametrize("as_vectors", [False, True], ids=["encoder", "embeddings"])
@pytest.mark.parametrize("other", [sk.Space("text", 9, "t2"), VISION], ids=["same width", "other width"])
def test_prompts_of_another_text_encoder_are_refused(plain, as_vectors, other):
    given = Reader(other)
    if as_vectors:
        vectors = np.stack([vector_of(text, other.dim) for text in PROMPTS.texts])
        given = sk.Embeddings(vectors, PROMPTS.texts, other)
    elif other.dim != 9:
        given.encode = lambda batch: Encoded(np.stack([vector_of(text, other.dim) for text in batch]))
    with pytest.raises(SpaceMismatchError, match="the alignment's target side takes"):
        sk.zeroshot(plain, given, PROMPTS, store=None)


def test_an_image_encoder_is_refused_as_the_text_encoder(plain):
    with pytest.raises(InputError, match="'python:reader' is an image encoder; prompts need the text encoder"):
        sk.zeroshot(plain, Reader(modality="image"), PROMPTS)


@pytest.mark.parametrize("given", ["hf:some/encoder", {"edema": "There is edema."}, None], ids=["name", "dict", "none"])
def test_what_is_neither_encoder_nor_embeddings_is_refused(plain, given):
    with pytest.raises(InputError, match=f"must be a text encoder or embeddings; got {type(given).__name__}"):
        sk.zeroshot(plain, given, PROMPTS)


def test_the_head_reads_the_source_space_only(alignment, pairs, images):
    head = sk.zeroshot(alignment, Reader(), PROMPTS, store=None)
    assert head.space == VISION
    with pytest.raises(SpaceMismatchError, match="'vision'"):
        head.scores(pairs[1])
    assert np.allclose(head.scores(images.vectors).values, head.scores(images).values)  # a plain array of that width


def test_prompts_that_say_what_the_pairs_say_find_their_items(pairs):
    """The laws of the method on a world without noise: the class of an item is the text it was paired with."""
    rng = np.random.default_rng(1)
    texts = [f"finding {i}" for i in range(7)]
    y = np.stack([vector_of(text) for text in texts])
    which = rng.integers(7, size=140)
    x = y[which] @ rng.normal(size=(9, 12))
    alignment = sk.align(x, y[which])
    prompts = sk.PromptSet("findings", {text: (text,) for text in texts}, multiclass=True)
    head = sk.zeroshot(alignment, sk.Embeddings(y, texts, sk.Space.of_array(9)), prompts)
    assert head.predict(x) == tuple(texts[i] for i in which)


def test_torch_alignments_give_the_same_scores(pairs, images):
    torch = pytest.importorskip("torch")
    numpy = sk.align(*pairs, solver=sk.CSA())
    ours = sk.zeroshot(numpy, Reader(), PROMPTS, store=None).scores(images)
    parts = [sk.Embeddings(torch.asarray(one.vectors), one.ids, one.space) for one in pairs]
    there: Alignment = sk.align(*parts, solver=sk.CSA())
    assert np.allclose(sk.zeroshot(there, Reader(), PROMPTS, store=None).scores(images).values, ours.values, atol=1e-5)


@pytest.mark.parametrize("solver", ["ridge", "procrustes", "csa"])
def test_two_distinct_texts_give_a_projection_and_not_a_vote(solver):
    """In one direction an angle is a sign: the score keeps how far along it an item lies."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 120)
    texts = np.asarray([[1.0, 0, 0, 0.2], [0, 1.0, 0, 0.2]])
    x = labels[:, None] * rng.normal(size=6) + rng.normal(size=(120, 6))
    fitted = sk.align(x[:60], texts[labels[:60]], solver=solver, nested=False, progress=False)
    assert fitted.source_map.rank == 1
    said = sk.Embeddings(texts, ["a nodule", "no nodule"], fitted.target)
    prompts = sk.PromptSet("mine", {"nodule": ("no nodule",)}, {"nodule": ("a nodule",)})
    scores = sk.zeroshot(fitted, said, prompts).scores(x[60:])
    assert scores.kind == "logit"
    assert len(np.unique(scores.values)) == 60
    direction = fitted.source_map(x[60:]) @ (fitted.target_map(texts[1:]) - fitted.target_map(texts[:1]))[0]
    assert np.corrcoef(direction, scores.values[:, 0])[0, 1] == pytest.approx(1)
    from sklearn.metrics import roc_auc_score

    assert roc_auc_score(labels[60:], scores.values[:, 0]) > 0.7
