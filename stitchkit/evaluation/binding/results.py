"""Results of judging bound modalities: one table of modalities, one of retrieval between them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.plain_values import plain_values
from stitchkit.core.text_tables import text_table
from stitchkit.evaluation.scores.results import Evaluation
from stitchkit.metrics.bootstrap import Interval


@dataclass(frozen=True, slots=True)
class FewShotResult(NotebookText):
    """Balanced accuracy with a few labelled items, mean over draws of them.

    Parameters
    ----------
    accuracy
        The mean, with its interval over the patients of the test.
    low, high
        2.5th and 97.5th percentile of the draws: what another choice of labelled items may give on the same test.
    """

    accuracy: Interval
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.accuracy}, draws {self.low:.3f} to {self.high:.3f}"


@dataclass(frozen=True, slots=True)
class ModalityResult:
    """One modality by the bound space's text encoder.

    Parameters
    ----------
    zero_shot
        Its classes named by text; the scores of its alignment alone are the row ``"alone"``, where there are any.
    cost
        Macro AUROC alone minus bound, on the same patients, with its interval; None where nothing is beside it.
    identified
        Share of its items that are nearest to the texts of their own modality, about the global mean.
    few_shot
        Labelled items of each class -> balanced accuracy of the nearest class mean.
    """

    zero_shot: Evaluation
    cost: Interval | None
    identified: Interval
    few_shot: Mapping[int, FewShotResult] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CrossModalResult:
    """Items of one modality as queries for items of another that share a label.

    Parameters
    ----------
    first
        Share of queries whose nearest item has the query's label.
    precision
        Mean average precision, and ``chance``, the same of a random order.
    """

    query: str
    gallery: str
    labels: tuple[str, ...]
    first: Interval
    chance_first: float
    precision: float
    chance: float


@dataclass(frozen=True, slots=True)
class LoopResult:
    """Texts that go from one text space through the hub into another and back into the hub.

    Parameters
    ----------
    cosine
        Mean cosine, about the mean, of where they end with where they began; in [-1, 1].
    recall
        Share of texts that find themselves.
    direct
        The same share for texts that the other space has read itself.
    """

    start: str
    by: str
    cosine: float
    recall: float
    direct: float
    n: int


@dataclass(frozen=True, slots=True)
class BindingEvaluation(NotebookText):
    """Zero-shot, few-shot, identification and retrieval of bound modalities, each beside chance or what it replaces.

    Parameters
    ----------
    modalities
        Name -> what one text encoder makes of it.
    identified
        Mean over modalities of the share that is named right, with its interval; ``chance_identified`` beside it.
    cross_modal
        Retrieval between modalities with a common label.
    loops
        Consistency of the text spaces.
    shares_encoder
        True where modalities share an encoder and one map, so that the modality is recognised from the image; a map of
        its own puts a modality's offset in by itself.
    notes
        Limits, in words.
    """

    modalities: Mapping[str, ModalityResult]
    identified: Interval
    chance_identified: float
    cross_modal: tuple[CrossModalResult, ...]
    loops: tuple[LoopResult, ...]
    shares_encoder: bool
    notes: tuple[str, ...]
    settings: Mapping[str, Any]

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        above = [name for name, one in self.modalities.items() if one.zero_shot.main.macro.low > 0.5]
        words = f"{len(above)} of {len(self.modalities)} modalities are named by text above chance"
        costs = [one.cost for one in self.modalities.values() if one.cost is not None]
        if not costs:
            return words
        worst = max(costs, key=lambda one: one.value)
        high = max((one.high for one in costs if one.has_ends), default=float("nan"))
        ends = "" if math.isnan(high) else f", at most {max(high, 0.0):.3f} by its 95 % intervals"
        return f"{words}; binding costs {max(worst.value, 0.0) + 0.0:.3f} AUROC or less{ends}"

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "modalities": {
                name: {
                    "zero_shot": one.zero_shot.to_dict(),
                    "cost": None if one.cost is None else one.cost._asdict(),
                    "identified": one.identified._asdict(),
                    "few_shot": {
                        str(shots): {**value.accuracy._asdict(), "draws_low": value.low, "draws_high": value.high}
                        for shots, value in one.few_shot.items()
                    },
                }
                for name, one in self.modalities.items()
            },
            "identified": self.identified._asdict(),
            "chance_identified": self.chance_identified,
            "cross_modal": [{**asdict(one), "first": one.first._asdict()} for one in self.cross_modal],
            "loops": [asdict(one) for one in self.loops],
            "shares_encoder": self.shares_encoder,
            "notes": list(self.notes),
            "settings": dict(self.settings),
            "verdict": self.verdict,
        }

    def __str__(self) -> str:
        """Tables for a terminal."""
        lines = [self.verdict, "", *self._modality_lines(), "", self._identified_line()]
        if any(one.few_shot for one in self.modalities.values()):
            lines += ["", *self._few_shot_lines()]
        if self.cross_modal:
            lines += ["", *self._cross_lines()]
        if self.loops:
            lines += ["", *self._loop_lines()]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _modality_lines(self) -> list[str]:
        rows = [["modality", "macro AUROC [95 %]", "cost of binding", "balanced accuracy", "named right", "classes"]]
        for name, one in self.modalities.items():
            accuracy = one.zero_shot.main.measures.get("balanced_accuracy")
            rows.append([
                name, str(one.zero_shot.main.macro), "" if one.cost is None else one.cost.signed,
                "" if accuracy is None else str(accuracy.macro), str(one.identified),
                str(len(one.zero_shot.positives)),
            ])  # fmt: skip
        return text_table(rows)

    def _identified_line(self) -> str:
        chance = f"(chance {self.chance_identified:.2f})"
        return f"which of {len(self.modalities)} modalities, by text: {self.identified} {chance}"

    def _few_shot_lines(self) -> list[str]:
        shots = sorted({shots for one in self.modalities.values() for shots in one.few_shot})
        rows = [["balanced accuracy with labelled items a class", *map(str, shots)]]
        for name, one in self.modalities.items():
            rows.append([name, *(str(one.few_shot.get(count, "")) for count in shots)])
        return [*text_table(rows), "intervals over patients; a single draw of labelled items lies between its draws"]

    def _cross_lines(self) -> list[str]:
        rows = [["query", "gallery", "labels", "nearest has the label", "chance", "average precision", "chance"]]
        for one in self.cross_modal:
            rows.append([
                one.query, one.gallery, ", ".join(one.labels), str(one.first), f"{one.chance_first:.3f}",
                f"{one.precision:.3f}", f"{one.chance:.3f}",
            ])  # fmt: skip
        return text_table(rows)

    def _loop_lines(self) -> list[str]:
        rows = [["texts of", "through", "cosine after the loop", "find themselves", "read directly"]]
        for one in self.loops:
            rows.append([one.start, one.by, f"{one.cosine:.3f}", f"{one.recall:.3f}", f"{one.direct:.3f}"])
        return text_table(rows)
