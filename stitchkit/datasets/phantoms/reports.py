"""A phantom's report: several sentences, several wordings of each fact, negations, and honest errors."""

from typing import Literal

import numpy as np

from stitchkit.datasets.phantoms.facts import FINDINGS, Phantom
from stitchkit.datasets.phantoms.wordings import UNSEEN, USUAL, Wording

__all__ = ["phantom_prompts", "reported_findings", "write_caption", "write_report"]

_BANKS: dict[str, Wording] = {"usual": USUAL, "unseen": UNSEEN}
_NEGATIVE_MENTIONED = 0.45  # chance that the report rules out a finding by name
_NORMAL = 0.25  # chance that a film without findings gets only the summary sentence


def reported_findings(phantom: Phantom, *, seed: int, noise: float = 0.0) -> tuple[bool, ...]:
    """Findings that the report mentions: the truth, each flipped with probability ``noise`` (0 .. 1)."""
    flips = _rng(phantom, seed, 1).random(len(FINDINGS)) < noise
    return tuple((grade > 0) != bool(flip) for grade, flip in zip(phantom.severities, flips, strict=True))


def write_report(
    phantom: Phantom,
    *,
    seed: int,
    wording: Literal["usual", "unseen"] = "usual",
    noise: float = 0.0,
    silent: tuple[str, ...] = (),
) -> str:
    """The report of a phantom: present findings with grade, side and zone; some of the absent ones ruled out.

    Parameters
    ----------
    phantom
        The facts.
    seed
        Chooses wordings, order and errors.
    wording
        ``"usual"``, or ``"unseen"``, which shares no sentence with it.
    noise
        Chance that a finding is misreported, in [0, 1].
    silent
        Findings that are never mentioned, present or absent.

    Examples
    --------
    >>> from stitchkit.datasets.phantoms import draw_phantoms
    >>> write_report(draw_phantoms(1, seed=3)[0], seed=0).count(".") > 1
    True
    """
    unknown = sorted(set(silent) - set(FINDINGS))
    if unknown:
        raise ValueError(f"cannot be silent about {unknown[0]!r}; the phantoms have {', '.join(FINDINGS)}")
    bank, rng = _BANKS[wording], _rng(phantom, seed, 2)
    mentioned = reported_findings(phantom, seed=seed, noise=noise)
    positive, negative = [], []
    for index, finding in enumerate(FINDINGS):
        sentences = _present(phantom, index, bank, rng), _pick(rng, bank.absent[finding])
        mention = rng.random() < _NEGATIVE_MENTIONED
        if finding in silent:
            continue
        if mentioned[index]:
            positive.append(sentences[0])
        elif mention:
            negative.append(sentences[1])
    opening, closing = _frame(phantom, bank, rng)
    if not positive and rng.random() < _NORMAL:
        return " ".join([*opening, _pick(rng, bank.normal)])
    body = positive + negative
    order = rng.permutation(len(body))
    ending = [] if positive else [_pick(rng, bank.normal)]
    return " ".join([*opening, *(body[i] for i in order), *closing, *ending])


def write_caption(phantom: Phantom, *, seed: int, wording: Literal["usual", "unseen"] = "usual") -> str:
    """One sentence for each finding of a phantom, with grade, side and zone, or the sentence of a normal chest.

    Examples
    --------
    >>> from stitchkit.datasets.phantoms import draw_phantoms
    >>> bare = draw_phantoms(1, seed=3)[0].with_severity(**dict.fromkeys(FINDINGS, 0.0))
    >>> write_caption(bare, seed=0) in USUAL.normal
    True
    """
    bank, rng = _BANKS[wording], _rng(phantom, seed, 3)
    present = [_present(phantom, i, bank, rng) for i, grade in enumerate(phantom.severities) if grade > 0]
    return " ".join(present) if present else _pick(rng, bank.normal)


def phantom_prompts(wording: Literal["usual", "unseen"] = "usual") -> dict[str, dict[str, tuple[str, ...]]]:
    """Per finding ``positive`` and ``negative`` sentences, without grade, side or zone."""
    bank = _BANKS[wording]
    return {
        finding: {
            "positive": tuple(
                dict.fromkeys(_tidy(one.format(grade="", side="", zone="")) for one in bank.present[finding])
            ),
            "negative": bank.absent[finding],
        }
        for finding in FINDINGS
    }


def _rng(phantom: Phantom, seed: int, part: int) -> np.random.Generator:
    return np.random.default_rng([phantom.seed, seed, part])


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _present(phantom: Phantom, index: int, bank: Wording, rng: np.random.Generator) -> str:
    """One sentence that says a finding is there. A finding reported by error is called mild."""
    finding, severity = FINDINGS[index], phantom.severities[index]
    grades = bank.grades[0 if severity < 0.35 else 1 if severity < 0.65 else 2]
    grade = _pick(rng, grades) if rng.random() < 0.75 else ""
    side = bank.sides[phantom.sides[index]]
    _, down = phantom.places[index]
    zone = bank.zones[0 if down < 0.40 else 1 if down < 0.62 else 2]
    return _tidy(_pick(rng, bank.present[finding]).format(grade=grade, side=side, zone=zone))


def _tidy(sentence: str) -> str:
    """One space between words, the article that fits, a capital in front."""
    words = sentence.split()
    for place, word in enumerate(words[:-1]):
        if word.lower() == "a" and words[place + 1][0] in "aeiou":
            words[place] = word + "n"
    line = " ".join(words).replace(" .", ".").replace(" ,", ",").replace(",,", ",").replace(",.", ".")
    return line[:1].upper() + line[1:]


def _frame(phantom: Phantom, bank: Wording, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Sentences about the view, the patient and the rest of the chest."""
    opening, closing = [], []
    view, sex, rest = _pick(rng, bank.views[phantom.view]), _pick(rng, bank.sexes[phantom.sex]), _pick(rng, bank.rest)
    if rng.random() < 0.7:
        opening.append(view)
    if rng.random() < 0.5:
        opening.append(sex)
    if rng.random() < 0.5:
        closing.append(rest)
    return opening, closing
