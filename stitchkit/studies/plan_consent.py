"""Consent to the Python code that a study names: a study file is data, its own folder goes with it."""

from __future__ import annotations

import os
from pathlib import Path

from stitchkit.encoders import EncoderName
from stitchkit.encoders.consent import Consent, TrustPython, runs_python
from stitchkit.storage.path_checks import checked_path
from stitchkit.studies.plans import AnyPlan


def check_plan_names(plan: AnyPlan, trust_python: TrustPython = False) -> None:
    """Raise for a ``python:`` name of a study that may not run; nothing is imported.

    A file in the study's own folder may, since whoever runs the study has named that folder. Symbolic links and
    ``..`` are followed before it is compared. A module by its import path needs consent wherever it lies.

    Parameters
    ----------
    trust_python
        As in :func:`stitchkit.study`; names as they are written in the study file.

    Raises
    ------
    ModelUnavailableError
        Showing the first such name as it is written, and the two ways to consent.
    """
    consent, folder = Consent.of(trust_python), plan.file.parent.resolve()
    for name in plan.model_names:
        if not (runs_python(name) and _lies_in(name, folder)):
            consent.require(plan.written.get(name, name), f"the study {plan.file}")


def _lies_in(name: str, folder: Path) -> bool:
    """True for ``python:FILE.py:ATTRIBUTE`` with a file inside ``folder``, links followed."""
    path = EncoderName.parse(name).id.rpartition(":")[0]
    if not path.endswith(".py"):
        return False
    return Path(os.path.realpath(checked_path(os.path.expanduser(path)))).is_relative_to(folder)
