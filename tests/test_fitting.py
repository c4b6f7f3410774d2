"""Two encoders and anchors to a stitched model: the purpose, the head, and what is remembered of the anchors."""

from __future__ import annotations

import pytest

import stitchkit as sk
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.fitting.fit_stitch import fit_stitch
from stitchkit.head_names import HeadChoice

N = 40


@pytest.fixture(scope="module")
def encoders():
    return {name: sk.load_encoder(f"demo:{name}", device="cpu") for name in ("general", "medical", "text")}


@pytest.fixture(scope="module")
def pairs():
    """Anchors of images with themselves, and with their reports."""
    drawn, ids = sk.make_phantoms(N, seed=1), [str(i) for i in range(N)]
    images, texts = sk.Items(ids, drawn.images, "image"), sk.Items(ids, drawn.reports, "text")
    return {"medical": sk.AnchorSet(ids, images, images), "text": sk.AnchorSet(ids, images, texts)}


def fitted(encoders, pairs, target, head=None, solver="ridge"):
    lines = []
    result = fit_stitch(
        encoders["general"], encoders[target], pairs[target], head=None if head is None else HeadChoice.of(head),
        solver=solver, store=None, progress=False, say=lines.append,
    )  # fmt: skip
    return result, lines


@pytest.mark.parametrize(
    ("target", "head", "purpose", "kind"),
    [
        ("medical", None, "head", "LinearHead"),
        ("medical", "none", "head", "NoneType"),
        ("text", None, "match", "NoneType"),
        ("text", "prompts:phantom", "match", "ZeroShotHead"),
    ],
)
def test_the_purpose_is_that_of_the_head_and_the_target(encoders, pairs, target, head, purpose, kind):
    result, lines = fitted(encoders, pairs, target, head)
    assert result.model.alignment.record["purpose"] == purpose
    assert type(result.model.head).__name__ == kind
    assert result.model.target_name == f"demo:{target}"
    assert lines == ["searching ridge on 40 pairs"]
    assert result.facts.keys() == ({"prompts"} if kind == "ZeroShotHead" else set())


def test_the_model_remembers_what_its_anchors_hold(encoders, pairs):
    result, _ = fitted(encoders, pairs, "text")
    assert result.model.alignment.record["anchor_hashes"]["n_files"] == N


def test_a_solver_without_settings_to_search_is_fitted_with_its_defaults(encoders, pairs):
    _, lines = fitted(encoders, pairs, "text", solver="least_squares")
    assert lines == ["fitting LeastSquares on 40 pairs"]


def test_what_cannot_be_had_is_refused(encoders, pairs):
    with pytest.raises(InputError, match="has no classifier"):
        fit_stitch(encoders["medical"], encoders["general"], pairs["medical"], head=HeadChoice.of("own"))
    with pytest.raises(UnknownNameError, match="nearest: ridge"):
        fitted(encoders, pairs, "text", solver="rigde")
