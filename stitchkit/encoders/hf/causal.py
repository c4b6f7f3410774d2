"""Causal text models, in which a token reads those before it and none behind it."""

from __future__ import annotations

from typing import Any

from stitchkit.encoders.hf.inputs import MASK, TextInputs
from stitchkit.encoders.library_calls import is_fault_of_checkpoint, library_call

ROUNDING = 1e-6  # of the largest value
TOKENS = 3  # of the texts that are tried


def is_causal(model: Any, inputs: TextInputs) -> bool:
    """True if the first token's final state does not depend on the tokens behind it.

    That is tried, since configs do not tell it: decoders are made to read both ways, and encoders one way.

    Parameters
    ----------
    model
        A text model of transformers, in float32.
    inputs
        Its preprocessing.
    """
    import torch

    special = set(inputs.tokenizer.all_special_ids)
    words = [number for number in sorted(inputs.tokenizer.get_vocab().values()) if number not in special][:2]
    if len(words) < 2 or (inputs.length is not None and inputs.length < TOKENS):
        return False
    device = next(model.parameters()).device
    ids = torch.tensor([[words[0]] * TOKENS, [words[0], *[words[1]] * (TOKENS - 1)]], device=device)
    try:
        with torch.inference_mode(), library_call():
            output = model.eval()(input_ids=ids, **{MASK: torch.ones_like(ids)}, return_dict=True)
    except Exception as error:  # a model that cannot read texts is refused by name when its width is found
        if not is_fault_of_checkpoint(error):
            raise
        return False
    states = getattr(output, "last_hidden_state", None)
    if states is None or states.ndim != 3 or states.shape[1] != TOKENS:
        return False
    one, other = states
    small = ROUNDING * float(one.abs().max())
    first, last = (float((one[place] - other[place]).abs().max()) for place in (0, -1))
    return first <= small < last
