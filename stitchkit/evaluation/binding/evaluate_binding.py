"""The verb ``evaluate_binding``: one text encoder over all modalities, beside what each of them is alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import numpy as np

from stitchkit.alignment.align import align
from stitchkit.alignment.binding.bound_space import BoundSpace
from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings, as_embeddings
from stitchkit.core.errors import DataError, InputError, LeakageError
from stitchkit.core.least_patients import MIN_POSITIVES
from stitchkit.core.maps import unit
from stitchkit.core.pairing import in_order_of
from stitchkit.core.patients import patients_or_rows
from stitchkit.core.scores import Labels, Scores
from stitchkit.core.seeds import check_seed
from stitchkit.core.wording import counted, setting
from stitchkit.evaluation.binding.results import (
    BindingEvaluation,
    CrossModalResult,
    FewShotResult,
    LoopResult,
    ModalityResult,
)
from stitchkit.evaluation.fitted_pairs import audit_items
from stitchkit.evaluation.scores.evaluate import evaluate
from stitchkit.metrics.average_precision import average_precision, chance_average_precision
from stitchkit.metrics.bootstrap import Interval
from stitchkit.metrics.proportions import by_patient, exact_interval, mean_interval
from stitchkit.metrics.ranks import true_ranks
from stitchkit.runtime.threads import one_blas_thread

ALONE = "alone"  # row of the scores that binding replaces


@dataclass(frozen=True, slots=True, eq=False)
class ModalityTest:
    """Held-out items of one modality.

    Parameters
    ----------
    vectors
        Embeddings (n, d) of the items by the modality's encoder.
    labels
        Their labels, one class each, joined by id; ``labels.groups`` are the patients.
    scores
        Scores of the items by the bound space's text encoder: those of ``sk.zeroshot(bound.alignment(name), ...)``.
    texts
        Vectors (m, d_t) of the texts that name the modality and its classes, by the query's text encoder: the prompts.
    alone
        Scores of the same items by the alignment that binding replaces, where there is one.
    training
        Embeddings and labels of other items, from which few labelled ones are drawn.
    common
        Class -> label that it shares with classes of other modalities: ``{"malignant": "abnormal", ...}``. Classes that
        are left out are no queries and in no gallery.
    """

    vectors: Embeddings
    labels: Labels
    scores: Scores
    texts: Any
    alone: Scores | None = None
    training: tuple[Embeddings, Labels] | None = None
    common: Mapping[str, str] = field(default_factory=dict)


@one_blas_thread()
def evaluate_binding(
    bound: BoundSpace,
    tests: Mapping[str, ModalityTest],
    *,
    texts: Mapping[str, Any] | None = None,
    shots: Sequence[int] = (1, 5, 20),
    draws: int = 20,
    min_positives: int = MIN_POSITIVES,
    seed: int = 0,
    allow_leakage: bool = False,
) -> BindingEvaluation:
    """Judge bound modalities by held-out items: classes by text, modalities by text, few shots, and each other.

    Parameters
    ----------
    bound
        The bound space.
    tests
        Name of a modality -> its held-out items; at least two of the bound modalities.
    texts
        Name of a text space -> vectors of one list of texts that was not used in the fit, for loops through the hub.
    shots
        Labelled items of each class for the nearest class mean in the hub.
    draws
        Random draws of them.
    min_positives
        Classes with fewer positive or negative patients are not judged; default that of :func:`stitchkit.evaluate`.
    seed
        Seed of the draws, default 0.
    allow_leakage
        Go on, with a note, where items or patients were anchors, or test patients are among the training items.

    Returns
    -------
    BindingEvaluation
        Print it for tables.

    Raises
    ------
    InputError
        For fewer than two modalities, shots or draws below 1.
    UnknownNameError
        For a modality that is not bound.
    DataError
        For items without exactly one class, or where no class of a modality can be judged.
    LeakageError
        If an item or a patient was an anchor of its modality.
    """
    check_seed(seed)
    if len(tests) < 2:
        raise InputError(f"bound modalities are judged beside each other: at least two are needed; got {len(tests)}.")
    if draws < 1 or any(one < 1 for one in shots):
        raise InputError(f"few shots need at least 1 labelled item and 1 draw; got {list(shots)} and {draws}.")
    truth = {name: _classes(name, one) for name, one in tests.items()}
    leaks = []
    for name, one in tests.items():
        groups = one.labels.of_ids(one.vectors.ids).groups
        checked = audit_items(bound.alignment(name), one.vectors, groups, allow=allow_leakage)
        leaks += [f"{name}: {note}" for note in checked]
        leaks += _audit_training(name, one, groups, allow=allow_leakage)
    named = {name: _direction(bound, one) for name, one in tests.items()}
    results = {}
    for name, test in tests.items():
        judged = evaluate(
            test.scores, test.labels, others={} if test.alone is None else {ALONE: test.alone}, multiclass=True,
            name="bound", progress=False, seed=seed, min_positives=min_positives,
        )  # fmt: skip
        cost = None if test.alone is None else _negated(judged.method(ALONE).difference)
        results[name] = ModalityResult(
            zero_shot=judged,
            cost=cost,
            identified=_share(_named_right(bound, name, test, named), test),
            few_shot=_few_shot(bound, name, test, truth[name], shots, draws, seed),
        )
    every = [
        (_named_right(bound, name, test, named), _patient_names(i, test))
        for i, (name, test) in enumerate(tests.items())
    ]
    shared = [set(one["modalities"]) for one in bound.record.get("compared", []) if one["chosen"] != "own"]
    return BindingEvaluation(
        modalities=results,
        identified=_mean_share(every),
        chance_identified=1 / len(tests),
        cross_modal=tuple(_cross_modal(bound, tests, truth)),
        loops=tuple(_loops(bound, texts or {}, seed)),
        shares_encoder=any(set(tests) <= one for one in shared),
        notes=(*leaks, *_notes(tests, results, shared)),
        settings={"shots": list(shots), "draws": draws, "seed": seed},
    )


def _audit_training(name: str, test: ModalityTest, groups: np.ndarray | None, *, allow: bool) -> list[str]:
    """A note on test patients that labelled items are drawn from."""
    if test.training is None or groups is None or test.training[1].groups is None:
        return []
    both = np.intersect1d(np.asarray(test.training[1].of_ids(test.training[0].ids).groups), groups)
    if not both.size:
        return []
    if not allow:
        raise LeakageError(
            f"{counted(both.size, 'patient')} of {name!r}: training and test items are of the same people. Draw "
            f"labelled items of other patients, or pass " + setting("allow_leakage", True) + "."
        )
    return [f"LEAKAGE: {counted(both.size, 'patient')} of {name!r} with training and test items"]


def _classes(name: str, test: ModalityTest) -> np.ndarray:
    """The class (n,) of each item of a modality, by number."""
    labels = test.labels.of_ids(test.vectors.ids)
    values = np.nan_to_num(labels.values, nan=0.0)
    odd = np.flatnonzero(values.sum(axis=1) != 1)
    if odd.size:
        raise DataError(
            f"{odd.size} of {len(labels)} items of {name!r} have no class or several, the first is "
            f"{str(labels.ids[odd[0]])!r}. Judge items of exactly one class."
        )
    best: np.ndarray = values.argmax(axis=1)
    return best


def _patients(test: ModalityTest) -> np.ndarray:
    groups = test.labels.of_ids(test.vectors.ids).groups
    return np.arange(len(test.vectors)) if groups is None else groups


def _patient_names(number: int, test: ModalityTest) -> np.ndarray:
    """Names (n,) of the patients, the same in all modalities; an item of an unknown patient is one alone."""
    groups = test.labels.of_ids(test.vectors.ids).groups
    alone = [f"item {number}/{row}" for row in range(len(test.vectors))]
    return np.asarray(alone if groups is None else [f"patient {name}" for name in groups.tolist()])


def _direction(bound: BoundSpace, test: ModalityTest) -> np.ndarray:
    """The unit mean (k,) of a modality's texts about the global mean of texts."""
    vectors = to_numpy(as_embeddings(bound.into_hub("text", test.texts), "texts").vectors)
    rows = unit(vectors - to_numpy(bound.global_means[1]))
    mean: np.ndarray = unit(rows.mean(axis=0, keepdims=True))[0]
    return mean


def _named_right(bound: BoundSpace, name: str, test: ModalityTest, named: Mapping[str, np.ndarray]) -> np.ndarray:
    """True (n,) for items that are nearest to the texts of their own modality."""
    rows = to_numpy(bound.unit_rows(name, test.vectors, "global"))
    best = (rows @ np.stack(list(named.values())).T).argmax(axis=1)
    return np.asarray(best == list(named).index(name))


def _share(right: np.ndarray, test: ModalityTest) -> Interval:
    patient = _patients(test)
    return exact_interval(by_patient(right.astype(np.float64), patient), by_patient(np.ones(len(right)), patient))


def _mean_share(every: Sequence[tuple[np.ndarray, np.ndarray]]) -> Interval:
    """The mean over modalities of shares, with its interval over patients, who may have items of several."""
    names = np.unique(np.concatenate([patient for _, patient in every]))
    won, of = np.zeros((2, len(names), len(every)))
    for i, (right, patient) in enumerate(every):
        row = np.searchsorted(names, patient)
        won[:, i] = np.bincount(row, weights=right, minlength=len(names))
        of[:, i] = np.bincount(row, minlength=len(names))
    return mean_interval(won, of)


def _negated(one: Interval | None) -> Interval | None:
    return None if one is None else Interval(0.0 - one.value, 0.0 - one.high, 0.0 - one.low)


def _few_shot(
    bound: BoundSpace, name: str, test: ModalityTest, truth: np.ndarray, shots: Sequence[int], draws: int, seed: int
) -> dict[int, FewShotResult]:
    """Balanced accuracy of the nearest class mean in the hub, over draws of labelled items outside the test."""
    if test.training is None:
        return {}
    vectors, labels = test.training
    both = np.isin(vectors.ids, test.vectors.ids)
    if both.any():
        raise DataError(
            f"{both.sum()} training items of {name!r} are test items, the first is {vectors.ids[both][0]!r}."
        )
    pool = np.nan_to_num(labels.of_ids(vectors.ids).of_classes(test.labels.classes).values, nan=0.0)
    rows, other = (to_numpy(bound.comparable_rows(name, one)) for one in (test.vectors, vectors))
    present = [c for c in range(pool.shape[1]) if pool[:, c].any() and (truth == c).any()]
    accuracies = {}
    for count in shots:
        if len(present) < 2 or min(pool[:, c].sum() for c in present) < count:
            continue
        right = np.zeros((draws, len(rows)))
        for draw in range(draws):
            rng = np.random.default_rng((seed, count, draw))
            means = [other[rng.choice(np.flatnonzero(pool[:, c]), count, replace=False)].mean(axis=0) for c in present]
            right[draw] = np.asarray(present)[(rows @ unit(np.stack(means)).T).argmax(axis=1)] == truth
        values = np.mean([right[:, truth == c].mean(axis=1) for c in present], axis=0)
        low, high = np.percentile(values, [2.5, 97.5])
        patient, share = _patients(test), right.mean(axis=0)
        won, of = (
            np.stack([by_patient(np.where(truth == c, one, 0.0), patient) for c in present], axis=1)
            for one in (share, np.ones(len(share)))
        )
        accuracies[count] = FewShotResult(mean_interval(won, of), float(low), float(high))
    return accuracies


def _cross_modal(
    bound: BoundSpace, tests: Mapping[str, ModalityTest], truth: Mapping[str, np.ndarray]
) -> list[CrossModalResult]:
    """Retrieval between every two modalities that share at least two labels, never of a patient's own items."""
    results, labels = [], {name: _common(one, truth[name]) for name, one in tests.items()}
    for query, gallery in permutations(tests, 2):
        shared = sorted(set(labels[query]) & set(labels[gallery]) - {""})
        if len(shared) < 2:
            continue
        sides = [np.flatnonzero(np.isin(labels[name], shared)) for name in (query, gallery)]
        rows = [
            to_numpy(bound.comparable_rows(name, tests[name].vectors))[some]
            for name, some in zip((query, gallery), sides, strict=True)
        ]
        similarity, own, other = rows[0] @ rows[1].T, labels[query][sides[0]], labels[gallery][sides[1]]
        same = own[:, None] == other[None, :]
        people = [
            _patient_names(i, tests[name])[some]
            for i, (name, some) in enumerate(zip((query, gallery), sides, strict=True))
        ]
        apart = people[0][:, None] != people[1][None, :]  # a patient's own image is found by who it is
        queries = [i for i in range(len(own)) if same[i, apart[i]].any() and not same[i, apart[i]].all()]
        if not queries:
            continue
        first = np.asarray([same[i, apart[i]][similarity[i, apart[i]].argmax()] for i in queries], dtype=np.float64)
        patient = people[0][queries]
        precision = [average_precision(similarity[i, apart[i]], same[i, apart[i]].astype(np.float64)) for i in queries]
        right, size = (same & apart)[queries].sum(axis=1), apart[queries].sum(axis=1)
        chance = [chance_average_precision(int(n), np.asarray([r]))[0] for n, r in zip(size, right, strict=True)]
        results.append(
            CrossModalResult(
                query=query,
                gallery=gallery,
                labels=tuple(shared),
                first=exact_interval(by_patient(first, patient), by_patient(np.ones(len(first)), patient)),
                chance_first=float(np.mean(right / size)),
                precision=float(np.mean(precision)),
                chance=float(np.mean(chance)),
            )
        )
    return results


def _common(test: ModalityTest, truth: np.ndarray) -> np.ndarray:
    """The common label (n,) of each item; empty where its class has none."""
    names = np.asarray([test.common.get(label, "") for label in test.labels.classes])
    common: np.ndarray = names[truth]
    return common


def _loops(bound: BoundSpace, texts: Mapping[str, Any], seed: int) -> list[LoopResult]:
    """Texts of one space in the hub, read as another space's vectors and brought back, for every two spaces.

    The way back from the hub is ridge regression on one half of the texts; the other half is judged.
    """
    views = {name: as_embeddings(one, name) for name, one in texts.items()}
    known = [name for name in views if name in bound.text_maps]
    results = []
    for start, by in permutations(known, 2):
        one, other = views[start], in_order_of(views[start], views[by], (start, by), f"the texts of {by!r}")
        half = np.random.default_rng(seed).permutation(len(one)) < len(one) // 2
        fit, held = np.flatnonzero(half), np.flatnonzero(~half)
        if min(len(fit), len(held)) < 2:
            raise DataError(f"loops need at least four texts; got {len(one)}.")
        back = align(
            bound.text_maps[by](other.take(fit)), other.take(fit), solver="ridge", purpose="head", seed=seed,
            progress=False, anchor_hashes=False,
        ).to_target  # fmt: skip
        first = bound.text_maps[start](one.take(held))
        again, direct = bound.text_maps[by](back(first)), bound.text_maps[by](other.take(held))
        a, b, c = (_units(each) for each in (first, again, direct))
        results.append(
            LoopResult(
                start=start,
                by=by,
                cosine=float((a * b).sum(axis=1).mean()),
                recall=float(true_ranks(b @ a.T, np.arange(len(a))).recall(1).mean()),
                direct=float(true_ranks(c @ a.T, np.arange(len(a))).recall(1).mean()),
                n=len(held),
            )
        )
    return results


def _units(vectors: Embeddings) -> np.ndarray:
    """Rows at unit length about their mean."""
    rows = to_numpy(vectors.vectors)
    return np.asarray(unit(rows - rows.mean(axis=0)))


def _notes(
    tests: Mapping[str, ModalityTest], results: Mapping[str, ModalityResult], shared: Sequence[set[str]]
) -> list[str]:
    notes = []
    if not any(set(tests) <= one for one in shared):
        notes.append(
            "modalities with a map of their own are moved onto their own texts by that map, so that naming them right "
            "shows that the space is common, not that the image was recognised"
        )
    for name, one in results.items():
        people = patients_or_rows(tests[name].labels.groups, len(tests[name].vectors))
        if people < 30:
            notes.append(f"{name!r} has {counted(people, 'patient')}: its intervals are wide")
        notes += [f"{name}: {note}" for note in one.zero_shot.notes if "anchors were given" not in note]
    return list(dict.fromkeys(notes))
