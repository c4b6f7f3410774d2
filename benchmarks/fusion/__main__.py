"""``python -m benchmarks.fusion TABLE VECTORS --label COLUMN --columns A,B --groups COLUMN --out FOLDER``: the arms.

For each seed and fold of patients every arm is fitted on the other folds and scores the fold's rows with everything,
with the image alone and with the table alone. Each fold's probabilities are kept when they are done: a run that was
stopped goes on where it was. ``python -m benchmarks.fusion.show FOLDER`` makes the tables and the plot of them.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

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
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
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
    options.out.mkdir(parents=True, exist_ok=True)
    facts = {"classes": labels.classes, "multiclass": classes is None, "holes": options.holes, "rows": len(labels)}
    (options.out / "facts.json").write_text(json.dumps(facts) + "\n")
    np.savez(options.out / "truth.npz", truth=labels.values, groups=labels.groups)
    arms = tuple(options.arms.split("|")) if options.arms else ARMS
    for seed in range(options.seeds):
        for fold, test in enumerate(assign(len(labels), labels.groups, seed=seed, k=options.folds)):
            file = options.out / f"s{seed}f{fold}.npz"
            if file.exists():
                continue
            start = time.process_time()
            rest = np.setdiff1d(np.arange(len(labels)), test)
            train = {"image": image.take(rest), "table": table.take(rest)}
            train = with_holes(train, {"image": options.holes, "table": options.holes}, seed)
            recipe = sk.FusionRecipe(balanced=True, seed=seed)
            fitted = fit_arms(train, labels.take(rest), recipe, arms=arms, progress=False)
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


if __name__ == "__main__":
    raise SystemExit(main())
