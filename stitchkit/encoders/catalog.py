"""A catalogue of encoders that researchers use, as data: names as they are typed, with width, licence and access."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict

from stitchkit.core.text_tables import text_table
from stitchkit.core.wording import counted
from stitchkit.storage.toml_files import AtLeastOne, Flag, Text, read_record, read_toml

FILE = Path(__file__).parent / "catalog.toml"
UNKNOWN = "not recorded"
HEADINGS = ("name", "takes", "domain", "width", "licence", "access")
TAKES = {"image": "images", "text": "texts", "pair": "images + texts"}


class CatalogEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An encoder of the catalogue.

    Parameters
    ----------
    name
        Name as ``stitchkit.load_encoder`` takes it; of a pair without ``modality``.
    modality
        ``"image"``, ``"text"``, or ``"pair"`` for an image and a text encoder of one space.
    domain
        Kind of data that it was trained on, in words.
    width
        Width of its vectors; None where it is not recorded.
    licence
        Licence of the weights; None where it is not recorded.
    gated
        True where the hub gives the weights only to those who accepted its terms; None where it is not recorded.
    note
        A line on it.
    """

    name: Text
    modality: Literal["image", "text", "pair"]
    domain: Text
    width: AtLeastOne | None = None
    licence: Text | None = None
    gated: Flag | None = None
    note: str = ""

    def matches(self, word: str) -> bool:
        """True if any of its texts holds ``word``, in capitals or not."""
        texts = (self.name, self.modality, TAKES[self.modality], self.domain, self.licence or "", self.note)
        return any(word.casefold() in text.casefold() for text in texts)


class _Catalog(Struct, frozen=True, forbid_unknown_fields=True):
    encoders: tuple[CatalogEntry, ...]


def read_catalog(word: str = "") -> list[CatalogEntry]:
    """The encoders of the catalogue, sorted by name.

    A name that is not here is no worse: every name of the families loads. Entries are notes, not promises: read a
    model's own page before you use it.

    Parameters
    ----------
    word
        Part of a name, domain, licence or note that entries must hold, default all entries.

    Examples
    --------
    >>> [one.name for one in read_catalog("rad-dino")]
    ['hf:microsoft/rad-dino']
    """
    catalog = read_record(read_toml(FILE), _Catalog, FILE)
    return [one for one in catalog.encoders if one.matches(word)]


def catalog_table(entries: list[CatalogEntry]) -> str:
    """Entries as a table of text, with the note of each below it."""
    rows = [
        (one.name, TAKES[one.modality], one.domain, _number(one.width), one.licence or UNKNOWN, _access(one.gated))
        for one in entries
    ]
    header, *shown = text_table([HEADINGS, *rows])
    lines = [header]
    for line, entry in zip(shown, entries, strict=True):
        lines += [line, f"    {entry.note}"] if entry.note else [line]
    return "\n".join([*lines, "", f"{counted(len(entries), 'encoder')}; any other name of a family loads as well."])


def catalog_document(entries: list[CatalogEntry]) -> dict[str, object]:
    """Entries as plain values; what is not recorded is None."""
    return {"encoders": [asdict(one) for one in entries]}


def _number(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)


def _access(gated: bool | None) -> str:
    return UNKNOWN if gated is None else "gated" if gated else "open"
