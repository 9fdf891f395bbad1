"""Quantities of a linear system that do not depend on the coordinates of its state, and the way back from them."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Complex, Float

from identax.checks import check_count, check_finite, concrete
from identax.inputs import float_type, numbers


def markov_parameters(
    A: ArrayLike | Sequence[Any], B: ArrayLike | Sequence[Any], C: ArrayLike | Sequence[Any], count: int
) -> Float[Array, "count d_y d_u"]:
    """Impulse response G_j = C A^j B for j = 0 .. count - 1: what y_{t+1+j} sees of u_t.

    `A` [d_x, d_x], `B` [d_x, d_u], `C` [d_y, d_x]. The same for (S A S^-1, S B, C S^-1) with any invertible S.
    Raises `ValueError` for shapes that do not fit, complex entries, count < 1, and parameters that are known to leave
    the range of their type, as those of unstable systems do.
    Source: Rajendran et al. 2024, section 2 (Markov parameters).
    """
    dtype, a, b, c = _system("markov_parameters", A=A, B=B, C=C)
    check_count("markov_parameters", "count", count)
    return _rounded("markov_parameters", "C A^j B", _matmul(c, _powers(a, b, count)), dtype)


def transfer_function(
    A: ArrayLike | Sequence[Any],
    B: ArrayLike | Sequence[Any],
    C: ArrayLike | Sequence[Any],
    z: ArrayLike | Sequence[Any],
) -> Complex[Array, "..."]:
    """H(z) = C (z I - A)^-1 B, the z-transform of y over that of u; z of any shape, real or complex.

    `A` [d_x, d_x], `B` [d_x, d_u], `C` [d_y, d_x]. Returns [*z.shape, d_y, d_u]; infinities or NaN at a pole (an
    eigenvalue of A). Known values are computed with in complex128 on the host and rounded at the end. The frequency
    response at f cycles per step is H(exp(2 pi i f)).
    Raises `ValueError` for shapes that do not fit.
    Source: Rajendran et al. 2024, corollary 11.
    """
    dtype, a, b, c = _system("transfer_function", A=A, B=B, C=C)
    points = jnp.asarray(z)
    dtype = jnp.result_type(jnp.complex64, jnp.zeros((), dtype), points)
    known, shape = concrete(z), (*points.shape, c.shape[0], b.shape[1])
    if known is not None and isinstance(a, np.ndarray):
        with np.errstate(all="ignore"):
            return jnp.asarray(_known_responses(a, b, c, known.reshape(-1)).reshape(shape).astype(dtype))
    a, b, c = (jnp.asarray(matrix, dtype) for matrix in (a, b, c))
    identity = jnp.eye(a.shape[0], dtype=dtype)

    def response(point):
        return _matmul(c, jnp.linalg.solve(point * identity - a, b))

    return jax.vmap(response)(points.astype(dtype).reshape(-1)).reshape(shape)


def _known_responses(A, B, C, points):
    differences = points[:, None, None] * np.eye(A.shape[0], dtype=complex) - A
    try:
        return C @ np.linalg.solve(differences, np.broadcast_to(B, (len(points), *B.shape)))
    except np.linalg.LinAlgError:  # a pole among them: NaN there alone
        if len(points) == 1:
            return np.full((1, C.shape[0], B.shape[1]), np.nan + 0j)
        return np.concatenate([_known_responses(A, B, C, points[i : i + 1]) for i in range(len(points))])


def controllability(A: ArrayLike | Sequence[Any], B: ArrayLike | Sequence[Any]) -> Float[Array, "d_x columns"]:
    """[B, A B, ..., A^(d_x - 1) B], [d_x, d_x d_u]: rank d_x if and only if every state can be reached.

    `A` [d_x, d_x], `B` [d_x, d_u]. Raises `ValueError` for shapes that do not fit.
    Source: Kalman 1963, Mathematical description of linear dynamical systems.
    """
    dtype, a, b = _system("controllability", A=A, B=B)
    powers = _powers(a, b, a.shape[0])
    return _rounded("controllability", "A^j B", powers.swapaxes(0, 1).reshape(a.shape[0], -1), dtype)


def observability(A: ArrayLike | Sequence[Any], C: ArrayLike | Sequence[Any]) -> Float[Array, "rows d_x"]:
    """[C; C A; ...; C A^(d_x - 1)], [d_x d_y, d_x]: rank d_x if and only if the outputs determine the state.

    `A` [d_x, d_x], `C` [d_y, d_x]. Raises `ValueError` for shapes that do not fit.
    Source: Kalman 1963, Mathematical description of linear dynamical systems.
    """
    dtype, a, c = _system("observability", A=A, C=C)
    found = _powers(a.T, c.T, a.shape[0]).swapaxes(1, 2).reshape(-1, a.shape[0])
    return _rounded("observability", "C A^j", found, dtype)


def ho_kalman(
    markov: ArrayLike | Sequence[Any], order: int, *, rows: int | None = None, columns: int | None = None
) -> tuple[Float[Array, "n n"], Float[Array, "n d_u"], Float[Array, "d_y n"]]:
    """A balanced realisation (A, B, C) of `order` states from Markov parameters G_j = C A^j B.

        H_ij = G_{i+j} = (O R)_ij,  H = U S V^T,  O = U S^1/2,  R = S^1/2 V^T,  A = O^+ H_shifted R^+

    with i < rows, j < columns, (H_shifted)_ij = G_{i+j+1}, the first `order` singular values kept; C is the first
    block of O and B that of R. `markov` [count, d_y, d_u] with count >= rows + columns; by default half of count
    each. Exact (up to the coordinates of the state) for exact Markov parameters of a minimal system of that order if
    rows and columns reach its observability and controllability index; otherwise an approximation. Compare transfer
    functions, never matrices.
    Raises `ValueError` for another shape, an order that the block Hankel matrix cannot have, too few Markov
    parameters, non-finite ones, and (where concrete) ones whose rank is below the order at rounding accuracy.
    Source: Ho & Kalman 1966; balanced by singular values as Kung 1978 and Oymak & Ozay 2019.
    """
    given = numbers("ho_kalman", "markov", markov)
    check_finite("ho_kalman", "markov", given, ("count", "d_y", "d_u"))
    dtype, known = float_type(given), concrete(given)
    xp: Any = jnp if known is None else np
    values: Any = jnp.asarray(given, dtype) if known is None else known.astype(np.float64)
    count, num_outputs, num_controls = values.shape
    rows, columns = _blocks(count, rows, columns)
    most = min(rows * num_outputs, columns * num_controls)
    if not 1 <= order <= most:
        raise ValueError(
            f"ho_kalman: found order {order}, wanted 1 to {most} with {rows} x {columns} blocks of "
            f"{num_outputs} x {num_controls}"
        )
    index = xp.arange(rows)[:, None] + xp.arange(columns)[None, :]

    def hankel(shift):
        blocks = xp.moveaxis(values[index + shift], 2, 1)
        return blocks.reshape(rows * num_outputs, columns * num_controls)

    left, sizes, right = xp.linalg.svd(hankel(0), full_matrices=False)
    if known is not None:
        _check_rank(sizes, order, dtype)
    left, root, right = left[:, :order], xp.sqrt(sizes[:order]), right[:order]
    inner = _matmul(_matmul(left.T, hankel(1)), right.T)
    A = inner / (root[:, None] * root[None, :])
    B = root[:, None] * right[:, :num_controls]
    C = left[:num_outputs] * root[None, :]
    return jnp.asarray(A, dtype), jnp.asarray(B, dtype), jnp.asarray(C, dtype)


def _matmul(left, right) -> Any:
    known = isinstance(left, np.ndarray) and isinstance(right, np.ndarray)
    return left @ right if known else jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)


def _powers(A, start, count) -> Any:
    """start, A start, ..., A^(count - 1) start, stacked along a new first axis."""
    if isinstance(A, np.ndarray):
        found = [start]
        with np.errstate(all="ignore"):
            for _ in range(count - 1):
                found.append(A @ found[-1])
        return np.stack(found)

    def step(current, _):
        return _matmul(A, current), current

    return jax.lax.scan(step, start, None, length=count)[1]


def _rounded(where, name, found, dtype):
    """What the host computed, in the type of the matrices; numbers beyond its range are refused."""
    if isinstance(found, jax.Array):
        return found
    if (np.abs(found) > float(jnp.finfo(dtype).max)).any():
        raise ValueError(
            f"{where}: found {name} beyond the range of {np.dtype(dtype).name}, wanted a stable A or fewer powers of it"
        )
    return jnp.asarray(found, dtype)


def _blocks(count, rows, columns):
    if rows is None:
        rows = count // 2 if columns is None else count - columns
    if columns is None:
        columns = count - rows
    if rows < 1 or columns < 1 or rows + columns > count:
        raise ValueError(
            f"ho_kalman: found {count} Markov parameters for {rows} x {columns} blocks, wanted rows, columns >= 1 and "
            "count >= rows + columns (the shifted Hankel matrix needs one more than the first)"
        )
    return rows, columns


def _check_rank(values, order, dtype):
    rank = int((values > len(values) * float(jnp.finfo(dtype).eps) * values[0]).sum())
    if rank < order:
        raise ValueError(f"ho_kalman: found Markov parameters of rank {rank}, wanted at least the order {order}")


def _system(where, **matrices) -> tuple[Any, ...]:
    """Their common floating-point type, and the matrices: in float64 of NumPy where all are known, in that type of JAX.

    `ValueError` unless their shapes fit.
    """
    arrays = {name: numbers(where, name, matrix) for name, matrix in matrices.items()}
    A = arrays["A"]
    if A.ndim != 2 or A.shape[0] != A.shape[1] or A.shape[0] == 0:
        raise ValueError(f"{where}: found A of shape {A.shape}, wanted [d_x, d_x]")
    for name, axis in (("B", 0), ("C", 1)):
        shape = arrays[name].shape if name in arrays else (A.shape[0],) * 2
        if len(shape) != 2 or shape[axis] != A.shape[0] or 0 in shape:
            wanted = f"[{A.shape[0]}, d_u]" if name == "B" else f"[d_y, {A.shape[0]}]"
            raise ValueError(f"{where}: found {name} of shape {shape} for A {A.shape}, wanted {wanted}")
    dtype = float_type(*arrays.values())
    known = [concrete(array) for array in arrays.values()]
    if all(matrix is not None for matrix in known):
        return dtype, *(np.asarray(matrix, np.float64) for matrix in known)
    return dtype, *(jnp.asarray(array, dtype) for array in arrays.values())
