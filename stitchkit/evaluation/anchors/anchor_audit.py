"""The result of checking an anchor set: leakage, repeats, coverage, shortcuts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stitchkit.core.notebook_text import NotebookText
from stitchkit.core.patients import patients_in_words
from stitchkit.core.plain_values import plain_values
from stitchkit.core.text_tables import text_table
from stitchkit.core.wording import counted
from stitchkit.datasets.near_duplicates import NEAR
from stitchkit.evaluation.anchors.shortcuts import Shortcut
from stitchkit.evaluation.anchors.text_mentions import ClassMentions

SHOWN = 10  # pairs of images named in print; all are in to_dict


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two items whose images are, or look, the same.

    Parameters
    ----------
    first, second
        Their ids; across two sides, the anchor and the test item.
    kind
        ``"same file"``, ``"same pixels"`` or ``"near"``.
    likeness
        Likeness of their fingerprints or after a registration, 1 for copies.
    same_patient
        None where patients are not known.
    opposite
        Classes that one of them has and the other has not, by their labels.
    """

    first: str
    second: str
    kind: str
    likeness: float
    same_patient: bool | None
    opposite: tuple[str, ...] = ()

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "kind": self.kind,
            "likeness": self.likeness,
            "same_patient": self.same_patient,
            "opposite": list(self.opposite),
        }

    def __str__(self) -> str:
        """One line."""
        whose = {None: "", True: ", same patient", False: ", two patients"}[self.same_patient]
        against = f", opposite labels: {', '.join(self.opposite)}" if self.opposite else ""
        alike = f"{self.kind} ({self.likeness:.3f})" if self.kind == NEAR else self.kind
        return f"{self.first} = {self.second}: {alike}{whose}{against}"


@dataclass(frozen=True, slots=True)
class TextCounts:
    """Repeats among the anchors' texts, case and white space aside.

    Parameters
    ----------
    n, distinct
        Texts, and different ones.
    most
        Occurrences of the commonest.
    shared
        Different ones that are also texts of the test; None where it has no texts.
    """

    n: int
    distinct: int
    most: int
    shared: int | None


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """Numbers of anchors that show one class, by their labels.

    Parameters
    ----------
    name
        Name of the class.
    present, absent, unknown
        Anchors; unknown are those without this label.
    patients
        With the class; None where patients are not known.
    """

    name: str
    present: int
    absent: int
    unknown: int
    patients: int | None


@dataclass(frozen=True, slots=True)
class AnchorAudit(NotebookText):
    """Findings about an anchor set.

    Parameters
    ----------
    anchors, patients
        Their numbers; patients None where not known.
    test, test_patients
        The same of the test; None without one.
    leakage
        Things that anchors and test share, in words, a line each; empty if nothing was found.
    warnings
        Other faults: contradictions, uncovered classes, shortcuts.
    duplicates
        Anchors whose images are, or look, the same.
    leaked
        Anchors and test items whose images do, under different ids.
    texts
        Repeats of texts; None where no side holds texts.
    classes
        Numbers of anchors that show each class, where labels were given.
    words
        Mentions of each class in the texts, where prompts were given.
    shortcuts
        Each class by metadata alone, where labels and metadata were given.
    columns
        Metadata that were used.
    notes
        Checks that were not made, with the reason.
    settings
        Likeness, folds, level, seed, least number of positives.
    """

    anchors: int
    patients: int | None
    test: int | None
    test_patients: int | None
    leakage: tuple[str, ...]
    warnings: tuple[str, ...]
    duplicates: tuple[Duplicate, ...]
    leaked: tuple[Duplicate, ...]
    texts: TextCounts | None
    classes: tuple[ClassCounts, ...]
    words: tuple[ClassMentions, ...]
    shortcuts: tuple[Shortcut, ...]
    columns: tuple[str, ...]
    notes: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def passed(self) -> bool:
        """True if nothing leaks into the test, as far as it was checked; warnings do not count."""
        return not self.leakage

    @plain_values
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; neither texts nor patients are in it."""
        return {
            "passed": self.passed,
            "anchors": self.anchors,
            "patients": self.patients,
            "test": self.test,
            "test_patients": self.test_patients,
            "leakage": list(self.leakage),
            "warnings": list(self.warnings),
            "duplicates": [one.to_dict() for one in self.duplicates],
            "leaked": [one.to_dict() for one in self.leaked],
            "texts": None if self.texts is None else {name: getattr(self.texts, name) for name in _TEXTS},
            "classes": [{name: getattr(one, name) for name in _COUNTS} for one in self.classes],
            "words": [
                {"name": one.name, "mentions": one.mentions, "denied": one.denied, "unseen": list(one.unseen)}
                for one in self.words
            ],
            "shortcuts": [
                {
                    "name": one.name,
                    "auroc": None if one.auroc is None else one.auroc._asdict(),
                    "found": one.found,
                    "why": one.why,
                }
                for one in self.shortcuts
            ],
            "columns": list(self.columns),
            "notes": list(self.notes),
            "settings": dict(self.settings),
        }

    def __str__(self) -> str:
        """Text for a terminal: leakage and warnings first."""
        lines = [self._head(), *(f"LEAKAGE: {one}" for one in self.leakage), *self.warnings]
        lines += self._pairs("anchors and test", self.leaked) + self._pairs("anchors", self.duplicates)
        if self.texts is not None:
            lines.append(_text_words(self.texts))
        lines += [*self._table(), *self._unseen_words()]
        lines += [f"note: {one}" for one in dict.fromkeys(self.notes)]
        clean = not (self.leakage or self.warnings or self.leaked or self.duplicates)
        return "\n".join([*lines, *([f"no fault found; checked: {', '.join(self._check_names())}"] if clean else [])])

    def _check_names(self) -> list[str]:
        """The comparisons and counts, in words."""
        known = "ids" if self.patients is None or self.test_patients is None else "ids and patients"
        parts = {
            f"{known} of anchors and test items": self.test is not None,
            "images that are or look the same": bool(self.settings.get("images_compared")),
            "repeated texts": self.texts is not None,
            "labels of each class": bool(self.classes),
            "classes in the texts": bool(self.words),
            f"metadata alone ({', '.join(self.columns)})": bool(self.shortcuts) and bool(self.columns),
        }
        return [name for name, done in parts.items() if done]

    def _head(self) -> str:
        head = _count_words(self.anchors, "anchor", self.patients)
        return head if self.test is None else f"{head}; {_count_words(self.test, 'test item', self.test_patients)}"

    def _pairs(self, where: str, pairs: tuple[Duplicate, ...]) -> list[str]:
        if not pairs:
            return []
        lines = [f"{counted(len(pairs), 'pair')} of images that are or look the same, {where}:"]
        ordered = sorted(pairs, key=lambda one: (not one.opposite, one.same_patient is True))
        lines += [f"  {one}" for one in ordered[:SHOWN]]
        return lines + ([f"  and {len(pairs) - SHOWN} more (--json lists them)"] if len(pairs) > SHOWN else [])

    def _table(self) -> list[str]:
        """A row a class: labels, words, metadata, as far as they were looked at."""
        counts, words = {one.name: one for one in self.classes}, {one.name: one for one in self.words}
        metadata = {one.name: one for one in self.shortcuts}
        names = list(dict.fromkeys([*counts, *words]))
        if not names:
            return []
        parts = [[["class"], *([name] for name in names)]]
        if counts:
            parts.append([["present", "absent", "unknown", "patients"], *(_counts(counts.get(name)) for name in names)])
        if words:
            parts.append([["texts say", "deny"], *(_words(words.get(name)) for name in names)])
        if metadata:
            parts.append([["AUROC of metadata alone"], *([_metadata(metadata.get(name))] for name in names)])
        rows = [[cell for cells in together for cell in cells] for together in zip(*parts, strict=True)]
        return text_table(rows, numbers=range(1, len(rows[0]) - bool(metadata)))

    def _unseen_words(self) -> list[str]:
        """Words of the prompts that are in no text."""
        lists = [
            f"{one.name}: {', '.join(one.unseen[:SHOWN])}{', ...' if len(one.unseen) > SHOWN else ''}"
            for one in self.words
            if one.unseen
        ]
        return [f"words of the prompts that no anchor text has: {'; '.join(lists)}"] if lists else []


_TEXTS = ("n", "distinct", "most", "shared")
_COUNTS = ("name", "present", "absent", "unknown", "patients")


def _count_words(n: int, what: str, patients: int | None) -> str:
    return f"{counted(n, what)} ({patients_in_words(patients)})"


def _text_words(texts: TextCounts) -> str:
    verb = "is a text" if texts.shared == 1 else "are texts"
    also = "" if texts.shared is None else f"; {texts.shared} of them {verb} of the test as well"
    return f"{counted(texts.n, 'text')}, {texts.distinct} different, the commonest {counted(texts.most, 'time')}{also}"


def _counts(one: ClassCounts | None) -> list[str]:
    if one is None:
        return ["-"] * 4
    return [str(one.present), str(one.absent), str(one.unknown), "-" if one.patients is None else str(one.patients)]


def _words(one: ClassMentions | None) -> list[str]:
    return ["-", "-"] if one is None or one.mentions is None else [str(one.mentions), str(one.denied)]


def _metadata(one: Shortcut | None) -> str:
    if one is None:
        return "-"
    return f"not judged: {one.why}" if one.auroc is None else f"{one.auroc}{'  SHORTCUT' if one.found else ''}"
