"""Details of an encoder that ``stitchkit info`` shows: true of what the encoder does."""

from __future__ import annotations

import pytest
from tiny_pairs import ALL_TABLE as TABLE

from stitchkit.core.roles import HasDetails
from stitchkit.encoders import load_encoder
from stitchkit.reports.descriptions import describe_encoder, description_lines

# python: encoders are the user's own and tell nothing; those of stitchkit train tell no size of images
ROWS = sorted(row for row in TABLE if not row.startswith(("python", "shared", "trained")))


@pytest.mark.parametrize("row", ROWS)
def test_details_are_those_of_the_inputs(tiny_name, items, row):
    name = tiny_name(row)
    encoder = load_encoder(name, device="cpu", trust_python=True)
    if name.startswith("stitchkit:") and not isinstance(encoder, HasDetails):
        pytest.skip("an encoder of stitchkit train")
    details = dict(encoder.details)
    assert details["pooling"]
    batch = encoder.prepare(items(encoder.modality)[:1])
    if encoder.modality == "image":
        pixels = next(iter(batch.values())) if isinstance(batch, dict) else batch
        if pixels.ndim == 4:
            height, width = (int(side) for side in pixels.shape[-2:])
            assert details["size"].startswith((f"{height} x {width}", f"shortest edge {min(height, width)}"))
        else:  # rows of patches, whose number is bounded
            assert details["size"].startswith(f"at most {pixels.shape[1]} patches")
    if not name.startswith("onnx"):
        assert details["parameters"] > 0
    lines = description_lines(describe_encoder(name, encoder))
    assert any(line.startswith("pooling") for line in lines)


def test_normalisation_crop_and_prompt_are_shown(checkpoint):
    vision = load_encoder(f"timm:local-dir:{checkpoint('timm_vit')}", device="cpu").details
    config = vision["mean"], vision["sd"], vision["interpolation"]
    assert [len(one) for one in config[:2]] == [3, 3]
    assert vision["interpolation"] in ("bicubic", "bilinear")
    assert "of the resized image" in vision["crop"]
    text = load_encoder(
        f"hf:local-dir:{checkpoint('hf_bert')}#pool=mean&norm=unit&prompt=query: ", device="cpu"
    ).details
    assert text["prompt"] == "query: "
    assert text["pooling"] == "mean, unit length"
    assert text["longest text"].endswith(" tokens")
