"""Closest vectors on your own matrices: every algorithm of nearplane on numpy arrays, in double.

Problem: per row w of `target`, min over integers z of (w - q)^T H (w - q), q = step (z - zero), H = X^T X; that is the
closest vector to X w in the lattice with basis X diag(step).

    >>> import numpy as np
    >>> from nearplane import lattice
    >>> x = np.random.default_rng(0).normal(size=(64, 8))
    >>> w = np.random.default_rng(1).normal(size=(3, 8))
    >>> plane = lattice.solve(w, gram=x.T @ x, step=0.5)
    >>> best = lattice.solve(w, gram=x.T @ x, step=0.5, solver="enumeration")
    >>> bool((best.error <= plane.error).all() and (plane.error <= plane.bound).all())
    True
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearplane import _lattice

Error = _lattice.Error  #: bad input, a ValueError that names matrix, entry and number

SOLVERS = ("nearest_plane", "gptq", "obq", "kbest", "klein", "enumeration", "reduced_plane", "embedding")
ORDERS = ("natural", "act", "min_pivot")


@dataclass(frozen=True)
class Solution:
    """Codes of all rows and what is known about them. m targets, n coordinates, r of them in the order."""

    codes: NDArray[np.int64]  #: [m, n]
    errors: NDArray[np.float64]  #: [m, r] error coordinates by position; their squares sum to `error`
    error: NDArray[np.float64]  #: [m] (w - q)^T (H + shift I) (w - q)
    bound: NDArray[np.float64]  #: [m] worst case of nearest plane, for codes that are not at an end of the range
    optimal: NDArray[np.bool_]  #: [m] proved: no other codes are closer
    nodes: NDArray[np.int64]  #: [m] partial solutions looked at
    order: NDArray[np.int64]  #: [r] position -> coordinate
    pivots: NDArray[np.float64]  #: [r] L_kk
    damping: float  #: lambda in the end
    shift: float  #: what it added to the diagonal
    repairs: int  #: times lambda was raised because H could not be factored


def _matrix(name: str, value: ArrayLike) -> NDArray[np.float64]:
    array = np.ascontiguousarray(value, dtype=np.float64)
    if array.ndim != 2:
        raise Error(f"{name}: has {array.ndim} dimensions, not 2")
    return array


def _per_column(name: str, value: Optional[ArrayLike], shape: Tuple[int, int]) -> NDArray[np.float64]:
    if value is None:
        return np.empty(0)
    array = np.asarray(value, dtype=np.float64)
    if array.ndim == 0:
        array = np.full(shape[1], float(array))
    if array.shape not in ((shape[1],), shape):
        raise Error(f"{name}: shape {array.shape} is neither ({shape[1]},) nor {shape}")
    return np.ascontiguousarray(array)


def _choice(name: str, value: str, choices: Sequence[str]) -> int:
    if value not in choices:
        raise Error(f"{name}: '{value}' is none of {', '.join(choices)}")
    return choices.index(value)


def solve(
    target: ArrayLike,
    *,
    gram: Optional[ArrayLike] = None,
    data: Optional[ArrayLike] = None,
    step: ArrayLike = 1.0,
    zero: Optional[ArrayLike] = None,
    range: Optional[Tuple[int, int]] = None,
    solver: str = "nearest_plane",
    order: Union[str, Sequence[int], NDArray[np.int64]] = "natural",
    damping: float = 0.0,
    beam: int = 8,
    tries: int = 100,
    temperature: float = 0.0,
    seed: int = 0,
    budget: int = 1_000_000,
    block: int = 0,
    descent: int = 0,
) -> Solution:
    """Codes z [m, n] for target [m, n] and either gram [n, n] or data [t, n].

    step, zero: a number, [n] or [m, n]. range: (low, high) of the codes, both included. solver: one of SOLVERS. order:
    one of ORDERS, or a permutation of the coordinates. damping: lambda of H + lambda mean(diag H) I. beam: of kbest.
    tries, temperature, seed: of klein. budget: nodes per row of enumeration. block: BKZ block of reduced_plane and
    embedding, 0 for LLL. descent: rounds of changing codes by one while the error falls. Raises Error.
    """
    w = _matrix("target", target)
    named = isinstance(order, str)
    settings = {
        "solver": _choice("solver", solver, SOLVERS),
        "order": _choice("order", order, ORDERS) if named else len(ORDERS),
        "given_order": [] if named else [int(j) for j in order],
        "damping": float(damping), "beam": int(beam), "tries": int(tries), "temperature": float(temperature),
        "seed": int(seed), "budget": int(budget), "block": int(block), "descent": int(descent),
    }
    low, high = range if range is not None else (0, 0)
    out = _lattice.solve(
        w.shape[0], w.shape[1], w,
        np.empty((0, 0)) if gram is None else _matrix("gram", gram),
        np.empty((0, 0)) if data is None else _matrix("data", data),
        _per_column("step", step, w.shape), _per_column("zero", zero, w.shape),
        range is not None, int(low), int(high), settings)
    out["optimal"] = out["optimal"].astype(bool)
    return Solution(**out)


def eigenvalues(gram: ArrayLike) -> NDArray[np.float64]:
    """Eigenvalues of a Gram matrix [n, n], ascending."""
    h = _matrix("gram", gram)
    if h.shape[0] != h.shape[1]:
        raise Error(f"gram: shape {h.shape} is not square")
    return _lattice.eigenvalues(h, h.shape[0])


def error_limit(gram: ArrayLike, variances: ArrayLike, bits: float) -> float:
    """Least mean error, summed over rows, of any code with `bits` per weight for Gaussian weights, row i with variance
    variances[i]: reverse water-filling over the eigenvalues of H."""
    return _lattice.limit(eigenvalues(gram), np.ascontiguousarray(variances, dtype=np.float64), float(bits))
