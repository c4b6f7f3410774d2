"""The unpaired pools of ``align``, as ``--pool-source`` and ``--pool-target`` name them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError

if TYPE_CHECKING:
    from stitchkit.cli.fitting import Fitting
    from stitchkit.cli.loading import Loading
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.roles import Encoder
    from stitchkit.datasets.tables import ItemSource

FILE = ".safetensors"


@dataclass(frozen=True, slots=True)
class Pools:
    """A pool of each side: a file of embeddings, or items that the side's encoder reads."""

    source: Path | ItemSource
    target: Path | ItemSource

    @classmethod
    def of(cls, source: Path | None, target: Path | None, *, files: bool) -> Pools | None:
        """The pools, as far as they can be checked without an encoder; None if none was given.

        Parameters
        ----------
        files
            SOURCE and TARGET are files of embeddings, so that no encoder reads a pool's items.
        """
        from stitchkit.datasets.tables import open_items

        if source is None and target is None:
            return None
        if source is None or target is None:
            raise InputError("pools are of both sides: pass --pool-source and --pool-target.")
        sides: list[Path | ItemSource] = []
        for flag, path in (("--pool-source", source), ("--pool-target", target)):
            if path.suffix == FILE:
                sides.append(path)
                continue
            if files:
                raise InputError(
                    f"SOURCE and TARGET are files, so no encoder reads {flag} {path}. Embed it with 'stitchkit embed' "
                    f"and pass that {FILE} file."
                )
            opened = open_items(path)
            opened.count()
            sides.append(opened)
        return cls(*sides)

    @property
    def paths(self) -> list[Path]:
        """The files or folders of both sides."""
        return [one if isinstance(one, Path) else one.path for one in (self.source, self.target)]

    def check(self, fitting: Fitting, purpose: str) -> None:
        """Raise, before anything is embedded, for a fit that does not look at pools."""
        if purpose != "match":
            raise InputError(f"pools help matching, not --purpose {purpose}. Leave the pools out.")
        from stitchkit.alignment.request import with_pools

        if isinstance(with_pools(fitting.solver), str) and fitting.solver != "auto":
            raise InputError(f"--solver {fitting.solver} does not look at pools. Leave the pools out, or the solver.")

    def vectors(self, loading: Loading, left: Encoder | None, right: Encoder | None) -> tuple[Embeddings, Embeddings]:
        """The vectors of both pools."""
        return _vectors(self.source, left, loading), _vectors(self.target, right, loading)


def _vectors(pool: Path | ItemSource, encoder: Encoder | None, loading: Loading) -> Any:
    from stitchkit.storage.folders import read_embeddings

    if isinstance(pool, Path) or encoder is None:
        return read_embeddings(pool if isinstance(pool, Path) else pool.path)
    return loading.embed(encoder, pool.read(encoder.modality))
