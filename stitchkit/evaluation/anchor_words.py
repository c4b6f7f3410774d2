"""What the anchors' texts say of the classes that prompts name: a plain count of words, no reading.

A text says a class if one of its sentences holds all the own words of one of the class's positive prompts. A prompt's
own words are those left when small words, and words that the positives of another class use as well, are taken out.
It denies the class if all such sentences hold a denying word: ``no``, ``without``, ``free``, ``clear of``,
``negative``, ``nor`` or ``neither`` before the last of the own words, or ``not``, ``never``, ``absent``, ``absence`` or
``resolved`` anywhere. Sentences also end at ``but``, ``however`` and ``although``. Synonyms are not known, a plural s
is ignored, what may be counts as said, and the small and denying words are English.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
class ClassWords:
    """What the anchors' texts say of one class.

    Parameters
    ----------
    name
        Of the class.
    said
        Texts that say it; None if its prompts have no word of their own, so that nothing can be counted.
    denied
        Texts that name it in denying sentences only.
    unseen
        Own words of its positive prompts that are in no text, sorted.
    """

    name: str
    said: int | None
    denied: int
    unseen: tuple[str, ...]


def class_words(texts: Sequence[str], prompts: PromptSet) -> tuple[ClassWords, ...]:
    """What ``texts`` say of each class of ``prompts``, in the prompts' order.

    Parameters
    ----------
    texts : n texts
        Of the anchors.
    prompts
        The prompt set that will name the classes.

    Examples
    --------
    >>> prompts = PromptSet("two", {"Edema": ("There is edema.",), "Mass": ("There is a lung mass.",)})
    >>> for one in class_words(["Mild edema.", "No edema or effusion.", "No effusion but edema."], prompts):
    ...     print(one.name, one.said, one.denied, one.unseen)
    Edema 2 1 ()
    Mass 0 0 ('lung', 'mass')
    """
    counted = Counter(texts)
    read = [(times, _sentences(text)) for text, times in counted.items()]
    vocabulary = {word for _, sentences in read for words in sentences for word in words}
    return tuple(_judged(name, own, read, vocabulary) for name, own in _own_words(prompts).items())


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
    found = {name: [set(words_of(text)) - SMALL for text in texts] for name, texts in prompts.positive.items()}
    users = Counter(word for sets in found.values() for word in set().union(*sets))
    return {
        name: [own for one in sets if (own := frozenset(word for word in one if users[word] == 1))]
        for name, sets in found.items()
    }


def _judged(
    name: str, own: list[frozenset[str]], read: Iterable[tuple[int, list[list[str]]]], vocabulary: set[str]
) -> ClassWords:
    if not own:
        return ClassWords(name, None, 0, ())
    said = denied = 0
    for times, sentences in read:
        verdicts = [_denied(words, wanted) for words in sentences for wanted in own if wanted <= set(words)]
        said += times * (not all(verdicts))
        denied += times * (bool(verdicts) and all(verdicts))
    return ClassWords(name, said, denied, tuple(sorted(set().union(*own) - vocabulary)))


def _denied(words: list[str], wanted: frozenset[str]) -> bool:
    """Whether a sentence that holds the wanted words denies them."""
    last = max(at for at, word in enumerate(words) if word in wanted)
    return bool(ANYWHERE.intersection(words)) or bool(BEFORE.intersection(words[:last]))
