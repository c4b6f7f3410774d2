"""The one place where arrays of different libraries meet.

Solvers and maps speak the array API of whatever library the caller's arrays belong to (numpy, torch, CuPy,
array-api-strict). Only this module converts between libraries, and only it may import torch, cupyx or scipy,
inside functions.
"""

from __future__ import annotations

from typing import Any

import array_api_compat as compat
import array_api_compat.numpy as numpy_namespace
import numpy as np

from stitchkit.core.errors import InputError

Array = Any  # an array of any library that array-api-compat knows
FEW_BEST = 8  # up to this k, k argmax passes are faster than a partition


def as_array(values: Any, what: str = "array") -> Array:
    """``values`` unchanged if it is an array of a known library (detached if torch), else a numpy array."""
    if compat.is_torch_array(values):
        return values.detach()
    if compat.is_array_api_obj(values):
        return values
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InputError(f"{what} is not a rectangular array: {error}. Pass an (n, d) array.") from error
    if array.dtype == object:
        raise InputError(f"{what} holds Python objects, not numbers. Pass an (n, d) array of floats.")
    return array


def namespace(*arrays: Array) -> Any:
    """The array-API namespace shared by ``arrays``; mixing libraries is an error."""
    if arrays and all(type(one) is np.ndarray for one in arrays):  # look-ups were 11 % of the time of ``compare``
        return numpy_namespace
    try:
        return compat.array_namespace(*arrays)
    except TypeError as error:
        kinds = ", ".join(type(a).__module__.split(".")[0] for a in arrays)
        raise InputError(f"arrays of different libraries were mixed ({kinds}). Convert one side first.") from error


def float64(array: Array) -> Array:
    """``array`` in double precision, on its own device."""
    xp = namespace(array)
    try:
        return xp.astype(array, xp.float64, copy=False)
    except (TypeError, RuntimeError) as error:
        place = compat.device(array)
        raise InputError(f"device {place} has no float64, which fitting needs. Move the vectors to the CPU.") from error


def working_float(array: Array) -> Array:
    """``array`` in the precision maps are applied in: float64 stays, anything narrower becomes float32."""
    xp = namespace(array)
    if array.dtype in (xp.float64, xp.float32):
        return array
    if isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.dtype.itemsize >= 4:
        # the other byte order, or wider than double: equal to neither of the two above
        return array.astype(np.float64 if array.dtype.itemsize >= 8 else np.float32)
    narrow = not xp.isdtype(array.dtype, "integral") and not xp.isdtype(array.dtype, "bool")
    return xp.astype(array, xp.float32 if narrow else xp.float64)


def to_numpy(array: Array) -> np.ndarray:
    """A numpy copy or view of ``array``, whatever library and device it lives on."""
    if isinstance(array, np.ndarray):
        return array
    if compat.is_torch_array(array):
        # numpy has no bfloat16; float32 holds all of its values exactly
        host = array.detach().cpu()
        return np.asarray(host.float().numpy() if str(host.dtype) == "torch.bfloat16" else host.numpy())
    if compat.is_cupy_array(array):
        return np.asarray(array.get())
    return np.asarray(array)


def lent(array: Array) -> Array:
    """Numpy's view of a torch array in main memory, for which numpy is faster; any other ``array`` unchanged."""
    borrowed = compat.is_torch_array(array) and array.device.type == "cpu" and str(array.dtype) != "torch.bfloat16"
    return array.detach().numpy() if borrowed else array


def like(array: Array, reference: Array, *, dtype: Any = None) -> Array:
    """``array`` in the library and on the device of ``reference`` (dtype kept unless given)."""
    xp = namespace(reference)
    same = type(array) is type(reference) and compat.device(array) == compat.device(reference)
    moved = array if same else xp.asarray(to_numpy(array), device=compat.device(reference))
    return moved if dtype is None else xp.astype(moved, dtype, copy=False)


def take(array: Array, index: np.ndarray) -> Array:
    """Rows ``index`` of ``array``; ``index`` is a numpy integer array."""
    if isinstance(array, np.ndarray):
        return array[index]
    xp = namespace(array)
    return xp.take(array, xp.asarray(np.ascontiguousarray(index), device=compat.device(array)), axis=0)


def device_of(array: Array) -> Any:
    """The device of ``array``, as its library names it."""
    return compat.device(array)


def solve_triangular(factor: Array, right: Array, *, lower: bool) -> Array:
    """``z`` with ``factor @ z = right`` for a triangular ``factor`` (d, d); the array API lacks this one."""
    if isinstance(factor, np.ndarray):
        from scipy.linalg import solve_triangular as scipy_solve

        return scipy_solve(factor, right, lower=lower, check_finite=False)
    if compat.is_torch_array(factor):
        import torch

        return torch.linalg.solve_triangular(factor, right, upper=not lower)
    if compat.is_cupy_array(factor):
        from cupyx.scipy.linalg import solve_triangular as cupy_solve

        return cupy_solve(factor, right, lower=lower)
    return namespace(factor, right).linalg.solve(factor, right)


def cholesky_or_none(matrix: Array) -> Array | None:
    """The lower Cholesky factor of ``matrix`` (d, d), or None where it is not positive definite."""
    if compat.is_torch_array(matrix):
        import torch

        factor, info = torch.linalg.cholesky_ex(matrix)
        return factor if int(info) == 0 else None
    xp = namespace(matrix)
    try:
        factor = xp.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return None
    return factor if bool(xp.all(xp.isfinite(factor))) else None  # CuPy returns NaN instead of raising


def svd(matrix: Array) -> tuple[Array, Array, Array]:
    """Thin singular value decomposition ``u, s, vh`` of ``matrix`` (m, n), singular values falling.

    LAPACK's divide and conquer sometimes fails to converge on a finite matrix. Then the transpose is tried, and at
    last QR iteration on the host.
    """
    xp = namespace(matrix)
    try:
        u, s, vh = xp.linalg.svd(matrix, full_matrices=False)
        return u, s, vh
    except _non_convergence(matrix):
        pass
    try:
        v, s, uh = xp.linalg.svd(xp.matrix_transpose(matrix), full_matrices=False)
        return xp.matrix_transpose(uh), s, xp.matrix_transpose(v)
    except _non_convergence(matrix):
        from scipy.linalg import svd as scipy_svd

        parts = scipy_svd(to_numpy(matrix), full_matrices=False, lapack_driver="gesvd")
        return tuple(like(part, matrix) for part in parts)


def draft_eigh(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues (d,), rising, and eigenvectors (d, d) of a symmetric ``matrix`` in its own precision.

    numpy works on single precision in double, which takes twice the time; scipy does not.
    """
    if isinstance(matrix, np.ndarray) and matrix.dtype == np.float32:
        from scipy.linalg import eigh

        result: tuple[Array, Array] = eigh(matrix, driver="evd", check_finite=False)
        return result
    values, vectors = namespace(matrix).linalg.eigh(matrix)
    return values, vectors


def single_svd(matrix: Array) -> tuple[Array, Array, Array]:
    """:func:`svd` of a ``matrix`` (m, n) in single precision, which numpy works on in double and scipy does not."""
    if isinstance(matrix, np.ndarray):
        from scipy.linalg import svd as scipy_svd

        try:
            u, s, vh = scipy_svd(matrix, full_matrices=False, check_finite=False)
            return u, s, vh
        except np.linalg.LinAlgError:
            pass
    xp = namespace(matrix)
    return tuple(xp.astype(part, matrix.dtype, copy=False) for part in svd(matrix))


def machine_eps(array: Array) -> float:
    """Distance from 1 to the next number in the precision of ``array``."""
    return float(namespace(array).finfo(array.dtype).eps)


def _non_convergence(matrix: Array) -> type[Exception]:
    """Exception that the library of ``matrix`` raises when a decomposition does not converge."""
    if compat.is_torch_array(matrix):
        import torch

        return torch.linalg.LinAlgError  # type: ignore[attr-defined]
    return np.linalg.LinAlgError


def _by_repeated_argmax(rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """:func:`top_k` by ``k`` argmax passes; for small ``k`` faster in numpy than a partition of positions."""
    rest, line = rows.copy(), np.arange(len(rows))
    where, values = np.empty((len(rows), k), dtype=np.int64), np.empty((len(rows), k), dtype=rows.dtype)
    for place in range(k):
        where[:, place] = rest.argmax(axis=1)
        values[:, place] = rest[line, where[:, place]]
        rest[line, where[:, place]] = -np.inf
    return where, values


def top_k(rows: Array, k: int) -> tuple[Array, Array]:
    """Positions and values (n, k) of the ``k`` largest entries of each of ``rows`` (n, m), largest first."""
    if compat.is_torch_array(rows):
        import torch

        if k <= FEW_BEST and rows.device.type == "cpu" and rows.dtype in (torch.float32, torch.float64):
            where, values = _by_repeated_argmax(rows.numpy(), k)  # a view, not a copy
            return torch.from_numpy(where), torch.from_numpy(values)
        best = rows.topk(k, dim=1)
        return best.indices, best.values
    if isinstance(rows, np.ndarray) and rows.dtype.kind == "f" and k <= FEW_BEST:
        return _by_repeated_argmax(rows, k)
    xp = namespace(rows)
    if isinstance(rows, np.ndarray) or compat.is_cupy_array(rows):
        largest = xp.argpartition(rows, rows.shape[1] - k, axis=1)[:, rows.shape[1] - k :]
        values = xp.take_along_axis(rows, largest, axis=1)
        order = xp.argsort(-values, axis=1)
        return xp.take_along_axis(largest, order, axis=1), xp.take_along_axis(values, order, axis=1)
    order = xp.argsort(rows, axis=1, descending=True)[:, :k]
    return order, xp.take_along_axis(rows, order, axis=1)


def best_values(rows: Array, k: int) -> Array:
    """The ``k`` largest entries (n, k) of each of ``rows`` (n, m), all where k > m, in no order: faster than top_k."""
    xp, k = namespace(rows), min(k, int(rows.shape[1]))
    if isinstance(rows, np.ndarray) or compat.is_cupy_array(rows):
        return xp.partition(rows, rows.shape[1] - k, axis=1)[:, rows.shape[1] - k :]
    if compat.is_torch_array(rows):
        return rows.topk(k, dim=1, sorted=False).values
    return xp.sort(rows, axis=1, descending=True)[:, :k]


def eye_like(array: Array, width: int) -> Array:
    """The identity (width, width) in the library, dtype and place of ``array``."""
    return namespace(array).eye(width, dtype=array.dtype, device=compat.device(array))


def zeros_like_width(array: Array, width: int) -> Array:
    """Zeros (width,) in the library, dtype and place of ``array``."""
    return namespace(array).zeros(width, dtype=array.dtype, device=compat.device(array))


def kth_largest(rows: Array, k: int) -> tuple[Array, Array]:
    """The ``k``-th and the next largest entry of each of ``rows`` (n, m), both (n, 1), for 1 <= k < m.

    By a partition instead of a sort: on the CPU numpy's, which works on a view of torch's memory.
    """
    cut = int(rows.shape[1]) - k
    if compat.is_torch_array(rows):
        if rows.device.type != "cpu":
            largest = rows.topk(k + 1, dim=1).values
            return largest[:, k - 1 : k], largest[:, k:]
        last, following = kth_largest(rows.numpy(), k)
        return namespace(rows).asarray(last), namespace(rows).asarray(following)
    xp = namespace(rows)
    known = isinstance(rows, np.ndarray) or compat.is_cupy_array(rows)
    parted = xp.partition(rows, cut, axis=1) if known else xp.sort(rows, axis=1)
    return parted[:, cut : cut + 1], xp.max(parted[:, :cut], axis=1, keepdims=True)
