"""Which pairs are trained on: drawn by patient, with what makes two captions the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stitchkit.alignment.folds import assign
from stitchkit.core.errors import DataError
from stitchkit.datasets.cohorts import Cohort, read_cohort
from stitchkit.evaluation.leakage import audit
from stitchkit.evaluation.patient_draws import patient_order
from stitchkit.training.recipes import PairsRecipe
from stitchkit.training.sides import Side

IMAGE_TEXT, TEXT_TEXT = ("image", "text"), ("first", "second")  # what sides are called where nothing is said


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPairs:
    """Pairs of two modalities.

    Parameters
    ----------
    ids : (n,) str
    sides
        What is paired; the second side are the captions.
    same : (n,) int
        One number for each distinct caption.
    """

    ids: np.ndarray
    sides: tuple[Side, Side]
    same: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def captions(self) -> int:
        """How many distinct captions there are."""
        return int(self.same.max()) + 1


def modalities(recipe: PairsRecipe, cohort: Cohort) -> tuple[str, str]:
    """What the two sides of pairs are called."""
    return recipe.modalities or (IMAGE_TEXT if cohort.images.modality == "image" else TEXT_TEXT)


def numbered(captions: list[str]) -> np.ndarray:
    """One number (n,) for each distinct caption."""
    found: np.ndarray = np.unique(np.asarray(captions, dtype=np.str_), return_inverse=True)[1].reshape(-1)
    return found


def chosen_pairs(recipe: PairsRecipe, seed: int) -> tuple[Cohort, Cohort, list[str]]:
    """Train and validation pairs of a recipe, and notes.

    Raises
    ------
    DataError
        For data without texts, a split that is not there, or too few pairs.
    LeakageError
        If a patient is in both published splits.
    """
    cohort = read_cohort(recipe.layout, recipe.root, **recipe.reader)
    if cohort.texts is None:
        raise DataError(f"{cohort.name} was read without texts. Name the column of captions in [pairs.reader].")
    train = cohort if cohort.split is None else cohort.part(recipe.train)
    groups = train.labels.groups
    if recipe.valid:
        valid = cohort.part(recipe.valid)
        notes = audit(train.images.ids, valid.images.ids, groups, valid.labels.groups)
    else:
        parts = assign(len(train), groups, seed=seed, k=max(2, round(1 / recipe.held)))
        rest = np.setdiff1d(np.arange(len(train)), parts[0])
        train, valid, whose = train.take(rest), train.take(parts[0]), "pairs" if groups is None else "patients"
        notes = [f"validated on {len(valid)} pairs of {whose} held out of the train pairs"]
    if recipe.fraction < 1:
        known = train.labels.groups
        people = np.arange(len(train)) if known is None else known
        order = patient_order(people, seed, 0)
        train = train.take(np.sort(order[: round(recipe.fraction * len(train))]))
    for what, part in (("train", train), ("validate", valid)):
        if len(part) < 2:
            raise DataError(f"{len(part)} pairs are too few to {what} on. Give more, or a larger fraction.")
    return train, valid, notes
