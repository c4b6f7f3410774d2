"""A diagnosis as one self-contained HTML page."""

from __future__ import annotations

import json
from pathlib import Path

from stitchkit.evaluation.associations.associations import HEAD, LIMITS
from stitchkit.evaluation.diagnosis.diagnosis import Diagnosis
from stitchkit.evaluation.diagnosis.prompt_reach import COVERED
from stitchkit.reports.diagnosis_figures import cosines_figure, coverage_figure, hubs_figure, spectrum_figure
from stitchkit.reports.pages import page_folder, template
from stitchkit.storage.atomic_writes import write_text

PAGE, NUMBERS = "diagnosis.html", "diagnosis.json"
MANY = 60  # prompts above which only the worst are drawn


def write_diagnosis(diagnosis: Diagnosis, folder: str | Path) -> Path:
    """Write ``diagnosis.html`` and ``diagnosis.json`` into ``folder``, each in one step; the page's path comes back.

    Parameters
    ----------
    diagnosis
        Result of :func:`stitchkit.diagnose`.
    folder
        Made if need be; only the two files are written.

    Raises
    ------
    InputError
        If ``folder`` is a file.
    """
    folder = page_folder(folder, "diagnosis")
    text = page(diagnosis)
    numbers = json.dumps(diagnosis.to_dict(), indent=1, allow_nan=False, ensure_ascii=False)
    write_text(folder / NUMBERS, numbers + "\n")
    write_text(folder / PAGE, text)
    return folder / PAGE


def page(diagnosis: Diagnosis, *, numbers: str = NUMBERS) -> str:
    """The page's HTML; ``numbers`` is the file beside it that holds all of them, empty for none."""
    covered = sorted(diagnosis.coverage or (), key=lambda one: 0.0 if one.undefined else one.reach)
    text: str = template("diagnosis.html.j2").render(
        found=diagnosis,
        works=diagnosis.works,
        main_number=_main_number(diagnosis),
        coverage=covered,
        said=any(one.mentions is not None for one in covered),
        threshold=COVERED,
        association_head=HEAD,
        association_limits=LIMITS,
        figures={
            "cosines": cosines_figure(diagnosis.cosines),
            "spectrum": None if diagnosis.spectrum is None else spectrum_figure(diagnosis.spectrum),
            "hubs": hubs_figure(diagnosis.hubs),
            "coverage": coverage_figure(covered[:MANY]) if covered else None,
        },
        numbers_file=numbers,
    )
    return text


def _main_number(diagnosis: Diagnosis) -> tuple[float, str]:
    """The number of the first card and what it is: of held-out pairs where there are any."""
    held, way = diagnosis.held_out, diagnosis.retrieval.forward
    if held is not None:
        among = "" if held.gallery is None else f" among {held.gallery}"
        return held.value, f"{held.name}{among}, held out when it was chosen; chance {held.chance:.3f}"
    k = min(way.recall)
    inside = "; in-sample: no verdict" if diagnosis.pairs == "anchors" else ""
    return way.recall[k].value, f"R@{k} among {way.gallery}, chance {way.chance(k):.3f}{inside}"
