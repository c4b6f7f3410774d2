"""The hub as a picture: test images of four modalities in two directions, and what eight texts find among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import stitchkit as sk
from benchmarks.binding.real import WAYS, bind
from benchmarks.binding.settings import Setting
from benchmarks.binding.vectors import NO_FINDING, RealVectors, prompt_of
from stitchkit.reports.figures import COLOURS, FAINT, GRID, INK

WAY = "a text space each, joint map"
NEAREST = 20
TEXTS = {
    NO_FINDING: ("xray", "normal"),
    prompt_of("Cardiomegaly"): ("xray", "abnormal"),
    "Breast ultrasound showing a benign mass.": ("ultrasound", "benign"),
    "Breast ultrasound showing a malignant mass.": ("ultrasound", "malignant"),
    "Brain MRI showing a tumor.": ("mri", "tumor"),
    "Brain MRI without a tumor.": ("mri", "no_tumor"),
    "Dermoscopic image of a melanoma.": ("skin", "mel"),
    "Dermoscopic image of a vascular lesion.": ("skin", "vasc"),
}
SHOWN = {"xray": "X-ray", "ultrasound": "ultrasound", "mri": "MRI", "skin": "dermoscopy"}
PARTS = {
    "the class that the text names": COLOURS[0],
    "another class of that modality": COLOURS[1],
    "another modality": FAINT,
}


def counts(bound: sk.BoundSpace, setting: Setting) -> dict[str, tuple[int, int, int]]:
    """Text -> of the nearest images of all modalities: its class, other classes of its modality, other modalities."""
    texts = setting.read(bound.text, list(TEXTS), list(TEXTS))
    cosines, owner, label = [], [], []
    for name, one in setting.modalities.items():
        cosines.append(np.asarray(bound.similarity(name, one.test, texts, "global")))
        owner += [name] * len(one.test)
        which = one.labels.of_ids(one.test.ids).values.argmax(axis=1)
        label += [one.prompts.classes[i] for i in which]
    every, found = np.concatenate(cosines), {}
    for column, (text, (modality, wanted)) in enumerate(TEXTS.items()):
        nearest = np.argsort(-every[:, column], kind="stable")[:NEAREST]
        of_it = sum(owner[i] == modality for i in nearest)
        right = sum(owner[i] == modality and label[i] == wanted for i in nearest)
        found[text] = right, of_it - right, NEAREST - of_it
    return found


def draw(bound: sk.BoundSpace, setting: Setting) -> tuple[Figure, dict[str, tuple[int, int, int]]]:
    """Two panels under each other, so that a phone shows them, and the counts of the second."""
    figure, found = Figure(figsize=(5.6, 7.4), layout="constrained"), counts(bound, setting)
    above, below = figure.subplots(2, height_ratios=[1.5, 1])
    _points(above, bound, setting)
    start, at = np.zeros(len(found)), np.arange(len(found))[::-1]
    for part, (name, colour) in enumerate(PARTS.items()):
        width = np.asarray([one[part] for one in found.values()])
        below.barh(at, width, left=start, color=colour, label=name, height=0.7)
        start = start + width
    below.set_yticks(at, list(found), fontsize=7)
    below.set_xlim(0, NEAREST)
    below.set_xlabel(f"of the {NEAREST} nearest test images of all modalities", fontsize=8)
    figure.legend(*below.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=7)
    return figure, found


def _points(axes: Axes, bound: sk.BoundSpace, setting: Setting) -> None:
    """Unit rows about the global mean along their two main directions; crosses are the texts."""
    rows = {name: np.asarray(bound.unit_rows(name, one.test, "global")) for name, one in setting.modalities.items()}
    texts = np.asarray(bound.into_hub("text", setting.read(bound.text, list(TEXTS), list(TEXTS))).vectors)
    texts = texts - np.asarray(bound.global_means[1])
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    every = np.concatenate(list(rows.values()))
    main = np.linalg.svd(every - every.mean(axis=0), full_matrices=False)[2][:2].T
    for (name, one), colour in zip(rows.items(), COLOURS, strict=False):
        place = (one - every.mean(axis=0)) @ main
        axes.plot(*place.T, "o", ms=2.5, alpha=0.5, mew=0, color=colour, label=f"{SHOWN[name]} ({len(one)})")
    axes.plot(*((texts - every.mean(axis=0)) @ main).T, "x", ms=6, color=INK, label="eight texts")
    axes.grid(color=GRID, lw=0.8)
    axes.legend(frameon=False, fontsize=8)
    axes.set_xlabel("first direction", fontsize=8)
    axes.set_ylabel("second direction", fontsize=8)


def run(real: RealVectors, encoder: str, out: Path | None) -> int:
    """Draw the picture and print the counts."""
    setting = Setting(real, encoder)
    figure, found = draw(bind(setting, WAYS[WAY]), setting)
    for text, some in found.items():
        print(text, dict(zip(PARTS, some, strict=True)))
    folder = Path("docs/pictures") if out is None else out
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "binding.svg", metadata={"Date": None})
    return 0
