"""The loss of a bound space's encoders on what is held out, term by term."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.plain_values import plain_values
from stitchkit.storage.artefact_schemas import check_fields


@dataclass(frozen=True, slots=True)
class BindingLoss(NotebookText):
    """Loss of one step on held-out pairs and texts.

    Parameters
    ----------
    step
        Number of steps made; 0 is the bound space in closed form.
    contrast
        Name of each modality -> contrastive loss of its own pairs.
    disagreement
        Sum over pairs of text encoders of the mean squared difference of their vectors of the common texts.
    total
        Sum of the contrastive losses and of the weighted disagreement.
    """

    step: int
    contrast: dict[str, float]
    disagreement: float
    total: float

    def __str__(self) -> str:
        own = ", ".join(f"{name} {value:.4f}" for name, value in self.contrast.items())
        return f"loss {self.total:.4f} ({own}; disagreement of texts {self.disagreement:.3g})"

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "step": self.step,
            "contrast": dict(self.contrast),
            "disagreement": self.disagreement,
            "total": self.total,
        }

    @classmethod
    def of_dict(cls, plain: Mapping[str, Any]) -> BindingLoss:
        """The loss whose :meth:`to_dict` is ``plain``.

        Raises
        ------
        InputError
            If a number is missing or of another type.
        """
        return check_fields(dict(plain), cls)
