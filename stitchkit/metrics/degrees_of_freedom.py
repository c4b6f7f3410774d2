"""Effective numbers of patients of unequal sizes, and degrees of freedom of a variance that their sums estimate.

References
----------
Kish, Survey Sampling (1965); Satterthwaite, Biometrics Bulletin 2 (1946); Bell and McCaffrey, Survey Methodology 28
(2002).
"""

from __future__ import annotations

import numpy as np

BESIDE = 2.0  # degrees of freedom added to those by fourth powers, which of few patients are too few


def effective_number(shares: np.ndarray) -> np.ndarray:
    """Kish's number (c,) of patients of one size whose mean would vary as much, from their shares (k, c) of the items.

    Examples
    --------
    >>> print(effective_number(np.full((4, 1), 0.25)), effective_number(np.array([[0.8], [0.1], [0.1]])).round(2))
    [4.] [1.52]
    """
    found: np.ndarray = 1 / np.sum(shares**2, axis=0)
    return found


def left_around_mean(shares: np.ndarray) -> np.ndarray:
    """Share (k,) of the variance of each patient's sum that is left around the mean of all; 1 - 1/k for k equal ones.

    The smaller of two: for independent items, and for patients whose items are all alike. A patient with most of the
    items pulls the mean along, and the second is far smaller.

    Examples
    --------
    >>> print(left_around_mean(np.full(4, 0.25)), left_around_mean(np.array([0.8, 0.1, 0.1])).round(2))
    [0.75 0.75 0.75 0.75] [0.06 0.9  0.9 ]
    """
    found: np.ndarray = np.minimum(1 - shares, 1 - 2 * shares + np.sum(shares**2))
    return found


def normal_freedom(shares: np.ndarray) -> np.ndarray:
    """Degrees of freedom (c,) of the variance over patients if their means were normal of one variance.

    Satterthwaite's rule for the quadratic form of the corrected sums (Bell and McCaffrey 2002), without its matrix
    (k, k); for k patients of one size k - 1.

    Examples
    --------
    >>> print(normal_freedom(np.full((4, 1), 0.25)), normal_freedom(np.array([[0.8], [0.1], [0.1]])).round(2))
    [3.] [1.02]
    """
    crowding = np.sum(shares**2, axis=0)
    weight = shares**2 / (1 - 2 * shares + crowding)
    none, once, twice = (np.sum(weight * shares**power, axis=0) for power in range(3))
    own = np.sum(weight**2 * (1 + 2 * (crowding - 2 * shares)), axis=0)
    pairs = (crowding * none) ** 2 + 2 * twice * none + 2 * once**2 - 4 * crowding * once * none
    found: np.ndarray = crowding**2 / (own + pairs)
    return found


def tailed_freedom(sums: np.ndarray, number: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Degrees of freedom (c,) of the sum of squares of patients' ``sums`` (k, c), of which few may make nearly all.

    Twice the square of a variance over the variance of its estimate, by the fourth powers of the sums, and ``BESIDE``.

    Parameters
    ----------
    sums : (k, c)
        With mean 0.
    number : (c,)
        Effective number of patients.
    most : (c,)
        The result is no larger.

    Examples
    --------
    >>> alike, one = np.tile([[1.0], [-1.0]], (8, 1)), np.array([[15.0]] + 15 * [[-1.0]])
    >>> print(*(tailed_freedom(sums, np.array([16.0]), np.array([15.0])).round(1) for sums in (alike, one)))
    [15.] [4.4]
    """
    square, fourth = np.sum(sums**2, axis=0), np.sum(sums**4, axis=0)
    varies = ~(square < 1e-20)  # less is rounding
    concentration = np.where(varies, fourth / np.where(varies, square, 1) ** 2, 1.0)
    found: np.ndarray = np.minimum(most, BESIDE + 2 / np.maximum(concentration - 1 / number, 1e-9))
    return found


def mean_freedom(variance: np.ndarray, parts: np.ndarray, own: np.ndarray) -> float:
    """Degrees of freedom of the mean over classes, after Satterthwaite.

    Classes of different patients add theirs up, classes of the same patients do not. With one class it is its own.

    Parameters
    ----------
    variance : (c,)
        Variance of each class, up to a factor.
    parts : (k, c)
        Expected part of each patient in it, up to a factor.
    own : (c,)
        Degrees of freedom of each class.
    """
    parts = parts / np.sum(parts, axis=0)
    of_patient = parts @ variance
    left = np.sum(variance * own * np.sum(parts**2, axis=0)) / np.sum(variance)  # a mean was taken away in each class
    return float(np.sum(of_patient) ** 2 / np.sum(of_patient**2) * left)
