"""``python -m benchmarks.binding {real,wrong-links,renderings,picture,tune}``: many modalities bound through text.

All but ``renderings`` need ``--real-data DIR`` and the extra ``real``; vectors are kept in ``--cache DIR``.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

PARTS = ("real", "wrong-links", "renderings", "picture", "tune")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.binding", description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--real-data", type=Path, metavar="DIR", help="folder of real data")
    parser.add_argument("--cache", type=Path, metavar="DIR", default=Path("binding-vectors"), help="folder of vectors")
    parser.add_argument("--encoders", nargs="+", default=["lite", "resnet"], help="image encoders (lite resnet)")
    parser.add_argument("--way", default="", help="only ways of binding whose name holds this")
    parser.add_argument("--draws", type=int, default=3, help="draws of wrong links (3)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the tuning (3)")
    parser.add_argument("--steps", type=int, default=3000, help="steps of the tuning (3,000)")
    parser.add_argument("--batch", type=int, default=48, help="pairs of each modality a step of the tuning (48)")
    parser.add_argument("--rate", type=float, default=2e-5, help="learning rate of the tuning (2e-5)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the numbers")
    options = parser.parse_args()
    for name in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{name}_NUM_THREADS"] = "1"  # before numpy multiplies
    if options.part == "renderings":
        from benchmarks.binding.renderings import run as run_renderings

        return run_renderings(options.out)
    if options.real_data is None:
        parser.error(f"{options.part} needs --real-data DIR")
    from benchmarks.binding.vectors import RealVectors

    real = RealVectors(options.real_data.resolve(), options.cache.resolve())
    if options.part == "wrong-links":
        from benchmarks.binding.wrong_links import run as run_wrong_links

        return run_wrong_links(real, options.encoders[0], options.draws, options.out)
    if options.part == "picture":
        from benchmarks.binding.picture import run as run_picture

        return run_picture(real, options.encoders[0], options.out)
    if options.part == "tune":
        from benchmarks.binding.tune import run as run_tuning

        training = {"steps": options.steps, "batch": options.batch, "rate": options.rate, "warmup": options.steps // 30,
                    "validate_every": max(options.steps // 10, 1), "patience": 0}  # fmt: skip
        return run_tuning(real, options.encoders[0], options.seeds, training, options.out)
    from benchmarks.binding.real import run

    return run(real, options.encoders, options.way, options.out)


if __name__ == "__main__":
    raise SystemExit(main())
