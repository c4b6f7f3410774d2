"""Task cards: what a downstream task is, where its data come from, how it is judged, and what leaks into it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.core.prompts import PromptSet
from stitchkit.datasets.cohorts import LAYOUTS
from stitchkit.datasets.prompt_sets import prompt_set_names, read_prompts, subset
from stitchkit.storage.path_checks import checked_path
from stitchkit.storage.toml_files import AtLeastOne, Flag, Share, Text, read_record, read_toml

ITSELF = "itself"  # of a leak between the splits of one set
PROMPTS = ("ours", "paper")
METRICS = {  # kind of task -> measures that can stand for it, the usual one first
    "classes": ("auroc", "accuracy", "balanced_accuracy"),
    "retrieval": ("recall@10", "recall@200"),
    "questions": ("accuracy",),
}

Names = Annotated[tuple[Text, ...], Meta(description="a list of texts")]


class Leak(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A known way by which items of a task's test split were seen elsewhere.

    Parameters
    ----------
    other
        Name of the set that holds them, in the file ``with``: a task, a layout, another set in words, or ``"itself"``
        where training and test split of the task share them. A name in small letters without spaces must be one of
        these keys.
    what
        Shared items, in words.
    source
        Publication that found the leak.
    """

    other: Text = field(name="with")
    what: Text
    source: Text


class Splits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Published splits of a task, ``[splits]``.

    Parameters
    ----------
    train, test
        Names of the splits in the set. None, for both: no split is published, and groups are divided.
    held
        Share of the groups that are the test items where no split is published, default 0.2.
    """

    train: Text | None = None
    test: Text | None = None
    held: Share = 0.2

    def __post_init__(self) -> None:
        if (self.train is None) != (self.test is None):
            raise ValueError("'train' and 'test' are both named, or neither")


class PaperPrompts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prompts of the benchmark's authors, ``[paper]``: templates, and the words that fill them.

    Parameters
    ----------
    templates
        Texts with ``{}``.
    words
        Class -> its words.
    """

    templates: Annotated[tuple[Text, ...], Meta(min_length=1)]
    words: dict[str, Text]


class TaskCard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One downstream task.

    Parameters
    ----------
    name, title
        Key of the task, and its name in print.
    kind
        ``"classes"``, ``"retrieval"`` (images and texts) or ``"questions"`` (about images).
    modality
        Kind of the images, in words.
    images
        Number of images as published, of all splits, or None where it varies between copies.
    source, licence, obtain
        Publication, licence, and the files to fetch with their origin.
    header
        Header line of the table, or names of the arrays or folders, as published.
    description
        Caveats, and what was not verified; default empty.
    layout, reader
        Name of the layout that reads the set, and settings of its reader.
    splits
        Published splits.
    group
        Unit of the groups of the set: ``"patient"``, ``"lesion"``, ``"slide"``; empty where none are published.
    classes
        Classes in the spelling of the set; empty for retrieval and questions.
    multiclass
        Exactly one class applies to an item. Default: False
    metadata
        Columns of the reader that are known before the picture is read, such as age and sex: what they reach alone
        stands beside the scores. None by default, as many columns are readings of the picture.
    metric
        Measure that stands for the task.
    prompts
        Name of a shipped prompt set with the same classes; empty for none.
    prompt_classes
        Class -> its name in that prompt set, for all classes or none. Default: the same names.
    paper
        Prompts of the benchmark's authors, or None.
    leaks
        Known leaks.
    """

    name: Text
    title: Text
    kind: Literal["classes", "retrieval", "questions"]
    modality: Text
    source: Text
    licence: Text
    obtain: Text
    header: Text
    description: str = ""
    images: AtLeastOne | None = None
    layout: Text
    reader: dict[str, Any] = {}
    splits: Splits = Splits()
    group: str = ""
    classes: Names = ()
    metadata: Names = ()
    multiclass: Flag = False
    metric: Literal["auroc", "accuracy", "balanced_accuracy", "recall@10", "recall@200"]
    prompts: str = ""
    prompt_classes: dict[str, Text] = {}
    paper: PaperPrompts | None = None
    leaks: tuple[Leak, ...] = ()

    def prompt_set(self, which: str) -> PromptSet | None:
        """The prompts of the task's classes, in their order; None where the card names none.

        Parameters
        ----------
        which
            ``"ours"``, in the words of the modality, or ``"paper"``, as the benchmark's authors have them.

        Raises
        ------
        UnknownNameError
            For prompts of another name.
        """
        if which not in PROMPTS:
            raise UnknownNameError.of("kind of prompts", which, PROMPTS)
        if which == "paper":
            if self.paper is None:
                return None
            texts = {
                one: tuple(template.replace("{}", self.paper.words[one]) for template in self.paper.templates)
                for one in self.classes
            }
            return PromptSet(f"{self.name}, paper", texts, multiclass=self.multiclass)
        if not self.prompts:
            return None
        named = {one: self.prompt_classes.get(one, one) for one in self.classes}
        shipped = subset(read_prompts(self.prompts), tuple(named.values()))
        positive = {one: shipped.positive[name] for one, name in named.items()}
        negative = {one: shipped.negative[name] for one, name in named.items() if name in shipped.negative}
        return PromptSet(shipped.name, positive, negative, shipped.multiclass, shipped.card)


def task_names() -> tuple[str, ...]:
    """Names of the shipped task cards, sorted."""
    return tuple(sorted(path.stem for path in shipped_tasks().glob("*.toml")))


def read_task(name_or_path: str | Path) -> TaskCard:
    """A shipped task card by name, or one of your own from a TOML file.

    Raises
    ------
    UnknownNameError
        For a name that is not shipped, listing the nearest.
    DataError
        For a file that cannot be read, an unknown or missing key (the nearest is listed), a layout or prompt set that
        there is not, or classes that the prompts do not name, or name otherwise.

    Examples
    --------
    >>> read_task("pneumoniamnist").classes
    ('normal', 'pneumonia')
    """
    path = _path_of(name_or_path)
    card: TaskCard = read_record(read_toml(path), TaskCard, path)
    _check(card, path)
    return card


def shipped_tasks() -> Path:
    """The folder of shipped cards: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "anchors" / "tasks"
    return inside if inside.is_dir() else package.parent / "anchors" / "tasks"


def _path_of(name_or_path: str | Path) -> Path:
    if isinstance(name_or_path, str) and name_or_path in task_names():
        return shipped_tasks() / f"{name_or_path}.toml"
    path = checked_path(name_or_path)
    if path.suffix == ".toml":
        return path
    raise UnknownNameError.of("task", str(name_or_path), task_names(), "For a card of your own, give a path to .toml.")


def _check(card: TaskCard, path: Path) -> None:
    """Raise where the card's parts disagree."""
    if card.layout not in LAYOUTS:
        raise DataError(str(UnknownNameError.of(f"'layout' of {path}", card.layout, LAYOUTS)))
    if (card.kind == "classes") != bool(card.classes):
        raise DataError(f"{path} is of kind {card.kind!r} with {len(card.classes)} classes. Classes are for 'classes'.")
    if card.metric not in METRICS[card.kind]:
        raise DataError(str(UnknownNameError.of(f"'metric' of {path}, {card.kind}", card.metric, METRICS[card.kind])))
    if len(set(card.classes)) != len(card.classes):
        raise DataError(f"a class stands twice in 'classes' of {path}. Name each once.")
    if card.kind != "classes" and (card.prompts or card.paper is not None):
        raise DataError(f"{path} is of kind {card.kind!r} and has prompts, which name classes. Take them out.")
    if card.prompts:
        _check_shipped(card, path)
    if card.paper is not None:
        _check_paper(card, card.paper, path)
    keys = (ITSELF, *task_names(), *LAYOUTS)
    for leak in card.leaks:
        if re.fullmatch(r"[a-z0-9-]+", leak.other) and leak.other not in keys:
            hint = "Another set is named in words."
            raise DataError(str(UnknownNameError.of(f"'with' of [[leaks]] in {path}", leak.other, keys, hint)))
    if card.kind == "classes" and card.multiclass and len(card.classes) < 2:
        raise DataError(f"{path} is 'multiclass' with a single class. Name those that exclude each other.")


def _check_shipped(card: TaskCard, path: Path) -> None:
    """Raise unless the shipped prompts are there, name the classes, and agree on how many apply."""
    if card.prompts not in prompt_set_names():
        raise DataError(str(UnknownNameError.of(f"'prompts' of {path}", card.prompts, prompt_set_names())))
    shipped = read_prompts(card.prompts)
    if card.prompt_classes and sorted(card.prompt_classes) != sorted(card.classes):
        raise DataError(
            f"[prompt_classes] of {path} has {', '.join(card.prompt_classes)}; the classes are "
            f"{', '.join(card.classes)}. Give each its name in the prompt set, or leave the table out."
        )
    names = tuple(card.prompt_classes.get(one, one) for one in card.classes)
    _check_named(names, shipped.positive, f"the prompt set {card.prompts!r}", path)
    if len(set(names)) != len(names):
        raise DataError(f"two classes of {path} have one name in [prompt_classes]. Prompts must tell classes apart.")
    if shipped.multiclass != card.multiclass:
        raise DataError(
            f"'multiclass' of {path} is {str(card.multiclass).lower()}, that of the prompt set {card.prompts!r} is "
            f"{str(shipped.multiclass).lower()}. Take prompts that agree on how many classes apply to an item."
        )


def _check_paper(card: TaskCard, paper: PaperPrompts, path: Path) -> None:
    """Raise unless the words are those of the classes, differ, and have a place in every template."""
    _check_named(card.classes, paper.words, "'words' of [paper]", path)
    if extra := [one for one in paper.words if one not in card.classes]:
        raise DataError(f"'words' of [paper] in {path} name {extra[0]!r}, which is none of its classes.")
    if len(set(paper.words.values())) != len(paper.words):
        raise DataError(f"two classes have the same 'words' of [paper] in {path}. Prompts must tell classes apart.")
    if bare := [one for one in paper.templates if "{}" not in one]:
        raise DataError(f"the template {bare[0]!r} of [paper] in {path} has no {{}} for the class's words.")


def _check_named(classes: Sequence[str], named: Mapping[str, Any], what: str, path: Path) -> None:
    if lacking := [one for one in classes if one not in named]:
        raise DataError(
            f"{what} does not name the class {lacking[0]!r} of {path}; it names {', '.join(named)}. Spell them alike."
        )
