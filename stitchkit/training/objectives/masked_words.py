"""Masked language modelling: texts with some words masked, and the cross entropy of those words."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stitchkit.encoders.pair_network import Batch, PairNetwork, TextInput, main_input, with_main_input
from stitchkit.training.objectives.draws import RowDraws

HIDDEN, OTHER = 0.8, 0.1  # of the chosen words: masked, and replaced by another; the rest stays


def masked_outputs(
    network: PairNetwork, modality: str, batch: Batch, mask: Tensor, draws: RowDraws, share: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens (m, t, d) of the texts in masked form, the words before, and the places to predict, all of one length.

    Parameters
    ----------
    batch, mask : (m, t)
        Texts, and the places of words: neither special nor padding.
    share
        Share of the words that are predicted.
    """
    ids, inputs = main_input(batch), network.shape.inputs[modality]
    hidden, chosen = masked_words(ids, mask, draws, share, inputs)
    tokens = network(modality, with_main_input(batch, hidden)).tokens.float()
    room = inputs.context - ids.shape[1]
    words, places = (nn.functional.pad(one, (0, room)) for one in (ids, chosen))
    return nn.functional.pad(tokens, (0, 0, 0, room)), words, places


def masked_words(ids: Tensor, mask: Tensor, draws: RowDraws, share: float, inputs: TextInput) -> tuple[Tensor, Tensor]:
    """Texts (m, t) with some words masked or replaced, and the places (m, t) of the words that are to be predicted.

    Parameters
    ----------
    ids : (m, t), mask : (m, t)
        Tokens of the texts, and the places of words: neither special nor padding.
    share
        Share of the words that are chosen: of 80 % of them the mask stands instead, of 10 % another word.
    """
    drawn = torch.from_numpy(draws.uniform("words", 3, inputs.context)[:, :, : ids.shape[1]]).to(ids.device)
    chosen = mask & (drawn[:, 0] < share)
    other = 1 + (drawn[:, 2] * (inputs.vocabulary - 1)).long()
    other = torch.where(other == inputs.end, torch.full_like(other, inputs.mask), other)
    replaced = torch.where(drawn[:, 1] < HIDDEN, inputs.mask, torch.where(drawn[:, 1] < HIDDEN + OTHER, other, ids))
    return torch.where(chosen, replaced, ids), chosen


def masked_word_loss(head: nn.Module, tokens: Tensor, words: Tensor, places: Tensor) -> Tensor:
    """Mean cross entropy of the words (n, t) at the chosen places; 0 where there is none.

    Parameters
    ----------
    head
        Tokens to logits of the vocabulary.
    tokens : (n, t, d), places : (n, t)
        As :func:`masked_outputs` gives them.
    """
    predicted = nn.functional.cross_entropy(head(tokens[places]), words[places], reduction="sum")
    return predicted / places.sum().clamp(min=1)
