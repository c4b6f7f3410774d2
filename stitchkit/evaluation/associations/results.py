"""Scores by association judged by labels, with permuted weights beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchkit.core.errors import UnknownNameError
from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.plain_values import plain_values
from stitchkit.core.scores import Labels, Scores
from stitchkit.core.text_tables import text_table
from stitchkit.evaluation.scores.evaluate import RIVALS, evaluate
from stitchkit.evaluation.scores.results import Evaluation
from stitchkit.evaluation.scores.truth import known_labels
from stitchkit.metrics.auroc import auroc

if TYPE_CHECKING:
    from stitchkit.evaluation.associations.associations import AssociationScores


ASSOCIATION, ABNORMAL = "by association", "'abnormal' alone"
MACRO = "macro"


@dataclass(frozen=True, slots=True)
class PermutedNull:
    """AUROC by the true weights beside that by permuted ones.

    Parameters
    ----------
    name
        Name of the finding, or ``"macro"``.
    value
        AUROC of the scores by association.
    mean, most
        Mean and largest AUROC over the permutations.
    share
        ``(1 + permutations at least as high) / (1 + permutations)``: near 1 or .5 the partners' identity tells
        nothing.
    """

    name: str
    value: float
    mean: float
    most: float
    share: float

    def __str__(self) -> str:
        return f"{self.value:.3f}; weights permuted: mean {self.mean:.3f}, most {self.most:.3f}, share {self.share:.3f}"


def nulls_of(names: Sequence[str], true: np.ndarray, permuted: np.ndarray) -> tuple[PermutedNull, ...]:
    """One for each of f findings, and their mean: ``true`` (f,) beside ``permuted`` (b, f) AUROCs.

    Examples
    --------
    >>> for one in nulls_of(["Edema"], np.array([0.7]), np.array([[0.5], [0.6], [0.7]])):
    ...     print(one.name, one)
    Edema 0.700; weights permuted: mean 0.600, most 0.700, share 0.500
    macro 0.700; weights permuted: mean 0.600, most 0.700, share 0.500
    """
    columns = [*zip(names, true, permuted.T, strict=True), (MACRO, true.mean(), permuted.mean(axis=1))]
    return tuple(
        PermutedNull(
            name=str(name),
            value=float(value),
            mean=float(draws.mean()),
            most=float(draws.max()),
            share=float((1 + (draws >= value).sum()) / (1 + len(draws))),
        )
        for name, value, draws in columns
    )


@dataclass(frozen=True, slots=True)
class AssociationEvaluation(NotebookText):
    """AUROC of scores by association with both rivals; print it.

    Parameters
    ----------
    table
        The scores in the main row, "abnormal" alone below it, with paired differences.
    permuted
        One for each judged finding and, last, one for their mean.
    """

    table: Evaluation
    permuted: tuple[PermutedNull, ...]

    def null(self, name: str = MACRO) -> PermutedNull:
        """The permuted weights beside one finding, or the mean of all."""
        known = {one.name: one for one in self.permuted}
        if name not in known:
            raise UnknownNameError.of("judged finding", name, known)
        return known[name]

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"table": self.table.to_dict(), "permuted": [asdict(one) for one in self.permuted]}

    def __str__(self) -> str:
        return "\n".join(
            [str(self.table), "", *text_table([(one.name, str(one)) for one in self.permuted], indent="  ")]
        )


def evaluate_scores(
    scores: AssociationScores, labels: Labels, others: Mapping[str, Scores] | None = None, **settings: Any
) -> AssociationEvaluation:
    """:meth:`AssociationScores.evaluate`; ``settings`` are those of :func:`stitchkit.evaluate`."""
    rows = {ABNORMAL: scores.abnormal, **(others or {})}
    table = evaluate(scores.association, labels, others=rows, name=ASSOCIATION, **settings)
    table = replace(table, notes=tuple(note for note in table.notes if note != RIVALS))  # they stand beside it
    names = tuple(table.main.classes)
    truth = labels.of_ids(scores.ids)
    draws = np.asarray([_aurocs(scores.permutation(draw), truth, names) for draw in range(scores.draws)])
    return AssociationEvaluation(table, nulls_of(names, _aurocs(scores.association, truth, names), draws))


def _aurocs(scores: Scores, truth: Labels, names: Sequence[str]) -> np.ndarray:
    """AUROC of each named class on the items whose label is known."""
    values = []
    for name in names:
        known, present = known_labels(truth, name)
        values.append(auroc(scores.column(name)[known], present))
    return np.asarray(values)
