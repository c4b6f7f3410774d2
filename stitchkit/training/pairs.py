"""Pairs for training: drawn by patient, with a number for each distinct caption."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from stitchkit.core.errors import DataError, InputError
from stitchkit.core.patients import patient_of_each
from stitchkit.core.wording import counted
from stitchkit.datasets.cohorts import Cohort, read_cohort
from stitchkit.evaluation.leakage import audit, spelled_notes
from stitchkit.evaluation.patient_draws import patient_order
from stitchkit.training.modality_data import ModalityData
from stitchkit.training.objectives.objective import BatchFacts
from stitchkit.training.recipes import PairsRecipe

IMAGE_TEXT, TEXT_TEXT = ("image", "text"), ("first", "second")  # modalities of a recipe that names none


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPairs:
    """Rows of items that belong together, one of each modality.

    Parameters
    ----------
    ids : (n,) str
        Ids of the rows.
    modalities : name -> data
        Data of each modality, by its name in the network. Names are roles (``"findings"``, ``"impression"``), so that
        two modalities may be of one kind; the last are the captions.
    present : name -> (n,) bool
        True where the row has an item of the modality. Where it has none, its data hold a placeholder.
    captions : (n,) int
        Number of the caption of each row; equal captions have equal numbers, from 0.
    """

    ids: np.ndarray
    modalities: Mapping[str, ModalityData]
    present: Mapping[str, np.ndarray]
    captions: np.ndarray

    def __post_init__(self) -> None:
        if list(self.present) != list(self.modalities):
            raise InputError(
                f"there is data of {', '.join(self.modalities)}, and presence of {', '.join(self.present)}. Give both "
                f"of each modality, in one order."
            )
        for name, mask in self.present.items():
            if mask.shape != self.ids.shape or mask.dtype != np.bool_:
                raise InputError(
                    f"the presence of {name!r} is {mask.dtype} {mask.shape}; give {len(self.ids)} values of True or "
                    f"False."
                )

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def complete(cls, ids: np.ndarray, modalities: Mapping[str, ModalityData], captions: np.ndarray) -> TrainingPairs:
        """Rows that have all modalities."""
        return cls(ids, modalities, {name: np.ones(len(ids), dtype=np.bool_) for name in modalities}, captions)

    @property
    def distinct(self) -> int:
        """Number of distinct captions."""
        return int(self.captions.max()) + 1

    def facts(self, rows: np.ndarray | slice, device: torch.device) -> BatchFacts:
        """Facts about some rows, for the objective."""
        present = {name: torch.as_tensor(mask[rows], device=device) for name, mask in self.present.items()}
        return BatchFacts(torch.as_tensor(self.captions[rows], device=device), present)


def modality_names(recipe: PairsRecipe, cohort: Cohort) -> tuple[str, str]:
    """Names of the two modalities of pairs: of the items, and of the captions."""
    return recipe.modalities or (IMAGE_TEXT if cohort.images.modality == "image" else TEXT_TEXT)


def number_captions(captions: Iterable[str]) -> np.ndarray:
    """Numbers (n,) of captions, from 0; equal captions have equal numbers.

    Examples
    --------
    >>> number_captions(["No finding.", "Effusion.", "No finding."]).tolist()
    [1, 0, 1]
    """
    numbers: np.ndarray = np.unique(np.asarray(list(captions), dtype=np.str_), return_inverse=True)[1].reshape(-1)
    return numbers


@dataclass(frozen=True, slots=True, eq=False)
class ChosenPairs:
    """Pairs for training and pairs for validation.

    Parameters
    ----------
    whole
        All pairs of the splits that the recipe names, whatever its fraction, seed and share held out.
    train, held : (m,) int
        Rows of ``whole``.
    notes
        Notes on the pairs, for the user.
    """

    whole: Cohort
    train: np.ndarray
    held: np.ndarray
    notes: list[str]


def choose_pairs(recipe: PairsRecipe, seed: int) -> ChosenPairs:
    """Choose the pairs to train and to validate on.

    Parameters
    ----------
    recipe
        Pairs of a recipe.
    seed
        Seed of the held-out patients and of the fraction.

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
    patients_or_rows, groups = patients_of(cohort), cohort.labels.groups
    if recipe.valid:
        train, held = _rows(cohort, recipe.train), _rows(cohort, recipe.valid)
        (ids, patients), (held_ids, held_patients) = (
            (cohort.images.ids[rows], None if groups is None else groups[rows]) for rows in (train, held)
        )
        notes = audit(ids, held_ids, patients, held_patients, sides=("training pairs", "validation pairs"))
    else:
        held = held_out_rows(patients_or_rows, recipe.held, seed)
        train = np.setdiff1d(np.arange(len(cohort)), held)
        notes = [
            f"validated on {counted(len(held), 'held-out pair')}" + ("" if groups is None else ", patient by patient")
        ]
    notes += [*spelled_notes(groups), *_left_out_notes(cohort)]
    if recipe.fraction < 1:
        order = patient_order(patients_or_rows[train], seed, 0)
        train = np.sort(train[order[: round(recipe.fraction * len(train))]])
    for purpose, rows in (("train", train), ("validate", held)):
        if len(rows) < 2:
            raise DataError(
                f"{counted(len(rows), 'pair is', 'pairs are')} too few to {purpose} on. Give more, or a larger "
                f"fraction."
            )
    return ChosenPairs(cohort, train, held, list(notes))


def _left_out_notes(cohort: Cohort) -> list[str]:
    """A note on rows of the data that make no pair, such as images without a text."""
    reasons = {str(reason): count for reason, count in dict(cohort.card.get("left_out", {})).items() if count}
    if not reasons:
        return []
    counts = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.items())
    return [f"{counted(sum(reasons.values()), 'row')} of {cohort.name} left out ({counts})"]


def _rows(cohort: Cohort, name: str) -> np.ndarray:
    if cohort.split is None:
        cohort.part(name)  # raises: there is no split
    return np.flatnonzero(np.asarray(cohort.split) == name)


def patients_of(cohort: Cohort) -> np.ndarray:
    """Patients (n,) of the pairs; where they are not known each pair is of a patient of its own."""
    groups = cohort.labels.groups
    return patient_of_each(groups, len(cohort))


def held_out_rows(patients: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The rows of patients drawn until the share is reached; one patient is always left to train on."""
    order = patient_order(patients, seed, 1)
    drawn: np.ndarray = patients[order]
    ends: np.ndarray = np.flatnonzero(drawn[1:] != drawn[:-1]) + 1  # of every patient but the last
    if not len(ends):
        raise DataError(
            "all train pairs are of one patient, so none can be held out to validate on. Name a published split with "
            "'valid' in [pairs]."
        )
    enough = min(int(np.searchsorted(ends, share * len(patients))), len(ends) - 1)
    return np.sort(order[: int(ends[enough])])
