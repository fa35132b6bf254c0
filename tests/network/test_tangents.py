"""Derivatives along a direction: against complex steps, and the adjoint identity."""

import numpy as np
import pytest

import bptt
from bptt.cells.tangents import TANGENTS
from problem import Problem, as_state, as_tuple, close, every_cell
from reference import stack

SIZES = (7, 3, 4, 5)


def direction(problem, seed=5):
    rng = np.random.default_rng(seed)
    dx = rng.normal(size=problem.x.shape)
    dstate = tuple(rng.normal(size=part.shape) for part in problem.state)
    return dx, dstate, {key: rng.normal(size=value.shape) for key, value in problem.layer.parameters.items()}


@every_cell
@pytest.mark.parametrize("L", [1, 2])
def test_outputs_along_a_direction_by_a_complex_step(name, L):
    problem = Problem(name, *SIZES, L)
    dx, dstate, dparameters = direction(problem)
    (y, last), (dy, dlast) = problem.layer.jvp(
        problem.x, as_state(problem.state), dx=dx, dstate=as_state(dstate), dparameters=dparameters
    )
    parameters = {key: value + 1e-30j * dparameters[key] for key, value in problem.layer.parameters.items()}
    state = tuple(part + 1e-30j * d for part, d in zip(problem.state, dstate, strict=True))
    y_expected, last_expected, _ = stack.forward(problem.cell, problem.x + 1e-30j * dx, state, parameters)
    close(y, y_expected.real, 1e-12, "y")
    close(dy, y_expected.imag / 1e-30, 1e-12, "dy")
    assert np.abs(dy).max() > 0.1
    for part, d, expected in zip(as_tuple(last), as_tuple(dlast), last_expected, strict=True):
        close(part, expected.real, 1e-12, "state")
        close(d, expected.imag / 1e-30, 1e-12, "dstate")


@every_cell
@pytest.mark.parametrize("L", [1, 2])
def test_the_gradient_along_a_direction_by_a_complex_step_through_the_oracle(name, L):
    """The oracle's backward pass is complex-analytic, too: its imaginary part is the Hessian times the direction."""
    problem = Problem(name, *SIZES, L)
    dx, dstate, dparameters = direction(problem)
    state = as_state(problem.state)
    # sum(dy y) + sum(y^2): a loss with a curvature of its own.
    y, _, _ = problem.layer.forward(problem.x, state)
    got = problem.layer.hvp(
        problem.x,
        problem.dy + 2 * y,
        state,
        ddy=lambda v: 2 * v,
        dx=dx,
        dstate=as_state(dstate),
        dparameters=dparameters,
    )
    parameters = {key: value + 1e-30j * dparameters[key] for key, value in problem.layer.parameters.items()}
    moved = tuple(part + 1e-30j * d for part, d in zip(problem.state, dstate, strict=True))
    y, _, traces = stack.forward(problem.cell, problem.x + 1e-30j * dx, moved, parameters)
    none = tuple(np.zeros_like(part) for part in problem.state)
    g = stack.backward(problem.cell, problem.dy + 2 * y, none, traces, parameters)
    for key, value in got.parameters.items():
        expected = g[key].imag / 1e-30
        assert np.abs(expected).max() > 1e-3, key
        close(value, expected, 1e-11, key)
    close(got.x, g["x"].imag / 1e-30, 1e-11, "x")
    for part, expected in zip(as_tuple(got.state), g["state"], strict=True):
        close(part, expected.imag / 1e-30, 1e-11, "state")


@every_cell
def test_the_hessian_is_symmetric_and_the_jacobian_has_its_adjoint(name):
    problem = Problem(name, *SIZES, 2)
    (dx, dstate, v), (_, _, w) = direction(problem), direction(problem, 6)
    state = as_state(problem.state)
    Hv = problem.layer.hvp(problem.x, problem.dy, state, dparameters=v)
    Hw = problem.layer.hvp(problem.x, problem.dy, state, dparameters=problem.layer.flat * 0 + np.concatenate(
        [part.ravel() for part in w.values()]))  # fmt: skip
    left = sum((w[key] * Hv.parameters[key]).sum() for key in w)
    right = sum((v[key] * Hw.parameters[key]).sum() for key in v)
    np.testing.assert_allclose(left, right, rtol=1e-10)
    _, (dy, _) = problem.layer.jvp(problem.x, state, dx=dx, dstate=as_state(dstate), dparameters=v)
    _, _, tape = problem.layer.forward(problem.x, state)
    g = problem.layer.backward(problem.dy, tape)
    adjoint = (g.x * dx).sum() + sum((g.parameters[key] * v[key]).sum() for key in v)
    adjoint += sum((part * d).sum() for part, d in zip(as_tuple(g.state), dstate, strict=True))
    np.testing.assert_allclose((dy * problem.dy).sum(), adjoint, rtol=1e-10)


def test_batch_first_and_float32():
    for options in ({"batch_first": True}, {}):
        problem = Problem("lstm", *SIZES, 2, dtype="float32", **options)
        turn = (lambda a: a.swapaxes(0, 1)) if options else (lambda a: a)
        double = Problem("lstm", *SIZES, 2)
        dx, _, v = direction(problem)
        small = {key: value.astype("f4") for key, value in v.items()}
        (_, _), (dy, _) = problem.layer.jvp(turn(problem.x), dx=turn(dx).astype("f4"), dparameters=small)
        (_, _), (expected, _) = double.layer.jvp(double.x, dx=dx, dparameters=v)
        close(turn(dy), expected, 1e-4, "dy")
        g = problem.layer.hvp(turn(problem.x), turn(problem.dy), ddy=turn(problem.dy), dparameters=small)
        expected = double.layer.hvp(double.x, double.dy, ddy=double.dy, dparameters=v)
        close(turn(g.x), expected.x, 1e-4, "dx")
        assert g.flat.dtype == np.float32
        close(g.flat, expected.flat, 1e-4, "parameters")


def test_a_cell_without_its_formulas_is_refused(monkeypatch):
    monkeypatch.delitem(TANGENTS, "gru")
    with pytest.raises(NotImplementedError, match=r"bptt.cells.tangents for the cell gru; there are rows for rnn_tanh"):
        bptt.GRU(2, 3).jvp(np.ones((4, 2, 2), "float32"))


def test_bad_directions_are_named():
    layer = bptt.GRU(2, 3, 2, dropout=0.5)
    x = np.ones((4, 2, 2), "float32")
    with pytest.raises(ValueError, match=r"dropout must be off .* call eval\(\)"):
        layer.jvp(x)
    layer.eval()
    with pytest.raises(ValueError, match=r"dparameters must be .*weight_ih_l0"):
        layer.jvp(x, dparameters={"weight": x})
    with pytest.raises(ValueError, match="dparameters"):
        layer.jvp(x, dparameters=np.ones(3, "float32"))
    with pytest.raises(ValueError, match="dx"):
        layer.jvp(x, dx=x[:2])
    with pytest.raises(ValueError, match="ddy"):
        layer.hvp(x, np.ones((4, 2, 3), "float32"), ddy=x)
