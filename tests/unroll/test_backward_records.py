"""What backward hands out of its loop, clipping at every step, and tapes of some steps."""

import numpy as np
import pytest

import bptt
from problem import Problem, as_state, as_tuple, close, every_cell, every_dtype
from reference import lstm

SIZES = (9, 4, 3, 5)


def test_the_error_of_c_is_its_whole_derivative():
    """Complex step: c_t moves, and with it h_t = o tanh(c_t) and all that follows."""
    problem = Problem("lstm", *SIZES, 1)
    _, _, tape = problem.run()
    errors = problem.layer.backward(problem.dy, tape, as_state(problem.dstate), errors=("h", "c")).errors
    weights = tuple(problem.layer.parameters.values())
    rng = np.random.default_rng(1)
    for t in range(SIZES[0]):
        v = rng.normal(size=(4, 5))
        c = tape.layers[0].c[t + 1] + 1e-30j * v
        h = tape.layers[0].gates["o"][t] * np.tanh(c)
        loss = (problem.dy[t] * h).sum()
        last = (h, c)
        if t + 1 < SIZES[0]:
            y, last, _ = lstm.forward(problem.x[t + 1 :], (h, c), *weights)
            loss = loss + (problem.dy[t + 1 :] * y).sum()
        loss = loss + sum((d[0] * part).sum() for d, part in zip(problem.dstate, last, strict=True))
        slope = (errors["c"][0, t] * v).sum()
        assert abs(slope) > 1e-3
        np.testing.assert_allclose(slope, loss.imag / 1e-30, rtol=1e-11)


@every_cell
@every_dtype
def test_the_errors_of_pre_activations_make_all_gradients(name, dtype):
    problem = Problem(name, *SIZES, 2, dtype=dtype)
    _, _, tape = problem.run()
    g = problem.layer.backward(problem.dy, tape, as_state(problem.dstate), errors=("a", *tape.cell.states))
    cell, H = tape.cell, SIZES[3]
    for layer, kept in enumerate(tape.layers):
        da = g.errors["a"][layer].reshape(-1, len(cell.blocks), H)
        h = kept.h[:-1].reshape(-1, H)
        for j in range(len(cell.blocks)):
            for kind, order, source in (("ih", cell.x_order, kept.x), ("hh", cell.h_order, h)):
                if order[j] >= 0:
                    rows = slice(order[j] * H, (order[j] + 1) * H)
                    expected = da[:, j].astype("f8").T @ source
                    close(g.parameters[f"weight_{kind}_l{layer}"][rows], expected, problem.tolerance, f"{kind} {j}")
                    close(g.parameters[f"bias_{kind}_l{layer}"][rows], da[:, j].sum(0), problem.tolerance, "bias")
    assert np.abs(g.errors["a"]).min() > 0 or name == "rnn_relu"


@every_cell
def test_recording_changes_nothing(name):
    problem = Problem(name, *SIZES, 2, dtype="float32")
    _, _, tape = problem.run()
    plain = problem.layer.backward(problem.dy, tape, as_state(problem.dstate))
    recorded = problem.layer.backward(problem.dy, tape, as_state(problem.dstate), errors=("a", "h"))
    np.testing.assert_array_equal(plain.flat, recorded.flat)
    assert plain.errors == {}
    assert plain.clipped is None
    assert list(recorded.errors) == ["a", "h"]


@every_cell
def test_step_by_step_is_all_at_once(name):
    """By tapes of one step each, the error carried by hand; the last ones clipped as `clip_step` does."""
    problem = Problem(name, *SIZES, 1)
    _, _, tape = problem.run()
    for limit in (np.inf, 0.8):
        state = as_state(problem.dstate)
        flat, clipped = np.zeros_like(problem.layer.flat), []
        for t in reversed(range(SIZES[0])):
            g = problem.layer.backward(problem.dy[t : t + 1], tape[t : t + 1], state)
            parts = as_tuple(g.state)
            norms = np.sqrt(sum((part**2).sum(axis=-1, keepdims=True) for part in parts))
            clipped.insert(0, norms[0, :, 0] > limit)
            state = as_state([part * np.minimum(1, limit / norms) for part in parts])
            flat += g.flat
        clip = None if limit == np.inf else ("norm", limit)
        whole = problem.layer.backward(problem.dy, tape, as_state(problem.dstate), clip_step=clip)
        close(whole.flat, flat, 1e-12, "gradient")
        for part, expected in zip(as_tuple(whole.state), as_tuple(state), strict=True):
            close(part, expected, 1e-12, "state")
        if clip:
            np.testing.assert_array_equal(whole.clipped[0], clipped)
            assert whole.clipped.any()


@pytest.mark.parametrize("threads", [1, 2])
def test_values_clipped_as_graves_does(threads):
    problem = Problem("rnn_tanh", *SIZES, 1)
    y, _, tape = problem.run()
    W, U = (problem.layer.parameters[f"weight_{kind}_l0"] for kind in ("ih", "hh"))
    h = np.concatenate([problem.state[0], y])
    dh, dW, dU, counts = problem.dstate[0][0], np.zeros_like(W), np.zeros_like(U), []
    for t in reversed(range(SIZES[0])):
        da = (dh + problem.dy[t]) * (1 - y[t] ** 2)
        counts.insert(0, (np.abs(da) > 0.3).sum(axis=1))
        da = da.clip(-0.3, 0.3)
        dW, dU, dh = dW + da.T @ problem.x[t], dU + da.T @ h[t], da @ U
    before = bptt.get_num_threads()
    bptt.set_num_threads(threads)
    try:
        g = problem.layer.backward(problem.dy, tape, as_state(problem.dstate), clip_step=("value", 0.3), errors=("a",))
    finally:
        bptt.set_num_threads(before)
    np.testing.assert_array_equal(g.clipped[0], counts)
    assert 0 < np.sum(counts) < 9 * 4 * 5
    assert np.abs(g.errors["a"]).max() == 0.3
    close(g.parameters["weight_ih_l0"], dW, 1e-12, "W")
    close(g.parameters["weight_hh_l0"], dU, 1e-12, "U")
    close(g.state[0], dh, 1e-12, "state")


def test_huge_and_zero_errors_are_clipped_to_the_limit():
    layer = bptt.RNN(1, 2, nonlinearity="identity")
    layer.parameters["weight_hh_l0"][...] = [[1e18, 0], [0, 1e18]]
    layer.parameters["weight_ih_l0"][...] = 0
    layer.parameters["bias_ih_l0"][...] = 0
    layer.parameters["bias_hh_l0"][...] = 0
    _, _, tape = layer.forward(np.ones((3, 2, 1), "float32"))
    last = np.array([[3e10, 4e10], [0, 0]], "float32")
    g = layer.backward(None, tape, last=last, clip_step=("norm", 10))
    np.testing.assert_allclose(g.state[0], [[6, 8], [0, 0]], rtol=1e-6)
    np.testing.assert_array_equal(g.clipped[0], [[1, 0]] * 3)
    assert "3 of 6 steps clipped" in repr(g)


@every_cell
@pytest.mark.parametrize("ragged", [False, True])
def test_last_is_an_error_of_each_last_output(name, ragged):
    problem = Problem(name, *SIZES, 2)
    lengths = np.array([9, 2, 5, 7]) if ragged else np.full(4, 9)
    _, _, tape = problem.layer.forward(problem.x, lengths=lengths)
    last = problem.dy[0]
    dy = np.zeros_like(problem.dy)
    dy[lengths - 1, np.arange(4)] = last
    np.testing.assert_array_equal(
        problem.layer.backward(None, tape, last=last).flat, problem.layer.backward(dy, tape).flat
    )
    assert np.abs(problem.layer.backward(dy, tape).flat).min() > 0 or name == "rnn_relu"
    doubled = problem.layer.backward(dy, tape, last=last)
    close(doubled.flat, 2 * problem.layer.backward(dy, tape).flat, 1e-12, "twice")


@every_cell
@pytest.mark.parametrize("options", [{}, {"dropout": 0.4}, {"batch_first": True}])
def test_tapes_of_some_steps_add_up(name, options):
    """Two parts of two layers, unequal lengths, resets: the parts' gradients add up to the whole one.

    The upper layer's dropout and the lower layer's inputs are those of the part's own steps.
    """
    problem = Problem(name, *SIZES, 2, **options)
    turn = (lambda v: v.swapaxes(0, 1).copy()) if problem.layer.batch_first else (lambda v: v)
    reset = np.zeros((9, 4), bool)
    reset[[3, 5], [0, 2]] = True
    lengths = np.array([9, 3, 5, 7])
    _, _, tape = problem.layer.forward(turn(problem.x), as_state(problem.state), lengths=lengths, reset=turn(reset))
    whole = problem.layer.backward(turn(problem.dy), tape, as_state(problem.dstate), errors=("h",))
    late = problem.layer.backward(turn(problem.dy[5:]), tape[5:], as_state(problem.dstate), errors=("h",))
    early = problem.layer.backward(turn(problem.dy[:5]), tape[:5], late.state, errors=("h",))
    close(early.flat + late.flat, whole.flat, 1e-12, "flat")
    close(np.concatenate([turn(early.x), turn(late.x)]), turn(whole.x), 1e-12, "x")
    close(np.concatenate([early.errors["h"], late.errors["h"]], axis=1), whole.errors["h"], 1e-12, "errors")
    assert len(tape) == 9
    assert len(tape[5:]) == 4
    assert np.shares_memory(tape[5:].layers[1].s, tape.s)
    for part, expected in zip(tape[2:8][1:4].layers, tape.layers, strict=True):
        np.testing.assert_array_equal(part.h, expected.h[3:7])
        np.testing.assert_array_equal(part.x, expected.x[3 * 4 : 6 * 4])


def test_bad_arguments_are_named():
    layer = bptt.GRU(2, 3)
    _, _, tape = layer.forward(np.ones((4, 2, 2), "float32"))
    one = np.ones((2, 3), "float32")
    with pytest.raises(ValueError, match=r"errors must be one of 'h', 'a'|errors .*'c'"):
        layer.backward(None, tape, errors=("h", "c"))
    with pytest.raises(TypeError, match="errors must be names, some of h, a; got True"):
        layer.backward(None, tape, errors=True)
    with pytest.raises(TypeError, match="clip_step must be a pair"):
        layer.backward(None, tape, clip_step=3)
    with pytest.raises(ValueError, match=r"clip_step\[0\]"):
        layer.backward(None, tape, clip_step=("size", 3))
    with pytest.raises(ValueError, match=r"clip_step\[1\]"):
        layer.backward(None, tape, clip_step=("norm", 0))
    with pytest.raises(ValueError, match="last"):
        layer.backward(None, tape, last=one[:1])
    with pytest.raises(TypeError, match=r"slice, such as tape\[8:24\]; got 3"):
        tape[3]
    for steps in (slice(2, 2), slice(0, 4, 2), slice(9, 12), slice(None, None, -1)):
        with pytest.raises(ValueError, match="at least one of its 4, and consecutive"):
            tape[steps]
