"""Every row of the table of cells, through the public layers and through `check_cell`."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bptt.cells.table import CELLS
from bptt.testing import check_cell
from problem import Problem, close, every_cell, every_dtype, named
from reference import REFERENCES, stack

small = st.tuples(
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(1, 7),
    st.integers(1, 3),
    st.integers(0, 999),
)


def away_from_the_kink(traces, parameters):
    """Differences are no derivatives where relu's argument changes sign between them."""
    for layer, trace in enumerate(traces):
        weight_ih, weight_hh, bias_ih, bias_hh = stack.weights_of(parameters, layer)
        for step in trace:
            a = step.x @ weight_ih.T + bias_ih + step.h_prev @ weight_hh.T + bias_hh
            if np.abs(a).min() < 1e-3:
                return False
    return True


@pytest.mark.interpreted
@every_cell
def test_the_battery(name, jit_disabled):
    check_cell(CELLS[name], REFERENCES[name], sizes=[(1, 1, 1, 1), (3, 5, 2, 3)] if jit_disabled else None)


def test_every_cell_has_a_reference():
    assert REFERENCES.keys() == CELLS.keys()


@pytest.mark.interpreted
@every_cell
@every_dtype
@given(shape=small)
def test_stacked_layers_match_the_naive_loops(name, dtype, shape):
    problem = Problem(name, *shape, dtype=dtype)
    problem.check()


@every_cell
@given(shape=small)
def test_central_differences_of_every_entry(name, shape):
    problem = Problem(name, *shape)
    _, _, tape = problem.run()
    g = problem.backward(tape)
    if name == "rnn_relu":
        _, _, _, traces = problem.reference()
        assume(away_from_the_kink(traces, problem.layer.parameters))
    nudge = 1e-4
    for key, value, loss in problem.places():
        # All entries of a large array cost too much: twelve of them, others in every example.
        entries = np.random.default_rng(problem.x.size).permutation(value.size)[:12]
        slopes = []
        for entry in entries:
            both = []
            for sign in (1, -1):
                moved = value.copy()
                moved.flat[entry] += sign * nudge
                both.append(loss(moved))
            slopes.append((both[0] - both[1]) / (2 * nudge))
        error = np.abs(np.array(slopes) - g[key].flat[entries]).max()
        largest = np.abs(g[key]).max()
        # 1e-10: the rounding of a loss of order 10 over the width of the difference.
        assert error <= 1e-6 * largest + 1e-10, f"{key}: {error / largest:.2e} of the largest entry"


@every_cell
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_adjoint_identity(name, num_layers):
    # <u, J v> by a complex step through the reference, <J^T u, v> by the layer: any number of inputs at once.
    problem = Problem(name, 6, 4, 3, 9, num_layers, seed=num_layers)
    _, _, tape = problem.run()
    g = problem.backward(tape)
    rng = np.random.default_rng(1)
    v = {key: rng.normal(size=value.shape) for key, value, _ in problem.places()}
    x = problem.x + 1e-30j * v["x"]
    state = tuple(part + 1e-30j * v[f"state {k}"] for k, part in enumerate(problem.state))
    parameters = {key: value + 1e-30j * v[key] for key, value in problem.layer.parameters.items()}
    y, last, _ = stack.forward(problem.cell, x, state, parameters)
    left = (y * problem.dy).sum() + sum((p * d).sum() for p, d in zip(last, problem.dstate, strict=True))
    right = sum((g[key] * v[key]).sum() for key in v)
    terms = sum(np.abs(g[key] * v[key]).sum() for key in v)
    assert abs(left.imag / 1e-30 - right) <= 1e-13 * terms


@every_cell
def test_every_gate_of_every_layer_has_a_gradient_that_depends_on_every_gate(name):
    problem = Problem(name, 5, 4, 3, 6, 2)
    _, _, tape = problem.run()
    g = problem.backward(tape)
    H = 6
    for key, view in problem.layer.parameters.items():
        for first in range(0, len(view), H):
            assert np.abs(g[key][first : first + H]).max() > 1e-4, f"{key}: no gradient in rows {first}.."
            if name == "rnn_identity":  # the derivatives of a linear network do not depend on its biases
                continue
            before = view[first : first + H].copy()
            view[first : first + H] *= -1  # far enough for relu, whose slope is constant between its kinks
            moved = problem.backward(problem.run()[2])
            view[first : first + H] = before
            for other in problem.layer.parameters:
                assert np.abs(moved[other] - g[other]).max() > 1e-6, f"rows {first}.. of {key} do not move d{other}"


@every_cell
@every_dtype
def test_absent_errors(name, dtype):
    problem = Problem(name, 5, 3, 2, 7, 2, dtype=dtype)
    _, _, tape = problem.run()
    nothing = tuple(np.zeros_like(part) for part in problem.dstate)
    last_step = np.where(np.arange(5)[:, None, None] == 4, problem.dy, 0).astype(dtype)
    first_step = np.where(np.arange(5)[:, None, None] == 0, problem.dy, 0).astype(dtype)
    situations = {
        "dy only": (problem.dy, nothing),
        "dstate only": (np.zeros_like(problem.dy), problem.dstate),
        "last step only": (last_step, nothing),
        "first step only": (first_step, nothing),
    }
    for situation, (dy, dstate) in situations.items():
        _, _, expected, _ = problem.reference(dy, dstate)
        got = problem.backward(tape, dy, dstate)
        largest = max(np.abs(value).max() for value in expected.values())
        for key, value in expected.items():
            assert np.abs(got[key] - value).max() <= problem.tolerance * largest, f"{situation}: {key}"
    left_out = problem.layer.backward(problem.dy, tape, errors="h")
    for key, value in problem.backward(tape, problem.dy, nothing).items():
        np.testing.assert_array_equal(named(left_out)[key], value, err_msg=key)
    # Nothing comes back past the only step with an error.
    assert not problem.backward(tape, first_step, nothing)["errors"][:, 1:].any()


@every_cell
@every_dtype
@pytest.mark.parametrize("num_layers", [1, 3])
def test_steps_of_one_are_a_sequence(name, dtype, num_layers):
    problem = Problem(name, 6, 5, 3, 17, num_layers, dtype=dtype)
    y, last, tape = problem.run()
    g = problem.backward(tape)
    state, tapes = problem.state, []
    for t in range(6):
        y_t, state, tape_t = problem.run(x=problem.x[t : t + 1], state=state)
        np.testing.assert_array_equal(y_t[0], y[t])
        tapes.append(tape_t)
    for part, expected in zip(state, last, strict=True):
        np.testing.assert_array_equal(part, expected)
    dstate = problem.dstate
    for t in reversed(range(6)):
        g_t = problem.backward(tapes[t], problem.dy[t : t + 1], dstate)
        np.testing.assert_array_equal(g_t["x"][0], g["x"][t])
        np.testing.assert_array_equal(g_t["errors"][:, 0], g["errors"][:, t])
        dstate = tuple(g_t[f"state {k}"] for k in range(len(state)))
    for k, part in enumerate(dstate):
        np.testing.assert_array_equal(part, g[f"state {k}"])


@every_cell
@every_dtype
def test_nan_in_a_weight_is_never_lost(name, dtype):
    # In x it is refused; in a weight of unit 0 it meets unit 0 at the first step and all units at the second.
    problem = Problem(name, 4, 3, 2, 5, 2, dtype=dtype)
    problem.layer.parameters["weight_ih_l0"][0, 0] = np.nan
    y, last, tape = problem.run()
    assert np.isnan(tape.h[0][1, :, 0]).all()
    assert np.isfinite(tape.h[0][1, :, 1:]).all()
    assert np.isnan(y).all()
    assert all(np.isnan(part).all() for part in last)
    g = problem.backward(tape)
    assert all(np.isnan(g[key]).all() for key in problem.layer.parameters)


@every_cell
def test_float32_follows_float64(name):
    single, double = (Problem(name, 7, 5, 9, 19, 2, dtype=dtype) for dtype in ("float32", "float64"))
    tapes = single.run(), double.run()
    close(tapes[0][0].astype("f8"), tapes[1][0], 2 * single.tolerance, "y")
    expected = double.backward(tapes[1][2])
    for key, value in single.backward(tapes[0][2]).items():
        assert value.dtype == np.float32
        close(value.astype("f8"), expected[key], 2 * single.tolerance, key)
