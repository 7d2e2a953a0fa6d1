"""nearplane.lattice against plain numpy: nearest plane by its definition, enumeration by brute force, spectra."""
import doctest
import itertools

import numpy as np
import pytest

from nearplane import lattice


def problem(seed, m=5, n=7):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + 6, n)) + rng.normal(size=(n + 6, 1))
    return rng.normal(size=(m, n)) * 2, x, 0.4 + rng.random(n)


def babai(w, x, step):
    """Gram-Schmidt from the last column back, so that column 0 is decided first."""
    basis, n = x * step, x.shape[1]
    codes = np.zeros(w.shape, np.int64)
    for i, row in enumerate(w):
        residual = x @ row
        for k in range(n):
            later = basis[:, k + 1:]
            g = basis[:, k] - (later @ np.linalg.lstsq(later, basis[:, k], rcond=None)[0] if k + 1 < n else 0)
            codes[i, k] = np.rint(residual @ g / (g @ g))
            residual = residual - codes[i, k] * basis[:, k]
    return codes


@pytest.mark.parametrize("seed", range(20))
def test_nearest_plane_is_babais_in_both_spaces(seed):
    w, x, step = problem(seed)
    expected = babai(w, x, step)
    for given in (dict(gram=x.T @ x), dict(data=x)):
        s = lattice.solve(w, step=step, **given)
        np.testing.assert_array_equal(s.codes, expected)
        d = w - s.codes * step
        np.testing.assert_allclose(s.error, np.einsum("ij,jk,ik->i", d, x.T @ x, d), rtol=1e-9)
        np.testing.assert_allclose((s.errors**2).sum(1), s.error, rtol=1e-12)
        assert (s.error <= s.bound).all()


@pytest.mark.parametrize("seed", range(5))
def test_enumeration_is_brute_force(seed):
    w, x, step = problem(seed, m=4, n=4)
    h = x.T @ x
    s = lattice.solve(w, gram=h, step=step, range=(-2, 2), solver="enumeration", order="act")
    assert s.optimal.all()
    z = np.array(list(itertools.product(range(-2, 3), repeat=4)))
    for i in range(4):
        d = w[i] - z * step
        np.testing.assert_allclose(s.error[i], np.einsum("ij,jk,ik->i", d, h, d).min(), rtol=1e-9)


@pytest.mark.parametrize("solver", lattice.SOLVERS)
def test_every_solver_is_at_least_near(solver):
    w, x, step = problem(3)
    best = lattice.solve(w, gram=x.T @ x, step=step, solver="enumeration").error
    error = lattice.solve(w, gram=x.T @ x, step=step, solver=solver, descent=5).error
    assert (error >= best * (1 - 1e-9)).all()
    assert (error <= lattice.solve(w, gram=x.T @ x, step=step).bound).all()


def test_zero_points_orders_and_matrices_of_steps():
    w, x, step = problem(4)
    h = x.T @ x
    shifted = lattice.solve(w, gram=h, step=step, zero=3)
    np.testing.assert_array_equal(shifted.codes - 3, lattice.solve(w, gram=h, step=np.tile(step, (5, 1))).codes)
    order = [6, 0, 3, 1, 2, 5, 4]
    s = lattice.solve(w, gram=h, step=step, order=order)
    np.testing.assert_array_equal(s.order, order)
    permuted = lattice.solve(w[:, order], gram=h[np.ix_(order, order)], step=step[order])
    np.testing.assert_array_equal(s.codes[:, order], permuted.codes)
    np.testing.assert_allclose(np.sum(np.log(s.pivots)) * 2, np.linalg.slogdet(h)[1])


def test_spectrum_and_limit():
    _, x, _ = problem(5)
    h = x.T @ x
    np.testing.assert_allclose(lattice.eigenvalues(h), np.linalg.eigvalsh(h), rtol=1e-9)
    n = h.shape[0]
    np.testing.assert_allclose(lattice.error_limit(h, [1.0], 12), n * np.linalg.det(h) ** (1 / n) * 4.0**-12, rtol=1e-9)


@pytest.mark.parametrize("change, message", [
    (dict(gram=np.full((7, 7), np.nan)), "gram: entry (0, 0) is nan"),
    (dict(gram=np.eye(6)), "gram: 36 numbers are not 7 x 7"),
    (dict(step=0.0), "step: entry 0 is 0"),
    (dict(order=[0, 0, 1, 2, 3, 4, 5]), "order"),
    (dict(solver="magic"), "none of"),
    (dict(range=(2, 1)), "empty"),
    (dict(data=np.eye(7)), "either"),
])
def test_bad_input_is_named(change, message):
    w, x, _ = problem(6)
    with pytest.raises(ValueError) as error:
        lattice.solve(w, **{"gram": x.T @ x, **change})
    assert message in str(error.value)


def test_the_example_runs():
    assert doctest.testmod(lattice).failed == 0
