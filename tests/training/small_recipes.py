"""Recipes of small films: networks and runs that take seconds."""

from __future__ import annotations

import json

NETWORK = {
    "width": 24, "layers": 2, "heads": 2, "dim": 16, "side": 32, "patch": 8, "context": 24, "features": 4, "grey": True,
    "vocabulary": 400,
}  # fmt: skip
READER = {"table": "manifest.csv", "text": "text", "patient": "patient", "split": "split", "classes": []}
TRAINING = {"epochs": 3, "batch": 16, "rate": 2e-3}


def write_recipe(path, root, *, network=(), pairs=None, objective=None, training=(), seed=0, reader=READER):
    """A recipe of small films at ``path``; what is given stands beside, or instead of, its own; None: no key."""
    tables = {
        "network": {**NETWORK, **dict(network)},
        "pairs": {"layout": "table", "root": str(root), **({"valid": "test"} if pairs is None else pairs)},
        "pairs.reader": reader,
        **({} if objective is None else {"objective": objective}),
        "training": {**TRAINING, **dict(training)},
    }
    lines = ['name = "small films"', f"seed = {seed}"]
    for name, values in tables.items():
        said = {key: json.dumps(value) for key, value in values.items() if value is not None}
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in said.items())]
    path.write_text("\n".join(lines) + "\n")
    return path
