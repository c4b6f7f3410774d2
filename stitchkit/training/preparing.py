"""From a recipe to the data of a run: pairs to train on and to validate on, and the form of the network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchkit.core.errors import InputError
from stitchkit.core.wording import counted
from stitchkit.encoders.consent import Consent
from stitchkit.runtime.progress import Progress
from stitchkit.storage.atomic_writes import write_text
from stitchkit.training.checkpoints import RUN
from stitchkit.training.network_forms import NetworkForm
from stitchkit.training.network_inputs import inputs_of_pairs, texts_of
from stitchkit.training.pairs import ChosenPairs, TrainingPairs, choose_pairs, number_captions
from stitchkit.training.recipes import Recipe

if TYPE_CHECKING:
    from lightning.fabric import Fabric


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPairs:
    """Pairs to train on and to validate on, and the form of a network that reads them.

    Parameters
    ----------
    train, held
        Pairs to train on and pairs to validate on.
    form
        Form of the network.
    notes
        Notes on the pairs, for the user.
    digest
        Digest of ids, texts, images and what reads them: it differs as soon as a run would.
    """

    train: TrainingPairs
    held: TrainingPairs
    form: NetworkForm
    notes: list[str]
    digest: str

    @classmethod
    def of(
        cls, recipe: Recipe, folder: Path, fabric: Fabric, say: Callable[[str], None], bar: Progress,
        known: str | None, consent: Consent,
    ) -> PreparedPairs:  # fmt: skip
        """Read the pairs, make the tokenizer and put it into ``folder``, pack images.

        Raises
        ------
        InputError
            If the pairs of a stopped run had another digest, which is ``known``; for an encoder of the recipe that
            reads another modality.
        """
        say("reading the pairs")
        chosen = choose_pairs(recipe.pairs, recipe.seed)
        whole = chosen.whole
        sides = inputs_of_pairs(recipe, chosen, fabric, bar, consent)
        digest, captions = _digest(chosen, sides.content), texts_of(whole.texts)
        if known not in (None, digest):
            raise InputError(
                f"the run in {folder} was begun with other pairs: ids, texts, images, splits or encoders of "
                f"{whole.name} have changed since. Restore them, or name another folder."
            )
        if fabric.is_global_zero:
            (folder / RUN).mkdir(parents=True, exist_ok=True)
            for name, text in sides.files.items():
                write_text(folder / name, text)
        fabric.barrier()

        def pairs(rows: np.ndarray, moving: bool) -> TrainingPairs:
            numbers = number_captions([captions[row] for row in rows])
            return TrainingPairs.complete(whole.images.ids[rows], sides.data(rows, moving), numbers)

        train, held = pairs(chosen.train, True), pairs(chosen.held, False)
        notes = [*chosen.notes, *sides.notes]
        say(
            f"{counted(len(train), 'pair')} with {counted(train.distinct, 'distinct caption')}; {len(held)} to "
            f"validate on"
        )
        for note in notes:
            say(f"note: {note}")
        return cls(train=train, held=held, form=sides.form, notes=notes, digest=digest)

    def names(self, folder: Path) -> tuple[str, ...]:
        """Names of the encoders of all modalities in ``folder``."""
        return tuple(f"stitchkit:{folder}#modality={name}" for name in self.train.modalities)


def _digest(chosen: ChosenPairs, content: list[Any]) -> str:
    """Digest of ids, splits and texts, and of ``content``: what reads them, and the images."""
    whole = chosen.whole
    texts = [texts_of(whole.texts), *([texts_of(whole.images)] if whole.images.modality == "text" else [])]
    reader, *images = content
    everything = [reader, whole.images.ids.tolist(), chosen.train.tolist(), chosen.held.tolist(), texts, *images]
    return hashlib.sha256(json.dumps(everything).encode()).hexdigest()
