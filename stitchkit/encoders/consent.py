"""Consent to run code that data names: a name in a folder or a study is not one that the user typed."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from stitchkit.core.errors import InputError, ModelUnavailableError
from stitchkit.core.escaping import escape
from stitchkit.core.wording import advice, python_advice, setting
from stitchkit.storage.path_checks import resolved_path

RUNS_PYTHON = "python:"
STITCHED = "stitchkit"  # the family whose folders name encoders
DEPTH = 8  # folders inside each other; each holds a map over the next one's encoder
NETWORK = ("\\\\", "//")  # Windows sends the user's credentials to the host of such a path

TrustPython = bool | str | Collection[str]


@dataclass(frozen=True, slots=True)
class Consent:
    """Permission to run the Python code that names read from data lead to.

    Parameters
    ----------
    python
        ``python:`` names that may be loaded, exactly as they are written in the data; None allows every name.
    remote_code
        The code of a hub repository may run, as ``trust_remote_code`` of ``load_encoder`` says.
    within
        Folders that are being loaded, outermost first.
    """

    python: frozenset[str] | None = frozenset()
    remote_code: bool = False
    within: tuple[Path, ...] = ()

    @classmethod
    def of(cls, trust_python: TrustPython = False, remote_code: bool = False) -> Consent:
        """The consent that a verb's ``trust_python`` means: every name, some names, or none.

        Raises
        ------
        InputError
            If it is something else.

        Examples
        --------
        >>> Consent.of("python:mine.py:Encoder").allows("python:mine.py:Encoder")
        True
        >>> Consent.of().allows("python:mine.py:Encoder"), Consent.of().allows("hf:org/name")
        (False, True)
        """
        if isinstance(trust_python, bool):
            return cls(None if trust_python else frozenset(), remote_code)
        names = [trust_python] if isinstance(trust_python, str) else trust_python
        if not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
            raise InputError(
                setting("trust_python", text="trust_python")
                + f" is True, False or a list of python: names; got {trust_python!r}."
            )
        return cls(frozenset(names), remote_code)

    def allows(self, name: str) -> bool:
        """True if a name that was read from data may be loaded, as far as it is itself Python code."""
        return not runs_python(name) or self.python is None or name in self.python

    def require(self, name: str, where: str) -> None:
        """Raise unless ``name``, which was read from ``where``, may be loaded; nothing of it is imported.

        Raises
        ------
        ModelUnavailableError
            Showing the name, where it was read, and the two ways to consent.
        """
        if _path_of(name).startswith(NETWORK):
            raise ModelUnavailableError(
                f"{where} names {name!r}, a path on another machine, which is not opened on the word of a file. "
                f"Copy it to this machine and load it by its own name."
            )
        if not self.allows(name):
            raise ModelUnavailableError(
                f"{where} names {name!r}, which is Python code and would be run. Read it first. To run it, pass "
                + python_advice("trust_python=True or a list of such names in Python, on the command line ")
                + f"--trust-python "
                f"{shlex.quote(escape(name))}."
            )

    def inside(self, folder: str | Path) -> Consent:
        """The consent for names that ``folder`` holds.

        Raises
        ------
        ModelUnavailableError
            If that folder is already being loaded, or lies inside too many others.
        """
        place = resolved_path(folder, ModelUnavailableError)
        if place in self.within:
            between = len(self.within) - 1 - self.within.index(place)
            way = f", by way of {between} other{'s' if between > 1 else ''}" if between else ""
            raise ModelUnavailableError(
                f"the folder {escape(str(place))} names itself as its encoder{way}. Stitch it again from an encoder."
            )
        if len(self.within) >= DEPTH:
            raise ModelUnavailableError(
                f"{escape(str(self.within[0]))} names a folder that names a folder, {DEPTH} deep. Stitch from the "
                "innermost encoder" + advice(", or pass ", setting("encoder")) + "."
            )
        return replace(self, within=(*self.within, place))


def runs_python(name: str) -> bool:
    """True for a name whose loading imports a Python file or module; compared in every spelling of the family."""
    return name.strip().casefold().startswith(RUNS_PYTHON)


def _path_of(name: str) -> str:
    """The part of ``name`` behind its family, without a leading ``local-dir:``."""
    return name.partition(":")[2].removeprefix("local-dir:")
