"""The rule by which metadata alone explain a score.

Metadata must stand above chance, for classes with all classes looked at together, or else one of many rare classes
would be called a shortcut by chance. How near they come to the score is judged by each interval as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stitchkit.metrics.auroc_intervals import AurocPulls, auroc_intervals
from stitchkit.metrics.bootstrap import Interval

CLOSE = 0.05  # a metadata-only baseline whose lower bound is this near the score explains it
LEVEL = 0.95  # of all classes together


def explains(metadata: Interval, score: Interval) -> bool:
    """True if the lower bound of metadata is above one half and above the score minus .05."""
    return metadata.low > max(score.value - CLOSE, 0.5)


def explained_classes(
    metadata: Mapping[str, Interval], scores: Mapping[str, Interval], above: Sequence[str]
) -> list[str]:
    """Classes whose scores metadata explain, among those whose metadata are ``above`` chance."""
    return [label for label in above if explains(metadata[label], scores[label])]


def above_chance(pulls: AurocPulls, classes: Mapping[str, Interval]) -> list[str]:
    """Classes whose AUROC is above one half, all of them together wrong in at most 2.5 % of samples.

    Holm's method by intervals: with m classes left, a class is above chance if the interval at level 1 - .05 / m is.
    One class alone has its 95 % interval.

    Parameters
    ----------
    pulls
        Of the classes, in their order.
    classes
        Their intervals; classes without ends are not looked at.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.tile([[0.0, 0.0], [1.0, 1.0]], (20, 1))
    >>> scores = np.stack([np.arange(40) % 2 + 0.1 * np.sin(np.arange(40)), np.cos(np.arange(40))], axis=1)
    >>> pulls = AurocPulls.of(scores, labels)
    >>> above_chance(pulls, dict(zip(("Edema", "Mass"), auroc_intervals(pulls))))
    ['Edema']
    """
    left = [label for label, one in classes.items() if one.has_ends]
    found: set[str] = set()
    while left:
        columns = [list(classes).index(label) for label in left]
        together = auroc_intervals(pulls.of_columns(columns), 1 - (1 - LEVEL) / len(left))
        clear = {label for label, one in zip(left, together, strict=True) if one.low > 0.5}
        if not clear:
            break
        found |= clear
        left = [label for label in left if label not in clear]
    return [label for label in classes if label in found]
