"""Findings that no anchor mentions, ranked by the company they keep in unlinked texts: values and their tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import as_embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.least_patients import MIN_POSITIVES, REPLICATES
from stitchkit.core.maps import AffineMap
from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.plain_values import plain_values
from stitchkit.core.scores import Labels, Scores
from stitchkit.core.space import Space
from stitchkit.core.text_tables import text_table
from stitchkit.core.wording import counted
from stitchkit.metrics.bootstrap import Interval

if TYPE_CHECKING:
    from stitchkit.evaluation.associations.results import AssociationEvaluation

KIND = "association"
LEVEL = 0.05  # of the chance, over all partners of a finding, below which one is named as its company
SHOWN = 6  # partners in print, those of the largest weights
LIMITS = (
    "by association: items are ranked by the findings that accompany a finding in the pool's texts. One that keeps no "
    "company stays near chance, and habits of another hospital's texts mislead.",
    "read these scores beside their rivals, 'abnormal' alone and permuted weights. No calibration, threshold or "
    "decision can be made from them.",
)


@dataclass(frozen=True, slots=True)
class Partner:
    """A finding that anchors mention, beside one that none does.

    Parameters
    ----------
    name
        The anchored finding, or the class of a normal item.
    weight
        ``log((together + .5) / (expected + .5))``; above 0 for company, below 0 for avoidance.
    together
        Pool texts that mention both.
    expected
        The same if mentions were independent.
    p_value
        Chance of so many together, or more, if they were (hypergeometric, one-sided).
    anchors
        Anchors whose texts mention it.
    auroc
        AUROC of its own score on the anchors' mentions, held out with patients kept whole, with its 95 % interval over
        patients; None where no fold has anchors with and without it.
    """

    name: str
    weight: float
    together: int
    expected: float
    p_value: float
    anchors: int
    auroc: Interval | None


@dataclass(frozen=True, slots=True)
class Association:
    """One finding that no anchor mentions, with its partners.

    Parameters
    ----------
    finding
        Name of the class.
    mentions
        Pool texts that mention it.
    alone
        Those of them that mention no anchored finding.
    partners
        Anchored findings, the largest weight first.
    normal
        The class of a normal item: an anchor or pool text that mentions no finding.
    company
        Partners that it is mentioned with more often than chance allows (p < .05 over all partners, Bonferroni).
    """

    finding: str
    mentions: int
    alone: int
    partners: tuple[Partner, ...]
    normal: Partner
    company: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Mentions in the pool, and the partners that chance does not explain."""
        texts = f"{counted(self.mentions, 'pool text')}, {self.alone} of them without any anchored finding"
        if self.company:
            return f"{texts}; mentioned more often than by chance with {', '.join(self.company)}"
        return f"{texts}; mentioned with no anchored finding more often than by chance: expect scores near chance"

    def rows(self) -> list[tuple[str, ...]]:
        """Cells of every partner under the titles ``HEAD``, the normal class last."""
        return [_cells(partner) for partner in (*self.partners, self.normal)]

    def __str__(self) -> str:
        return "\n".join(_lines_of(self))


@dataclass(frozen=True, slots=True, eq=False)
class Associations(NotebookText):
    """Scores by association, ready for items of the source space; print it for partners, counts and limits.

    Parameters
    ----------
    partner_map
        Ridge from the source space onto the mentions of g anchored findings, the normal class last.
    partners
        Names of its g outputs.
    associations
        One for each of f findings that can be scored.
    unscored
        Finding without a score -> the reason.
    weights : (f, g)
    permuted : (b, f, g)
        Weights of the findings permuted among themselves, that of the normal class in its place.
    anchors, patients
        Number of anchors, and of patients where they are known.
    pool, pool_distinct
        Number of pool texts, and of different ones where texts were given.
    strength
        Strength of the ridge's penalty, in mean eigenvalues of the anchors' scatter.
    notes
        Assumptions and limits in words.
    settings
        Folds, permutations, seed, and level of the intervals.
    """

    partner_map: AffineMap
    partners: tuple[str, ...]
    associations: tuple[Association, ...]
    unscored: Mapping[str, str]
    weights: np.ndarray
    permuted: np.ndarray
    anchors: int
    patients: int | None
    pool: int
    pool_distinct: int | None
    strength: float
    notes: tuple[str, ...]
    settings: Mapping[str, Any]

    @property
    def space(self) -> Space:
        """The space whose vectors are scored."""
        return self.partner_map.source

    @property
    def findings(self) -> tuple[str, ...]:
        """Findings that get a score."""
        return tuple(one.finding for one in self.associations)

    def association(self, finding: str) -> Association | None:
        """The association of one finding; None where it has no score."""
        return next((one for one in self.associations if one.finding == finding), None)

    def scores(self, embeddings: Any) -> AssociationScores:
        """Scores of vectors (n, d) of the anchors' space, beside their rivals; those of another encoder are refused."""
        items = as_embeddings(embeddings, "the items to score by association")
        self.space.require(items.space, "the scores by association")
        return AssociationScores(
            ids=items.ids,
            findings=self.findings,
            partners=self.partners,
            partner_scores=to_numpy(self.partner_map.apply(items.vectors)),
            weights=self.weights,
            permuted_weights=self.permuted,
            notes=self.notes,
        )

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "findings": [plain_association(one) for one in self.associations],
            "unscored": dict(self.unscored),
            "anchors": self.anchors,
            "patients": self.patients,
            "pool": self.pool,
            "pool_distinct": self.pool_distinct,
            "strength": self.strength,
            "notes": list(self.notes),
            "settings": dict(self.settings),
        }

    def __str__(self) -> str:
        people = "" if self.patients is None else f" of {counted(self.patients, 'patient')}"
        distinct = "" if self.pool_distinct is None else f" ({self.pool_distinct:,} different)"
        lines = [
            f"Scores by association: {counted(len(self.findings), 'finding')} that no anchor mentions; "
            f"{counted(self.anchors, 'anchor')}{people}, pool of {counted(self.pool, 'text')}{distinct}"
        ]
        for one in self.associations:
            lines += ["", *_lines_of(one)]
        lines += ["", *(f"{name}: no score: {why}" for name, why in self.unscored.items())] if self.unscored else []
        return "\n".join([*lines, "", *(f"note: {note}" for note in self.notes)])


@dataclass(frozen=True, slots=True, eq=False)
class AssociationScores(NotebookText):
    """Scores of n items for f findings that no anchor mentions, beside their rivals.

    Parameters
    ----------
    ids : (n,) str
    findings
        f names.
    partners
        g names of anchored findings, the normal class last.
    partner_scores : (n, g)
        Scores of the partners: about the share of such items whose texts mention the partner.
    weights : (f, g), permuted_weights : (b, f, g)
    notes
        Assumptions and limits in words.
    """

    ids: np.ndarray
    findings: tuple[str, ...]
    partners: tuple[str, ...]
    partner_scores: np.ndarray
    weights: np.ndarray
    permuted_weights: np.ndarray
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def association(self) -> Scores:
        """The scores (n, f), of kind ``"association"``: for ranking alone."""
        return self._of(self.partner_scores @ self.weights.T)

    @property
    def abnormal(self) -> Scores:
        """The trivial rival (n, f): minus the score of a normal item, the same for every finding."""
        return self._of(np.repeat(-self.partner_scores[:, -1:], len(self.findings), axis=1))

    @property
    def draws(self) -> int:
        """Number of permutations of the weights."""
        return len(self.permuted_weights)

    def permutation(self, draw: int) -> Scores:
        """Scores (n, f) by permuted weights, ``draw`` in [0, draws)."""
        if not 0 <= draw < self.draws:
            raise InputError(f"there are {self.draws} permutations, 0 to {self.draws - 1}; got {draw}.")
        return self._of(self.partner_scores @ self.permuted_weights[draw].T)

    @property
    def likeness(self) -> dict[str, float | None]:
        """Rank correlation of each finding's scores with "abnormal" alone; near 1 they add nothing to it."""
        values = self.association.values
        return {name: rank_correlation(values[:, f], -self.partner_scores[:, -1])
                for f, name in enumerate(self.findings)}  # fmt: skip

    def evaluate(
        self,
        labels: Labels,
        *,
        groups: Any = None,
        anchors: Any = None,
        others: Mapping[str, Scores] | None = None,
        min_positives: int = MIN_POSITIVES,
        replicates: int = REPLICATES,
        seed: int = 0,
        allow_leakage: bool = False,
    ) -> AssociationEvaluation:
        """AUROC of each finding by ``labels``, beside "abnormal" alone and permuted weights.

        The arguments are those of :func:`stitchkit.evaluate`; ``others`` may hold the scores of prompts, as one more
        rival.
        """
        from stitchkit.evaluation.associations.results import evaluate_scores

        return evaluate_scores(
            self, labels, groups=groups, anchors=anchors, others=others, min_positives=min_positives,
            replicates=replicates, seed=seed, allow_leakage=allow_leakage,
        )  # fmt: skip

    def _of(self, values: np.ndarray) -> Scores:
        return Scores(values, KIND, self.ids, self.findings)

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "kind": KIND,
            "ids": self.ids.tolist(),
            "findings": list(self.findings),
            "association": self.association.values.tolist(),
            "abnormal": self.abnormal.values.tolist(),
            "permutations": self.draws,
            "rank_correlation_with_abnormal": self.likeness,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = [f"Scores by association of {counted(len(self), 'item')}, beside {counted(self.draws, 'permutation')}"]
        for name, value in self.likeness.items():
            shown = "not defined" if value is None else f"{value:+.2f}"
            lines.append(f"  {name}: rank correlation with 'abnormal' alone {shown}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Spearman's correlation of two (n,); None where one of them does not vary."""
    if min(len(one), len(np.unique(one)), len(np.unique(other))) < 2:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)


def plain_association(one: Association) -> dict[str, Any]:
    """An association as plain values for JSON."""
    return {
        **asdict(one),
        "partners": [_plain_partner(partner) for partner in one.partners],
        "normal": _plain_partner(one.normal),
        "company": list(one.company),
    }


def _plain_partner(one: Partner) -> dict[str, Any]:
    return {**asdict(one), "auroc": None if one.auroc is None else one.auroc._asdict()}


def _largest_partners(one: Association) -> tuple[list[Partner], int]:
    """Partners to print, the largest weight first, and the number of those left out."""
    largest = sorted(one.partners, key=lambda partner: -abs(partner.weight))[:SHOWN]
    kept = [partner for partner in one.partners if partner in largest]
    return [*kept, one.normal], len(one.partners) - len(kept)


def _cells(one: Partner) -> tuple[str, ...]:
    auroc = "not measured" if one.auroc is None else str(one.auroc)
    return (
        one.name, f"{one.weight:+.2f}", str(one.together), f"{one.expected:.1f}", f"{one.p_value:.2g}",
        str(one.anchors), auroc,
    )  # fmt: skip


HEAD = ("partner", "weight", "together", "expected", "p", "anchors", "AUROC held out")


def _lines_of(one: Association) -> Iterator[str]:
    yield f"{one.finding}: {one.sentence}"
    partners, rest = _largest_partners(one)
    rows = [HEAD, *(_cells(partner) for partner in partners)]
    yield from text_table(rows, numbers=range(1, len(HEAD)), indent="  ")
    if rest:
        yield f"  and {counted(rest, 'partner')} of smaller weights"
