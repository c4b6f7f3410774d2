"""Synthetic pairs of spaces that different solvers suit: every family is a function of size and seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Pairs = tuple[np.ndarray, np.ndarray]
FRESH = 400  # rows at the end that judge


def _mixing(rng: np.random.Generator, width: int, out: int) -> np.ndarray:
    return rng.normal(size=(width, out)) / width**0.5


def shared_latent(
    n: int,
    seed: int,
    *,
    widths: tuple[int, int] = (64, 48),
    latent: int = 24,
    noise: float = 0.5,
    own: float = 0.0,
    decay: float = 0.0,
    tails: float = 0.0,
    outliers: float = 0.0,
    hubs: float = 0.0,
    clusters: int = 0,
    bent: bool = False,
) -> Pairs:
    """A latent in both spaces, under noise and what the family adds.

    Parameters
    ----------
    own
        Size of variance that one side has for itself.
    decay
        Of the latent's spectrum, from 1 to exp(-decay).
    tails
        Degrees of freedom of Student's t; 0 is Gaussian.
    outliers
        Share of targets that are far away.
    hubs
        Size of one direction of skewed lengths on each side.
    clusters
        Number of clusters that items come from; 0 is none.
    bent
        Nonlinear maps from the latent.
    """
    space, rng = np.random.default_rng(1234 + seed), np.random.default_rng(seed)
    z = rng.normal(size=(n, latent)) * np.exp(-decay * np.arange(latent) / latent)
    if clusters:
        z = 1.5 * space.normal(size=(clusters, latent))[rng.integers(clusters, size=n)] + 0.35 * z
    if tails:
        z = z * np.sqrt(tails / rng.chisquare(tails, size=(n, 1)))
    sides = []
    for width in widths:
        rows = z @ _mixing(space, latent, width) * latent**0.5 / 3
        rows = np.tanh(1.5 * rows) if bent else rows
        rows = rows + 4 * own * rng.normal(size=(n, 16)) @ _mixing(space, 16, width)
        rows = rows + noise * rng.normal(size=(n, width))
        sides.append(rows + hubs * rng.normal(size=(n, 1)) ** 2 * space.normal(size=width))
    x, y = sides
    far = rng.random(n) < outliers
    far[-FRESH:] = False
    y[far] += 15 * rng.normal(size=(int(far.sum()), widths[1]))
    return x, y


def rotated(n: int, seed: int) -> Pairs:
    """A space with a falling spectrum and its rotated, noisy copy."""
    rng, width = np.random.default_rng(seed), 48
    x = rng.normal(size=(n, width)) * np.geomspace(3, 0.3, width)
    turn = np.linalg.qr(np.random.default_rng(99 + seed).normal(size=(width, width)))[0]
    return x, x @ turn + 0.6 * rng.normal(size=(n, width))


def few_texts(n: int, seed: int) -> Pairs:
    """Five distinct targets, of which the commonest has more than half of the items."""
    rng, space = np.random.default_rng(seed), np.random.default_rng(77 + seed)
    which = rng.choice(5, size=n, p=[0.55, 0.2, 0.12, 0.08, 0.05])
    texts = space.normal(size=(5, 48)) + 2 * space.normal(size=48)
    private = 0.5 * rng.normal(size=(n, 20)) @ space.normal(size=(20, 64))
    return 0.8 * space.normal(size=(5, 64))[which] + private + 0.5 * rng.normal(size=(n, 64)), texts[which]


def pooled_features(n: int, seed: int, *, texts: int, width: int) -> Pairs:
    """Few texts, and sparse features that are never negative and of unlike size, as a pooled network gives them.

    The first two texts are close to each other on both sides.
    """
    world, rng = np.random.default_rng(500 + seed), np.random.default_rng(seed)
    which = rng.choice(texts, size=n, p=world.dirichlet(np.full(texts, 3.0)))
    classes = 0.5 * world.normal(size=(texts, 32))
    classes[1] = (classes[0] + classes[1]) / 2
    latent = classes[which] + world.permutation(np.geomspace(2, 0.2, 32)) * rng.normal(size=(n, 32))
    hidden = np.maximum(latent @ _mixing(world, 32, 96) * 2 - world.uniform(-0.2, 0.8, 96), 0)
    features = np.maximum(hidden @ _mixing(world, 96, width) - world.uniform(0.1, 0.9, width), 0)
    features = features * np.exp(0.7 * world.normal(size=width)) + 0.02 * rng.random((n, width))
    said = 1.2 * world.normal(size=48) + 0.6 * world.normal(size=(2, 48))[np.arange(texts) % 2]
    return features, (said + 0.4 * world.normal(size=(texts, 48)))[which]


FAMILIES: dict[str, Callable[[int, int], Pairs]] = {
    "isotropic": shared_latent,
    "rotated": rotated,
    "heavy tails": lambda n, seed: shared_latent(n, seed, tails=3, decay=1.5),
    "outliers": lambda n, seed: shared_latent(n, seed, outliers=0.03),
    "hubs": lambda n, seed: shared_latent(n, seed, hubs=1.0, noise=0.4),
    "private variance": lambda n, seed: shared_latent(n, seed, own=1.0, noise=0.15),
    "clusters": lambda n, seed: shared_latent(n, seed, clusters=40, noise=0.3),
    "few texts": few_texts,
    "three texts, pooled features": lambda n, seed: pooled_features(n, seed, texts=3, width=64),
    "seven texts, pooled features": lambda n, seed: pooled_features(n, seed, texts=7, width=512),
    "wide to narrow": lambda n, seed: shared_latent(n, seed, widths=(200, 24), latent=20, noise=0.6, decay=1),
    "narrow to wide": lambda n, seed: shared_latent(n, seed, widths=(14, 128), latent=12, noise=0.25),
    "nonlinear": lambda n, seed: shared_latent(n, seed, bent=True, noise=0.25),
    "falling spectrum": lambda n, seed: shared_latent(n, seed, decay=3, noise=0.12),
}
