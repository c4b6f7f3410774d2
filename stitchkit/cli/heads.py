"""The head that a stitched model gets, as ``--head`` names it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError

if TYPE_CHECKING:
    from stitchkit.core.heads import LinearHead
    from stitchkit.core.prompts import PromptSet
    from stitchkit.core.roles import Encoder

PROMPTS, PYTHON = "prompts:", "python:"


@dataclass(frozen=True, slots=True)
class HeadChoice:
    """What ``--head`` asks for, with all that can be read before an encoder is loaded.

    Parameters
    ----------
    asked
        ``own``, ``none``, ``prompts:NAME``, ``python:FILE:NAME``, a folder, or None for the target's own head if it
        has one.
    """

    asked: str | None
    prompts: PromptSet | None = None
    probe: LinearHead | None = None

    @classmethod
    def of(cls, asked: str | None) -> HeadChoice:
        """The choice, its prompts or its folder read."""
        if asked is None or asked in ("own", "none"):
            return cls(asked)
        if asked.startswith(PROMPTS):
            return cls(asked, prompts=prompts_called(asked.removeprefix(PROMPTS)))
        if asked.startswith(PYTHON):
            return cls(asked)
        if not Path(asked).is_dir():
            raise InputError(
                f"--head {asked} is no folder. Give own, none, {PROMPTS}NAME, {PYTHON}FILE:NAME, or the folder of a "
                f"saved probe."
            )
        from stitchkit.stitching import load_head

        return cls(asked, probe=load_head(asked))

    def linear(self, target: Encoder) -> tuple[LinearHead | None, str]:
        """The linear head over the target's vectors, if one is to be had, and a note where one is not."""
        if self.probe is not None and self.asked is not None:
            self.probe.space.require(target.space, f"the head in {self.asked}")
            return self.probe, ""
        if self.prompts is not None:
            check_text(target)
        if self.prompts is not None or self.asked == "none" or (self.asked is None and target.modality != "image"):
            return None, ""
        from stitchkit.stitching import head_called

        try:
            return head_called(self.asked or "own", target), ""
        except InputError as error:
            if self.asked is not None:
                raise
            return None, "no head: " + error.message


def prompts_called(name: str) -> PromptSet:
    """The prompt set of this name, or in the file of this name."""
    from stitchkit.cli.places import there
    from stitchkit.datasets.prompt_sets import read_prompts

    return read_prompts(there(name, "prompt file") if name.endswith((".toml", ".json")) else name)


def check_text(encoder: Encoder) -> None:
    """Raise unless ``encoder`` can read prompts."""
    if encoder.modality != "text":
        raise InputError(f"prompts are read by a text encoder; {encoder.name!r} reads {encoder.modality}s.")


def kept(prompts: PromptSet) -> dict[str, Any]:
    """What an artefact keeps of its prompts: all of them, so that its numbers can be made again."""
    return {
        "name": prompts.name,
        "sha256": prompts.card.get("sha256"),
        "multiclass": prompts.multiclass,
        "positive": {label: list(texts) for label, texts in prompts.positive.items()},
        "negative": {label: list(texts) for label, texts in prompts.negative.items()},
    }
