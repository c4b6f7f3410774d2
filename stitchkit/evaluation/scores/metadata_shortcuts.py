"""The rule by which metadata alone explain a score.

Two questions are asked. Metadata must stand above chance, in the mean over classes or for a class with all classes
looked at together: else one of many rare classes would be called a shortcut by chance. And they must come as near to
the score as .05, by their lower bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stitchkit.evaluation.scores.class_patients import without_ends
from stitchkit.metrics.auroc_intervals import AurocPulls, auroc_intervals, macro_auroc_interval
from stitchkit.metrics.bootstrap import Interval

CLOSE = 0.05  # metadata whose lower bound is this near the score explain it
LEVEL = 0.95  # of the interval that must lie above chance, for all classes together
ONE_SIDED = 0.9  # level of the interval whose lower end is a one-sided bound of 95 %: how near the score metadata come


@dataclass(frozen=True, slots=True)
class MetadataAlone:
    """AUROC of the metadata-only baseline, as far as the rule needs it.

    Parameters
    ----------
    macro, classes
        Intervals at level .9: their low ends are bounds that hold in 95 % of samples. Classes with too few patients
        have no ends, nor has a macro value that too few carry.
    macro_above
        True if the 95 % interval of the macro value lies above one half.
    above
        Classes that are above one half, all together wrong in at most 2.5 % of samples.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.tile([[0.0, 0.0], [1.0, 1.0]], (20, 1))
    >>> scores = np.stack([np.arange(40) % 2 + 0.1 * np.sin(np.arange(40)), np.cos(np.arange(40))], axis=1)
    >>> pulls = AurocPulls.of(scores, labels)
    >>> alone = MetadataAlone.of(pulls, dict(zip(("Edema", "Mass"), auroc_intervals(pulls))))
    >>> alone.above, alone.explained({"Edema": Interval(0.9, 0.8, 0.95), "Mass": Interval(0.9, 0.8, 0.95)})
    (('Edema',), ['Edema'])
    """

    macro: Interval
    classes: Mapping[str, Interval]
    macro_above: bool
    above: tuple[str, ...]

    @classmethod
    def of(cls, pulls: AurocPulls, classes: Mapping[str, Interval], macro: Interval | None = None) -> MetadataAlone:
        """From the pulls of the metadata's scores and the 95 % intervals of their classes, in the same order.

        ``macro`` is the 95 % interval of the mean, by default that of the pulls; without ends it explains nothing.
        """
        one_sided = zip(classes.items(), auroc_intervals(pulls, ONE_SIDED), strict=True)
        whole, near_whole = macro or macro_auroc_interval(pulls, LEVEL), macro_auroc_interval(pulls, ONE_SIDED)
        return cls(
            macro=near_whole if whole.has_ends else without_ends(near_whole),
            classes={label: near if one.has_ends else without_ends(near) for (label, one), near in one_sided},
            macro_above=whole.low > 0.5,
            above=_above_chance(pulls, classes),
        )

    def explain_macro(self, score: Interval) -> bool:
        """True if metadata explain the scores' macro AUROC."""
        return self.macro_above and self.macro.low > score.value - CLOSE

    def explained(self, scores: Mapping[str, Interval]) -> list[str]:
        """Classes whose AUROC of the scores metadata explain."""
        return [label for label in self.above if self.classes[label].low > scores[label].value - CLOSE]


def _above_chance(pulls: AurocPulls, classes: Mapping[str, Interval]) -> tuple[str, ...]:
    """Classes above chance by Holm's method: with m classes left, those whose interval at level 1 - .05 / m is."""
    order = list(classes)
    left = [label for label, one in classes.items() if one.has_ends]
    above: set[str] = set()
    while left:
        together = auroc_intervals(pulls.of_columns([order.index(one) for one in left]), 1 - (1 - LEVEL) / len(left))
        clear = {label for label, one in zip(left, together, strict=True) if one.low > 0.5}
        if not clear:
            break
        above |= clear
        left = [label for label in left if label not in clear]
    return tuple(label for label in order if label in above)
