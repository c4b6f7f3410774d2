"""The leading singular directions of a cross product: exact, or a draft in single precision."""

from __future__ import annotations

from stitchkit.core.arrays import Array, draft_eigh, float64, machine_eps, namespace, single_svd, svd


def leading(cross: Array, rank: int) -> tuple[Array, Array, Array]:
    """Singular directions ``u`` (k_s, r), values (r,) and ``v`` (k_t, r) of ``cross``, falling, ``rank`` at most.

    Of a matrix in single precision from the smaller Gram matrix, where that resolves the last of them.
    """
    xp = namespace(cross)
    if cross.dtype == xp.float32:
        return _draft(cross, rank)
    return _first(svd(float64(cross)), rank)


def _draft(cross: Array, rank: int) -> tuple[Array, Array, Array]:
    xp = namespace(cross)
    wide = cross.shape[0] < cross.shape[1]
    tall = xp.matrix_transpose(cross) if wide else cross
    values, vectors = draft_eigh(xp.matrix_transpose(tall) @ tall)
    least = max(int(values.shape[0]) - rank, 0)
    values, inner = xp.flip(values[least:]), xp.flip(vectors[:, least:], axis=1)
    if float(values[-1]) > 4 * machine_eps(values) * float(values[0]):
        s = xp.sqrt(values)
        outer = tall @ (inner / s)
        return (inner, s, outer) if wide else (outer, s, inner)
    return _first(single_svd(cross), rank)


def _first(parts: tuple[Array, Array, Array], rank: int) -> tuple[Array, Array, Array]:
    u, s, vh = parts
    rank = min(rank, int(s.shape[0]))
    return u[:, :rank], s[:rank], namespace(u).matrix_transpose(vh)[:, :rank]
