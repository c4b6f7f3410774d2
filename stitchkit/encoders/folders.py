"""``stitchkit:FOLDER``: whatever this package wrote that reads items, told by its config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stitchkit.core.errors import InputError
from stitchkit.encoders.consent import Consent
from stitchkit.encoders.names import EncoderName
from stitchkit.storage.folders import read_folder

if TYPE_CHECKING:
    from stitchkit.encoders.shared.encoder import SharedEncoder
    from stitchkit.encoders.stitched import StitchedEncoder
    from stitchkit.encoders.tuned.encoder import TunedEncoder


def load(
    name: EncoderName, *, device: str, dtype: str, consent: Consent
) -> SharedEncoder | StitchedEncoder | TunedEncoder:
    """A stitched encoder, one of a bound folder, or one modality of a trained pair (``#modality=image``)."""
    config, arrays = read_folder(name.id)
    if config.get("kind") == "shared encoder":
        from stitchkit.encoders.shared import encoder as shared

        return shared.load(name, config, arrays, device=device, dtype=dtype)
    if config.get("kind") == "tuned pair":
        from stitchkit.encoders.tuned import encoder as tuned

        return tuned.load(name, config, arrays, device=device, dtype=dtype, consent=consent)
    if config.get("kind") == "fused":
        raise InputError(
            f"{name.id} holds a fused head, which gives scores of several inputs and no vectors. Load it with "
            f"sk.load, or name the encoder of one of its inputs."
        )
    from stitchkit.encoders import stitched

    if config.get("kind") == "bound":
        return stitched.load_bound(name, config, device=device, dtype=dtype, consent=consent)
    return stitched.load(name, config, arrays, device=device, dtype=dtype, consent=consent)
