"""Losses of the training loop behind one role, a file for each; the recipe names one under ``[objective]``.

Adding an objective is one file with a class of :class:`~stitchkit.training.objectives.objective.Objective` and one line
in :data:`OBJECTIVES`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from stitchkit.core.errors import UnknownNameError

if TYPE_CHECKING:
    from stitchkit.training.objectives.objective import Objective

__all__ = ["OBJECTIVES", "ObjectiveSettings", "objective_type"]

OBJECTIVES = {
    "clip": "stitchkit.training.objectives.clip:Clip",
    "siglip": "stitchkit.training.objectives.siglip:Siglip",
    "cyclip": "stitchkit.training.objectives.cyclip:Cyclip",
    "slip": "stitchkit.training.objectives.slip:Slip",
    "clip_mlm": "stitchkit.training.objectives.clip_mlm:ClipMlm",
    "lit": "stitchkit.training.objectives.lit:Lit",
    "partial_freezing": "stitchkit.training.objectives.partial_freezing:PartialFreezing",
    "filip": "stitchkit.training.objectives.filip:Filip",
    "gloria": "stitchkit.training.objectives.gloria:Gloria",
    "sparc": "stitchkit.training.objectives.sparc:Sparc",
    "declip": "stitchkit.training.objectives.declip:Declip",
    "coca": "stitchkit.training.objectives.coca:Coca",
}


Factor = (  # of cosines in an exponent
    Annotated[int, Meta(ge=1, le=100)] | Annotated[float, Meta(ge=1, le=100, description="a number from 1 to 100")]
)


class ObjectiveSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an objective: the ``[objective]`` of a recipe. A subclass adds the keys of its own.

    Parameters
    ----------
    name
        Key of :data:`OBJECTIVES`; a subclass has its own as the default.
    """

    name: str


def objective_type(name: str) -> type[Objective]:
    """Class of an objective by its name in recipes.

    Raises
    ------
    UnknownNameError
        For a name that is not in :data:`OBJECTIVES`, listing the nearest.
    """
    if name not in OBJECTIVES:
        raise UnknownNameError.of("objective", name, OBJECTIVES)
    module, _, attribute = OBJECTIVES[name].partition(":")
    objective: type[Objective] = getattr(import_module(module), attribute)
    return objective
