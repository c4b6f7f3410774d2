"""Two encoders whose vectors are equally wide, mistaken for one another: refused in every family."""

from __future__ import annotations

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.errors import SpaceMismatchError
from stitchkit.encoders import ENCODERS, load_encoder

# family -> two encoders of one width; each is a checkpoint's builder and the rest of a name
TWINS = {
    "hf": (("hf_bert", ""), ("hf_bert", "#pool=cls")),
    "local": (
        ("state_timm", "/resnet.pth#arch=timm/test_resnet"), ("state_timm", "/resnet.pth#arch=timm/test_resnet&size=96")
    ),
    "onnx": (("onnx_text", ""), ("onnx_two", "#output=sentence")),
    "open_clip": (("open_clip_own", "#modality=image"), ("open_clip_hf", "#modality=image")),
    "python": (("python_file", "/mine.py:thumbnails"), ("python_file", "/mine.py:Whole")),
    "st": (("st_bert", ""), ("st_bert", "#prompt_name=query")),
    "timm": (("timm_vit", ""), ("timm_vit", "#resolution=48")),
    "xrv": (("state_xrv", "/densenet.pt"), ("state_xrv", "/densenet.pt#size=96")),
}  # fmt: skip


def random_embeddings(space, seed=0):
    rng = np.random.default_rng(seed)
    return sk.Embeddings(rng.normal(size=(40, space.dim)), np.arange(40).astype(str), space)


@pytest.fixture(params=sorted(ENCODERS))
def twins(request, checkpoint, tmp_path):
    """Spaces of two encoders of one family, equally wide."""
    family = request.param
    if family == "stitchkit":
        general, text = (load_encoder(f"demo:{one}", device="cpu") for one in ("general", "text"))
        for seed in (0, 1):
            alignment = sk.align(random_embeddings(general.space, seed), random_embeddings(text.space),
                                 solver="ridge", nested=False, progress=False)  # fmt: skip
            sk.save(sk.stitch(general, alignment), tmp_path / str(seed))
        names = [f"stitchkit:{tmp_path / str(seed)}" for seed in (0, 1)]
    elif family == "demo":
        names = ["demo:general", "demo:medical"]
    else:
        names = [f"{family}:{checkpoint(builder)}{rest}" for builder, rest in TWINS[family]]
    one, other = (load_encoder(name, device="cpu").space for name in names)
    if family == "demo":  # the package has no two of one width: a map asks for the space before it looks at the width
        other = sk.Space(other.name, one.dim, other.fingerprint)
    assert one.dim == other.dim
    return one, other


def test_a_map_refuses_vectors_of_another_encoder_of_the_same_width(twins):
    one, other = twins
    alignment = sk.align(
        random_embeddings(one), random_embeddings(sk.Space("target", 4, "target's own")), solver="ridge", nested=False,
        progress=False,
    )  # fmt: skip
    head = sk.LinearHead(one, ("a",), np.ones((one.dim, 1)), np.zeros(1))
    assert alignment.to_target(random_embeddings(one)).vectors.shape == (40, 4)
    for use in (alignment.to_target, alignment.source_map, head.scores):
        with pytest.raises(SpaceMismatchError, match=other.fingerprint):
            use(random_embeddings(other))
    with pytest.raises(SpaceMismatchError):
        alignment.similarity(random_embeddings(other), random_embeddings(alignment.target))


def test_the_twins_name_every_family():
    assert set(TWINS) | {"demo", "stitchkit"} == set(ENCODERS)
