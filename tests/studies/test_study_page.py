"""The page of a study, with its figures: it stands alone and shows what was done."""

from __future__ import annotations

import json
import re

from phantom_studies import run

from stitchkit.evaluation.scores.evaluate import PROBE


def test_the_page_tells_what_was_done(planned, tmp_path):
    out = tmp_path / "out"
    found = run(
        planned(grid='solvers = ["ridge", "procrustes"]\nanchors = [20, "all"]\ndraws = 2'),
        out,
        command="stitchkit study x",
    )
    page = (out / "report.html").read_text()
    for word in (
        "phantoms",
        "stitchkit study x",
        "procrustes",
        PROBE,
        "Not a medical device",
        "<svg",
        "[data.reader]",
    ):
        assert word in page
    assert set(re.findall(r"""(?:src|href)=["']([^"']+)""", page)) <= {"#"} | set(re.findall(r"#[\w-]+", page))
    numbers = json.loads((out / "results.json").read_text())
    assert numbers["rows"][0]["macro"]["value"] == found.rows[0].macro.value
    assert (out / "table.md").read_text().startswith("# phantoms")
    lines = [json.loads(line) for line in (out / "cells.jsonl").read_text().splitlines()]
    assert len(lines) == len({line["key"] for line in lines})
    assert all({"source", "target", "method", "anchors", "draw", "kind", "seconds"} <= set(line) for line in lines)
