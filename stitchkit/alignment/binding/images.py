"""Modalities brought into a hub: a map of their own, or one map for all that share an encoder, chosen held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from stitchkit.alignment.align import align
from stitchkit.alignment.folds import assign_by_target
from stitchkit.alignment.request import solver_class
from stitchkit.core.arrays import float64, like, namespace, take, to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import NoDirectedMapError
from stitchkit.core.maps import AffineMap, unit
from stitchkit.core.moments.moments import Moments
from stitchkit.core.roles import Solver
from stitchkit.metrics.ranks import distinct_rows, true_ranks
from stitchkit.solvers.ridge import Ridge

LOSS = 0.02  # mean reciprocal rank that a joint map may cost a modality
JUDGED, GALLERY = 1000, 5000  # anchors of a fold that are ranked at most, and texts beside theirs
# solvers of one map for several modalities, beside a searched map for each
JOINT: dict[str, Ridge] = {f"joint, ridge {alpha:g}": Ridge(alpha=alpha) for alpha in (0.1, 1.0)}


@dataclass(frozen=True, slots=True, eq=False)
class HubPairs:
    """Anchors of one modality: its vectors (n, d) and those of their texts in the hub (n, k), paired by row."""

    x: Embeddings
    y: Embeddings
    groups: np.ndarray | None = None  # (n,) patients
    ids: np.ndarray | None = None  # (n,) ids that are no mere row numbers

    def take(self, rows: np.ndarray) -> HubPairs:
        """The anchors at positions ``rows`` (k,)."""
        groups = None if self.groups is None else self.groups[rows]
        return HubPairs(self.x.take(rows), self.y.take(rows), groups)


@dataclass(frozen=True, slots=True, eq=False)
class HubMap:
    """A fitted map into the hub, and the record of its fit."""

    to_hub: AffineMap
    record: Mapping[str, Any]
    request: str | Solver = "auto"

    @property
    def solver(self) -> Solver:
        """The settings that were chosen, as a value that fits them again."""
        if not isinstance(self.request, str):
            return self.request
        kind = solver_class(str(self.record["solver"]).replace(" ", "_"))
        known = {one.name for one in fields(kind)}
        return kind(**{name: value for name, value in self.record["settings"].items() if name in known})  # type: ignore[no-any-return]


def fit_to_hub(pairs: HubPairs, solver: str | Solver, *, seed: int, nested: bool = True) -> HubMap:
    """A map into the hub whose inner products with the hub's vectors are those of ``stitchkit.align``'s common space.

    With A and B the maps of both sides and w the weights, ``x A diag(w) (y B)' = (x A diag(w) B') y'``: the left
    factor is a vector of the hub. It is scaled by least squares into the hub's units and moved onto the mean of the
    anchors' texts.

    Raises
    ------
    NoDirectedMapError
        For a solver without affine maps.
    """
    fitted = align(
        pairs.x, pairs.y, groups=pairs.groups, solver=solver, nested=nested, seed=seed, progress=False,
        anchor_hashes=False,
    )  # fmt: skip
    a, b = fitted.source_map, fitted.target_map
    if not (isinstance(a, AffineMap) and isinstance(b, AffineMap)):
        raise NoDirectedMapError(
            f"the solver {fitted.record['solver']!r} has no affine maps, so nothing leads into the hub itself. "
            f"Bind with another solver, such as 'ridge' or 'csa'."
        )
    xp, m = namespace(a.weight), Moments.of(pairs.x, pairs.y)
    left = a.weight if fitted.weights is None else a.weight * fitted.weights[None, :]
    weight = left @ xp.matrix_transpose(b.weight)
    ss, st = like(m.scatter_ss, weight), like(m.scatter_st, weight)
    spread = float(xp.sum(weight * (ss @ weight)))
    scale = float(xp.sum(weight * st)) / spread if spread > 0 else 1.0
    center, bias = like(m.mean_s, weight), like(m.mean_t, weight)
    to_hub = AffineMap(pairs.x.space, pairs.y.space, center, scale * weight, bias, a.rank)
    return HubMap(to_hub, fitted.record, solver)


def maps_to_hub(
    pairs: Mapping[str, HubPairs], solver: str | Solver, choice: str, *, seed: int
) -> tuple[dict[str, HubMap], dict[str, Any]]:
    """The map of every modality, and what was compared.

    Parameters
    ----------
    choice
        ``"own"``: a map for each modality; ``"joint"``: one for all that share an encoder; ``"auto"``: the one under
        which held-out vectors find their text among the texts of their own modality best, on average over modalities,
        a joint one only if no modality loses more than 0.02 of its mean reciprocal rank by it.
    """
    fitted, compared = {name: fit_to_hub(one, solver, seed=seed) for name, one in pairs.items()}, []
    for names in _sharing(pairs) if choice != "own" else ():
        members = {name: pairs[name] for name in names}
        if choice == "auto" and not can_be_compared(members, seed):
            continue  # too few anchors to hold some out
        pooled = _all_anchors(list(members.values()))
        joint = {name: fit_to_hub(pooled, kind, seed=seed, nested=False) for name, kind in _joint_of(solver).items()}
        candidates = {"own": {name: fitted[name].solver for name in names}} | {
            key: dict.fromkeys(names, one.solver) for key, one in joint.items()
        }
        scores = {}
        if can_be_compared(members, seed):
            scores = {
                key: held_out_ranks(members, solvers, together=key != "own", seed=seed)
                for key, solvers in candidates.items()
            }
        means = {key: float(np.mean(list(one.values()))) for key, one in scores.items()}
        some = [key for key in candidates if key != "own"] if choice == "joint" else _harmless(candidates, scores)
        best = max(some, key=lambda key: means.get(key, 0.0))  # the first of equals: a map of one's own
        compared.append({"modalities": list(names), "chosen": best, "mrr": scores, "mean": means})
        for name in names if best != "own" else ():
            fitted[name] = _about(joint[best], pairs[name])
    return fitted, {"compared": compared}


def held_out_ranks(
    pairs: Mapping[str, HubPairs], solvers: Mapping[str, str | Solver], *, together: bool, seed: int
) -> dict[str, float]:
    """Mean reciprocal rank of each modality's held-out vectors among the distinct texts of that modality.

    Both sides are centred on the means of the modality's anchors outside the fold. A patient stays in one fold, also
    with items of several modalities. Of many anchors and texts a random part is ranked.

    Parameters
    ----------
    solvers
        Solver of each modality's map; where the map is fitted ``together``, that of the first.
    together
        True where one map is fitted to all modalities.
    """
    parts = _fold_rows(pairs, seed)
    ranks: dict[str, list[float]] = {name: [] for name in pairs}
    for fold in range(len(next(iter(parts.values())))):
        training = {name: one.take(_others(parts[name], fold)) for name, one in pairs.items()}
        shared = None
        if together:
            every = _all_anchors(list(training.values()))
            shared = fit_to_hub(every, next(iter(solvers.values())), seed=seed, nested=False)
        for name, one in pairs.items():
            if len(held := parts[name][fold]):
                fitted = shared or fit_to_hub(training[name], solvers[name], seed=seed, nested=False)
                ranks[name].extend(_reciprocal_ranks(fitted.to_hub, training[name], one, held))
    return {name: float(np.mean(values)) for name, values in ranks.items()}


def can_be_compared(pairs: Mapping[str, HubPairs], seed: int) -> bool:
    """True if every fold leaves each modality anchors of at least two texts."""
    for name, parts in _fold_rows(pairs, seed).items():
        number = distinct_rows(_rows(pairs[name].y))
        if len(parts) < 2 or any(len(np.unique(number[_others(parts, fold)])) < 2 for fold in range(len(parts))):
            return False
    return True


def _fold_rows(pairs: Mapping[str, HubPairs], seed: int) -> dict[str, list[np.ndarray]]:
    """Positions (m,) of each modality's anchors in each fold; one assignment of patients for all modalities."""
    every = list(pairs.values())
    texts = [distinct_rows(_rows(one.y)) for one in every]
    first = np.cumsum([0, *(int(one.max()) + 1 for one in texts)])[:-1]
    target = np.concatenate([one + start for one, start in zip(texts, first, strict=True)])
    folds = assign_by_target(target, _owners(every), seed=seed)
    ends = np.cumsum([0, *(len(one.x) for one in every)])
    return {
        name: [rows[(rows >= a) & (rows < b)] - a for rows in folds]
        for name, a, b in zip(pairs, ends[:-1], ends[1:], strict=True)
    }


def _owners(parts: Sequence[HubPairs]) -> np.ndarray:
    """The patient of each anchor of several modalities; one name is one patient, an unknown one a patient alone."""
    names = []
    for i, one in enumerate(parts):
        own = [f"{i}/{row}" for row in range(len(one.x))] if one.groups is None else one.groups.tolist()
        names += [f"patient {name}" if one.groups is not None else name for name in own]
    return np.asarray(names, dtype=np.str_)


def _others(parts: Sequence[np.ndarray], fold: int) -> np.ndarray:
    """Positions outside one fold."""
    rest = [rows for i, rows in enumerate(parts) if i != fold]
    return np.sort(np.concatenate(rest)) if rest else np.zeros(0, dtype=np.int64)


def _rows(embeddings: Embeddings) -> np.ndarray:
    return np.asarray(to_numpy(embeddings.vectors), dtype=np.float64)


def _harmless(candidates: Mapping[str, Any], scores: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Candidates under which no modality loses more than ``LOSS`` against a map of its own."""
    own = scores["own"]
    return [key for key in candidates if all(scores[key][name] >= own[name] - LOSS for name in own)]


def _joint_of(solver: str | Solver) -> Mapping[str, Any]:
    return JOINT if solver == "auto" else {"joint": solver}


def _sharing(pairs: Mapping[str, HubPairs]) -> list[tuple[str, ...]]:
    """Names of modalities whose vectors are of one encoder, where there are at least two."""
    by: dict[str, list[str]] = {}
    for name, one in pairs.items():
        if one.x.space.fingerprint is not None:
            by.setdefault(one.x.space.fingerprint, []).append(name)
    return [tuple(names) for names in by.values() if len(names) > 1]


def _all_anchors(parts: Sequence[HubPairs]) -> HubPairs:
    """The anchors of several modalities as one set."""
    xp = namespace(*(one.x.vectors for one in parts))
    x = xp.concat([one.x.vectors for one in parts], axis=0)
    y = xp.concat([one.y.vectors for one in parts], axis=0)
    ids = np.arange(int(x.shape[0])).astype(np.str_)
    x_all = Embeddings.without_checks(x, ids, parts[0].x.space)
    return HubPairs(x_all, Embeddings.without_checks(y, ids, parts[0].y.space), _owners(parts))


def _about(joint: HubMap, pairs: HubPairs) -> HubMap:
    """The joint map centred on the anchors of one modality; the function is the same."""
    m, whole = Moments.of(pairs.x, pairs.y), joint.to_hub
    center = like(m.mean_s, whole.weight)
    bias = ((center - whole.center)[None, :] @ whole.weight)[0, :] + whole.bias
    record = {**joint.record, "anchors": len(pairs.x), "held_out": None}
    return HubMap(replace(whole, center=center, bias=bias), record, joint.request)


def _reciprocal_ranks(to_hub: AffineMap, training: HubPairs, whole: HubPairs, rows: np.ndarray) -> list[float]:
    """Reciprocal ranks of the texts of held-out ``rows`` among the modality's distinct texts."""
    rng, targets = np.random.default_rng(0), _rows(whole.y)
    judged = np.sort(rng.permutation(rows)[:JUDGED])
    number = distinct_rows(targets)
    labels, first = np.unique(number, return_index=True)
    if len(labels) < 2:
        return [1.0] * len(judged)  # one text is found by every map
    if len(labels) > GALLERY:  # the true texts, and a random part of the others
        own = np.isin(labels, number[judged])
        kept = np.sort(np.concatenate([np.flatnonzero(own), rng.permutation(np.flatnonzero(~own))[:GALLERY]]))
        labels, first = labels[kept], first[kept]
    mean = to_numpy(to_hub.apply(like(Moments.of(training.x, training.y).mean_s, to_hub.weight)[None, :]))
    mapped = to_numpy(float64(to_hub.apply(take(whole.x.vectors, judged))))
    a, b = unit(mapped - mean), unit(targets[first] - _rows(training.y).mean(axis=0))
    column = {label: i for i, label in enumerate(labels.tolist())}
    truth = np.asarray([column[one] for one in number[judged].tolist()])
    reciprocal: list[float] = true_ranks(a @ b.T, truth).reciprocal.tolist()
    return reciprocal
