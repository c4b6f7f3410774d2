"""Encoder names: ``FAMILY:ID[@REVISION][#key=value&key=value]``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stitchkit.core.errors import InputError, ModelUnavailableError, UnknownNameError
from stitchkit.storage.path_checks import checked_path

LOCAL = "local-dir:"
HUB = "hf-hub:"
ADAPTER = "adapter"  # option that names a folder
OF_ITEMS = {
    "frame": " The frame belongs to the item: write film.dcm#frame=middle where the file is named.",
    "window": " The window belongs to the item: write film.dcm#window=40,400 where the file is named.",
}  # options that are looked for here and are set elsewhere
FAMILY = re.compile(r"[a-z][a-z0-9_-]+")  # two characters at least: a single one is a Windows drive


@dataclass(frozen=True, slots=True)
class EncoderName:
    """Parsed name of an encoder, as a user types it.

    Parameters
    ----------
    family
        The source library, ``"timm"``, ``"hf"``, ...
    id
        The model in that library's own words, its ``hf-hub:`` and ``local-dir:`` forms included.
    revision
        Branch, tag or commit of a hub repository, or None.
    options
        The settings after ``#``, as text.

    Examples
    --------
    >>> name = EncoderName.parse("hf:org/name@main#pool=mean&prompt=query: ")
    >>> name.id, name.revision, dict(name.options)
    ('org/name', 'main', {'pool': 'mean', 'prompt': 'query: '})
    >>> str(name)
    'hf:org/name@main#pool=mean&prompt=query: '
    """

    family: str
    id: str
    revision: str | None = None
    options: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def parse(cls, text: str) -> EncoderName:
        """The parts of ``text``; a path that exists wins over ``@`` and ``#`` in it.

        ``%26``, ``%23`` and ``%25`` stand for ``&``, ``#`` and ``%`` inside an option's value.

        Raises
        ------
        UnknownNameError
            For a bare name, which several families could mean.
        InputError
            For an empty id, or options that are not ``key=value``.
        """
        family, colon, rest = text.partition(":")
        if not colon or not FAMILY.fullmatch(family) or family + colon in (LOCAL, HUB) or os.path.exists(text):
            raise _bare(text)
        head, tail = _split_options(rest)
        revision = None
        if "@" in head and not _on_disk(head):
            head, _, revision = head.rpartition("@")
            if not revision:
                raise InputError(f"encoder {text!r} ends in '@' without a revision. Name a branch, tag or commit.")
        if not head.removeprefix(LOCAL).removeprefix(HUB):
            raise InputError(f"encoder {text!r} names the family {family!r} but no model. Write {family}:NAME.")
        return cls(family, head, revision, _options(tail, text))

    def __str__(self) -> str:
        at = f"@{self.revision}" if self.revision else ""
        options = "&".join(f"{key}={_escape(value)}" for key, value in self.options.items())
        return f"{self.family}:{self.id}{at}{'#' + options if options else ''}"

    @property
    def folder(self) -> Path | None:
        """The local path the name means: what ``local-dir:`` gives, or a path that exists.

        Raises
        ------
        ModelUnavailableError
            If no folder can have that name.
        """
        if self.id.startswith(LOCAL):
            return checked_path(os.path.expanduser(self.id.removeprefix(LOCAL)), ModelUnavailableError)
        return Path(os.path.expanduser(self.id)) if _on_disk(self.id) else None

    def resolve(self) -> EncoderName:
        """The same name with every path that exists made absolute, to be found from any folder."""
        start = LOCAL if self.id.startswith(LOCAL) else ""
        place = _absolute(self.id.removeprefix(LOCAL))
        own = self.family == "python"  # all of whose options may name files; of others, one does
        options = {key: _absolute(value) if own or key == ADAPTER else value for key, value in self.options.items()}
        return EncoderName(self.family, start + place, self.revision, options)

    @property
    def repository(self) -> str | None:
        """The hub repository that the name means, ``org/name``; None for files and for names that say no repository."""
        is_path = self.folder is not None or os.path.isabs(os.path.expanduser(self.id))  # of another machine, it may be
        if is_path or self.family not in ("hf", "open_clip", "st", "timm"):
            return None
        if self.id.startswith(HUB):
            return self.id.removeprefix(HUB)
        if self.family == "timm":
            return f"timm/{self.id}"
        return self.id if self.family != "open_clip" and self.id.count("/") == 1 else None

    @property
    def public(self) -> str:
        """The name without the folders of this machine, to be read by others."""
        start = LOCAL if self.id.startswith(LOCAL) else ""
        options = {key: _last_part(value) for key, value in self.options.items()}
        return str(EncoderName(self.family, start + _last_part(self.id.removeprefix(LOCAL)), self.revision, options))

    def check_options(self, known: Iterable[str]) -> None:
        """Raise for an option that the family does not have, listing those it has."""
        names = list(known)
        for key in self.options:
            if key not in names:
                listed = ", ".join(names) if names else "none"
                raise UnknownNameError(
                    f"encoder {str(self)!r} sets the option {key!r}, which {self.family} encoders do not have; "
                    f"known options: {listed}." + OF_ITEMS.get(key, "")
                )


def _last_part(text: str) -> str:
    """The last part of an absolute path; other text unchanged."""
    return text.rstrip("/").rpartition("/")[2] if os.path.isabs(os.path.expanduser(text)) else text


def _absolute(text: str) -> str:
    """``text`` as an absolute path if it means something on disk, else unchanged."""
    return os.path.abspath(os.path.expanduser(text)) if text and _on_disk(text) else text


def _on_disk(text: str) -> bool:
    """True where ``text`` is a path that exists; the part after the last colon may be an attribute of a file."""
    path = os.path.expanduser(text.removeprefix(LOCAL))
    file, colon, attribute = path.rpartition(":")
    names_file = bool(colon) and attribute.isidentifier() and file.endswith(".py")
    return os.path.exists(path) or (names_file and os.path.isfile(file))  # False, not an error, for long text


def _split_options(rest: str) -> tuple[str, str]:
    """The id and the options of ``rest``: the longest existing path before a ``#``, else up to the first ``#``."""
    cuts = [len(rest), *(place for place in range(len(rest) - 1, -1, -1) if rest[place] == "#")]
    for cut in cuts:
        if _on_disk(rest[:cut]):
            return rest[:cut], rest[cut + 1 :]
    head, _, tail = rest.partition("#")
    return head, tail


def _options(tail: str, text: str) -> dict[str, str]:
    """``key=value&key=value`` as a dict."""
    options: dict[str, str] = {}
    for part in tail.split("&") if tail else []:
        key, equals, value = part.partition("=")
        if not equals or not key.isidentifier():
            raise InputError(f"encoder {text!r} has the option {part!r}; write key=value, joined by '&'.")
        if key in options:
            raise InputError(f"encoder {text!r} sets the option {key!r} twice. Keep one.")
        options[key] = _unescape(value)
    return options


def _escape(value: str) -> str:
    return value.replace("%", "%25").replace("&", "%26").replace("#", "%23")


def _unescape(value: str) -> str:
    return value.replace("%26", "&").replace("%23", "#").replace("%25", "%")


def _bare(text: str) -> UnknownNameError:
    """The error for a name without a family, listing what it could mean."""
    if Path(text).suffix == ".py":
        candidates = [f"python:{text}:ATTRIBUTE"]
    elif os.path.exists(text) or text.startswith(LOCAL):
        path = text.removeprefix(LOCAL)
        candidates = [f"timm:{LOCAL}{path}", f"hf:{path}", f"stitchkit:{path}"]
    elif "/" in text:
        repository = text.removeprefix(HUB)
        candidates = [f"hf:{repository}", f"timm:{HUB}{repository}"]
    else:
        candidates = [f"timm:{text}", f"hf:{text}"]
    return UnknownNameError(f"encoder {text!r} names no family; it could mean {' or '.join(candidates)}. Choose one.")
