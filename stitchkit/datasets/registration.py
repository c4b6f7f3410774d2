"""Registration of many pairs of small images at once, and the correlation of their fine detail afterwards."""

from __future__ import annotations

import numpy as np

from stitchkit.datasets.thumbnails import centres

ROUNDS = 8  # steps of Gauss-Newton
PLAIN = 2  # of which the first weigh all pixels alike
RIM = 0.85  # of either half side: beyond, a copy may have a border, and does not take part in the registration
OUTLIER = 2.5  # medians of the absolute residual, from where a pixel counts half
STEP = 0.1  # largest change of a coefficient in one round
DETAIL = 2.0  # pixels: standard deviation of the blur whose remainder is fine detail
BLOCK = 8  # pixels a side
TEXTURE = 2.5  # grey levels of 255: a block whose detail has less spread shows nothing
FEWEST = 8  # blocks that must show something on both sides
ENOUGH = 0.8  # correlation of detail from which grey levels are compared
HALF = 127.5  # levels, over which the median difference of ranks is taken off


def registered_likeness(templates: np.ndarray, images: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Likeness of each pair of equalised thumbnails after an affine registration.

    The larger of two numbers, both of which are 1 for equal images. The first is the correlation of fine detail:
    whatever is coarser than a few pixels is taken away, blocks of 8 x 8 pixels are correlated one by one, and the
    median over those that show something on both sides stands for the pair, so that a label or a saturated region
    spoils few blocks and not the result. The second counts only if the first is at least 0.8. It is the agreement of
    grey levels: 1 less the median absolute difference of their ranks where both images are visible, in halves of the
    whole range; unrelated images are at about 0.4. An inverted copy counts as a copy.

    Parameters
    ----------
    templates, images : (n, s, s)
        Grey levels from 0 to 255; s is a multiple of 16.
    starts : (n, 2, 3)
        The place in the image of a place in the template, in coordinates from -1 to 1, to begin with.

    Returns
    -------
    (n,) float64
        In [-1, 1]; 0 where fewer than eight blocks can be compared.

    Examples
    --------
    >>> from scipy.ndimage import gaussian_filter
    >>> image = gaussian_filter(np.random.default_rng(0).normal(size=(64, 64)), 2)
    >>> image = 255 * (image - image.min()) / np.ptp(image)
    >>> same = np.array([[[1.0, 0, 0], [0, 1, 0]]])
    >>> round(float(registered_likeness(image[None], np.roll(image, 1, axis=1)[None], same)[0]), 2)
    1.0
    >>> bool(registered_likeness(image[None], image.T[None], same)[0] < 0.5)
    True
    """
    ours, theirs = np.asarray(templates, dtype=np.float32), np.asarray(images, dtype=np.float32)
    maps, gains = register(_halve(ours), _halve(theirs), starts)
    warped, visible = sample(theirs, maps)
    warped = np.where(gains[:, None, None] < 0, 255 - warped, warped)
    likeness = _detail_correlation(ours, warped, visible)
    rows = np.flatnonzero(likeness >= ENOUGH)
    if rows.size:
        likeness[rows] = np.maximum(likeness[rows], _agreement(ours[rows], warped[rows], visible[rows]))
    return likeness


def register(templates: np.ndarray, images: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Affine maps from templates to images, and the gain of grey levels, by inverse compositional Gauss-Newton.

    Baker and Matthews, Lucas-Kanade 20 years on, IJCV 2004, with an affine change of grey levels beside the six
    coefficients of the map, and from the third round on weights that discount pixels with large residuals.

    Parameters
    ----------
    templates, images : (n, s, s) float32
    starts : (n, 2, 3)

    Returns
    -------
    maps : (n, 2, 3) float64
    gains : (n,) float64
        Negative where one image is the other inverted.
    """
    n, side, _ = templates.shape
    slopes = _slopes(templates)
    here = np.abs(centres(side)) < RIM
    inner = np.broadcast_to((here[:, None] & here[None, :]).ravel().astype(np.float32), (n, side * side))
    maps, gains = np.asarray(starts, dtype=np.float64).copy(), np.ones(n)
    weighed, inverse = _normal(slopes, inner)
    for step in range(ROUNDS):
        warped, visible = sample(images, maps)
        values = warped.reshape(n, -1, 1)
        solution = (inverse @ (weighed @ values))[:, :, 0]
        if step >= PLAIN:
            residual = np.abs(values[:, :, 0] - (solution[:, None].astype(np.float32) @ slopes)[:, 0])
            scale = OUTLIER * np.median(residual, axis=1, keepdims=True) + 1e-3
            weighed, inverse = _normal(slopes, inner * visible.reshape(n, -1) / (1 + (residual / scale) ** 2))
            solution = (inverse @ (weighed @ values))[:, :, 0]
        gains = np.where(np.abs(solution[:, 6]) < 0.1, np.copysign(0.1, solution[:, 6]), solution[:, 6])
        maps = _compose(maps, np.clip(solution[:, :6] / gains[:, None], -STEP, STEP).reshape(n, 2, 3))
    return maps, gains


def _slopes(templates: np.ndarray) -> np.ndarray:
    """(n, 8, pixels): what each coefficient of the map, gain and offset change in the template."""
    n, side, _ = templates.shape
    at = centres(side).astype(np.float32)
    down, across = np.gradient(templates, axis=(1, 2))
    x, y = at[None, None, :], at[None, :, None]
    parts = (across * x, across * y, across, down * x, down * y, down)
    columns = [*(part * np.float32(side / 2) for part in parts), templates, np.ones_like(templates)]
    return np.stack(columns, axis=1).reshape(n, 8, side * side)


def _normal(slopes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighed slopes, and the inverse of their normal matrix with a small ridge."""
    weighed = slopes * weights[:, None, :]
    normal = (weighed @ slopes.transpose(0, 2, 1)).astype(np.float64)
    ridge = 1e-6 * np.einsum("nii->ni", normal) + 1e-9
    return weighed, np.linalg.inv(normal + ridge[:, :, None] * np.eye(8))


def _compose(maps: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The maps after the inverse of a small change of the template's coordinates."""
    step = np.tile(np.eye(3), (len(maps), 1, 1))
    step[:, :2] += change
    return np.asarray(np.concatenate([maps, step[:, 2:] * 0 + [0, 0, 1]], axis=1) @ np.linalg.inv(step))[:, :2]


def sample(images: np.ndarray, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images seen through affine maps, bilinear, and which places lie inside them; edges go on outside.

    Parameters
    ----------
    images : (n, s, s) float32
    maps : (n, 2, 3)

    Returns
    -------
    warped : (n, s, s) float32
    visible : (n, s, s) bool
    """
    n, side, _ = images.shape
    at = centres(side).astype(np.float32)
    x, y = (
        row[:, 0, None, None] * at[None, None, :] + row[:, 1, None, None] * at[None, :, None] + row[:, 2, None, None]
        for row in (maps[:, 0].astype(np.float32), maps[:, 1].astype(np.float32))
    )
    visible = (np.abs(x) <= 1) & (np.abs(y) <= 1)
    x, y = (np.clip((place + 1) * (side / 2) - 0.5, 0, side - 1.001) for place in (x, y))
    left, top = x.astype(np.int32), y.astype(np.int32)
    x, y = x - left, y - top
    flat, first = images.reshape(-1), top * side + left + (np.arange(n, dtype=np.int32) * side * side)[:, None, None]
    upper = flat[first] * (1 - x) + flat[first + 1] * x
    lower = flat[first + side] * (1 - x) + flat[first + side + 1] * x
    return upper * (1 - y) + lower * y, visible


def _detail_correlation(ours: np.ndarray, theirs: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """(n,): the median over blocks of the correlation of details."""
    left, right = (_blocks(_detail(one)) for one in (ours, theirs))
    left, right = (one - one.mean(axis=2, keepdims=True) for one in (left, right))
    spread, other = (np.sqrt((one * one).mean(axis=2)) for one in (left, right))
    shown = (spread > TEXTURE) & (other > TEXTURE) & _blocks(visible).all(axis=2)
    correlation = np.where(shown, (left * right).mean(axis=2) / np.maximum(spread * other, 1e-12), np.nan)
    correlation[shown.sum(axis=1) < FEWEST] = 0
    return np.asarray(np.nanmedian(correlation, axis=1), dtype=np.float64)


def _agreement(ours: np.ndarray, theirs: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """(n,): how alike the ranks of grey levels are where both images are visible; 1 for equal images."""
    shown = visible.reshape(len(visible), -1)
    gap = np.abs(_ranks(ours, shown) - _ranks(theirs, shown))
    gap[~shown] = np.nan
    return np.asarray(1 - np.nanmedian(gap, axis=1) / HALF)


def _ranks(images: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """(n, pixels): ranks, from 0 to 255, of grey levels among the visible ones; equal levels have equal ranks."""
    levels = np.clip(np.rint(images.reshape(shown.shape)), 0, 255).astype(np.int64)
    shifted = levels + 256 * np.arange(len(images))[:, None]
    counts = np.bincount(shifted[shown], minlength=256 * len(images)).reshape(-1, 256)
    ranks = (np.cumsum(counts, axis=1) - counts / 2) * (255 / counts.sum(axis=1, keepdims=True))
    return np.asarray(np.take_along_axis(ranks, levels, axis=1))


def _detail(images: np.ndarray) -> np.ndarray:
    """Fine detail: the images less a Gaussian blur of them."""
    place = np.arange(images.shape[1])
    kernel = np.exp(-0.5 * ((place[:, None] - place[None, :]) / DETAIL) ** 2)
    blur = (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32)
    return np.asarray(images - blur @ images @ blur.T)


def _blocks(images: np.ndarray) -> np.ndarray:
    """(n, blocks, pixels of a block)."""
    n, side, _ = images.shape
    count = side // BLOCK
    return images.reshape(n, count, BLOCK, count, BLOCK).transpose(0, 1, 3, 2, 4).reshape(n, count * count, -1)


def _halve(images: np.ndarray) -> np.ndarray:
    """Means of two by two pixels."""
    n, side, _ = images.shape
    return np.asarray(images.reshape(n, side // 2, 2, side // 2, 2).mean(axis=(2, 4)))
