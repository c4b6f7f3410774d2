"""What is bound in each setting, and how its modalities are judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

import stitchkit as sk
from benchmarks.binding.vectors import FINDINGS, NO_FINDING, TABLES, RealVectors, prompt_of

MIXED = {"xray": "l3", "ultrasound": "minilm", "mri": "tfidf", "skin": "minilm"}
QUERY = "minilm"  # the one text encoder
NORMAL = {
    "xray": {"normal": "normal", "abnormal": "abnormal"},
    "ultrasound": {"normal": "normal", "benign": "abnormal", "malignant": "abnormal"},
    "mri": {"no_tumor": "normal", "tumor": "abnormal"},
}
MALIGNANT = {
    "ultrasound": {"benign": "benign", "malignant": "malignant"},
    "skin": {one: "malignant" if one in ("mel", "bcc", "akiec") else "benign" for one in
             ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")},
}  # fmt: skip


@dataclass(frozen=True)
class Modality:
    """Training and test items of one modality by one image encoder.

    Parameters
    ----------
    train, test
        Embeddings of the images.
    captions
        The text of each training image.
    labels
        Labels, of one class each, and patients of all of them.
    prompts
        Class -> the texts that name it.
    """

    train: sk.Embeddings
    test: sk.Embeddings
    captions: tuple[str, ...]
    labels: sk.Labels
    prompts: sk.PromptSet


@dataclass(frozen=True)
class Setting:
    """Everything that one image encoder gives: modalities, and text spaces by name."""

    real: RealVectors
    encoder: str

    @cached_property
    def modalities(self) -> dict[str, Modality]:
        return {name: self._modality(name) for name in TABLES}

    @cached_property
    def _caption_rows(self) -> dict[str, int]:
        return {text: i for i, text in enumerate(self.real.captions())}

    def read(self, text: str, texts: list[str] | tuple[str, ...], ids: list[str] | np.ndarray) -> sk.Embeddings:
        """Captions and prompts by a text encoder."""
        prompts = {one: i for i, one in enumerate(self.real.texts("prompts"))}
        caps, named = self.real.text(text, "caps"), self.real.text(text, "prompts")
        rows = [named[prompts[one]] if one in prompts else caps[self._caption_rows[one]] for one in texts]
        return sk.Embeddings(np.stack(rows), ids, self.space(text))

    def space(self, text: str) -> sk.Space:
        return sk.Space(text, self.real.text(text, "prompts").shape[1], text)

    def pairs(self, name: str, text: str) -> sk.ModalityPairs:
        """The anchors of a modality with their captions by a text encoder."""
        one = self.modalities[name]
        patients = one.labels.of_ids(one.train.ids).groups
        texts = self.read(text, one.captions, one.train.ids)
        return sk.ModalityPairs(one.train, texts, groups=patients, text_space=text)

    def shared(self, spaces: list[str], *, captions: bool = True) -> dict[str, sk.Embeddings]:
        """The training reports, and the distinct captions of training images, by several text encoders."""
        texts = list(dict.fromkeys(text for one in self.modalities.values() for text in one.captions))
        views = {}
        for name in spaces:
            rows = self.real.text(name, "train")
            if captions:
                rows = np.concatenate([rows, np.asarray(self.read(name, texts, texts).vectors)])
            views[name] = sk.Embeddings(rows, list(map(str, range(len(rows)))), self.space(name))
        return views

    def held_out(self, spaces: list[str]) -> dict[str, sk.Embeddings]:
        """The test reports by several text encoders."""
        views = {name: self.real.text(name, "test") for name in spaces}
        return {
            name: sk.Embeddings(one, list(map(str, range(len(one)))), self.space(name)) for name, one in views.items()
        }

    def alone(self, name: str, text: str) -> sk.Scores:
        """Scores of the test images by the modality's own alignment with its own text space."""
        pairs, one = self.pairs(name, text), self.modalities[name]
        alignment = sk.align(pairs.vectors, pairs.texts, groups=pairs.groups, nested=False, progress=False)
        texts = self.read(text, one.prompts.texts, list(one.prompts.texts))
        return sk.zeroshot(alignment, texts, one.prompts).scores(one.test)

    def test(self, bound: sk.BoundSpace, name: str, alone: sk.Scores | None, common: Mapping) -> sk.ModalityTest:
        """The held-out images of a modality, scored by the query's text encoder."""
        one = self.modalities[name]
        texts = self.read(bound.text, one.prompts.texts, list(one.prompts.texts))
        head = sk.zeroshot(bound.alignment(name), bound.into_hub("text", texts), one.prompts)
        labels = one.labels.of_ids(one.test.ids)
        training = one.train, one.labels.of_ids(one.train.ids)
        return sk.ModalityTest(
            one.test, labels, head.scores(one.test), texts, alone=alone, training=training, common=common.get(name, {})
        )

    def findings(self, bound: sk.BoundSpace, text: str) -> sk.Evaluation:
        """The single findings on chest films, each against the other prompts, beside the alignment alone."""
        rows, every = self.real.rows("xray"), self.modalities["xray"].test
        at = {row["path"]: row for row in rows}
        values = np.asarray([[at[one][finding] == "1" for finding in FINDINGS] for one in every.ids.tolist()])
        groups = [at[one]["patient_id"] for one in every.ids.tolist()]
        labels = sk.Labels(values.astype(float), every.ids, FINDINGS, groups=groups)
        negative = {one: (*(prompt_of(other) for other in FINDINGS if other != one), NO_FINDING) for one in FINDINGS}
        prompts = sk.PromptSet("findings", {one: (prompt_of(one),) for one in FINDINGS}, negative)
        pairs = self.pairs("xray", text)
        alone = sk.align(pairs.vectors, pairs.texts, groups=pairs.groups, nested=False, progress=False)
        by_alone = self.read(text, prompts.texts, list(prompts.texts))
        by_query = bound.into_hub("text", self.read(bound.text, prompts.texts, list(prompts.texts)))
        scores = sk.zeroshot(bound.alignment("xray"), by_query, prompts).scores(every)
        before = sk.zeroshot(alone, by_alone, prompts).scores(every)
        return sk.evaluate(scores, labels, others={"alone": before}, name="bound", progress=False)

    def _modality(self, name: str) -> Modality:
        rows, vectors = self.real.rows(name), self.real.images(self.encoder, name)
        parts = {split: self.real.kept(name, split) for split in ("train", "test")}
        space = sk.Space(self.encoder, vectors.shape[1], self.encoder)
        sides = {
            split: sk.Embeddings(vectors[some], [rows[i]["path"] for i in some], space) for split, some in parts.items()
        }
        some = np.concatenate(list(parts.values()))
        labels = [_class_of(name, rows[i]) for i in some]
        prompts = _prompts(name, rows)
        classes = tuple(prompts.classes)
        values = np.asarray([[one == label for label in classes] for one in labels], dtype=float)
        patients = [rows[i]["patient_id"] for i in some]
        return Modality(
            sides["train"], sides["test"], tuple(rows[i]["text"] for i in parts["train"]),
            sk.Labels(values, [rows[i]["path"] for i in some], classes, groups=patients), prompts,
        )  # fmt: skip


def _class_of(name: str, row: Mapping[str, str]) -> str:
    if name == "xray":
        return "normal" if row["No_Finding"] == "1" else "abnormal"
    return row["label"]


def _prompts(name: str, rows: list[dict[str, str]]) -> sk.PromptSet:
    """The texts of the classes: on chest films the thirteen findings against no finding."""
    if name == "xray":
        return sk.PromptSet(
            name, {"abnormal": tuple(map(prompt_of, FINDINGS)), "normal": (NO_FINDING,)}, multiclass=True
        )
    texts = {label: tuple(sorted({row["text"] for row in rows if row["label"] == label}))
             for label in sorted({row["label"] for row in rows})}  # fmt: skip
    return sk.PromptSet(name, texts, multiclass=True)
