"""The verb ``fit_associations``: findings that no anchor mentions, scored by their company in unlinked texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.anchors import AnchorSet
from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import DataError, InputError, UnknownNameError
from stitchkit.core.maps import AffineMap
from stitchkit.core.pairing import anchor_groups
from stitchkit.core.patients import count_patients
from stitchkit.core.prompts import PromptSet
from stitchkit.core.scores import Labels
from stitchkit.core.seeds import check_seed
from stitchkit.core.space import Space
from stitchkit.core.wording import counted, setting
from stitchkit.datasets.prompt_sets import read_prompts
from stitchkit.evaluation.associations.associations import LEVEL, LIMITS, Association, Associations, Partner
from stitchkit.evaluation.associations.class_mentions import (
    NO_FINDING,
    NO_POOL,
    Mentions,
    in_rows_of,
    mentions_in,
    normal_class,
    own_texts,
)
from stitchkit.evaluation.associations.cooccurrence import Cooccurrence, permuted_weights
from stitchkit.evaluation.associations.partner_scores import RidgeFit, held_out_partners, partner_aurocs
from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.ranks import distinct_rows

FEW_MENTIONS = 10  # in the pool; below, weights hang on single texts


def fit_associations(
    vectors: Any,
    texts: Any,
    pool: Any,
    prompts: PromptSet | str | Path | None = None,
    *,
    findings: Sequence[str] | None = None,
    no_finding: str | None = None,
    groups: Any = None,
    folds: int = 5,
    permutations: int = 199,
    seed: int = 0,
) -> Associations:
    """Scores of findings that no anchor mentions, from the findings that accompany them in a pool of unlinked texts.

    With p the scores of the anchored findings and of a normal item (ridge from the anchors' vectors onto the 0/1
    mentions of their texts), a finding f is scored by ``p w`` with ``w_g = log((together_fg + .5) / (expected_fg +
    .5))`` over the pool's texts. A normal item is one whose text mentions none of the findings.

    Parameters
    ----------
    vectors : (n, d)
        The anchors' vectors in the SOURCE space.
    texts
        Texts of the anchors: an anchor set, text items or n texts, searched for the words of the prompts with negation
        (:mod:`stitchkit.evaluation.anchors.text_mentions`); or ``Labels`` of a labeller, where 1 is a mention, 0 and
        NaN are none. Joined to ``vectors`` by id where both have ids, else by row.
    pool
        Texts, text items or ``Labels`` of the same kind of items, linked to none of the anchors.
    prompts
        The prompt set that names the findings, its name or its file. May be left out where texts and pool are labels.
    findings
        Names of the findings to score; by default all that no anchor mentions.
    no_finding
        The class of a normal item; by default the one spelled "No Finding", if there is one. It is never scored.
    groups : (n,) or mapping id -> group, optional
        Patients of the anchors, kept whole by the folds; by default those of an anchor set or of labels.
    folds
        Folds of patients, for the ridge's strength and the partners' AUROC, default 5.
    permutations
        Permutations of the weights, default 199.
    seed
        Seed of folds and permutations, default 0.

    Returns
    -------
    Associations
        Print it; ``.scores(items)`` scores items beside the rivals. The scores are of kind ``"association"``, which
        calibration, thresholds and conformal sets refuse.

    Raises
    ------
    InputError
        Without a pool; where the anchors mention fewer than two findings, every finding, a finding that is named, or
        have no normal item; for classes that exclude each other; for settings out of range.
    DataError
        If the pool mentions none of the findings.
    UnknownNameError
        For a finding, or class of a normal item, that is not among the classes.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> edema, effusion = rng.random((2, 300)) < 0.3
    >>> x = np.stack([edema, effusion], axis=1) + rng.normal(size=(300, 2))
    >>> texts = [("Edema. " if a else "") + ("Effusion." if b else "") for a, b in zip(edema, effusion)]
    >>> pool = ["Congestion and edema."] * 40 + ["Effusion."] * 60 + ["Edema."] * 20 + ["Normal film."] * 80
    >>> names = ("Edema", "Effusion", "Congestion")
    >>> found = fit_associations(x, texts, pool, PromptSet("three", {name: (name,) for name in names}))
    >>> found.findings, found.associations[0].mentions, found.associations[0].company
    (('Congestion',), 40, ('Edema',))
    >>> found.scores(x).association.kind
    'association'
    """
    check_seed(seed)
    check_settings(folds=(folds, 2), permutations=(permutations, 1), seed=(seed, 0))
    anchors, texts_of_pool = anchored_inputs(vectors, texts, pool, prompts, no_finding, groups)
    scored, unscored = _to_score(findings, anchors, texts_of_pool)
    y, people = mention_columns(anchors.mentions, anchors.anchored).astype(np.float64), anchors.people
    held = held_out_partners(anchors.wide, y, people, folds=folds, seed=seed)
    aurocs = partner_aurocs(held, y, people)
    counts = company(texts_of_pool, scored, anchors.anchored)
    partners = (*anchors.anchored, anchors.normal or NO_FINDING)
    associations = _associations(scored, counts, partners, y.sum(axis=0).astype(int).tolist(), aurocs, texts_of_pool)
    return Associations(
        partner_map=_partner_map(anchors.x, held.fit, len(partners)),
        partners=partners,
        associations=associations,
        unscored=unscored,
        weights=counts.weights,
        permuted=permuted_weights(counts.weights, permutations, seed),
        anchors=len(anchors.x),
        patients=count_patients(anchors.groups),
        pool=len(texts_of_pool),
        pool_distinct=None if texts_of_pool.texts is None else len(set(texts_of_pool.texts)),
        strength=held.strength,
        notes=tuple(_notes(anchors, texts_of_pool, associations)),
        settings={"folds": folds, "permutations": permutations, "seed": seed, "level": 0.95},
    )


@dataclass(frozen=True, slots=True, eq=False)
class AnchoredMentions:
    """Vectors (n, d) of the anchors with what their texts mention, and their patients (n,)."""

    x: Embeddings
    mentions: Mentions
    groups: np.ndarray | None
    normal: str | None

    @property
    def people(self) -> np.ndarray:
        """The patient (n,) of each anchor; equal vectors are one where patients are not known."""
        return distinct_rows(to_numpy(self.x.vectors)) if self.groups is None else self.groups

    @property
    def wide(self) -> np.ndarray:
        """The vectors (n, d) in float64."""
        return to_numpy(self.x.vectors).astype(np.float64)

    @property
    def anchored(self) -> tuple[str, ...]:
        """Findings that an anchor mentions."""
        return tuple(name for name, n in zip(self.mentions.findings, self.mentions.counts, strict=True) if n)

    @property
    def fault(self) -> str:
        """Reason why nothing can be scored from these anchors; empty where something can."""
        if len(self.anchored) < 2:
            mentioned = f"only {self.anchored[0]!r}" if self.anchored else "none"
            return (
                f"of {counted(len(self.mentions.findings), 'finding')} the anchors' texts mention {mentioned}; "
                f"association needs at least two that they mention. Add anchors, or prompts in the words of their "
                f"texts."
            )
        if not self.mentions.normal.any():
            return (
                "every anchor's text mentions a finding, so 'abnormal' alone, the rival to show beside these scores, "
                "cannot be scored. Add anchors of normal items."
            )
        if len(np.unique(self.people)) > 1:
            return ""
        alike = "have the same vector" if self.groups is None else "are of one patient"
        return f"the {counted(len(self.x), 'anchor')} {alike}, so nothing can be held out. Add anchors that differ."

    def without(self, finding: str, rows: np.ndarray) -> AnchoredMentions:
        """The anchors at ``rows`` (k,) that do not mention ``finding``."""
        kept = rows[~self.mentions.matrix[rows, self.mentions.findings.index(finding)]]
        groups = None if self.groups is None else self.groups[kept]
        return AnchoredMentions(self.x.take(kept), self.mentions.take(kept), groups, self.normal)


def anchored_inputs(
    vectors: Any, texts: Any, pool: Any, prompts: PromptSet | str | Path | None, no_finding: str | None, groups: Any
) -> tuple[AnchoredMentions, Mentions]:
    """Anchors and pool with their mentions, checked."""
    if pool is None or (not isinstance(pool, str) and hasattr(pool, "__len__") and not len(pool)):
        raise InputError(f"no score by association: {NO_POOL}.")
    x = as_embeddings(vectors, "the anchors' vectors")
    named = read_prompts(prompts) if isinstance(prompts, str | Path) else prompts
    if named is not None and named.multiclass:
        raise InputError(
            f"exactly one class of prompt set {named.name!r} applies to an item, so its classes keep no company. "
            f"Give prompts of findings that may come together."
        )
    if named is None and not isinstance(texts, Labels):
        raise InputError(
            "the findings are named by prompts, or by labels of the anchors' texts. Give " + setting("prompts") + "."
        )
    texts = in_rows_of(texts, x.ids, isinstance(vectors, Embeddings))
    classes = texts.classes if named is None else named.classes
    normal = normal_class(classes, no_finding)
    findings = tuple(name for name in classes if name != normal)
    mentions = mentions_in(texts, findings, named, "the anchors' side")
    if len(mentions) != len(x):
        raise InputError(
            f"{counted(len(mentions), 'text')} came with {len(x)} vectors of the anchors. Give one of each."
        )
    known = texts.groups if isinstance(texts, AnchorSet | Labels) else None
    anchors = AnchoredMentions(x, mentions, known if groups is None else anchor_groups(groups, x), normal)
    if anchors.fault:
        raise InputError(anchors.fault)
    return anchors, mentions_in(pool, findings, named, "the pool")


def _to_score(
    findings: Sequence[str] | None, anchors: AnchoredMentions, pool: Mentions
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Findings to score, and the reason for each that cannot be."""
    named = _named_findings(findings, anchors)
    reasons = {name: why for name in named if (why := fault_of(name, anchors, pool))}
    scored = tuple(name for name in named if name not in reasons)
    if not scored:
        listed = "; ".join(f"{name}: {why}" for name, why in reasons.items())
        raise DataError(f"no finding can be scored by association: {listed}. Give a pool whose texts mention it.")
    return scored, reasons


def _named_findings(findings: Sequence[str] | None, anchors: AnchoredMentions) -> tuple[str, ...]:
    counts = dict(zip(anchors.mentions.findings, anchors.mentions.counts.tolist(), strict=True))
    if findings is None:
        silent = tuple(name for name, n in counts.items() if not n)
        if not silent:
            raise InputError(
                f"the anchors mention all {len(counts)} findings, so none is left to association. Score them by "
                f"prompts."
            )
        return silent
    if isinstance(findings, str) or not len(findings):
        raise InputError(
            setting("findings") + " takes a list of names; got " + ("a single text." if findings else "none.")
        )
    for name in findings:
        if name == anchors.normal:
            raise InputError(f"{name!r} stands for a normal item, which association does not score. Leave it out.")
        if name not in counts:
            raise UnknownNameError.of("finding", name, counts)
        if n := counts[name]:
            raise InputError(
                f"{n} of {len(anchors.x)} anchor texts mention {name!r}, which prompts can name: score it by "
                f"stitchkit.zeroshot, or leave those anchors out."
            )
    return tuple(dict.fromkeys(findings))


def fault_of(name: str, anchors: AnchoredMentions, pool: Mentions) -> str:
    """Reason why a finding cannot be scored; empty where it can."""
    c = anchors.mentions.findings.index(name)
    if not (anchors.mentions.countable[c] and pool.countable[c]):
        return "its prompts have no word of their own, so texts that mention it cannot be counted"
    if pool.counts[c]:
        return ""
    same = own_texts(pool, anchors.mentions)
    if same == len(pool):
        return f"all {counted(same, 'pool text')} are texts of anchors as well, which do not mention it"
    return f"none of {counted(len(pool), 'pool text')} mentions it in the words of the prompts"


def company(pool: Mentions, findings: Sequence[str], anchored: Sequence[str]) -> Cooccurrence:
    """Counts of pool texts that mention ``findings`` together with the anchored ones and, last, as normal."""
    return Cooccurrence.of(pool.columns(findings), mention_columns(pool, anchored))


def mention_columns(mentions: Mentions, names: Sequence[str]) -> np.ndarray:
    """Mentions (n, g) of the named findings, and in the last column normal items."""
    return np.column_stack([mentions.columns(names), mentions.normal])


def _partner_map(x: Embeddings, fit: RidgeFit, partners: int) -> AffineMap:
    to = Space("scores of anchored findings", partners)
    return AffineMap(
        source=x.space,
        target=to,
        center=fit.center,
        weight=fit.weight,
        bias=fit.bias,
        rank=min(len(x) - 1, x.space.dim),
    )


def _associations(
    findings: Sequence[str],
    counts: Cooccurrence,
    partners: tuple[str, ...],
    anchors: Sequence[int],
    aurocs: Sequence[Interval | None],
    pool: Mentions,
) -> tuple[Association, ...]:
    accompanied, p_values, result = pool.columns(partners[:-1]).any(axis=1), counts.p_values(), []
    for f, name in enumerate(findings):
        numbers = counts.weights[f], counts.together[f], counts.expected[f], p_values[f]
        each = [
            Partner(
                name=partner,
                weight=float(weight),
                together=int(together),
                expected=float(expected),
                p_value=float(p_value),
                anchors=n,
                auroc=auroc,
            )
            for partner, weight, together, expected, p_value, n, auroc in zip(
                partners, *numbers, anchors, aurocs, strict=True
            )
        ]
        ordered = tuple(sorted(each[:-1], key=lambda one: -one.weight))
        close = tuple(one.name for one in ordered if one.p_value < LEVEL / len(ordered))
        mentioned = pool.columns([name])[:, 0]
        alone = int((mentioned & ~accompanied).sum())
        result.append(
            Association(
                finding=name,
                mentions=int(mentioned.sum()),
                alone=alone,
                partners=ordered,
                normal=each[-1],
                company=close,
            )
        )
    return tuple(result)


def _notes(anchors: AnchoredMentions, pool: Mentions, associations: tuple[Association, ...]) -> list[str]:
    notes = [*LIMITS]
    same = own_texts(pool, anchors.mentions)
    if same is None:
        notes.append(
            "texts are not known on both sides, so it was not checked that the pool's are none of the anchors'"
        )
    elif same:
        notes.append(
            f"{same} of {counted(len(pool), 'pool text')} are texts of anchors as well: they mention no finding that "
            f"is scored here and are no further evidence"
        )
    if anchors.groups is None:
        notes.append("patients are not known: folds and intervals take every anchor as one of its own")
    if few := [one.finding for one in associations if one.mentions < FEW_MENTIONS]:
        notes.append(f"fewer than {FEW_MENTIONS} pool texts mention {', '.join(few)}: weights hang on single texts")
    return notes


def check_settings(**least: tuple[int, int]) -> None:
    """Raise for a setting that is no whole number of at least its bound; each is given as (value, bound)."""
    for name, (value, low) in least.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
            raise InputError(f"{name} must be a whole number of at least {low}; got {value!r}.")
