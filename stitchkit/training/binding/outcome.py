"""The end of a tuning: adapters, and what they are worth on what was held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.wording import counted
from stitchkit.training.binding.validation import BindingLoss


@dataclass(frozen=True, slots=True)
class TunedBinding(NotebookText):
    """Result of :func:`stitchkit.tune_binding`.

    Parameters
    ----------
    folder
        Folder of the run; ``adapters/`` below it holds a folder for each encoder that was trained.
    steps
        Number of steps, those of earlier runs included.
    start, best
        Loss on what was held out before the first step, and of the step whose adapters were kept.
    encoders, text_encoders
        Name of each modality -> name by which its encoder is loaded with its adapter, for :func:`stitchkit.bind`.
    notes
        Encoders that stayed frozen.
    """

    folder: Path
    steps: int
    start: BindingLoss
    best: BindingLoss
    encoders: Mapping[str, str]
    text_encoders: Mapping[str, str]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        kept = f"kept: step {self.best.step}"
        if self.best.step == 0:
            kept = "no step lowered the held-out loss, so there are no adapters"
        return "\n".join([
            f"{counted(self.steps, 'step')}; {kept}",
            f"before   {self.start}",
            f"after    {self.best}",
            *(f"{name}: {self.encoders[name]} and {self.text_encoders[name]}" for name in self.encoders),
            *(f"note     {note}" for note in self.notes),
        ])  # fmt: skip
