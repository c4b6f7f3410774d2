"""The verb ``check_anchors``: fitness of an anchor set to be fitted on, and its distance from the test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stitchkit.core.anchors import AnchorSet
from stitchkit.core.errors import DataError, InputError
from stitchkit.core.items import Items
from stitchkit.core.least_patients import MIN_POSITIVES
from stitchkit.core.patients import count_patients
from stitchkit.core.prompts import PromptSet
from stitchkit.core.scores import Labels
from stitchkit.core.seeds import check_seed
from stitchkit.core.wording import counted, setting
from stitchkit.datasets.near_duplicates import LIKENESS, MOST, Alike, ImageFingerprints
from stitchkit.datasets.prompt_sets import read_prompts
from stitchkit.evaluation.anchors.anchor_audit import AnchorAudit, ClassCounts, Duplicate, TextCounts
from stitchkit.evaluation.anchors.overlap import Overlap, Side, alike_within, overlap_of
from stitchkit.evaluation.anchors.shortcuts import Shortcut, find_shortcuts
from stitchkit.evaluation.anchors.text_mentions import ClassMentions, count_mentions
from stitchkit.evaluation.leakage import spelled_notes
from stitchkit.evaluation.scores.metadata import file_columns
from stitchkit.runtime.progress import Progress

FEW_TEXTS = 0.1  # different texts, of all: below, it is said what that does to a map


def check_anchors(
    anchors: AnchorSet,
    *,
    test: AnchorSet | Items | Sequence[str] | np.ndarray | None = None,
    test_groups: Any = None,
    labels: Labels | None = None,
    prompts: PromptSet | str | Path | None = None,
    metadata: Sequence[str] = (),
    likeness: float = LIKENESS,
    min_positives: int = MIN_POSITIVES,
    folds: int = 5,
    seed: int = 0,
    progress: bool | None = None,
) -> AnchorAudit:
    """Faults of an anchor set: leakage into the test, repeats, classes without anchors, shortcuts.

    Nothing is embedded: images are decoded, compared and forgotten.

    Parameters
    ----------
    anchors
        The pairs.
    test
        The test items: an anchor set, items, or ids alone. Compared by id, patient, and image: the same file, the same
        pixels, or nearly the same (:func:`stitchkit.datasets.near_duplicates.find_alike` tells what is found).
    test_groups : (m,), optional
        Patients of test items that are no anchor set.
    labels
        Labels of the anchors, joined by id; of test items too if there are any. Counts each class, finds copies with
        opposite labels, and, with ``metadata`` or image files, shortcuts.
    prompts
        A prompt set, its name or its file: counts the texts that say each class
        (:mod:`stitchkit.evaluation.anchors.text_mentions` tells how).
    metadata
        Columns of ``labels`` that the metadata-only baseline may use, beside file size, width, height and bit depth.
    likeness
        Likeness from which two images are near duplicates.
    min_positives
        Classes with fewer positive or negative patients are not judged by metadata, nor those with fewer than 5.
    folds
        Folds of the anchors' patients, for the metadata-only baseline, default 5.
    seed
        Seed of the folds, default 0.
    progress
        A bar on a terminal or in a notebook: None after two seconds, True at once, False never.

    Returns
    -------
    AnchorAudit
        ``passed`` is whether nothing leaks; print it for the findings.

    Raises
    ------
    InputError
        If metadata are named without labels, or prompts are given and no side of the anchors holds texts.
    DataError
        If an image cannot be read, or no anchor is labelled.
    UnknownNameError
        For a column that is not among the labels, or an unknown prompt set.

    Examples
    --------
    >>> from stitchkit.datasets.phantoms import make_phantoms
    >>> films = make_phantoms(30, seed=3)
    >>> images = Items(films.ids, list(films.images), "image")
    >>> anchors = AnchorSet(films.ids, images, Items(films.ids, films.reports, "text"), films.patients)
    >>> test = Items(["other"], [films.images[7].repeat(2, axis=0).repeat(2, axis=1)], "image")  # larger
    >>> for line in check_anchors(anchors, test=test, progress=False).leakage:
    ...     print(line)
    1 pair of an anchor's and a test item's image are near duplicates under other ids
    """
    check_seed(seed)
    _check_settings(metadata, labels, folds, min_positives)
    ours = Side.of(anchors)
    theirs = None if test is None else Side.of(test, test_groups)
    named = read_prompts(prompts) if isinstance(prompts, str | Path) else prompts
    if named is not None and ours.texts is None:
        raise InputError("prompts are compared with the anchors' texts, and neither side holds texts.")
    known = None if labels is None else _of_anchors(labels, ours)
    notes: list[str] = []
    with Progress(show=progress) as bar:
        fingerprints = _fingerprints(ours, theirs, bar, notes)
        settings = {"min_positives": min_positives, "folds": folds, "seed": seed}
        shortcuts, columns = _shortcuts(known, anchors, metadata, notes, settings, bar)
    overlap = None if theirs is None else overlap_of(ours, theirs, fingerprints[1], likeness)
    within, complete = ((), True) if fingerprints[0] is None else alike_within(ours, fingerprints[0], likeness)
    if not complete:
        notes.append(f"more than {MOST} pairs of anchors are near duplicates; the others are not listed")
    duplicates = _duplicates(within, ours, ours, labels)
    leaked = () if theirs is None or overlap is None else _duplicates(overlap.alike or (), ours, theirs, labels)
    texts = None if ours.texts is None else _texts(ours.texts, None if theirs is None else theirs.texts)
    classes = () if known is None else tuple(_counts(known))
    words = () if named is None else count_mentions(ours.texts or (), named)
    notes += _open_notes(ours, theirs, overlap, known, words)
    return AnchorAudit(
        anchors=len(ours),
        patients=count_patients(ours.groups),
        test=None if theirs is None else len(theirs),
        test_patients=None if theirs is None else count_patients(theirs.groups),
        leakage=() if overlap is None else overlap.leaks(),
        warnings=tuple(_warnings(duplicates, classes, words, shortcuts, texts)),
        duplicates=duplicates,
        leaked=leaked,
        texts=texts,
        classes=classes,
        words=words,
        shortcuts=shortcuts,
        columns=columns,
        notes=tuple(notes),
        settings={"likeness": likeness, "images_compared": fingerprints[0] is not None, "level": 0.95, **settings},
    )


def _check_settings(metadata: Sequence[str], labels: Labels | None, folds: int, min_positives: int) -> None:
    if isinstance(metadata, str):
        raise InputError(setting("metadata") + " takes a list of columns; got a single text.")
    if metadata and labels is None:
        raise InputError("metadata are columns of the labels, and there are no labels. Give " + setting("labels") + ".")
    for what, value, least in (("folds", folds, 2), ("min_positives", min_positives, 1)):
        if value < least:
            raise InputError(f"{what} must be at least {least}; got {value}.")


def _of_anchors(labels: Labels, ours: Side) -> Labels:
    """The labelled anchors, with the patients that the anchors know."""
    rows = np.flatnonzero(np.isin(labels.ids, ours.ids))
    if not rows.size:
        raise DataError(
            f"none of the {len(ours)} anchors is among the {len(labels)} labelled items. Check that both use the same "
            f"ids."
        )
    taken = labels.take(rows)
    if ours.groups is None:
        return taken
    place = {name: row for row, name in enumerate(ours.ids.tolist())}
    return taken.with_groups(ours.groups[[place[name] for name in taken.ids.tolist()]])


def _fingerprints(
    ours: Side, theirs: Side | None, bar: Progress, notes: list[str]
) -> tuple[ImageFingerprints | None, tuple[ImageFingerprints, ImageFingerprints] | None]:
    """Fingerprints of the anchors' images, and of both sides' if both have images."""
    if not ours.images:
        return None, None
    anchors = ours.fingerprints("anchors", bar)
    sides = [anchors]
    if theirs is not None and theirs.images:
        sides.append(theirs.fingerprints("test images", bar))
    if blank := sum(one.blank for one in sides):
        notes.append(f"{counted(blank, 'image shows', 'images show')} nothing; only exact copies are found")
    return anchors, (anchors, sides[1]) if len(sides) == 2 else None


def _duplicates(pairs: Iterable[Alike], first: Side, second: Side, labels: Labels | None) -> tuple[Duplicate, ...]:
    """Pairs by id, with their patients and labels compared."""
    rows = {} if labels is None else {name: row for row, name in enumerate(labels.ids.tolist())}
    named = []
    for one in pairs:
        ids = str(first.ids[one.first]), str(second.ids[one.second])
        same = None
        if first.groups is not None and second.groups is not None:
            same = bool(first.groups[one.first] == second.groups[one.second])
        opposite: tuple[str, ...] = ()
        if labels is not None and ids[0] in rows and ids[1] in rows:
            gap = np.abs(labels.values[rows[ids[0]]] - labels.values[rows[ids[1]]])  # NaN where one is not known
            opposite = tuple(labels.classes[c] for c in np.flatnonzero(gap == 1))
        named.append(Duplicate(*ids, one.kind, one.likeness, same, opposite))
    return tuple(named)


def _texts(texts: Sequence[str], others: Sequence[str] | None) -> TextCounts:
    counted = Counter(" ".join(text.casefold().split()) for text in texts)
    shared = None
    if others is not None:
        shared = len(set(counted) & {" ".join(text.casefold().split()) for text in others})
    return TextCounts(len(texts), len(counted), max(counted.values(), default=0), shared)


def _counts(known: Labels) -> Iterable[ClassCounts]:
    for c, name in enumerate(known.classes):
        column = known.values[:, c]
        people = None if known.groups is None else count_patients(known.groups[column == 1])
        yield ClassCounts(
            name=name,
            present=int((column == 1).sum()),
            absent=int((column == 0).sum()),
            unknown=int(np.isnan(column).sum()),
            patients=people,
        )


def _shortcuts(
    known: Labels | None,
    anchors: AnchorSet,
    metadata: Sequence[str],
    notes: list[str],
    settings: Mapping[str, int],
    bar: Progress,
) -> tuple[tuple[Shortcut, ...], tuple[str, ...]]:
    """Each class by metadata alone, and the columns used."""
    if known is None:
        return (), ()
    place = {name: row for row, name in enumerate(anchors.ids.tolist())}
    items = anchors.source_items.take(np.asarray([place[name] for name in known.ids.tolist()]))
    shortcuts, columns = find_shortcuts(known, metadata, file_columns(items), **settings, bar=bar)
    if not shortcuts:
        notes.append("no check for shortcuts: no file size, picture size or named column differs among the anchors")
    else:
        notes.append(f"metadata alone are {', '.join(columns)}")
    return shortcuts, columns


def _warnings(
    duplicates: Sequence[Duplicate],
    classes: Sequence[ClassCounts],
    words: Sequence[ClassMentions],
    shortcuts: Sequence[Shortcut],
    texts: TextCounts | None,
) -> Iterable[str]:
    if against := sum(bool(one.opposite) for one in duplicates):
        yield (
            f"CONTRADICTION: {counted(against, 'pair')} of anchors whose images are or look the same "
            f"{'has' if against == 1 else 'have'} opposite labels"
        )
    if bare := [one.name for one in classes if not one.present]:
        yield f"NOT COVERED: no labelled anchor shows {', '.join(bare)}: zero-shot stays at chance there"
    if silent := [one.name for one in words if one.mentions == 0]:
        yield (
            f"NOT SAID: no anchor text says {', '.join(silent)} in the words of the prompts: unless it uses others, "
            f"zero-shot stays at chance there"
        )
    if telling := [f"{one.name} {one.auroc}" for one in shortcuts if one.found]:
        yield (
            f"SHORTCUT: metadata alone, without the picture, tell {'; '.join(telling)}. A map fitted on these anchors "
            f"may learn the metadata."
        )
    if texts is not None and texts.distinct <= FEW_TEXTS * texts.n:
        yield (
            f"FEW TEXTS: {counted(texts.distinct, 'different one')}; a map to them has a rank of at most "
            f"{max(texts.distinct - 1, 0)} and is a map to labels"
        )


def _open_notes(
    ours: Side, theirs: Side | None, overlap: Overlap | None, known: Labels | None, words: Sequence[ClassMentions]
) -> Iterable[str]:
    if theirs is None or overlap is None:
        yield "no test was given, so nothing is known of leakage"
    else:
        if overlap.patients is None:
            yield "patients are not known on both sides, so overlap of patients was not checked"
        if overlap.alike is None:
            yield "images are not known on both sides, so copies of images in the test were not looked for"
    yield from spelled_notes(ours.groups)
    if known is not None and len(known) < len(ours):
        yield f"{len(ours) - len(known)} of {len(ours)} anchors have no labels"
    if bare := [one.name for one in words if one.mentions is None]:
        yield f"the prompts of {', '.join(bare)} have no words of their own, so texts that say it cannot be counted"
