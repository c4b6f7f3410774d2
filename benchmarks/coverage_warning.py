"""``python -m benchmarks.coverage_warning [--draws 10]``: errors of the warning that no anchor mentions a finding.

Reports of chest phantoms serve as anchors: as they are, with each finding in turn left out of all of them, and left
out of all but one in ten. Printed are the shares of findings that no anchor mentions and that get no warning, and of
mentioned ones that get one: by vectors alone, of two text encoders and two sets of prompts, and by the anchors' texts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

import numpy as np

import stitchkit as sk
from stitchkit.datasets.phantoms import FINDINGS, draw_phantoms, write_report
from stitchkit.evaluation.diagnosis.coverage import prompt_coverage

POOL, FIT = 600, 600  # reports that anchors are drawn from, and that counts of words are fitted on
RARE = 10  # of so many anchors one mentions a rare finding
SIZES = (20, 50, 100, 200, 400)
PROMPTS = ("phantom", "phantom-unseen")
Rates = tuple[float, float, float]  # silent without a warning; mentioned, and mentioned by few, with one
Encode = Callable[[Sequence[str]], np.ndarray]


def reports(n: int, seed: int, silent: tuple[str, ...] = ()) -> list[str]:
    """Reports of the phantoms of ``seed``, which never mention ``silent``."""
    return [write_report(one, seed=seed, noise=0.05, silent=silent) for one in draw_phantoms(n, seed=seed)]


def encoders() -> dict[str, Encode]:
    """The demo's text encoder, and weighted counts of words in 64 dimensions."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    text = sk.load_encoder("demo:text", device="cpu")
    counts = TfidfVectorizer(min_df=2, sublinear_tf=True, ngram_range=(1, 2))
    squeeze = TruncatedSVD(64, random_state=0).fit(counts.fit_transform(reports(FIT, 1)))

    def read(texts: Sequence[str]) -> np.ndarray:
        items = sk.Items([str(i) for i in range(len(texts))], list(texts), "text")
        return np.asarray(sk.embed(text, items, store=None, progress=False).vectors, dtype=np.float64)

    return {"demo:text": read, "counts of words": lambda texts: squeeze.transform(counts.transform(texts))}


def rates(
    sides: Mapping[str, np.ndarray], texts: Mapping[str, list[str]], prompts: object, n: int, draws: int, words: bool
) -> Rates:
    """Shares of findings silent without a warning, mentioned with one, and mentioned by one anchor in ten with one.

    ``sides`` and ``texts`` hold the pool's vectors and reports, whole under "" and without each finding under its name.
    """
    rng, errors = np.random.default_rng([n, draws]), ([], [], [])  # type: tuple[list[bool], list[bool], list[bool]]
    said = {name: np.flatnonzero([a != b for a, b in zip(texts[""], texts[name], strict=True)]) for name in FINDINGS}

    def covered(side: str, rows: np.ndarray, back: np.ndarray) -> dict[str, bool]:
        vectors, given = sides[side][rows], [texts[side][i] for i in rows]
        for i, row in enumerate(rows):
            if row in back:
                vectors[i], given[i] = sides[""][row], texts[""][row]
        found = prompt_coverage(vectors, prompts, texts=given if words else None)
        return {one.name: one.covered for one in found}

    for _ in range(draws):
        rows = rng.choice(POOL, n, replace=False)
        whole = covered("", rows, np.array([], dtype=int))
        for name in FINDINGS:
            few = np.intersect1d(said[name], rows)[: n // RARE]
            errors[0].append(covered(name, rows, few[:0])[name])
            errors[1].append(not whole[name])
            errors[2].append(not covered(name, rows, few)[name])
    return tuple(float(np.mean(one)) for one in errors)  # type: ignore[return-value]


def table(draws: int) -> str:
    """Rates in per cent as a Markdown table."""
    texts = {"": reports(POOL, 2)} | {name: reports(POOL, 2, (name,)) for name in FINDINGS}
    lines = ["| judged by | prompts | " + " | ".join(f"{n} anchors" for n in SIZES) + " |", "| --- " * 7 + "|"]
    for name, encode in encoders().items():
        sides = {side: encode(some) for side, some in texts.items()}
        for named in PROMPTS:
            asked = sk.read_prompts(named)
            rows = sk.Embeddings(encode(asked.texts), asked.texts, sk.Space.of_array(sides[""].shape[1]))
            prompts = sk.embed_prompts(rows, asked)
            for words in (False, True) if name == "demo:text" else (False,):
                found = [rates(sides, texts, prompts, n, draws, words) for n in SIZES]
                cells = " | ".join(", ".join(f"{100 * one:.0f}" for one in three) for three in found)
                lines.append(f"| {'texts' if words else 'vectors, ' + name} | {named} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage_warning", description=__doc__)
    parser.add_argument("--draws", type=int, default=10, help="draws of the anchors for each size (10)")
    print("Silent without a warning, mentioned with one, mentioned by one anchor in ten with one, %\n")
    print(table(parser.parse_args().draws))


if __name__ == "__main__":
    main()
