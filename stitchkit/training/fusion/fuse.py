"""The verb ``fuse``: vectors and tables of several modalities, any of which a row may lack, to a fused head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.alignment.binding.modalities import check_name
from stitchkit.alignment.folds import assign
from stitchkit.core.calibrations import FittedOn
from stitchkit.core.embeddings import as_embeddings
from stitchkit.core.errors import DataError, InputError
from stitchkit.core.fused_heads import FusedHead
from stitchkit.core.fusion_rows import FusionRows, Modality, join_modalities
from stitchkit.core.patients import count_patients, patients_in_words
from stitchkit.core.scores import Labels
from stitchkit.core.table_features import TableFeatures, TableRows
from stitchkit.core.wording import counted, setting
from stitchkit.evaluation.scores.column_audit import check_columns, notes_on_codes
from stitchkit.evaluation.scores.results import Evaluation
from stitchkit.evaluation.scores.subset_decisions import evaluate_fused, fit_subset_decisions
from stitchkit.training.fusion.fit import TrainingRows, class_shares, class_weights, fit_network
from stitchkit.training.fusion.recipe import FusionRecipe, paper_recipe, read_fusion_recipe

FEW_ROWS = 20  # training rows of a modality below which a note says so
LEAST_ROWS = 2  # below which a modality cannot be standardised, let alone learnt
HELD = 0.25  # share of the patients that calibrations are fitted on


@dataclass(frozen=True, slots=True, eq=False)
class Fusion:
    """A fused head, and how it does on the patients held out.

    Parameters
    ----------
    head
        The fitted head with its calibrations.
    evaluation
        Evaluation of logits, since calibrations are fitted on the same patients; None where no class can be judged.
    notes
        On rows, columns and calibrations, in words.
    """

    head: FusedHead
    evaluation: Evaluation | None
    notes: tuple[str, ...]


def fuse(
    modalities: Mapping[str, Any],
    labels: Labels,
    *,
    multiclass: bool | None = None,
    groups: Any = None,
    recipe: FusionRecipe | str | Path | None = None,
    paper: str | None = None,
    held: float = HELD,
    alpha: float = 0.1,
    encoders: Mapping[str, str] | None = None,
    run: str | Path | None = None,
    allow_leakage: bool = False,
    progress: bool | None = None,
) -> FusedHead:
    """A head over several modalities, any of which a row may lack, in training and later.

    The vectors are frozen; what is trained is a small network on a CPU, with every row shown under all subsets of its
    modalities at once. The strength of its regularisation is chosen on other patients of the training rows, and
    calibration, thresholds and conformal sets are fitted for each subset of modalities on patients not trained on.

    Parameters
    ----------
    modalities
        Name -> vectors of one encoder (:class:`Embeddings`, or an (n, d) array with row numbers for ids) or the rows of
        a table (:func:`stitchkit.read_table_rows`). Joined by id; a row that a modality lacks is missing there. Names
        are letters, digits, ``-`` and ``_``.
    labels
        Labels of the rows; rows of no label are left out.
    multiclass
        Exactly one class applies. Default: True if that is so of every labelled row and there are two classes or more.
    groups : (len(labels),), optional
        Patient of each labelled row; ``labels.groups`` if not given.
    recipe
        Settings of the training with their seed, or the TOML file of them.
    paper
        ``"modality-dropout"`` for the recipe of arXiv 2509.18284, as far as it is known; not with ``recipe``.
    held
        Share of the patients on whom calibrations, thresholds and conformal sets are fitted, in [0, 1), default 0.25; 0
        for a head without.
    alpha
        Share of errors of the conformal sets, in (0, 1), default 0.1.
    encoders
        Modality -> name of the encoder of its vectors, for the folder that :func:`stitchkit.save` writes. Default: the
        name of their space.
    run
        Folder for the state from which a stopped training goes on; none by default.
    allow_leakage
        Go on though a column of a table names rows or tells the label, with a note.
    progress
        A bar on a terminal or in a notebook: None after two seconds, True at once, False never.

    Returns
    -------
    FusedHead
        ``head.scores({"image": vectors})`` scores rows that lack the others; save it by :func:`stitchkit.save`.

    Raises
    ------
    InputError
        For a modality with fewer than two training rows or a name of other characters, or labels that do not fit
        ``multiclass``.
    DataError
        If no labelled row has a modality, or a table has no column that tells rows apart.
    LeakageError
        Naming columns of a table that are ids, or tell the label.

    References
    ----------
    Simultaneous modality dropout and contrastive fusion: arXiv 2509.18284, equations 1 and 2; the general number of
    modalities, and rows that lack some in training, are our reading.

    Examples
    --------
    >>> import stitchkit as sk
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"case{i}" for i in range(400)]
    >>> truth = (rng.random((400, 1)) < 0.4).astype(float)
    >>> image = sk.Embeddings(truth + rng.normal(size=(400, 12)), ids, sk.Space("net", 12))
    >>> age = np.where(rng.random(400) < 0.3, np.nan, 60 + 9 * truth[:, 0] + 9 * rng.normal(size=400))
    >>> table = sk.TableRows(ids, {"age": age})
    >>> head = sk.fuse({"image": image, "table": table}, sk.Labels(truth, ids, ("melanoma",)))
    >>> head
    FusedHead(image (12), table (1) -> 1 class)
    >>> len(head.scores({"table": table.take(np.arange(5))}))
    5
    """
    chosen = chosen_recipe(recipe, paper)
    return fuse_and_judge(
        modalities,
        labels,
        multiclass=multiclass,
        groups=groups,
        recipe=chosen,
        held=held,
        alpha=alpha,
        encoders=encoders,
        run=run,
        allow_leakage=allow_leakage,
        judge=False,
        progress=progress,
    ).head


def chosen_recipe(recipe: FusionRecipe | str | Path | None, paper: str | None) -> FusionRecipe:
    """The recipe of a call: its own, a file's or a publication's."""
    if recipe is not None and paper is not None:
        raise InputError(
            "a fused head is trained by one recipe; got " + setting("recipe") + " and " + setting("paper") + "."
        )
    if paper is not None:
        chosen = paper_recipe(paper)
    elif recipe is None or isinstance(recipe, FusionRecipe):
        chosen = recipe or FusionRecipe()
    else:
        chosen = read_fusion_recipe(recipe)
    return chosen


def fuse_and_judge(
    modalities: Mapping[str, Any],
    labels: Labels,
    *,
    multiclass: bool | None,
    groups: Any,
    recipe: FusionRecipe,
    held: float,
    alpha: float,
    encoders: Mapping[str, str] | None,
    run: str | Path | None,
    allow_leakage: bool,
    judge: bool,
    columns: Mapping[str, str] | None = None,
    progress: bool | None,
    **settings: Any,
) -> Fusion:
    """:func:`fuse`, with an evaluation on the patients held out if ``judge``; ``settings`` are those of ``evaluate``.

    ``columns`` are those of a table of items that encoders read, by modality.
    """
    if not 0 <= held < 1:
        raise InputError("the patients held out are a share in [0, 1); got " + setting("held", held) + ".")
    if not modalities:
        raise InputError("a fused head needs at least one modality; got none.")
    for name in modalities:
        check_name(name, "a modality", "image")
    if groups is not None:
        labels = labels.with_groups(groups)
    labels, notes = labelled(labels)
    several = decided_kind(labels, multiclass)
    if several:  # where one class applies, a label that is left blank is none
        labels = replace(labels, values=np.nan_to_num(labels.values, nan=0.0))
    if several and recipe.balanced:
        notes.append(
            "classes are weighted inversely to their frequency and calibrated by a temperature alone: probabilities "
            "are those of classes of equal frequency, not shares of the data"
        )
    if several and multiclass is None:
        notes.append("every row has exactly one class, so that one class is taken to apply: a softmax")
    read = {name: one if isinstance(one, TableRows) else as_embeddings(one, f"modality {name!r}")
            for name, one in modalities.items()}  # fmt: skip
    for one in read.values():
        if isinstance(one, TableRows):
            notes += [*check_columns(one, labels, allow=allow_leakage), *notes_on_codes(one)]
    train, rest = split_patients(labels, held, recipe.seed)
    parts, further = fitted_modalities(read, labels.ids[train], encoders or {}, columns or {})
    notes += further
    rows = join_modalities(parts, read, labels.ids)
    empty = ~rows.present.any(axis=1)
    if empty.all():
        raise DataError(
            f"none of the {counted(len(labels), 'labelled row')} has a modality. Give labels and modalities the same "
            f"ids."
        )
    if empty.any():
        notes.append(
            f"{counted(int(empty.sum()), 'labelled row has', 'labelled rows have')} no modality: not trained on"
        )
    for one in read.values():
        if apart := int((~np.isin(one.ids, labels.ids)).sum()):
            notes.append(f"{counted(apart, 'row')} of a modality without a label: not used")
            break
    head, fit_notes = _trained(parts, rows.take(train), labels.take(train), several, recipe, run, progress)
    notes += fit_notes
    evaluation = None
    if len(rest):
        own, own_labels = rows.take(rest), labels.take(rest)
        decisions, further = fit_subset_decisions(head, own, own_labels, alpha=alpha, seed=recipe.seed)
        notes += further
        head = replace(head, decisions=decisions)
        if judge:
            try:
                evaluation = evaluate_fused(head, own, own_labels, calibrated=False, progress=progress, **settings)
            except DataError as error:
                notes.append(f"not judged on the patients held out: {str(error).rstrip('.')}")
    else:
        notes.append("nothing was held out: no calibration, no thresholds, no number of what the head is worth")
    record = {**head.record, "notes": notes}
    return Fusion(head=replace(head, record=record), evaluation=evaluation, notes=tuple(notes))


def taught(data: TrainingRows) -> np.ndarray:
    """True (c,) for classes that some training row has and, where several may apply, another has not."""
    there, absent = (data.targets == 1).any(axis=0), (data.targets == 0).any(axis=0)
    return np.asarray(there if data.multiclass else there & absent)


def labelled(labels: Labels) -> tuple[Labels, list[str]]:
    """The rows that have a label, and a note on the others."""
    known = ~np.isnan(labels.values).all(axis=1)
    if not known.any():
        raise DataError(f"none of {counted(len(labels), 'row')} has a label. Fill the labels in.")
    lost = int((~known).sum())
    return labels.take(np.flatnonzero(known)), [f"{counted(lost, 'row')} without a label: not used"] if lost else []


def decided_kind(labels: Labels, multiclass: bool | None) -> bool:
    """True if exactly one class applies: as stated, or as the labels show."""
    single = len(labels.classes) > 1 and bool((np.nansum(labels.values, axis=1) == 1).all())
    if multiclass is None and np.isnan(labels.values).any():  # what is not known may be there too
        return False
    if multiclass and not single:
        raise InputError(
            "exactly one class applies with " + setting("multiclass", True) + ", and some rows have none or several. "
            "Correct the labels, or pass " + setting("multiclass", False) + "."
        )  # fmt: skip
    return single if multiclass is None else multiclass


def split_patients(labels: Labels, held: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the rows to train on and of those held out, of different patients."""
    n = len(labels)
    if held == 0:
        return np.arange(n), np.arange(0)
    parts = 40  # many small folds, so that any share can be taken
    folds = assign(n, labels.groups, seed=seed, k=parts)
    if len(folds) < 2:
        raise DataError(
            "all rows are of one patient, so that none can be held out. Give rows of more patients, or pass "
            + setting("held", 0) + " for a head without calibration."
        )  # fmt: skip
    count = min(max(1, round(held * len(folds))), len(folds) - 1)
    return np.sort(np.concatenate(folds[count:])), np.sort(np.concatenate(folds[:count]))


def fitted_modalities(
    read: Mapping[str, Any], train: np.ndarray, encoders: Mapping[str, str], columns: Mapping[str, str]
) -> tuple[list[Modality], list[str]]:
    """The modalities, tables fitted on the training ids (n,) alone, and notes on them."""
    parts, notes = [], []
    for name, one in read.items():
        some = np.flatnonzero(np.isin(one.ids, train))
        if isinstance(one, TableRows):
            some = some[one.has_values()[some]]
        if len(some) < LEAST_ROWS:
            raise InputError(
                f"modality {name!r} has {counted(len(some), 'row')} among {len(train)} training rows; it needs "
                f"{LEAST_ROWS} at least. Check that its ids are those of the labels, or leave it out."
            )
        if len(some) < FEW_ROWS:
            notes.append(f"{name}: {counted(len(some), 'training row')} are few to learn from")
        if not isinstance(one, TableRows):
            space = one.space
            parts.append(Modality(name, space, None, encoders.get(name, space.name), columns.get(name, "")))
            continue
        table = TableFeatures.fit(one.take(some))
        notes += [f"{name}: column {column!r} {why}: left out" for column, why in table.dropped]
        notes += [f"{name}: {note}" for note in table.notes_on_numbers(one.take(some))]
        parts.append(Modality(name, table.space(name), table))
    return parts, notes


def _trained(
    parts: Sequence[Modality], rows: FusionRows, labels: Labels, multiclass: bool, recipe: FusionRecipe,
    run: str | Path | None, progress: bool | None,
) -> tuple[FusedHead, list[str]]:  # fmt: skip
    """The head trained on the rows that have a modality, and notes on the training."""
    known = np.flatnonzero(rows.present.any(axis=1))
    data = TrainingRows(
        rows=rows.take(known),
        targets=labels.values[known],
        groups=None if labels.groups is None else labels.groups[known],
        multiclass=multiclass,
        normed=frozenset(one.name for one in parts if one.normed),
        tables=frozenset(one.name for one in parts if one.table is not None),
    )
    fitted = fit_network(data, recipe, folder=None if run is None else Path(run), progress=progress)
    weights = class_weights(labels.values, multiclass, recipe.balanced)
    prior = class_shares(labels.values, weights, multiclass)
    masks = np.unique(rows.present, axis=0)
    shares = np.stack([
        class_shares(labels.values[(rows.present == mask).all(axis=1)], weights, multiclass, prior) for mask in masks
    ])  # fmt: skip
    patients = patients_in_words(count_patients(labels.groups))
    record = {
        "recipe": recipe.to_dict(),
        "rows": len(known),
        "patients": count_patients(labels.groups),
        "masks": {" and ".join(names) or "nothing": count for names, count in rows.masks.items()},
        "weight_decay": fitted.weight_decay,
        "epochs": fitted.epochs,
        "held_losses": {f"{strength:g}": curve for strength, curve in fitted.losses.items()},
    }
    head = FusedHead(
        classes=labels.classes,
        multiclass=multiclass,
        modalities=tuple(parts),
        weights=fitted.network.weights(),
        token="add" if recipe.token == "add" else "substitute",
        prior=prior,
        masks=masks,
        mask_shares=shares,
        fitted_on=FittedOn(labels.ids, labels.groups),
        record=record,
        unseen=tuple(label for label, shown in zip(labels.classes, taught(data), strict=True) if not shown),
    )
    notes = [
        f"trained on {counted(len(known), 'row')} of {patients}: {counted(fitted.epochs, 'epoch')}, weight decay "
        f"{fitted.weight_decay:g}"
    ]
    if head.unseen:
        notes.append(
            f"the training rows say nothing of {', '.join(map(repr, head.unseen))}: every item gets the prior, "
            f"{', '.join(f'{one:.3g}' for one in prior[np.isin(labels.classes, head.unseen)])}"
        )
    if fitted.losses and fitted.epochs == recipe.epochs:
        notes.append("the held-out loss was still falling in the last epoch: more epochs may help")
    return head, notes
