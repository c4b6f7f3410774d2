"""The log of a training run, as any reader of JSON reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stitchkit.training.run_log import LOG


def log_lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LOG).read_text("utf-8").splitlines()]
