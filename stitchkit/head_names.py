"""Names of heads: ``own``, ``none``, ``prompts:NAME``, ``python:FILE:NAME``, ``identity:CLASSES`` or a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError
from stitchkit.core.heads import LinearHead
from stitchkit.core.prompts import PromptSet
from stitchkit.core.roles import Encoder, HasClassifier, check_text
from stitchkit.core.space import Space
from stitchkit.core.wording import setting
from stitchkit.datasets.prompt_sets import read_prompts
from stitchkit.storage.heads import load_head

OWN, NONE, PROMPTS, PYTHON, IDENTITY = "own", "none", "prompts:", "python:", "identity:"


@dataclass(frozen=True, slots=True)
class HeadChoice:
    """The head that a stitched model shall get, with all that can be read before an encoder is loaded.

    Parameters
    ----------
    name
        ``own``, ``none``, ``prompts:NAME``, ``python:FILE:NAME``, ``identity:CLASS,CLASS,...``, a folder, or None for
        the target's own head if it has one and reads images.
    prompts
        Prompts that name the classes, where ``name`` is of prompts.
    probe
        The saved head, where ``name`` is a folder.
    outputs
        Classes whose scores the target's vectors are, where ``name`` is of the identity.

    Examples
    --------
    >>> choice = HeadChoice.of("prompts:view")
    >>> choice.prompts.classes, choice.is_linear, HeadChoice.of("own").is_linear
    (('AP', 'PA'), False, True)
    """

    name: str | None = None
    prompts: PromptSet | None = None
    probe: LinearHead | None = None
    outputs: tuple[str, ...] | None = None

    @classmethod
    def of(cls, name: str | None, reader: Callable[[str], PromptSet] = read_prompts) -> HeadChoice:
        """The choice, its prompts or its folder read.

        Parameters
        ----------
        reader
            Reader of a prompt set by its name or file.

        Raises
        ------
        InputError
            If ``name`` is neither a word for a head nor a folder.
        """
        if name is None or name in (OWN, NONE) or name.startswith(PYTHON):
            return cls(name)
        if name.startswith(PROMPTS):
            return cls(name, prompts=reader(name.removeprefix(PROMPTS)))
        if name.startswith(IDENTITY):
            classes = tuple(one.strip() for one in name.removeprefix(IDENTITY).split(","))
            if not all(classes) or len(set(classes)) < len(classes):
                raise InputError(setting("head", name) + " names no classes, or one twice. Write identity:one,two,...")
            return cls(name, outputs=classes)
        if not Path(name).is_dir():
            raise InputError(
                setting("head", name)
                + f" is no folder. Give {OWN}, {NONE}, {PROMPTS}NAME, {PYTHON}FILE:NAME, {IDENTITY}CLASSES, or the "
                + "folder of a saved probe."
            )
        return cls(name, probe=load_head(name))

    @classmethod
    def of_prompts(cls, prompts: PromptSet) -> HeadChoice:
        """The zero-shot head whose classes these prompts name."""
        return cls(PROMPTS + prompts.name, prompts=prompts)

    @classmethod
    def of_linear(cls, name: str, *, encoder: bool = True) -> HeadChoice:
        """The choice of a linear head, its folder read.

        Parameters
        ----------
        encoder
            False where the target is known by its vectors alone, so that no encoder gives a head.

        Raises
        ------
        InputError
            If ``name`` is of no linear head, or of one that only a target encoder gives.
        """
        named = cls(name)
        if not named.is_linear:
            raise InputError(
                setting("head", name)
                + f" drives no head. Give the folder of a saved probe, {OWN} or {PYTHON}FILE:NAME."
            )
        if named.is_of_encoder and not encoder:
            raise InputError(
                setting("head", name)
                + " belongs to a target encoder; the target is a file of embeddings. Give the folder of a saved probe, "
                "or name the encoder and " + setting("anchors", text="anchors") + "."
            )
        return cls.of(name)

    @property
    def is_linear(self) -> bool:
        """True for the name of a linear head, which the map has to drive."""
        return self.name is not None and self.name != NONE and not self.name.startswith(PROMPTS)

    @property
    def is_of_encoder(self) -> bool:
        """True for a linear head that is read with the target encoder, and is in no folder."""
        return self.name is not None and (self.name == OWN or self.name.startswith(PYTHON))

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Classes of the head, where they are known before an encoder is loaded."""
        known = self.prompts or self.probe
        return self.outputs if known is None else known.classes

    def linear(self, target: Encoder | Embeddings) -> tuple[LinearHead | None, str]:
        """The linear head over the target's vectors, if one is to be had, and a note where one is not.

        Of a target that is known by its vectors alone, no encoder reads prompts or gives a head.

        Raises
        ------
        InputError
            If a head is named that the target does not have, or prompts are, which it cannot read.
        SpaceMismatchError
            If a saved head is over another encoder's vectors.
        """
        if self.probe is not None and self.name is not None:
            return _over(self.probe, target.space, self.name), ""
        if self.outputs is not None:
            return _identity(self.outputs, target.space), ""
        if isinstance(target, Embeddings):
            return self._beside_vectors(target)
        if self.prompts is not None:
            check_text(target)
        if self.prompts is not None or self.name == NONE or (self.name is None and target.modality != "image"):
            return None, ""
        try:
            return head_called(self.name or OWN, target), ""
        except InputError as error:
            if self.name is not None:
                raise
            return None, "no head: " + error.message

    def _beside_vectors(self, target: Embeddings) -> tuple[LinearHead | None, str]:
        """The head over vectors of a target without its encoder."""
        if self.name is None:
            return None, "no head: the target is known by its vectors alone. If they are scores of classes, name these"
        if self.name.startswith(PYTHON):
            from stitchkit.encoders.python_head import load_python_head

            return load_python_head(self.name, target.space), ""
        if self.name == NONE:
            return None, ""
        raise InputError(
            setting("head", self.name)
            + f" needs the target encoder, and the target is a file of vectors. Give {IDENTITY}CLASSES if they are "
            f"scores of classes, {PYTHON}FILE:NAME, the folder of a saved probe, or {NONE}."
        )


def head_called(name: str, target: Encoder) -> LinearHead:
    """The linear head over the target's vectors that ``name`` means.

    Parameters
    ----------
    name
        ``own`` (the target checkpoint's classifier), ``python:FILE:NAME``, or the folder of a saved head.

    Raises
    ------
    InputError
        If there is no such head.
    SpaceMismatchError
        If a saved head is over another encoder's vectors.
    """
    if name == OWN:
        if isinstance(target, HasClassifier):
            return target.classifier()
        raise InputError(
            f"encoder {target.name!r} has no classifier. Name the folder of a saved probe, or {PYTHON}FILE:NAME."
        )
    if name.startswith(PYTHON):
        from stitchkit.encoders.python_head import load_python_head

        return load_python_head(name, target.space)
    if not Path(name).is_dir():
        raise InputError(
            f"there is no folder {name}. A head is {OWN}, the folder of a saved probe, or {PYTHON}FILE:NAME."
        )
    return _over(load_head(name), target.space, name)


def _over(head: LinearHead, space: Space, name: str) -> LinearHead:
    """``head``, if it is over vectors of ``space``."""
    head.space.require(space, f"the head in {name}")
    return head


def _identity(classes: tuple[str, ...], space: Space) -> LinearHead:
    """The head of a target whose vectors are scores of ``classes``."""
    if space.dim != len(classes):
        raise InputError(
            f"the target's vectors have {space.dim} columns, and {len(classes)} classes are named. Name one a column."
        )
    return LinearHead(space, classes, np.eye(space.dim), np.zeros(space.dim))
