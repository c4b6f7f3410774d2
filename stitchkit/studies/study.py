"""The verb ``study``: a TOML file to cells, tables and one page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stitchkit.core.errors import InputError
from stitchkit.core.wording import counted
from stitchkit.encoders.consent import TrustPython
from stitchkit.storage.atomic_writes import write_text
from stitchkit.storage.path_checks import resolved_path
from stitchkit.studies.identity import IDENTITY, holds_study, identity_of
from stitchkit.studies.named_encoders import NamedEncoders
from stitchkit.studies.plans import AnyPlan, StudyPlan, read_plan
from stitchkit.studies.results import StudySummary
from stitchkit.studies.running import run_study
from stitchkit.studies.study_data import EncoderLoader
from stitchkit.studies.study_pages import write_page


def study(
    plan: str | Path | AnyPlan,
    out: str | Path,
    *,
    loader: EncoderLoader | None = None,
    say: Callable[[str], None] = lambda _: None,
    progress: bool | None = None,
    allow_leakage: bool = False,
    trust_python: TrustPython = False,
    command: str = "",
) -> StudySummary:
    """Run a study, or go on with it, and write its page.

    Parameters
    ----------
    plan
        TOML file, or a plan that :func:`stitchkit.studies.plans.read_plan` read.
    out
        Folder of the study. Finished cells in it are not done again; what changed is.
    loader
        Loader of encoders and vectors; None, the default, loads by name, on the device there is, with the usual store.
    say
        Function that is called with a line when a step begins; default none.
    progress
        Progress bar on a terminal or in a notebook: None, the default, after two seconds, True at once, False never.
    allow_leakage
        Permission to go on when a patient or an item is both anchor and test, default False; every page says so.
    trust_python
        ``python:`` names that may run though they lie outside the study's own folder, or are named by a
        ``stitchkit:`` folder: a list of them, exactly as they are written there, or True for every name. The ``.py``
        files beside the study file and below are the study's own and need none.
    command
        Command line that started it, for the page; default none.

    Returns
    -------
    StudySummary
        Print it. ``out`` holds ``report.html``, ``results.json``, ``table.md``, and the cells.

    Raises
    ------
    ModelUnavailableError
        If the study names Python code that ``trust_python`` does not allow.
    DataError
        For a plan, data or classes that do not fit.
    LeakageError
        If a patient or an item is on both sides and ``allow_leakage`` is not set.
    InputError
        If ``out`` holds something else, or is no path that may be written.
    """
    planned = plan if isinstance(plan, StudyPlan) else read_plan(plan)
    resolved_path(out)  # refuses what is no path, before the work
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not holds_study(folder))):
        raise InputError(f"{folder} holds something that is no study. Name an empty or a new folder.")
    identity = identity_of(folder, planned)
    loader = loader or NamedEncoders(progress=progress, trust_python=trust_python)
    finished = run_study(planned, folder, loader=loader, say=say, progress=progress, allow_leakage=allow_leakage,
                    trust_python=trust_python)  # fmt: skip
    write_text(folder / IDENTITY, identity)
    say(f"{counted(len(finished.cells), 'cell')}, {finished.done_before} of them done before; working out intervals")
    return write_page(finished, folder, command=command, text=_text(planned), progress=progress)


def _text(plan: AnyPlan) -> str:
    """Text of the study file, and of the recipe that it begins with."""
    return "\n".join(file.read_text(encoding="utf-8") for file in plan.files)
