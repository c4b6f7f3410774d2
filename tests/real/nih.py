"""Findings, films and texts of the real chest set, for the tests on real data."""

from __future__ import annotations

import stitchkit as sk

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumothorax", "Consolidation",
    "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip
FOURTEEN = (*FINDINGS[:6], "Pneumonia", *FINDINGS[6:])


def films(real_data, ids):
    return sk.Items(ids, [real_data / "cxr_nih" / one for one in ids], "image")


def texts_of(encoder, ids, texts):
    return sk.embed(encoder, sk.Items(ids, list(texts), "text"), progress=False)
