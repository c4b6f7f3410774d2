"""Facts of a chest phantom, drawn before its image and its report are made."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

__all__ = ["FINDINGS", "Nuisance", "Phantom", "Side", "draw_phantoms"]

FINDINGS: tuple[str, ...] = (
    "cardiomegaly", "edema", "effusion", "nodule", "opacity", "pacemaker", "pneumothorax",
)  # fmt: skip
Side = Literal["left", "right", "both"]

_SIDES: dict[str, tuple[tuple[Side, float], ...]] = {
    "cardiomegaly": (("both", 1.0),),
    "edema": (("both", 1.0),),
    "effusion": (("left", 0.4), ("right", 0.4), ("both", 0.2)),
    "nodule": (("left", 0.5), ("right", 0.5)),
    "opacity": (("left", 0.45), ("right", 0.55)),
    "pacemaker": (("left", 0.8), ("right", 0.2)),
    "pneumothorax": (("left", 0.5), ("right", 0.5)),
}
_KEPT = 0.8  # chance that a finding's state is carried over to the same patient's next film


@dataclass(frozen=True, slots=True)
class Nuisance:
    """Everything that changes a film and is no finding."""

    body: int  # seed of the patient's own anatomy: vessels, ribs, bowel gas
    habitus: float  # 0 slim .. 1 heavy
    heart: float  # -1 small .. 1 large, within the normal range
    inspiration: float  # -1 shallow .. 1 deep
    rotation: float  # rotation about the long axis, -1 .. 1
    tilt: float  # degrees in the film plane
    zoom: float  # magnification about 1
    shift: tuple[float, float]  # of the patient on the film, in half film widths
    exposure: float  # -1 under (white) .. 1 over (dark)
    contrast: float  # slope of the film curve about 1
    noise: float  # standard deviation in grey levels (0 .. 255) at 96 px
    collimation: tuple[float, float, float, float]  # margins left, top, right, bottom in half film widths
    wires: bool  # ECG leads lie on the chest
    line: bool  # a venous catheter ends in the great vein


@dataclass(frozen=True, slots=True)
class Phantom:
    """The facts of one film: enough to paint it and to write its report.

    Attributes
    ----------
    seed
        Seed of the details (texture, noise) of this film.
    patient
        Number of the patient within the draw; some patients have two films.
    view, sex
        ``"PA"`` or ``"AP"``; ``"F"`` or ``"M"``.
    severities
        One float in [0, 1] per entry of ``FINDINGS``; 0 is absent.
    sides, places
        Per finding: the patient's side, and (medial 0 .. lateral 1, apex 0 .. base 1) inside the lung.
        Drawn whether or not the finding is present.
    nuisance
        Everything else that changes the film.
    """

    seed: int
    patient: int
    view: Literal["PA", "AP"]
    sex: Literal["F", "M"]
    severities: tuple[float, ...]
    sides: tuple[Side, ...]
    places: tuple[tuple[float, float], ...]
    nuisance: Nuisance

    def __post_init__(self) -> None:
        for name, values in (("severities", self.severities), ("sides", self.sides), ("places", self.places)):
            if len(values) != len(FINDINGS):
                raise ValueError(f"a phantom has {len(FINDINGS)} {name}, one per finding; got {len(values)}")
        if not all(0.0 <= severity <= 1.0 for severity in self.severities):
            raise ValueError(f"severities lie in [0, 1]; got {self.severities}")

    def with_severity(self, **severity: float) -> "Phantom":
        """The same film with other severities, by finding name: ``phantom.with_severity(effusion=0.8)``."""
        unknown = sorted(set(severity) - set(FINDINGS))
        if unknown:
            raise ValueError(f"unknown finding {unknown[0]!r}; the phantoms have {', '.join(FINDINGS)}")
        values = (severity.get(name, old) for name, old in zip(FINDINGS, self.severities, strict=True))
        return replace(self, severities=tuple(values))


def draw_phantoms(n: int, *, seed: int, prevalence: float = 0.2, two_films: float = 0.15) -> tuple[Phantom, ...]:
    """``n`` phantoms (facts only) whose findings are independent of each other, of view and of sex.

    Parameters
    ----------
    n
        Number of films.
    seed
        Decides everything; the first films of a longer draw are those of a shorter one.
    prevalence
        Chance of each finding, in [0, 1].
    two_films
        Chance that a patient has a second film; most findings persist on it.

    Examples
    --------
    >>> first, second = draw_phantoms(2, seed=0)
    >>> len(first.severities) == len(FINDINGS)
    True
    """
    if n < 0 or not 0.0 <= prevalence <= 1.0:
        raise ValueError(f"draw_phantoms takes n >= 0 and a prevalence in [0, 1]; got {n} and {prevalence}")
    rng = np.random.default_rng([seed, 20])
    films: list[Phantom] = []
    patient = 0
    while len(films) < n:
        film = _first_film(rng, patient, prevalence)
        films.append(film)
        if rng.random() < two_films:
            films.append(_next_film(rng, film, prevalence))
        patient += 1
    return tuple(films[:n])


def _first_film(rng: np.random.Generator, patient: int, prevalence: float) -> Phantom:
    sides, places = zip(*(_where(rng, name) for name in FINDINGS), strict=True)
    view = _view(rng)
    return Phantom(
        seed=int(rng.integers(2**31)),
        patient=patient,
        view=view,
        sex="F" if rng.random() < 0.5 else "M",
        severities=tuple(_severity(rng, prevalence) for _ in FINDINGS),
        sides=sides,
        places=places,
        nuisance=_nuisance(rng, view),
    )


def _next_film(rng: np.random.Generator, film: Phantom, prevalence: float) -> Phantom:
    """Another day, same body: findings mostly persist, the exposure is new."""
    view = _view(rng)
    fresh, old = _nuisance(rng, view), film.nuisance
    severities = []
    for before in film.severities:
        new, drift, kept = _severity(rng, prevalence), rng.normal(0.0, 0.08), rng.random() < _KEPT
        moved = float(np.clip(before + drift, 0.05, 1.0)) if before > 0 else 0.0
        severities.append(moved if kept else new)
    nuisance = replace(fresh, body=old.body, habitus=old.habitus, heart=old.heart)
    return replace(film, seed=int(rng.integers(2**31)), view=view, severities=tuple(severities), nuisance=nuisance)


def _view(rng: np.random.Generator) -> Literal["PA", "AP"]:
    return "AP" if rng.random() < 0.4 else "PA"


def _severity(rng: np.random.Generator, prevalence: float) -> float:
    """Often barely there, sometimes severe: 0.06 .. 1 when present."""
    present, grade = rng.random() < prevalence, 0.06 + 0.94 * rng.beta(1.1, 1.65)
    return float(grade) if present else 0.0


def _where(rng: np.random.Generator, finding: str) -> tuple[Side, tuple[float, float]]:
    sides, chances = zip(*_SIDES[finding], strict=True)
    side = sides[int(rng.choice(len(sides), p=chances))]
    return side, (float(rng.uniform(0.25, 0.8)), float(rng.uniform(0.2, 0.85)))


def _nuisance(rng: np.random.Generator, view: str) -> Nuisance:
    def spread(sd: float, limit: float = 2.2) -> float:
        return float(np.clip(rng.normal(0.0, sd), -limit * sd, limit * sd))

    wires = bool(rng.random() < (0.6 if view == "AP" else 0.05))
    line = bool(rng.random() < (0.35 if view == "AP" else 0.1))
    margins = rng.uniform(0.0, 0.075, size=4) * (rng.random(4) < 0.6)
    return Nuisance(
        body=int(rng.integers(2**31)),
        habitus=float(rng.beta(2.0, 2.5)),
        heart=spread(0.6),
        inspiration=spread(0.45),
        rotation=spread(0.45),
        tilt=spread(2.2),
        zoom=1.0 + spread(0.035),
        shift=(spread(0.03), spread(0.03)),
        exposure=spread(0.4),
        contrast=1.0 + spread(0.12),
        noise=float(rng.uniform(1.5, 5.0)),
        collimation=(float(margins[0]), float(margins[1]), float(margins[2]), float(margins[3])),
        wires=wires,
        line=line,
    )
