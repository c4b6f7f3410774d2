"""The head that a stitched model gets, as ``--head`` names it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stitchkit.core.errors import InputError

if TYPE_CHECKING:
    from stitchkit.core.heads import LinearHead
    from stitchkit.core.prompts import PromptSet
    from stitchkit.core.roles import Encoder

PROMPTS, PYTHON = "prompts:", "python:"


@dataclass(frozen=True, slots=True)
class HeadChoice:
    """The head that ``--head`` asks for, with all that can be read before an encoder is loaded.

    Parameters
    ----------
    name
        ``own``, ``none``, ``prompts:NAME``, ``python:FILE:NAME``, a folder, or None for the target's own head if it
        has one.
    """

    name: str | None
    prompts: PromptSet | None = None
    probe: LinearHead | None = None

    @classmethod
    def of(cls, name: str | None) -> HeadChoice:
        """The choice, its prompts or its folder read."""
        if name is None or name in ("own", "none"):
            return cls(name)
        if name.startswith(PROMPTS):
            return cls(name, prompts=prompts_called(name.removeprefix(PROMPTS)))
        if name.startswith(PYTHON):
            return cls(name)
        if not Path(name).is_dir():
            raise InputError(
                f"--head {name} is no folder. Give own, none, {PROMPTS}NAME, {PYTHON}FILE:NAME, or the folder of a "
                f"saved probe."
            )
        from stitchkit.storage.heads import load_head

        return cls(name, probe=load_head(name))

    def linear(self, target: Encoder) -> tuple[LinearHead | None, str]:
        """The linear head over the target's vectors, if one is to be had, and a note where one is not."""
        if self.probe is not None and self.name is not None:
            self.probe.space.require(target.space, f"the head in {self.name}")
            return self.probe, ""
        if self.prompts is not None:
            check_text(target)
        if self.prompts is not None or self.name == "none" or (self.name is None and target.modality != "image"):
            return None, ""
        from stitchkit.stitching import head_called

        try:
            return head_called(self.name or "own", target), ""
        except InputError as error:
            if self.name is not None:
                raise
            return None, "no head: " + error.message


def prompts_called(name: str) -> PromptSet:
    """The prompt set of this name, or in the file of this name."""
    from stitchkit.cli.paths import existing_path
    from stitchkit.datasets.prompt_sets import read_prompts

    return read_prompts(existing_path(name, "prompt file") if name.endswith((".toml", ".json")) else name)


def check_text(encoder: Encoder) -> None:
    """Raise unless ``encoder`` can read prompts."""
    if encoder.modality != "text":
        raise InputError(f"prompts are read by a text encoder; {encoder.name!r} reads {encoder.modality}s.")
