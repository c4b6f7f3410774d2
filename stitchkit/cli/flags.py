"""Settings that messages name, as options of the command that runs."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stitchkit.core.wording import Setting

OPTIONS: Mapping[str, tuple[str, ...]] = {  # setting -> the options that set it, where they are not --setting
    "at": (),
    "classes": ("--class",),
    "embeddings": ("--encoder", "--items"),
    "encoder": (),  # the folder's own encoder; the option names another one, for a probe
    "id": ("--id-column",),
    "images": (),  # a folder of a data set; the option counts images to show
    "label": ("--label-column",),
    "other": (),
    "pairs": (),
    "pool": ("--pool-source", "--pool-target"),
    "target": (),
    "text": (),
}
AS_TEXT = {"embeddings": "for the vectors"}  # what the options give, where they say less than the setting
READER, OF_READER = "--set", {"images", "missing", "reports", "reports_root", "uncertain"}  # --set KEY=VALUE


@dataclass(frozen=True, slots=True)
class Flags:
    """The options of one command.

    Parameters
    ----------
    takes_value
        Option -> True if a value follows it.
    """

    takes_value: Mapping[str, bool]

    @classmethod
    def of(cls, options: Iterable[Any]) -> Flags:
        """The options among the parameters of a command."""
        return cls({name: not getattr(one, "is_flag", False) for one in options for name in one.opts})

    def form(self, setting: Setting) -> str | None:
        """The options that set ``setting``, with its value; None if this command has none."""
        names = OPTIONS.get(setting.name, (f"--{setting.name.replace('_', '-')}",))
        if not names or not all(name in self.takes_value for name in names):
            if READER in self.takes_value and setting.name in OF_READER:
                return f"{READER} {shlex.quote(f'{setting.name}={_word(setting.value)}')}"
            return None
        value, with_value = setting.value, self.takes_value[names[0]]
        if isinstance(value, bool) if with_value else value not in (True, ""):
            return None
        words = [" and ".join(names), *([shlex.quote(_word(value))] if with_value and value != "" else [])]
        return " ".join([*words, *([AS_TEXT[setting.name]] if setting.name in AS_TEXT else [])])


def _word(value: object) -> str:
    return "none" if value is None else str(value)
