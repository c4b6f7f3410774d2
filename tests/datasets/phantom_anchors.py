"""The shipped anchor set of phantoms, ``anchors/sets/phantoms-500.csv`` and its card, written from seeds.

Run ``python tests/datasets/phantom_anchors.py`` after a change of what is in it.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from stitchkit.datasets.anchor_sets import pixel_digest
from stitchkit.datasets.anchor_tables import AnchorTable
from stitchkit.datasets.cohort_tables import csv_text
from stitchkit.datasets.phantoms import draw_phantoms, write_report
from stitchkit.datasets.phantoms.edges import edges_of, rounded
from stitchkit.datasets.phantoms.film import film_levels
from stitchkit.evaluation.anchors.card import anchor_card

NAME = "phantoms-500"
FOLDER = Path(__file__).parents[2] / "anchors" / "sets"
ROWS = 500
FIRST = 700_000  # seed of the first patient; the demo and its encoders use other seeds
NOISE = 0.05  # chance that a finding is misreported
HEADER = ("id", "path", "text", "patient", "view", "sex", "seed", "film", "pixels", "edges")
STATED = {
    "source": "Drawn and worded by stitchkit's phantom program (stitchkit.datasets.phantoms). Drawings, not patients.",
    "licence": "Apache-2.0",
    "obtain": "It travels with the package: --anchors phantoms-500, or sk.read_anchors('phantoms-500').",
    "description": (
        "Chest films of phantoms with a report each, for trying commands, teaching and tests where no data are at "
        "hand. 5 % of the findings are misreported, as in real reports. It says nothing about real films."
    ),
}
COLUMNS = {
    "id": "unique id of the pair",
    "path": "source item, path of an image that is drawn on first use",
    "text": "target item, text",
    "patient": "patient: folds and intervals keep it whole",
    "view": "PA or AP",
    "sex": "F or M",
    "seed": "seed of the patient, from which the film is drawn",
    "film": "0 for the patient's first film, 1 for the second",
    "pixels": "first 16 digits of the SHA-256 of the film's pixels",
    "edges": "pixels near the edge of two grey levels, and the way they are rounded on every machine",
}


def rows(count: int = ROWS) -> tuple[list[list[str]], list]:
    """Cells of the first ``count`` rows, and their films."""
    cells, films, patient = [], [], 0
    while len(cells) < count:
        seed = FIRST + patient
        drawn = [one for one in draw_phantoms(2, seed=seed) if one.patient == 0]  # some patients have two films
        for number, one in enumerate(drawn[: count - len(cells)]):
            levels, name = film_levels(one), f"{NAME}-{len(cells):03d}"
            edges = edges_of(levels)
            film = rounded(levels, edges)
            text = write_report(one, seed=seed, noise=NOISE)
            known = [f"{NAME}-p{patient:03d}", one.view, one.sex, str(seed), str(number)]
            cells.append([name, f"{name}.bmp", text, *known, pixel_digest(film), edges])
            films.append(film)
        patient += 1
    return cells, films


def files() -> dict[str, bytes]:
    """The content of the table and of its card by file name."""
    cells, films = rows()
    with TemporaryDirectory() as folder:  # hashed as those who read it do
        path = Path(folder, f"{NAME}.csv")
        path.write_bytes(csv_text([HEADER, *cells]).encode())
        for row, film in zip(cells, films, strict=True):
            Image.fromarray(film).save(path.with_name(row[1]))
        card = anchor_card(AnchorTable(path).pairs(), name=NAME, columns=COLUMNS, **STATED).to_dict()
        return {path.name: path.read_bytes(), f"{NAME}.card.json": (json.dumps(card, indent=2) + "\n").encode()}


if __name__ == "__main__":
    for name, content in files().items():
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_bytes(content)
