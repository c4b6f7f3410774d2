"""The verb ``study``: a TOML file to cells, tables and one page."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import DataError, InputError
from stitchkit.core.escaping import escape
from stitchkit.core.items import Items
from stitchkit.core.roles import Encoder
from stitchkit.core.strict_json import parse_json
from stitchkit.core.wording import counted
from stitchkit.embedding import embed
from stitchkit.encoders import load_encoder
from stitchkit.encoders.consent import TrustPython
from stitchkit.storage.atomic_writes import write_text
from stitchkit.storage.path_checks import checked_file, resolved_path
from stitchkit.studies.benches import Loads
from stitchkit.studies.cells import LINES
from stitchkit.studies.plans import StudyPlan, read_plan
from stitchkit.studies.results import StudySummary
from stitchkit.studies.running import run_study
from stitchkit.studies.study_pages import write_page

MARK = "study.json"  # what a folder is the study of
KEYS = ("name", "kind", "layout", "root")  # in that file


@dataclass(frozen=True, slots=True)
class Loaded:
    """Encoders by name and their vectors, kept in the store."""

    device: str = "auto"
    dtype: str = "float32"
    batch_size: int = 32
    store: str | Path | None = "auto"
    progress: bool | None = None
    trust_python: TrustPython = False

    def encoder(self, name: str) -> Encoder:
        """The encoder called ``name``."""
        return load_encoder(name, device=self.device, dtype=self.dtype, trust_python=self.trust_python)

    def embed(self, encoder: Encoder, items: Items) -> Embeddings:
        """Its vectors of ``items``."""
        return embed(encoder, items, batch_size=self.batch_size, store=self.store, progress=self.progress)


def study(
    plan: str | Path | StudyPlan,
    out: str | Path,
    *,
    loads: Loads | None = None,
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
        A TOML file, or what :func:`stitchkit.studies.plans.read_plan` makes of one.
    out
        Folder of the study. Finished cells in it are not done again; what changed is.
    loads
        How encoders and vectors are come by; None loads by name, on the device there is, with the usual store.
    say
        Called with a line when a step begins.
    progress
        A bar on a terminal or in a notebook: None after two seconds, True at once, False never.
    allow_leakage
        Go on when a patient or an item is both anchor and test; every page says so.
    trust_python
        ``python:`` names that may run though they lie outside the study's own folder, or are named by a
        ``stitchkit:`` folder: a list of them, exactly as they are written there, or True for every name. The ``.py``
        files beside the study file and below are the study's own and need none.
    command
        How it was started, for the page.

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
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not _is_study(folder))):
        raise InputError(f"{folder} holds something that is no study. Name an empty or a new folder.")
    mark = _same(folder, planned)
    loads = loads or Loaded(progress=progress, trust_python=trust_python)
    ran = run_study(planned, folder, loads=loads, say=say, progress=progress, allow_leakage=allow_leakage,
                    trust_python=trust_python)  # fmt: skip
    write_text(folder / MARK, mark)
    say(f"{counted(len(ran.cells), 'cell')}, {ran.done_before} of them done before; working out intervals")
    return write_page(ran, folder, command=command, text=_text(planned), progress=progress)


def _text(plan: StudyPlan) -> str:
    """What the study file says, and the recipe it begins with."""
    files = [plan.file] if plan.training is None else [plan.file, plan.training.recipe]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def _is_study(folder: Path) -> bool:
    return (folder / MARK).exists() or (folder / LINES).exists()


def _same(folder: Path, plan: StudyPlan) -> str:
    """What ``folder`` is the study of, for ``study.json``; another study there is refused."""
    root = resolved_path(plan.data.root, DataError)
    mark = {"name": plan.name, "kind": plan.kind, "layout": plan.data.layout, "root": str(root)}
    known = read_mark(folder)
    if known is not None and known != mark:
        raise InputError(
            f"{folder} holds the study {known['name']!r} of {escape(known['root'])}; this is {plan.name!r} of "
            f"{mark['root']}. Name another folder with --out."
        )
    return json.dumps(mark)


def read_mark(folder: Path) -> dict[str, str] | None:
    """Name, kind, layout and root of the study in ``folder``, from its ``study.json``; None without the file.

    Raises
    ------
    DataError
        If it is no such file.
    """
    path = checked_file(folder / MARK, "a study's file")
    if not path.exists():
        return None
    try:
        mark = parse_json(path.read_bytes())
    except (ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}. Move it away; the cells beside it stay of use.") from error
    if not isinstance(mark, dict) or sorted(mark) != sorted(KEYS) or not all(isinstance(mark[k], str) for k in KEYS):
        raise DataError(
            f"{path} does not name a study by {', '.join(KEYS)}. Move it away; the cells beside it stay of use."
        )
    return mark
