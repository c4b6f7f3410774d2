"""A bound folder, loaded: its maps at once, its encoders when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stitchkit.alignment.binding.bound_space import BoundSpace
from stitchkit.alignment.binding.modalities import TEXT
from stitchkit.core.errors import UnknownNameError
from stitchkit.core.roles import Encoder
from stitchkit.encoders import load_encoder
from stitchkit.encoders.consent import TrustPython
from stitchkit.persistence.bound_folders import read_bound
from stitchkit.storage.path_checks import resolved_path


@dataclass(frozen=True, slots=True, repr=False)
class BoundModel:
    """The encoders of a bound folder, each into the hub, by the names of the modalities and by ``"text"``.

    Parameters
    ----------
    folder
        The folder.
    space
        Maps, means and record.
    device, dtype, trust_remote_code, trust_python
        Arguments of :func:`stitchkit.load_encoder` for the encoders.
    """

    folder: Path
    space: BoundSpace
    device: str = "auto"
    dtype: str = "float32"
    trust_remote_code: bool = False
    trust_python: TrustPython = False

    def __repr__(self) -> str:
        return f"BoundModel({', '.join(map(repr, self))}, hub of {self.space.hub.dim})"

    def __iter__(self) -> Iterator[str]:
        return iter((*self.space.names, TEXT))

    def __len__(self) -> int:
        return len(self.space.names) + 1

    def __contains__(self, name: object) -> bool:
        return name in tuple(self)

    def __getitem__(self, name: str) -> Encoder:
        """The encoder of a modality, or of queries, followed by its map into the hub; loaded anew at every call.

        Raises
        ------
        UnknownNameError
            If there is no such modality.
        ModelUnavailableError
            If the folder names no encoder for it, or it cannot be loaded or trusted.
        SpaceMismatchError
            If the encoder is not the one that was bound.
        """
        if name not in self:
            raise UnknownNameError.of("modality of this bound folder", str(name), tuple(self))
        return load_encoder(
            f"stitchkit:{self.folder / name}",
            device=self.device,
            dtype=self.dtype,
            trust_remote_code=self.trust_remote_code,
            trust_python=self.trust_python,
        )


def load_bound(
    folder: str | Path, *, device: str, dtype: str, trust_remote_code: bool, trust_python: TrustPython
) -> BoundModel:
    """The bound model of a folder; the parameters are those of :func:`stitchkit.load`."""
    return BoundModel(
        folder=resolved_path(folder),
        space=read_bound(folder),
        device=device,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
        trust_python=trust_python,
    )
