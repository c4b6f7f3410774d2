"""Prompt sets as a command line names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stitchkit.core.prompts import PromptSet


def prompts_called(name: str) -> PromptSet:
    """The prompt set of this name, or in the file of this name; that there is no file is the caller's mistake."""
    from stitchkit.cli.paths import existing_path
    from stitchkit.datasets.prompt_sets import read_prompts

    return read_prompts(existing_path(name, "prompt file") if name.endswith((".toml", ".json")) else name)
