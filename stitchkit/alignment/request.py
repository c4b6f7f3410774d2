"""Checks of a request to ``align``: a search, a family, a solver by name or value, or a published map."""

from __future__ import annotations

from importlib import import_module

from stitchkit.core.errors import InputError, NoDirectedMapError, UnknownNameError
from stitchkit.core.prompts import PromptVectors
from stitchkit.core.roles import Solver
from stitchkit.core.seeds import check_seed
from stitchkit.core.space import Space
from stitchkit.core.wording import advice, python_advice, setting
from stitchkit.solvers import MANY, SEARCHED, SOLVERS, TRACKS
from stitchkit.solvers.presets import Preset


def resolve_solver(solver: str | Solver, paper: str | None, seed: int) -> str | Solver:
    """``"auto"``, the family to search, or a solver value; a name without settings to search becomes its defaults.

    Raises
    ------
    UnknownNameError
        For an unknown name.
    InputError
        For a value that is no solver of pairs, a solver beside ``paper``, or a seed that is no whole number.
    """
    check_seed(seed)
    if isinstance(solver, type):
        raise InputError(f"solver must be a name or a solver value; got the class. Write {solver.__name__}().")
    if not isinstance(solver, str):
        return _of_pairs(solver)
    if paper is not None:
        if solver != "auto":
            raise InputError(
                setting("solver", solver) + " and " + setting("paper", paper) + " exclude each other; give one."
            )
        return Preset(paper, seed=int(seed))
    if solver == "auto" or solver in TRACKS:
        return solver
    if solver not in SOLVERS:
        raise UnknownNameError.of("solver", solver, ["auto", *SOLVERS], python_advice("Or pass a solver value."))
    default: Solver = solver_class(solver)()
    return default


def check_purpose(solver: str | Solver, purpose: str) -> None:
    """Raise for an unknown purpose, and for a head with a solver that has no map into the target's units."""
    if purpose not in SEARCHED:
        raise UnknownNameError.of("purpose", purpose, SEARCHED)
    if purpose == "head" and not getattr(solver, "directed", True):
        raise NoDirectedMapError(
            f"{type(solver).__name__} only meets in a common space and has no map into the target's own units, which "
            + setting("purpose", "head", otherwise="a head")
            + " needs. Take another solver"
            + advice(", or ", setting("purpose", "match"))
            + "."
        )


def check_head(head: object, purpose: str, target: Space) -> None:
    """Raise unless ``head`` is None, or a head over the ``target`` space for the purpose of driving it."""
    if head is None:
        return
    check_head_purpose(purpose)
    if not (hasattr(head, "space") and hasattr(head, "scores")):
        raise InputError(f"head must be a head such as stitchkit.LinearHead; got {type(head).__name__}.")
    head.space.require(target, "the head")


def check_head_purpose(purpose: str) -> None:
    """Raise unless the purpose is that of a head."""
    if purpose != "head":
        raise InputError(
            "a head is driven with "
            + setting("purpose", "head")
            + "; got "
            + setting("purpose", purpose)
            + ". Set it, or leave head out."
        )


def check_prompts(prompts: PromptVectors | None, purpose: str, pool: object) -> None:
    """Raise unless ``prompts`` are vectors of a prompt set, for matching without a pool."""
    if prompts is None:
        return
    if not isinstance(prompts, PromptVectors):
        raise InputError(
            f"prompts must be stitchkit.PromptVectors, which hold the texts' vectors and no items; got "
            f"{type(prompts).__name__}. Make them with stitchkit.embed_prompts(text_encoder, prompts)."
        )
    if purpose != "match":
        raise InputError(
            "prompts choose a map for "
            + setting("purpose", "match")
            + "; got "
            + setting("purpose", purpose)
            + ". Leave them out."
        )
    if pool is not None:
        raise InputError("beside a pool the anchors alone choose among maps. Leave the prompts out, or the pool.")


def fit_in_words(solver: str | Solver, purpose: str, *, pools: bool = False) -> str:
    """Description of the fit that a request leads to, for a line before it begins.

    Examples
    --------
    >>> fit_in_words("ridge", "match"), fit_in_words("auto", "match", pools=True)
    ('searching ridge', 'fitting a closed form, soft and hard matching')
    """
    if not isinstance(solver, str):
        return f"fitting {type(solver).__name__}"
    if pools:
        return "fitting a closed form, soft and hard matching"
    return f"searching {', '.join(SEARCHED[purpose] if solver == 'auto' else [solver])}"


def solver_beside_pools(solver: str | Solver, purpose: str, paper: str | None = None) -> str | Solver:
    """The solver of a fit with pools: ``"auto"``, or a solver value; whatever cannot use a pool is refused.

    Löwdin, which is searched without pools, is their closed form at its defaults.

    Raises
    ------
    InputError
        For a purpose, a family or a published map that looks at no pool.
    """
    if purpose != "match":
        raise InputError(
            "a pool helps matching; "
            + setting("purpose", purpose)
            + " needs a map into the target's own units. Leave the pool out."
        )
    if isinstance(solver, str) and solver == "lowdin":
        solver = solver_class(solver)()
    if paper is not None or (isinstance(solver, str) and solver != "auto"):
        name = setting("solver", solver, text=f"solver {solver!r}") if paper is None else setting("paper", paper)
        kind = "solver" if paper is None else "paper"
        raise InputError(name + f" does not look at a pool. Leave the pool out, or the {kind}.")
    return solver


def solver_class(name: str) -> type:
    """The solver class of this name in the table."""
    module, attribute = SOLVERS[name].split(":")
    solver: type = getattr(import_module(module), attribute)
    return solver


def _of_pairs(solver: Solver) -> Solver:
    kind = type(solver)
    if f"{kind.__module__}:{kind.__name__}" in MANY.values():
        raise InputError(f"{kind.__name__} is not for one set of pairs. See sk.align_many and sk.align_through.")
    if not (hasattr(solver, "fit") and hasattr(solver, "needs")):
        raise InputError(f"solver must be a name such as 'auto' or a value such as Ridge(); got {solver!r}.")
    return solver
