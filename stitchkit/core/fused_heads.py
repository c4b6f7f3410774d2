"""A fused head: vectors of several modalities, any of which an item may lack, to scores."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stitchkit.core.calibrations import Calibration, ConformalSets, FittedItems, Thresholds, sigmoid
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.fusion_rows import FusionRows, Modality, join_modalities
from stitchkit.core.items import checked_ids, rows_of
from stitchkit.core.scores import Provenance, Scores, check_classes
from stitchkit.core.wording import counted

EACH = ("center", "scale", "norm", "shift", "token", "enter")  # arrays of every modality, followed by its name
TOKENS = ("substitute", "add")  # a token in place of a missing vector alone, or added to every vector too
NORM_EPS = 1e-5  # of layer norms, as torch has it
ROWS = 4096  # scored at once


@dataclass(frozen=True, slots=True, eq=False)
class SubsetDecisions:
    """Calibration, thresholds and conformal sets of items with exactly some modalities.

    Parameters
    ----------
    present
        The modalities; empty for the pooled fit on items as they are.
    patients, items
        Numbers that the fit rests on; of a subset that borrows, its own.
    borrowed
        True if they are those of the pooled fit, since the subset has too few patients of its own.
    """

    present: tuple[str, ...]
    calibration: Calibration | None
    thresholds: Thresholds | None
    conformal: ConformalSets | None
    patients: int
    items: int
    borrowed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class FusedHead:
    """Scores of c classes from any of M modalities: a small network over vectors of frozen encoders and tables.

    Parameters
    ----------
    classes
        c class names.
    multiclass
        True if exactly one class applies; scores are then logits of a softmax, else of a sigmoid a class.
    modalities
        The M inputs.
    weights
        Arrays of the network by name, float32 as they were trained.
    token
        ``"substitute"``: a learnt token stands for a missing vector; ``"add"``: it is added to present ones too.
    prior : (c,)
        Share of each class among the training rows, as they were weighted; what an item without any modality gets.
    masks : (k, M) bool, mask_shares : (k, c)
        Patterns of presence among the training rows and the classes' shares in each, for the missingness-only
        baseline.
    decisions
        Calibration, thresholds and conformal sets by subset; empty where nothing was fitted.
    fitted_on
        Rows that it was trained on; None where these are not known.
    record
        Recipe, numbers of rows and notes of the fit.
    unseen
        Classes that the training rows say nothing of, since none has them or, where several may apply, all: every item
        gets their prior.
    """

    classes: tuple[str, ...]
    multiclass: bool
    modalities: tuple[Modality, ...]
    weights: Mapping[str, np.ndarray]
    token: str
    prior: np.ndarray
    masks: np.ndarray
    mask_shares: np.ndarray
    decisions: tuple[SubsetDecisions, ...] = ()
    fitted_on: FittedItems | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()

    kind = "logit"

    def __post_init__(self) -> None:
        check_classes(self.classes)
        if self.token not in TOKENS:
            raise UnknownNameError.of("use of modality tokens", self.token, TOKENS)
        c, names = len(self.classes), [one.name for one in self.modalities]
        if len(set(names)) < len(names) or not names:
            raise InputError(f"a fused head has modalities of different names; got {', '.join(names) or 'none'}.")
        shapes = {"prior": (self.prior, (c,)), "masks": (self.masks, (len(self.masks), len(names))),
                  "mask_shares": (self.mask_shares, (len(self.masks), c))}  # fmt: skip
        for name, (array, shape) in shapes.items():
            if array.shape != shape:
                raise InputError(f"{name} of a fused head has shape {array.shape}, not {shape}.")
        if (
            not ((self.prior > 0) & (self.prior < 1)).all()
            or not ((self.mask_shares > 0) & (self.mask_shares < 1)).all()
        ):
            raise InputError("the shares of classes of a fused head lie between 0 and 1.")
        if not set(self.unseen) <= set(self.classes):
            raise InputError(f"classes without training rows are among its classes; got {', '.join(self.unseen)}.")
        check_weights(self.weights, {one.name: one.space.dim for one in self.modalities}, c)

    def __repr__(self) -> str:
        inputs = ", ".join(f"{one.name} ({one.space.dim})" for one in self.modalities)
        return f"FusedHead({inputs} -> {counted(len(self.classes), 'class', 'classes')})"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities."""
        return tuple(one.name for one in self.modalities)

    @property
    def normed(self) -> frozenset[str]:
        """Modalities that a layer norm and a ReLU come first for."""
        return frozenset(one.name for one in self.modalities if one.normed)

    def rows(self, inputs: Any, ids: Sequence[str] | np.ndarray | None = None) -> FusionRows:
        """The inputs joined by id: a mapping from modalities to vectors or table rows, any of which may be left out."""
        if isinstance(inputs, FusionRows):
            widths = {name: one.shape[1] for name, one in inputs.vectors.items()}
            wanted = {one.name: one.space.dim for one in self.modalities}
            if list(widths.items()) != list(wanted.items()):
                raise InputError(
                    f"this fused head reads rows of {wanted}; got {widths}. Join them by the head's rows()."
                )
            return inputs if ids is None else inputs.take(rows_of(checked_ids(ids), inputs.ids, "the joined rows"))
        if not isinstance(inputs, Mapping):
            raise InputError(
                f"a fused head reads a mapping from modalities ({', '.join(self.names)}) to vectors; got "
                f"{type(inputs).__name__}."
            )
        return join_modalities(self.modalities, inputs, ids)

    def scores(self, inputs: Any, ids: Sequence[str] | np.ndarray | None = None) -> Scores:
        """Logits (n, c) of items, whatever modalities each has; one with none gets the logit of the prior.

        Where one class applies they are logarithms of its probability, so that a class can be compared between items.

        Examples
        --------
        See :func:`stitchkit.fuse`.
        """
        rows = self.rows(inputs, ids)
        values = fused_logits(self.weights, rows, self.token, self.normed)
        if self.multiclass:
            values = _log_shares(values)
        if self.unseen:
            values = self._logits_with_priors(values)
        empty = ~rows.present.any(axis=1)
        values[empty] = self._logits_of_shares(self.prior)
        return Scores(values, self.kind, rows.ids, self.classes, self._origin(rows, int(empty.sum())))

    def probabilities(self, inputs: Any, ids: Sequence[str] | np.ndarray | None = None) -> Scores:
        """Probabilities (n, c) by the calibration of each item's own subset; an item without any gets the prior."""
        rows = self.rows(inputs, ids)
        raw = self.scores(rows)
        values = self._uncalibrated(raw.values)
        for subset, some in self._by_subset(rows):
            if subset.calibration is None or not subset.present:
                continue
            fitted = subset.calibration(raw.take(some))
            columns = [self.classes.index(label) for label in fitted.classes]
            values[some[:, None], columns] = fitted.values
        if self.unseen:
            values = self._with_priors(values)
        values[~rows.present.any(axis=1)] = self.prior
        return Scores(values, "probability", raw.ids, self.classes, raw.provenance)

    def mask_scores(self, inputs: Any, ids: Sequence[str] | np.ndarray | None = None) -> Scores:
        """Shares (n, c) of the classes among training rows with the same modalities present: the mask alone."""
        rows = self.rows(inputs, ids)
        values = np.tile(self.prior, (len(rows), 1))
        for mask, shares in zip(self.masks, self.mask_shares, strict=True):
            values[(rows.present == mask).all(axis=1)] = shares
        return Scores(values, "probability", rows.ids, self.classes)

    def decide(self, inputs: Any, ids: Sequence[str] | np.ndarray | None = None) -> np.ndarray:
        """Present classes as bool (n, c) by the thresholds of each item's own subset; never without a threshold."""
        rows = self.rows(inputs, ids)
        raw, values = self.scores(rows), np.zeros((len(rows), len(self.classes)), dtype=bool)
        for subset, some in self._by_subset(rows):
            if subset.thresholds is not None and subset.present:
                columns = [self.classes.index(label) for label in subset.thresholds.classes]
                values[some[:, None], columns] = subset.thresholds.decide(raw.take(some))
        return values

    def sets(self, inputs: Any, ids: Sequence[str] | np.ndarray | None = None) -> np.ndarray:
        """Answers (n, c) that cannot be ruled out, as :class:`stitchkit.core.calibrations.ConformalSets` has them."""
        rows = self.rows(inputs, ids)
        raw = self.scores(rows)
        values = np.full((len(rows), len(self.classes)), "either", dtype="<U7")
        for subset, some in self._by_subset(rows):
            if subset.conformal is not None and subset.present:
                values[some] = subset.conformal(raw.take(some))
        return values

    def row_notes(self, inputs: Any, ids: Sequence[str] | np.ndarray | None = None) -> list[str]:
        """Notes for a reader of these items' scores: gaps, borrowed calibrations, subsets and cells never seen."""
        rows = self.rows(inputs, ids)
        notes = []
        if empty := int((~rows.present.any(axis=1)).sum()):
            notes.append(
                f"{counted(empty, 'item')} of {len(rows)} {'has' if empty == 1 else 'have'} no modality at all and got "
                f"the prior"
            )
        trained = {rows.names_of(mask) for mask in self.masks}
        for names, count in rows.masks.items():
            some = f"{counted(count, 'item')} with {' and '.join(names)}{' alone' if len(names) == 1 else ''}"
            subset = self._subset(names)
            if names and subset is None and self._subset(()) is not None:
                notes.append(f"{some}: calibrated on all items, since this combination has no calibration of its own")
            if names and subset is not None and subset.borrowed:
                notes.append(f"{some}: calibrated on all items, since {counted(subset.patients, 'patient')} had these")
            if names and not any(set(names) <= set(one) for one in trained):
                notes.append(f"{some}: no training row had these together")
        return [*notes, *([] if isinstance(inputs, FusionRows) else self.table_notes(inputs))]

    def table_notes(self, inputs: Mapping[str, Any]) -> list[str]:
        """Notes on cells of tables: categories that training did not show, and numbers out of all range."""
        tables = ((one.table, inputs[one.name]) for one in self.modalities if one.name in inputs)
        return [note for table, rows in tables if table is not None for note in table.notes(rows)]

    @property
    def _learnt(self) -> np.ndarray:
        """True (c,) for classes that the training rows told something of."""
        return np.asarray([label not in self.unseen for label in self.classes])

    def _with_priors(self, values: np.ndarray) -> np.ndarray:
        """Probabilities (n, c) with the prior of unseen classes; where one class applies the others share the rest."""
        learnt = self._learnt
        if self.multiclass:
            rest = values[:, learnt].sum(axis=1, keepdims=True)
            values = values / np.where(rest > 0, rest, 1.0) * self.prior[learnt].sum()
        values[:, ~learnt] = self.prior[~learnt]
        return values

    def _logits_with_priors(self, values: np.ndarray) -> np.ndarray:
        """The same for logits."""
        learnt = self._learnt
        if self.multiclass:
            values[:, learnt] = _log_shares(values[:, learnt]) + np.log(self.prior[learnt].sum())
        values[:, ~learnt] = self._logits_of_shares(self.prior)[~learnt]
        return values

    def _subset(self, names: tuple[str, ...]) -> SubsetDecisions | None:
        return next((one for one in self.decisions if one.present == names), None)

    def _by_subset(self, rows: FusionRows) -> list[tuple[SubsetDecisions, np.ndarray]]:
        """Each subset's fit with the positions of its items; those of a subset that was never fitted get the pooled."""
        fits = []
        for names in rows.masks:
            subset = self._subset(names) or self._subset(())
            mask = np.asarray([name in names for name in self.names])
            if subset is not None and names:
                some = np.flatnonzero((rows.present == mask).all(axis=1))
                pooled = subset if subset.present else SubsetDecisions(
                    present=names, calibration=subset.calibration, thresholds=subset.thresholds,
                    conformal=subset.conformal, patients=0, items=0, borrowed=True,
                )  # fmt: skip
                fits.append((pooled, some))
        return fits

    def _uncalibrated(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities (n, c) as the network states them."""
        if not self.multiclass:
            return sigmoid(logits)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def _logits_of_shares(self, shares: np.ndarray) -> np.ndarray:
        return np.log(shares) if self.multiclass else np.log(shares) - np.log1p(-shares)

    def _origin(self, rows: FusionRows, empty: int) -> Provenance:
        gaps = f"; {counted(empty, 'item')} without any modality got the prior" if empty else ""
        encoders = ", ".join(one.reader for one in self.modalities if one.table is None)
        return Provenance(source=encoders, head=f"fused, of {', '.join(self.names)}{gaps}")


def _log_shares(logits: np.ndarray) -> np.ndarray:
    """Logarithms of a softmax over the classes."""
    highest = logits.max(axis=1, keepdims=True)
    return np.asarray(logits - highest - np.log(np.exp(logits - highest).sum(axis=1, keepdims=True)))


def check_weights(weights: Mapping[str, np.ndarray], widths: Mapping[str, int], classes: int) -> None:
    """Raise for a network whose arrays do not fit each other."""
    if "fused.bias" not in weights or weights["fused.bias"].ndim != 1:
        raise InputError("the weights of a fused head lack 'fused.bias'.")
    hidden = len(weights["fused.bias"])
    wanted: dict[str, tuple[int, ...]] = {"fused.bias": (hidden,)}
    for name, width in widths.items():
        wanted |= {f"{part}.{name}": (width, hidden) if part == "enter" else (width,) for part in EACH}
    for i in range(stages_of(weights)):
        wanted |= {f"stage{i}.norm": (hidden,), f"stage{i}.shift": (hidden,), f"stage{i}.bias": (hidden,)}
        wanted[f"stage{i}.weight"] = (hidden, hidden)
    wanted |= {"out.norm": (hidden,), "out.shift": (hidden,), "out.weight": (hidden, classes), "out.bias": (classes,)}
    for name in {**wanted, **weights}:
        if name not in wanted or name not in weights:
            raise InputError(f"the weights of a fused head {'lack' if name in wanted else 'hold'} {name!r}.")
        if weights[name].shape != wanted[name]:
            raise InputError(f"{name!r} of a fused head has shape {weights[name].shape}, not {wanted[name]}.")


def stages_of(weights: Mapping[str, np.ndarray]) -> int:
    """Number of stages after the first."""
    return sum(name.startswith("stage") and name.endswith(".weight") for name in weights)


def fused_logits(
    weights: Mapping[str, np.ndarray], rows: FusionRows, token: str, normed: Collection[str]
) -> np.ndarray:
    """Logits (n, c) of the network in float64, as it is without dropout.

    Each modality enters by itself (layer norm and ReLU where it is ``normed``, linear), and the sum goes through
    further stages: this is a linear layer over all of them side by side.
    """
    held = {name: np.asarray(value, dtype=np.float64) for name, value in weights.items()}
    parts = [
        _logits(held, {name: one[first : first + ROWS] for name, one in rows.vectors.items()},
                rows.present[first : first + ROWS], token, normed)
        for first in range(0, max(len(rows), 1), ROWS)
    ]  # fmt: skip
    return np.concatenate(parts)


def _logits(
    w: Mapping[str, np.ndarray],
    vectors: Mapping[str, np.ndarray],
    present: np.ndarray,
    token: str,
    normed: Collection[str],
) -> np.ndarray:
    z = np.tile(w["fused.bias"], (len(present), 1))
    for m, (name, values) in enumerate(vectors.items()):
        there, own = present[:, [m]], w[f"token.{name}"]
        standard = (values - w[f"center.{name}"]) / w[f"scale.{name}"]
        x = np.where(there, standard + (own if token == "add" else 0.0), own)
        if name in normed:
            x = np.maximum(_norm(x, w[f"norm.{name}"], w[f"shift.{name}"]), 0.0)
        else:
            x = x * w[f"norm.{name}"] + w[f"shift.{name}"]
        z += x @ w[f"enter.{name}"]
    for i in range(stages_of(w)):
        kept = np.maximum(_norm(z, w[f"stage{i}.norm"], w[f"stage{i}.shift"]), 0.0)
        z = kept @ w[f"stage{i}.weight"] + w[f"stage{i}.bias"]
    return np.asarray(_norm(z, w["out.norm"], w["out.shift"]) @ w["out.weight"] + w["out.bias"])


def _norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Layer norm of rows."""
    centred = x - x.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + NORM_EPS) * weight + bias)
