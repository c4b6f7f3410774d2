"""Prompt sets from files: the shipped ones by name, a TOML of your own, or JSON as the literature's code has it."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stitchkit.core.errors import DataError, UnknownNameError
from stitchkit.core.prompts import PromptSet
from stitchkit.core.strict_json import parse_json
from stitchkit.datasets.class_names import spellings_of_one_class
from stitchkit.datasets.prompt_grammar import slots_in, spell_out
from stitchkit.datasets.rows import read_text
from stitchkit.storage.path_checks import checked_path

_CARD = ("modality", "source", "licence", "description")
_KEYS = ("name", *_CARD, "multiclass", "templates", "negative", "others_are_negative", "classes")
_CLASS_KEYS = ("words", "positive", "negative")


def prompt_set_names() -> tuple[str, ...]:
    """Names of the shipped prompt sets, sorted.

    Examples
    --------
    >>> prompt_set_names()  # doctest: +NORMALIZE_WHITESPACE
    ('blood-cells', 'brain-mri', 'breast-ultrasound', 'breast-ultrasound-malignancy', 'chexpert14', 'chexpert5',
     'covid', 'dermoscopy', 'devices', 'fundus-diseases', 'fundus-grades', 'histology-breast', 'histology-colon',
     'histology-colon-cancer', 'histology-lung', 'histology-lymph-node', 'histology-prostate', 'kidney-cells',
     'mammography', 'modality', 'nih14', 'nih15', 'oct', 'organs-ct', 'phantom', 'phantom-unseen', 'pneumonia',
     'projection', 'rsna', 'sex', 'skin-photographs', 'view', 'vindr')
    """
    return tuple(sorted(path.stem for path in _shipped_folder().glob("*.toml")))


def read_prompts(name_or_path: str | Path) -> PromptSet:
    """A shipped prompt set by name, or one from a TOML or JSON file.

    TOML: ``name``, ``modality``, ``multiclass``, ``source``, ``licence``, ``description``; per class
    ``[classes.NAME]`` with ``positive`` and ``negative`` texts. Every ``{}`` in a text is filled with each of the
    class's ``words`` (default: its name, spaces for underscores). ``templates`` are positives and ``negative`` are
    negatives of all classes; ``others_are_negative = true`` adds the positives of all other classes.

    A name in braces is a slot: ``"{severity} atelectasis {location}."`` is spelled out with every combination of
    the lists ``severity`` and ``location`` of the class, or else of the file, where ``""`` leaves the slot out
    (:func:`stitchkit.datasets.prompt_grammar.spell_out`).

    JSON: ``{class: [texts]}`` or ``{class: {"positive": [texts], "negative": [texts]}}``, slots filled alike.

    Parameters
    ----------
    name_or_path
        One of :func:`prompt_set_names`, or a path that ends in ``.toml`` or ``.json``.

    Returns
    -------
    PromptSet
        Its card holds modality, source, licence, description, and path and SHA-256 of the file.

    Raises
    ------
    UnknownNameError
        For a name that is not shipped, listing the nearest.
    DataError
        For a file that cannot be read, an unknown key or slot (the nearest is listed), classes that differ in
        spelling only, a class without a text or with more than ``prompt_grammar.MOST_TEXTS`` from templates on one
        side, or a text on both sides of a class.

    Examples
    --------
    >>> read_prompts("view").classes
    ('AP', 'PA')
    """
    path = _path_of(name_or_path)
    text = read_text(path, "prompt file")
    try:
        raw = tomllib.loads(text) if path.suffix == ".toml" else {"classes": parse_json(text)}
    except (ValueError, RecursionError) as error:  # of the grammar, of endless numbers, of nesting without end
        raise DataError(f"the prompt file {path} cannot be parsed: {error}. Correct it there.") from error
    _check_keys(raw, (*_KEYS, *slots_in([text])), str(path))
    classes = raw.get("classes", {})
    if not isinstance(classes, Mapping) or not classes:
        raise DataError(f"the prompt file {path} names no class. Add a table [classes.NAME] with positive texts.")
    if spellings := spellings_of_one_class(classes):
        raise DataError(
            f"the classes {', '.join(map(repr, spellings))} of the prompt file {path} differ in spelling only. Put "
            f"their texts under one name."
        )
    shared = _texts(raw.get("negative", []), f"'negative' of {path}")
    others = _flag(raw, "others_are_negative", path)
    positive, negative = {}, {}
    for label, entry in classes.items():
        positive[label], negative[label] = _expand(label, entry, raw, shared, path)
    if others:
        for label in positive:
            rivals = [text for other, some in positive.items() if other != label for text in some]
            negative[label] = tuple(dict.fromkeys((*rivals, *negative[label])))
    _check_sides(positive, negative, path)
    card = {key: str(raw[key]) for key in _CARD if key in raw} | {
        "path": path.as_posix() if path.parent != _shipped_folder() else f"anchors/prompts/{path.name}",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "others_are_negative": others,
    }
    filled = negative if any(negative.values()) else {}
    return PromptSet(str(raw.get("name", path.stem)), positive, filled, _flag(raw, "multiclass", path), card)


def subset(prompts: PromptSet, classes: Sequence[str]) -> PromptSet:
    """The prompt set for some of its classes, in the given order.

    Where the file says ``others_are_negative``, the positives of classes that are left out no longer count
    against those that stay.

    Parameters
    ----------
    prompts
        Any prompt set.
    classes
        Names of classes to keep.

    Returns
    -------
    PromptSet

    Raises
    ------
    UnknownNameError
        For a class that is not in the set, listing the nearest.

    Examples
    --------
    The thirteen findings without pneumonia:

    >>> every = read_prompts("nih14")
    >>> some = subset(every, [label for label in every.classes if label != "Pneumonia"])
    >>> len(some.classes), len(some.negative["Hernia"])
    (13, 13)
    """
    for label in classes:
        if label not in prompts.positive:
            raise UnknownNameError.of(f"class of prompt set {prompts.name!r}", label, prompts.classes)
    positive = {label: prompts.positive[label] for label in classes}
    gone: set[str] = set()
    if prompts.card.get("others_are_negative"):
        kept = {text for some in positive.values() for text in some}
        gone = {text for some in prompts.positive.values() for text in some} - kept
    negative = {
        label: tuple(text for text in prompts.negative[label] if text not in gone)
        for label in classes
        if label in prompts.negative
    }
    return PromptSet(prompts.name, positive, negative, prompts.multiclass, prompts.card)


def _shipped_folder() -> Path:
    """The folder of shipped sets: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "anchors" / "prompts"
    return inside if inside.is_dir() else package.parent / "anchors" / "prompts"


def _path_of(name_or_path: str | Path) -> Path:
    if isinstance(name_or_path, str) and name_or_path in prompt_set_names():
        return _shipped_folder() / f"{name_or_path}.toml"
    path = checked_path(name_or_path)
    if path.suffix in (".toml", ".json"):
        return path
    if path.exists():
        raise DataError(f"the prompt file {path} ends neither in .toml nor in .json. Rename it, or give another.")
    raise UnknownNameError.of(
        "prompt set", str(name_or_path), prompt_set_names(), "For a file of your own, give a path to .toml or .json."
    )


def _expand(
    label: str, entry: Any, raw: Mapping[str, Any], shared: tuple[str, ...], path: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Positive and negative texts of one class, templates filled in."""
    where = f"class {label!r} of {path}"
    if isinstance(entry, list):
        entry = {"positive": entry}
    if not isinstance(entry, Mapping):
        raise DataError(f"{where} is {entry!r}. Give it a list of texts, or 'positive' and 'negative' lists.")
    templates = _texts(raw.get("templates", []), f"'templates' of {path}")
    for template in templates:
        if "{}" not in template:
            raise DataError(f"template {template!r} of {path} has no {{}} for the class's word. Put one in.")
    own = _texts(entry.get("positive", []), f"'positive' of {where}")
    # a class that brings its own positives and no words has opted out of the shared templates
    present = (*(templates if "words" in entry or not own else ()), *own)
    absent = (*_texts(entry.get("negative", []), f"'negative' of {where}"), *shared)
    words = _words(label, entry, raw, slots_in((*present, *absent)), where)
    positive = spell_out(present, words, f"positive texts of {where}")
    if not positive:
        raise DataError(f"{where} has no positive text. Add 'positive', or 'words' and top-level 'templates'.")
    return positive, spell_out(absent, words, f"negative texts of {where}")


def _words(
    label: str, entry: Mapping[str, Any], raw: Mapping[str, Any], slots: tuple[str, ...], where: str
) -> dict[str, tuple[str, ...]]:
    """Words for each slot of a class's texts; ``{}`` is the slot without a name."""
    words = {"": _texts(entry.get("words", [label.replace("_", " ")]), f"'words' of {where}")}
    fixed = {*_KEYS, *_CLASS_KEYS}
    for name in filter(None, slots):
        if name in fixed:
            raise DataError(f"{{{name}}} in {where} is no slot: {name!r} is a key of the form. Name it otherwise.")
        if name not in entry and name not in raw:
            known = {"{}", *entry, *raw} - fixed
            hint = f"Add {name} = [...] to the class; {{}} stands for its 'words'."
            raise DataError(str(UnknownNameError.of(f"slot of {where}", name, known, hint)))
        words[name] = _choices(entry[name] if name in entry else raw[name], f"{name!r} of {where}")
    _check_keys(entry, (*_CLASS_KEYS, *slots), where, "A list of words needs a text with its name in braces.")
    return words


def _check_sides(positive: Mapping[str, tuple[str, ...]], negative: Mapping[str, tuple[str, ...]], path: Path) -> None:
    for label, texts in positive.items():
        against = set(negative[label])
        for text in texts:
            if text in against:
                raise DataError(f"{text!r} stands on both sides of class {label!r} of {path}. Take it from one.")


def _choices(value: Any, where: str) -> tuple[str, ...]:
    """Words of a slot; an empty one leaves the slot out."""
    if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
        raise DataError(f'{where} must be a list of words, "" for none; got {value!r}.')
    return tuple(value)


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
        raise DataError(f"{where} must be a list of non-empty texts; got {value!r}.")
    return tuple(value)


def _flag(raw: Mapping[str, Any], key: str, path: Path) -> bool:
    value = raw.get(key, False)
    if not isinstance(value, bool):
        raise DataError(f"{key!r} of {path} must be true or false; got {value!r}.")
    return value


def _check_keys(entries: Mapping[str, Any], known: Sequence[str], where: str, hint: str = "") -> None:
    for key in entries:
        if key not in known:
            raise DataError(str(UnknownNameError.of(f"key of {where}", key, filter(None, known), hint)))
