"""Mentions in the anchors' texts of the classes that prompts name: a plain count of words, no reading.

A text says a class if one of its sentences holds all the own words of one of the class's positive prompts. A prompt's
own words are those left when small and denying words, and words that the positives of another class use as well, are
taken out.
It denies the class if all such sentences hold a denying word: ``no``, ``without``, ``free``, ``clear of``,
``negative``, ``nor`` or ``neither`` before the last of the own words, or ``not``, ``never``, ``absent``, ``absence`` or
``resolved`` anywhere. Sentences also end at ``but``, ``however`` and ``although``. Synonyms are not known, a plural s
is ignored, what may be counts as said, and the small and denying words are English.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stitchkit.core.prompts import PromptSet

BEFORE = frozenset(("no", "without", "free", "negative", "nor", "neither"))
ANYWHERE = frozenset(("not", "never", "absent", "absence", "resolved"))
_SENTENCES = re.compile(r"[.;:!?\n]+|\b(?:but|however|although)\b")
_WORD = re.compile(r"[^\W\d_]{2,}")
SMALL = frozenset(
    _WORD.findall(
        "an and any are as at be been by can consistent evidence finding for from has have in into is it its may noted "
        "of on one or present see seen show showing shown some suggesting that the there these this to was were which "
        "with within"
    )
)


@dataclass(frozen=True, slots=True)
class ClassMentions:
    """Mentions of one class in the anchors' texts.

    Parameters
    ----------
    name
        Name of the class.
    mentions
        Texts that say it; None if its prompts have no word of their own, so that nothing can be counted.
    denied
        Texts that name it in denying sentences only.
    unseen
        Own words of its positive prompts that are in no text, sorted.
    """

    name: str
    mentions: int | None
    denied: int
    unseen: tuple[str, ...]


def count_mentions(texts: Sequence[str], prompts: PromptSet) -> tuple[ClassMentions, ...]:
    """Mentions in ``texts`` of each class of ``prompts``, in the prompts' order.

    Parameters
    ----------
    texts : n texts
        Texts of the anchors.
    prompts
        The prompt set that will name the classes.

    Examples
    --------
    >>> prompts = PromptSet("two", {"Edema": ("There is edema.",), "Mass": ("There is a lung mass.",)})
    >>> for one in count_mentions(["Mild edema.", "No edema or effusion.", "No effusion but edema."], prompts):
    ...     print(one.name, one.mentions, one.denied, one.unseen)
    Edema 2 1 ()
    Mass 0 0 ('lung', 'mass')
    """
    counted, own = Counter(texts), _own_words(prompts)
    read = [_sentences(text) for text in counted]
    times = np.fromiter(counted.values(), dtype=np.int64, count=len(counted))
    vocabulary = {word for sentences in read for words in sentences for word in words}
    judged = []
    for (name, wanted), signs in zip(own.items(), _signs(read, own).T, strict=True):
        unseen = tuple(sorted(set().union(*wanted) - vocabulary))
        affirmed, denied = (int(times[signs == sign].sum()) for sign in (1, -1))
        judged.append(ClassMentions(name, affirmed if wanted else None, denied, unseen))
    return tuple(judged)


def mentions(texts: Sequence[str], prompts: PromptSet) -> np.ndarray:
    """1 where a text says a class, -1 where it denies it, 0 where it does neither: (n, c) float64.

    Parameters
    ----------
    texts : n texts
    prompts
        The prompt set that names the c classes.

    Returns
    -------
    (n, c) float64
        NaN for a class whose prompts have no word of their own, so that nothing can be counted.

    Examples
    --------
    >>> prompts = PromptSet("two", {"Edema": ("There is edema.",), "Mass": ("There is a lung mass.",)})
    >>> mentions(["Mild edema.", "No edema or effusion."], prompts).tolist()
    [[1.0, 0.0], [-1.0, 0.0]]
    """
    row = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    signs = _signs([_sentences(text) for text in row], _own_words(prompts))
    return signs[[row[text] for text in texts]]


def _signs(read: Sequence[list[list[str]]], own: Mapping[str, Sequence[frozenset[str]]]) -> np.ndarray:
    """:func:`mentions` (n, c) of n texts as sentences of words, by the own words of c classes."""
    signs = np.full((len(read), len(own)), np.nan)
    for c, wanted in enumerate(own.values()):
        if wanted:
            signs[:, c] = [_sign(sentences, wanted) for sentences in read]
    return signs


def _sentences(text: str) -> list[list[str]]:
    """The words of each sentence."""
    small = text.casefold().replace("clear of", "free of")
    return [words_of(part) for part in _SENTENCES.split(small)]


def words_of(text: str) -> list[str]:
    """The words of a text in small letters, in order, without a plural s.

    Examples
    --------
    >>> words_of("Bibasilar opacities, 2 nodules; X-ray of the pelvis")
    ['bibasilar', 'opacity', 'nodule', 'ray', 'of', 'the', 'pelvis']
    """
    return [_singular(word) for word in _WORD.findall(text.casefold())]


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _own_words(prompts: PromptSet) -> dict[str, list[frozenset[str]]]:
    """Of each class, the own words of each of its positive prompts that has any."""
    never = SMALL | BEFORE | ANYWHERE  # the "free" of "free air" is in every "free of infiltrates"
    words = {name: [set(words_of(text)) - never for text in texts] for name, texts in prompts.positive.items()}
    users = Counter(word for sets in words.values() for word in set().union(*sets))
    return {
        name: [own for one in sets if (own := frozenset(word for word in one if users[word] == 1))]
        for name, sets in words.items()
    }


def _sign(sentences: Sequence[list[str]], own: Sequence[frozenset[str]]) -> int:
    """1 if the sentences of a text say the class of these own words, -1 if they deny it, else 0."""
    verdicts = [_is_denied(words, wanted) for words in sentences for wanted in own if wanted <= set(words)]
    return 0 if not verdicts else -1 if all(verdicts) else 1


def _is_denied(words: list[str], wanted: frozenset[str]) -> bool:
    """True if a sentence that holds the wanted words denies them."""
    last = max(at for at, word in enumerate(words) if word in wanted)
    return bool(ANYWHERE.intersection(words)) or bool(BEFORE.intersection(words[:last]))
