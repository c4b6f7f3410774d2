"""A tokenizer made of the captions themselves: byte-pair encoding, lower case."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stitchkit.core.errors import DataError, InputError
from stitchkit.encoders.tokenizer_files import read_tokenizer
from stitchkit.storage.path_checks import checked_path

PAD, START, END = "[PAD]", "[START]", "[END]"
STARTS = (START, "<|startoftext|>", "<s>", "[CLS]")  # names in other tokenizers
LEAST = 5  # patients who share a word that is kept: a name of few would travel with the tokenizer
_WORD = re.compile(r"\w+")
ENDS = (END, "<|endoftext|>", "</s>", "[SEP]")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer as text, with its numbers that the network needs.

    Parameters
    ----------
    text
        Content of ``tokenizer.json``.
    size
        Number of entries.
    start, end
        Ids of the tokens that begin and end a text.
    """

    text: str
    size: int
    start: int
    end: int

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @classmethod
    def of_captions(cls, captions: Sequence[str], size: int, patients: Sequence[str] | None = None) -> Vocabulary:
        """Byte-pair encoding with at most ``size`` entries, of words that several patients share.

        The tokenizer goes into the encoder's folder, and must not carry the names that reports mention.

        Parameters
        ----------
        captions : (n,)
            Texts to make it of.
        size
            Largest number of entries.
        patients : (n,), optional
            Patients of the captions. Default: None, each distinct caption counts as one
        """
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=[PAD, START, END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(shared_words(captions, captions if patients is None else patients), trainer)
        return cls.read(tokenizer.to_str(), "the tokenizer of the captions")

    @classmethod
    def of_folder(cls, folder: str) -> Vocabulary:
        """The ``tokenizer.json`` of a checkpoint, such as CLIP's.

        Raises
        ------
        InputError
            If there is none, or it has no start and end token.
        DataError
            If it cannot be read.
        """
        path = checked_path(Path(os.path.expanduser(folder)) / "tokenizer.json", InputError)
        if not path.is_file():
            raise InputError(f"there is no {path}. Name a folder with a tokenizer.json, or leave 'tokenizer' out.")
        try:
            text = path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read: {error}. Copy it again from its source.") from error
        return cls.read(text, str(path))

    @classmethod
    def read(cls, text: str, label: str) -> Vocabulary:
        """The vocabulary of a tokenizer's own text; ``label`` names it in errors.

        Raises
        ------
        InputError
            If it has no start and end token that are known.
        DataError
            If it is no tokenizer.
        """
        try:
            tokenizer = read_tokenizer(text.encode("utf-8"))
        except ValueError as error:
            raise DataError(
                f"{label} cannot be read as a tokenizer: {error}. Copy it again from its source."
            ) from error
        start, end = (
            next((at for one in names if (at := tokenizer.token_to_id(one)) is not None), None)
            for names in (STARTS, ENDS)
        )
        if start is None or end is None:
            raise InputError(f"{label} has no start and end token that are known ({', '.join(STARTS + ENDS)}).")
        return cls(text, tokenizer.get_vocab_size(), start, end)


def shared_words(captions: Sequence[str], patients: Sequence[str], least: int = LEAST) -> list[str]:
    """The distinct captions without the words that fewer than ``least`` patients have.

    Parameters
    ----------
    captions, patients : (n,)
        Texts and their patients.
    least
        Smallest number of patients who share a word that is kept. Default: 5

    Examples
    --------
    >>> shared_words(["Mr Doe: edema.", "Edema."], ["1", "2"], least=2)
    [' : edema.', 'edema.']
    """
    patients_of: dict[str, set[str]] = {}
    plain = [unicodedata.normalize("NFKC", one).lower() for one in captions]
    for caption, patient in zip(plain, patients, strict=True):
        for word in set(_WORD.findall(caption)):
            patients_of.setdefault(word, set()).add(patient)
    kept = {word for word, those in patients_of.items() if len(those) >= least}
    return sorted({_WORD.sub(lambda match: match[0] if match[0] in kept else "", one) for one in plain})
