"""The role of a loss: all that the training loop, validation and checkpoints know of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from stitchkit.core.errors import InputError
from stitchkit.core.wording import counted
from stitchkit.encoders.pair_network import Batch, ImageInput, Input, PairNetwork, PairShape, TextInput
from stitchkit.training.objectives import ObjectiveSettings
from stitchkit.training.objectives.draws import RowDraws

Outputs = Mapping[str, tuple[Tensor, ...]]  # modality -> tensors (m, ...) of m rows, as `Objective.outputs` gives them
KINDS: dict[type[Input], str] = {ImageInput: "images", TextInput: "texts"}  # of modalities that objectives ask for


def join_outputs(chunks: Sequence[Outputs]) -> dict[str, tuple[Tensor, ...]]:
    """Outputs of the rows of all chunks, in order."""
    return {
        name: tuple(torch.cat(tensors) for tensors in zip(*(chunk[name] for chunk in chunks), strict=True))
        for name in chunks[0]
    }


def modalities_of(kind: type[Input], shape: PairShape, name: str, use: str) -> list[str]:
    """Names of the modalities of one kind, at least one.

    Parameters
    ----------
    kind
        Type of the inputs: images or texts.
    shape
        Form of the network.
    name
        Name of the objective.
    use
        Use that the objective makes of them, for the message: a verb and its object.

    Raises
    ------
    InputError
        If there is none, naming the modalities.
    """
    names = [one for one, inputs in shape.inputs.items() if isinstance(inputs, kind)]
    if not names:
        raise InputError(
            f"the objective {name!r} {use}, and there are no {KINDS[kind]}: {', '.join(shape.inputs)}. Give it pairs "
            f"with {KINDS[kind]}, or take another objective."
        )
    return names


@dataclass(frozen=True, slots=True, eq=False)
class BatchFacts:
    """Facts about the rows of a whole batch, over all chunks and processes.

    Parameters
    ----------
    captions : (b,) int
        Number of each row's caption; equal captions have equal numbers.
    present : modality -> (b,) bool
        True where the row has an item of the modality. Where it has none, the outputs are of a placeholder.
    """

    captions: Tensor
    present: Mapping[str, Tensor]


def check_pairs(name: str, present: Mapping[str, np.ndarray]) -> None:
    """Raise unless there are two modalities and each row has both.

    Parameters
    ----------
    name
        Name of the objective.
    present : modality -> (n,) bool
        As in :meth:`Objective.check`.
    """
    if len(present) != 2:
        raise InputError(
            f"the objective {name!r} contrasts two modalities, and the data have {len(present)}: "
            f"{', '.join(present)}. Give it pairs."
        )
    for modality, rows in present.items():
        if missing := int(np.sum(~rows)):
            raise InputError(
                f"the objective {name!r} needs both modalities of every pair, and "
                f"{counted(missing, 'pair has', 'pairs have')} no {modality!r}. Leave those pairs out."
            )


class Objective(nn.Module, ABC):
    """A loss with its own settings, and perhaps parameters that are learnt with the network.

    The loop makes it after the network, from one seed; moves it to the device; lets the optimizer learn its parameters
    (matrices are decayed, vectors and numbers are not); and keeps its ``state_dict()`` in the run's state, not in the
    encoder's folder. For each batch it calls :meth:`outputs` for each chunk and modality, joins the outputs of all
    chunks and processes in the order of the rows, and calls :meth:`loss` with them. The gradient is that of the whole
    batch, whatever the chunks and processes, on two conditions:

    - :meth:`outputs` gives the same tensors when it is called again for a chunk: it is, where there are several. What
      is random comes from its ``draws``, which belong to the rows.
    - Parameters of the objective are used in :meth:`loss` alone. Each process works out the loss of the whole batch, so
      their gradient is whole on each, and is not added up as the network's is.

    Parameters
    ----------
    settings
        Value of :attr:`Settings`.
    shape
        Form of the network, for heads that need its widths.
    """

    Settings: ClassVar[type[ObjectiveSettings]]  # record of the keys that a recipe's [objective] may state
    tokens_of: Collection[str] = ()  # modalities whose tokens the loss reads

    @abstractmethod
    def __init__(self, settings: Any, shape: PairShape) -> None:
        super().__init__()
        self.settings = settings

    def check(self, present: Mapping[str, np.ndarray]) -> None:
        """Raise unless the loss is defined for such data; called before the first step.

        Parameters
        ----------
        present : modality -> (n,) bool
            True where a row has an item of the modality.

        Raises
        ------
        InputError
            Naming the modalities.
        """

    def check_network(self, network: PairNetwork) -> None:
        """Raise unless the network gives what the loss reads; called before the first step.

        Raises
        ------
        InputError
            Naming the modality.
        """
        for modality in self.tokens_of:
            if not network.longest(modality):
                raise InputError(
                    f"the objective {self.settings.name!r} reads tokens, and the encoder of {modality!r} gives none as "
                    f"wide as its vectors. Take one that does, such as a transformer whose vector is one of its tokens "
                    f"or their mean without a projection, or an objective of whole items, such as 'clip'."
                )

    def frozen_parts(self, network: PairNetwork) -> Collection[str]:
        """Names of modules and parameters of the network that are not trained; none by default.

        Their state, running statistics included, is compared before and after the run.
        """
        return ()

    def outputs(self, network: PairNetwork, modality: str, inputs: Batch, draws: RowDraws) -> tuple[Tensor, ...]:
        """Tensors of one modality's chunk that the loss takes; by default pooled vectors alone.

        A loss over tokens returns ``(pooled, tokens, mask)``, with tokens padded to one length, as those of all chunks
        are joined.

        Parameters
        ----------
        network
            The network in training.
        modality
            Name of the modality.
        inputs
            The chunk as the network takes it: a tensor of m rows, or several by name.
        draws
            Random numbers of the chunk's rows.

        Returns
        -------
        tuple of Tensor
            Each of m rows. The first are the pooled vectors (m, d) float32 by which validation ranks.
        """
        return (network(modality, inputs).pooled.float(),)

    @abstractmethod
    def loss(self, outputs: Outputs, facts: BatchFacts) -> Tensor:
        """Loss of a whole batch, a number.

        Parameters
        ----------
        outputs : modality -> tensors (b, ...)
            As :meth:`outputs` gives them, of all rows.
        facts
            Captions and presence of the same rows.
        """

    def constrain(self) -> None:
        """Put parameters back into their range in place: after each step, and when a state was loaded."""

    def log_values(self) -> dict[str, Tensor]:
        """Numbers for the log's line of a step, such as a learnt scale; tensors of their own, which are read later."""
        return {}
