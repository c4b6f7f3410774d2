"""Pairs for training: drawn by patient, with the rule by which two captions are the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from stitchkit.core.errors import DataError
from stitchkit.core.wording import counted
from stitchkit.datasets.cohorts import Cohort, read_cohort
from stitchkit.evaluation.leakage import audit, spelled_notes
from stitchkit.evaluation.patient_draws import patient_order
from stitchkit.training.objectives.objective import BatchFacts
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
        """Number of distinct captions."""
        return int(self.same.max()) + 1

    @property
    def present(self) -> dict[str, np.ndarray]:
        """Modality -> (n,) bool, True where a row has an item of it."""
        return {side.name: np.ones(len(self), dtype=np.bool_) for side in self.sides}

    def facts(self, rows: np.ndarray | slice, device: torch.device) -> BatchFacts:
        """Facts about some rows, for the objective."""
        present = {name: torch.as_tensor(mask[rows], device=device) for name, mask in self.present.items()}
        return BatchFacts(torch.as_tensor(self.same[rows], device=device), present)


def modalities(recipe: PairsRecipe, cohort: Cohort) -> tuple[str, str]:
    """Names of the two sides of pairs."""
    return recipe.modalities or (IMAGE_TEXT if cohort.images.modality == "image" else TEXT_TEXT)


def numbered(captions: list[str]) -> np.ndarray:
    """One number (n,) for each distinct caption."""
    found: np.ndarray = np.unique(np.asarray(captions, dtype=np.str_), return_inverse=True)[1].reshape(-1)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class ChosenPairs:
    """Pairs for training and pairs for validation.

    Parameters
    ----------
    whole
        All pairs that the recipe speaks of, whatever its fraction, seed and share held out.
    train, held
        Rows of it.
    notes
        Notes on the pairs, for the user.
    """

    whole: Cohort
    train: np.ndarray
    held: np.ndarray
    notes: list[str]


def chosen_pairs(recipe: PairsRecipe, seed: int) -> ChosenPairs:
    """The pairs of a recipe.

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
    names = [recipe.train, *([recipe.valid] if recipe.valid else [])]
    if cohort.split is not None:
        for name in names:
            cohort.part(name)  # or an error that lists those there are
        cohort = cohort.take(np.isin(cohort.split, names))
    people, groups = people_of(cohort), cohort.labels.groups
    if recipe.valid:
        train, held = _rows(cohort, recipe.train), _rows(cohort, recipe.valid)
        sides = [(cohort.images.ids[rows], None if groups is None else groups[rows]) for rows in (train, held)]
        (ids, known), (other_ids, others) = sides
        notes = audit(ids, other_ids, known, others, sides=("training pairs", "validation pairs"))
    else:
        held = _held_out(people, recipe.held, seed)
        train = np.setdiff1d(np.arange(len(cohort)), held)
        notes = [
            f"validated on {counted(len(held), 'held-out pair')}" + ("" if groups is None else ", patient by patient")
        ]
    notes += spelled_notes(groups)
    if recipe.fraction < 1:
        order = patient_order(people[train], seed, 0)
        train = np.sort(train[order[: round(recipe.fraction * len(train))]])
    for what, rows in (("train", train), ("validate", held)):
        if len(rows) < 2:
            raise DataError(
                f"{counted(len(rows), 'pair is', 'pairs are')} too few to {what} on. Give more, or a larger fraction."
            )
    return ChosenPairs(cohort, train, held, list(notes))


def _rows(cohort: Cohort, name: str) -> np.ndarray:
    if cohort.split is None:
        cohort.part(name)  # raises: there is no split
    return np.flatnonzero(np.asarray(cohort.split) == name)


def people_of(cohort: Cohort) -> np.ndarray:
    """Whose each pair is (n,); without patients each pair is of one of its own."""
    groups = cohort.labels.groups
    return np.arange(len(cohort)) if groups is None else groups


def _held_out(people: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The rows of patients drawn until the share is reached; one patient is always left to train on."""
    order = patient_order(people, seed, 1)
    whose: np.ndarray = people[order]
    ends: np.ndarray = np.flatnonzero(whose[1:] != whose[:-1]) + 1  # of every patient but the last
    if not len(ends):
        raise DataError(
            "all train pairs are of one patient, so none can be held out to validate on. Name a published split with "
            "'valid' in [pairs]."
        )
    enough = min(int(np.searchsorted(ends, share * len(people))), len(ends) - 1)
    return np.sort(order[: int(ends[enough])])
