"""Parts that every page shares: templates, versions of packages, notes that are shown first."""

from __future__ import annotations

import json
import platform
import shlex
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stitchkit.core.errors import InputError
from stitchkit.core.plain_values import plain

LOUD = ("LEAKAGE", "SHORTCUT", "LABEL MAP")  # notes that begin so stand at the top
LINE = 72  # characters of a command, above which its options stand on lines of their own
PACKAGES = ("stitchkit", "torch", "transformers", "timm", "numpy", "scipy", "scikit-learn")


def template(name: str) -> Any:
    """A page's template; names and texts are escaped, and a value that is missing is an error."""
    return _environment().get_template(name)


@cache
def _environment() -> Any:
    """The templates' environment, which keeps what it compiled."""
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)


def page_folder(folder: str | Path, what: str) -> Path:
    """``folder`` as the place of the page of ``what``; a file of that name is refused."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; the {what} needs a folder for its page. Name a folder.")
    return folder


def strict_json(value: Any) -> str:
    """``value`` as JSON that any reader takes: what is not a number is null."""
    return json.dumps(plain(value), indent=1, allow_nan=False, default=str)


def package_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that numbers may hang on, as far as they are installed."""
    versions = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def wrapped_command(command: str) -> str:
    """A shell command with each option on a line of its own where it is long; a shell reads it as before.

    Examples
    --------
    >>> print(wrapped_command("stitchkit evaluate scores.csv --labels labels.csv --anchors anchors.csv --report page"))
    stitchkit evaluate scores.csv \\
      --labels labels.csv \\
      --anchors anchors.csv \\
      --report page
    """
    try:
        words = shlex.split(command) if len(command) > LINE else []
    except ValueError:  # no shell would read it either
        words = []
    if not words:
        return command
    lines: list[list[str]] = [[]]
    for word in words:
        if word.startswith("-") and lines[-1]:
            lines.append([])
        lines[-1].append(word)
    return " \\\n  ".join(map(shlex.join, lines))
