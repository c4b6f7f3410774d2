"""The end of a training run: an encoder, or an error that names step and batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stitchkit.core.errors import DataError
from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.wording import counted
from stitchkit.training.validation import Validation


class TrainingError(DataError):
    """A run that cannot go on, with the step and the batch; the last good state is kept."""


@dataclass(frozen=True, slots=True)
class TrainedRun(NotebookText):
    """Result of a training run.

    Parameters
    ----------
    folder
        Folder of the encoder.
    steps
        Number of steps, those of earlier runs included.
    epochs
        Number of passes over the pairs.
    best
        The validation of the weights that were kept.
    names
        Names of the encoders of all modalities: ``stitchkit:FOLDER#modality=...``.
    """

    folder: Path
    steps: int
    epochs: float
    best: Validation
    names: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([
            f"{counted(self.steps, 'step')}, {self.epochs:.4g} epochs; kept: step {self.best.step}",
            str(self.best),
            ", ".join(self.names),
        ])  # fmt: skip
