"""Names in table cells: words for a missing value, and names of one thing in two spellings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

MISSING_WORDS = frozenset(
    {"", "na", "n/a", "#n/a", "#na", "<na>", "n.a.", "nan", "-nan", "1.#qnan", "nat", "none", "null", "nil", "missing"}
    | {"unknown", "unk", "not available", "not known", "?", "??", "???", "-", "--", "---", ".", "1.#ind", "-1.#ind"}
    | {"#ref!", "#value!", "#div/0!", "#name?", "#null!", "#num!"}
)  # folded; what table programs and people write into a cell that has no value

_INVISIBLE = {"Cc", "Cf", "Zl", "Zp"}  # control and format characters, line and paragraph separators
_BLANKS = "\u115f\u1160\u2800\u3164\uffa0"  # letters and symbols that show nothing
_BLANK_MARKS = "\u034f\u17b4\u17b5"  # combining marks that show nothing
_SELECTORS = (("\u180b", "\u180f"), ("\ufe00", "\ufe0f"), ("\U000e0100", "\U000e01ef"))  # of glyph variants
_NUMBER = re.compile(r"([^\W\d_]*[0-9]+)\.0*")  # 7.0 or 7. for 7, P7.0 for P7
_EXPONENT = re.compile(r"([0-9])(?:\.([0-9]+))?e\+?([0-9]{1,2})")  # 1.2e+05 for 120000
_DECIMAL_COMMA = re.compile(r"[^\W\d_]*[0-9]+,00?|[0-9],[0-9]+e\+[0-9]{1,2}")  # 7,0; 7,000 may be seven thousand
_LEADING_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
_ZEROS_OF_WHOLES = re.compile(r"(?<![0-9])(?<![0-9][.,])0+(?=[0-9])")  # 1.05 is not 1.5
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2e3a\u2e3b\ufe58\ufe63\uff0d-"
_AS_HYPHEN = dict.fromkeys(map(ord, _DASHES), "-")
_QUOTES = "'\"`\u2018\u2019\u201c\u201d"
_PUNCTUATION = r"-_.,:;/\|#()[]{}<>=^~«»‹›·・"
_PARTS = f"[{re.escape(_PUNCTUATION)}*+]+"
_LETTERS_FIRST = re.compile(rf"(?<![^\W_])([^\W\d_]+){_PARTS}(?=[0-9])")  # P-7, S1-P-7; not the B-2 of A1B-2
_LETTERS_LAST = re.compile(rf"(?<=[0-9]){_PARTS}(?=[^\W\d_]+$)")  # 7-A; not the 1-A of 1-A2
_PASSES = 5  # at most: without a blank between them, a letter and a mark become one character, to be folded again
_SUFFIX = re.compile(r"\.[0-9]*[a-z][0-9a-z]*$", re.IGNORECASE | re.ASCII)


def is_missing(value: Any) -> bool:
    """True for a cell without a value: blank, NaN, None, or a word for unknown such as ``NA``.

    Examples
    --------
    >>> [is_missing(cell) for cell in ("", " NaN ", "<NA>", "unknown", None, float("nan"), "0", "no finding")]
    [True, True, True, True, True, True, False, False]
    """
    if value is None:
        return True
    text = unicodedata.normalize("NFKC", " ".join(visible_part(str(value)).split()))
    return text.translate(_AS_HYPHEN).casefold() in MISSING_WORDS


def category(value: Any) -> str:
    """A cell as the name of a category; all words for a missing value are one.

    Examples
    --------
    >>> [category(cell) for cell in ("AP", "NA", "unknown", "", float("nan"), 4.0)]
    ['AP', 'missing', 'missing', 'missing', 'missing', '4.0']
    """
    return "missing" if is_missing(value) else str(value)


def visible_part(text: str) -> str:
    """``text`` without control characters, zero-width characters and other characters that show nothing.

    Tabs and line ends stay as spaces, since they part words.

    Examples
    --------
    >>> visible_part("no\\u200b effusion\\n")
    'no effusion '
    """
    if text.isascii() and text.isprintable():
        return text
    spaced = (" " if one in "\t\n\r\v\f\u0085\u2028\u2029" else one for one in text)
    return "".join(one for one in spaced if not _shows_nothing(one))


def folded_key(key: str) -> str:
    """Fold the spelling of a key; two keys that fold to the same probably name one thing.

    Folded away are Unicode compatibility forms, case, white space, invisible characters, leading zeros of every whole
    number, and what a spreadsheet makes of a whole number (``7.0``, ``7,0``, ``1.2E+05``). Kinds of dashes are one, and
    digits of every script are those of ASCII. Quotes and punctuation are left out at both ends, except a sign or a
    decimal point in front of a digit, after letters that stand alone before a digit (``P-7``), and before letters that
    end the key after a digit (``7-A``). Elsewhere they stay: ``1-23`` and ``12-3`` are two.

    Examples
    --------
    >>> folded_key("00007"), folded_key("7.0"), folded_key("P 007"), folded_key("\\u200b\\uff17")
    ('7', '7', 'p7', '7')
    >>> folded_key("P-7"), folded_key("(7)"), folded_key("7,0"), folded_key("1-23")
    ('p7', '7', '7', '1-23')
    """
    text = str(key)
    for _ in range(_PASSES):
        text, before = _fold(text), text
        if text == before or text.isascii():
            break
    return text


def folded_spelling(key: str) -> str:
    """:func:`folded_key` with the punctuation that is in the key.

    Examples
    --------
    >>> folded_spelling("P-007"), folded_spelling("'7.0")
    ('p-7', '7')
    """
    return _LEADING_ZEROS.sub("", _plain_number(_plain(key).strip(_QUOTES)))


def folded_path(name: str) -> str:
    r"""An item's id without regard to spelling; Windows writes the same path with other separators.

    The punctuation of paths and of names with a suffix stays: ``img_1.png`` and ``img1.png`` can lie in one folder.

    Examples
    --------
    >>> folded_path(r"Films\07.PNG"), folded_path("./films/7.png"), folded_path("007"), folded_path("scan-07")
    ('films/7.png', 'films/7.png', '7', 'scan7')
    """
    path = plain_path(name)
    return folded_spelling(path) if "/" in path or _SUFFIX.search(path) else folded_key(path)


def plain_path(name: str) -> str:
    r"""A path with forward slashes, without a leading ``./``.

    Examples
    --------
    >>> plain_path(r".\films\7.png")
    'films/7.png'
    """
    return name.replace("\\", "/").removeprefix("./")


def spelled_alike(one: Iterable[Any], other: Iterable[Any]) -> list[tuple[str, str]]:
    """Keys of two tables that differ in spelling only, as pairs of a key of ``one`` and a key of ``other``.

    Keys are compared by :func:`folded_key`. A constant prefix is left out where every key of one table has it and no
    key of the other (``P7`` and ``7``, ``S1-P7`` and ``P7``); it is never left out on both sides, since ``A12`` and
    ``B12`` may be patients of two sites. Keys that stand in both tables in the same spelling, and words for a missing
    value, are no pairs.

    Examples
    --------
    >>> spelled_alike(["00007", "00012"], ["7", "8"])
    [('00007', '7')]
    >>> spelled_alike(["A12", "A13"], ["B12", "B13"])
    []
    """
    left, right = _spellings_by_fold(one), _spellings_by_fold(other)
    pairs = _meeting(left, right)
    for mine, theirs, swapped in ((left, right, False), (right, left, True)):
        for prefix in constant_prefixes(mine):
            if any(key.startswith(prefix) for key in theirs):
                continue
            bare: dict[str, set[str]] = {}
            for key, names in mine.items():
                bare.setdefault(folded_key(key.removeprefix(prefix)), set()).update(names)
            pairs += [(b, a) if swapped else (a, b) for a, b in _meeting(bare, theirs)]
    return sorted(set(pairs))


def spelled_twice(keys: Iterable[Any]) -> list[tuple[str, str]]:
    """Keys of one table that differ in spelling only, as pairs.

    Examples
    --------
    >>> spelled_twice(["7", "007", "8", "8"])
    [('007', '7')]
    """
    groups = _spellings_by_fold(keys).values()
    return sorted((first, later) for first, *rest in map(sorted, groups) for later in rest)


def _shows_nothing(character: str) -> bool:
    kind = unicodedata.category(character)
    if kind in _INVISIBLE or character in _BLANKS or character in _BLANK_MARKS:
        return True
    code = ord(character)  # the last two code points of a plane, and 32 more, are no characters
    return any(first <= character <= last for first, last in _SELECTORS) or (
        kind == "Cn" and (code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF)
    )


def _fold(key: str) -> str:
    text = _without_ends(_plain(key))
    if _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    text = _LETTERS_LAST.sub("", _LETTERS_FIRST.sub(r"\1", text))
    return _ZEROS_OF_WHOLES.sub("", _plain_number(_ZEROS_OF_WHOLES.sub("", text)))


def _plain(key: str) -> str:
    """A key in one form of Unicode, case, dashes and digits, without white space and what shows nothing."""
    text = unicodedata.normalize("NFKC", visible_part(unicodedata.normalize("NFKC", str(key)))).casefold()
    return "".join("-" if one in _DASHES else _digit(one) for one in text if not one.isspace())


def _plain_number(text: str) -> str:
    """A whole number that a spreadsheet wrote with a fraction or an exponent as its digits; other text unchanged."""
    if whole := _NUMBER.fullmatch(text):
        return whole[1]
    exponent = _EXPONENT.fullmatch(text)
    return _written_out(text, *exponent.groups(default="")) if exponent else text


def _without_ends(text: str) -> str:
    """A key without quotes and punctuation around it, unless it is nothing else."""
    bare = text.strip(_QUOTES + _PUNCTUATION)
    before = text[: text.index(bare)][-1:]
    return f"{before}{bare}" if before in ("-", ".", ",") and "0" <= bare[:1] <= "9" else bare or text


def _digit(character: str) -> str:
    """A decimal digit of any script as that of ASCII; another character unchanged."""
    value = unicodedata.decimal(character, None)
    return character if value is None else str(value)


def _written_out(text: str, whole: str, fraction: str, exponent: str) -> str:
    """``1.2e+05`` as ``120000``; a number that is not whole, and an exponent without its sign, stay."""
    places = int(exponent)
    if "+" not in text or len(fraction) > places:
        return text
    return whole + fraction + "0" * (places - len(fraction))


def _spellings_by_fold(keys: Iterable[Any]) -> dict[str, set[str]]:
    """Folded key -> the spellings that occur; words for a missing value are left out."""
    spellings: dict[str, set[str]] = {}
    for key in {str(one) for one in keys}:
        if not is_missing(key):
            spellings.setdefault(folded_key(key), set()).add(key)
    return spellings


def _meeting(left: dict[str, set[str]], right: dict[str, set[str]]) -> list[tuple[str, str]]:
    return [(a, b) for key in left.keys() & right.keys() for a in left[key] for b in right[key]
            if a not in right[key] and b not in left[key]]  # fmt: skip


def constant_prefixes(keys: Iterable[str]) -> list[str]:
    """Prefixes that all keys share and that end before a word or a number; none where a key is nothing more.

    The longest may end within a word where every rest holds a digit.

    Examples
    --------
    >>> constant_prefixes(["s1-p12", "s1-p13"]), constant_prefixes(["12", "13"])
    (['s', 's1-', 's1-p'], [])
    """
    names = sorted(keys)
    if not names:
        return []
    first, last = names[0], names[-1]
    common = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    most = min(common, min(map(len, names)) - 1)
    longest = len(first[:most].rstrip("0123456789"))
    return [
        first[:end]
        for end in range(1, longest + 1)
        if (end == longest and all(any(map(str.isdigit, name[end:])) for name in names))
        or all(_is_boundary(name[end - 1], name[end]) for name in names)
    ]


def _is_boundary(before: str, after: str) -> bool:
    """True where a word or a number begins after something else that is no number."""
    return not before.isdigit() and after.isalnum() and not (before.isalpha() and after.isalpha())
