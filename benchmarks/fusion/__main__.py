"""``python -m benchmarks.fusion TABLE VECTORS --label COLUMN --columns A,B --groups COLUMN --out FOLDER``: the arms.

For each seed and fold of patients every arm is fitted on the other folds and scores the fold's rows with everything,
with the image alone and with the table alone. Each fold's probabilities are kept when they are done: a run that was
stopped goes on where it was. ``python -m benchmarks.fusion.show FOLDER`` makes the tables and the plot of them. With
``--fits-only`` the fused head alone is fitted, and the time of each fit is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fusion", description=__doc__)
    parser.add_argument("table", type=Path, help="table of items with labels")
    parser.add_argument("vectors", type=Path, help=".safetensors of the images, by the table's ids")
    parser.add_argument("--id", default="path", help="column of ids (path)")
    parser.add_argument("--label", help="column that names each item's class")
    parser.add_argument("--classes", help="or columns of 0 and 1, a comma between")
    parser.add_argument("--columns", required=True, help="columns of the table modality, a comma between")
    parser.add_argument("--groups", required=True, help="column of patients or lesions")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--holes", type=float, default=0.0, help="share of each input taken out in training (0)")
    parser.add_argument("--arms", help="names, a | between; default: all")
    parser.add_argument("--fits-only", action="store_true", help="fit the fused head alone, and print the times")
    parser.add_argument("--out", type=Path, help="folder of the run; not with --fits-only")
    options = parser.parse_args()
    if options.fits_only == (options.out is not None):
        parser.error("give either --out or --fits-only")
    for name in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{name}_NUM_THREADS"] = "1"  # before numpy multiplies
    import stitchkit as sk
    from stitchkit.alignment.folds import assign
    from stitchkit.training.fusion.rivals import ARMS, fit_arms, with_holes

    classes = None if options.classes is None else options.classes.split(",")
    labels = sk.read_labels(
        options.table, label=options.label, classes=classes, id=options.id, groups=options.groups, uncertain="ignore"
    )
    vectors = sk.read_embeddings(options.vectors)
    labels = labels.take(np.flatnonzero(np.isin(labels.ids, vectors.ids)))
    table = sk.read_table_rows(options.table, options.columns.split(","), id=options.id)
    table = table.take(np.flatnonzero(np.isin(table.ids, labels.ids)))
    image = vectors.of_ids(labels.ids)
    if options.fits_only:
        return time_fits(image, table, labels, options)
    arms = tuple(options.arms.split("|")) if options.arms else ARMS
    facts = {
        "classes": list(labels.classes), "multiclass": classes is None, "holes": options.holes, "rows": len(labels),
        "folds": options.folds, "columns": list(table.columns), "space": vectors.space.name, "arms": list(arms),
    }  # fmt: skip
    begin(options.out, facts)
    np.savez(options.out / "truth.npz", truth=labels.values, groups=labels.groups)
    for seed in range(options.seeds):
        for fold, test in enumerate(assign(len(labels), labels.groups, seed=seed, k=options.folds)):
            file = options.out / f"s{seed}f{fold}.npz"
            if file.exists():
                continue
            start = time.process_time()
            rest = np.setdiff1d(np.arange(len(labels)), test)
            train = {"image": image.take(rest), "table": table.take(rest)}
            train = with_holes(train, {"image": options.holes, "table": options.holes}, seed)
            fitted = fit_arms(train, labels.take(rest), recipe_of(seed), arms=arms, progress=False)
            rows = fitted.head.rows({"image": image.take(test), "table": table.take(test)}, labels.ids[test])
            shown = {"both": rows, "image": rows.only(["image"]), "table": rows.only(["table"])}
            values = {
                f"{arm}|{what}": score(some).astype(np.float32)
                for arm, score in fitted.scorers.items()
                for what, some in shown.items()
            }
            np.savez(file, test=test, **values)
            print(f"seed {seed}, fold {fold}: {time.process_time() - start:.0f} s of the processor; "
                  f"{dict(fitted.strengths)}", flush=True)  # fmt: skip
    return 0


def begin(folder: Path, facts: dict[str, Any]) -> None:
    """Write the facts of a run, or stop where the folder holds cells of a run of other facts."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "facts.json"
    if file.exists() and (held := json.loads(file.read_text())) != facts:
        odd = ", ".join(name for name in {**held, **facts} if held.get(name) != facts.get(name))
        raise SystemExit(f"{folder} holds a run that differs in {odd}. Give another folder, or the same settings.")
    file.write_text(json.dumps(facts) + "\n")


def recipe_of(seed: int) -> Any:
    """The recipe of every arm."""
    from stitchkit.training.fusion.recipe import FusionRecipe

    return FusionRecipe(balanced=True, seed=seed)


def time_fits(image: Any, table: Any, labels: Any, options: argparse.Namespace) -> int:
    """Time of the processor for the fits of the fused head: each, and all seeds and folds together."""
    import stitchkit as sk
    from stitchkit.alignment.folds import assign
    from stitchkit.training.fusion.rivals import with_holes

    seconds = []
    for seed in range(options.seeds):
        for fold, test in enumerate(assign(len(labels), labels.groups, seed=seed, k=options.folds)):
            rest = np.setdiff1d(np.arange(len(labels)), test)
            train = {"image": image.take(rest), "table": table.take(rest)}
            train = with_holes(train, {"image": options.holes, "table": options.holes}, seed)
            start = time.process_time()
            head = sk.fuse(train, labels.take(rest), recipe=recipe_of(seed), held=0, allow_leakage=True, progress=False)
            seconds.append(time.process_time() - start)
            chosen = head.record["weight_decay"], head.record["epochs"]
            print(
                f"seed {seed}, fold {fold}: {seconds[-1]:.1f} s of the processor; {len(rest)} rows, {chosen}",
                flush=True,
            )
    print(f"{len(seconds)} fits: {sum(seconds):.0f} s of the processor, {np.median(seconds):.1f} s the middle one, "
          f"{max(seconds):.1f} s the longest")  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
